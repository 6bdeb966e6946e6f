// Bump allocation by lifetime: everything in an arena goes at once. Not thread-safe; one owner.
// Out of memory aborts: arenas are used by the compiler only, which runs in a worker process.
#ifndef FST_BASE_ARENA_H
#define FST_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "base/status.h"

typedef struct fst_arena_chunk fst_arena_chunk;
typedef struct fst_arena {
  fst_arena_chunk *head;
  char *next, *end;
  size_t bytes;  // handed out so far
} fst_arena;

void fst_arena_init(fst_arena *arena);
void fst_arena_deinit(fst_arena *arena);
void fst_arena_reset(fst_arena *arena);                // frees all but one chunk
void *fst_arena_alloc(fst_arena *arena, size_t bytes);  // zeroed, 16-byte aligned, never NULL
char *fst_arena_strdup(fst_arena *arena, const char *text);
char *fst_arena_strndup(fst_arena *arena, const char *text, size_t len);
void *fst_arena_memdup(fst_arena *arena, const void *bytes, size_t len);
char *fst_arena_printf(fst_arena *arena, const char *fmt, ...) FST_PRINTF(2, 3);

#define FST_NEW(arena, type) ((type *)fst_arena_alloc((arena), sizeof(type)))
#define FST_NEW_ARRAY(arena, type, n) ((type *)fst_arena_alloc((arena), sizeof(type) * (size_t)(n)))

#endif
