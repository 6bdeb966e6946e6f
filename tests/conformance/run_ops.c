// Runs one typed function node by node through inference, lowering and the kernel interpreter, for comparison
// with PyTorch. Driven by harness.py through ctypes; results are descriptors with data.
//
// Every node is its own kernel here, so each row's lowering is tested alone. Views are checked twice: as a
// descriptor (offset and strides over the operand's memory) and as a lowering, which must agree.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "ir/compose.h"
#include "ir/infer.h"
#include "ir/lower.h"

#define EXPORT __attribute__((visibility("default")))

typedef struct cell {
  char *data;    // element 0
  void *owned;   // to free, when this cell made the memory
} cell;

enum { CONF_SYMBOLS = 256 };

typedef struct session {
  fst_module *module;
  fst_graph *graph;
  fst_arena scratch;
  FST_VEC(cell) cells;   // by value id
  fst_text text;         // of the last question
  fst_text error;
  bool is_unsupported;   // the error is a missing form of ours, not a wrong or raised one
  int64_t symbols[CONF_SYMBOLS];   // values of s0, s1, ... in this run
  uint32_t symbol_count;
} session;

static bool fail(session *s, const char *what, const char *why) {
  fst_text_printf(&s->error, "%s: %s", what, why ? why : "");
  return false;
}

static bool unsupported(session *s, const char *what, const char *why) {
  s->is_unsupported = true;
  return fail(s, what, why);
}

EXPORT session *conf_open(const char *text, size_t len) {
  session *s = calloc(1, sizeof *s);
  fst_arena_init(&s->scratch);
  fst_status status = fst_module_parse(text, len, "case", &s->module);
  if (status) {
    fail(s, "parse", status->message);
    fst_error_free(status);
    return s;
  }
  if (s->module->functions.len) s->graph = fst_vec_last(&s->module->functions);
  return s;
}

EXPORT void conf_close(session *s) {
  for (size_t i = 0; i < s->cells.len; i++) free(s->cells.data[i].owned);
  fst_vec_free(&s->cells);
  fst_text_deinit(&s->text);
  fst_text_deinit(&s->error);
  fst_arena_deinit(&s->scratch);
  fst_module_destroy(s->module);
  free(s);
}

EXPORT const char *conf_error(session *s) { return fst_text_cstr(&s->error); }
EXPORT int conf_is_unsupported(session *s) { return s->is_unsupported; }

static cell *cell_of(session *s, fst_value_id value) {
  while (s->cells.len <= value.id) fst_vec_push(&s->cells, (cell){0});
  return &s->cells.data[value.id];
}

// The value of a size in this run; -1 when it has none.
static int64_t known(const session *s, fst_dim d) {
  int64_t value;
  if (fst_dim_is_const(s->graph->dims, d, &value)) return value;
  if (!fst_dim_is_known(d) || !s->symbol_count) return -1;
  return fst_dim_evaluate(s->graph->dims, d, s->symbols, s->symbol_count, &value) ? value : -1;
}

// What the symbols of the parameters' types stand for.
EXPORT void conf_symbols(session *s, const int64_t *values, int count) {
  for (int i = 0; i < count && i < CONF_SYMBOLS; i++) s->symbols[i] = values[i];
  s->symbol_count = (uint32_t)(count < CONF_SYMBOLS ? count : CONF_SYMBOLS);
}

// Memory for a tensor of this type, filled with a pattern so that elements that no store reaches show.
static bool cell_make(session *s, fst_value_id value, cell *out) {
  const fst_type_data *t = fst_value_type_data(s->graph, value);
  if (t->kind != FST_TY_TENSOR || t->rank < 0 || t->dtype == FST_DTYPE_UNKNOWN) return unsupported(s, "result", "type is not known");
  int64_t elements = 1;
  for (int i = 0; i < t->rank; i++) {
    int64_t size = known(s, t->dims[i]), stride = t->has_strides ? known(s, t->strides[i]) : -1;
    if (size < 0 || stride < 0) return unsupported(s, "result", "sizes or strides are not numbers");
    elements += size ? (size - 1) * stride : 0;
  }
  size_t bytes = (size_t)elements * fst_dtype_size(t->dtype) + 64;
  out->owned = out->data = malloc(bytes);
  memset(out->data, 0xa5, bytes);
  return true;
}

