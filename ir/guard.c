// Checks and texts of inference as nodes of the graph: see fst_infer_guard.
#include "ir/infer.h"

// The int that stands for a size before `at`: one that was made just before for the same, or a new one.
static fst_value_id size_before(fst_graph *g, fst_node_id at, fst_dim size) {
  for (fst_node_id id = fst_node_get(g, at)->prev; id.id && !fst_dim_is_const(g->dims, size, NULL); id = fst_node_get(g, id)->prev) {
    const fst_node *n = fst_node_get(g, id);
    if (n->op == FST_OP_DIM && fst_value_get(g, n->results[0])->sym == size) return n->results[0];
    if (n->op != FST_OP_DIM && n->op != FST_OP_GUARD_EQUAL && n->op != FST_OP_GUARD_AT_MOST) break;
  }
  return fst_graph_dim_before(g, at, size);
}

// Splits a text into one with `{}` for each size in it, and the sizes. How many they are.
static uint32_t message_open(fst_graph *g, fst_node_id at, const char *message, fst_text *out_text, fst_value_id *out_numbers) {
  uint32_t count = 0;
  while (*message) {
    const char *end = message + 1;
    fst_dim size = FST_DIM_UNKNOWN;
    if (*message == '{' && count < FST_GUARD_NUMBERS) fst_error_free(fst_dim_parse(g->dims, &end, &size));
    if (fst_dim_is_known(size) && *end == '}') {
      fst_text_puts(out_text, "{}");
      out_numbers[count++] = size_before(g, at, size);
      message = end + 1;
    } else {
      fst_text_putc(out_text, *message++);
    }
  }
  return count;
}

void fst_guard_place(fst_graph *g, fst_node_id before, const fst_infer_guard *guard) {
  fst_text text = {0};
  fst_value_id operands[2 + FST_GUARD_NUMBERS] = {size_before(g, before, guard->a), size_before(g, before, guard->b)};
  uint32_t count = 2 + message_open(g, before, guard->message, &text, operands + 2);
  fst_node_id node = fst_node_create(g, guard->at_most ? FST_OP_GUARD_AT_MOST : FST_OP_GUARD_EQUAL, operands, count, 0, fst_node_get(g, before)->loc);
  fst_node_get(g, node)->name = fst_intern(&g->module->strings, fst_text_cstr(&text));
  fst_text_deinit(&text);
  fst_node_insert_before(g, before, node);
}

fst_value_id fst_message_value(fst_graph *g, fst_node_id before, const char *message) {
  fst_text text = {0};
  fst_value_id operands[1 + FST_GUARD_NUMBERS];
  uint32_t count = message_open(g, before, message, &text, operands + 1);
  operands[0] = fst_graph_const(g, fst_const_str(g->module, fst_text_cstr(&text), text.len));
  fst_text_deinit(&text);
  if (!count) return operands[0];
  fst_node_id node = fst_node_create(g, FST_OP_FORMAT, operands, 1 + count, 1, fst_node_get(g, before)->loc);
  fst_value_id value = fst_node_result(fst_node_get(g, node), 0);
  fst_value_set_type(g, value, fst_type_simple(g->module->types, FST_TY_STR));
  fst_node_insert_before(g, before, node);
  return value;
}
