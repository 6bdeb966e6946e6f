// Queries: what is known of a tensor becomes a constant or a size expression; `item` reads one element.
#include <string.h>

#include "ir/infer.h"
#include "ir/layout.h"
#include "ir/rows_basic.h"
#include "ir/view_internal.h"

static fst_module *module_of(const fst_infer *in) { return in->graph->module; }

static int query_int(fst_infer *in, fst_dim value) {
  in->results[0] = fst_type_simple(in->types, FST_TY_INT);
  in->result_syms[0] = value;
  int64_t constant;
  if (fst_dim_is_const(in->dims, value, &constant)) in->result_consts[0] = fst_const_int(module_of(in), constant);
  return FST_INFER_OK;
}

static int query_const_int(fst_infer *in, int64_t value) { return query_int(in, fst_dim_const(in->dims, value)); }

static int query_bool(fst_infer *in, bool value) {
  in->results[0] = fst_type_simple(in->types, FST_TY_BOOL);
  in->result_consts[0] = fst_const_bool(module_of(in), value);
  return FST_INFER_OK;
}

// Facts that need only the dtype or the rank stay answerable when the other is unknown.
static fst_dtype dtype_of(const fst_infer *in, uint32_t arg) {
  const fst_type_data *type = fst_infer_type(in, arg);
  return type->kind == FST_TY_TENSOR ? type->dtype : FST_DTYPE_UNKNOWN;
}

static int rank_of(const fst_infer *in, uint32_t arg) {
  const fst_type_data *type = fst_infer_type(in, arg);
  return type->kind == FST_TY_TENSOR ? type->rank : FST_RANK_UNKNOWN;
}

int fst_infer_dim(fst_infer *in) {
  int rank = rank_of(in, 0);
  return rank == FST_RANK_UNKNOWN ? fst_infer_give_up(in, "rank is not known") : query_const_int(in, rank);
}

static int dim_entry(fst_infer *in, const fst_dim *entries, int rank) {
  int64_t dim;
  if (!fst_infer_const_int(in, 1, &dim)) {
    in->results[0] = fst_type_simple(in->types, FST_TY_INT);
    return FST_INFER_OK;
  }
  int at = fst_infer_wrap_dim(in, dim, rank);
  if (at < 0) return FST_INFER_RAISES;
  return query_int(in, entries[at]);
}

int fst_infer_size_int(fst_infer *in) {
  const fst_type_data *self = fst_infer_tensor(in, 0);
  if (!self) return FST_INFER_UNKNOWN;
  if (self->rank == 0) return fst_infer_raise(in, "Dimension specified as 0 but tensor has no dimensions");
  return dim_entry(in, self->dims, self->rank);
}

int fst_infer_stride_int(fst_infer *in) {
  const fst_type_data *self = fst_infer_tensor(in, 0);
  if (!self) return FST_INFER_UNKNOWN;
  if (!self->has_strides) return fst_infer_give_up(in, "strides are not known");
  if (self->rank == 0) return fst_infer_raise(in, "Dimension specified as 0 but tensor has no dimensions");
  return dim_entry(in, self->strides, self->rank);
}

// size() and stride(): a literal where all entries are numbers; fst_list_build makes ints of all.
static int int_list(fst_infer *in, const fst_dim *entries, int rank) {
  fst_const items[FST_MAX_RANK];
  fst_type type = fst_type_list(in->types, fst_type_simple(in->types, FST_TY_INT));
  in->results[0] = type;
  for (int i = 0; i < rank; i++) {
    int64_t value;
    if (!fst_dim_is_const(in->dims, entries[i], &value)) return FST_INFER_OK;
    items[i] = fst_const_int(module_of(in), value);
  }
  in->result_consts[0] = fst_const_tuple(module_of(in), type, items, (uint32_t)rank);
  return FST_INFER_OK;
}

int fst_infer_size(fst_infer *in) {
  const fst_type_data *self = fst_infer_tensor(in, 0);
  return self ? int_list(in, self->dims, self->rank) : FST_INFER_UNKNOWN;
}

int fst_infer_stride(fst_infer *in) {
  const fst_type_data *self = fst_infer_tensor(in, 0);
  if (!self) return FST_INFER_UNKNOWN;
  if (!self->has_strides) return fst_infer_give_up(in, "strides are not known");
  return int_list(in, self->strides, self->rank);
}

int fst_infer_numel(fst_infer *in) {
  const fst_type_data *self = fst_infer_tensor(in, 0);
  return self ? query_int(in, fst_shape_numel(in->dims, self->rank, self->dims)) : FST_INFER_UNKNOWN;
}

