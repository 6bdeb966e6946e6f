// Reductions and scans: which dims, what dtype. Results are contiguous, as PyTorch allocates them.
#include <string.h>

#include "ir/infer.h"
#include "ir/reduction_internal.h"
#include "ir/rows_basic.h"

static const fst_schema *node_schema(const fst_infer *in) { return fst_op_schema(fst_node_get(in->graph, in->node)->op); }

static const char *op_short_name(const fst_infer *in) { return strchr(node_schema(in)->name, ':') + 2; }

static bool arg_given(const fst_infer *in, const char *name, uint32_t *out) {
  int at = fst_schema_arg_index(node_schema(in), name);
  if (at < 0 || (uint32_t)at >= fst_infer_arg_count(in)) return false;
  *out = (uint32_t)at;
  return !fst_infer_is_none(in, *out);
}

static int dims_all(fst_reduction *out) {
  for (int i = 0; i < out->rank; i++) out->reduced[i] = true;
  out->is_full = true;
  return FST_INFER_OK;
}

static int dims_one(fst_infer *in, uint32_t arg, fst_reduction *out) {
  int64_t dim;
  if (!fst_infer_const_int(in, arg, &dim)) return fst_infer_give_up(in, "dim is not a constant");
  out->dim = fst_infer_wrap_dim(in, dim, out->rank > 0 ? out->rank : 1);
  if (out->dim < 0) return FST_INFER_RAISES;
  out->reduced[out->dim] = out->rank > 0;
  return FST_INFER_OK;
}

static int dims_list(fst_infer *in, uint32_t arg, fst_reduction *out) {
  fst_dim dims[FST_MAX_RANK];
  int count = fst_infer_int_list(in, arg, dims, FST_MAX_RANK);
  if (count < 0) return fst_infer_give_up(in, "the dims are not known");
  if (count == 0) return dims_all(out);
  for (int i = 0; i < count; i++) {
    int64_t dim;
    if (!fst_dim_is_const(in->dims, dims[i], &dim)) return fst_infer_give_up(in, "a dim is not a constant");
    int at = fst_infer_wrap_dim(in, dim, out->rank > 0 ? out->rank : 1);
    if (at < 0) return FST_INFER_RAISES;
    if (out->reduced[at]) return fst_infer_raise(in, "dim %d appears multiple times in the list of dims", at);
    out->reduced[at] = out->rank > 0;
    out->dim = at;
  }
  return FST_INFER_OK;
}

int fst_reduction_read(fst_infer *in, fst_reduction *out) {
  const fst_type_data *self = fst_infer_tensor(in, 0);
  uint32_t arg;
  if (!self) return FST_INFER_UNKNOWN;
  if (fst_dtype_kind_of(self->dtype) == FST_KIND_COMPLEX) return fst_infer_give_up(in, "complex elements");
  *out = (fst_reduction){.self = self, .rank = self->rank, .dtype = self->dtype};
  if (arg_given(in, "keepdim", &arg) && !fst_infer_const_bool(in, arg, &out->keepdim)) return fst_infer_give_up(in, "keepdim is not a constant");
  if (arg_given(in, "dtype", &arg)) {
    out->asked = fst_infer_dtype(in, arg, FST_DTYPE_UNKNOWN);
    if (out->asked == FST_DTYPE_UNKNOWN) return fst_infer_give_up(in, "dtype is not known");
    if (fst_dtype_kind_of(out->asked) == FST_KIND_COMPLEX) return fst_infer_give_up(in, "complex elements");
    out->has_asked = true;
  }
  if (!arg_given(in, "dim", &arg)) return dims_all(out);
  return fst_infer_type(in, arg)->kind == FST_TY_LIST ? dims_list(in, arg, out) : dims_one(in, arg, out);
}

// Removes the reduced dims, or keeps them with size 1.
static void reduction_set(fst_infer *in, uint32_t r, fst_dtype dtype, const fst_reduction *red) {
  fst_dim dims[FST_MAX_RANK];
  int rank = 0;
  for (int i = 0; i < red->rank; i++) {
    if (!red->reduced[i]) dims[rank++] = red->self->dims[i];
    else if (red->keepdim) dims[rank++] = fst_dim_const(in->dims, 1);
  }
  fst_infer_set_tensor(in, r, dtype, rank, dims);
}

