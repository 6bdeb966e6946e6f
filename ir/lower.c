// Building one kernel from the nodes of a group, by pulling elements from its outputs; see ir/lower.h.
#include "ir/lower.h"

#include <string.h>

#include "ir/args.h"
#include "ir/lower_build.h"

typedef struct { fst_value_id value; fst_kx index[FST_MAX_RANK], part, kx; } pulled;

typedef struct {
  const fst_graph *graph;
  fst_lowered *out;
  fst_map inside;         // nodes of the group: id -> 1
  fst_map buffer_of;      // value id -> buffer number + 1
  fst_map memo;           // hash of (value, index) -> position in `elements` + 1
  FST_VEC(pulled) elements;
  const char *missing;    // op without a lowering
} group;

// ---- rows ------------------------------------------------------------------------------------------

// An in-place op computes what its functional form does.
static const fst_op_info *computing_row(fst_op op) {
  const fst_op_info *info = fst_op_get(op);
  if (info->lower || info->lower_stmt || info->scalar || !info->inplace_of) return info;
  fst_op functional = fst_op_find(info->inplace_of, strlen(info->inplace_of));
  return functional == FST_OP_UNKNOWN ? info : fst_op_get(functional);
}

bool fst_op_has_lowering(fst_op op) {
  if (op == FST_OP_UNKNOWN) return false;
  const fst_op_info *info = computing_row(op);
  return info->lower || info->lower_stmt || (info->scalar && info->cls == FST_CLASS_POINTWISE);
}

// ---- arguments of the kernel -----------------------------------------------------------------------

static fst_kx size_param(group *g, fst_dim d) {
  int64_t number;
  fst_kernel *k = g->out->kernel;
  FST_ASSERT(fst_dim_is_known(d), "a size of kernel %s is not known", k->name);
  if (fst_dim_is_const(g->graph->dims, d, &number)) return fst_kx_int(k, number);
  for (size_t i = 0; i < g->out->params.len; i++)
    if (!g->out->params.data[i].value.id && g->out->params.data[i].dim == d) {
      fst_kx_data data = {.kind = FST_KX_PARAM, .dtype = FST_I64, .index = (uint32_t)i};
      for (uint32_t x = 1; x < k->exprs.len; x++)
        if (k->exprs.data[x].kind == FST_KX_PARAM && k->exprs.data[x].index == data.index) return (fst_kx){x};
    }
  fst_kernel_arg arg = {.dim = d};
  fst_vec_push(&g->out->params, arg);
  return fst_kernel_param(k, FST_I64);
}

static fst_kx value_param(group *g, fst_value_id value) {
  fst_kernel *k = g->out->kernel;
  for (uint32_t x = 1; x < k->exprs.len; x++)
    if (k->exprs.data[x].kind == FST_KX_PARAM && fst_value_eq(g->out->params.data[k->exprs.data[x].index].value, value)) return (fst_kx){x};
  fst_type_kind kind = fst_value_type_data(g->graph, value)->kind;
  fst_dtype dtype = kind == FST_TY_FLOAT ? FST_F64 : kind == FST_TY_BOOL ? FST_BOOL : FST_I64;
  fst_kernel_arg arg = {.value = value, .dim = FST_DIM_UNKNOWN};
  fst_vec_push(&g->out->params, arg);
  return fst_kernel_param(k, dtype);
}

static uint32_t buffer_for(group *g, fst_value_id value, bool is_output) {
  uint64_t known;
  if (fst_map_get(&g->buffer_of, value.id, &known)) return (uint32_t)known - 1;
  const fst_type_data *t = fst_value_type_data(g->graph, value);
  fst_kernel *k = g->out->kernel;
  int64_t parts = fst_dtype_is_complex(t->dtype) ? 2 : 1;
  fst_kbuf b = {.dtype = fst_dtype_part(t->dtype), .rank = (uint32_t)t->rank};
  for (int i = 0; i < t->rank; i++) {
    b.sizes[i] = size_param(g, t->dims[i]);
    b.strides[i] = fst_kx_prim2(k, FST_PRIM_MUL, size_param(g, t->strides[i]), fst_kx_int(k, parts));
  }
  if (parts == 2) {
    b.sizes[b.rank] = fst_kx_int(k, parts);
    b.strides[b.rank++] = fst_kx_int(k, 1);
  }
  uint32_t number = fst_kernel_buffer(k, &b);
  fst_kernel_arg arg = {.value = value, .dim = FST_DIM_UNKNOWN, .is_output = is_output};
  fst_vec_push(&g->out->buffers, arg);
  fst_map_set(&g->buffer_of, value.id, (uint64_t)number + 1);
  return number;
}

