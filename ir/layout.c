#include "ir/layout.h"

#include <stdlib.h>
#include <string.h>

// A shape with every size and stride a number (sizes in general position stand in for symbols).
typedef struct plain_shape {
  int rank;
  int64_t sizes[FST_MAX_RANK], strides[FST_MAX_RANK];
} plain_shape;

enum { LAYOUT_SYMBOLS = 256 };

int64_t fst_dim_typical(const fst_dims *dims, fst_dim d) {
  int64_t value, symbols[LAYOUT_SYMBOLS];
  if (fst_dim_is_const(dims, d, &value)) return value;
  uint32_t count = fst_dims_symbol_count(dims);
  if (!fst_dim_is_known(d) || count > LAYOUT_SYMBOLS) return 1009;
  for (uint32_t i = 0; i < count; i++) symbols[i] = 1013 + 38 * (int64_t)i;
  return fst_dim_evaluate(dims, d, symbols, count, &value) ? value : 1009;
}

// A stride that only the call knows (a tensor out of a container): those of one tensor are taken as row-major.
static int64_t stride_typical(const fst_dims *dims, fst_dim d) {
  uint32_t index;
  if (fst_dim_is_symbol(dims, d, &index) && fst_dim_open(dims, d).is_signed) return ((int64_t)1 << 40) - index;
  return fst_dim_typical(dims, d);
}

static plain_shape shape_plain(const fst_dims *dims, const fst_shape *shape) {
  plain_shape plain = {.rank = shape->rank};
  for (int i = 0; i < shape->rank; i++) {
    plain.sizes[i] = fst_dim_typical(dims, shape->dims[i]);
    plain.strides[i] = shape->has_strides ? stride_typical(dims, shape->strides[i]) : 0;
  }
  return plain;
}

fst_shape fst_shape_of(fst_dims *dims, const fst_type_data *type) {
  fst_shape shape = {.rank = type->rank, .has_strides = true};
  if (type->rank <= 0) return shape;
  memcpy(shape.dims, type->dims, sizeof(fst_dim) * (size_t)type->rank);
  bool known = type->has_strides;
  for (int i = 0; known && i < type->rank; i++) known = fst_dim_is_known(type->strides[i]);
  if (known) memcpy(shape.strides, type->strides, sizeof(fst_dim) * (size_t)type->rank);
  else fst_contiguous_strides(dims, type->rank, type->dims, shape.strides);
  return shape;
}

fst_dim fst_shape_numel(fst_dims *dims, int rank, const fst_dim *sizes) {
  fst_dim numel = fst_dim_const(dims, 1);
  for (int i = 0; i < rank; i++) numel = fst_dim_mul(dims, numel, sizes[i]);
  return numel;
}

static bool dim_is(fst_dims *dims, fst_dim d, int64_t value) { return fst_dim_equal(dims, d, fst_dim_const(dims, value)) == 1; }

// Are strides those of the dims taken in `order`, innermost first?
static bool shape_follows(fst_dims *dims, const fst_shape *shape, const int *order) {
  fst_dim expected = fst_dim_const(dims, 1);
  for (int i = 0; i < shape->rank; i++) {
    int d = order[i];
    if (dim_is(dims, shape->dims[d], 0)) return true;
  }
  for (int i = 0; i < shape->rank; i++) {
    int d = order[i];
    if (dim_is(dims, shape->dims[d], 1)) continue;
    if (fst_dim_equal(dims, shape->strides[d], expected) != 1) return false;
    expected = fst_dim_mul(dims, expected, shape->dims[d]);
  }
  return true;
}

bool fst_shape_is_contiguous(fst_dims *dims, const fst_shape *shape) {
  int order[FST_MAX_RANK];
  for (int i = 0; i < shape->rank; i++) order[i] = shape->rank - 1 - i;
  return shape_follows(dims, shape, order);
}

static bool format_order(int format, int rank, int *order) {
  if (format != (rank == 4 ? FST_FORMAT_CHANNELS_LAST : FST_FORMAT_CHANNELS_LAST_3D) || (rank != 4 && rank != 5)) return false;
  order[0] = 1;
  for (int i = 1; i < rank - 1; i++) order[i] = rank - i;
  order[rank - 1] = 0;
  return true;
}

