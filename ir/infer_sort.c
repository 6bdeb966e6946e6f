// Result types of sorting: values and positions, laid out as the input is.
#include "ir/args.h"
#include "ir/rows_structured.h"

int fst_infer_sort(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0);
  int64_t dim;
  bool descending;
  if (!x) return FST_INFER_UNKNOWN;
  if (!fst_args_int(in, "dim", -1, &dim) || !fst_args_bool(in, "descending", false, &descending)) return fst_infer_give_up(in, "dim or order is not a constant");
  if (fst_infer_wrap_dim(in, dim, x->rank ? x->rank : 1) < 0) return FST_INFER_RAISES;
  if (fst_dtype_kind_of(x->dtype) == FST_KIND_COMPLEX) return fst_infer_raise(in, "Sort does not support complex dtypes on CPU");
  fst_infer_set_like(in, 0, x->dtype, x);
  fst_infer_set_like(in, 1, FST_I64, x);
  return FST_INFER_OK;
}

int fst_infer_pick(fst_infer *in) {  // topk, kthvalue, median: k elements, or one, along a dim
  const fst_type_data *x = fst_infer_tensor(in, 0);
  bool keeps = true;
  int64_t axis;
  fst_dim dims[FST_MAX_RANK], one = fst_dim_const(in->dims, 1), k = fst_args_dim(in, "k", one), count = one;
  if (!x) return FST_INFER_UNKNOWN;
  if (!fst_args_int(in, "dim", -1, &axis) || !fst_args_bool(in, "keepdim", false, &keeps) || !fst_dim_is_known(k)) return fst_infer_give_up(in, "dim or the number of elements is not known");
  int dim = fst_infer_wrap_dim(in, axis, x->rank ? x->rank : 1), rank = 0;
  if (dim < 0) return FST_INFER_RAISES;
  if (fst_args_find(in, "keepdim") < 0) keeps = true, count = k;
  bool many = fst_args_find(in, "keepdim") < 0;
  const char *text = many ? "selected index k out of range" : fst_arena_printf(in->arena, "kthvalue(): selected number k out of range for dimension %d", dim);
  if (fst_args_find(in, "k") >= 0 && (!fst_infer_require_at_least(in, k, !many, text) || !fst_infer_require_at_most(in, k, x->rank ? x->dims[dim] : one, text))) return FST_INFER_RAISES;
  for (int d = 0; d < x->rank; d++)
    if (d != dim || keeps) dims[rank++] = d == dim ? count : x->dims[d];
  fst_infer_set_tensor(in, 0, x->dtype, rank, dims);
  fst_infer_set_tensor(in, 1, FST_I64, rank, dims);
  return FST_INFER_OK;
}
