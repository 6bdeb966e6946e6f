// Kernel IR: what a group of fused ops computes, the same for every target.
//
// A kernel is a list of statements over buffers. A statement has an iteration space (parallel index
// variables with extents) and stores one or more scalar expressions at index expressions. Expressions
// are pure, typed, and hash-consed: a kernel is a DAG, not a program. Where a reduction is evaluated is
// not said: it belongs at the outermost loop that binds all variables it depends on, and fst_kernel_place
// computes that for the code generators and the printer. Nothing here says tile, vector, thread, packing
// or memory space: those are a schedule, one kind per target (codegen/).
//
// Views are index expressions, so transposes, slices, broadcasts, padding (a select on bounds) and
// gathers (a load inside an index) cost nothing and fuse. A matrix product or convolution is a SUM
// reduction of a product; code generators recognise it (fst_kx_is_contraction) and bring their own tiles.
//
// The meaning of every scalar op is ir/kernel/scalar.def (primitives) and expansions over them
// (ir/kernel/expand.kir); the interpreter below is the oracle for both code generators.
#ifndef FST_IR_KERNEL_KERNEL_H
#define FST_IR_KERNEL_KERNEL_H

#include "base/arena.h"
#include "base/dtype.h"
#include "base/map.h"
#include "base/text.h"
#include "base/vec.h"

typedef struct { uint32_t id; } fst_kx;  // expression; 0 is none
#define FST_NO_KX ((fst_kx){0})
static inline bool fst_kx_eq(fst_kx a, fst_kx b) { return a.id == b.id; }

typedef enum {
#define PRIM(id, name, arity, doc) FST_PRIM_##id,
#include "ir/kernel/scalar.def"
#undef PRIM
  FST_PRIM_COUNT
} fst_prim;

typedef enum {
  FST_KX_CONST,    // bits of `dtype`
  FST_KX_PARAM,    // scalar argument number `index` of the kernel (sizes and offsets are i64 params)
  FST_KX_VAR,      // index variable number `index` (i64), bound by a statement or a reduction
  FST_KX_PRIM,     // prim(args)
  FST_KX_LOAD,     // element of buffer `index` at args (i64 indices, one per dim of the buffer); must be in bounds
                   // wherever it is evaluated (a SELECT evaluates only the chosen side)
  FST_KX_REDUCE,   // over vars `vars` with extents `extents`, of args[0] (ARGMAX/ARGMIN: args[0], result is the linear i64 index of the first best)
} fst_kx_kind;

typedef enum { FST_REDUCE_SUM, FST_REDUCE_PROD, FST_REDUCE_MAX, FST_REDUCE_MIN, FST_REDUCE_ARGMAX, FST_REDUCE_ARGMIN, FST_REDUCE_ANY, FST_REDUCE_ALL } fst_reduce;
// MAX and MIN propagate NaN; the empty SUM is 0, PROD 1, MAX the lowest value (-inf), ANY false.
// A SUM of integers wraps. SUM of f16/bf16 accumulates in f32 (insert the conversions when building).

typedef struct fst_kx_data {
  fst_kx_kind kind;
  fst_dtype dtype;       // of the result; index arithmetic is I64, conditions are BOOL
  fst_prim prim;
  fst_reduce reduce;
  uint32_t index;
  uint64_t bits;         // CONST: the value in the low bytes (bool 0/1, ints sign-extended, floats by representation)
  uint32_t arg_count;
  const fst_kx *args;
  uint32_t var_count;    // REDUCE
  const uint32_t *vars;  // variable numbers
  const fst_kx *extents;
} fst_kx_data;

enum { FST_KERNEL_MAX_DIMS = 16 };
typedef struct fst_kbuf {
  fst_dtype dtype;
  uint32_t rank;
  fst_kx sizes[FST_KERNEL_MAX_DIMS];    // i64 CONST, PARAM, or expressions of them
  fst_kx strides[FST_KERNEL_MAX_DIMS];  // elements
  bool is_written;
  bool is_read;
  bool is_constant;   // weights: contents known at compile time, may be packed by a schedule
} fst_kbuf;

