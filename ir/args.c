#include "ir/args.h"

#include <string.h>

#include "ir/layout.h"
#include "ir/lower_build.h"

fst_infer fst_infer_reader(const fst_lower *lo) {
  return (fst_infer){.graph = (fst_graph *)lo->graph, .node = lo->node, .dims = lo->graph->dims,
                     .types = lo->graph->module->types, .arena = &lo->kernel->arena};
}

bool fst_lower_has_arg(const fst_lower *lo, int arg) { return arg >= 0 && !fst_lower_is_none(lo, (uint32_t)arg); }

int fst_args_find(const fst_infer *in, const char *name) {
  const fst_schema *schema = fst_op_schema(fst_node_get(in->graph, in->node)->op);
  int arg = schema ? fst_schema_arg_index(schema, name) : -1;
  return arg >= 0 && (uint32_t)arg < fst_infer_arg_count(in) ? arg : -1;
}

bool fst_args_has(const fst_infer *in, const char *name) {
  int arg = fst_args_find(in, name);
  return arg >= 0 && !fst_infer_is_none(in, (uint32_t)arg);
}

bool fst_args_bool(const fst_infer *in, const char *name, bool otherwise, bool *out) {
  *out = otherwise;
  return !fst_args_has(in, name) || fst_infer_const_bool(in, (uint32_t)fst_args_find(in, name), out);
}

bool fst_args_int(const fst_infer *in, const char *name, int64_t otherwise, int64_t *out) {
  *out = otherwise;
  return !fst_args_has(in, name) || fst_infer_const_int(in, (uint32_t)fst_args_find(in, name), out);
}

bool fst_args_float(const fst_infer *in, const char *name, double otherwise, double *out) {
  *out = otherwise;
  if (!fst_args_has(in, name)) return true;
  uint32_t arg = (uint32_t)fst_args_find(in, name);
  int64_t whole;
  if (fst_infer_const_float(in, arg, out)) return true;
  if (!fst_infer_const_int(in, arg, &whole)) return false;
  *out = (double)whole;
  return true;
}

const char *fst_args_str(const fst_infer *in, const char *name) {
  const char *text;
  int arg = fst_args_find(in, name);
  return arg >= 0 && fst_infer_const_str(in, (uint32_t)arg, &text) ? text : NULL;
}

fst_dim fst_args_dim(const fst_infer *in, const char *name, fst_dim otherwise) {
  return fst_args_has(in, name) ? fst_infer_int(in, (uint32_t)fst_args_find(in, name)) : otherwise;
}

bool fst_args_dims(const fst_infer *in, const char *name, int count, fst_dim otherwise, fst_dim *out) {
  int arg = fst_args_find(in, name), got = 0;
  if (arg >= 0 && !fst_infer_is_none(in, (uint32_t)arg)) {
    fst_dim single = fst_infer_int(in, (uint32_t)arg);
    if (fst_dim_is_known(single)) out[0] = single, got = 1;
    else got = fst_infer_int_list(in, (uint32_t)arg, out, count);
  }
  if (got < 0 || (got > 1 && got < count)) return false;
  for (int i = got; i < count; i++) out[i] = got ? out[0] : otherwise;
  for (int i = 0; i < count; i++)
    if (!fst_dim_is_known(out[i])) return false;
  return true;
}

int fst_args_axes(fst_infer *in, const char *name, int rank, int *out) {
  fst_dim dims[FST_MAX_RANK];
  int arg = fst_args_find(in, name);
  int count = arg < 0 ? -1 : fst_infer_int_list(in, (uint32_t)arg, dims, FST_MAX_RANK);
  for (int i = 0; i < count; i++) {
    int64_t value;
    if (!fst_dim_is_const(in->dims, dims[i], &value)) return -1;
    out[i] = fst_infer_wrap_dim(in, value, rank);
    if (out[i] < 0) return -1;
  }
  return count;
}

int fst_args_items(const fst_infer *in, uint32_t arg, fst_value_id *out, int max) {
  fst_value_id id = fst_infer_arg(in, arg);
  const fst_const_data *literal = fst_value_const(in->graph, id);
  if (literal && literal->kind == FST_CONST_TUPLE) {
    if ((int)literal->count > max) return -1;
    for (uint32_t i = 0; i < literal->count; i++) out[i] = fst_graph_const(in->graph, literal->items[i]);
    return (int)literal->count;
  }
  const fst_node *node = literal ? NULL : fst_list_items(in->graph, id);
  if (!node || (int)node->operand_count > max) return -1;
  memcpy(out, node->operands, node->operand_count * sizeof *out);
  return (int)node->operand_count;
}

int fst_args_floats(const fst_infer *in, const char *name, double *out, int max) {
  fst_value_id items[FST_MAX_RANK];
  int arg = fst_args_find(in, name);
  int count = arg < 0 ? -1 : fst_args_items(in, (uint32_t)arg, items, max < FST_MAX_RANK ? max : FST_MAX_RANK);
  for (int i = 0; i < count; i++)
    if (!fst_value_const_float(in->graph, items[i], &out[i])) return -1;
  return count;
}

void fst_infer_set_format(fst_infer *in, uint32_t r, fst_dtype dtype, int rank, const fst_dim *dims, int format) {
  fst_shape shape = {.rank = rank, .has_strides = true};
  memcpy(shape.dims, dims, sizeof(fst_dim) * (size_t)rank);
  fst_layout_format(in->dims, format, &shape);
  fst_infer_set_strided(in, r, dtype, rank, shape.dims, shape.strides);
}

int fst_infer_format(fst_infer *in, const fst_type_data *type) {
  fst_shape shape = fst_shape_of(in->dims, type);
  return fst_shape_format(in->dims, &shape);
}

void fst_infer_set_like(fst_infer *in, uint32_t r, fst_dtype dtype, const fst_type_data *like) {
  fst_shape shape = fst_shape_of(in->dims, like), out = shape;
  fst_layout_like(in->dims, &shape, &out);
  fst_infer_set_strided(in, r, dtype, out.rank, out.dims, out.strides);
}
