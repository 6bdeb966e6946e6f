// One launch on its way to CUDA C: the state that the files of codegen/cuda/ share while they print it.
//
// The kernel is a copy in normal form (normal.c): reductions that differ in the names of their variables only are one
// expression. Printing adds no expressions; a schedule makes those it needs before fst_cu_begin.
//
// Scopes. Every expression is computed into at most one C variable in scope; `memo` holds its name. A scope that
// is a C block or a thread's element forgets what was computed inside when it closes.
#ifndef FST_CODEGEN_CUDA_EMIT_H
#define FST_CODEGEN_CUDA_EMIT_H

#include "codegen/cuda/cuda.h"

typedef struct fst_cu_undo { uint32_t expr; const char *name; } fst_cu_undo;

typedef struct fst_cu {
  const fst_kernel *k;
  fst_arena *arena;
  fst_text *out;
  int depth;               // of C blocks
  uint32_t next;           // makes names unique
  // Facts by expression.
  uint32_t words;
  const uint64_t *deps;    // variables that it depends on, `words` 64-bit words each
  bool *may_fault;         // evaluating it where it is not asked for could read out of bounds
  bool *has_reduce;
  uint32_t *weight;        // primitives, loads and reductions below it, counted as a tree up to a limit
  fst_kx *extents;         // per variable: how far it counts; none where several binders differ
  // Where we are.
  uint64_t *bound;         // set of variables
  const char **vars;       // per variable: the C expression that it stands for while bound
  const char **memo;       // per expression: name or literal
  FST_VEC(fst_cu_undo) trail;
} fst_cu;

// ---- normal.c ----
// A copy with the same buffers, parameters and statements, the reductions' variables renamed by nesting. Destroy it.
fst_kernel *fst_cu_normal(const fst_kernel *kernel);

// ---- scalar.c ----
const char *fst_cu_type(fst_dtype dtype);          // of a value: "float", "u16" for the 16-bit floats, "bool"
const char *fst_cu_memory_type(fst_dtype dtype);   // of an element in memory: bools are u8
const char *fst_cu_literal(fst_arena *arena, fst_dtype dtype, uint64_t bits);
// The C expression of a primitive on operands that are names or literals; `dtype` is the operands' (of SELECT the sides').
const char *fst_cu_prim(fst_arena *arena, fst_prim prim, fst_dtype dtype, fst_dtype result, const char *const *args);

// ---- expr.c ----
void fst_cu_begin(fst_cu *c);                      // facts and memo for the kernel as it is now
void fst_cu_end(fst_cu *c);
static inline const fst_kx_data *fst_cu_get(const fst_cu *c, fst_kx x) { return &c->k->exprs.data[x.id]; }
static inline bool fst_cu_depends(const fst_cu *c, fst_kx x, uint32_t var) { return c->deps[(size_t)x.id * c->words + var / 64] >> (var % 64) & 1; }
bool fst_cu_is_const(const fst_cu *c, fst_kx x, int64_t *out);
void fst_cu_line(fst_cu *c, const char *format, ...) FST_PRINTF(2, 3);
void fst_cu_open(fst_cu *c, const char *format, ...) FST_PRINTF(2, 3);  // a line that ends with {
void fst_cu_close(fst_cu *c);                                             // }
const char *fst_cu_name(fst_cu *c, const char *prefix);                   // fresh
const char *fst_cu_format(fst_cu *c, const char *format, ...) FST_PRINTF(2, 3);
size_t fst_cu_scope(const fst_cu *c);
void fst_cu_forget(fst_cu *c, size_t scope);
void fst_cu_remember(fst_cu *c, fst_kx x, const char *name);
void fst_cu_bind(fst_cu *c, uint32_t var, const char *text);
void fst_cu_unbind(fst_cu *c, uint32_t var);
bool fst_cu_is_bound(const fst_cu *c, fst_kx x);   // all variables that it depends on are
const char *fst_cu_expr(fst_cu *c, fst_kx x);
const char *fst_cu_offset(fst_cu *c, uint32_t buffer, const fst_kx *indices);
const char *fst_cu_element(fst_cu *c, uint32_t buffer, const fst_kx *indices);  // an lvalue
void fst_cu_store(fst_cu *c, uint32_t buffer, const fst_kx *indices, const char *value);
// Evaluates now what does not depend on variables that are not bound yet, before a loop begins. `conditional`: the loop may
// have no round, so only what cannot fault.
void fst_cu_hoist(fst_cu *c, fst_kx root, bool conditional);

// ---- reduce.c ----
const char *fst_cu_reduce(fst_cu *c, fst_kx x);
const char *fst_cu_reduce_start(fst_cu *c, const fst_kx_data *reduce);
// The C expression that combines two values of a reduction that is not ARGMAX or ARGMIN.
const char *fst_cu_combine(fst_cu *c, const fst_kx_data *reduce, const char *a, const char *b);
const char *fst_cu_better(fst_cu *c, const fst_kx_data *reduce, const char *value, const char *best);
static inline bool fst_cu_is_arg(const fst_kx_data *reduce) { return reduce->reduce == FST_REDUCE_ARGMAX || reduce->reduce == FST_REDUCE_ARGMIN; }

// ---- unit.c: launches being added to a kernel ----
typedef struct fst_cu_kernel fst_cu_kernel;
struct fst_cu_kernel {
  fst_cuda_unit *unit;
  fst_kernel *k;               // normal form
  fst_kernel *sizes;           // of the result
  const char *symbol;          // prefix of the launches' names
  bool has_scratch;            // the functions have an argument for it
  fst_kx scratch_bytes;        // wanted so far, in sizes
  size_t arguments;            // buffers of k from here on lie at the start of scratch memory, each at a multiple of 256 bytes
  fst_kx staged_bytes;         // of these, in sizes
  FST_VEC(fst_cuda_launch) launches;
};
// An i64 expression of parameters in `sizes`; none when the host cannot compute it.
fst_kx fst_cu_size(const fst_cu_kernel *m, fst_kx x);
// Scratch memory for the statement that is being scheduled: launches are made one after the other, so all share it.
void fst_cu_scratch(fst_cu_kernel *m, fst_kx bytes);
// A launch: `body` is printed into a function of the kernel's arguments. `resident`: how many of its blocks a multiprocessor
// should hold, which bounds the registers; 0: as it comes.
typedef void (*fst_cu_body)(fst_cu *c, const void *context);
void fst_cu_launch_add(fst_cu_kernel *m, uint32_t threads, uint32_t resident, const fst_kx grid[3], uint32_t shared_bytes, fst_cu_body body, const void *context);

// ---- statement.c: plain launches, one thread a point or a row ----
void fst_cu_statement(fst_cu_kernel *m, const fst_kstmt *stmt);

#endif