bool fst_shape_is_format(fst_dims *dims, const fst_shape *shape, int format) {
  int order[FST_MAX_RANK];
  if (format == FST_FORMAT_CONTIGUOUS) return fst_shape_is_contiguous(dims, shape);
  return format_order(format, shape->rank, order) && shape_follows(dims, shape, order);
}

bool fst_shape_is_dense(fst_dims *dims, const fst_shape *shape) {
  plain_shape plain = shape_plain(dims, shape);
  int order[FST_MAX_RANK];
  for (int i = 0; i < plain.rank; i++)
    if (plain.sizes[i] == 0) return true;
  for (int i = 0; i < plain.rank; i++) {  // by stride, sizes below 2 last
    int at = i;
    for (; at > 0; at--) {
      int before = order[at - 1];
      bool later = plain.sizes[before] < 2 ? plain.sizes[i] >= 2 : plain.sizes[i] >= 2 && plain.strides[i] < plain.strides[before];
      if (!later) break;
      order[at] = before;
    }
    order[at] = i;
  }
  int64_t expected = 1;
  for (int i = 0; i < plain.rank; i++) {
    if (plain.sizes[order[i]] < 2) return true;
    if (plain.strides[order[i]] != expected) return false;
    expected *= plain.sizes[order[i]];
  }
  return true;
}

// PyTorch's is_channels_last_strides: the strides alone look channels-last, whatever sizes of 1 do.
static bool strides_look_channels_last(const plain_shape *shape) {
  static const int order4[] = {1, 3, 2, 0}, order5[] = {1, 4, 3, 2, 0};
  if (shape->rank != 4 && shape->rank != 5) return false;
  const int *order = shape->rank == 4 ? order4 : order5;
  int64_t least = 0;
  if (shape->strides[1] == 0) return false;
  for (int i = 0; i < shape->rank; i++) {
    int d = order[i];
    if (shape->sizes[d] == 0 || shape->strides[d] < least) return false;
    if (d == 0 && least == shape->strides[1]) return false;  // an ambiguous N111 counts as contiguous
    least = shape->strides[d] * (shape->sizes[d] > 1 ? shape->sizes[d] : 1);
  }
  return true;
}

int fst_shape_format(fst_dims *dims, const fst_shape *shape) {
  plain_shape plain = shape_plain(dims, shape);
  if (!strides_look_channels_last(&plain)) return FST_FORMAT_CONTIGUOUS;
  return shape->rank == 4 ? FST_FORMAT_CHANNELS_LAST : FST_FORMAT_CHANNELS_LAST_3D;
}

void fst_layout_format(fst_dims *dims, int format, fst_shape *out) {
  int order[FST_MAX_RANK];
  out->has_strides = true;
  fst_contiguous_strides(dims, out->rank, out->dims, out->strides);
  if (!format_order(format, out->rank, order)) return;
  fst_dim stride = fst_dim_const(dims, 1);
  for (int i = 0; i < out->rank; i++) {
    out->strides[order[i]] = stride;
    int64_t size;
    bool is_empty = fst_dim_is_const(dims, out->dims[order[i]], &size) && size == 0;
    if (!is_empty) stride = fst_dim_mul(dims, stride, out->dims[order[i]]);
  }
}

// What TensorIterator compares: does dim `a` belong outside dim `b` (1), inside (-1), or is it open (0)?
static int order_compare(const plain_shape *operands, int count, const int64_t *sizes, int a, int b) {
  for (int i = 0; i < count; i++) {
    int64_t sa = operands[i].strides[a], sb = operands[i].strides[b];
    if (sa == 0 || sb == 0) continue;
    if (sa != sb) return sa < sb ? -1 : 1;
    if (sizes[a] > sizes[b]) return 1;
  }
  return 0;
}

// perm[0] is the innermost dim. Insertion sort, because open comparisons make the order of comparing matter.
static void order_dims(const plain_shape *operands, int count, const int64_t *sizes, int rank, int *perm) {
  for (int i = 0; i < rank; i++) perm[i] = rank - 1 - i;
  for (int i = 1; i < rank; i++) {
    int moving = i;
    for (int j = i - 1; j >= 0; j--) {
      int order = order_compare(operands, count, sizes, perm[j], perm[moving]);
      if (order < 0) break;
      if (order == 0) continue;
      int swap = perm[j];
      perm[j] = perm[moving];
      perm[moving] = swap;
      moving = j;
    }
  }
}

