// Constant folding of single nodes, for the canonicaliser and the specializer.
#ifndef FST_PASSES_FOLD_H
#define FST_PASSES_FOLD_H

#include "ir/graph.h"

// The literal that a node with one result computes when all its operands are literals: ops on numbers, by
// their own kernel on the interpreter, and comparisons of strings, enums and devices. False where an operand is not
// known, the op may raise for these operands, or it has no such form.
bool fst_fold_node(fst_graph *graph, fst_node_id node, fst_const *out);
// The same for a node whose operands are literals with tensors among them: a new tensor of the module. Only small
// ones, and only what the interpreter computes in no time.
bool fst_fold_tensor(fst_graph *graph, fst_node_id node, fst_arena *arena, fst_const *out);
// Are two literals equal to Python's ==? 1, 0, or -1: not known.
int fst_literals_equal(const fst_graph *graph, fst_value_id a, fst_value_id b);
// May an op on numbers raise, as far as literal operands tell?
bool fst_fold_refuses(const fst_graph *graph, fst_node_id node);

#endif
