// Where a statement's expressions are evaluated: the loop tree that a kernel leaves unsaid.
//
// A statement is a nest of loops, and every REDUCE it needs is a nest of its own. An expression belongs to the
// innermost nest that binds a variable it depends on, so whatever a reduction does not change stands before it.
// Within its nest, `depth` says how many of the nest's variables, counted from the outermost, must be bound.
#ifndef FST_IR_KERNEL_PLACE_H
#define FST_IR_KERNEL_PLACE_H

#include "ir/kernel/kernel.h"

typedef struct fst_place_item {
  fst_kx expr;
  uint32_t depth;   // of its nest's loops; 0: before all of them
  uint32_t nest;    // of a REDUCE: number of its own nest; otherwise 0
  bool is_lazy;     // asked for only by sides of SELECTs: a load here may be out of bounds where it is not chosen
} fst_place_item;

typedef struct fst_place_nest {
  fst_kx reduce;            // none for the statement's own nest
  uint32_t parent;
  uint32_t var_count;
  const uint32_t *vars;     // outermost first; a SCAN's carries are bound with its last variable
  const fst_kx *extents;
  FST_VEC(fst_place_item) items;   // operands before what uses them
} fst_place_nest;

typedef struct fst_placement {
  FST_VEC(fst_place_nest) nests;   // [0] is the statement's; a nest stands behind its parent
} fst_placement;

// Constants, parameters and variables are not listed. Cost: linear in what the statement reaches, per nest.
void fst_kernel_place(const fst_kernel *k, const fst_kstmt *stmt, fst_placement *out);
void fst_place_deinit(fst_placement *place);

#endif