// ---- elements --------------------------------------------------------------------------------------

static fst_kx element(group *g, fst_value_id value, const fst_kx *index, fst_kx part);

static fst_lower open_node(group *g, fst_node_id node, uint32_t result, const fst_kx *index) {
  return (fst_lower){.kernel = g->out->kernel, .graph = g->graph, .node = node, .result = result, .index = index, .context = g, .lowered = g->out};
}

typedef struct { fst_lower *lo; const fst_schema *schema; fst_dtype dtype; } scalar_names;

static bool is_mask(const char *name) { return !strcmp(name, "condition") || !strcmp(name, "mask"); }

static fst_kx pointwise_operand(void *context, const char *name) {
  scalar_names *s = context;
  int arg = fst_schema_arg_index(s->schema, name);
  if (arg < 0) return FST_NO_KX;
  fst_dtype dtype = is_mask(name) ? FST_BOOL : s->dtype;
  if (fst_lower_type(s->lo, (uint32_t)arg)->kind != FST_TY_TENSOR) return fst_lower_scalar(s->lo, (uint32_t)arg, dtype);
  return fst_kx_convert(s->lo->kernel, fst_lower_broadcast(s->lo, (uint32_t)arg), dtype);
}

// A row's `scalar` text over the operands, converted as `promote` says; 16-bit floats wide, rounded once.
static void lower_pointwise(fst_lower *lo, const fst_op_info *row) {
  fst_infer in = fst_infer_reader(lo);
  fst_dtype dtype = fst_dtype_wide(fst_pointwise_dtype(&in, row->promote ? row->promote : "promote"));
  if (dtype == FST_DTYPE_UNKNOWN) return;
  scalar_names names = {lo, fst_op_schema(fst_node_get(lo->graph, lo->node)->op), dtype};
  lower_finish(lo, fst_kx_expression(lo->kernel, row->scalar, dtype, pointwise_operand, &names));
}

// Reads an element from memory.
static fst_kx load(group *g, fst_value_id value, uint32_t rank, const fst_kx *index, fst_kx part) {
  fst_kx at[FST_MAX_RANK];
  uint32_t buffer = buffer_for(g, value, false);
  if (!part.id) return fst_kx_load(g->out->kernel, buffer, index);
  if (rank) memcpy(at, index, rank * sizeof *index);
  at[rank] = part;
  return fst_kx_load(g->out->kernel, buffer, at);
}

static fst_kx lower_element(group *g, fst_node_id node, uint32_t result, const fst_kx *index, fst_kx part) {
  fst_lower lo = open_node(g, node, result, index);
  lo.part = part;
  fst_op op = fst_node_get(g->graph, node)->op;
  const fst_op_info *row = computing_row(op);
  if (row->lower) row->lower(&lo);
  else if (row->scalar) lower_pointwise(&lo, row);
  if (!lo.value.id) {
    g->missing = fst_op_name(op);
    return kx_zero(&lo, fst_lower_result_type(&lo, result)->dtype);
  }
  return lo.value;
}

static bool computed_here(const group *g, fst_value_id value, fst_node_id *out_node) {
  uint64_t one;
  *out_node = fst_value_def(g->graph, value);
  if (!out_node->id || !fst_map_get(&g->inside, out_node->id, &one)) return false;
  return !computing_row(fst_node_get(g->graph, *out_node)->op)->lower_stmt;
}

static fst_kx element(group *g, fst_value_id value, const fst_kx *index, fst_kx part) {
  fst_node_id node;
  uint32_t rank = (uint32_t)fst_value_type_data(g->graph, value)->rank;
  if (!computed_here(g, value, &node)) return load(g, value, rank, index, part);
  uint64_t hash = fst_hash_mix(value.id, part.id), at;
  for (uint32_t i = 0; i < rank; i++) hash = fst_hash_mix(hash, index[i].id);
  for (; fst_map_get(&g->memo, hash, &at); hash++) {
    const pulled *e = &g->elements.data[at - 1];
    if (fst_value_eq(e->value, value) && fst_kx_eq(e->part, part) && !memcmp(e->index, index, rank * sizeof *index)) return e->kx;
  }
  pulled e = {.value = value, .part = part};
  memcpy(e.index, index, rank * sizeof *index);
  e.kx = lower_element(g, node, fst_value_get(g->graph, value)->index, index, part);
  fst_vec_push(&g->elements, e);
  fst_map_set(&g->memo, hash, g->elements.len);
  return e.kx;
}

// ---- what lowerings ask for ------------------------------------------------------------------------

static group *group_of(const fst_lower *lo) { return lo->context; }
static fst_value_id operand(const fst_lower *lo, uint32_t arg) { return fst_node_get(lo->graph, lo->node)->operands[arg]; }

static fst_kx load_part(fst_lower *lo, fst_value_id value, const fst_kx *index, fst_kx part) {
  bool is_complex = fst_dtype_is_complex(fst_value_type_data(lo->graph, value)->dtype);
  return element(group_of(lo), value, index, !is_complex ? FST_NO_KX : part.id ? part : fst_kx_int(lo->kernel, 0));
}

fst_kx fst_lower_load(fst_lower *lo, uint32_t arg, const fst_kx *index) { return load_part(lo, operand(lo, arg), index, lo->part); }

// A real number as the part of a complex one.
static fst_kx as_part(fst_lower *lo, fst_kx real, fst_kx imaginary) {
  return kx_select(lo, kx_eq(lo, lo->part, fst_kx_int(lo->kernel, 0)), real, imaginary);
}

fst_kx fst_lower_load_as(fst_lower *lo, uint32_t arg, const fst_kx *index, fst_dtype dtype) {
  bool from = fst_dtype_is_complex(fst_lower_type(lo, arg)->dtype), to = fst_dtype_is_complex(dtype);
  fst_kx value = kx_convert(lo, fst_lower_load(lo, arg, index), dtype);
  if (!from && to) return as_part(lo, value, kx_zero(lo, dtype));
  if (!from || dtype != FST_BOOL) return value;
  return kx_or(lo, value, kx_convert(lo, load_part(lo, operand(lo, arg), index, fst_kx_int(lo->kernel, 1)), FST_BOOL));
}

static bool list_items(const fst_lower *lo, uint32_t arg, const fst_value_id **out, uint32_t *out_count) {
  const fst_node *list = fst_list_items(lo->graph, operand(lo, arg));
  if (!list) return false;
  *out = list->operands;
  *out_count = list->operand_count;
  return true;
}

fst_kx fst_lower_load_item(fst_lower *lo, uint32_t arg, uint32_t item, const fst_kx *index) {
  const fst_value_id *items = NULL;
  uint32_t count = 0;
  if (list_items(lo, arg, &items, &count)) {
    FST_ASSERT(item < count, "item %u of a list of %u", item, count);
    return load_part(lo, items[item], index, lo->part);
  }
  const fst_const_data *c = fst_value_const(lo->graph, operand(lo, arg));
  FST_ASSERT(c && c->kind == FST_CONST_TUPLE && item < c->count, "a list operand without items");
  return load_part(lo, fst_graph_const((fst_graph *)lo->graph, c->items[item]), index, lo->part);
}

fst_kx fst_lower_fit(fst_lower *lo, fst_dim from, fst_dim to, fst_kx index) {
  fst_kx one = fst_kx_int(lo->kernel, 1), zero = fst_kx_int(lo->kernel, 0);
  int equal_one = fst_dim_equal(lo->graph->dims, from, 1);
  if (equal_one == 1) return zero;
  if (from == to || equal_one == 0) return index;
  return fst_kx_prim3(lo->kernel, FST_PRIM_SELECT, fst_kx_prim2(lo->kernel, FST_PRIM_EQ, fst_lower_dim(lo, from), one), zero, index);
}

static void broadcast_index(fst_lower *lo, uint32_t arg, fst_kx *index) {
  const fst_type_data *from = fst_lower_type(lo, arg), *to = fst_lower_result_type(lo, lo->result);
  for (int i = 0; i < from->rank; i++) {
    int at = i + to->rank - from->rank;
    index[i] = at < 0 ? fst_kx_int(lo->kernel, 0) : fst_lower_fit(lo, from->dims[i], to->dims[at], lo->index[at]);
  }
}
fst_kx fst_lower_broadcast(fst_lower *lo, uint32_t arg) {
  fst_kx index[FST_MAX_RANK];
  broadcast_index(lo, arg, index);
  return fst_lower_load(lo, arg, index);
}
fst_kx fst_lower_broadcast_as(fst_lower *lo, uint32_t arg, fst_dtype dtype) {
  fst_kx index[FST_MAX_RANK];
  broadcast_index(lo, arg, index);
  return fst_lower_load_as(lo, arg, index, dtype);
}

fst_kx fst_lower_size(fst_lower *lo, uint32_t arg, uint32_t dim) { return size_param(group_of(lo), fst_lower_type(lo, arg)->dims[dim]); }
fst_kx fst_lower_result_size(fst_lower *lo, uint32_t dim) { return size_param(group_of(lo), fst_lower_result_type(lo, lo->result)->dims[dim]); }
fst_kx fst_lower_dim(fst_lower *lo, fst_dim d) { return size_param(group_of(lo), d); }

static fst_kx real_value(fst_lower *lo, fst_value_id value, fst_dtype dtype) {
  const fst_const_data *c = fst_value_const(lo->graph, value);
  if (c && c->kind == FST_CONST_FLOAT) return fst_kx_convert(lo->kernel, fst_kx_float(lo->kernel, FST_F64, c->f), dtype);
  if (c && c->kind == FST_CONST_BOOL) return fst_kx_convert(lo->kernel, fst_kx_bool(lo->kernel, c->b), dtype);
  if (c && c->kind == FST_CONST_INT) return fst_kx_convert(lo->kernel, fst_kx_int(lo->kernel, c->i), dtype);
  if (fst_value_type_data(lo->graph, value)->kind == FST_TY_TENSOR) return fst_kx_convert(lo->kernel, load_part(lo, value, NULL, lo->part), dtype);
  return fst_kx_convert(lo->kernel, value_param(group_of(lo), value), dtype);
}
fst_kx fst_lower_value(fst_lower *lo, fst_value_id value, fst_dtype dtype) {
  const fst_const_data *c = fst_value_const(lo->graph, value);
  fst_dtype part = fst_dtype_part(dtype);
  if (part == dtype) return real_value(lo, value, dtype);
  if (c && c->kind == FST_CONST_COMPLEX) return as_part(lo, fst_kx_float(lo->kernel, part, c->c.re), fst_kx_float(lo->kernel, part, c->c.im));
  return as_part(lo, real_value(lo, value, part), kx_zero(lo, part));
}
fst_kx fst_lower_scalar(fst_lower *lo, uint32_t arg, fst_dtype dtype) { return fst_lower_value(lo, operand(lo, arg), dtype); }

const fst_type_data *fst_lower_type(const fst_lower *lo, uint32_t arg) { return fst_value_type_data(lo->graph, operand(lo, arg)); }
const fst_type_data *fst_lower_result_type(const fst_lower *lo, uint32_t result) {
  return fst_value_type_data(lo->graph, fst_node_get(lo->graph, lo->node)->results[result]);
}

uint32_t fst_lower_result_buffer(fst_lower *lo, uint32_t result) {
  uint32_t number = buffer_for(group_of(lo), fst_node_get(lo->graph, lo->node)->results[result], true);
  lo->kernel->buffers.data[number].is_written = true;
  return number;
}

bool fst_lower_const_int(const fst_lower *lo, uint32_t arg, int64_t *out) {
  fst_infer in = fst_infer_reader(lo);
  return fst_infer_const_int(&in, arg, out);
}
bool fst_lower_const_bool(const fst_lower *lo, uint32_t arg, bool *out) {
  fst_infer in = fst_infer_reader(lo);
  return fst_infer_const_bool(&in, arg, out);
}
bool fst_lower_const_str(const fst_lower *lo, uint32_t arg, const char **out) {
  fst_infer in = fst_infer_reader(lo);
  return fst_infer_const_str(&in, arg, out);
}
bool fst_lower_is_none(const fst_lower *lo, uint32_t arg) {
  fst_infer in = fst_infer_reader(lo);
  return fst_infer_is_none(&in, arg);
}
int fst_lower_int_list(const fst_lower *lo, uint32_t arg, fst_dim *out, int max) {
  fst_infer in = fst_infer_reader(lo);
  return fst_infer_int_list(&in, arg, out, max);
}
int fst_lower_list_length(const fst_lower *lo, uint32_t arg) {
  const fst_value_id *items;
  uint32_t count;
  if (list_items(lo, arg, &items, &count)) return (int)count;
  const fst_const_data *c = fst_value_const(lo->graph, operand(lo, arg));
  return c && c->kind == FST_CONST_TUPLE ? (int)c->count : -1;
}

// ---- complex elements ------------------------------------------------------------------------------

static bool is_complex(const fst_graph *graph, fst_value_id value, bool *out_fits) {
  const fst_type_data *t = fst_value_type_data(graph, value);
  if (t->kind == FST_TY_COMPLEX) return *out_fits = fst_value_const(graph, value) != NULL, true;
  if (t->kind != FST_TY_TENSOR || !fst_dtype_is_complex(t->dtype)) return false;
  if (t->rank >= FST_MAX_RANK) *out_fits = false;
  return true;
}

// Nodes that move complex elements, part by part; what computes with them has no kernel of ours.
static bool parts_are_moved(const fst_graph *graph, const fst_node *n) {
  bool any = false, fits = true;
  for (uint32_t i = 0; i < n->operand_count; i++) {
    const fst_node *list = fst_list_items(graph, n->operands[i]);
    any = is_complex(graph, n->operands[i], &fits) || any;
    for (uint32_t k = 0; list && k < list->operand_count; k++) any = is_complex(graph, list->operands[k], &fits) || any;
  }
  for (uint32_t r = 0; r < n->result_count; r++) any = is_complex(graph, n->results[r], &fits) || any;
  fst_op_class cls = fst_op_get(n->op)->cls;
  return !any || (fits && !computing_row(n->op)->lower_stmt && (cls == FST_CLASS_VIEW || cls == FST_CLASS_COPY || cls == FST_CLASS_GATHER));
}

// ---- groups ----------------------------------------------------------------------------------------

static const char *kernel_name(const fst_graph *graph, const fst_node_id *nodes, uint32_t count, fst_text *out) {
  for (uint32_t i = 0; i < count; i++) {
    const char *name = strchr(fst_op_name(fst_node_get(graph, nodes[i])->op), ':');
    if (i) fst_text_putc(out, '_');
    for (name = name ? name + 2 : "op"; *name && *name != '.'; name++) fst_text_putc(out, *name);
    if (out->len > 60) break;
  }
  return fst_text_cstr(out);
}

// Outputs of one shape share a statement, so that what they share is computed once.
static bool same_space(const fst_graph *graph, fst_value_id a, fst_value_id b) {
  const fst_type_data *x = fst_value_type_data(graph, a), *y = fst_value_type_data(graph, b);
  return x->rank == y->rank && fst_dtype_is_complex(x->dtype) == fst_dtype_is_complex(y->dtype) && (!x->rank || !memcmp(x->dims, y->dims, (size_t)x->rank * sizeof *x->dims));
}