typedef enum {
  FST_KSTMT_MAP,      // for all vars in parallel: store. No two points store to one element.
  FST_KSTMT_SCATTER,  // in row-major order of vars: buffer[indices] = combine(buffer[indices], value)
  FST_KSTMT_SCAN,     // for the last var in order (others parallel): carry = next(carry); store after each step
  FST_KSTMT_SORT,     // stable sort along the last var: store values (store 0) and positions (store 1, i64)
  FST_KSTMT_COMPACT,  // row-major points where `condition` holds: store k is coordinate k; the count goes to out_count
} fst_kstmt_kind;
typedef enum { FST_COMBINE_SET, FST_COMBINE_ADD, FST_COMBINE_MUL, FST_COMBINE_MAX, FST_COMBINE_MIN } fst_combine;

typedef struct fst_kstore {
  uint32_t buffer;
  fst_kx value;
  uint32_t index_count;
  fst_kx *indices;
} fst_kstore;

typedef struct fst_kstmt {
  fst_kstmt_kind kind;
  uint32_t var_count;
  uint32_t *vars;        // outermost first
  fst_kx *extents;
  uint32_t store_count;
  fst_kstore *stores;
  fst_combine combine;   // SCATTER
  // SCAN: carries are variables of their dtype (FST_KX_VAR with that dtype) with initial and next values. The next
  // values are of the carries before, the stores of the carries after. COMPACT: a carry (i64, no values) is k.
  uint32_t carry_count;
  uint32_t *carries;
  fst_kx *carry_init, *carry_next;
  bool descending;       // SORT
  fst_kx condition;      // COMPACT (bool)
  uint32_t count_buffer; // COMPACT: i64[1]
} fst_kstmt;

typedef struct fst_kernel {
  fst_arena arena;
  const char *name;                  // for symbols and dumps; not part of the hash
  FST_VEC(fst_kx_data) exprs;        // [0] is none
  fst_map expr_index;
  FST_VEC(fst_kbuf) buffers;
  FST_VEC(fst_dtype) params;         // dtypes of the scalar arguments
  FST_VEC(fst_dtype) vars;           // I64 for index variables, any for carries
  FST_VEC(fst_kstmt) stmts;          // executed in order, each sees the stores of those before it
} fst_kernel;

fst_kernel *fst_kernel_create(const char *name);
void fst_kernel_destroy(fst_kernel *kernel);

