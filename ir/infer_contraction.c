// Result types of products: matmul and its kin, convolutions, recurrent cells, einsum.
#include <string.h>

#include "ir/args.h"
#include "ir/contraction.h"
#include "ir/layout.h"
#include "ir/rows_structured.h"

static bool mm_agree(fst_infer *in, fst_dim rows, fst_dim k, fst_dim k2, fst_dim columns) {
  const char *text = fst_arena_printf(in->arena, "mat1 and mat2 shapes cannot be multiplied (%sx%s and %sx%s)", fst_infer_dim_text(in, rows),
                                      fst_infer_dim_text(in, k), fst_infer_dim_text(in, k2), fst_infer_dim_text(in, columns));
  return fst_infer_require_equal(in, k, k2, text);
}

static fst_dim dims_product(fst_infer *in, const fst_dim *dims, int count) {
  fst_dim product = fst_dim_const(in->dims, 1);
  for (int i = 0; i < count; i++) product = fst_dim_mul(in->dims, product, dims[i]);
  return product;
}

static bool dtypes_agree(fst_infer *in, const fst_type_data *a, const fst_type_data *b) {
  if (a->dtype == b->dtype) return true;
  in->message = fst_arena_printf(in->arena, "expected m1 and m2 to have the same dtype, but got: %s != %s", fst_dtype_word(a->dtype), fst_dtype_word(b->dtype));
  return false;
}

int fst_infer_linear(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0), *w = fst_infer_tensor(in, 1);
  if (!x || !w) return FST_INFER_UNKNOWN;
  if (x->rank < 1 || w->rank < 1 || w->rank > 2)
    return fst_infer_raise(in, "both arguments to linear need to be at least 1D, but they are %dD and %dD", x->rank, w->rank);
  if (x->dtype != w->dtype)
    return fst_infer_raise(in, "mat1 and mat2 must have the same dtype, but got %s and %s", fst_dtype_word(x->dtype), fst_dtype_word(w->dtype));
  fst_dim dims[FST_MAX_RANK], one = fst_dim_const(in->dims, 1);
  int rank = x->rank - 1;
  memcpy(dims, x->dims, sizeof(fst_dim) * (size_t)x->rank);
  fst_dim rows = dims_product(in, x->dims, rank), k = x->dims[rank];
  if (!mm_agree(in, rows, k, w->dims[w->rank - 1], w->rank == 2 ? w->dims[0] : one)) return FST_INFER_RAISES;
  if (w->rank == 2) dims[rank++] = w->dims[0];
  if (!fst_infer_is_none(in, 2)) {
    const fst_type_data *b = fst_infer_tensor(in, 2);
    fst_dim ignored[FST_MAX_RANK];
    int ignored_rank;
    if (!b) return FST_INFER_UNKNOWN;
    if (!fst_infer_broadcast(in, dims, rank, b->dims, b->rank, ignored, &ignored_rank)) return FST_INFER_RAISES;
  }
  fst_infer_set_tensor(in, 0, x->dtype, rank, dims);
  return FST_INFER_OK;
}

// ---- products of fixed rank ----
int fst_infer_mm(fst_infer *in) {
  const fst_type_data *a = fst_infer_tensor(in, 0), *b = fst_infer_tensor(in, 1);
  if (!a || !b) return FST_INFER_UNKNOWN;
  if (a->rank != 2) return fst_infer_raise(in, "self must be a matrix");
  if (b->rank != 2) return fst_infer_raise(in, "mat2 must be a matrix");
  if (!mm_agree(in, a->dims[0], a->dims[1], b->dims[0], b->dims[1]) || !dtypes_agree(in, a, b)) return FST_INFER_RAISES;
  fst_infer_set_tensor(in, 0, a->dtype, 2, (fst_dim[]){a->dims[0], b->dims[1]});
  return FST_INFER_OK;
}

static bool bmm_agree(fst_infer *in, const fst_type_data *a, const fst_dim *batch_b, const fst_dim *b) {
  const char *text = fst_arena_printf(in->arena, "Expected size for first two dimensions of batch2 tensor to be: [%s, %s] but got: [%s, %s].",
                                      fst_infer_dim_text(in, a->dims[0]), fst_infer_dim_text(in, a->dims[2]), fst_infer_dim_text(in, batch_b[0]), fst_infer_dim_text(in, b[0]));
  return fst_infer_require_equal(in, a->dims[0], batch_b[0], text) && fst_infer_require_equal(in, a->dims[2], b[0], text);
}

