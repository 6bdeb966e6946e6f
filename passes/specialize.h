// From `inlined` to `typed`: one method for one signature.
//
// Expects a frozen graph with no calls whose parameters carry the signature (`%x : f32[s0, 512]`). State
// slots are typed by `state_types`. Leaves a new graph in which every tensor has a dtype, rank, sizes and
// strides (numbers or expressions over symbols), and only dynamic values keep less. Everything that
// depends on known facts is gone: rank and size arithmetic, None checks, branches on them, tuples,
// lists and objects that never escape, loops with few known trips.
//
// How: it is a partial evaluator. It walks the old graph with an environment ("world") of what each value
// is bound to, and emits what remains. Where an If's condition is not known, each branch is walked in a
// world of its own, with the fact that the condition gives. If the two worlds then disagree on something
// that decides how code looks (a rank, a dtype, None or not, the length of a list, a flag that a later If
// tests), the nodes that follow are walked in both worlds until they agree again: so early returns turn
// back into branches, and a model with two modes gets straight code for each. Cost: a walk per path,
// bounded by a budget of emitted nodes, past which worlds are joined at once and stay dynamic.
#ifndef FST_PASSES_SPECIALIZE_H
#define FST_PASSES_SPECIALIZE_H

#include "passes/pass.h"

// The form of one state slot: its type, and the value of an int or bool that is the same in every call that
// finds the state so (id 0: not known).
typedef struct fst_slot_form {
  fst_type type;
  fst_const value;
} fst_slot_form;

// The forms of all slots when the method is entered, and those it may leave behind: one vector of `count` for
// every point where a call can end (a return, a raise, a failed check), each vector once. Sizes that are not
// constants are forgotten in them.
typedef struct fst_state_forms {
  uint32_t count;
  const fst_slot_form *entry;    // [count]; sizes in the source graph's table
  FST_VEC(fst_slot_form) left;   // vectors one after the other
} fst_state_forms;

// `state` may be NULL: slots then have the types their fst::state_get nodes show. `trial` says what ops give that have no
// inference of ours; NULL: nobody does.
fst_status fst_specialize(fst_graph *source, fst_state_forms *state, const fst_meta_trial *trial, fst_graph **out_graph);
// The same in place, with the types the graph's own state_get nodes show (for tests of the pass).
fst_status fst_pass_specialize(fst_pass_ctx *pc, fst_graph *graph);

#endif
