// Ops that have no inference of ours: what libtorch gives for such arguments, so that the ops after them stay native.
//
// The op is tried with every symbol a number, several times with other numbers, and only what all trials agree on is
// believed: dtype and rank, and sizes that are the same number or the same size of an argument each time. Numbers that are
// all equal, or all 1, may be what it takes for the op not to raise, or show that the rank depends on them. The code that
// is generated checks at run time that it is so.
#include <string.h>

#include "ir/lower.h"
#include "passes/specialize_internal.h"

enum { TRIALS = 5, MOST_KNOWN = 128 };

// The number that stands for the symbol that is `at`-th of `count`. In the first trials all symbols differ, growing in one and
// falling in the other: sizes that agree there are the same size.
static int64_t number_of(int trial, uint32_t at, uint32_t count) {
  switch (trial) {
    case 0: return 16 * (1 + (int64_t)at);
    case 1: return 48 * (2 + (int64_t)(count - at));
    case 2: return 24;
    case 3: return 1;
    default: return 4096 + 64 * (int64_t)at;
  }
}

typedef struct {
  specializer *sp;
  int64_t *numbers;         // by symbol, in this trial
  uint32_t symbols;
  FST_VEC(uint32_t) used;   // symbols, in the order they are met
  FST_VEC(fst_dim) sizes;   // of the arguments
  bool tensor;              // there is one
  bool row_major, exact;    // all are; strides are as they will be
} attempt;

static void use_symbols(attempt *t, fst_dim d) {
  fst_dim_view v = fst_dim_open(t->sp->out->dims, d);
  for (uint32_t i = 0; i < v.count; i++) use_symbols(t, v.operands[i]);
  if (v.kind != FST_DIM_SYMBOL || t->numbers[v.symbol] >= 0) return;
  t->numbers[v.symbol] = 0;
  fst_vec_push(&t->used, v.symbol);
}

static void set_numbers(attempt *t, int trial) {
  for (size_t i = 0; i < t->used.len; i++) t->numbers[t->used.data[i]] = number_of(trial, (uint32_t)i, (uint32_t)t->used.len);
}

static bool number_at(attempt *t, fst_dim d, int64_t *out) {
  if (!fst_dim_is_known(d)) return false;
  use_symbols(t, d);
  return fst_dim_evaluate(t->sp->out->dims, d, t->numbers, t->symbols, out);
}

// Made of sizes alone? Other numbers may mean anything.
static bool is_of_sizes(const fst_dims *dims, fst_dim d) {
  fst_dim_view v = fst_dim_open(dims, d);
  if (v.kind == FST_DIM_SYMBOL) return !v.is_signed;
  for (uint32_t i = 0; i < v.count; i++)
    if (!is_of_sizes(dims, v.operands[i])) return false;
  return true;
}

static bool tensor_val(attempt *t, fst_type id, fst_meta_val *out) {
  fst_graph *g = t->sp->out;
  const fst_type_data *type = fst_type_get(g->module->types, id);
  if (type->rank < 0 || type->dtype == FST_DTYPE_UNKNOWN) return false;
  *out = (fst_meta_val){.tag = FST_TAG_TENSOR, .count = (uint32_t)type->rank, .dtype = (int32_t)type->dtype};
  for (int i = 0; i < type->rank; i++) {
    if (!number_at(t, type->dims[i], &out->sizes[i]) || out->sizes[i] < 0) return false;
    if (t->sizes.len < MOST_KNOWN) fst_vec_push(&t->sizes, type->dims[i]);
  }
  int64_t stride = 1;
  for (int i = type->rank - 1; i >= 0; i--) {   // row-major, where nothing else is known
    out->strides[i] = stride;
    stride *= out->sizes[i] > 1 ? out->sizes[i] : 1;
    if (!type->has_strides || !fst_dim_is_const(g->dims, type->strides[i], &out->strides[i])) t->exact = false;
  }
  t->row_major = t->row_major && fst_type_is_contiguous(g->dims, g->module->types, id);
  t->tensor = true;
  return true;
}

static bool value_val(attempt *t, fst_value_id v, fst_meta_val *out);

static bool list_val(attempt *t, const fst_value_id *items, uint32_t count, fst_meta_val *out) {
  fst_meta_val *vals = FST_NEW_ARRAY(&t->sp->scratch, fst_meta_val, count + 1);
  for (uint32_t i = 0; i < count; i++)
    if (!value_val(t, items[i], &vals[i])) return false;
  *out = (fst_meta_val){.tag = FST_TAG_LIST, .count = count, .items = vals};
  return true;
}