int fst_infer_bmm(fst_infer *in) {
  const fst_type_data *a = fst_infer_tensor(in, 0), *b = fst_infer_tensor(in, 1);
  if (!a || !b) return FST_INFER_UNKNOWN;
  if (a->rank != 3) return fst_infer_raise(in, "batch1 must be a 3D tensor");
  if (b->rank != 3) return fst_infer_raise(in, "batch2 must be a 3D tensor");
  if (!bmm_agree(in, a, b->dims, b->dims + 1) || !dtypes_agree(in, a, b)) return FST_INFER_RAISES;
  fst_infer_set_tensor(in, 0, a->dtype, 3, (fst_dim[]){a->dims[0], a->dims[1], b->dims[2]});
  return FST_INFER_OK;
}

static bool mv_agree(fst_infer *in, const fst_type_data *a, const fst_type_data *b) {
  const char *text = fst_arena_printf(in->arena, "size mismatch, got input (%s), mat (%s), vec (%s)", fst_infer_dim_text(in, a->dims[0]),
                                      fst_infer_times_text(in, a->dims, a->rank), fst_infer_dim_text(in, b->dims[0]));
  return fst_infer_require_equal(in, a->dims[1], b->dims[0], text);
}

int fst_infer_mv(fst_infer *in) {
  const fst_type_data *a = fst_infer_tensor(in, 0), *b = fst_infer_tensor(in, 1);
  if (!a || !b) return FST_INFER_UNKNOWN;
  if (a->rank != 2 || b->rank != 1)
    return fst_infer_raise(in, "vector + matrix @ vector expected, got 1, %d, %d", a->rank, b->rank);
  if (!mv_agree(in, a, b) || !dtypes_agree(in, a, b)) return FST_INFER_RAISES;
  fst_infer_set_tensor(in, 0, a->dtype, 1, a->dims);
  return FST_INFER_OK;
}

static int infer_dot(fst_infer *in, const fst_type_data *a, const fst_type_data *b) {
  if (a->rank != 1 || b->rank != 1)
    return fst_infer_raise(in, "1D tensors expected, but got %dD and %dD tensors", a->rank, b->rank);
  if (a->dtype != b->dtype)
    return fst_infer_raise(in, "dot : expected both vectors to have same dtype, but found %s and %s", fst_dtype_word(a->dtype), fst_dtype_word(b->dtype));
  const char *n = fst_infer_dim_text(in, a->dims[0]), *m = fst_infer_dim_text(in, b->dims[0]);
  const char *text = fst_arena_printf(
      in->arena, "inconsistent tensor size, expected tensor [%s] and src [%s] to have the same number of elements, but got %s and %s elements respectively", n, m, n, m);
  if (!fst_infer_require_equal(in, a->dims[0], b->dims[0], text))
    return FST_INFER_RAISES;
  fst_infer_set_tensor(in, 0, a->dtype, 0, NULL);
  return FST_INFER_OK;
}

int fst_infer_dot(fst_infer *in) {
  const fst_type_data *a = fst_infer_tensor(in, 0), *b = fst_infer_tensor(in, 1);
  return a && b ? infer_dot(in, a, b) : FST_INFER_UNKNOWN;
}

// ---- matmul: PyTorch folds batches of one side into rows, else broadcasts and uses bmm ----
static int infer_matmul_batched(fst_infer *in, const fst_type_data *a, const fst_type_data *b) {
  fst_dim dims[FST_MAX_RANK], one = fst_dim_const(in->dims, 1);
  int rank, a_batch = a->rank > 2 ? a->rank - 2 : 0, b_batch = b->rank > 2 ? b->rank - 2 : 0;
  fst_dim rows = a->rank > 1 ? a->dims[a->rank - 2] : one, columns = b->rank > 1 ? b->dims[b->rank - 1] : one;
  fst_dim k = a->dims[a->rank - 1], k2 = b->rank > 1 ? b->dims[b->rank - 2] : b->dims[0];
  if (!fst_infer_broadcast(in, a->dims, a_batch, b->dims, b_batch, dims, &rank)) return FST_INFER_RAISES;
  if (a_batch && b_batch) {
    fst_type_data folded = {.rank = 3, .dims = (fst_dim[]){dims_product(in, dims, rank), rows, k}};
    if (!bmm_agree(in, &folded, folded.dims, &k2)) return FST_INFER_RAISES;
  } else if (a_batch) {
    if (!mm_agree(in, fst_dim_mul(in->dims, dims_product(in, a->dims, a_batch), rows), k, k2, columns)) return FST_INFER_RAISES;
  } else if (!mm_agree(in, fst_dim_mul(in->dims, dims_product(in, b->dims, b_batch), columns), k2, k, rows)) {
    return FST_INFER_RAISES;
  }
  if (a->rank > 1) dims[rank++] = rows;
  if (b->rank > 1) dims[rank++] = columns;
  fst_infer_set_tensor(in, 0, a->dtype, rank, dims);
  return FST_INFER_OK;
}