// ---- elements --------------------------------------------------------------------------------------

static uint64_t element_read(const char *at, fst_dtype dtype) {
  uint64_t bits = 0;
  size_t size = fst_dtype_size(dtype);
  memcpy(&bits, at, size);
  bool is_negative = fst_dtype_kind_of(dtype) == FST_KIND_INT && size < 8 && (bits >> (8 * size - 1) & 1);
  return is_negative ? bits | ~(uint64_t)0 << (8 * size) : bits;
}

static void element_write(char *at, fst_dtype dtype, uint64_t bits) { memcpy(at, &bits, fst_dtype_size(dtype)); }

// Position of row-major element `n` in elements from the first.
static int64_t element_offset(const session *s, const fst_type_data *t, int64_t n) {
  int64_t offset = 0;
  for (int i = t->rank - 1; i >= 0; i--) {
    int64_t size = known(s, t->dims[i]);
    offset += n % size * known(s, t->strides[i]);
    n /= size;
  }
  return offset;
}

static int64_t numel(const session *s, const fst_type_data *t) {
  int64_t n = 1;
  for (int i = 0; i < t->rank; i++) n *= known(s, t->dims[i]);
  return n;
}

// `from` broadcast to `to`'s sizes, converted to its dtype: what an in-place op stores.
static void copy_into(session *s, const fst_type_data *to, char *to_data, const fst_type_data *from, const char *from_data) {
  size_t to_size = fst_dtype_size(to->dtype), from_size = fst_dtype_size(from->dtype);
  int64_t n = numel(s, to);
  for (int64_t i = 0; i < n; i++) {
    uint64_t bits = element_read(from_data + (int64_t)from_size * element_offset(s, from, i), from->dtype);
    element_write(to_data + (int64_t)to_size * element_offset(s, to, i), to->dtype, fst_convert_eval(from->dtype, to->dtype, bits));
  }
}

// ---- running one node ------------------------------------------------------------------------------

static bool arg_bits(session *s, const fst_kernel_arg *arg, fst_dtype dtype, uint64_t *out) {
  const fst_const_data *c = arg->value.id ? fst_value_const(s->graph, arg->value) : NULL;
  if (!arg->value.id) {
    *out = (uint64_t)known(s, arg->dim);
    return true;
  }
  fst_dim sym = fst_value_get(s->graph, arg->value)->sym;
  if (!c && fst_dim_is_known(sym)) {
    *out = fst_convert_eval(FST_I64, dtype, (uint64_t)known(s, sym));
    return true;
  }
  if (!c) return unsupported(s, "parameter", "a number that is not known");
  if (c->kind == FST_CONST_INT) *out = fst_convert_eval(FST_I64, dtype, (uint64_t)c->i);
  else if (c->kind == FST_CONST_BOOL) *out = fst_convert_eval(FST_BOOL, dtype, c->b);
  else if (c->kind == FST_CONST_FLOAT) {
    uint64_t bits;
    memcpy(&bits, &c->f, sizeof bits);
    *out = fst_convert_eval(FST_F64, dtype, bits);
  } else return unsupported(s, "parameter", "not a number");
  return true;
}

// Did the kernel's run-time checks find nothing to raise?
static bool checks_passed(session *s, const fst_lowered *lowered, void **data) {
  for (size_t i = 0; i < lowered->buffers.len; i++)
    if (lowered->buffers.data[i].check_text && *(const int64_t *)data[i]) return fail(s, "raises", lowered->buffers.data[i].check_text);
  return true;
}

