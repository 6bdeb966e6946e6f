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
  FST_PLACE_TURN,     // the buffer of the loop's carried tensor `param` in which its present value does not lie
} fst_place_kind;

typedef struct fst_place {
  fst_place_kind kind;
  uint32_t slot;        // ARENA
  fst_value_id param;   // TURN: parameter of a loop's body
} fst_place;

// How a tensor is carried round a loop.
typedef enum {
  FST_CARRIED_PASSED,       // pointers are passed on
  FST_CARRIED_MOVED,        // it owns an arena slot, into which the value is copied when a round ends
  FST_CARRIED_TURNS_ARENA,  // in two arena slots in turn: each round makes the next value where the present one is not
  FST_CARRIED_TURNS_HEAP,   // the same in two counted storages, made when they are first needed: it outlives the call
} fst_carried_kind;

typedef struct fst_carried {
  fst_carried_kind kind;
  uint32_t slot, other;     // MOVED, TURNS_ARENA
} fst_carried;

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
  fst_carried *carried;     // by value id of a loop body's parameter
} fst_plan;

static inline const fst_plan *fst_graph_plan(const fst_graph *graph) { return graph->plan; }   // NULL before the pass

#endif