int fst_infer_matmul(fst_infer *in) {
  const fst_type_data *a = fst_infer_tensor(in, 0), *b = fst_infer_tensor(in, 1);
  if (!a || !b) return FST_INFER_UNKNOWN;
  if (a->rank == 0 || b->rank == 0)
    return fst_infer_raise(in, "both arguments to matmul need to be at least 1D, but they are %dD and %dD", a->rank, b->rank);
  if (a->rank == 1 && b->rank == 1) return infer_dot(in, a, b);
  if (!dtypes_agree(in, a, b)) return FST_INFER_RAISES;
  if (a->rank == 2 && b->rank == 1) return fst_infer_mv(in);
  if (a->rank > 2 || b->rank > 2) return infer_matmul_batched(in, a, b);
  fst_dim one = fst_dim_const(in->dims, 1);
  if (!mm_agree(in, a->rank == 2 ? a->dims[0] : one, a->dims[a->rank - 1], b->dims[0], b->dims[1])) return FST_INFER_RAISES;
  fst_infer_set_tensor(in, 0, a->dtype, a->rank, (fst_dim[]){a->rank == 2 ? a->dims[0] : b->dims[1], b->dims[1]});
  return FST_INFER_OK;
}

// ---- tensordot and einsum: labelled dims ----
bool fst_tensordot_read(fst_infer *in, fst_tensordot *td) {
  const fst_type_data *a = fst_infer_tensor(in, 0), *b = fst_infer_tensor(in, 1);
  if (!a || !b) return false;
  td->count = fst_args_axes(in, "dims_self", a->rank, td->a);
  return td->count >= 0 && fst_args_axes(in, "dims_other", b->rank, td->b) == td->count;
}

static bool axis_in(const int *axes, int count, int axis) {
  for (int i = 0; i < count; i++)
    if (axes[i] == axis) return true;
  return false;
}

int fst_infer_tensordot(fst_infer *in) {
  fst_tensordot td;
  if (!fst_tensordot_read(in, &td)) return FST_INFER_UNKNOWN;
  const fst_type_data *a = fst_infer_tensor(in, 0), *b = fst_infer_tensor(in, 1);
  if (!dtypes_agree(in, a, b)) return FST_INFER_RAISES;
  fst_dim dims[2 * FST_MAX_RANK], one = fst_dim_const(in->dims, 1);
  int rank = 0;
  for (int i = 0; i < td.count; i++) {
    fst_dim n = a->dims[td.a[i]], m = b->dims[td.b[i]];
    if (n == one || m == one) continue;
    const char *text = fst_arena_printf(in->arena, "contracted dimensions need to match, but first has size %s in dim %d and second has size %s in dim %d",
                                        fst_infer_dim_text(in, n), td.a[i], fst_infer_dim_text(in, m), td.b[i]);
    if (!fst_infer_require_equal(in, n, m, text)) return FST_INFER_RAISES;
  }
  for (int i = 0; i < a->rank; i++)
    if (!axis_in(td.a, td.count, i)) dims[rank++] = a->dims[i];
  for (int i = 0; i < b->rank; i++)
    if (!axis_in(td.b, td.count, i)) dims[rank++] = b->dims[i];
  if (rank > FST_MAX_RANK) return fst_infer_give_up(in, "more than %d dimensions", FST_MAX_RANK);
  fst_infer_set_tensor(in, 0, a->dtype, rank, dims);
  return FST_INFER_OK;
}

