// A device library (base/device_abi.h) that is the CPU: for tests of code for a device where there is none. Tests name it in
// FIRESTEEL_CUDA_LIBRARY and open models with device="cuda".
//
// Kernels come as their CUDA C (target cuda:source) and are compiled with tests/cuda/shim.h. Memory of "the device" can
// be touched only inside of these functions: code of the host that reads or writes a tensor by itself dies of it. It has
// SHIM_BYTES of it, filled with NaN when it is given out, and counts what is not given back. All work is done at once.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/device_abi.h"

enum { PAGE = 4096, MAX_BLOCKS = 1 << 16 };
#define SHIM_BYTES ((size_t)2 << 30)

typedef struct block { size_t at, bytes; } block;   // in use, by address

struct fst_device {
  char *memory;
  block blocks[MAX_BLOCKS];
  size_t block_count;
  fst_device_facts facts;
};
typedef struct step {   // of a recording: a launch, a copy (`call` NULL), or a clear (`from` NULL)
  void (*call)(const unsigned *, const unsigned *, void **);
  uint32_t grid[3], block[3], count;
  uint64_t args[1024];
  void *to;
  const void *from;
  size_t to_step, from_step, bytes, rows;
} step;
struct fst_recording { step *steps; size_t count; };
struct fst_stream { fst_device *device; fst_recording *recording; };
struct fst_image { void *library; };

static fst_device *opened[2];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;   // guards the devices and the shim, which has one set of threads

static void memory_open(fst_device *d) {
  pthread_mutex_lock(&lock);
  mprotect(d->memory, SHIM_BYTES, PROT_READ | PROT_WRITE);
}
static void memory_close(fst_device *d) {
  mprotect(d->memory, SHIM_BYTES, PROT_NONE);
  pthread_mutex_unlock(&lock);
}

// ---- devices and streams ---------------------------------------------------------------------------

