#include "driver/slot_form.h"

static bool is_row_major(const fst_graph *home, fst_type type) {
  const fst_type_data *t = fst_type_get(home->module->types, type);
  bool open = t->has_strides;   // there but unknown: row-major, whatever the sizes (see passes/specialize.c)
  for (int i = 0; i < t->rank; i++) open = open && !fst_dim_is_known(t->strides[i]);
  return open || fst_type_is_contiguous(home->dims, home->module->types, type);
}

fst_slot_form fst_slot_form_loosen(const fst_graph *home, fst_slot_form form) {
  fst_types *types = home->module->types;
  const fst_type_data *t = fst_type_get(types, form.type);
  form.value = (fst_const){0};
  if (t->kind != FST_TY_TENSOR || t->rank <= 0) return form;
  fst_dim open[FST_MAX_RANK];
  for (int i = 0; i < t->rank; i++) open[i] = FST_DIM_UNKNOWN;
  form.type = fst_type_tensor(types, t->dtype, t->rank, open, is_row_major(home, form.type) ? open : NULL, t->device_kind, t->device_index);
  return form;
}

static bool covers_dim(fst_dim general, fst_dim dim) { return !fst_dim_is_known(general) || general == dim; }

bool fst_slot_form_covers(const fst_graph *home, fst_slot_form general, fst_slot_form form) {
  const fst_type_data *g = fst_type_get(home->module->types, general.type), *t = fst_type_get(home->module->types, form.type);
  if (general.value.id && general.value.id != form.value.id) return false;
  if (fst_type_eq(general.type, form.type)) return true;
  if (g->kind != FST_TY_TENSOR || t->kind != FST_TY_TENSOR || g->rank < 0 || g->rank != t->rank || g->dtype != t->dtype || g->device_kind != t->device_kind) return false;
  for (int i = 0; i < g->rank; i++)
    if (!covers_dim(g->dims[i], t->dims[i])) return false;
  if (!g->has_strides) return true;
  if (is_row_major(home, general.type)) return is_row_major(home, form.type);
  // A row-major tensor may have any stride where its size is 1, and all of them when it is empty.
  bool row_major = is_row_major(home, form.type);
  int64_t size;
  for (int i = 0; i < g->rank; i++) {
    if (row_major && (!fst_dim_is_const(home->dims, t->dims[i], &size) || size < 1)) return false;
    bool certain = !row_major || t->dims[i] != 1;
    if (fst_dim_is_known(g->strides[i]) && !(certain && t->has_strides && g->strides[i] == t->strides[i])) return false;
  }
  return true;
}
