// Which attributes of the archive's objects are state, and in which slot each of them lives.
//
// An attribute is state when an exported method may change what a later call sees, or when it escapes:
// it is assigned by SetAttr, written in place through any alias, returned, or stored into another
// attribute, trained by a norm (running statistics), or it shares a storage with a tensor that is. Everything
// else is a constant. The layout
// depends on the module and the set of methods alone, so artifacts compiled later for the same methods
// number their slots alike.
#ifndef FST_PASSES_STATE_H
#define FST_PASSES_STATE_H

#include "ir/graph.h"

typedef struct fst_state_slot {
  uint32_t object;    // index into module->objects
  uint32_t attr;      // attribute number of its class
  fst_sym path;       // "encoder.cache", from the root
  fst_type declared;  // the archive's own type
  fst_const initial;  // saved value
} fst_state_slot;

typedef struct fst_state_layout {
  FST_VEC(fst_state_slot) slots;   // ordered by (object, attribute)
  fst_map index;                   // object << 32 | attribute -> slot
} fst_state_layout;

// `graphs`: every method that may be called on one instance, with all calls inlined. `trained`: storages that
// norms write.
fst_status fst_state_layout_init(fst_state_layout *layout, fst_graph *const *graphs, uint32_t count, const fst_map *trained);
void fst_state_layout_deinit(fst_state_layout *layout);

// Replaces GetAttr and SetAttr on the archive's objects: constants become literals, state becomes
// fst::state_get / fst::state_set. `self` parameters of the root object disappear. Stage: inlined.
fst_status fst_freeze(fst_graph *graph, const fst_state_layout *layout);

// Whether a norm trains is known only of a frozen and simplified graph. Adds the storages of literals that its norms
// write to `trained`; true if there are any. Then the layout is to be made anew, from graphs that are not frozen yet.
bool fst_state_trained(const fst_graph *frozen, fst_map *trained);

#endif
