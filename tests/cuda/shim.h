// Runs generated CUDA C on the CPU: included before it by the tests, compiled by the system's C++ compiler.
//
// Blocks run one after the other. The threads of a block are fibers on one thread of the system, which change places
// where they meet: at __syncthreads, at shuffles, at warp-wide instructions. A barrier that not all threads of the block
// reach is reported, not waited for. Memory is what the caller gives; shared memory starts as NaN.
#ifndef FST_TESTS_CUDA_SHIM_H
#define FST_TESTS_CUDA_SHIM_H
#define FST_CUDA_SHIM 1

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <utility>

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define FST_SHARED(name) unsigned char *const name = shim_shared

struct shim_dim { unsigned x, y, z; };
static shim_dim threadIdx, blockIdx, blockDim, gridDim;

// ---- fibers ----
// Saves what a call has to keep, changes stacks, restores.
extern "C" void shim_switch(void **save, void *to);
asm(".text\n.globl shim_switch\n.type shim_switch,@function\nshim_switch:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n.size shim_switch,.-shim_switch\n");

enum { SHIM_THREADS = 1024, SHIM_STACK = 128 << 10, SHIM_WARP = 32, SHIM_SHARED = 232448 };

struct shim_barrier { unsigned arrived, round; };
struct shim_fiber { void *sp; bool done; const unsigned *waits_for; unsigned round; };

static shim_fiber shim_fibers[SHIM_THREADS];
static char *shim_stacks;
static void *shim_scheduler;
static unsigned shim_current, shim_threads, shim_live;
static shim_barrier shim_block, shim_warps[SHIM_THREADS / SHIM_WARP];
static uint64_t shim_slots[SHIM_THREADS][4];
alignas(128) static unsigned char shim_shared[SHIM_SHARED];
static void (*shim_body)(void *);
static void *shim_context;

[[noreturn]] static inline void shim_fail(const char *what) {
  fprintf(stderr, "CUDA shim: block (%u, %u, %u), thread %u: %s\n", blockIdx.x, blockIdx.y, blockIdx.z, shim_current, what);
  abort();
}

static inline void shim_yield() { shim_switch(&shim_fibers[shim_current].sp, shim_scheduler); }

static inline void shim_meet(shim_barrier *b, unsigned expected) {
  if (++b->arrived == expected) {
    b->arrived = 0;
    b->round++;
    return;
  }
  shim_fiber *self = &shim_fibers[shim_current];
  self->waits_for = &b->round;
  self->round = b->round;
  shim_yield();
}

static void shim_start() {
  shim_body(shim_context);
  if (shim_block.arrived) shim_fail("leaves while others wait at a barrier");
  shim_fibers[shim_current].done = true;
  shim_live--;
  shim_yield();
}

static inline void shim_fiber_begin(unsigned number) {
  char *top = shim_stacks + (size_t)(number + 1) * SHIM_STACK - 64;   // 16-byte aligned
  void **sp = (void **)top;
  *--sp = NULL;                        // a call's return address: keeps the alignment that functions expect
  *--sp = (void *)shim_start;
  for (int i = 0; i < 6; i++) *--sp = NULL;
  shim_fibers[number] = shim_fiber{(void *)sp, false, NULL, 0};
}

