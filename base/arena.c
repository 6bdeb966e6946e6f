#include "base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_ALIGN = 16, ARENA_FIRST_CHUNK = 4096, ARENA_LARGEST_CHUNK = 1 << 20 };

struct fst_arena_chunk {
  fst_arena_chunk *older;
  size_t bytes;  // of memory after the header
};

enum { CHUNK_HEADER = (sizeof(fst_arena_chunk) + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1) };

void fst_arena_init(fst_arena *arena) { *arena = (fst_arena){0}; }

static void chunks_free(fst_arena_chunk *chunk) {
  while (chunk) {
    fst_arena_chunk *older = chunk->older;
    free(chunk);
    chunk = older;
  }
}

void fst_arena_deinit(fst_arena *arena) {
  chunks_free(arena->head);
  *arena = (fst_arena){0};
}

void fst_arena_reset(fst_arena *arena) {
  fst_arena_chunk *kept = arena->head;
  if (!kept) return;
  chunks_free(kept->older);
  kept->older = NULL;
  arena->next = (char *)kept + CHUNK_HEADER;
  arena->end = arena->next + kept->bytes;
  arena->bytes = 0;
}

// Chunks double up to a megabyte, so that an arena of n bytes makes O(log n) + n/1 MB calls to malloc. A
// larger request gets a chunk of its own size.
static void arena_add_chunk(fst_arena *arena, size_t wanted) {
  size_t bytes = arena->head ? arena->head->bytes * 2 : ARENA_FIRST_CHUNK;
  if (bytes > ARENA_LARGEST_CHUNK) bytes = ARENA_LARGEST_CHUNK;
  if (bytes < wanted) bytes = wanted;
  FST_ASSERT(bytes <= SIZE_MAX - CHUNK_HEADER, "arena request of %zu bytes", wanted);
  fst_arena_chunk *chunk = malloc(CHUNK_HEADER + bytes);
  FST_ASSERT(chunk, "out of memory (%zu bytes)", bytes);
  chunk->older = arena->head;
  chunk->bytes = bytes;
  arena->head = chunk;
  arena->next = (char *)chunk + CHUNK_HEADER;
  arena->end = arena->next + bytes;
}

void *fst_arena_alloc(fst_arena *arena, size_t bytes) {
  FST_ASSERT(bytes <= SIZE_MAX - ARENA_ALIGN, "arena request of %zu bytes", bytes);
  size_t rounded = (bytes + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
  if (rounded == 0) rounded = ARENA_ALIGN;  // distinct objects have distinct addresses
  if ((size_t)(arena->end - arena->next) < rounded) arena_add_chunk(arena, rounded);
  void *result = arena->next;
  arena->next += rounded;
  arena->bytes += rounded;
  return memset(result, 0, rounded);
}

char *fst_arena_strndup(fst_arena *arena, const char *text, size_t len) {
  char *copy = fst_arena_alloc(arena, len + 1);
  if (len) memcpy(copy, text, len);
  return copy;
}

char *fst_arena_strdup(fst_arena *arena, const char *text) {
  return fst_arena_strndup(arena, text, strlen(text));
}

void *fst_arena_memdup(fst_arena *arena, const void *bytes, size_t len) {
  void *copy = fst_arena_alloc(arena, len);
  if (len) memcpy(copy, bytes, len);
  return copy;
}

char *fst_arena_printf(fst_arena *arena, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  int len = vsnprintf(NULL, 0, fmt, args);
  va_end(args);
  FST_ASSERT(len >= 0, "format \"%s\"", fmt);
  char *text = fst_arena_alloc(arena, (size_t)len + 1);
  va_start(args, fmt);
  vsnprintf(text, (size_t)len + 1, fmt, args);
  va_end(args);
  return text;
}
