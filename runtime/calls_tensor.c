// Joining the tensors of a list whose length only the call knows.
#include <string.h>

#include "base/dtype.h"
#include "runtime/buf.h"
#include "runtime/call.h"
#include "runtime/calls.h"
#include "runtime/device_call.h"
#include "runtime/object.h"

enum { MOST_RANK = 64 };

typedef struct joining {
  fst_call *call;
  fst_ctx *ctx;
  int64_t loc, dim, count;
  bool stacks;
  const fst_val *items;
  int64_t shape[2 * MOST_RANK];   // of the result: sizes, then strides
  int rank;
} joining;

static const fst_tensor_obj *item(const joining *j, int64_t i) { return (const fst_tensor_obj *)(const void *)j->items[i].p; }

// Vectors without elements join anything, as they always have.
static bool is_skipped(const joining *j, const fst_tensor_obj *t) { return !j->stacks && t->rank == 1 && t->shape[0] == 0; }

static void put_sizes(fst_buf *buf, const fst_tensor_obj *t) {
  for (int i = 0; i < t->rank; i++) fst_buf_printf(buf, "%s%lld", i ? ", " : "[", (long long)t->shape[i]);
  fst_buf_puts(buf, t->rank ? "]" : "[]");
}

static int32_t raise_unequal(const joining *j, const fst_tensor_obj *first, int64_t i) {
  fst_buf a = {0}, b = {0};
  put_sizes(&a, first);
  put_sizes(&b, item(j, i));
  fst_ctx_raise(j->ctx, "RuntimeError", j->loc, "stack expects each tensor to be equal size, but got %s at entry 0 and %s at entry %lld", fst_buf_text(&a), fst_buf_text(&b), (long long)i);
  fst_buf_deinit(&a);
  fst_buf_deinit(&b);
  return 1;
}

// Do the sizes agree? The result's size along `dim` is their sum, or how many there are.
static int32_t check_sizes(joining *j, const fst_tensor_obj *first) {
  int64_t along = 0;
  for (int64_t i = 0; i < j->count; i++) {
    const fst_tensor_obj *t = item(j, i);
    if (is_skipped(j, t)) continue;
    if (t->dtype != first->dtype) return fst_ctx_raise(j->ctx, "RuntimeError", j->loc, "tensors of a list differ in dtype: %s and %s", fst_dtype_torch_name((fst_dtype)first->dtype), fst_dtype_torch_name((fst_dtype)t->dtype));
    if (j->stacks) {
      if (t->rank != first->rank || memcmp(t->shape, first->shape, (size_t)t->rank * sizeof *t->shape)) return raise_unequal(j, first, i);
      continue;
    }
    if (!t->rank) return fst_ctx_raise(j->ctx, "RuntimeError", j->loc, "zero-dimensional tensor (at position %lld) cannot be concatenated", (long long)i);
    if (t->rank != first->rank) return fst_ctx_raise(j->ctx, "RuntimeError", j->loc, "Tensors must have same number of dimensions: got %d and %d", first->rank, t->rank);
    for (int d = 0; d < t->rank; d++)
      if (d != j->dim && t->shape[d] != first->shape[d])
        return fst_ctx_raise(j->ctx, "RuntimeError", j->loc, "Sizes of tensors must match except in dimension %lld. Expected size %lld but got size %lld for tensor number %lld in the list.",
                             (long long)j->dim, (long long)first->shape[d], (long long)t->shape[d], (long long)i);
    if (__builtin_add_overflow(along, t->shape[j->dim], &along)) return fst_ctx_raise_memory(j->ctx);
  }
  for (int d = 0; d < j->rank; d++) j->shape[d] = d == j->dim ? (j->stacks ? j->count : along) : first->shape[d - (j->stacks && d > j->dim)];
  return 0;
}