static bool kernel_run(session *s, fst_lowered *lowered) {
  size_t buffers = lowered->buffers.len, params = lowered->params.len;
  void **data = FST_NEW_ARRAY(&s->scratch, void *, buffers + 1);
  uint64_t *bits = FST_NEW_ARRAY(&s->scratch, uint64_t, params + 1);
  for (size_t i = 0; i < buffers; i++) {
    if (lowered->buffers.data[i].check_text) {
      data[i] = FST_NEW_ARRAY(&s->scratch, int64_t, 3);
      continue;
    }
    data[i] = cell_of(s, lowered->buffers.data[i].value)->data;
    if (!data[i]) return fail(s, "kernel", "an operand has no memory");
  }
  for (size_t i = 0; i < params; i++)
    if (!arg_bits(s, &lowered->params.data[i], lowered->kernel->params.data[i], &bits[i])) return false;
  fst_status status = fst_kernel_verify(lowered->kernel);
  if (!status) status = fst_kernel_run(lowered->kernel, &(fst_kargs){.buffers = data, .params = bits});
  if (!status) return checks_passed(s, lowered, data);
  fail(s, "kernel", status->message);
  fst_error_free(status);
  return false;
}

// Lowers the node alone and runs it into fresh memory for each tensor result.
static bool node_compute(session *s, fst_node_id node) {
  const fst_node *n = fst_node_get(s->graph, node);
  fst_lowered lowered = {0};
  for (uint32_t r = 0; r < n->result_count; r++) {
    cell *c = cell_of(s, n->results[r]);
    free(c->owned);
    if (!cell_make(s, n->results[r], c)) return false;
  }
  fst_status status = fst_lower_group(s->graph, &node, 1, n->results, n->result_count, &lowered);
  if (status) {
    unsupported(s, "lower", status->message);
    fst_error_free(status);
    return false;
  }
  bool ok = kernel_run(s, &lowered);
  fst_lowered_deinit(&lowered);
  return ok;
}

static bool view_agrees(session *s, const fst_type_data *t, const char *view, const char *computed) {
  size_t size = fst_dtype_size(t->dtype);
  int64_t n = numel(s, t);
  for (int64_t i = 0; i < n; i++) {
    int64_t offset = element_offset(s, t, i) * (int64_t)size;
    if (memcmp(view + offset, computed + offset, size) != 0) return false;
  }
  return true;
}

static bool node_view(session *s, fst_node_id node) {
  const fst_node *n = fst_node_get(s->graph, node);
  const fst_type_data *self = fst_value_type_data(s->graph, n->operands[0]);
  fst_dim offset;
  if (!fst_view_offset(s->graph, node, &offset)) return fail(s, "view", "offset is not known");
  char *base = cell_of(s, n->operands[0])->data;
  if (!base) return fail(s, "view", "operand has no memory");
  char *view = base + known(s, offset) * (int64_t)fst_dtype_size(self->dtype);
  cell *made = cell_of(s, n->results[0]);
  if (fst_op_has_lowering(n->op)) {
    if (!node_compute(s, node)) return false;
    made = cell_of(s, n->results[0]);
    if (!view_agrees(s, fst_value_type_data(s->graph, n->results[0]), view, made->data)) return fail(s, fst_op_name(n->op), "view and lowering disagree");
    free(made->owned);
  }
  *made = (cell){.data = view};
  return true;
}

static bool replace_by_const(session *s, fst_value_id value, fst_const c) {
  fst_value_replace(s->graph, value, fst_graph_const(s->graph, c));
  return true;
}

// item, Int, Float, Bool: the element becomes a constant for the nodes that follow.
static bool node_read(session *s, fst_node_id node) {
  const fst_node *n = fst_node_get(s->graph, node);
  const fst_type_data *self = fst_value_type_data(s->graph, n->operands[0]);
  char *data = cell_of(s, n->operands[0])->data;
  if (n->operand_count != 1 || self->kind != FST_TY_TENSOR || !data) return unsupported(s, fst_op_name(n->op), "reads more than one element");
  uint64_t bits = element_read(data, self->dtype), number;
  double real;
  switch (fst_value_type_data(s->graph, n->results[0])->kind) {
    case FST_TY_BOOL: return replace_by_const(s, n->results[0], fst_const_bool(s->module, fst_convert_eval(self->dtype, FST_BOOL, bits) != 0));
    case FST_TY_INT: return replace_by_const(s, n->results[0], fst_const_int(s->module, (int64_t)fst_convert_eval(self->dtype, FST_I64, bits)));
    case FST_TY_FLOAT:
      number = fst_convert_eval(self->dtype, FST_F64, bits);
      memcpy(&real, &number, sizeof real);
      return replace_by_const(s, n->results[0], fst_const_float(s->module, real));
    default: return unsupported(s, fst_op_name(n->op), "result is not a number");
  }
}