int fst_infer_len_tensor(fst_infer *in) {
  const fst_type_data *self = fst_infer_tensor(in, 0);
  if (!self) return FST_INFER_UNKNOWN;
  if (self->rank == 0) return fst_infer_raise(in, "len() of a 0-d tensor");
  return query_int(in, self->dims[0]);
}

int fst_infer_nbytes(fst_infer *in) {
  const fst_type_data *self = fst_infer_tensor(in, 0);
  if (!self) return FST_INFER_UNKNOWN;
  fst_dim numel = fst_shape_numel(in->dims, self->rank, self->dims);
  return query_int(in, fst_dim_mul(in->dims, numel, fst_dim_const(in->dims, (int64_t)fst_dtype_size(self->dtype))));
}

static int dtype_needed(fst_infer *in, fst_dtype *out) {
  *out = dtype_of(in, 0);
  return *out == FST_DTYPE_UNKNOWN ? fst_infer_give_up(in, "dtype is not known") : FST_INFER_OK;
}

int fst_infer_dtype_query(fst_infer *in) {
  fst_dtype dtype;
  int result = dtype_needed(in, &dtype);
  return result ? result : query_const_int(in, (int64_t)dtype);
}

int fst_infer_element_size(fst_infer *in) {
  fst_dtype dtype;
  int result = dtype_needed(in, &dtype);
  return result ? result : query_const_int(in, (int64_t)fst_dtype_size(dtype));
}

int fst_infer_is_floating_point(fst_infer *in) {
  fst_dtype dtype;
  int result = dtype_needed(in, &dtype);
  return result ? result : query_bool(in, fst_dtype_is_float(dtype));
}

int fst_infer_is_complex(fst_infer *in) {
  fst_dtype dtype;
  int result = dtype_needed(in, &dtype);
  return result ? result : query_bool(in, fst_dtype_kind_of(dtype) == FST_KIND_COMPLEX);
}

int fst_infer_is_signed(fst_infer *in) {
  fst_dtype dtype;
  int result = dtype_needed(in, &dtype);
  return result ? result : query_bool(in, dtype != FST_U8 && dtype != FST_BOOL);
}

int fst_infer_device(fst_infer *in) {
  fst_type type = fst_type_simple(in->types, FST_TY_DEVICE);
  bool is_cuda = module_of(in)->device_kind == FST_DEVICE_CUDA;
  fst_const_data data = {.kind = FST_CONST_DEVICE, .type = type, .str = fst_intern(&module_of(in)->strings, is_cuda ? "cuda:0" : "cpu")};
  if (fst_infer_type(in, 0)->kind != FST_TY_TENSOR) return fst_infer_give_up(in, "not a tensor");
  if (module_of(in)->device_kind == FST_DEVICE_UNKNOWN) return fst_infer_give_up(in, "the device, which code for both the CPU and CUDA does not know");
  in->results[0] = type;
  in->result_consts[0] = fst_const_intern(module_of(in), &data);
  return FST_INFER_OK;
}

int fst_infer_device_type(fst_infer *in) {   // "cuda" of "cuda:0"
  const fst_const_data *c = fst_value_const(in->graph, fst_infer_arg(in, 0));
  if (!c || c->kind != FST_CONST_DEVICE) return fst_infer_give_up(in, "the device is not known");
  const char *text = fst_sym_text(&module_of(in)->strings, c->str);
  in->results[0] = fst_type_simple(in->types, FST_TY_STR);
  in->result_consts[0] = fst_const_str(module_of(in), text, strcspn(text, ":"));
  return FST_INFER_OK;
}

// True or false of every dense CPU tensor that runs without gradients.
int fst_infer_always(fst_infer *in) { return query_bool(in, true); }
int fst_infer_never(fst_infer *in) { return query_bool(in, false); }
int fst_infer_layout(fst_infer *in) {
  query_const_int(in, 0);  // torch.strided
  return FST_INFER_OK;
}
int fst_infer_is_cuda(fst_infer *in) {
  if (module_of(in)->device_kind == FST_DEVICE_UNKNOWN) return fst_infer_give_up(in, "the device, which code for both the CPU and CUDA does not know");
  return query_bool(in, module_of(in)->device_kind == FST_DEVICE_CUDA);
}
int fst_infer_get_device(fst_infer *in) { return query_const_int(in, module_of(in)->device_kind == FST_DEVICE_CUDA ? 0 : -1); }