// Is some reduced dim of size 0 for certain?
static bool reduces_nothing(fst_infer *in, const fst_reduction *red) {
  for (int i = 0; i < red->rank; i++)
    if (red->reduced[i] && fst_dim_equal(in->dims, red->self->dims[i], fst_dim_const(in->dims, 0)) == 1) return true;
  return false;
}

// Reduced sizes that may be 0 at run time are refused there.
static int require_elements(fst_infer *in, const fst_reduction *red) {
  if (reduces_nothing(in, red))
    return fst_infer_raise(in, "%s(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument.", op_short_name(in));
  for (int i = 0; i < red->rank; i++) {
    const char *text = fst_arena_printf(in->arena, "%s(): Expected reduction dim %d to have non-zero size.", op_short_name(in), i);
    if (red->reduced[i] && !fst_infer_require_at_least(in, red->self->dims[i], 1, text)) return FST_INFER_RAISES;
  }
  return FST_INFER_OK;
}

// sum, prod, nansum: integers accumulate in 64 bits unless a dtype is asked for.
int fst_infer_sum(fst_infer *in) {
  fst_reduction red;
  int result = fst_reduction_read(in, &red);
  if (result) return result;
  fst_dtype dtype = red.has_asked ? red.asked : fst_dtype_is_integral(red.dtype, true) ? FST_I64 : red.dtype;
  reduction_set(in, 0, dtype, &red);
  return FST_INFER_OK;
}

// mean, nanmean: only of floats.
int fst_infer_mean(fst_infer *in) {
  fst_reduction red;
  int result = fst_reduction_read(in, &red);
  if (result) return result;
  fst_dtype dtype = red.has_asked ? red.asked : red.dtype;
  if (!fst_dtype_is_float(dtype))
    return fst_infer_raise(in, "mean(): could not infer output dtype. %s dtype must be either a floating point or complex dtype. Got: %s",
                           red.has_asked ? "Optional" : "Input", fst_dtype_torch_name(dtype) + strlen("torch."));
  reduction_set(in, 0, dtype, &red);
  return FST_INFER_OK;
}

// amax, amin, max, min over everything: same dtype, never over nothing.
int fst_infer_extreme(fst_infer *in) {
  fst_reduction red;
  int result = fst_reduction_read(in, &red);
  if (!result) result = require_elements(in, &red);
  if (result) return result;
  for (uint32_t r = 0; r < fst_node_get(in->graph, in->node)->result_count; r++) reduction_set(in, r, red.dtype, &red);
  return FST_INFER_OK;
}

// max.dim, min.dim: values and their positions.
int fst_infer_extreme_dim(fst_infer *in) {
  fst_reduction red;
  int result = fst_reduction_read(in, &red);
  if (!result) result = require_elements(in, &red);
  if (result) return result;
  reduction_set(in, 0, red.dtype, &red);
  reduction_set(in, 1, FST_I64, &red);
  return FST_INFER_OK;
}

int fst_infer_arg_extreme(fst_infer *in) {
  fst_reduction red;
  int result = fst_reduction_read(in, &red);
  if (!result && red.self->dtype == FST_BOOL) return fst_infer_raise(in, "%s(): does not support bool input", op_short_name(in));
  if (!result) result = require_elements(in, &red);
  if (result) return result;
  reduction_set(in, 0, FST_I64, &red);
  return FST_INFER_OK;
}

// any, all: bool, but uint8 stays uint8.
int fst_infer_any(fst_infer *in) {
  fst_reduction red;
  int result = fst_reduction_read(in, &red);
  if (result) return result;
  reduction_set(in, 0, red.dtype == FST_U8 ? FST_U8 : FST_BOOL, &red);
  return FST_INFER_OK;
}

int fst_infer_count_nonzero(fst_infer *in) {
  fst_reduction red;
  int result = fst_reduction_read(in, &red);
  if (result) return result;
  reduction_set(in, 0, FST_I64, &red);
  return FST_INFER_OK;
}

// var, std and both with the mean.
int fst_infer_var(fst_infer *in) {
  fst_reduction red;
  int result = fst_reduction_read(in, &red);
  if (result) return result;
  if (!fst_dtype_is_float(red.dtype)) return fst_infer_raise(in, "std and var only support floating point and complex dtypes");
  for (uint32_t r = 0; r < fst_node_get(in->graph, in->node)->result_count; r++) reduction_set(in, r, red.dtype, &red);
  return FST_INFER_OK;
}

