// Values as text, in TorchScript's own form (which is not Python's: 2.0 is `2.`, strings have no quotes,
// tensors look as C++ PyTorch prints them).
#ifndef FST_RUNTIME_FORMAT_H
#define FST_RUNTIME_FORMAT_H

#include "base/abi.h"
#include "runtime/buf.h"
#include "runtime/plan.h"

// `plan` names classes and enum members; NULL is allowed.
void fst_format_val(fst_buf *buf, const fst_plan *plan, const fst_val *val);
void fst_format_double(fst_buf *buf, double value);
void fst_format_tensor(fst_buf *buf, const fst_tensor_obj *t);

// Element `index` (in elements from t->data) of a real tensor as a double, or as the exact int64 of an
// integral one.
double fst_tensor_double_at(const fst_tensor_obj *t, int64_t index);
int64_t fst_tensor_int_at(const fst_tensor_obj *t, int64_t index);

#endif
