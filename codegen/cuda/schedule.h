// How a statement is spread over threads: decided here, beside the kernel, from the kernel alone.
//
// A schedule first brings the statement into the form it prints (its own expressions, made in the kernel's normal
// form), then adds launches. Where sizes are symbols, several launches stand for several schedules, and the grids of all
// but one are 0.
#ifndef FST_CODEGEN_CUDA_SCHEDULE_H
#define FST_CODEGEN_CUDA_SCHEDULE_H

#include "codegen/cuda/emit.h"

// Takes what reductions reduce out of them where it needs reductions itself: adds statements and buffers to m->k (stage.c).
void fst_cu_stage(fst_cu_kernel *m);

// Each adds launches for the statement and says true, or does nothing.
bool fst_cu_transpose(fst_cu_kernel *m, const fst_kstmt *stmt);   // transpose.c
bool fst_cu_pointwise(fst_cu_kernel *m, const fst_kstmt *stmt);   // pointwise.c
bool fst_cu_gemm(fst_cu_kernel *m, const fst_kstmt *stmt);        // gemm.c
bool fst_cu_rows(fst_cu_kernel *m, const fst_kstmt *stmt);        // rows.c
bool fst_cu_scan(fst_cu_kernel *m, const fst_kstmt *stmt);        // scan.c
// These have one schedule each.
void fst_cu_sort(fst_cu_kernel *m, const fst_kstmt *stmt);        // sort.c
void fst_cu_compact(fst_cu_kernel *m, const fst_kstmt *stmt);     // compact.c

// ---- space.c ----
// Variables that one number counts through, the last one fastest; a merged one stands at 0 and the next covers its extent.
typedef struct fst_cu_space {
  uint32_t count;
  uint32_t vars[FST_KERNEL_MAX_DIMS];
  fst_kx extents[FST_KERNEL_MAX_DIMS];
  bool merged[FST_KERNEL_MAX_DIMS];
  const char *sizes[FST_KERNEL_MAX_DIMS], *total;   // C variables, once declared
  bool is_small;                                    // fewer than 2^31 points, by their constant number
} fst_cu_space;
typedef FST_VEC(fst_kx) fst_cu_list;
fst_cu_space fst_cu_space_of(const uint32_t *vars, const fst_kx *extents, uint32_t count);
bool fst_cu_space_is_flat(const fst_cu_space *s);              // one variable is left
void fst_cu_space_declare(fst_cu *c, fst_cu_space *s);         // prints the sizes
void fst_cu_space_bind(fst_cu *c, const fst_cu_space *s, const char *at);
void fst_cu_space_unbind(fst_cu *c, const fst_cu_space *s);
// Whether an access moves by one element with the last variable of the last space and starts at a multiple of `vector`
// elements; conditions that only the run shows are added to `multiples`.
struct fst_cu_access;
bool fst_cu_is_wide(fst_kernel *k, const fst_cu_space *const *spaces, uint32_t space_count, const struct fst_cu_access *a, uint32_t vector, fst_cu_list *multiples);
const char *fst_cu_vector_type(fst_cu *c, uint32_t buffer, uint32_t vector);
// The C condition under which vectors work: all multiples hold, and the marked buffers are aligned.
const char *fst_cu_wide_condition(fst_cu *c, const fst_cu_list *multiples, const bool *buffers, uint32_t vector);

// ---- access.c ----
// By how much the flat offset of an access grows with `var`; false when it is not the same everywhere.
bool fst_cu_coefficient(fst_kernel *k, uint32_t buffer, const fst_kx *indices, uint32_t var, fst_kx *out);
typedef struct fst_cu_access { uint32_t buffer; const fst_kx *indices; fst_kx load; bool is_lazy; } fst_cu_access;  // no load: a store
typedef FST_VEC(fst_cu_access) fst_cu_accesses;
// Every LOAD below the roots once, also those inside reductions and inside indices. Lazy: only sides of SELECTs ask for it.
void fst_cu_loads(const fst_kernel *k, const fst_kx *roots, uint32_t count, fst_cu_accesses *out);
// merged[i]: variable i may stand at 0 while i + 1 counts through both, because memory is walked as one and nothing else
// depends on them.
void fst_cu_collapse(fst_kernel *k, const uint32_t *vars, const fst_kx *extents, uint32_t count, const fst_kx *roots, uint32_t root_count, const fst_kstore *stores, uint32_t store_count, bool *merged);
// How many leading variables of the statement, of at most `most`, form a box.
uint32_t fst_cu_box(const fst_kernel *k, const fst_kstmt *stmt, uint32_t most);
// Whether a value, a carry or an index of the statement reads a buffer that it stores to.
bool fst_cu_reads_its_stores(const fst_kernel *k, const fst_kstmt *stmt);
bool fst_cu_reduces(const fst_kernel *k, fst_kx x);   // is there a reduction below
uint32_t fst_cu_cost(const fst_kernel *k, fst_kx x);  // primitives and loads below, as a tree up to a limit

// ---- sizes: arithmetic in m->sizes ----
fst_kx fst_cu_ceil_div(fst_cu_kernel *m, fst_kx a, int64_t by);
// 1 where a <= limit, else 0.
fst_kx fst_cu_at_most(fst_cu_kernel *m, fst_kx a, int64_t limit);
// The product of the extents, none of them negative; none when the host cannot compute it.
fst_kx fst_cu_points(fst_cu_kernel *m, const fst_kx *extents, uint32_t count);

#endif