// ---- building (folds constants and simplifies index arithmetic as it goes) ----
fst_kx fst_kx_const_bits(fst_kernel *k, fst_dtype dtype, uint64_t bits);
fst_kx fst_kx_int(fst_kernel *k, int64_t value);                       // i64
fst_kx fst_kx_bool(fst_kernel *k, bool value);
fst_kx fst_kx_float(fst_kernel *k, fst_dtype dtype, double value);      // rounded to dtype
fst_kx fst_kx_number(fst_kernel *k, fst_dtype dtype, double f, int64_t i);  // f for float dtypes, i for the others
fst_kx fst_kernel_param(fst_kernel *k, fst_dtype dtype);                // a new scalar argument
fst_kx fst_kernel_var(fst_kernel *k, fst_dtype dtype);                  // a new variable
uint32_t fst_kernel_buffer(fst_kernel *k, const fst_kbuf *buffer);
fst_kx fst_kx_load(fst_kernel *k, uint32_t buffer, const fst_kx *indices);
// Result dtype follows from the primitive (comparisons give BOOL); operands must agree (checked).
fst_kx fst_kx_prim(fst_kernel *k, fst_prim prim, const fst_kx *args, uint32_t count);
fst_kx fst_kx_prim1(fst_kernel *k, fst_prim prim, fst_kx a);
fst_kx fst_kx_prim2(fst_kernel *k, fst_prim prim, fst_kx a, fst_kx b);
fst_kx fst_kx_prim3(fst_kernel *k, fst_prim prim, fst_kx a, fst_kx b, fst_kx c);
fst_kx fst_kx_convert(fst_kernel *k, fst_kx a, fst_dtype dtype);        // PyTorch's .to(dtype) of one element
fst_kx fst_kx_bitcast(fst_kernel *k, fst_kx a, fst_dtype dtype);
fst_kx fst_kx_reduce(fst_kernel *k, fst_reduce op, const fst_kx *vars, const fst_kx *extents, uint32_t count, fst_kx body);
// A named function of expand.kir ("exp", "erf", "floordiv") on these operands; FST_NO_KX when there is
// none for the dtype. Primitives may be called by their name too.
fst_kx fst_kx_call(fst_kernel *k, const char *function, const fst_kx *args, uint32_t count);
// An expression of that language, as in the op table's `scalar` column: names are looked up, T is `type`. FST_NO_KX
// when it calls what there is not for these dtypes.
fst_kx fst_kx_expression(fst_kernel *k, const char *text, fst_dtype type, fst_kx (*lookup)(void *context, const char *name), void *context);
bool fst_kx_has_function(const char *function, fst_dtype dtype);
const fst_kx_data *fst_kx_get(const fst_kernel *k, fst_kx x);
bool fst_kx_is_int(const fst_kernel *k, fst_kx x, int64_t *out);        // i64 constant?
bool fst_kx_depends(const fst_kernel *k, fst_kx x, uint32_t var);
// For all expressions at once: the sets of variables they depend on, *out_words 64-bit words each, by id.
uint64_t *fst_kernel_free_vars(const fst_kernel *k, fst_arena *arena, uint32_t *out_words);
// The same expression of other operands, simplified as when it is built.
fst_kx fst_kx_rebuild(fst_kernel *k, fst_kx x, const fst_kx *args);
// Replaces variables by expressions.
fst_kx fst_kx_substitute(fst_kernel *k, fst_kx x, const uint32_t *vars, const fst_kx *by, uint32_t count);
// `for vars: buffer[indices] = value` as a MAP.
void fst_kernel_map(fst_kernel *k, const fst_kx *vars, const fst_kx *extents, uint32_t count, const fst_kstore *stores, uint32_t store_count);
fst_kstmt *fst_kernel_add_stmt(fst_kernel *k, fst_kstmt_kind kind, uint32_t var_count, uint32_t store_count, uint32_t carry_count);
// A finished kernel once more, knowing how far each variable runs: divisions, remainders, comparisons and extremes whose
// result follows from that are gone (ir/kernel/simplify.c). Buffers and parameters stay as they are.
void fst_kernel_simplify(fst_kernel *k);

// ---- asking ----
// An i64 expression as sum(coefficient[i] * vars[i]) + rest, where rest and coefficients do not depend on
// the vars. False when it is not affine in them.
bool fst_kx_affine(fst_kernel *k, fst_kx x, const uint32_t *vars, uint32_t count, fst_kx *out_coefficients, fst_kx *out_rest);
// A SUM whose body is MUL(a, b), or SELECT(mask, MUL(a, b) or a masked factor, 0) of floats.
bool fst_kx_is_contraction(const fst_kernel *k, fst_kx x);
uint64_t fst_kernel_hash(const fst_kernel *k);          // structure only: equal kernels compute the same
bool fst_kernel_equal(const fst_kernel *a, const fst_kernel *b);
fst_status fst_kernel_verify(const fst_kernel *k);

// ---- text (docs/kernel-ir.md); every print parses back to an equal kernel ----
void fst_kernel_print(const fst_kernel *k, fst_text *out);
fst_status fst_kernel_parse(const char *text, size_t len, fst_kernel **out_kernel);
const char *fst_prim_name(fst_prim prim);
uint32_t fst_prim_arity(fst_prim prim);
bool fst_prim_is_compare(fst_prim prim);              // the result is BOOL
bool fst_prim_takes(fst_prim prim, fst_dtype dtype);  // of the first operand

// ---- the interpreter: slow, obvious, the oracle ----
typedef struct fst_kargs {
  void *const *buffers;       // element 0 of each buffer
  const uint64_t *params;     // scalar arguments, as CONST bits
} fst_kargs;
fst_status fst_kernel_run(const fst_kernel *k, const fst_kargs *args);
// One primitive on constants: the scalar semantics, used by the folder and the interpreter alike.
uint64_t fst_prim_eval(fst_prim prim, fst_dtype dtype, const uint64_t *args);       // dtype of the operands
uint64_t fst_convert_eval(fst_dtype from, fst_dtype to, uint64_t bits);

#endif
