// One kernel on its way to LLVM: the state that the files of codegen/llvm/ and codegen/contract/ share while
// they emit it.
//
// Lanes. Code is emitted either for one point at a time (lanes == 1) or for `lanes` consecutive values of one
// index variable, the lane variable. An expression that depends on a varying variable is a vector of
// that many lanes, any other a scalar; a scalar is spread only where a vector is needed. At most one lane variable
// is active: a reduction that does not depend on it is emitted as scalar code of its own, which may then
// choose a lane variable among its own.
//
// Masks. `tail` says which lanes are points of the iteration space at all; `chosen` which of them evaluate
// the side of a SELECT that is being emitted. Only loads care: everything else is harmless on a dead lane
// (divisors are made safe in fst_emit_prim).
//
// Memo. Every expression has at most one value in scope. Scopes follow the control flow: a loop body, a branch
// or a mask opens one, and closing it forgets what was computed inside.
#ifndef FST_CODEGEN_LLVM_EMIT_H
#define FST_CODEGEN_LLVM_EMIT_H

#include "codegen/contract/pack.h"
#include "codegen/llvm/unit_internal.h"

#define FST_NO_VAR UINT32_MAX
enum { FST_EMIT_MAX_LANES = 64 };

typedef struct fst_lane_state {
  uint32_t var;            // FST_NO_VAR: none
  uint32_t lanes;          // 1: none
  LLVMValueRef base;       // value of the lane variable in lane 0, a scalar i64
  int64_t low, high;       // bounds of the lane variable in all lanes, if low <= high
  LLVMValueRef tail;       // <lanes x i1>, NULL: all
  LLVMValueRef chosen;     // <lanes x i1>, NULL: all
} fst_lane_state;

typedef struct fst_undo { uint32_t expr; LLVMValueRef value; } fst_undo;

typedef struct fst_emit {
  fst_llvm_unit *unit;
  const fst_kernel *kernel;
  LLVMBuilderRef b;
  LLVMValueRef function;
  LLVMValueRef *buffers, *params;
  fst_arena *arena;        // of this kernel's emission
  // Constants (codegen/contract/pack.c): their bytes if known, the pointer to their packed forms, the size of these, and
  // the instruction that stands for the distance from there to the constant as it was.
  const void *const *constants;
  LLVMValueRef *packed, *raw_distance;
  uint64_t *packed_bytes;
  FST_VEC(struct fst_pack) packs;
  uint64_t scratch_bytes;  // wanted so far
  // Facts about expressions, by id (codegen/llvm/analyse.c).
  uint32_t words;          // 64-bit words of a set of variables
  uint64_t *deps;          // per expression: variables that it depends on, `words` each
  bool *may_fault;         // evaluating it where it is not asked for could read out of bounds
  bool *has_reduce;
  fst_kx *twin;            // of a REDUCE: the first one that differs from it in the names of its variables only
  uint64_t *ragged;        // set of variables that some reduction's length depends on: no lanes for them
  fst_kx *extents;         // per variable: what binds it counts to this; none where several binders differ
  // Where we are.
  uint64_t *bound, *varying;  // sets of variables
  LLVMValueRef *vars;      // per variable: its value while bound (the lane variable's is in `lane`)
  fst_lane_state lane;
  LLVMValueRef *memo;      // per expression
  FST_VEC(fst_undo) trail;
  LLVMValueRef far_base, far_table;  // see fst_emit_constants_far
  FST_VEC(uint32_t) far_bits;
  LLVMValueRef dummy;      // 64 bytes that dead lanes may read and write
  LLVMValueRef scratch;    // the last argument, where there is one
} fst_emit;

// ---- analyse.c ----
void fst_emit_analyse(fst_emit *e);
static inline const uint64_t *fst_emit_deps(const fst_emit *e, fst_kx x) { return e->deps + (size_t)x.id * e->words; }
static inline bool fst_set_has(const uint64_t *set, uint32_t var) { return set[var / 64] >> (var % 64) & 1; }
static inline void fst_set_add(uint64_t *set, uint32_t var) { set[var / 64] |= UINT64_C(1) << (var % 64); }
static inline void fst_set_remove(uint64_t *set, uint32_t var) { set[var / 64] &= ~(UINT64_C(1) << (var % 64)); }
bool fst_set_meets(const uint64_t *a, const uint64_t *b, uint32_t words);
bool fst_set_within(const uint64_t *a, const uint64_t *b, uint32_t words);
static inline bool fst_emit_depends(const fst_emit *e, fst_kx x, uint32_t var) { return fst_set_has(fst_emit_deps(e, x), var); }
static inline const fst_kx_data *fst_emit_get(const fst_emit *e, fst_kx x) { return &e->kernel->exprs.data[x.id]; }