static bool node_infer(session *s, fst_node_id node, fst_infer *in) {
  const fst_node *n = fst_node_get(s->graph, node);
  int result = fst_infer_node(s->graph, node, &s->scratch, in);
  if (result == FST_INFER_UNKNOWN) return unsupported(s, fst_op_name(n->op), in->message);
  if (result == FST_INFER_RAISES) return fail(s, "raises", in->message);
  for (size_t i = 0; i < in->guards.len; i++) {
    const fst_infer_guard *guard = &in->guards.data[i];
    int64_t a = known(s, guard->a), b = known(s, guard->b);
    if (guard->at_most ? a > b : a != b) return fail(s, "raises", guard->message);
  }
  return true;
}

// Results that inference knows become constants.
static bool node_fold(session *s, fst_node_id node, const fst_infer *in) {
  const fst_node *n = fst_node_get(s->graph, node);
  bool all = n->result_count > 0;
  for (uint32_t r = 0; r < n->result_count; r++) {
    int64_t number;
    if (in->result_consts && in->result_consts[r].id) replace_by_const(s, n->results[r], in->result_consts[r]);
    else if (in->result_syms && fst_dim_is_const(s->graph->dims, in->result_syms[r], &number)) replace_by_const(s, n->results[r], fst_const_int(s->module, number));
    else {
      all = all && in->result_syms && fst_dim_is_known(in->result_syms[r]);
      if (in->result_syms) fst_value_get(s->graph, n->results[r])->sym = in->result_syms[r];
    }
  }
  return all;
}

static bool node_run(session *s, fst_node_id node);

// add_ and its like: the functional form, then a converting copy into self's memory.
static bool node_inplace(session *s, fst_node_id node) {
  const fst_node *n = fst_node_get(s->graph, node);
  const char *functional = fst_op_get(n->op)->inplace_of;
  fst_node_id made = fst_node_create(s->graph, fst_op_find(functional, strlen(functional)), n->operands, n->operand_count, 1, n->loc);
  fst_value_id result = fst_node_result(fst_node_get(s->graph, made), 0);
  fst_value_set_type(s->graph, result, fst_type_tensor_any(s->module->types));
  fst_node_insert_before(s->graph, node, made);
  if (!node_run(s, made)) return false;
  result = fst_node_result(fst_node_get(s->graph, made), 0);
  fst_value_id self = fst_node_operand(n, 0), own = fst_node_result(n, 0);
  copy_into(s, fst_value_type_data(s->graph, self), cell_of(s, self)->data, fst_value_type_data(s->graph, result), cell_of(s, result)->data);
  char *data = cell_of(s, self)->data;
  *cell_of(s, own) = (cell){.data = data};
  return true;
}

static bool node_unpack(session *s, fst_node_id node) {
  const fst_node *n = fst_node_get(s->graph, node);
  fst_node_id def = fst_value_def(s->graph, n->operands[0]);
  const fst_const_data *c = fst_value_const(s->graph, n->operands[0]);
  const fst_node *list = def.id ? fst_node_get(s->graph, def) : NULL;
  if (c && c->kind == FST_CONST_TUPLE && c->count == n->result_count) {
    for (uint32_t i = 0; i < n->result_count; i++) replace_by_const(s, n->results[i], c->items[i]);
    return true;
  }
  if (!list || list->operand_count != n->result_count) return unsupported(s, "prim::ListUnpack", "the list is not known");
  for (uint32_t i = 0; i < n->result_count; i++) fst_value_replace(s->graph, n->results[i], list->operands[i]);
  return true;
}

