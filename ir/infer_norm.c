// Result types of normalisations and dropout.
#include <string.h>

#include "ir/args.h"
#include "ir/layout.h"
#include "ir/norm.h"
#include "ir/rows_structured.h"

static bool ends_with(const char *text, const char *end) {
  size_t n = strlen(text), m = strlen(end);
  return n >= m && !strcmp(text + n - m, end);
}

// ---- over trailing dims ----
int fst_layer_norm_axis(fst_infer *in, const fst_type_data *x) {
  fst_dim ignored[FST_MAX_RANK];
  int count = fst_infer_int_list(in, 1, ignored, FST_MAX_RANK);
  return count < 0 || count > x->rank ? -1 : x->rank - count;
}

static bool normalized_agree(fst_infer *in, const fst_type_data *x, int axis) {
  fst_dim shape[FST_MAX_RANK];
  int count = fst_infer_int_list(in, 1, shape, FST_MAX_RANK);
  fst_type_data wanted = {.rank = count, .dims = shape};
  const char *want = fst_infer_shape_text(in, wanted.dims, wanted.rank);
  const char *text = fst_arena_printf(in->arena, "Given normalized_shape=%s, expected input with shape [*, %s, but got input of size%s", want, want + 1, fst_infer_shape_text(in, x->dims, x->rank));
  for (int i = 0; i < count; i++)
    if (!fst_infer_require_equal(in, shape[i], x->dims[axis + i], text)) return false;
  return true;
}

static bool affine_agree(fst_infer *in, const char *name, const fst_type_data *x, int axis) {
  int arg = fst_args_find(in, name);
  if (arg < 0 || fst_infer_is_none(in, (uint32_t)arg)) return true;
  const fst_type_data *w = fst_infer_tensor(in, (uint32_t)arg);
  if (!w) return false;
  const char *text = fst_arena_printf(in->arena, "Expected %s to be of same shape as normalized_shape, but got %s of shape %s and normalized_shape = %s", name, name,
                                      fst_infer_shape_text(in, w->dims, w->rank), fst_infer_shape_text(in, x->dims + axis, x->rank - axis));
  if (w->rank != x->rank - axis) return in->message = text, false;
  for (int i = 0; i < w->rank; i++)
    if (!fst_infer_require_equal(in, w->dims[i], x->dims[axis + i], text)) return false;
  return true;
}

int fst_infer_layer_norm(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0);
  if (!x) return FST_INFER_UNKNOWN;
  int axis = fst_layer_norm_axis(in, x);
  if (axis < 0) return fst_infer_give_up(in, "the normalized shape is not known");
  if (!normalized_agree(in, x, axis) || !affine_agree(in, "weight", x, axis) || !affine_agree(in, "bias", x, axis)) return FST_INFER_RAISES;
  fst_infer_set_tensor(in, 0, x->dtype, x->rank, x->dims);
  if (fst_node_get(in->graph, in->node)->result_count == 1) return FST_INFER_OK;
  fst_dim dims[FST_MAX_RANK];
  for (int i = 0; i < x->rank; i++) dims[i] = i < axis ? x->dims[i] : fst_dim_const(in->dims, 1);
  for (uint32_t r = 1; r < 3; r++) fst_infer_set_tensor(in, r, x->dtype, x->rank, dims);
  return FST_INFER_OK;
}

