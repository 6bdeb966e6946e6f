// What PyTorch refuses: conditions that inference leaves to the call, and calls that always raise.
#include <string.h>

#include "passes/specialize_internal.h"

void emit_guards(specializer *sp, world *w, const fst_infer *in, fst_node_id node) {
  if (in->guards.len) note_exit(sp, w);
  for (size_t i = 0; i < in->guards.len; i++) {
    const fst_infer_guard *guard = &in->guards.data[i];
    fst_guard_place(sp->out, node, guard);
    sp->emitted++;
    if (!guard->at_most) learn_equal(sp, w, guard->a, guard->b);   // a fact after it
  }
}

void emit_raise(specializer *sp, world *w, fst_node_id node, const char *text) {
  const char *cls = "builtins.RuntimeError";
  fst_value_id operands[2] = {fst_message_value(sp->out, node, text), fst_graph_const(sp->out, fst_const_str(sp->out->module, cls, strlen(cls)))};
  note_exit(sp, w);
  emit_node(sp, w, FST_OP_RAISE, operands, 2, 0, fst_node_get(sp->out, node)->loc);
  fst_node_erase(sp->out, node);
  w->dead = true;
}