// Labels of one operand: letters, and EINSUM_DOTS + i for the i-th dim, from the right, under an ellipsis.
static const char *term_read(const char *text, int rank, int *labels, int *out_count) {
  int letters = 0, count = 0, dots = -1;
  for (const char *p = text; *p && *p != ',' && *p != '-'; p++) letters += *p != ' ' && *p != '.';
  for (; *text && *text != ',' && *text != '-'; text++) {
    if (*text == ' ') continue;
    if (*text == '.') {
      if (dots >= 0 || text[1] != '.' || text[2] != '.') return NULL;
      dots = rank - letters;
      for (int i = dots; i > 0; i--) labels[count++] = FST_EINSUM_DOTS + i - 1;
      text += 2;
      continue;
    }
    if (count >= FST_MAX_RANK) return NULL;
    labels[count++] = (unsigned char)*text;
  }
  *out_count = count;
  return rank < 0 || count == rank ? text : NULL;
}

static void einsum_output_default(fst_einsum *e) {
  int seen[FST_EINSUM_LABELS] = {0};
  for (int i = 0; i < e->count; i++)
    for (int d = 0; d < e->ranks[i]; d++) seen[e->labels[i][d]]++;
  e->out_rank = 0;
  for (int l = FST_EINSUM_LABELS - 1; l >= FST_EINSUM_DOTS; l--)
    if (seen[l]) e->out[e->out_rank++] = l;
  for (int l = 0; l < FST_EINSUM_DOTS; l++)
    if (seen[l] == 1 && e->out_rank < FST_MAX_RANK) e->out[e->out_rank++] = l;
}

static bool einsum_output(fst_einsum *e, const char *text, int dots) {
  int letters = 0;
  for (const char *p = text; *p; p++) letters += *p != ' ' && *p != '.';
  return term_read(text, strchr(text, '.') ? letters + dots : letters, e->out, &e->out_rank) != NULL;
}

bool fst_einsum_read(fst_infer *in, fst_einsum *e) {
  const fst_type_data *types[FST_EINSUM_OPERANDS];
  const char *text = fst_args_str(in, "equation");
  if (!text) return false;
  e->count = fst_infer_tensor_list(in, 1, types, FST_EINSUM_OPERANDS);
  if (e->count < 1) return false;
  int dots = 0;
  for (int i = 0; i < e->count; i++) {
    if (types[i]->rank < 0) return false;
    text = term_read(text, types[i]->rank, e->labels[i], &e->ranks[i]);
    if (!text || (*text == ',') != (i + 1 < e->count)) return false;
    if (*text == ',') text++;
    for (int d = 0; d < e->ranks[i]; d++)
      if (e->labels[i][d] - FST_EINSUM_DOTS + 1 > dots) dots = e->labels[i][d] - FST_EINSUM_DOTS + 1;
  }
  if (*text == '-') {
    if (text[1] != '>' || !einsum_output(e, text + 2, dots)) return false;
  } else {
    einsum_output_default(e);
  }
  for (int l = 0; l < FST_EINSUM_LABELS; l++) e->sizes[l] = FST_DIM_UNKNOWN;
  fst_dim one = fst_dim_const(in->dims, 1);
  for (int i = 0; i < e->count; i++)
    for (int d = 0; d < e->ranks[i]; d++) {
      fst_dim *size = &e->sizes[e->labels[i][d]];
      if (*size == FST_DIM_UNKNOWN || *size == one) *size = types[i]->dims[d];
      else if (types[i]->dims[d] != one && fst_dim_equal(in->dims, *size, types[i]->dims[d]) == 0) return false;
    }
  return true;
}