static fst_status shim_open(int index, fst_device **out) {
  if (index > 1) return FST_FAIL(FST_ERR_NOT_FOUND, "there is no device cuda:%d: the driver shows 2", index);
  fst_device *d = calloc(1, sizeof *d);
  if (!d) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  d->memory = mmap(NULL, SHIM_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (d->memory == MAP_FAILED) {
    free(d);
    return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  }
  d->facts = (fst_device_facts){"CPU as a device", "source", (int64_t)SHIM_BYTES};
  *out = opened[index] = d;
  return NULL;
}

static void shim_close(fst_device *d) {
  if (d->block_count) {
    fprintf(stderr, "CUDA shim: %zu blocks of the device's memory were never given back\n", d->block_count);
    abort();
  }
  munmap(d->memory, SHIM_BYTES);
  free(d);
}

static const fst_device_facts *shim_facts(const fst_device *d) { return &d->facts; }

static _Thread_local int depth;
static fst_status shim_enter(fst_device *d) {
  (void)d;
  depth++;
  return NULL;
}
static void shim_leave(fst_device *d) {
  (void)d;
  if (--depth < 0) abort();
}
static void must_be_inside(void) {
  if (depth > 0) return;
  fprintf(stderr, "CUDA shim: the device is used outside of enter and leave\n");
  abort();
}

static void must_not_record(const fst_stream *s) {
  if (!s || !s->recording) return;
  fprintf(stderr, "CUDA shim: what cannot be recorded was put into a stream that records\n");
  abort();
}

static fst_status shim_stream_create(fst_device *d, fst_stream **out) {
  fst_stream *s = malloc(sizeof *s);
  if (!s) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  *s = (fst_stream){.device = d};
  *out = s;
  return NULL;
}
static void shim_stream_destroy(fst_stream *s) { free(s); }
static fst_status shim_stream_wait(fst_stream *s) {
  must_not_record(s);
  must_be_inside();
  return NULL;
}

// ---- memory ----------------------------------------------------------------------------------------

// The lowest gap that is large enough.
static int gap_find(const fst_device *d, size_t bytes, size_t *out_at) {
  size_t at = 0, i = 0;
  while (i < d->block_count && d->blocks[i].at < at + bytes) {
    at = d->blocks[i].at + d->blocks[i].bytes;
    i++;
  }
  *out_at = at;
  return d->block_count < MAX_BLOCKS && at + bytes <= SHIM_BYTES ? (int)i : -1;
}

static size_t memory_left(const fst_device *d) {
  size_t used = 0;
  for (size_t i = 0; i < d->block_count; i++) used += d->blocks[i].bytes;
  return SHIM_BYTES - used;
}

static fst_status shim_alloc(fst_device *d, fst_stream *s, size_t bytes, void **out) {
  size_t at, want = bytes / 256 * 256 + 256;
  must_not_record(s);
  memory_open(d);
  int i = bytes > SHIM_BYTES ? -1 : gap_find(d, want, &at);
  if (i >= 0) {
    memmove(d->blocks + i + 1, d->blocks + i, (d->block_count - (size_t)i) * sizeof *d->blocks);
    d->blocks[i] = (block){at, want};
    d->block_count++;
    memset(d->memory + at, 0xff, want);
    *out = d->memory + at;
  }
  size_t left = memory_left(d);
  memory_close(d);
  return i >= 0 ? NULL : FST_FAIL(FST_ERR_RESOURCE, "CUDA out of memory: %zu bytes were asked for, %zu of the %zu of %s are free (CUDA_ERROR_OUT_OF_MEMORY)", bytes, left, SHIM_BYTES, d->facts.name);
}

static void shim_release(fst_device *d, fst_stream *s, void *memory, int is_lent) {
  if (memory) must_not_record(s);
  (void)is_lent;
  if (!memory) return;
  memory_open(d);
  size_t at = (size_t)((char *)memory - d->memory), i = 0;
  while (i < d->block_count && d->blocks[i].at != at) i++;
  if (i == d->block_count) {
    fprintf(stderr, "CUDA shim: memory is given back that was not given out\n");
    abort();
  }
  memset(memory, 0xff, d->blocks[i].bytes);
  memmove(d->blocks + i, d->blocks + i + 1, (d->block_count - i - 1) * sizeof *d->blocks);
  d->block_count--;
  memory_close(d);
}

static fst_status shim_transfer(fst_stream *s, void *to, const void *from, size_t bytes) {
  must_be_inside();
  must_not_record(s);
  memory_open(s->device);
  if (bytes) memcpy(to, from, bytes);
  memory_close(s->device);
  return NULL;
}

static void step_do(const step *s) {
  void *pointers[1024];
  for (uint32_t i = 0; i < s->count; i++) pointers[i] = (void *)(uintptr_t)&s->args[i];
  if (s->call) s->call(s->grid, s->block, pointers);
  for (size_t i = 0; !s->call && i < s->rows; i++) {
    char *to = (char *)s->to + i * s->to_step;
    if (s->from) memmove(to, (const char *)s->from + i * s->from_step, s->bytes);
    else memset(to, 0, s->bytes);
  }
}

// Now, or when the recording is replayed.
static fst_status step_put(fst_stream *s, const step *what) {
  must_be_inside();
  if (s->recording) {
    fst_recording *r = s->recording;
    r->steps = realloc(r->steps, (r->count + 1) * sizeof *r->steps);
    r->steps[r->count++] = *what;
    return NULL;
  }
  memory_open(s->device);
  step_do(what);
  memory_close(s->device);
  return NULL;
}

static fst_status shim_copy(fst_stream *s, void *to, size_t to_step, const void *from, size_t from_step, size_t bytes, size_t rows) {
  step what = {.to = to, .from = from, .to_step = to_step, .from_step = from_step, .bytes = bytes, .rows = rows};
  return step_put(s, &what);
}

static fst_status shim_clear(fst_stream *s, void *to, size_t bytes) {
  step what = {.to = to, .bytes = bytes, .rows = 1};
  return step_put(s, &what);
}

static fst_status shim_record(fst_stream *s) {
  s->recording = calloc(1, sizeof *s->recording);
  return s->recording ? NULL : FST_FAIL(FST_ERR_RESOURCE, "out of memory");
}

static void shim_forget(fst_device *d, fst_recording *r) {
  (void)d;
  if (r) free(r->steps);
  free(r);
}

static fst_status shim_recorded(fst_stream *s, fst_recording **out) {
  if (out) *out = s->recording;
  else shim_forget(s->device, s->recording);
  s->recording = NULL;
  return NULL;
}

static fst_status shim_replay(fst_stream *s, fst_recording *r) {
  must_be_inside();
  memory_open(s->device);
  for (size_t i = 0; i < r->count; i++) step_do(&r->steps[i]);
  memory_close(s->device);
  return NULL;
}

// ---- kernels ---------------------------------------------------------------------------------------

static int shim_suits(const fst_device *d, const char *name) {
  (void)d;
  return !strcmp(name, "kernels.cu");
}

// A function with one type for every kernel.
static void wrappers_print(FILE *file, const char *source) {
  static const char mark[] = "__launch_bounds__(";
  for (const char *at = source; (at = strstr(at, mark));) {
    const char *name = strchr(at, ')');
    at += sizeof mark - 1;
    if (!name) continue;
    name += 2;
    int len = (int)strcspn(name, "(");
    fprintf(file, "extern \"C\" void shim_%.*s(const unsigned *grid, const unsigned *threads, void **args) { shim_launch(%.*s, grid, threads, args); }\n", len, name, len, name);
  }
}

static fst_status shim_build(const char *source, const char *path, const char *library) {
  char command[1024];
  const char *compiler = getenv("CXX");
  FILE *file = fopen(path, "w");
  if (!file) return FST_FAIL(FST_ERR_IO, "cannot write %s", path);
  fputs(source, file);
  fputc('\n', file);
  wrappers_print(file, source);
  fclose(file);
  snprintf(command, sizeof command, "%s -std=c++17 -O1 -w -fPIC -shared -ffp-contract=off -include %s/cuda/shim.h -o %s %s", compiler ? compiler : "c++", FST_TEST_DATA, library, path);
  return system(command) ? FST_FAIL(FST_ERR_INTERNAL, "the C++ compiler refuses %s", path) : NULL;
}

static fst_status shim_load(fst_device *d, const void *bytes, size_t len, fst_image **out) {
  char path[] = "/tmp/fst_shim_XXXXXX.cc", library[64];
  (void)d;
  (void)len;
  int fd = mkstemps(path, 3);
  if (fd < 0) return FST_FAIL(FST_ERR_IO, "cannot make a file in /tmp");
  close(fd);
  snprintf(library, sizeof library, "%s.so", path);
  FST_TRY(shim_build(bytes, path, library));
  void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  unlink(library);
  if (!getenv("FST_TEST_DUMP")) unlink(path);
  fst_image *image = handle ? malloc(sizeof *image) : NULL;
  if (!image) return FST_FAIL(FST_ERR_INTERNAL, "%s", handle ? "out of memory" : dlerror());
  image->library = handle;
  *out = image;
  return NULL;
}

static void shim_unload(fst_device *d, fst_image *image) {
  (void)d;
  dlclose(image->library);
  free(image);
}

static fst_status shim_find(fst_device *d, fst_image *image, const char *name, uint32_t shared_bytes, fst_function **out) {
  char symbol[512];
  (void)d;
  (void)shared_bytes;
  snprintf(symbol, sizeof symbol, "shim_%s", name);
  void *at = dlsym(image->library, symbol);
  if (!at) return FST_FAIL(FST_ERR_NOT_FOUND, "%s: named symbol not found (CUDA_ERROR_NOT_FOUND)", name);
  *out = at;   // code, which is called as such below
  return NULL;
}

static fst_status shim_launch(fst_stream *s, fst_function *function, const uint32_t grid[3], const uint32_t block[3], uint32_t shared_bytes, void **args, uint32_t arg_count) {
  union { fst_function *at; void (*call)(const unsigned *, const unsigned *, void **); } u = {.at = function};
  step what = {.call = u.call, .grid = {grid[0], grid[1], grid[2]}, .block = {block[0], block[1], block[2]}, .count = arg_count};
  (void)shared_bytes;
  for (uint32_t i = 0; i < arg_count; i++) memcpy(&what.args[i], args[i], 8);
  return step_put(s, &what);
}

// ---- for tests: memory of somebody else's on a device that is open ----

#define EXPORT __attribute__((visibility("default")))
EXPORT void *shim_put(int index, const void *bytes, size_t len);
void *shim_put(int index, const void *bytes, size_t len) {
  void *at = NULL;
  if (!opened[index] || shim_alloc(opened[index], NULL, len, &at)) return NULL;
  memory_open(opened[index]);
  memcpy(at, bytes, len);
  memory_close(opened[index]);
  return at;
}
EXPORT void shim_take(int index, void *memory);
void shim_take(int index, void *memory) { shim_release(opened[index], NULL, memory, 1); }

EXPORT const fst_device_api *fst_device_library(void);
const fst_device_api *fst_device_library(void) {
  static const fst_device_api api = {
      .version = FST_DEVICE_VERSION, .open = shim_open, .close = shim_close, .facts = shim_facts, .enter = shim_enter, .leave = shim_leave,
      .stream_create = shim_stream_create, .stream_destroy = shim_stream_destroy, .stream_wait = shim_stream_wait, .stream_join = shim_stream_wait,
      .alloc = shim_alloc, .release = shim_release, .upload = shim_transfer, .download = shim_transfer, .copy = shim_copy, .clear = shim_clear,
      .suits = shim_suits, .load = shim_load, .unload = shim_unload, .find = shim_find, .launch = shim_launch, .record = shim_record, .recorded = shim_recorded, .replay = shim_replay, .forget = shim_forget,
  };
  return &api;
}