// A composed op: its parts go before it and run in turn; the node's results are theirs. A row that has a lowering as
// well composes some forms only: false with *out_stays then.
static bool node_composed(session *s, fst_node_id node, bool *out_stays) {
  const fst_node *n = fst_node_get(s->graph, node);
  fst_value_id *results = FST_NEW_ARRAY(&s->scratch, fst_value_id, n->result_count + 1);
  fst_infer in = {.graph = s->graph, .node = node, .dims = s->graph->dims, .types = s->module->types, .arena = &s->scratch};
  fst_node_id before = n->prev;
  *out_stays = false;
  int built = fst_compose_build(&in, results);
  fst_vec_free(&in.guards);
  if (built == FST_INFER_RAISES) return fail(s, "raises", in.message);
  *out_stays = built != FST_INFER_OK && fst_op_has_lowering(n->op);
  if (*out_stays) return false;
  if (built != FST_INFER_OK) return unsupported(s, fst_op_name(n->op), in.message);
  fst_node_id part = before.id ? fst_node_get(s->graph, before)->next : fst_block_get(s->graph, n->block)->first;
  while (part.id != node.id) {
    fst_node_id next = fst_node_get(s->graph, part)->next;
    if (!node_run(s, part)) return false;
    part = next;
  }
  for (uint32_t i = 0; i < n->result_count; i++) {
    char *data = cell_of(s, results[i])->data;
    cell_of(s, n->results[i])->data = data;  // an in-place form reads it there
    fst_value_set_type(s->graph, n->results[i], fst_value_type(s->graph, results[i]));
    fst_value_replace(s->graph, n->results[i], results[i]);
  }
  return true;
}

// A list of views: single ones before the node, which then run, in a list that replaces it.
static bool node_expand(session *s, fst_node_id node) {
  enum { MOST = 1 << 16 };
  const fst_value_id *items;
  fst_node_id before = fst_node_get(s->graph, node)->prev;
  int count = fst_list_build(s->graph, node, MOST, &s->scratch, &items);
  if (count < 0) return unsupported(s, "list of views", "length is not known");
  const fst_node *n = fst_node_get(s->graph, node);
  fst_node_id part = before.id ? fst_node_get(s->graph, before)->next : fst_block_get(s->graph, n->block)->first;
  while (part.id != node.id) {
    fst_node_id next = fst_node_get(s->graph, part)->next;
    if (!node_run(s, part)) return false;
    part = next;
  }
  fst_node_id list = fst_node_create(s->graph, FST_OP_LIST_CONSTRUCT, items, (uint32_t)count, 1, n->loc);
  fst_node_insert_before(s->graph, node, list);
  fst_value_id made = fst_node_result(fst_node_get(s->graph, list), 0);
  fst_value_set_type(s->graph, made, fst_value_type(s->graph, n->results[0]));
  fst_value_replace(s->graph, n->results[0], made);
  fst_node_erase(s->graph, node);
  return true;
}

static bool node_with_infer(session *s, fst_node_id node, const fst_op_info *info) {
  fst_infer in = {0};
  bool ok = node_infer(s, node, &in);
  bool folded = ok && node_fold(s, node, &in);
  fst_vec_free(&in.guards);
  if (!ok || folded) return ok;
  const fst_node *n = fst_node_get(s->graph, node);
  if (info->inplace_of) return node_inplace(s, node);
  if (n->result_count == 1 && fst_value_type_data(s->graph, n->results[0])->kind == FST_TY_LIST) return node_expand(s, node);
  if (info->compose) {
    bool stays, done = node_composed(s, node, &stays);
    if (done || !stays) return done;
  }
  if (info->cls == FST_CLASS_QUERY) return node_read(s, node);
  if (fst_infer_is_view(s->graph, node)) return node_view(s, node);
  return node_compute(s, node);
}

