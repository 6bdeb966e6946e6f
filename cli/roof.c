#include "cli/roof.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { BURSTS = 6, MULTIPLY_ADDS = 200000, PAGE = 2 << 20 };
static const double read_seconds = 0.006;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// ---- arithmetic ------------------------------------------------------------------------------------
// Independent chains, enough to fill two units with a latency of four cycles, all in registers.

#if defined(__x86_64__)
#include <immintrin.h>

static volatile float sink;

__attribute__((target("avx512f"), noinline)) static double burst_v4(void) {
  enum { CHAINS = 24, LANES = 16 };
  __m512 a[CHAINS], x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(0.001f);
  for (int i = 0; i < CHAINS; i++) a[i] = _mm512_set1_ps((float)i);
  double start = now();
  for (int k = 0; k < MULTIPLY_ADDS; k++)
#pragma GCC unroll 24
    for (int i = 0; i < CHAINS; i++) a[i] = _mm512_fmadd_ps(a[i], x, y);
  double took = now() - start;
  for (int i = 1; i < CHAINS; i++) a[0] = _mm512_add_ps(a[0], a[i]);
  sink = _mm512_reduce_add_ps(a[0]);
  return 2.0 * CHAINS * LANES * MULTIPLY_ADDS / took * 1e-9;
}

__attribute__((target("avx2,fma"), noinline)) static double burst_v3(void) {
  enum { CHAINS = 12, LANES = 8 };
  __m256 a[CHAINS], x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(0.001f);
  for (int i = 0; i < CHAINS; i++) a[i] = _mm256_set1_ps((float)i);
  double start = now();
  for (int k = 0; k < MULTIPLY_ADDS; k++)
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++) a[i] = _mm256_fmadd_ps(a[i], x, y);
  double took = now() - start;
  for (int i = 1; i < CHAINS; i++) a[0] = _mm256_add_ps(a[0], a[i]);
  float lanes[LANES];
  _mm256_storeu_ps(lanes, a[0]);
  sink = lanes[0];
  return 2.0 * CHAINS * LANES * MULTIPLY_ADDS / took * 1e-9;
}

static double (*burst_of(const char **inout_level))(void) {
  __builtin_cpu_init();
  bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"), v4 = v3 && __builtin_cpu_supports("avx512f");
  const char *level = *inout_level;
  if (!level || !strcmp(level, "native")) level = v4 ? "x86-64-v4" : "x86-64-v3";
  if (v4 && !strcmp(level, "x86-64-v4")) return *inout_level = "x86-64-v4", burst_v4;
  if (v3 && !strcmp(level, "x86-64-v3")) return *inout_level = "x86-64-v3", burst_v3;
  return NULL;
}
#else
static double (*burst_of(const char **inout_level))(void) { return (void)inout_level, NULL; }
#endif

// ---- reading ---------------------------------------------------------------------------------------

// Generic vectors of the level's width: the same loop is compiled for each level, with chains enough to hide the latency of L1.
#define READ_LOOP(lanes)                                                     \
  typedef uint64_t words __attribute__((vector_size(8 * (lanes))));          \
  const words *v = (const words *)p;                                         \
  words s[8] = {{0}};                                                        \
  for (size_t i = 0; i + 8 <= count / (lanes); i += 8) {                     \
    s[0] |= v[i], s[1] |= v[i + 1], s[2] |= v[i + 2], s[3] |= v[i + 3];      \
    s[4] |= v[i + 4], s[5] |= v[i + 5], s[6] |= v[i + 6], s[7] |= v[i + 7];  \
  }                                                                          \
  for (int i = 1; i < 8; i++) s[0] |= s[i];                                  \
  uint64_t all = 0;                                                          \
  for (int i = 0; i < (lanes); i++) all |= s[0][i];                          \
  return all

#if defined(__x86_64__)
__attribute__((target("avx512f"), noinline)) static uint64_t read_v4(const void *p, size_t count) { READ_LOOP(8); }
__attribute__((target("avx2"), noinline)) static uint64_t read_v3(const void *p, size_t count) { READ_LOOP(4); }
#endif
__attribute__((noinline)) static uint64_t read_any(const void *p, size_t count) { READ_LOOP(2); }

typedef uint64_t (*read_fn)(const void *, size_t);  // so many 64-bit words

static read_fn reader_of(const char *level) {
#if defined(__x86_64__)
  if (!strcmp(level, "x86-64-v4")) return read_v4;
  if (!strcmp(level, "x86-64-v3")) return read_v3;
#endif
  return (void)level, read_any;
}

static double read_burst(read_fn reader, const void *p, size_t bytes) {
  volatile uint64_t seen = 0;
  double start = now(), took = 0;
  double rounds = 0;
  do {
    seen |= reader(p, bytes / sizeof(uint64_t));
    rounds++;
    took = now() - start;
  } while (took < read_seconds);
  return rounds * (double)bytes / took * 1e-9;
}

fst_status fst_roof_measure(const char *level, int64_t read_bytes, fst_roof *inout) {
  double (*burst)(void) = burst_of(&level);
  inout->level = burst ? level : "";
  for (int i = 0; burst && i < BURSTS; i++) {
    double gflops = burst();
    if (gflops > inout->gflops) inout->gflops = gflops;
  }
  size_t bytes = (size_t)(read_bytes < 4096 ? 4096 : read_bytes) & ~(size_t)255, mapped = (bytes + 2 * PAGE) & ~(size_t)(PAGE - 1);
  char *memory = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return FST_FAIL(FST_ERR_RESOURCE, "out of memory for a buffer of %zu bytes", mapped);
  char *aligned = (char *)(((uintptr_t)memory + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
  size_t room = mapped - (size_t)(aligned - memory);
  (void)madvise(aligned, room, MADV_HUGEPAGE);
  memset(aligned, 1, bytes);
  read_fn reader = reader_of(inout->level);
  for (int i = 0; i < BURSTS; i++) {
    double gbs = read_burst(reader, aligned, bytes);
    if (gbs > inout->read_gbs) inout->read_gbs = gbs;
  }
  inout->read_bytes = (int64_t)bytes;
  munmap(memory, mapped);
  return NULL;
}