static bool const_val(attempt *t, const fst_const_data *c, fst_meta_val *out) {
  fst_module *module = t->sp->out->module;
  switch (c->kind) {
    case FST_CONST_NONE: *out = (fst_meta_val){.tag = FST_TAG_NONE}; return true;
    case FST_CONST_BOOL: *out = (fst_meta_val){.tag = FST_TAG_BOOL, .i = c->b}; return true;
    case FST_CONST_INT: *out = (fst_meta_val){.tag = FST_TAG_INT, .i = c->i}; return true;
    case FST_CONST_FLOAT: *out = (fst_meta_val){.tag = FST_TAG_FLOAT, .f = c->f}; return true;
    case FST_CONST_STR: *out = (fst_meta_val){.tag = FST_TAG_STR, .text = fst_sym_text(&module->strings, c->str)}; return true;
    case FST_CONST_DEVICE: *out = (fst_meta_val){.tag = FST_TAG_DEVICE, .text = fst_sym_text(&module->strings, c->str)}; return true;
    case FST_CONST_TENSOR: return tensor_val(t, module->tensors.data[c->index].type, out);
    case FST_CONST_TUPLE: {
      fst_value_id *items = FST_NEW_ARRAY(&t->sp->scratch, fst_value_id, c->count + 1);
      for (uint32_t i = 0; i < c->count; i++) items[i] = fst_graph_const(t->sp->out, c->items[i]);
      return list_val(t, items, c->count, out);
    }
    default: return false;
  }
}

static bool value_val(attempt *t, fst_value_id v, fst_meta_val *out) {
  fst_graph *g = t->sp->out;
  const fst_const_data *c = fst_value_const(g, v);
  if (c) return const_val(t, c, out);
  const fst_type_data *type = fst_value_type_data(g, v);
  fst_dim number = fst_value_get(g, v)->sym;
  const fst_node *items = NULL;
  switch (type->kind) {
    case FST_TY_TENSOR: return tensor_val(t, fst_value_type(g, v), out);
    case FST_TY_INT:
      *out = (fst_meta_val){.tag = FST_TAG_INT};
      return fst_dim_is_known(number) && is_of_sizes(g->dims, number) && number_at(t, number, &out->i);
    case FST_TY_FLOAT: *out = (fst_meta_val){.tag = FST_TAG_FLOAT, .f = 0.5}; return true;
    case FST_TY_LIST:
      items = fst_list_items(g, v);
      return items && list_val(t, items->operands, items->operand_count, out);
    default: return false;
  }
}

// The arguments with the numbers as they are.
static bool arguments(attempt *t, const fst_node *n, fst_meta_val *args) {
  fst_vec_clear(&t->sizes);
  for (uint32_t i = 0; i < n->operand_count; i++)
    if (!value_val(t, n->operands[i], &args[i])) return false;
  return t->tensor;
}

// One trial: what the op gives for this trial's numbers.
static bool try_once(attempt *t, int trial, const fst_node *n, const char *schema, fst_meta_val *args, fst_meta_val *out) {
  set_numbers(t, trial);
  return arguments(t, n, args) && t->sp->trial->run(t->sp->trial->context, schema, n->operand_count, args, n->result_count, out);
}

// The size that is this number in every trial that went well.
static fst_dim size_of(attempt *t, const int64_t *seen, const bool *went_well) {
  bool same = true;
  for (int k = 0; k < TRIALS; k++) {
    if (went_well[k] && seen[k] < 0) return FST_DIM_UNKNOWN;
    same = same && (!went_well[k] || seen[k] == seen[0]);
  }
  if (same) return fst_dim_const(t->sp->out->dims, seen[0]);
  for (size_t i = 0; i < t->sizes.len; i++) {
    bool is_it = true;
    for (int k = 0; k < TRIALS && is_it; k++) {
      int64_t number;
      if (!went_well[k]) continue;
      set_numbers(t, k);
      is_it = number_at(t, t->sizes.data[i], &number) && number == seen[k];
    }
    if (is_it) return t->sizes.data[i];
  }
  return FST_DIM_UNKNOWN;
}

static bool is_row_major(const fst_meta_val *v) {
  int64_t stride = 1;
  for (uint32_t i = v->count; i-- > 0; stride *= v->sizes[i])
    if (v->strides[i] < 0 || (v->sizes[i] != 1 && v->strides[i] != stride)) return false;
  return true;
}