// How an integer expression moves when `var` grows by one.
typedef enum { FST_STEP_CONST, FST_STEP_SYMBOLIC, FST_STEP_NONE } fst_step_kind;
typedef struct fst_step { fst_step_kind kind; int64_t value; } fst_step;
fst_step fst_emit_step(const fst_emit *e, fst_kx x, uint32_t var);
// The same for the flat offset of an access.
fst_step fst_emit_access_step(const fst_emit *e, uint32_t buffer, const fst_kx *indices, uint32_t var);
// Proven inclusive bounds of an i64 expression.
bool fst_emit_range(const fst_emit *e, fst_kx x, int64_t *out_low, int64_t *out_high);
// Bounds of it where we are: variables that stand at a constant, the lane variable in its part of a peeled loop.
bool fst_emit_range_here(const fst_emit *e, fst_kx x, int64_t *out_low, int64_t *out_high);
// Whether an access stays inside its buffer for all values that its variables take.
bool fst_emit_in_bounds(const fst_emit *e, uint32_t buffer, const fst_kx *indices);
// How many expressions there are below one.
uint32_t fst_emit_weight(const fst_emit *e, fst_kx x);
// Constant or not at all.
bool fst_emit_const(const fst_emit *e, fst_kx x, int64_t *out);
// Every LOAD below the roots, with the number of reductions around it.
typedef struct fst_access { uint32_t buffer; const fst_kx *indices; fst_kx expr; uint32_t depth; bool is_store; } fst_access;
typedef FST_VEC(fst_access) fst_accesses;
void fst_emit_accesses(const fst_emit *e, const fst_kx *roots, uint32_t count, fst_accesses *out);
// Points a vector should hold, by the widest element that the roots compute with.
uint32_t fst_emit_lanes_for(const fst_emit *e, const fst_kx *roots, uint32_t count, fst_dtype also);
// Whether tails may be masked: narrow elements have no masked forms below AVX-512.
bool fst_emit_masks_tails(const fst_emit *e, const fst_kx *roots, uint32_t count);
// Cost of visiting one vector of points with `var` in the lanes (FST_NO_VAR: one point at a time).
double fst_emit_lane_cost(const fst_emit *e, const fst_accesses *accesses, uint32_t var, uint32_t lanes);
// A reduction's own lane variable (index into its vars), or -1.
int fst_emit_reduce_lane(const fst_emit *e, const fst_kx_data *reduce, uint32_t lanes, double *out_cost);
// Merges neighbouring variables whose accesses walk memory as one: merged[i] says that variable i is always 0 and
// that variable i + 1 runs over both extents.
void fst_emit_collapse(const fst_emit *e, const uint32_t *vars, const fst_kx *extents, uint32_t count, const fst_kx *roots, uint32_t root_count, const fst_kstore *stores, uint32_t store_count, bool *merged);

// ---- scalar.c: primitives on scalars and vectors alike ----
LLVMTypeRef fst_emit_like(const fst_emit *e, LLVMTypeRef element, LLVMValueRef like);  // with as many lanes
LLVMTypeRef fst_emit_vector_type(LLVMTypeRef element, uint32_t lanes);                  // the element when 1
uint32_t fst_emit_lane_count(LLVMValueRef value);
LLVMValueRef fst_emit_int(const fst_emit *e, int64_t value);                            // i64
LLVMValueRef fst_emit_splat(fst_emit *e, LLVMValueRef value, uint32_t lanes);           // a vector stays
LLVMValueRef fst_emit_iota(fst_emit *e, uint32_t lanes);                                // <0, 1, 2...> of i64
LLVMValueRef fst_emit_const_value(fst_emit *e, fst_dtype dtype, uint64_t bits);
// Between on and off, f32 constants are read from memory, so that they take no registers in the loops before. `finish` makes the
// table of them when the kernel is complete.
void fst_emit_constants_far(fst_emit *e, bool on);
void fst_emit_constants_finish(fst_emit *e);
LLVMValueRef fst_emit_prim(fst_emit *e, fst_prim prim, fst_dtype dtype, LLVMValueRef *args, uint32_t count);  // dtype of the operands
LLVMValueRef fst_emit_convert(fst_emit *e, LLVMValueRef value, fst_dtype from, fst_dtype to);
LLVMValueRef fst_emit_bitcast(fst_emit *e, LLVMValueRef value, fst_dtype to);
LLVMValueRef fst_emit_intrinsic1(fst_emit *e, const char *name, LLVMValueRef a);
LLVMValueRef fst_emit_fma(fst_emit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);
LLVMValueRef fst_emit_any(fst_emit *e, LLVMValueRef mask);

