#include "ir/infer.h"

#include <stdio.h>
#include <string.h>

// ---- operands --------------------------------------------------------------------------------------

static const fst_node *node_of(const fst_infer *in) { return fst_node_get(in->graph, in->node); }

uint32_t fst_infer_arg_count(const fst_infer *in) { return node_of(in)->operand_count; }

fst_value_id fst_infer_arg(const fst_infer *in, uint32_t arg) {
  const fst_node *n = node_of(in);
  return arg < n->operand_count ? n->operands[arg] : FST_NO_VALUE;
}

const fst_type_data *fst_infer_type(const fst_infer *in, uint32_t arg) {
  fst_value_id v = fst_infer_arg(in, arg);
  return fst_type_get(in->types, v.id ? fst_value_type(in->graph, v) : fst_type_simple(in->types, FST_TY_NONE));
}

static const char *arg_name(const fst_infer *in, uint32_t arg) {
  const fst_schema *s = fst_op_schema(node_of(in)->op);
  return arg < s->arg_count ? s->args[arg].name : "operand";
}

const fst_type_data *fst_infer_tensor(fst_infer *in, uint32_t arg) {
  const fst_type_data *t = fst_infer_type(in, arg);
  const char *lacks = t->kind != FST_TY_TENSOR ? "that it is a tensor" : t->rank < 0 ? "rank" : t->dtype == FST_DTYPE_UNKNOWN ? "dtype" : NULL;
  if (!lacks) return t;
  fst_infer_give_up(in, "%s of `%s` is not known", lacks, arg_name(in, arg));
  return NULL;
}

bool fst_infer_is_none(const fst_infer *in, uint32_t arg) {
  fst_value_id v = fst_infer_arg(in, arg);
  return !v.id || fst_value_is_none(in->graph, v);
}

bool fst_infer_const_int(const fst_infer *in, uint32_t arg, int64_t *out) {
  fst_value_id v = fst_infer_arg(in, arg);
  return v.id && (fst_value_const_int(in->graph, v, out) || fst_dim_is_const(in->dims, fst_infer_int(in, arg), out));
}
bool fst_infer_const_bool(const fst_infer *in, uint32_t arg, bool *out) {
  fst_value_id v = fst_infer_arg(in, arg);
  return v.id && fst_value_const_bool(in->graph, v, out);
}
bool fst_infer_const_float(const fst_infer *in, uint32_t arg, double *out) {
  fst_value_id v = fst_infer_arg(in, arg);
  int64_t i;
  if (v.id && fst_value_const_float(in->graph, v, out)) return true;
  if (!v.id || !fst_value_const_int(in->graph, v, &i)) return false;
  *out = (double)i;
  return true;
}
bool fst_infer_const_str(const fst_infer *in, uint32_t arg, const char **out) {
  fst_value_id v = fst_infer_arg(in, arg);
  const fst_const_data *c = v.id ? fst_value_const(in->graph, v) : NULL;
  if (!c || c->kind != FST_CONST_STR) return false;
  *out = fst_sym_text(&in->graph->module->strings, c->str);
  return true;
}

static fst_dim int_of(const fst_infer *in, fst_value_id v) {
  int64_t i;
  if (fst_value_const_int(in->graph, v, &i)) return fst_dim_const(in->dims, i);
  return fst_type_is(in->types, fst_value_type(in->graph, v), FST_TY_INT) ? fst_value_get(in->graph, v)->sym : FST_DIM_UNKNOWN;
}

fst_dim fst_infer_int(const fst_infer *in, uint32_t arg) {
  fst_value_id v = fst_infer_arg(in, arg);
  return v.id ? int_of(in, v) : FST_DIM_UNKNOWN;
}

// ---- lists -----------------------------------------------------------------------------------------