// ---- outputs ----
// A space whose elements are computed in different ways in turn (a transposed convolution) is taken apart, so that each part is
// computed in one way: a dim of period p becomes p of 1/p-th the size. Parts of the last dim are stores of one statement where they
// are equally long: what they store lies side by side.
typedef struct space {
  int rank;
  bool has_parts;                      // the last dim is that of the parts of complex elements
  fst_kx extents[FST_MAX_RANK];        // of the outputs
  int64_t periods[FST_MAX_RANK], phase[FST_MAX_RANK];
  bool together;                       // the last dim's parts
} space;

static void space_read(group *g, const fst_node_id *nodes, uint32_t node_count, const fst_type_data *t, space *out) {
  enum { MOST_PARTS = 16 };
  int64_t parts = 1, size;
  *out = (space){.rank = t->rank};
  for (int d = 0; d < t->rank; d++) {
    out->extents[d] = size_param(g, t->dims[d]);
    out->periods[d] = 1;
  }
  for (uint32_t i = 0; i < node_count; i++) {
    const fst_type_data *own = fst_value_type_data(g->graph, fst_node_get(g->graph, nodes[i])->results[0]);
    int64_t periods[FST_MAX_RANK];
    if (own->kind != FST_TY_TENSOR || own->rank != t->rank) continue;
    for (int d = 0; d < t->rank; d++) periods[d] = 1;
    fst_lower lo = open_node(g, nodes[i], 0, NULL);
    fst_lower_periods(&lo, periods);
    for (int d = t->rank; d-- > 0;) {
      if (own->dims[d] != t->dims[d] || out->periods[d] > 1 || parts * periods[d] > MOST_PARTS) continue;
      parts *= out->periods[d] = periods[d];
    }
  }
  if (fst_dtype_is_complex(t->dtype)) {
    out->has_parts = true;
    out->periods[out->rank] = 1;
    out->extents[out->rank++] = fst_kx_int(g->out->kernel, 2);
    return;
  }
  out->together = t->rank && fst_kx_is_int(g->out->kernel, out->extents[t->rank - 1], &size) && size % out->periods[t->rank - 1] == 0;
}

// The next part of all dims but those that are stored together; false after the last.
static bool space_next(space *s) {
  for (int d = s->rank - s->together; d-- > 0;) {
    if (++s->phase[d] < s->periods[d]) return true;
    s->phase[d] = 0;
  }
  return false;
}

static uint32_t store_part(group *g, const space *s, const fst_kx *vars, const fst_value_id *outputs, uint32_t count, fst_kstore *stores, uint32_t used) {
  fst_kernel *k = g->out->kernel;
  fst_kx *index = FST_NEW_ARRAY(&k->arena, fst_kx, FST_MAX_RANK);
  for (int d = 0; d < s->rank; d++)
    index[d] = fst_kx_prim2(k, FST_PRIM_ADD, fst_kx_prim2(k, FST_PRIM_MUL, vars[d], fst_kx_int(k, s->periods[d])), fst_kx_int(k, s->phase[d]));
  for (uint32_t i = 0; i < count; i++) {
    fst_kx value = element(g, outputs[i], index, s->has_parts ? index[s->rank - 1] : FST_NO_KX);
    stores[used++] = (fst_kstore){buffer_for(g, outputs[i], true), value, (uint32_t)s->rank, index};
  }
  return used;
}

enum { STORES_OF_STATEMENT = 16 };

static void map_part(group *g, space *s, const fst_value_id *outputs, uint32_t count) {
  fst_kernel *k = g->out->kernel;
  fst_kx vars[FST_MAX_RANK], extents[FST_MAX_RANK];
  fst_kstore stores[STORES_OF_STATEMENT];
  uint32_t used = 0;
  for (int d = 0; d < s->rank; d++) {
    fst_kx period = fst_kx_int(k, s->periods[d]), last = fst_kx_int(k, s->periods[d] - 1 - s->phase[d]);
    vars[d] = fst_kernel_var(k, FST_I64);
    extents[d] = s->periods[d] == 1 ? s->extents[d] : fst_kx_prim2(k, FST_PRIM_DIV, fst_kx_prim2(k, FST_PRIM_ADD, s->extents[d], last), period);
  }
  int64_t parts = s->together ? s->periods[s->rank - 1] : 1;
  for (int64_t part = 0; part < parts; part++) {
    if (s->together) s->phase[s->rank - 1] = part;
    used = store_part(g, s, vars, outputs, count, stores, used);
  }
  if (s->together) s->phase[s->rank - 1] = 0;
  fst_kernel_map(k, vars, extents, (uint32_t)s->rank, stores, used);
}