static void believe(attempt *t, fst_value_id result, fst_meta_val *const *got, uint32_t r, const bool *went_well) {
  fst_types *types = t->sp->out->module->types;
  const fst_meta_val *first = NULL;
  for (int k = 0; k < TRIALS; k++) {
    if (!went_well[k]) continue;
    if (!first) first = &got[k][r];
    if (got[k][r].tag != FST_TAG_TENSOR || got[k][r].dtype != first->dtype || got[k][r].count != first->count) return;
  }
  fst_dim dims[FST_MAX_RANK], strides[FST_MAX_RANK];
  bool is_sure = went_well[0] && (went_well[1] || !t->used.len), strided = is_sure && (t->row_major || (t->exact && !t->used.len)), row_major = is_sure && t->row_major, open = true;
  for (int k = 0; k < TRIALS; k++) row_major = row_major && (!went_well[k] || is_row_major(&got[k][r]));
  for (uint32_t i = 0; i < first->count; i++) {
    int64_t sizes[TRIALS] = {0}, steps[TRIALS] = {0};
    for (int k = 0; k < TRIALS; k++) {
      sizes[k] = went_well[k] ? got[k][r].sizes[i] : 0;
      steps[k] = went_well[k] ? got[k][r].strides[i] : 0;
    }
    dims[i] = is_sure ? size_of(t, sizes, went_well) : FST_DIM_UNKNOWN;
    strides[i] = strided && !row_major ? size_of(t, steps, went_well) : FST_DIM_UNKNOWN;   // there but not known: row-major
    open = open && !fst_dim_is_known(strides[i]);
  }
  bool has_strides = row_major || (strided && !open);
  fst_value_set_type(t->sp->out, result, fst_type_tensor(types, (fst_dtype)first->dtype, (int)first->count, dims, has_strides ? strides : NULL, FST_DEVICE_CPU, 0));
}

static bool writes(const fst_schema *schema) {
  for (uint32_t i = 0; i < schema->arg_count; i++)
    if (schema->args[i].is_written) return true;
  return schema->is_vararg;
}

// Is there a tensor to say something of, and does the op do no more than make its results?
static bool is_worth_trying(specializer *sp, const fst_node *n, const char *text) {
  bool wanted = false;
  for (uint32_t r = 0; r < n->result_count; r++) {
    const fst_type_data *t = fst_value_type_data(sp->out, n->results[r]);
    wanted = wanted || (t->kind == FST_TY_TENSOR && t->rank < 0);
  }
  fst_schema parsed;
  if (!sp->trial || !wanted) return false;
  // Where an op of ours gives up, it is not to be taken for one that it has code for.
  if (n->op != FST_OP_UNKNOWN) return !fst_op_has_lowering(n->op) && !fst_op_get(n->op)->compose && fst_op_get(n->op)->cls != FST_CLASS_VIEW && !writes(fst_op_schema(n->op));
  fst_status status = fst_schema_parse(&sp->scratch, text, &parsed);
  bool good = !status && !writes(&parsed);
  fst_error_free(status);
  return good;
}

void try_results(specializer *sp, fst_node_id node) {
  const fst_node *n = fst_node_get(sp->out, node);
  const char *schema = n->op == FST_OP_UNKNOWN ? fst_sym_text(&sp->out->module->strings, n->name) : fst_op_get(n->op)->schema;
  if (!is_worth_trying(sp, n, schema)) return;
  attempt t = {.sp = sp, .symbols = fst_dims_symbol_count(sp->out->dims), .row_major = true, .exact = true};
  t.numbers = FST_NEW_ARRAY(&sp->scratch, int64_t, t.symbols + 1);
  for (uint32_t i = 0; i < t.symbols; i++) t.numbers[i] = -1;
  fst_meta_val *args = FST_NEW_ARRAY(&sp->scratch, fst_meta_val, n->operand_count + 1), *got[TRIALS] = {0};
  bool went_well[TRIALS] = {0}, any = false, known = arguments(&t, n, args);
  for (int k = 0; k < TRIALS && known && (!k || t.used.len); k++) {
    got[k] = FST_NEW_ARRAY(&sp->scratch, fst_meta_val, n->result_count + 1);
    went_well[k] = try_once(&t, k, n, schema, args, got[k]);
    any = any || went_well[k];
  }
  for (uint32_t r = 0; r < n->result_count && any; r++)
    if (fst_value_type_data(sp->out, n->results[r])->kind == FST_TY_TENSOR) believe(&t, n->results[r], got, r, went_well);
  fst_vec_free(&t.used);
  fst_vec_free(&t.sizes);
}