// A use that neither writes the list nor keeps it where something else could.
static bool use_only_reads(const fst_graph *g, fst_use use) {
  const fst_node *n = fst_node_get(g, use.user);
  if (n->op == FST_OP_UNKNOWN) return false;
  const fst_op_info *info = fst_op_get(n->op);
  switch (info->cls) {
    case FST_CLASS_ATTRIBUTE: case FST_CLASS_CALL: case FST_CLASS_CONTROL: case FST_CLASS_INTERNAL: case FST_CLASS_OPAQUE: return false;
    default: break;
  }
  if (info->effect == FST_MAKES || info->effect == FST_PURE || info->effect == FST_READS || info->effect == FST_RAISES) {
    // Into a list, tuple or dict: kept. Copies and lookups of ints, floats and tensors are not.
    return n->op != FST_OP_LIST_CONSTRUCT && n->op != FST_OP_TUPLE_CONSTRUCT && n->op != FST_OP_DICT_CONSTRUCT;
  }
  const fst_schema *s = fst_op_schema(n->op);
  bool stored = info->cls == FST_CLASS_CONTAINER;   // append(lists, list)
  return use.index < s->arg_count && !s->args[use.index].is_written && !stored;
}

const fst_node *fst_list_items(const fst_graph *g, fst_value_id list) {
  fst_node_id def = fst_value_def(g, list);
  if (!def.id || fst_node_get(g, def)->op != FST_OP_LIST_CONSTRUCT) return NULL;
  const fst_value *v = fst_value_get(g, list);
  for (size_t i = 0; i < v->uses.len; i++)
    if (!use_only_reads(g, v->uses.data[i])) return NULL;
  return fst_node_get(g, def);
}

const fst_node *fst_list_inner(const fst_graph *g, const fst_node *outer, uint32_t item) {
  const fst_value *list = fst_value_get(g, outer->operands[item]), *around = fst_value_get(g, outer->results[0]);
  fst_node_id def = fst_value_def(g, outer->operands[item]);
  if (!def.id || fst_node_get(g, def)->op != FST_OP_LIST_CONSTRUCT || around->uses.len != 1 || list->uses.len != 1) return NULL;
  return fst_node_get(g, def);
}

int fst_infer_int_list(const fst_infer *in, uint32_t arg, fst_dim *out, int max) {
  fst_value_id v = fst_infer_arg(in, arg);
  if (!v.id) return -1;
  const fst_const_data *c = fst_value_const(in->graph, v);
  if (c && c->kind == FST_CONST_TUPLE) {
    if (c->count > (uint32_t)max) return -1;
    for (uint32_t i = 0; i < c->count; i++) {
      const fst_const_data *item = fst_const_get(in->graph->module, c->items[i]);
      if (item->kind != FST_CONST_INT) return -1;
      out[i] = fst_dim_const(in->dims, item->i);
    }
    return (int)c->count;
  }
  if (fst_infer_type(in, arg)->kind == FST_TY_INT && max > 0) {   // int[2] takes one int
    out[0] = int_of(in, v);
    return 1;
  }
  const fst_node *made = c ? NULL : fst_list_items(in->graph, v);
  if (!made || made->operand_count > (uint32_t)max) return -1;
  for (uint32_t i = 0; i < made->operand_count; i++) out[i] = int_of(in, made->operands[i]);
  return (int)made->operand_count;
}

int fst_infer_tensor_list(const fst_infer *in, uint32_t arg, const fst_type_data **out, int max) {
  fst_value_id v = fst_infer_arg(in, arg);
  if (!v.id) return -1;
  const fst_const_data *c = fst_value_const(in->graph, v);
  if (c && c->kind == FST_CONST_TUPLE) {
    if (c->count > (uint32_t)max) return -1;
    for (uint32_t i = 0; i < c->count; i++) out[i] = fst_type_get(in->types, fst_const_get(in->graph->module, c->items[i])->type);
    return (int)c->count;
  }
  const fst_node *made = c ? NULL : fst_list_items(in->graph, v);
  if (!made || made->operand_count > (uint32_t)max) return -1;
  for (uint32_t i = 0; i < made->operand_count; i++) out[i] = fst_value_type_data(in->graph, made->operands[i]);
  return (int)made->operand_count;
}

fst_dtype fst_infer_dtype(const fst_infer *in, uint32_t arg, fst_dtype otherwise) {
  int64_t number;
  if (fst_infer_is_none(in, arg)) return otherwise;
  if (!fst_infer_const_int(in, arg, &number) || number < 0 || number >= FST_DTYPE_UNKNOWN) return FST_DTYPE_UNKNOWN;
  return fst_dtype_size((fst_dtype)number) ? (fst_dtype)number : FST_DTYPE_UNKNOWN;
}

// ---- outcomes --------------------------------------------------------------------------------------

static const char *message_make(fst_infer *in, const char *fmt, va_list args) {
  char text[1024];
  vsnprintf(text, sizeof text, fmt, args);
  return fst_arena_strdup(in->arena, text);
}

int fst_infer_raise(fst_infer *in, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  in->message = message_make(in, fmt, args);
  va_end(args);
  return FST_INFER_RAISES;
}

// Code for a device has everything there, whatever the model says: one device a model.
bool fst_infer_device_is_here(const fst_infer *in, const char *device) {
  return in->graph->module->device_kind == FST_DEVICE_CUDA || !strncmp(device, "cpu", 3);
}

int fst_infer_give_up(fst_infer *in, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  in->message = message_make(in, fmt, args);
  va_end(args);
  return FST_INFER_UNKNOWN;
}

int fst_infer_wrap_dim(fst_infer *in, int64_t dim, int rank) {
  int64_t range = rank ? rank : 1;   // a 0-d tensor takes 0 and -1
  if (dim >= -range && dim < range) return (int)(dim < 0 ? dim + range : dim);
  fst_infer_raise(in, "Dimension out of range (expected to be in range of [%lld, %lld], but got %lld)", (long long)-range, (long long)range - 1, (long long)dim);
  return -1;
}

fst_dim fst_infer_fresh(fst_infer *in) { return fst_dim_fresh(in->dims, false); }

static bool require(fst_infer *in, int holds, fst_infer_guard guard) {
  guard.message = fst_arena_strdup(in->arena, guard.message);
  if (holds < 0) fst_vec_push(&in->guards, guard);
  if (holds == 0) in->message = guard.message;
  return holds != 0;
}

bool fst_infer_require_equal(fst_infer *in, fst_dim a, fst_dim b, const char *text) {
  return require(in, fst_dim_equal(in->dims, a, b), (fst_infer_guard){.a = a, .b = b, .message = text});
}

bool fst_infer_require_at_most(fst_infer *in, fst_dim a, fst_dim b, const char *text) {
  int exceeds = fst_dim_less(in->dims, b, a);
  return require(in, exceeds < 0 ? -1 : !exceeds, (fst_infer_guard){.a = a, .b = b, .at_most = true, .message = text});
}

bool fst_infer_require_at_least(fst_infer *in, fst_dim a, int64_t least, const char *text) {
  return fst_infer_require_at_most(in, fst_dim_const(in->dims, least), a, text);
}

static void dim_put(const fst_infer *in, fst_dim d, fst_text *out) {
  bool open = fst_dim_is_known(d) && !fst_dim_is_const(in->dims, d, NULL);
  if (open) fst_text_putc(out, '{');
  fst_dim_print(in->dims, d, out);
  if (open) fst_text_putc(out, '}');
}

static const char *dims_text(fst_infer *in, const fst_dim *dims, int rank, const char *open, const char *between, const char *close) {
  fst_text text = {0};
  fst_text_puts(&text, open);
  for (int i = 0; i < rank; i++) {
    if (i) fst_text_puts(&text, between);
    dim_put(in, dims[i], &text);
  }
  fst_text_puts(&text, close);
  const char *copy = fst_arena_strdup(in->arena, fst_text_cstr(&text));
  fst_text_deinit(&text);
  return copy;
}
const char *fst_infer_dim_text(fst_infer *in, fst_dim d) { return dims_text(in, &d, 1, "", "", ""); }
const char *fst_infer_shape_text(fst_infer *in, const fst_dim *dims, int rank) { return dims_text(in, dims, rank, "[", ", ", "]"); }
const char *fst_infer_times_text(fst_infer *in, const fst_dim *dims, int rank) { return dims_text(in, dims, rank, "", "x", ""); }
const char *fst_infer_by_text(fst_infer *in, const fst_dim *dims, int rank) { return dims_text(in, dims, rank, "", " x ", ""); }

static bool is_open(const fst_infer *in, fst_dim d) {
  int64_t low, high;
  fst_dim_bounds(in->dims, d, &low, &high);
  return low < 0;
}

bool fst_infer_require_count(fst_infer *in, const fst_dim *dims, int rank, int64_t most, const char *text) {
  fst_dim one = fst_dim_const(in->dims, 1), count = one;
  for (int i = 0; i < rank; i++)
    if (!is_open(in, dims[i])) count = fst_dim_mul(in->dims, count, dims[i]);
  for (int i = 0; i < rank; i++) {
    if (!is_open(in, dims[i])) continue;
    fst_dim room = fst_dim_floordiv(in->dims, fst_dim_const(in->dims, most), fst_dim_max(in->dims, count, one));
    if (fst_dim_is_known(room) && count != 0 && !fst_infer_require_at_most(in, dims[i], room, text)) return false;
    count = fst_dim_mul(in->dims, count, dims[i]);
  }
  return true;
}

bool fst_infer_require_reach(fst_infer *in, fst_dim dilation, fst_dim taps, const char *text) {
  fst_dims *d = in->dims;
  fst_dim between = fst_dim_max(d, fst_dim_sub(d, taps, fst_dim_const(d, 1)), fst_dim_const(d, 1));
  return fst_infer_require_at_most(in, dilation, fst_dim_floordiv(d, fst_dim_const(d, INT64_MAX / 4), between), text);
}

// ---- broadcasting ----------------------------------------------------------------------------------

static fst_dim minus_one(fst_infer *in, fst_dim d) { return fst_dim_sub(in->dims, d, fst_dim_const(in->dims, 1)); }

// Sizes that may each be 1 at run time or must be equal. Of (n, n), (n, 1) and (1, n) the result is n, which
// is a*b // max(min(a, b), 1), for n = 0 too; other pairs raise: (a - 1)(b - 1)(a - b) must be 0.
static bool broadcast_open(fst_infer *in, fst_dim a, fst_dim b, const char *text, fst_dim *out) {
  fst_dims *d = in->dims;
  int64_t a_low, b_low, high, value;
  fst_dim_bounds(d, a, &a_low, &high);
  fst_dim_bounds(d, b, &b_low, &high);
  bool a_may_be_one = a_low <= 1 && fst_dim_equal(d, a, 1) != 0, b_may_be_one = b_low <= 1 && fst_dim_equal(d, b, 1) != 0;
  if (!a_may_be_one && !b_may_be_one) {
    *out = fst_dim_is_const(d, b, &value) ? b : a;
    return fst_infer_require_equal(in, a, b, text);
  }
  fst_dim zero = fst_dim_sub(d, a, b);
  if (a_may_be_one) zero = fst_dim_mul(d, zero, minus_one(in, a));
  if (b_may_be_one) zero = fst_dim_mul(d, zero, minus_one(in, b));
  *out = !a_may_be_one ? a : !b_may_be_one ? b : fst_dim_floordiv(d, fst_dim_mul(d, a, b), fst_dim_max(d, fst_dim_min(d, a, b), 1));
  return fst_infer_require_equal(in, zero, 0, text);
}

bool fst_infer_require_fits(fst_infer *in, fst_dim from, fst_dim to, const char *text) {
  fst_dims *d = in->dims;
  if (fst_dim_equal(d, from, 1) == 1) return true;
  if (fst_dim_equal(d, from, 1) == 0) return fst_infer_require_equal(in, from, to, text);
  fst_dim away = fst_dim_max(d, fst_dim_sub(d, from, 1), fst_dim_sub(d, 1, from));   // 0 where `from` is 1
  return fst_infer_require_equal(in, fst_dim_mul(d, fst_dim_min(d, away, 1), fst_dim_sub(d, from, to)), 0, text);
}

static bool broadcast_dim(fst_infer *in, fst_dim a, fst_dim b, int dim, fst_dim *out) {
  int64_t x, y;
  bool a_const = fst_dim_is_const(in->dims, a, &x), b_const = fst_dim_is_const(in->dims, b, &y);
  if (a_const && x == 1) *out = b;
  else if (b_const && y == 1) *out = a;
  else if (!fst_dim_is_known(a) || !fst_dim_is_known(b)) *out = a_const ? a : b_const ? b : FST_DIM_UNKNOWN;
  else if (fst_dim_equal(in->dims, a, b) == 1) *out = a;
  else if (a_const && b_const) {
    fst_infer_raise(in, "The size of tensor a (%lld) must match the size of tensor b (%lld) at non-singleton dimension %d", (long long)x, (long long)y, dim);
    return false;
  } else {
    const char *text = fst_arena_printf(in->arena, "The size of tensor a (%s) must match the size of tensor b (%s) at non-singleton dimension %d",
                                        fst_infer_dim_text(in, a), fst_infer_dim_text(in, b), dim);
    return broadcast_open(in, a, b, text, out);
  }
  return true;
}

bool fst_infer_broadcast(fst_infer *in, const fst_dim *a, int a_rank, const fst_dim *b, int b_rank, fst_dim *out, int *out_rank) {
  int rank = a_rank > b_rank ? a_rank : b_rank;
  fst_dim result[FST_MAX_RANK];
  for (int i = 0; i < rank; i++) {
    int at_a = i - (rank - a_rank), at_b = i - (rank - b_rank);
    if (!broadcast_dim(in, at_a < 0 ? 1 : a[at_a], at_b < 0 ? 1 : b[at_b], i, &result[i])) return false;
  }
  if (rank) memcpy(out, result, sizeof *out * (size_t)rank);   // `out` may be `a` or `b`
  *out_rank = rank;
  return true;
}

// ---- results ---------------------------------------------------------------------------------------

void fst_infer_set_strided(fst_infer *in, uint32_t r, fst_dtype dtype, int rank, const fst_dim *dims, const fst_dim *strides) {
  in->results[r] = fst_type_tensor(in->types, dtype, rank, dims, strides, FST_DEVICE_CPU, 0);
}

void fst_infer_set_tensor(fst_infer *in, uint32_t r, fst_dtype dtype, int rank, const fst_dim *dims) {
  fst_dim strides[FST_MAX_RANK];
  fst_contiguous_strides(in->dims, rank, dims, strides);
  fst_infer_set_strided(in, r, dtype, rank, dims, strides);
}

// ---- promotion -------------------------------------------------------------------------------------

static int complex_bits(fst_dtype d) { return d == FST_C32 ? 32 : d == FST_C64 ? 64 : 128; }

static fst_dtype promote_floats(fst_dtype a, fst_dtype b) {
  if (a == FST_F64 || b == FST_F64) return FST_F64;
  return FST_F32;   // f32 with anything, f16 with bf16
}

static fst_dtype promote_complex(fst_dtype a, fst_dtype b) {
  int bits = 32;
  fst_dtype both[2] = {a, b};
  for (int i = 0; i < 2; i++) {
    fst_dtype_kind kind = fst_dtype_kind_of(both[i]);
    int needs = kind == FST_KIND_COMPLEX ? complex_bits(both[i]) : kind != FST_KIND_FLOAT || both[i] == FST_F16 ? 32 : both[i] == FST_F64 ? 128 : 64;
    if (needs > bits) bits = needs;
  }
  return bits == 32 ? FST_C32 : bits == 64 ? FST_C64 : FST_C128;
}

fst_dtype fst_dtype_promote(fst_dtype a, fst_dtype b) {
  if (a == b) return a;
  if (a == FST_DTYPE_UNKNOWN || b == FST_DTYPE_UNKNOWN) return FST_DTYPE_UNKNOWN;
  fst_dtype_kind ka = fst_dtype_kind_of(a), kb = fst_dtype_kind_of(b);
  if (ka == FST_KIND_COMPLEX || kb == FST_KIND_COMPLEX) return promote_complex(a, b);
  if (ka == FST_KIND_FLOAT && kb == FST_KIND_FLOAT) return promote_floats(a, b);
  if (ka == FST_KIND_FLOAT || kb == FST_KIND_FLOAT) return ka == FST_KIND_FLOAT ? a : b;
  if (ka == FST_KIND_BOOL || kb == FST_KIND_BOOL) return ka == FST_KIND_BOOL ? b : a;
  if ((a == FST_U8 && b == FST_I8) || (a == FST_I8 && b == FST_U8)) return FST_I16;
  return fst_dtype_size(a) > fst_dtype_size(b) || (fst_dtype_size(a) == fst_dtype_size(b) && a != FST_U8) ? a : b;
}

enum { TIER_EMPTY = -1 };
static int join_tier(int tier, fst_dtype dtype) { return tier == TIER_EMPTY ? (int)dtype : (int)fst_dtype_promote((fst_dtype)tier, dtype); }

// A lower tier (0-d tensors, then numbers) counts only where its kind is above: f32[2] + f64[] is f32,
// i64[2] + f64[] is f64.
static int combine_tiers(int higher, int lower) {
  if (higher == TIER_EMPTY || lower == TIER_EMPTY) return higher == TIER_EMPTY ? lower : higher;
  if (higher == FST_DTYPE_UNKNOWN || lower == FST_DTYPE_UNKNOWN) return FST_DTYPE_UNKNOWN;
  fst_dtype_kind h = fst_dtype_kind_of((fst_dtype)higher), l = fst_dtype_kind_of((fst_dtype)lower);
  if (h == FST_KIND_COMPLEX) return higher;
  if (h == FST_KIND_FLOAT) return l == FST_KIND_COMPLEX ? (int)promote_complex((fst_dtype)higher, FST_BOOL) : higher;
  if (h == FST_KIND_BOOL || l == FST_KIND_FLOAT || l == FST_KIND_COMPLEX) return (int)fst_dtype_promote((fst_dtype)higher, (fst_dtype)lower);
  return higher;
}

static fst_dtype number_dtype(fst_type_kind kind) {
  switch (kind) {
    case FST_TY_INT: return FST_I64;
    case FST_TY_FLOAT: return FST_F32;
    case FST_TY_BOOL: return FST_BOOL;
    case FST_TY_COMPLEX: return FST_C64;
    default: return FST_DTYPE_UNKNOWN;
  }
}

fst_dtype fst_infer_result_type(const fst_infer *in, const uint32_t *args, uint32_t count) {
  int tensors = TIER_EMPTY, zero_d = TIER_EMPTY, numbers = TIER_EMPTY;
  for (uint32_t i = 0; i < count; i++) {
    const fst_type_data *t = fst_infer_type(in, args[i]);
    if (t->kind != FST_TY_TENSOR) numbers = join_tier(numbers, number_dtype(t->kind));
    else if (t->dtype == FST_DTYPE_UNKNOWN || t->rank < 0) return FST_DTYPE_UNKNOWN;
    else *(t->rank ? &tensors : &zero_d) = join_tier(t->rank ? tensors : zero_d, t->dtype);
  }
  int result = combine_tiers(tensors, combine_tiers(zero_d, numbers));
  return result == TIER_EMPTY ? FST_DTYPE_UNKNOWN : (fst_dtype)result;
}

// ---- a node ----------------------------------------------------------------------------------------

int fst_infer_node(fst_graph *graph, fst_node_id node, fst_arena *scratch, fst_infer *out) {
  const fst_node *n = fst_node_get(graph, node);
  *out = (fst_infer){.graph = graph, .node = node, .dims = graph->dims, .types = graph->module->types, .arena = scratch, .view_offset = FST_DIM_UNKNOWN};
  out->results = FST_NEW_ARRAY(scratch, fst_type, n->result_count + 1);
  out->result_syms = FST_NEW_ARRAY(scratch, fst_dim, n->result_count + 1);
  out->result_consts = FST_NEW_ARRAY(scratch, fst_const, n->result_count + 1);
  for (uint32_t r = 0; r < n->result_count; r++) out->result_syms[r] = FST_DIM_UNKNOWN;
  const fst_op_info *info = fst_op_get(n->op);
  int outcome = info->infer ? info->infer(out) : FST_INFER_OK;
  for (size_t i = 0; i < out->guards.len && outcome == FST_INFER_OK; i++)
    if (!fst_dim_is_known(out->guards.data[i].a) || !fst_dim_is_known(out->guards.data[i].b)) outcome = fst_infer_give_up(out, "a size is not known");
  if (outcome != FST_INFER_OK) return outcome;
  for (uint32_t r = 0; r < n->result_count; r++) {
    if (out->results[r].id) fst_value_set_type(graph, n->results[r], out->results[r]);
    else out->results[r] = fst_value_type(graph, n->results[r]);
    if (fst_dim_is_known(out->result_syms[r])) fst_value_get(graph, n->results[r])->sym = out->result_syms[r];
  }
  return FST_INFER_OK;
}