// Row-major strides; false when there are more elements than memory has.
static bool fill_strides(joining *j, int64_t *out_count) {
  *out_count = 1;
  for (int d = j->rank - 1; d >= 0; d--) {
    j->shape[j->rank + d] = *out_count;
    if (__builtin_mul_overflow(*out_count, j->shape[d] ? j->shape[d] : 1, out_count)) return false;
  }
  for (int d = 0; d < j->rank; d++)
    if (!j->shape[d]) *out_count = 0;
  return true;
}

// Copies `from` to where it belongs: `before` indices along the dimension are taken. False: an error is recorded.
static bool copy_part(const joining *j, fst_tensor_obj *whole, const fst_tensor_obj *from, int64_t before) {
  _Alignas(fst_tensor_obj) char place[sizeof(fst_tensor_obj) + 2 * MOST_RANK * sizeof(int64_t)];
  fst_tensor_obj *part = (fst_tensor_obj *)(void *)place;
  size_t size = fst_dtype_size((fst_dtype)whole->dtype);
  *part = *whole;   // but for the shape
  part->rank = from->rank;
  part->data = whole->data + (size_t)(before * j->shape[j->rank + j->dim]) * size;
  for (int d = 0; d < from->rank; d++) {
    part->shape[d] = from->shape[d];
    part->shape[from->rank + d] = j->shape[j->rank + d + (j->stacks && d >= j->dim)];
  }
  if (fst_storage_on_device(whole->storage)) return fst_device_copy_elements(j->ctx, part, from);
  if (fst_tensor_is_contiguous(part) && fst_tensor_is_contiguous(from)) memcpy(part->data, from->data, (size_t)fst_tensor_numel(from) * size);
  else fst_tensor_copy_elements(part, from);
  return true;
}

int32_t fst_call_tensor_join(fst_call *call, void *list, int64_t dim, int64_t stacks, int64_t loc, void *out) {
  const fst_list_obj *l = list;
  joining j = {.call = call, .ctx = fst_ctx_of(call), .loc = loc, .dim = dim, .count = l->len, .stacks = stacks != 0, .items = l->items};
  if (!j.count) return fst_ctx_raise(j.ctx, "RuntimeError", loc, j.stacks ? "stack expects a non-empty TensorList" : "torch.cat(): expected a non-empty list of Tensors");
  const fst_tensor_obj *first = item(&j, 0);
  for (int64_t i = 0; i < j.count && is_skipped(&j, first); i++) first = item(&j, i);
  j.rank = first->rank + j.stacks;
  if (j.rank > MOST_RANK) return fst_ctx_raise(j.ctx, "RuntimeError", loc, "a tensor with %d dimensions", j.rank);
  if (j.rank && (dim < -j.rank || dim >= j.rank))
    return fst_ctx_raise(j.ctx, "IndexError", loc, "Dimension out of range (expected to be in range of [%d, %d], but got %lld)", -j.rank, j.rank - 1, (long long)dim);
  if (dim < 0) j.dim += j.rank;
  int64_t elements, bytes, before = 0;
  if (check_sizes(&j, first)) return 1;
  if (!fill_strides(&j, &elements) || __builtin_mul_overflow(elements, (int64_t)fst_dtype_size((fst_dtype)first->dtype), &bytes)) return fst_ctx_raise_memory(j.ctx);
  fst_storage_obj *storage = call->calls->storage_new(call, bytes);
  if (fst_call_failed(call)) return 1;
  fst_tensor_obj *whole = call->calls->tensor_new(call, storage, storage->data, first->dtype, j.rank, j.shape);
  if (fst_call_failed(call)) return 1;
  for (int64_t i = 0; i < j.count; i++) {
    const fst_tensor_obj *t = item(&j, i);
    if (is_skipped(&j, t)) continue;
    if (!copy_part(&j, whole, t, before)) return 1;
    before += j.stacks ? 1 : t->shape[j.dim];
  }
  *(fst_val *)out = fst_val_obj(whole);
  return 0;
}
