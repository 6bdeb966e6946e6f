// What a rule of the canonicaliser (passes/canonicalize.c) sees, and how it answers.
#ifndef FST_PASSES_RULES_RULES_H
#define FST_PASSES_RULES_RULES_H

#include "passes/alias.h"

typedef struct fst_rewrite {
  fst_graph *g;
  fst_node_id id;
  const fst_node *node;
  fst_arena *arena;
  const fst_alias *alias;     // NULL before `typed`
  bool outside_is_written;    // something writes memory that was there before the call, or an op without a row may
} fst_rewrite;

// Looks at one node. True when the rule applies: out[r] then says what takes the place of result r; those it leaves
// alone are the results themselves, and a node that stays was changed in place. Nodes it needs, it makes before
// the node by fst_rewrite_make. False leaves nothing changed that matters: what was made goes again.
typedef bool (*fst_rule_fn)(fst_rewrite *rw, fst_value_id *out);

// A node before the one at hand. Tensors are typed by inference, which must know everything about them; other results
// have the type (and the expression) of the node's own. None when that cannot be.
fst_value_id fst_rewrite_make(fst_rewrite *rw, fst_op op, const fst_value_id *operands, uint32_t count);
// The node that defines a value, if it is of this op; else NULL.
const fst_node *fst_rewrite_def(const fst_rewrite *rw, fst_value_id value, fst_op op);
// May the tensor `value` stand where the node's own fresh result is? Nothing may write either, nobody outside may
// see the result, and what is outside must not change under it.
bool fst_rewrite_may_share(const fst_rewrite *rw, fst_value_id value);
// Does memory that `value` is in stay as it is for the whole call?
bool fst_rewrite_is_still(const fst_rewrite *rw, fst_value_id value);

#define ANY_OP FST_OP_COUNT
#define RULE(name, fn, from, doc, ...) bool fn(fst_rewrite *rw, fst_value_id *out);
#include "passes/rules/rules.def"
#undef RULE

#endif
