// What generated CUDA C builds on. No header is included: NVRTC has none, and its own built-in functions are enough.
typedef signed char i8;
typedef short i16;
typedef int i32;
typedef long long i64;
typedef unsigned char u8;
typedef unsigned short u16;  // also the bits of f16 and bf16
typedef unsigned int u32;
typedef unsigned long long u64;

// Integers wrap, so they are added without a sign.
template <class T> __device__ __forceinline__ T fst_add(T a, T b) { return (T)((u64)a + (u64)b); }
template <class T> __device__ __forceinline__ T fst_sub(T a, T b) { return (T)((u64)a - (u64)b); }
template <class T> __device__ __forceinline__ T fst_mul(T a, T b) { return (T)((u64)a * (u64)b); }
template <class T> __device__ __forceinline__ T fst_shl(T a, T b) { return (T)((u64)a << (int)b); }
template <class T> __device__ __forceinline__ bool fst_is_minus_one(T b) { return (T)-1 < (T)0 && b == (T)-1; }
template <class T> __device__ __forceinline__ T fst_div(T a, T b) { return b == (T)0 ? (T)0 : fst_is_minus_one(b) ? fst_sub((T)0, a) : (T)(a / b); }
template <class T> __device__ __forceinline__ T fst_rem(T a, T b) { return b == (T)0 || fst_is_minus_one(b) ? (T)0 : (T)(a % b); }
template <class T> __device__ __forceinline__ T fst_abs(T a) { return a < (T)0 ? fst_sub((T)0, a) : a; }
// NaN if either operand is one: `a` when a is, else the comparison is false and b is taken.
template <class T> __device__ __forceinline__ T fst_min(T a, T b) { return a < b || a != a ? a : b; }
template <class T> __device__ __forceinline__ T fst_max(T a, T b) { return a > b || a != a ? a : b; }
__device__ __forceinline__ u64 fst_bits(i8 a) { return (u8)a; }
__device__ __forceinline__ u64 fst_bits(u8 a) { return a; }
__device__ __forceinline__ u64 fst_bits(i16 a) { return (u16)a; }
__device__ __forceinline__ u64 fst_bits(i32 a) { return (u32)a; }
__device__ __forceinline__ u64 fst_bits(i64 a) { return (u64)a; }
template <class T> __device__ __forceinline__ T fst_popcnt(T a) { return (T)__popcll((i64)fst_bits(a)); }
template <class T> __device__ __forceinline__ T fst_clz(T a) { return (T)(__clzll((i64)fst_bits(a)) - (64 - 8 * (int)sizeof(T))); }

// a / b of what is not negative: 64-bit division is slow and seldom needed.
__device__ __forceinline__ i64 fst_quotient(i64 a, i64 b) { return (u64)(a | b) >> 32 ? a / b : (i64)((u32)a / (u32)b); }
// Neighbours in memory that are loaded and stored together.
template <class T, int N> struct __align__(sizeof(T) * N < 16 ? sizeof(T) * N : 16) fst_vec { T e[N]; };

__device__ __forceinline__ float fst_abs(float a) { return fabsf(a); }
__device__ __forceinline__ double fst_abs(double a) { return fabs(a); }
__device__ __forceinline__ float fst_rem(float a, float b) { return fmodf(a, b); }
__device__ __forceinline__ double fst_rem(double a, double b) { return fmod(a, b); }
__device__ __forceinline__ float fst_fma(float a, float b, float c) { return fmaf(a, b, c); }
__device__ __forceinline__ double fst_fma(double a, double b, double c) { return fma(a, b, c); }
__device__ __forceinline__ float fst_sqrt(float a) { return sqrtf(a); }
__device__ __forceinline__ double fst_sqrt(double a) { return sqrt(a); }
__device__ __forceinline__ float fst_floor(float a) { return floorf(a); }
__device__ __forceinline__ double fst_floor(double a) { return floor(a); }
__device__ __forceinline__ float fst_ceil(float a) { return ceilf(a); }
__device__ __forceinline__ double fst_ceil(double a) { return ceil(a); }
__device__ __forceinline__ float fst_trunc(float a) { return truncf(a); }
__device__ __forceinline__ double fst_trunc(double a) { return trunc(a); }
__device__ __forceinline__ float fst_rint(float a) { return rintf(a); }
__device__ __forceinline__ double fst_rint(double a) { return rint(a); }
// Truncation; what does not fit, NaN included, becomes the lowest integer.
template <class T> __device__ __forceinline__ i64 fst_whole(T a) { return a >= (T)-9223372036854775808.0 && a < (T)9223372036854775808.0 ? (i64)a : (i64)(1ull << 63); }
template <class T> __device__ __forceinline__ i64 fst_whole32(T a) { return a >= (T)-2147483648.0 && a < (T)2147483648.0 ? (i64)a : (i64)-2147483648ll; }

__device__ __forceinline__ float bf16_f32(u16 a) { return __uint_as_float((u32)a << 16); }
#ifndef FST_CUDA_SHIM
// The block's shared memory, of the size that the launch gives.
#define FST_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
__device__ __forceinline__ float f16_f32(u16 a) {
  float out;
  asm("cvt.f32.f16 %0, %1;" : "=f"(out) : "h"(a));
  return out;
}
__device__ __forceinline__ u16 f32_f16(float a) {
  u16 out;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(out) : "f"(a));
  return out;
}
__device__ __forceinline__ u16 f32_bf16(float a) {
  u16 out;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(out) : "f"(a));
  return out;
}
// Four 8 by 8 matrices of 16-bit elements from shared memory; lane 8 * i + r gives the address of line r of matrix i.
__device__ __forceinline__ void fst_ldmatrix(u32 *out, const u16 *line) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"((u32)__cvta_generic_to_shared(line)));
}
__device__ __forceinline__ void fst_ldmatrix_turned(u32 *out, const u16 *line) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"((u32)__cvta_generic_to_shared(line)));
}
// c (16 by 8) += a (16 by 16) b (16 by 8), products exact, sums in f32.
__device__ __forceinline__ void fst_mma_f16(float *c, const u32 *a, const u32 *b) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ __forceinline__ void fst_mma_bf16(float *c, const u32 *a, const u32 *b) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif
