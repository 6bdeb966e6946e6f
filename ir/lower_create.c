// Creation: an element from its index.
#include <string.h>

#include "ir/args.h"
#include "ir/lower.h"
#include "ir/lower_build.h"
#include "ir/rows_basic.h"

static fst_dtype result_dtype(const fst_lower *lo) { return fst_lower_result_type(lo, 0)->dtype; }

void fst_lower_zeros(fst_lower *lo) { lo->value = kx_zero(lo, result_dtype(lo)); }
void fst_lower_ones(fst_lower *lo) { lo->value = fst_kx_number(lo->kernel, result_dtype(lo), 1.0, 1); }
void fst_lower_full(fst_lower *lo) { lo->value = fst_lower_scalar(lo, 1, result_dtype(lo)); }
void fst_lower_new_full(fst_lower *lo) { lo->value = fst_lower_scalar(lo, 2, result_dtype(lo)); }
void fst_lower_number(fst_lower *lo) { lo->value = fst_lower_scalar(lo, 0, result_dtype(lo)); }

// Number of the argument with this name; the row is known to have it.
static uint32_t arg_named(const fst_lower *lo, const char *name) {
  return (uint32_t)fst_schema_arg_index(fst_op_schema(fst_node_get(lo->graph, lo->node)->op), name);
}

static bool has_arg(const fst_lower *lo, const char *name) {
  return fst_schema_arg_index(fst_op_schema(fst_node_get(lo->graph, lo->node)->op), name) >= 0;
}

// start + i * step: integers exactly, floats in double as PyTorch's accumulate type does.
void fst_lower_arange(fst_lower *lo) {
  fst_dtype dtype = result_dtype(lo);
  fst_dtype wide = fst_dtype_is_float(dtype) ? FST_F64 : FST_I64;
  fst_kx i = kx_convert(lo, lo->index[0], wide);
  fst_kx step = has_arg(lo, "step") ? fst_lower_scalar(lo, arg_named(lo, "step"), wide) : fst_kx_number(lo->kernel, wide, 1.0, 1);
  fst_kx start = has_arg(lo, "start") ? fst_lower_scalar(lo, arg_named(lo, "start"), wide) : kx_zero(lo, wide);
  lower_finish(lo, kx_add(lo, start, kx_mul(lo, i, step)));
}

static fst_kx bound(fst_lower *lo, uint32_t arg, fst_dtype dtype) {
  if (fst_lower_type(lo, arg)->kind != FST_TY_TENSOR) return fst_lower_scalar(lo, arg, dtype);
  return kx_convert(lo, fst_lower_load(lo, arg, NULL), dtype);
}

// PyTorch counts from the nearer end: start + i * step in the first half, end - (n - 1 - i) * step after it.
static fst_kx linspace_element(fst_lower *lo, fst_dtype dtype) {
  fst_kx start = bound(lo, 0, dtype), end = bound(lo, 1, dtype), one = kx_int(lo, 1), i = lo->index[0];
  fst_kx last = kx_sub(lo, fst_lower_result_size(lo, 0), one);
  fst_kx spaces = kx_convert(lo, kx_max(lo, last, one), dtype);
  fst_kx step = kx_prim(lo, FST_PRIM_DIV, kx_sub(lo, end, start), spaces);
  fst_kx rising = kx_add(lo, start, kx_mul(lo, step, kx_convert(lo, i, dtype)));
  fst_kx falling = kx_sub(lo, end, kx_mul(lo, step, kx_convert(lo, kx_sub(lo, last, i), dtype)));
  fst_kx half = kx_div(lo, fst_lower_result_size(lo, 0), kx_int(lo, 2));
  fst_kx element = kx_select(lo, kx_lt(lo, i, half), rising, falling);
  return kx_select(lo, kx_eq(lo, last, kx_int(lo, 0)), start, element);  // a single step is start
}

void fst_lower_linspace(fst_lower *lo) {
  fst_dtype dtype = result_dtype(lo);
  lower_finish(lo, linspace_element(lo, fst_dtype_is_float(dtype) ? fst_dtype_wide(dtype) : FST_F32));
}

void fst_lower_logspace(fst_lower *lo) {
  fst_dtype dtype = result_dtype(lo);
  if (!fst_dtype_is_float(dtype)) return;
  fst_kx base = fst_lower_scalar(lo, 3, FST_F64);
  lower_finish(lo, kx_call2(lo, "pow", base, linspace_element(lo, FST_F64)));
}

void fst_lower_eye(fst_lower *lo) {
  fst_dtype dtype = result_dtype(lo);
  lo->value = kx_select(lo, kx_eq(lo, lo->index[0], lo->index[1]), fst_kx_number(lo->kernel, dtype, 1.0, 1), kx_zero(lo, dtype));
}

// Keeps column - row <= diagonal (lower) or >= diagonal (upper).
static void triangle(fst_lower *lo, bool is_lower) {
  const fst_type_data *type = fst_lower_result_type(lo, 0);
  fst_kx distance = kx_sub(lo, lo->index[type->rank - 1], lo->index[type->rank - 2]);
  fst_kx diagonal = fst_lower_scalar(lo, 1, FST_I64);
  fst_kx keep = is_lower ? kx_le(lo, distance, diagonal) : kx_le(lo, diagonal, distance);
  lo->value = kx_select(lo, keep, fst_lower_load(lo, 0, lo->index), kx_zero(lo, type->dtype));
}
void fst_lower_tril(fst_lower *lo) { triangle(lo, true); }
void fst_lower_triu(fst_lower *lo) { triangle(lo, false); }