static void map_outputs(group *g, const fst_node_id *nodes, uint32_t node_count, const fst_value_id *outputs, uint32_t count, bool *done) {
  for (uint32_t first = 0; first < count; first++) {
    if (done[first]) continue;
    fst_value_id alike[STORES_OF_STATEMENT];
    uint32_t alike_count = 0;
    space s;
    space_read(g, nodes, node_count, fst_value_type_data(g->graph, outputs[first]), &s);
    uint32_t most = STORES_OF_STATEMENT / (s.together ? (uint32_t)s.periods[s.rank - 1] : 1);
    for (uint32_t i = first; i < count && alike_count < most; i++) {
      if (done[i] || !same_space(g->graph, outputs[first], outputs[i])) continue;
      alike[alike_count++] = outputs[i];
      done[i] = true;
    }
    do map_part(g, &s, alike, alike_count);
    while (space_next(&s));
  }
}

static void group_deinit(group *g) {
  fst_map_deinit(&g->inside);
  fst_map_deinit(&g->buffer_of);
  fst_map_deinit(&g->memo);
  fst_vec_free(&g->elements);
}

fst_status fst_lower_group(const fst_graph *graph, const fst_node_id *nodes, uint32_t node_count, const fst_value_id *outputs, uint32_t output_count, fst_lowered *out) {
  enum { MOST_OUTPUTS = 64 };
  group g = {.graph = graph, .out = out};
  bool done[MOST_OUTPUTS] = {0};
  fst_text name = {0};
  if (output_count > MOST_OUTPUTS) return FST_FAIL(FST_ERR_UNSUPPORTED, "a group with %u results", output_count);
  memset(out, 0, sizeof *out);
  out->kernel = fst_kernel_create(kernel_name(graph, nodes, node_count, &name));
  fst_text_deinit(&name);
  for (uint32_t i = 0; i < node_count; i++) {
    fst_map_set(&g.inside, nodes[i].id, 1);
    if (!parts_are_moved(graph, fst_node_get(graph, nodes[i]))) {
      group_deinit(&g);
      return FST_FAIL(FST_ERR_UNSUPPORTED, "%s has no kernel for complex elements", fst_op_name(fst_node_get(graph, nodes[i])->op));
    }
  }
  for (uint32_t i = 0; i < node_count; i++) {   // statements first: what follows loads their results
    const fst_op_info *row = computing_row(fst_node_get(graph, nodes[i])->op);
    if (!row->lower_stmt) continue;
    fst_lower lo = open_node(&g, nodes[i], 0, NULL);
    row->lower_stmt(&lo);
    if (!out->kernel->stmts.len) g.missing = fst_op_name(fst_node_get(graph, nodes[i])->op);
    for (uint32_t k = 0; k < output_count; k++) done[k] = done[k] || fst_node_eq(fst_value_def(graph, outputs[k]), nodes[i]);
  }
  map_outputs(&g, nodes, node_count, outputs, output_count, done);
  fst_kernel_simplify(out->kernel);
  fst_status status = g.missing ? FST_FAIL(FST_ERR_UNSUPPORTED, "%s has no kernel for these operands", g.missing) : fst_kernel_verify(out->kernel);
  group_deinit(&g);
  return status;
}

// ---- numbers ---------------------------------------------------------------------------------------

static fst_dtype number_dtype(const fst_graph *graph, const fst_node *n, const char *rule) {
  if (!strcmp(rule, "double")) return FST_F64;
  if (!strcmp(rule, "bool")) return FST_BOOL;
  if (!strcmp(rule, "int")) return FST_I64;
  for (uint32_t i = 0; i < n->operand_count; i++)
    if (fst_value_type_data(graph, n->operands[i])->kind == FST_TY_FLOAT) return FST_F64;
  return FST_I64;
}