// norms: floats only, in the dtype asked for.
int fst_infer_norm(fst_infer *in) {
  fst_reduction red;
  int result = fst_reduction_read(in, &red);
  if (result) return result;
  fst_dtype dtype = red.has_asked ? red.asked : red.dtype;
  if (!fst_dtype_is_float(red.dtype) || !fst_dtype_is_float(dtype))
    return fst_infer_raise(in, "linalg.vector_norm: Expected a floating point or complex tensor as input. Got %s", fst_dtype_torch_name(red.dtype) + strlen("torch."));
  reduction_set(in, 0, dtype, &red);
  return FST_INFER_OK;
}

int fst_infer_logsumexp(fst_infer *in) {
  fst_reduction red;
  int result = fst_reduction_read(in, &red);
  if (result) return result;
  reduction_set(in, 0, fst_dtype_is_integral(red.dtype, true) ? FST_F32 : red.dtype, &red);
  return FST_INFER_OK;
}

// softmax and log_softmax keep sizes; the result is contiguous.
int fst_infer_softmax(fst_infer *in) {
  fst_reduction red;
  int result = fst_reduction_read(in, &red);
  if (result) return result;
  fst_dtype dtype = red.has_asked ? red.asked : red.dtype;
  if (!fst_dtype_is_float(dtype))
    return fst_infer_raise(in, "\"softmax_lastdim_kernel_impl\" not implemented for '%s'", dtype == FST_I64 ? "Long" : dtype == FST_I32 ? "Int" : dtype == FST_BOOL ? "Bool" : "Byte");
  fst_infer_set_tensor(in, 0, dtype, red.rank, red.self->dims);
  return FST_INFER_OK;
}

// cumsum, cumprod: like sum, but the sizes stay.
int fst_infer_cumsum(fst_infer *in) {
  fst_reduction red;
  int result = fst_reduction_read(in, &red);
  if (result) return result;
  fst_dtype dtype = red.has_asked ? red.asked : fst_dtype_is_integral(red.dtype, true) ? FST_I64 : red.dtype;
  fst_infer_set_tensor(in, 0, dtype, red.rank, red.self->dims);
  return FST_INFER_OK;
}

int fst_infer_logcumsumexp(fst_infer *in) {
  fst_reduction red;
  int result = fst_reduction_read(in, &red);
  if (result) return result;
  if (!fst_dtype_is_float(red.dtype)) return fst_infer_raise(in, "\"logcumsumexp_out_cpu\" not implemented for 'Long'");
  fst_infer_set_tensor(in, 0, red.dtype, red.rank, red.self->dims);
  return FST_INFER_OK;
}

// cummax, cummin: values and positions.
int fst_infer_cumextreme(fst_infer *in) {
  fst_reduction red;
  int result = fst_reduction_read(in, &red);
  if (result) return result;
  fst_infer_set_tensor(in, 0, red.dtype, red.rank, red.self->dims);
  fst_infer_set_tensor(in, 1, FST_I64, red.rank, red.self->dims);
  return FST_INFER_OK;
}

// sum_to_size: sums the dims that broadcasting would have added or widened.
int fst_infer_sum_to_size(fst_infer *in) {
  fst_dim sizes[FST_MAX_RANK];
  const fst_type_data *self = fst_infer_tensor(in, 0);
  int rank = fst_infer_int_list(in, 1, sizes, FST_MAX_RANK);
  if (!self) return FST_INFER_UNKNOWN;
  if (rank < 0) return fst_infer_give_up(in, "the sizes are not known");
  if (rank > self->rank || fst_dtype_kind_of(self->dtype) == FST_KIND_COMPLEX) return fst_infer_give_up(in, "sizes that do not fit");
  bool same = rank == self->rank && rank > 0;   // of no sizes at all, PyTorch takes the full sum
  for (int i = 0; i < rank; i++) {
    fst_dim from = self->dims[self->rank - rank + i];
    int equal = fst_dim_equal(in->dims, from, sizes[i]), one = fst_dim_equal(in->dims, sizes[i], fst_dim_const(in->dims, 1));
    if (equal != 1 && one != 1) return fst_infer_give_up(in, "sizes that do not fit");
    same = same && equal == 1;
  }
  fst_dtype dtype = !same && fst_dtype_is_integral(self->dtype, true) ? FST_I64 : self->dtype;
  if (same && self->has_strides) fst_infer_set_strided(in, 0, dtype, rank, sizes, self->strides);
  else fst_infer_set_tensor(in, 0, dtype, rank, sizes);
  return FST_INFER_OK;
}