int fst_infer_is_contiguous(fst_infer *in) {
  const fst_type_data *self = fst_infer_tensor(in, 0);
  int64_t format = FST_FORMAT_CONTIGUOUS;
  if (!self) return FST_INFER_UNKNOWN;
  if (!self->has_strides) return fst_infer_give_up(in, "strides are not known");
  if (fst_infer_arg_count(in) > 1 && !fst_infer_const_int(in, 1, &format)) return fst_infer_give_up(in, "memory_format is not a constant");
  fst_shape shape = fst_shape_of(in->dims, self);
  if (fst_shape_is_format(in->dims, &shape, (int)format)) return query_bool(in, true);
  for (int i = 0; i < shape.rank; i++) {
    int64_t value;
    if (!fst_dim_is_const(in->dims, shape.dims[i], &value) || !fst_dim_is_const(in->dims, shape.strides[i], &value))
      return fst_infer_give_up(in, "whether the tensor is contiguous depends on its sizes");
  }
  return query_bool(in, false);
}

int fst_infer_is_same_size(fst_infer *in) {
  const fst_type_data *a = fst_infer_tensor(in, 0), *b = fst_infer_tensor(in, 1);
  if (!a || !b) return FST_INFER_UNKNOWN;
  if (a->rank != b->rank) return query_bool(in, false);
  bool open = false;
  for (int i = 0; i < a->rank; i++) {
    int equal = fst_dim_equal(in->dims, a->dims[i], b->dims[i]);
    if (equal == 0) return query_bool(in, false);
    open = open || equal < 0;
  }
  return open ? fst_infer_give_up(in, "sizes are known only at run time") : query_bool(in, true);
}

// ---- reading one element ---------------------------------------------------------------------------

// A tensor of one element, checked now or at run time.
static int one_element(fst_infer *in, const char *message) {
  const fst_type_data *self = fst_infer_tensor(in, 0);
  if (!self) return FST_INFER_UNKNOWN;
  fst_dim numel = fst_shape_numel(in->dims, self->rank, self->dims), one = fst_dim_const(in->dims, 1);
  return fst_infer_require_equal(in, numel, one, fst_arena_printf(in->arena, message, fst_infer_dim_text(in, numel))) ? FST_INFER_OK : FST_INFER_RAISES;
}

static fst_type_kind number_kind(fst_dtype dtype) {
  if (dtype == FST_BOOL) return FST_TY_BOOL;
  return fst_dtype_is_float(dtype) ? FST_TY_FLOAT : FST_TY_INT;
}

static int read_as(fst_infer *in, fst_type_kind kind) {
  in->results[0] = fst_type_simple(in->types, kind);
  if (kind != FST_TY_INT) return FST_INFER_OK;
  fst_dim value = fst_tensor_int(in->graph, fst_infer_arg(in, 0), in->dims);
  return fst_dim_is_known(value) ? query_int(in, value) : FST_INFER_OK;
}

// item and ScalarImplicit: int, float or bool as the dtype says.
int fst_infer_item(fst_infer *in) {
  int result = one_element(in, "a Tensor with more than one element cannot be converted to Scalar");
  if (result) return result;
  fst_dtype dtype = fst_infer_type(in, 0)->dtype;
  if (fst_dtype_kind_of(dtype) == FST_KIND_COMPLEX) return fst_infer_give_up(in, "complex elements");
  return read_as(in, number_kind(dtype));
}

static int read_number(fst_infer *in, fst_type_kind kind) {
  int result = one_element(in, "a Tensor with more than one element cannot be converted to Scalar");
  if (result) return result;
  if (fst_dtype_kind_of(fst_infer_type(in, 0)->dtype) == FST_KIND_COMPLEX) return fst_infer_give_up(in, "complex elements");
  return read_as(in, kind);
}
int fst_infer_int_tensor(fst_infer *in) { return read_number(in, FST_TY_INT); }
int fst_infer_float_tensor(fst_infer *in) { return read_number(in, FST_TY_FLOAT); }

int fst_infer_bool_tensor(fst_infer *in) {
  int result = one_element(in, "Boolean value of Tensor with more than one value is ambiguous");
  return result ? result : read_as(in, FST_TY_BOOL);
}

// result_type, promote_types.
int fst_infer_result_type_query(fst_infer *in) {
  fst_dtype dtype = fst_infer_result_type(in, (uint32_t[]){0, 1}, 2);
  return dtype == FST_DTYPE_UNKNOWN ? fst_infer_give_up(in, "dtype is not known") : query_const_int(in, (int64_t)dtype);
}

// equal, allclose: bool results that read the data.
int fst_infer_compare_all(fst_infer *in) {
  in->results[0] = fst_type_simple(in->types, FST_TY_BOOL);
  return FST_INFER_OK;
}