// ---- memory.c ----
LLVMValueRef fst_emit_element_ptr(fst_emit *e, LLVMValueRef base, fst_dtype dtype, LLVMValueRef offset);
LLVMValueRef fst_emit_load(fst_emit *e, uint32_t buffer, const fst_kx *indices);
void fst_emit_store(fst_emit *e, uint32_t buffer, const fst_kx *indices, LLVMValueRef value);
// Vectors whose elements lie between each other, from `indices` on.
void fst_emit_store_interleaved(fst_emit *e, uint32_t buffer, const fst_kx *indices, const LLVMValueRef *values, uint32_t count);
// The statement's stores that together write neighbours where `var` runs along the lanes, beginning with `first`, and their count;
// 0: not so.
enum { FST_INTERLEAVE_MOST = 4 };
uint32_t fst_emit_stores_beside(const fst_emit *e, const fst_kstmt *stmt, uint32_t first, uint32_t var, uint32_t *out);
LLVMValueRef fst_emit_offset(fst_emit *e, uint32_t buffer, const fst_kx *indices);  // scalar, in elements, lane 0
bool fst_emit_is_even(const fst_emit *e, fst_kx x);                                    // moves evenly from lane to lane, or not at all
LLVMValueRef fst_emit_at_base(fst_emit *e, fst_kx x);                                  // such an index in lane 0
LLVMValueRef fst_emit_load_at(fst_emit *e, fst_dtype dtype, LLVMValueRef ptr);        // one element
void fst_emit_store_at(fst_emit *e, fst_dtype dtype, LLVMValueRef ptr, LLVMValueRef value);

// A hint: the line at `ptr`, which need not be valid, is wanted soon in the cache of that level (1 or 2).
void fst_emit_prefetch(fst_emit *e, LLVMValueRef ptr, bool write, int level);
LLVMValueRef fst_emit_scratch(fst_emit *e, uint64_t offset);                           // bytes into the scratch argument

// ---- expr.c ----
LLVMValueRef fst_emit_expr(fst_emit *e, fst_kx x);
bool fst_emit_is_varying(const fst_emit *e, fst_kx x);
size_t fst_emit_scope_open(const fst_emit *e);
void fst_emit_scope_close(fst_emit *e, size_t mark);
void fst_emit_remember(fst_emit *e, fst_kx x, LLVMValueRef value);
// `value` where the condition holds, 0 elsewhere; it is evaluated only there if it may fault.
typedef LLVMValueRef (*fst_value_fn)(fst_emit *e, const void *context);
LLVMValueRef fst_emit_where(fst_emit *e, fst_kx condition, fst_dtype dtype, bool faults, fst_value_fn value, const void *context);
// Evaluates now what depends on bound variables only, before a loop over others begins. `conditional`: the
// loop may have no iteration, so only what cannot fault.
void fst_emit_hoist(fst_emit *e, fst_kx root, bool conditional);

// ---- loops.c ----
enum { FST_LOOP_MAX_CARRIES = 64 };
typedef struct fst_loop {
  LLVMBasicBlockRef before, body, exit;
  LLVMValueRef iv, end, step;
  bool guarded;
  uint32_t carry_count;
  LLVMValueRef inits[FST_LOOP_MAX_CARRIES], phis[FST_LOOP_MAX_CARRIES];
} fst_loop;
// `for (iv = start; iv < end; iv += step)`; without guard at least one iteration is promised. Afterwards
// the builder is in the body.
void fst_loop_begin(fst_emit *e, fst_loop *loop, LLVMValueRef start, LLVMValueRef end, int64_t step, bool guarded, const LLVMValueRef *inits, uint32_t carry_count);
// Closes the body; `values` become the carries' next ones, and on return their values after the loop.
void fst_loop_end(fst_emit *e, fst_loop *loop, LLVMValueRef *values);
LLVMBasicBlockRef fst_emit_block(fst_emit *e, const char *name);
LLVMValueRef fst_emit_alloca(fst_emit *e, LLVMTypeRef type, unsigned align);
void fst_emit_var_bind(fst_emit *e, uint32_t var, LLVMValueRef value, bool varying);
void fst_emit_var_unbind(fst_emit *e, uint32_t var);
// Runs `body` for the lane variable's whole extent: full vectors, then the tail. Peeled, the first and the last vector
// are apart from the loop, so that conditions about the edges are known inside it.
typedef void (*fst_lane_body)(fst_emit *e, void *context);
typedef struct fst_lane_loop {
  uint32_t var, lanes;
  bool mask_tail, peel;
  fst_lane_body body;
  void *context;
} fst_lane_loop;
void fst_emit_lane_loop(fst_emit *e, const fst_lane_loop *loop, LLVMValueRef count);
// One vector of it (or, with one lane, one point) at `base`, which lies between `low` and `high` if these are in order.
void fst_emit_lanes_at(fst_emit *e, const fst_lane_loop *l, LLVMValueRef base, uint32_t lanes, LLVMValueRef tail, int64_t low, int64_t high);
LLVMValueRef fst_emit_tail_mask(fst_emit *e, LLVMValueRef left, uint32_t lanes);  // lane < left

// ---- reduce.c, statement.c, sort.c ----
LLVMValueRef fst_emit_reduce(fst_emit *e, fst_kx x);
void fst_emit_statement(fst_emit *e, const fst_kstmt *stmt);
void fst_emit_stores(fst_emit *e, const fst_kstmt *stmt);  // all of a point or vector of points
void fst_emit_sort(fst_emit *e, const fst_kstmt *stmt);
void fst_emit_compact(fst_emit *e, const fst_kstmt *stmt);
LLVMValueRef fst_emit_better(fst_emit *e, fst_reduce op, fst_dtype dtype, LLVMValueRef value, LLVMValueRef best);

#endif