int fst_infer_einsum(fst_infer *in) {
  fst_einsum e;
  const fst_type_data *types[FST_EINSUM_OPERANDS];
  if (!fst_einsum_read(in, &e)) return fst_infer_give_up(in, "einsum: the equation or the operands are not of a known form");
  fst_infer_tensor_list(in, 1, types, FST_EINSUM_OPERANDS);
  fst_dim dims[FST_MAX_RANK], one = fst_dim_const(in->dims, 1);
  for (int i = 0; i < e.count; i++) {
    if (types[i]->dtype != types[0]->dtype) return fst_infer_give_up(in, "einsum: operands of different dtypes");
    for (int d = 0; d < e.ranks[i]; d++)
      if (types[i]->dims[d] != one) {
        fst_dim size = types[i]->dims[d], other = e.sizes[e.labels[i][d]];
        const char *text = fst_arena_printf(in->arena, "einsum(): subscript %c has size %s for operand %d which does not broadcast with previously seen size %s",
                                            e.labels[i][d] < 128 ? e.labels[i][d] : '.', fst_infer_dim_text(in, size), i, fst_infer_dim_text(in, other));
        if (!fst_infer_require_equal(in, size, other, text)) return FST_INFER_RAISES;
      }
  }
  if (fst_dtype_is_integral(types[0]->dtype, true) && types[0]->dtype != FST_I64)  // PyTorch sums some of them as i64
    return fst_infer_give_up(in, "einsum of small integers");
  for (int d = 0; d < e.out_rank; d++) {
    dims[d] = e.sizes[e.out[d]];
    if (dims[d] == FST_DIM_UNKNOWN) return fst_infer_give_up(in, "einsum: an output subscript does not appear in any operand");
  }
  fst_infer_set_tensor(in, 0, types[0]->dtype, e.out_rank, dims);
  return FST_INFER_OK;
}

// ---- convolutions ----
static bool conv_padding_text(fst_infer *in, fst_conv *c, const fst_type_data *w, const char *text) {
  bool same = !strcmp(text, "same");
  fst_dim one = fst_dim_const(in->dims, 1), two = fst_dim_const(in->dims, 2), zero = fst_dim_const(in->dims, 0);
  for (int i = 0; i < c->spatial; i++) {
    fst_dim total = same ? fst_dim_mul(in->dims, c->dilation[i], fst_dim_sub(in->dims, w->dims[2 + i], one)) : zero;
    c->padding[i] = fst_dim_floordiv(in->dims, total, two);
    c->padding_end[i] = fst_dim_sub(in->dims, total, c->padding[i]);
    if (same && c->stride[i] != one) return in->message = "padding='same' is not supported for strided convolutions", false;
  }
  return true;
}

bool fst_conv_read(fst_infer *in, fst_conv *c) {
  const fst_type_data *x = fst_infer_tensor(in, 0), *w = fst_infer_tensor(in, 1);
  const char *name = fst_op_name(fst_node_get(in->graph, in->node)->op);
  if (!x || !w) return false;
  *c = (fst_conv){.spatial = w->rank - 2};
  if (c->spatial < 1 || c->spatial > FST_CONV_MAX) return in->message = "a convolution's weight must have 3 to 5 dimensions", false;
  fst_dim zero = fst_dim_const(in->dims, 0), one = fst_dim_const(in->dims, 1);
  bool transposed;
  if (!fst_args_bool(in, "transposed", strstr(name, "conv_transpose") != NULL, &transposed)) return false;
  c->transposed = transposed;
  c->batched = x->rank == c->spatial + 2;
  c->groups = fst_args_dim(in, "groups", one);
  const char *mode = fst_args_str(in, "padding");
  bool known = fst_args_dims(in, "stride", c->spatial, one, c->stride) && fst_args_dims(in, "dilation", c->spatial, one, c->dilation) &&
               fst_args_dims(in, "output_padding", c->spatial, zero, c->output_padding) &&
               (mode || fst_args_dims(in, "padding", c->spatial, zero, c->padding)) && fst_dim_is_known(c->groups);
  if (!known) return in->message = "stride, padding, dilation and groups must be known", false;
  memcpy(c->padding_end, c->padding, sizeof c->padding);
  return !mode || conv_padding_text(in, c, w, mode);
}

static fst_dim conv_out_size(fst_infer *in, const fst_conv *c, int i, fst_dim size, fst_dim kernel) {
  fst_dims *d = in->dims;
  fst_dim one = fst_dim_const(d, 1), pad = fst_dim_add(d, c->padding[i], c->padding_end[i]);
  fst_dim reach = fst_dim_mul(d, c->dilation[i], fst_dim_sub(d, kernel, one));
  if (c->transposed) {
    fst_dim out = fst_dim_sub(d, fst_dim_mul(d, fst_dim_sub(d, size, one), c->stride[i]), pad);
    return fst_dim_add(d, fst_dim_add(d, out, reach), fst_dim_add(d, c->output_padding[i], one));
  }
  fst_dim span = fst_dim_sub(d, fst_dim_sub(d, fst_dim_add(d, size, pad), reach), one);
  return fst_dim_add(d, fst_dim_floordiv(d, span, c->stride[i]), one);
}