// Element k of [rows; columns]: the row is found by counting the elements of the rows before it, one
// comparison a row, so that no square root is rounded.
void fst_lower_triangle_indices(fst_lower *lo) {
  int64_t rows, columns, offset;
  if (!fst_lower_const_int(lo, 0, &rows) || !fst_lower_const_int(lo, 1, &columns) || !fst_lower_const_int(lo, 2, &offset)) return;
  bool is_lower = !strncmp(fst_op_name(fst_node_get(lo->graph, lo->node)->op), "aten::tril", 10);
  fst_kx k = lo->index[1], row = kx_int(lo, 0), column = kx_int(lo, 0);
  int64_t before = 0;
  if (rows > 256) return;
  for (int64_t r = 0; r < rows; r++) {
    int64_t edge = r + offset + (is_lower ? 1 : 0);
    edge = edge < 0 ? 0 : edge > columns ? columns : edge;
    int64_t first = is_lower ? 0 : edge, count = is_lower ? edge : columns - edge;
    if (count <= 0) continue;
    fst_kx here = kx_le(lo, kx_int(lo, before), k);
    row = kx_select(lo, here, kx_int(lo, r), row);
    column = kx_select(lo, here, kx_add(lo, k, kx_int(lo, first - before)), column);
    before += count;
  }
  lower_finish(lo, kx_select(lo, kx_eq(lo, lo->index[0], kx_int(lo, 0)), row, column));
}

// ---- lists of numbers ------------------------------------------------------------------------------

enum { LIST_NUMBERS = 1024 };

static fst_kx constant_number(fst_lower *lo, fst_const c, fst_dtype dtype) {
  const fst_const_data *data = fst_const_get(lo->graph->module, c);
  switch (data->kind) {
    case FST_CONST_INT: return fst_kx_convert(lo->kernel, kx_int(lo, data->i), dtype);
    case FST_CONST_FLOAT: return fst_kx_convert(lo->kernel, fst_kx_float(lo->kernel, FST_F64, data->f), dtype);
    case FST_CONST_BOOL: return fst_kx_convert(lo->kernel, fst_kx_bool(lo->kernel, data->b), dtype);
    default: return FST_NO_KX;
  }
}

// The numbers of a nested list in order. False where one is no number we can name here.
static bool list_constants(fst_lower *lo, fst_const c, fst_dtype dtype, fst_kx *out, int *count) {
  const fst_const_data *data = fst_const_get(lo->graph->module, c);
  if (data->kind == FST_CONST_TUPLE) {
    for (uint32_t i = 0; i < data->count; i++)
      if (!list_constants(lo, data->items[i], dtype, out, count)) return false;
    return true;
  }
  if (*count == LIST_NUMBERS) return false;
  out[*count] = constant_number(lo, c, dtype);
  return out[(*count)++].id != 0;
}

static bool list_numbers(fst_lower *lo, const fst_node *list, fst_dtype dtype, fst_kx *out, int *count) {
  for (uint32_t i = 0; i < list->operand_count; i++) {
    const fst_value *v = fst_value_get(lo->graph, list->operands[i]);
    const fst_node *inner = v->kind == FST_VALUE_CONST ? NULL : fst_list_inner(lo->graph, list, i);
    bool named = v->kind == FST_VALUE_CONST || inner || !fst_type_is(lo->graph->module->types, v->type, FST_TY_LIST);
    if (!named || *count == LIST_NUMBERS) return false;
    if (v->kind == FST_VALUE_CONST || inner) {
      if (inner ? !list_numbers(lo, inner, dtype, out, count) : !list_constants(lo, v->constant, dtype, out, count)) return false;
      continue;
    }
    out[*count] = fst_lower_value(lo, list->operands[i], dtype);
    if (!out[(*count)++].id) return false;
  }
  return true;
}

void fst_lower_tensor_list_data(fst_lower *lo) {
  fst_kx numbers[LIST_NUMBERS];
  int count = 0;
  fst_dtype dtype = result_dtype(lo);
  const fst_type_data *type = fst_lower_result_type(lo, 0);
  fst_value_id data = fst_node_operand(fst_node_get(lo->graph, lo->node), 0);
  const fst_value *v = fst_value_get(lo->graph, data);
  const fst_node *list = v->kind == FST_VALUE_CONST ? NULL : fst_list_items(lo->graph, data);
  if (list ? !list_numbers(lo, list, dtype, numbers, &count) : v->kind != FST_VALUE_CONST || !list_constants(lo, v->constant, dtype, numbers, &count)) return;
  fst_kx at = kx_int(lo, 0);
  for (int i = 0; i < type->rank; i++) at = kx_add(lo, kx_mul(lo, at, fst_lower_result_size(lo, (uint32_t)i)), lo->index[i]);
  fst_kx value = count ? numbers[count - 1] : kx_zero(lo, dtype);
  for (int i = count - 2; i >= 0; i--) value = kx_select(lo, kx_eq(lo, at, kx_int(lo, i)), numbers[i], value);
  lo->value = value;
}