static void strides_by_order(fst_dims *dims, const int *perm, fst_shape *out) {
  bool is_plain = true;
  for (int i = 0; i < out->rank; i++) is_plain = is_plain && perm[i] == out->rank - 1 - i;
  out->has_strides = true;
  if (is_plain) {
    fst_contiguous_strides(dims, out->rank, out->dims, out->strides);
    return;
  }
  fst_dim stride = fst_dim_const(dims, 1);
  for (int i = 0; i < out->rank; i++) {
    out->strides[perm[i]] = stride;
    stride = fst_dim_mul(dims, stride, out->dims[perm[i]]);
  }
}

// The operand's strides as seen from the result: broadcast dims have stride 0.
static plain_shape operand_expand(const plain_shape *operand, const int64_t *sizes, int rank) {
  plain_shape expanded = {.rank = rank};
  for (int i = 0; i < operand->rank; i++) {
    int at = rank - operand->rank + i;
    bool is_broadcast = operand->sizes[i] == 1 && sizes[at] != 1;
    expanded.strides[at] = is_broadcast ? 0 : operand->strides[i];
  }
  return expanded;
}

static bool shape_same_sizes(fst_dims *dims, const fst_shape *a, const fst_shape *b) {
  if (a->rank != b->rank) return false;
  for (int i = 0; i < a->rank; i++)
    if (fst_dim_equal(dims, a->dims[i], b->dims[i]) != 1) return false;
  return true;
}

static bool shape_same_strides(fst_dims *dims, const fst_shape *a, const fst_shape *b) {
  for (int i = 0; i < a->rank; i++)
    if (fst_dim_equal(dims, a->strides[i], b->strides[i]) != 1) return false;
  return true;
}

// TensorIterator's shortcuts for operands of one shape. True when one applied.
static bool layout_shortcut(fst_dims *dims, const fst_shape *operands, int count, fst_shape *out) {
  bool contiguous = true, channels_last = true, dense = true;
  for (int i = 0; i < count; i++) {
    if (!shape_same_sizes(dims, &operands[i], out)) return false;
    contiguous = contiguous && fst_shape_is_contiguous(dims, &operands[i]);
    channels_last = channels_last && fst_shape_is_format(dims, &operands[i], FST_FORMAT_CHANNELS_LAST);
    dense = dense && fst_shape_is_dense(dims, &operands[i]) && shape_same_strides(dims, &operands[i], &operands[0]);
  }
  if (contiguous || channels_last) {
    fst_layout_format(dims, contiguous ? FST_FORMAT_CONTIGUOUS : FST_FORMAT_CHANNELS_LAST, out);
    return true;
  }
  if (!dense) return false;
  memcpy(out->strides, operands[0].strides, sizeof out->strides);
  out->has_strides = true;
  return true;
}

void fst_layout_pointwise(fst_dims *dims, const fst_shape *operands, int count, fst_shape *out) {
  enum { MOST = 8 };
  plain_shape expanded[MOST];
  int perm[FST_MAX_RANK];
  if (count > MOST) count = MOST;
  if (count == 0 || out->rank < 2) {
    fst_layout_format(dims, FST_FORMAT_CONTIGUOUS, out);
    return;
  }
  if (layout_shortcut(dims, operands, count, out)) return;
  fst_shape sized = *out;
  sized.has_strides = false;
  plain_shape result = shape_plain(dims, &sized);
  for (int i = 0; i < count; i++) {
    plain_shape plain = shape_plain(dims, &operands[i]);
    expanded[i] = operand_expand(&plain, result.sizes, out->rank);
  }
  order_dims(expanded, count, result.sizes, out->rank, perm);
  strides_by_order(dims, perm, out);
}

// A dense layout is kept as it is. Any other is packed in the order of its strides, dims that have stride 0
// keeping their place.
void fst_layout_like(fst_dims *dims, const fst_shape *like, fst_shape *out) {
  int perm[FST_MAX_RANK];
  *out = *like;
  out->has_strides = true;
  if (like->rank == 0 || fst_shape_is_dense(dims, like)) return;
  plain_shape plain = shape_plain(dims, like);
  order_dims(&plain, 1, plain.sizes, plain.rank, perm);
  fst_dim stride = fst_dim_const(dims, 1);
  for (int i = 0; i < out->rank; i++) {
    out->strides[perm[i]] = stride;
    if (plain.sizes[perm[i]] > 1) stride = fst_dim_mul(dims, stride, out->dims[perm[i]]);
  }
}