static bool conv_channels_agree(fst_infer *in, const fst_conv *c, const fst_type_data *x, const fst_type_data *w) {
  fst_dim channels = x->dims[c->batched];
  fst_dim wanted = c->transposed ? w->dims[0] : fst_dim_mul(in->dims, w->dims[1], c->groups);
  const char *groups = fst_infer_dim_text(in, c->groups), *shape = fst_infer_shape_text(in, w->dims, w->rank);
  const char *text = fst_arena_printf(in->arena, "Given %s=%s, weight of size %s, expected input%s to have %s channels, but got %s channels instead",
                                      c->transposed ? "transposed=1, groups" : "groups", groups, shape, fst_infer_shape_text(in, x->dims, x->rank), fst_infer_dim_text(in, wanted), fst_infer_dim_text(in, channels));
  return fst_infer_require_equal(in, wanted, channels, text);
}

static bool conv_numbers_legal(fst_infer *in, const fst_conv *c) {
  for (int i = 0; i < c->spatial; i++) {
    const char *large = fst_arena_printf(in->arena, "Given padding=%s at dimension %d , expected padding to be at most %lld", fst_infer_dim_text(in, c->padding[i]), i, (long long)INT64_MAX / 2);
    const char *wide = fst_arena_printf(in->arena, "output padding must be smaller than either stride or dilation, but got output_padding: %s stride: %s dilation: %s",
                                        fst_infer_dim_text(in, c->output_padding[i]), fst_infer_dim_text(in, c->stride[i]), fst_infer_dim_text(in, c->dilation[i]));
    fst_dim less = fst_dim_sub(in->dims, fst_dim_max(in->dims, c->stride[i], c->dilation[i]), fst_dim_const(in->dims, 1));
    bool legal = fst_infer_require_at_least(in, c->padding[i], 0, "negative padding is not supported") &&
                 fst_infer_require_at_least(in, c->output_padding[i], 0, "negative output_padding is not supported") &&
                 fst_infer_require_at_least(in, c->stride[i], 1, "non-positive stride is not supported") &&
                 fst_infer_require_at_least(in, c->dilation[i], 1, "dilation should be greater than zero") &&
                 fst_infer_require_at_most(in, c->padding[i], fst_dim_const(in->dims, INT64_MAX / 2), large) &&
                 (!c->transposed || fst_infer_require_at_most(in, c->output_padding[i], less, wide));
    if (!legal) return false;
  }
  return fst_infer_require_at_least(in, c->groups, 1, "non-positive groups is not supported");
}

static bool conv_bias_agrees(fst_infer *in, const fst_type_data *w, fst_dim channels) {
  int arg = fst_args_find(in, "bias");
  if (arg < 0 || fst_infer_is_none(in, (uint32_t)arg)) return true;
  const fst_type_data *bias = fst_infer_type(in, (uint32_t)arg);
  const char *text = fst_arena_printf(in->arena, "Given weight of size %s, expected bias to be 1-dimensional with %s elements, but got bias of size %s instead",
                                      fst_infer_shape_text(in, w->dims, w->rank), fst_infer_dim_text(in, channels), fst_infer_shape_text(in, bias->dims, bias->rank));
  if (bias->rank != 1) return in->message = text, false;
  return fst_infer_require_equal(in, bias->dims[0], channels, text);
}

// The kernel, spread by its dilation, must not reach beyond the padded input. `out` are the sizes that result.
static bool conv_fits(fst_infer *in, const fst_conv *c, const fst_type_data *x, const fst_type_data *w, const fst_dim *out) {
  fst_dims *d = in->dims;
  fst_dim one = fst_dim_const(d, 1), padded[FST_CONV_MAX], kernel[FST_CONV_MAX];
  const fst_dim *size = x->dims + x->rank - c->spatial, *taps = w->dims + 2;
  for (int i = 0; i < c->spatial; i++) {
    padded[i] = fst_dim_add(d, size[i], fst_dim_add(d, c->padding[i], c->padding_end[i]));
    kernel[i] = fst_dim_add(d, fst_dim_mul(d, c->dilation[i], fst_dim_sub(d, taps[i], one)), one);
  }
  const char *text = fst_arena_printf(in->arena, "Calculated padded input size per channel: (%s). Kernel size: (%s). Kernel size can't be greater than actual input size",
                                      fst_infer_by_text(in, padded, c->spatial), fst_infer_by_text(in, kernel, c->spatial));
  const char *small = fst_arena_printf(in->arena, "Given input size per channel: (%s). Calculated output size per channel: (%s). Output size is too small",
                                       fst_infer_by_text(in, size, c->spatial), fst_infer_by_text(in, out, c->spatial));
  for (int i = 0; i < c->spatial; i++) {
    if (!fst_infer_require_reach(in, c->dilation[i], taps[i], text)) return false;
    if (!c->transposed && !fst_infer_require_at_most(in, kernel[i], padded[i], text)) return false;
    if (c->transposed && !fst_infer_require_at_least(in, out[i], c->spatial > 1, small)) return false;   // PyTorch's in one dimension may be empty
  }
  return true;
}

