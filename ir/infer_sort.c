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