static fst_kx number_operand(void *context, const char *name) {
  scalar_names *s = context;
  int arg = fst_schema_arg_index(s->schema, name);
  return arg < 0 ? FST_NO_KX : fst_lower_scalar(s->lo, (uint32_t)arg, s->dtype);
}

static fst_dtype number_result(const fst_graph *graph, fst_value_id value) {
  fst_type_kind kind = fst_value_type_data(graph, value)->kind;
  return kind == FST_TY_FLOAT ? FST_F64 : kind == FST_TY_BOOL ? FST_BOOL : FST_I64;
}

// One expression of a row: stores what `text` up to a `;` says into a buffer of its own, as `dtype`.
static fst_kstore number_store(group *g, fst_node_id node, const char *text, fst_dtype dtype, fst_value_id value) {
  const fst_node *n = fst_node_get(g->graph, node);
  fst_kernel *k = g->out->kernel;
  fst_kbuf b = {.dtype = dtype};
  fst_kernel_arg arg = {.value = value, .dim = FST_DIM_UNKNOWN, .is_output = true};
  uint32_t buffer = fst_kernel_buffer(k, &b);
  fst_vec_push(&g->out->buffers, arg);
  fst_lower lo = open_node(g, node, 0, NULL);
  const char *rule = fst_op_get(n->op)->promote;
  scalar_names names = {&lo, fst_op_schema(n->op), number_dtype(g->graph, n, rule ? rule : "number")};
  char *expression = fst_arena_strndup(&k->arena, text, strcspn(text, ";"));
  return (fst_kstore){buffer, fst_kx_convert(k, fst_kx_expression(k, expression, names.dtype, number_operand, &names), dtype), 0, NULL};
}

static fst_status number_kernel(group *g, const fst_kstore *stores, uint32_t count) {
  fst_kernel_map(g->out->kernel, NULL, NULL, 0, stores, count);
  group_deinit(g);
  return NULL;
}

static bool number_open(const fst_graph *graph, const fst_node *n, fst_lowered *out, group *g) {
  const fst_op_info *row = fst_op_get(n->op);
  memset(out, 0, sizeof *out);
  *g = (group){.graph = graph, .out = out};
  if (row->cls != FST_CLASS_SCALAR || !row->scalar) return false;
  out->kernel = fst_kernel_create(strchr(fst_op_name(n->op), ':') + 2);
  return true;
}

fst_status fst_lower_scalar_node(const fst_graph *graph, fst_node_id node, fst_lowered *out) {
  const fst_node *n = fst_node_get(graph, node);
  fst_kstore stores[FST_LOWER_NUMBERS];
  group g;
  if (n->result_count > FST_LOWER_NUMBERS || !number_open(graph, n, out, &g)) return FST_FAIL(FST_ERR_UNSUPPORTED, "%s has no native form", fst_op_name(n->op));
  const char *text = fst_op_get(n->op)->scalar;
  for (uint32_t r = 0; r < n->result_count; r++) {
    stores[r] = number_store(&g, node, text, number_result(graph, n->results[r]), n->results[r]);
    text += strcspn(text, ";");
    text += *text == ';';
  }
  return number_kernel(&g, stores, n->result_count);
}

fst_status fst_lower_refusal(const fst_graph *graph, fst_node_id node, fst_lowered *out) {
  const fst_node *n = fst_node_get(graph, node);
  group g;
  if (!fst_op_get(n->op)->refuses || !number_open(graph, n, out, &g)) return FST_FAIL(FST_ERR_UNSUPPORTED, "%s never raises", fst_op_name(n->op));
  fst_kstore store = number_store(&g, node, fst_op_get(n->op)->refuses, FST_BOOL, FST_NO_VALUE);
  return number_kernel(&g, &store, 1);
}

void fst_lowered_deinit(fst_lowered *lowered) {
  fst_kernel_destroy(lowered->kernel);
  fst_vec_free(&lowered->buffers);
  fst_vec_free(&lowered->params);
}