int fst_infer_conv(fst_infer *in) {
  fst_conv c;
  if (!fst_conv_read(in, &c)) return FST_INFER_UNKNOWN;
  const fst_type_data *x = fst_infer_tensor(in, 0), *w = fst_infer_tensor(in, 1);
  if (x->rank != c.spatial + 2 && x->rank != c.spatial + 1)
    return fst_infer_raise(in, "Expected %dD (unbatched) or %dD (batched) input to conv%s%dd, but got input of size: %s", c.spatial + 1, c.spatial + 2,
                           c.transposed ? "_transpose" : "", c.spatial, fst_infer_shape_text(in, x->dims, x->rank));
  if (x->dtype != w->dtype)
    return fst_infer_raise(in, "Input type (%s) and weight type (%s) should be the same", fst_dtype_torch_name(x->dtype), fst_dtype_torch_name(w->dtype));
  if (!conv_numbers_legal(in, &c) || !conv_channels_agree(in, &c, x, w)) return FST_INFER_RAISES;
  fst_dim dims[FST_MAX_RANK];
  int rank = 0;
  if (c.batched) dims[rank++] = x->dims[0];
  fst_dim channels = c.transposed ? fst_dim_mul(in->dims, w->dims[1], c.groups) : w->dims[0];
  if (!conv_bias_agrees(in, w, channels)) return FST_INFER_RAISES;
  dims[rank++] = channels;
  for (int i = 0; i < c.spatial; i++, rank++) dims[rank] = conv_out_size(in, &c, i, x->dims[rank], w->dims[2 + i]);
  if (!conv_fits(in, &c, x, w, dims + rank - c.spatial)) return FST_INFER_RAISES;
  int format = c.batched ? fst_infer_format(in, x) : FST_FORMAT_CONTIGUOUS;
  if (c.batched && format == FST_FORMAT_CONTIGUOUS) format = fst_infer_format(in, w);
  fst_infer_set_format(in, 0, x->dtype, rank, dims, format);
  return FST_INFER_OK;
}

// ---- recurrent cells ----
static bool cell_agree(fst_infer *in, const fst_type_data *x, const fst_type_data *w, const char *what) {
  if (x->rank < 1 || w->rank != 2) return in->message = "a recurrent cell needs matrices as weights", false;
  fst_dim k = x->dims[x->rank - 1];
  fst_dim rows = x->rank == 2 ? x->dims[0] : fst_dim_const(in->dims, 1);
  (void)what;
  return x->rank <= 2 && mm_agree(in, rows, k, w->dims[1], w->dims[0]);
}

int fst_infer_cell(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0), *hx[2] = {NULL, NULL};
  const fst_type_data *w_ih = fst_infer_tensor(in, 2), *w_hh = fst_infer_tensor(in, 3);
  uint32_t results = fst_node_get(in->graph, in->node)->result_count;
  if (!x || !w_ih || !w_hh) return FST_INFER_UNKNOWN;
  if (results == 1) hx[0] = fst_infer_tensor(in, 1);
  else if (fst_infer_tensor_list(in, 1, hx, 2) != 2 || hx[0]->rank < 0 || hx[1]->rank < 0) hx[0] = NULL;
  if (!hx[0]) return fst_infer_give_up(in, "the cell's state is not known");
  if (!cell_agree(in, x, w_ih, "input") || !cell_agree(in, hx[0], w_hh, "hidden")) return FST_INFER_RAISES;
  if (x->rank != hx[0]->rank) return fst_infer_give_up(in, "the cell's input and state differ in rank");
  if (x->rank == 2 && !fst_infer_require_equal(in, x->dims[0], hx[0]->dims[0], fst_arena_printf(in->arena, "Input batch size %s doesn't match hidden%s batch size %s", fst_infer_dim_text(in, x->dims[0]), results == 1 ? "" : "[0]", fst_infer_dim_text(in, hx[0]->dims[0]))))
    return FST_INFER_RAISES;
  for (uint32_t r = 0; r < results; r++) fst_infer_set_tensor(in, r, x->dtype, hx[r]->rank, hx[r]->dims);
  return FST_INFER_OK;
}