static inline void shim_run_block() {
  shim_live = shim_threads;
  shim_block = shim_barrier{0, 0};
  memset(shim_warps, 0, sizeof shim_warps);
  memset(shim_shared, 0xff, sizeof shim_shared);
  for (unsigned t = 0; t < shim_threads; t++) shim_fiber_begin(t);
  // Forwards and backwards in turn, so that no order between two barriers is relied on.
  for (unsigned pass = 0; shim_live; pass++) {
    bool moved = false;
    for (unsigned i = 0; i < shim_threads; i++) {
      unsigned t = pass % 2 ? shim_threads - 1 - i : i;
      shim_fiber *f = &shim_fibers[t];
      if (f->done || (f->waits_for && *f->waits_for == f->round)) continue;
      f->waits_for = NULL;
      shim_current = t;
      threadIdx = shim_dim{t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
      shim_switch(&shim_scheduler, f->sp);
      moved = true;
    }
    if (!moved) shim_fail("waits where others never come");
  }
}

template <class... A, size_t... I> void shim_call(void (*kernel)(A...), void **args, std::index_sequence<I...>) { kernel(*(A *)args[I]...); }

template <class... A> void shim_launch(void (*kernel)(A...), const unsigned *grid, const unsigned *threads, void **args) {
  struct call { void (*kernel)(A...); void **args; } c = {kernel, args};
  shim_threads = threads[0] * threads[1] * threads[2];
  if (shim_threads > SHIM_THREADS || shim_threads % SHIM_WARP) shim_fail("a block of a size that no GPU runs well");
  if (!shim_stacks) shim_stacks = (char *)mmap(NULL, (size_t)SHIM_THREADS * SHIM_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  shim_context = &c;
  shim_body = [](void *context) { shim_call(((call *)context)->kernel, ((call *)context)->args, std::index_sequence_for<A...>{}); };
  gridDim = shim_dim{grid[0], grid[1], grid[2]};
  blockDim = shim_dim{threads[0], threads[1], threads[2]};
  for (blockIdx.z = 0; blockIdx.z < grid[2]; blockIdx.z++)
    for (blockIdx.y = 0; blockIdx.y < grid[1]; blockIdx.y++)
      for (blockIdx.x = 0; blockIdx.x < grid[0]; blockIdx.x++) shim_run_block();
}

// ---- what threads do together ----

static inline void __syncthreads() { shim_meet(&shim_block, shim_threads); }
static inline void shim_warp_meet() { shim_meet(&shim_warps[shim_current / SHIM_WARP], SHIM_WARP); }
static inline void __syncwarp(unsigned = 0xffffffffu) { shim_warp_meet(); }
static inline void __threadfence() {}

// The value that lane `from` of this warp gives, in all lanes at once.
template <class T> T shim_exchange(T value, unsigned from) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
  T out;
  memcpy(shim_slots[shim_current], &value, sizeof value);
  shim_warp_meet();
  memcpy(&out, shim_slots[shim_current / SHIM_WARP * SHIM_WARP + from], sizeof out);
  shim_warp_meet();
  return out;
}
static inline unsigned shim_lane() { return shim_current % SHIM_WARP; }
template <class T> T __shfl_sync(unsigned, T value, int from) { return shim_exchange(value, (unsigned)from % SHIM_WARP); }
template <class T> T __shfl_xor_sync(unsigned, T value, int mask) { return shim_exchange(value, shim_lane() ^ (unsigned)mask); }
template <class T> T __shfl_down_sync(unsigned, T value, unsigned by) { return shim_exchange(value, shim_lane() + by < SHIM_WARP ? shim_lane() + by : shim_lane()); }
template <class T> T __shfl_up_sync(unsigned, T value, unsigned by) { return shim_exchange(value, shim_lane() >= by ? shim_lane() - by : shim_lane()); }
static inline unsigned __ballot_sync(unsigned, int predicate) {
  unsigned out = 0, mine = predicate != 0;
  for (unsigned lane = 0; lane < SHIM_WARP; lane++) out |= shim_exchange(mine, lane) << lane;
  return out;
}

// ---- built-in functions of CUDA C ----

static inline float __uint_as_float(unsigned a) { float out; memcpy(&out, &a, sizeof out); return out; }
static inline unsigned __float_as_uint(float a) { unsigned out; memcpy(&out, &a, sizeof out); return out; }
static inline double __longlong_as_double(long long a) { double out; memcpy(&out, &a, sizeof out); return out; }
static inline long long __double_as_longlong(double a) { long long out; memcpy(&out, &a, sizeof out); return out; }
static inline int __popcll(long long a) { return __builtin_popcountll((unsigned long long)a); }
static inline int __popc(int a) { return __builtin_popcount((unsigned)a); }
static inline int __clzll(long long a) { return a ? __builtin_clzll((unsigned long long)a) : 64; }
template <class T, class U> T atomicAdd(T *at, U value) { T old = *at; *at = (T)(old + (T)value); return old; }
template <class T, class U> T atomicMax(T *at, U value) { T old = *at; *at = old > (T)value ? old : (T)value; return old; }
template <class T, class U> T atomicMin(T *at, U value) { T old = *at; *at = old < (T)value ? old : (T)value; return old; }

// ---- the PTX functions of codegen/cuda/prelude.cu ----
// Conversions of 16-bit floats, to nearest, ties to even.

static inline float f16_f32(unsigned short h) {
  unsigned sign = (h & 0x8000u) << 16, exponent = h >> 10 & 31, fraction = h & 1023u;
  if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | fraction << 13);
  float magnitude = exponent ? __uint_as_float((exponent + 112) << 23 | fraction << 13) : (float)fraction * 0x1p-24f;
  return __uint_as_float(__float_as_uint(magnitude) | sign);
}
static inline unsigned short f32_f16(float a) {
  unsigned bits = __float_as_uint(a), sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
  if (rest > 0x7f800000u) return 0x7fff;
  if (rest >= 0x477ff000u) return (unsigned short)(sign | 0x7c00);
  if (rest < 0x38800000u) return (unsigned short)(sign | (__float_as_uint(__uint_as_float(rest) + 0.5f) - __float_as_uint(0.5f)));
  rest += 0xfff + (rest >> 13 & 1);
  return (unsigned short)(sign | (rest - 0x38000000u) >> 13);
}
static inline unsigned short f32_bf16(float a) {
  unsigned bits = __float_as_uint(a);
  if (a != a) return 0x7fff;
  return (unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// ldmatrix: each lane gets two elements of every matrix; turned, of its transpose.
static inline void shim_ldmatrix(unsigned *out, const unsigned short *line, bool turned) {
  const unsigned short *lines[SHIM_WARP];
  if ((uintptr_t)line % 16) shim_fail("ldmatrix of an address that is no multiple of 16");
  memcpy(shim_slots[shim_current], &line, sizeof line);
  shim_warp_meet();
  for (unsigned l = 0; l < SHIM_WARP; l++) memcpy(&lines[l], shim_slots[shim_current / SHIM_WARP * SHIM_WARP + l], sizeof line);
  for (unsigned i = 0; i < 4; i++) {
    unsigned g = shim_lane() / 4, t = shim_lane() % 4 * 2;
    unsigned low = turned ? lines[8 * i + t][g] : lines[8 * i + g][t], high = turned ? lines[8 * i + t + 1][g] : lines[8 * i + g][t + 1];
    out[i] = low | high << 16;
  }
  shim_warp_meet();
}
static inline void fst_ldmatrix(unsigned *out, const unsigned short *line) { shim_ldmatrix(out, line, false); }
static inline void fst_ldmatrix_turned(unsigned *out, const unsigned short *line) { shim_ldmatrix(out, line, true); }

// mma.m16n8k16: lane 4 * g + t holds rows g and g + 8 of a and c, column g of b.
static inline void shim_mma(float *c, const unsigned *a, const unsigned *b, float (*widen)(unsigned short)) {
  unsigned own[6] = {a[0], a[1], a[2], a[3], b[0], b[1]}, all[SHIM_WARP][6];
  memcpy(shim_slots[shim_current], own, sizeof own);
  shim_warp_meet();
  for (unsigned l = 0; l < SHIM_WARP; l++) memcpy(all[l], shim_slots[shim_current / SHIM_WARP * SHIM_WARP + l], sizeof own);
  for (unsigned i = 0; i < 4; i++) {
    unsigned row = shim_lane() / 4, column = shim_lane() % 4 * 2 + i % 2;
    for (unsigned k = 0; k < 16; k++) {
      unsigned x = all[row * 4 + k % 8 / 2][i / 2 + k / 8 * 2], y = all[column * 4 + k % 8 / 2][4 + k / 8];
      c[i] += widen((unsigned short)(x >> k % 2 * 16)) * widen((unsigned short)(y >> k % 2 * 16));
    }
  }
  shim_warp_meet();
}
static inline float shim_bf16_f32(unsigned short a) { return __uint_as_float((unsigned)a << 16); }
static inline void fst_mma_f16(float *c, const unsigned *a, const unsigned *b) { shim_mma(c, a, b, f16_f32); }
static inline void fst_mma_bf16(float *c, const unsigned *a, const unsigned *b) { shim_mma(c, a, b, shim_bf16_f32); }

#endif
