// Where every tensor that a kernel makes lives: what passes/plan.c decides and code generation follows.
//
// A place belongs to a value that a group (or a fallback op) makes. Views have the place of what they view.
#ifndef FST_IR_MEMORY_PLAN_H
#define FST_IR_MEMORY_PLAN_H

#include "ir/graph.h"

typedef enum {
  FST_PLACE_NONE,     // a view, a parameter, an item of a container, a literal: memory of something else
  FST_PLACE_ARENA,    // at an offset of the call's arena: never outlives the call, may be reused within it
  FST_PLACE_SCRATCH,  // memory of its own until the call ends: its size is known too late for the arena
  FST_PLACE_HEAP,     // a counted storage: escapes to a result, container, state or fallback op
} fst_place_kind;

typedef struct fst_place {
  fst_place_kind kind;
  uint32_t slot;        // ARENA
} fst_place;

typedef struct fst_arena_slot {
  fst_dim bytes;        // 64-byte multiple when constant; an expression over symbols of the parameters else
  int64_t offset;       // of constant slots; the others follow the constant part in order
} fst_arena_slot;

typedef struct fst_plan {
  uint32_t value_count;
  fst_place *places;        // by value id
  uint32_t slot_count;
  fst_arena_slot *slots;
  int64_t fixed_bytes;      // the constant part
  int64_t lower_bound;      // most bytes of constant slots that are live at once
  // Tensors carried round a loop in the arena: values copied into the slot when the body yields.
  uint32_t *carried_slot;   // by value id of a loop body's parameter: slot + 1, 0: pointers are passed on
} fst_plan;

static inline const fst_plan *fst_graph_plan(const fst_graph *graph) { return graph->plan; }   // NULL before the pass

#endif