// ---- products over pairs ----
int fst_infer_bilinear(fst_infer *in) {
  const fst_type_data *a = fst_infer_tensor(in, 0), *b = fst_infer_tensor(in, 1), *w = fst_infer_tensor(in, 2);
  if (!a || !b || !w) return FST_INFER_UNKNOWN;
  if (a->rank != b->rank || a->rank < 1 || w->rank != 3)
    return fst_infer_raise(in, "bilinear(): input dimensions do not match: got %d and %d", a->rank, b->rank);
  int last = a->rank - 1;
  fst_dim dims[FST_MAX_RANK];
  for (int i = 0; i < last; i++) {
    const char *text = fst_arena_printf(in->arena, "bilinear(): input batch dimensions do not match at dim %d: got %s and %s", i, fst_infer_dim_text(in, a->dims[i]), fst_infer_dim_text(in, b->dims[i]));
    if (!fst_infer_require_equal(in, a->dims[i], b->dims[i], text)) return FST_INFER_RAISES;
    dims[i] = a->dims[i];
  }
  for (int i = 0; i < 2; i++) {
    fst_dim got = (i ? b : a)->dims[last], want = w->dims[1 + i];
    const char *text = fst_arena_printf(in->arena, "bilinear(): input%d size does not match weight size: got %s but expected %s", i + 1, fst_infer_dim_text(in, got), fst_infer_dim_text(in, want));
    if (!fst_infer_require_equal(in, got, want, text)) return FST_INFER_RAISES;
  }
  dims[last] = w->dims[0];
  fst_infer_set_tensor(in, 0, a->dtype, a->rank, dims);
  return FST_INFER_OK;
}

int fst_infer_cdist(fst_infer *in) {
  const fst_type_data *a = fst_infer_tensor(in, 0), *b = fst_infer_tensor(in, 1);
  if (!a || !b) return FST_INFER_UNKNOWN;
  if (a->rank < 2) return fst_infer_raise(in, "cdist only supports at least 2D tensors, X1 got: %dD", a->rank);
  if (b->rank < 2) return fst_infer_raise(in, "cdist only supports at least 2D tensors, X2 got: %dD", b->rank);
  fst_dim dims[FST_MAX_RANK];
  int rank;
  const char *text = fst_arena_printf(in->arena, "X1 and X2 must have the same number of columns. X1: %s X2: %s", fst_infer_dim_text(in, a->dims[a->rank - 1]), fst_infer_dim_text(in, b->dims[b->rank - 1]));
  if (!fst_infer_require_equal(in, a->dims[a->rank - 1], b->dims[b->rank - 1], text)) return FST_INFER_RAISES;
  if (!fst_infer_broadcast(in, a->dims, a->rank - 2, b->dims, b->rank - 2, dims, &rank)) return FST_INFER_RAISES;
  dims[rank++] = a->dims[a->rank - 2];
  dims[rank++] = b->dims[b->rank - 2];
  fst_infer_set_tensor(in, 0, a->dtype, rank, dims);
  return FST_INFER_OK;
}

int fst_infer_kron(fst_infer *in) {
  const fst_type_data *a = fst_infer_tensor(in, 0), *b = fst_infer_tensor(in, 1);
  if (!a || !b) return FST_INFER_UNKNOWN;
  int rank = a->rank > b->rank ? a->rank : b->rank;
  fst_dim dims[FST_MAX_RANK], one = fst_dim_const(in->dims, 1);
  for (int i = 0; i < rank; i++) {
    int ia = i - (rank - a->rank), ib = i - (rank - b->rank);
    dims[i] = fst_dim_mul(in->dims, ia >= 0 ? a->dims[ia] : one, ib >= 0 ? b->dims[ib] : one);
  }
  fst_infer_set_tensor(in, 0, fst_infer_result_type(in, (uint32_t[]){0, 1}, 2), rank, dims);
  return FST_INFER_OK;
}
