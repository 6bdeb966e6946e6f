// Constant folding of single nodes, for the fold pass and the specializer.
#ifndef FST_PASSES_FOLD_H
#define FST_PASSES_FOLD_H

#include "ir/graph.h"

// The literal that a node with one result computes when all its operands are literals: ops on numbers, by
// their own kernel on the interpreter. False where an operand is not known, the op may raise for these
// operands, or it has no such form.
bool fst_fold_node(fst_graph *graph, fst_node_id node, fst_const *out);

#endif
