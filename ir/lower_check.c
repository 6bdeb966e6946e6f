// Run-time checks of kernels: see ir/lower.h.
#include <string.h>

#include "ir/args.h"
#include "ir/lower_build.h"

enum { CHECK_WORDS = 3 };  // raised, then the text's two numbers

static bool check_exists(const fst_lower *lo, uint32_t key) {
  for (size_t i = 0; i < lo->lowered->buffers.len; i++) {
    const fst_kernel_arg *arg = &lo->lowered->buffers.data[i];
    if (arg->check_text && fst_node_eq(arg->check_node, lo->node) && arg->check_key == key) return true;
  }
  return false;
}

static uint32_t check_buffer(fst_lower *lo, uint32_t key, const char *cls, const char *text) {
  fst_kbuf buffer = {.dtype = FST_I64, .rank = 1, .sizes = {kx_int(lo, CHECK_WORDS)}, .strides = {kx_int(lo, 1)}, .is_written = true};
  uint32_t number = fst_kernel_buffer(lo->kernel, &buffer);
  fst_kernel_arg arg = {.dim = FST_DIM_UNKNOWN, .is_output = true, .check_class = cls, .check_text = fst_arena_strdup(&lo->kernel->arena, text),
                        .check_node = lo->node, .check_key = key};
  FST_ASSERT(number == lo->lowered->buffers.len, "a kernel's buffers and their arguments differ");
  fst_vec_push(&lo->lowered->buffers, arg);
  return number;
}

static fst_kx over(fst_lower *lo, fst_reduce op, const fst_kx *vars, const fst_kx *extents, uint32_t count, fst_kx body) {
  return count ? fst_kx_reduce(lo->kernel, op, vars, extents, count, body) : body;
}

void fst_lower_check(fst_lower *lo, uint32_t key, const fst_kx *vars, const fst_kx *extents, uint32_t count, fst_kx bad, fst_kx a, fst_kx b, const char *cls, const char *text) {
  fst_kx none = kx_int(lo, INT64_MIN);
  fst_kx shown = fst_kx_prim2(lo->kernel, FST_PRIM_MAX, a, kx_int(lo, INT64_MIN + 1));
  fst_kx worst = over(lo, FST_REDUCE_MAX, vars, extents, count, kx_select(lo, bad, shown, none));
  fst_kx flag = kx_convert(lo, kx_ne(lo, worst, none), FST_I64);
  if (kx_is_int(lo, flag, 0) || check_exists(lo, key)) return;
  uint32_t buffer = check_buffer(lo, key, cls, text);
  fst_kx places[CHECK_WORDS] = {kx_int(lo, 0), kx_int(lo, 1), kx_int(lo, 2)};
  fst_kstore stores[CHECK_WORDS] = {{buffer, flag, 1, &places[0]}, {buffer, worst, 1, &places[1]}, {buffer, b, 1, &places[2]}};
  fst_kernel_map(lo->kernel, NULL, NULL, 0, stores, CHECK_WORDS);
}

// A constant index tensor is looked at here, once, so that its check costs nothing at run time.
static bool constant_fits(fst_lower *lo, fst_value_id value, fst_kx size, bool wraps) {
  const fst_const_data *data = fst_value_const(lo->graph, value);
  int64_t limit;
  if (!data || data->kind != FST_CONST_TENSOR || !fst_kx_is_int(lo->kernel, size, &limit)) return false;
  const fst_type_data *type = fst_type_get(lo->graph->module->types, data->type);
  if (type->dtype != FST_I64 || !fst_type_is_contiguous(lo->graph->dims, lo->graph->module->types, data->type)) return false;
  int64_t count = 1;
  for (int i = 0; i < type->rank; i++) count *= type->dims[i];
  const int64_t *items = fst_module_tensor_data(lo->graph->module, data->index);
  for (int64_t i = 0; items && i < count; i++)
    if (items[i] >= limit || items[i] < (wraps ? -limit : 0)) return false;
  return items != NULL;
}

void fst_lower_check_index(fst_lower *lo, uint32_t arg, int item, fst_kx size, bool wraps, const char *cls, const char *text) {
  fst_infer in = fst_infer_reader(lo);
  uint32_t key = arg << 16 | (uint32_t)(item + 1);
  fst_value_id value = fst_infer_arg(&in, arg), items[FST_MAX_RANK];
  if (check_exists(lo, key)) return;
  if (item >= 0) {
    if (fst_args_items(&in, arg, items, FST_MAX_RANK) <= item) return;
    value = items[item];
  }
  if (constant_fits(lo, value, size, wraps)) return;
  const fst_type_data *type = fst_value_type_data(lo->graph, value);
  fst_kx vars[FST_MAX_RANK], extents[FST_MAX_RANK];
  for (int i = 0; i < type->rank; i++) {
    vars[i] = kx_var(lo);
    extents[i] = fst_lower_dim(lo, type->dims[i]);
  }
  fst_kx index = kx_convert(lo, item < 0 ? fst_lower_load(lo, arg, vars) : fst_lower_load_item(lo, arg, (uint32_t)item, vars), FST_I64);
  fst_kx low = wraps ? fst_kx_prim1(lo->kernel, FST_PRIM_NEG, size) : kx_int(lo, 0);
  fst_kx bad = kx_or(lo, kx_lt(lo, index, low), kx_le(lo, size, index));
  fst_lower_check(lo, key, vars, extents, (uint32_t)type->rank, bad, index, size, cls, text);
}