// ---- over groups of channels ----
int fst_infer_group_norm(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0);
  int64_t groups;
  bool native = fst_args_find(in, "group") >= 0;
  if (!x) return FST_INFER_UNKNOWN;
  if (!fst_args_int(in, native ? "group" : "num_groups", 1, &groups)) return fst_infer_give_up(in, "the number of groups is not a constant");
  if (x->rank < 2) return fst_infer_raise(in, "Expected at least 2 dimensions for input tensor but received %d", x->rank);
  if (groups <= 0) return fst_infer_raise(in, "Expected num groups to be greater than 0, got %lld", (long long)groups);
  fst_dim count = fst_dim_const(in->dims, groups);
  const char *text = fst_arena_printf(in->arena, "Expected number of channels in input to be divisible by num_groups, but got input of shape %s and num_groups=%lld",
                                      fst_infer_shape_text(in, x->dims, x->rank), (long long)groups);
  if (!fst_infer_require_equal(in, fst_dim_mod(in->dims, x->dims[1], count), fst_dim_const(in->dims, 0), text)) return FST_INFER_RAISES;
  fst_infer_set_format(in, 0, x->dtype, x->rank, x->dims, fst_infer_format(in, x));
  for (uint32_t r = 1; native && r < 3; r++) fst_infer_set_tensor(in, r, x->dtype, 2, (fst_dim[]){x->dims[0], count});
  return FST_INFER_OK;
}

// ---- over the batch, or with kept statistics ----
bool fst_batch_norm_read(fst_infer *in, bool *out_from_input) {
  const char *name = fst_op_name(fst_node_get(in->graph, in->node)->op);
  if (ends_with(name, "no_training")) return *out_from_input = false, true;
  if (fst_args_find(in, "use_input_stats") >= 0) return fst_args_bool(in, "use_input_stats", true, out_from_input);
  return fst_args_bool(in, "training", false, out_from_input);
}

static bool channels_agree(fst_infer *in, const char *name, fst_dim channels) {
  int arg = fst_args_find(in, name);
  if (arg < 0 || fst_infer_is_none(in, (uint32_t)arg)) return true;
  const fst_type_data *w = fst_infer_tensor(in, (uint32_t)arg);
  if (!w || w->rank != 1) return true;
  const char *text = fst_arena_printf(in->arena, "%s should contain %s elements not %s", name, fst_infer_dim_text(in, channels), fst_infer_dim_text(in, w->dims[0]));
  return fst_infer_require_equal(in, channels, w->dims[0], text);
}

int fst_infer_batch_norm(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0);
  bool from_input;
  if (!x) return FST_INFER_UNKNOWN;
  if (!fst_batch_norm_read(in, &from_input)) return fst_infer_give_up(in, "whether the op trains is not a constant");
  if (x->rank < 2) return fst_infer_give_up(in, "an input without channels");
  static const char *const names[] = {"running_mean", "running_var", "weight", "bias"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!channels_agree(in, names[i], x->dims[1])) return FST_INFER_RAISES;
  if (!from_input && (!fst_args_has(in, "running_mean") || !fst_args_has(in, "running_var")))
    return fst_infer_raise(in, "Expected running_mean and running_var to be defined when not training");
  fst_infer_set_format(in, 0, x->dtype, x->rank, x->dims, fst_infer_format(in, x));
  fst_dim kept = from_input ? x->dims[1] : fst_dim_const(in->dims, 0);
  for (uint32_t r = 1; r < fst_node_get(in->graph, in->node)->result_count; r++) fst_infer_set_tensor(in, r, x->dtype, 1, &kept);
  return FST_INFER_OK;
}

int fst_infer_instance_norm(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0);
  int result = fst_infer_batch_norm(in);
  if (result == FST_INFER_OK) fst_infer_set_tensor(in, 0, x->dtype, x->rank, x->dims);
  return result;
}

// ---- dropout: the input itself where it does nothing ----
int fst_infer_dropout(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0);
  bool train;
  if (!x) return FST_INFER_UNKNOWN;
  bool idle = fst_args_bool(in, "train", false, &train) && !train;
  if (idle) in->results[0] = fst_value_type(in->graph, fst_infer_arg(in, 0));
  else fst_infer_set_like(in, 0, x->dtype, x);
  if (fst_node_get(in->graph, in->node)->result_count == 2) {
    fst_infer_set_like(in, 0, x->dtype, x);
    fst_infer_set_like(in, 1, FST_BOOL, x);
  }
  return FST_INFER_OK;
}