static bool node_run(session *s, fst_node_id node) {
  const fst_node *n = fst_node_get(s->graph, node);
  if (n->op == FST_OP_UNKNOWN) return unsupported(s, fst_sym_text(&s->module->strings, n->name), "no row");
  const fst_op_info *info = fst_op_get(n->op);
  if (n->op == FST_OP_RETURN || n->op == FST_OP_LIST_CONSTRUCT || n->op == FST_OP_DIM) return true;
  if (n->op == FST_OP_LIST_UNPACK) return node_unpack(s, node);
  if (info->infer) return node_with_infer(s, node, info);
  return unsupported(s, fst_op_name(n->op), "no inference");
}

// `inputs`: element 0 of each tensor parameter, in order. True when all ran.
EXPORT int conf_run(session *s, void **inputs) {
  if (!s->graph) return 0;
  fst_block *entry = fst_block_get(s->graph, s->graph->entry);
  for (size_t i = 0, next = 0; i < entry->params.len; i++) {
    fst_value_id param = entry->params.data[i];
    if (fst_value_type_data(s->graph, param)->kind == FST_TY_TENSOR) cell_of(s, param)->data = inputs[next++];
  }
  fst_node_id node = entry->first;
  while (node.id) {
    fst_node_id next = fst_node_get(s->graph, node)->next;
    if (!node_run(s, node)) return 0;
    node = next;
  }
  return 1;
}

static const fst_node *return_node(session *s) { return fst_node_get(s->graph, fst_block_terminator(s->graph, s->graph->entry)); }

EXPORT int conf_result_count(session *s) { return (int)return_node(s)->operand_count; }

// `f32[2, 3]` with the sizes of this run.
static void result_type_text(session *s, const fst_type_data *t) {
  if (t->kind != FST_TY_TENSOR) return;
  fst_text_printf(&s->text, "%s[", fst_dtype_name(t->dtype));
  for (int i = 0; i < t->rank; i++) fst_text_printf(&s->text, i ? ", %lld" : "%lld", (long long)known(s, t->dims[i]));
  fst_text_puts(&s->text, "]");
}

// Type text of result `r`, or the text of a number.
EXPORT const char *conf_result_text(session *s, int r) {
  fst_value_id value = return_node(s)->operands[r];
  const fst_const_data *c = fst_value_const(s->graph, value);
  s->text.len = 0;
  if (c && c->kind == FST_CONST_INT) fst_text_printf(&s->text, "= %lld", (long long)c->i);
  else if (c && c->kind == FST_CONST_BOOL) fst_text_printf(&s->text, "= %s", c->b ? "True" : "False");
  else if (c && c->kind == FST_CONST_FLOAT) fst_text_printf(&s->text, "= %.17g", c->f);
  else if (fst_dim_is_known(fst_value_get(s->graph, value)->sym)) fst_text_printf(&s->text, "= %lld", (long long)known(s, fst_value_get(s->graph, value)->sym));
  else result_type_text(s, fst_value_type_data(s->graph, value));
  return fst_text_cstr(&s->text);
}

EXPORT void *conf_result_data(session *s, int r) { return cell_of(s, return_node(s)->operands[r])->data; }

// Strides as text, printed whether or not they are the usual ones.
EXPORT const char *conf_result_strides(session *s, int r) {
  const fst_type_data *t = fst_value_type_data(s->graph, return_node(s)->operands[r]);
  s->text.len = 0;
  fst_text_puts(&s->text, "");
  for (int i = 0; t->kind == FST_TY_TENSOR && t->has_strides && i < t->rank; i++) fst_text_printf(&s->text, "%lld ", (long long)known(s, t->strides[i]));
  return fst_text_cstr(&s->text);
}

// The names of all rows, one a line, with what each has: `i`nference, `l`owering, in`p`lace, `c`omposition.
EXPORT const char *conf_rows(session *s) {
  s->text.len = 0;
  for (int op = 1; op < FST_OP_COUNT; op++) {
    const fst_op_info *info = fst_op_get((fst_op)op);
    fst_text_printf(&s->text, "%s %s%s%s%s\n", fst_op_name((fst_op)op), info->infer ? "i" : "-", fst_op_has_lowering((fst_op)op) ? "l" : "-",
                    info->inplace_of ? "p" : "-", info->compose ? "c" : "-");
  }
  return fst_text_cstr(&s->text);
}
