// Elements of products: each is a SUM reduction of a product, the form that code generators recognise
// (fst_kx_is_contraction) and give tiles. 16-bit floats accumulate in f32.
#include <string.h>

#include "ir/args.h"
#include "ir/contraction.h"
#include "ir/lower_build.h"
#include "ir/rows_structured.h"

static fst_kx sum1(fst_lower *lo, fst_kx var, fst_kx extent, fst_kx body) { return kx_sum(lo, &var, &extent, 1, body); }

static int rank_of(const fst_lower *lo, uint32_t arg) { return fst_lower_type(lo, arg)->rank; }

// Bias of one feature, or of all (rank 0 or a size of 1), added in the accumulator's dtype.
static fst_kx add_bias(fst_lower *lo, int arg, fst_kx feature, fst_kx value) {
  if (!fst_lower_has_arg(lo, arg)) return value;
  return kx_add(lo, value, kx_load_wide(lo, (uint32_t)arg, &feature));
}

void fst_lower_linear(fst_lower *lo) {
  int x_rank = rank_of(lo, 0), w_rank = rank_of(lo, 1);
  fst_kx k = kx_var(lo), x_index[FST_MAX_RANK], w_index[2];
  memcpy(x_index, lo->index, sizeof(fst_kx) * (size_t)(x_rank - 1));
  x_index[x_rank - 1] = k;
  w_index[0] = w_rank == 2 ? lo->index[x_rank - 1] : k;
  w_index[1] = k;
  fst_kx product = kx_mul(lo, kx_load_wide(lo, 0, x_index), kx_load_wide(lo, 1, w_index));
  fst_kx sum = sum1(lo, k, fst_lower_size(lo, 0, (uint32_t)x_rank - 1), product);
  lower_finish(lo, fst_lower_has_arg(lo, 2) ? kx_add(lo, sum, kx_convert(lo, fst_lower_broadcast(lo, 2), kx_dtype(lo, sum))) : sum);
}

// Index into a matmul operand: batch dims right-aligned onto the result's, sizes of 1 read element 0.
static void matmul_batch(fst_lower *lo, uint32_t arg, int result_batch, fst_kx *index) {
  const fst_type_data *type = fst_lower_type(lo, arg);
  int batch = type->rank > 2 ? type->rank - 2 : 0;
  for (int i = 0; i < batch; i++) {
    int from = result_batch - batch + i;
    int64_t size;
    bool one = fst_dim_is_const(lo->graph->dims, type->dims[i], &size) && size == 1;
    index[i] = one ? kx_int(lo, 0) : lo->index[from];
    if (fst_dim_equal(lo->graph->dims, type->dims[i], fst_lower_result_type(lo, 0)->dims[from]) != 1 && !one)
      index[i] = kx_select(lo, kx_eq(lo, fst_lower_size(lo, arg, (uint32_t)i), kx_int(lo, 1)), kx_int(lo, 0), lo->index[from]);
  }
}

// Serves mm, bmm, mv, dot and all forms of matmul: rank 1 on the left is a row, on the right a column.
void fst_lower_matmul(fst_lower *lo) {
  int a_rank = rank_of(lo, 0), b_rank = rank_of(lo, 1), out_rank = fst_lower_result_type(lo, 0)->rank;
  int batch = out_rank - (a_rank > 1) - (b_rank > 1);
  fst_kx k = kx_var(lo), a_index[FST_MAX_RANK], b_index[FST_MAX_RANK];
  matmul_batch(lo, 0, batch, a_index);
  matmul_batch(lo, 1, batch, b_index);
  if (a_rank > 1) a_index[a_rank - 2] = lo->index[batch];
  a_index[a_rank - 1] = k;
  b_index[b_rank > 1 ? b_rank - 2 : 0] = k;
  if (b_rank > 1) b_index[b_rank - 1] = lo->index[out_rank - 1];
  fst_kx product = kx_mul(lo, kx_load_wide(lo, 0, a_index), kx_load_wide(lo, 1, b_index));
  lower_finish(lo, sum1(lo, k, fst_lower_size(lo, 0, (uint32_t)a_rank - 1), product));
}

// ---- labelled dims ----
static fst_kx size1_reads_0(fst_lower *lo, fst_dim size, fst_kx index) { return size == 1 ? kx_int(lo, 0) : index; }

void fst_lower_tensordot(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  fst_tensordot td;
  if (!fst_tensordot_read(&in, &td)) return;
  const fst_type_data *types[2] = {fst_lower_type(lo, 0), fst_lower_type(lo, 1)};
  fst_kx vars[FST_MAX_RANK], extents[FST_MAX_RANK], index[2][FST_MAX_RANK], *bound[2][FST_MAX_RANK] = {{0}};
  for (int i = 0; i < td.count; i++) {
    vars[i] = kx_var(lo);
    extents[i] = fst_lower_size(lo, types[0]->dims[td.a[i]] == 1 ? 1 : 0, (uint32_t)(types[0]->dims[td.a[i]] == 1 ? td.b[i] : td.a[i]));
    bound[0][td.a[i]] = bound[1][td.b[i]] = &vars[i];
  }
  int out = 0;
  for (int side = 0; side < 2; side++)
    for (int d = 0; d < types[side]->rank; d++)
      index[side][d] = bound[side][d] ? size1_reads_0(lo, types[side]->dims[d], *bound[side][d]) : lo->index[out++];
  fst_kx product = kx_mul(lo, kx_load_wide(lo, 0, index[0]), kx_load_wide(lo, 1, index[1]));
  lower_finish(lo, kx_sum(lo, vars, extents, (uint32_t)td.count, product));
}

void fst_lower_einsum(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  fst_einsum e;
  const fst_type_data *types[FST_EINSUM_OPERANDS];
  if (!fst_einsum_read(&in, &e) || fst_infer_tensor_list(&in, 1, types, FST_EINSUM_OPERANDS) != e.count) return;
  fst_kx at[FST_EINSUM_LABELS] = {{0}}, vars[FST_EINSUM_LABELS], extents[FST_EINSUM_LABELS], product = FST_NO_KX;
  uint32_t count = 0;
  for (int d = 0; d < e.out_rank; d++) at[e.out[d]] = lo->index[d];
  fst_dtype dtype = fst_dtype_wide(fst_lower_result_type(lo, 0)->dtype);
  for (int i = 0; i < e.count; i++) {
    fst_kx index[FST_MAX_RANK];
    for (int d = 0; d < e.ranks[i]; d++) {
      int label = e.labels[i][d];
      if (!at[label].id) {
        at[label] = vars[count] = kx_var(lo);
        extents[count++] = fst_lower_dim(lo, e.sizes[label]);
      }
      index[d] = size1_reads_0(lo, types[i]->dims[d], at[label]);
    }
    fst_kx element = kx_convert(lo, fst_lower_load_item(lo, 1, (uint32_t)i, index), dtype);
    product = product.id ? kx_mul(lo, product, element) : element;
  }
  lower_finish(lo, kx_sum(lo, vars, extents, count, product));
}

// ---- convolutions ----
typedef struct conv_walk {
  fst_conv c;
  uint32_t count;                                      // reduction vars: channel of the group, then taps
  fst_kx vars[1 + FST_CONV_MAX], extents[1 + FST_CONV_MAX];
  fst_kx x[2 + FST_CONV_MAX], w[2 + FST_CONV_MAX];     // indices
  fst_kx mask;                                         // none: always inside
} conv_walk;

static void conv_mask(fst_lower *lo, conv_walk *cw, fst_kx condition) {
  cw->mask = cw->mask.id ? kx_and(lo, cw->mask, condition) : condition;
}

// `x` modulo `by`, if its form shows it.
static bool residue_of(const fst_lower *lo, fst_kx x, int64_t by, int64_t *out) {
  const fst_kx_data *d = fst_kx_get(lo->kernel, x);
  int64_t a, b;
  if (fst_kx_is_int(lo->kernel, x, out)) return *out = (*out % by + by) % by, true;
  if (d->kind != FST_KX_PRIM || d->arg_count != 2) return false;
  if (d->prim == FST_PRIM_MUL && fst_kx_is_int(lo->kernel, d->args[1], &b) && b % by == 0) return *out = 0, true;
  if ((d->prim != FST_PRIM_ADD && d->prim != FST_PRIM_SUB) || !residue_of(lo, d->args[0], by, &a) || !residue_of(lo, d->args[1], by, &b)) return false;
  return *out = (d->prim == FST_PRIM_ADD ? a + b : a - b + by) % by, true;
}

static fst_kx conv_plain(fst_lower *lo, conv_walk *cw, int i, fst_kx at, fst_kx tap, fst_kx size) {
  fst_kx offset = kx_mul(lo, tap, fst_lower_dim(lo, cw->c.dilation[i])), pad = fst_lower_dim(lo, cw->c.padding[i]);
  fst_kx position = kx_sub(lo, kx_add(lo, kx_mul(lo, at, fst_lower_dim(lo, cw->c.stride[i])), offset), pad);
  if (!kx_is_int(lo, pad, 0) || cw->c.padding_end[i] != 0) conv_mask(lo, cw, kx_in_bounds(lo, position, size));
  return position;
}

// Every tap, and those that lead between two elements of the input count nothing.
static fst_kx conv_transposed(fst_lower *lo, conv_walk *cw, int i, fst_kx at, fst_kx tap, fst_kx size) {
  fst_kx offset = kx_mul(lo, tap, fst_lower_dim(lo, cw->c.dilation[i])), stride = fst_lower_dim(lo, cw->c.stride[i]);
  fst_kx scaled = kx_sub(lo, kx_add(lo, at, fst_lower_dim(lo, cw->c.padding[i])), offset), position = kx_div(lo, scaled, stride);
  conv_mask(lo, cw, kx_le(lo, kx_int(lo, 0), scaled));
  if (!kx_is_int(lo, stride, 1)) conv_mask(lo, cw, kx_eq(lo, kx_rem(lo, scaled, stride), kx_int(lo, 0)));
  conv_mask(lo, cw, kx_lt(lo, position, size));
  return position;
}

// The taps that hit an element are `stride` apart: the sum is over these alone, the j-th of them `j` elements before the first's.
// Which is the first follows from the output position; where the form of that shows it, they are counted.
static fst_kx conv_phase(fst_lower *lo, conv_walk *cw, int i, fst_kx at, fst_kx j, int64_t stride, int64_t taps, fst_kx size) {
  fst_kx padded = kx_add(lo, at, fst_lower_dim(lo, cw->c.padding[i])), by = kx_int(lo, stride), first = kx_rem(lo, padded, by);
  int64_t residue = 0;
  bool is_known = residue_of(lo, padded, stride, &residue);
  if (is_known) first = kx_int(lo, residue);
  cw->extents[cw->count - 1] = kx_int(lo, residue < taps ? (taps - residue + stride - 1) / stride : 0);
  cw->w[2 + i] = kx_add(lo, first, kx_mul(lo, j, by));
  if (!is_known && taps % stride) conv_mask(lo, cw, kx_lt(lo, cw->w[2 + i], kx_int(lo, taps)));
  fst_kx position = kx_sub(lo, kx_div(lo, is_known ? kx_sub(lo, padded, first) : padded, by), j);
  conv_mask(lo, cw, kx_in_bounds(lo, position, size));
  return position;
}

// Input position that the tap `tap` of output position `at` reads.
static fst_kx conv_position(fst_lower *lo, conv_walk *cw, int i, fst_kx at, fst_kx tap) {
  fst_kx size = fst_lower_size(lo, 0, (uint32_t)(cw->c.batched + 1 + i)), taps = cw->extents[cw->count - 1];
  int64_t stride, count, dilation;
  if (!cw->c.transposed) return conv_plain(lo, cw, i, at, tap, size);
  bool known = fst_kx_is_int(lo->kernel, fst_lower_dim(lo, cw->c.stride[i]), &stride) && fst_kx_is_int(lo->kernel, taps, &count) &&
               fst_kx_is_int(lo->kernel, fst_lower_dim(lo, cw->c.dilation[i]), &dilation);
  if (known && stride > 1 && (dilation == 1 || count == 1)) return conv_phase(lo, cw, i, at, tap, stride, count, size);
  return conv_transposed(lo, cw, i, at, tap, size);
}

void fst_lower_periods(fst_lower *lo, int64_t *periods) {
  fst_infer in = fst_infer_reader(lo);
  const fst_op_info *row = fst_op_get(fst_node_get(lo->graph, lo->node)->op);
  fst_conv c;
  if (row->lower != fst_lower_conv || !fst_conv_read(&in, &c) || !c.transposed) return;
  for (int i = 0; i < c.spatial; i++)
    if (!fst_dim_is_const(lo->graph->dims, c.stride[i], &periods[c.batched + 1 + i])) periods[c.batched + 1 + i] = 1;
}

// Channels: normal weights are [out, in / groups, taps...], transposed ones [in, out / groups, taps...].
static void conv_channels(fst_lower *lo, conv_walk *cw, fst_kx feature) {
  fst_kx groups = fst_lower_dim(lo, cw->c.groups), in_channels = fst_lower_size(lo, 0, (uint32_t)cw->c.batched);
  fst_kx per_in = kx_div(lo, in_channels, groups), c = kx_var(lo);
  bool single = kx_is_int(lo, groups, 1);
  fst_kx per_out = cw->c.transposed ? fst_lower_size(lo, 1, 1) : kx_div(lo, fst_lower_size(lo, 1, 0), groups);
  fst_kx in_channel = single ? c : kx_add(lo, kx_mul(lo, kx_div(lo, feature, per_out), per_in), c);
  cw->vars[cw->count] = c;
  cw->extents[cw->count++] = single ? in_channels : per_in;
  cw->x[cw->c.batched] = in_channel;
  cw->w[0] = cw->c.transposed ? in_channel : feature;
  cw->w[1] = !cw->c.transposed ? c : single ? feature : kx_rem(lo, feature, per_out);
}

void fst_lower_conv(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  conv_walk cw = {0};
  if (!fst_conv_read(&in, &cw.c)) return;
  int first = cw.c.batched + 1;
  if (cw.c.batched) cw.x[0] = lo->index[0];
  conv_channels(lo, &cw, lo->index[cw.c.batched]);
  for (int i = 0; i < cw.c.spatial; i++) {
    fst_kx tap = cw.w[2 + i] = cw.vars[cw.count] = kx_var(lo);
    cw.extents[cw.count++] = fst_lower_size(lo, 1, (uint32_t)(2 + i));
    cw.x[first + i] = conv_position(lo, &cw, i, lo->index[first + i], tap);
  }
  fst_kx body = kx_mul(lo, kx_load_wide(lo, 0, cw.x), kx_load_wide(lo, 1, cw.w));
  if (cw.mask.id) body = kx_select(lo, cw.mask, body, kx_zero(lo, kx_dtype(lo, body)));
  fst_kx sum = kx_sum(lo, cw.vars, cw.extents, cw.count, body);
  lower_finish(lo, add_bias(lo, fst_args_find(&in, "bias"), lo->index[cw.c.batched], sum));
}

// ---- recurrent cells: gates are rows of w_ih and w_hh, `hidden` apart ----
typedef struct cell {
  fst_kx hidden;       // size
  fst_kx batch, unit;  // batch is none for a vector
  int rank;
  uint32_t state;      // item of the state list, or UINT32_MAX when hx is a tensor
} cell;

static cell cell_read(fst_lower *lo, bool has_list) {
  const fst_type_data *out = fst_lower_result_type(lo, 0);
  cell c = {.rank = out->rank, .state = has_list ? 0 : UINT32_MAX};
  if (c.rank == 2) c.batch = lo->index[0];
  c.unit = lo->index[c.rank - 1];
  c.hidden = fst_lower_size(lo, 3, 1);
  return c;
}

static fst_kx cell_state(fst_lower *lo, const cell *c, uint32_t item, fst_kx unit) {
  fst_kx index[2] = {c->batch, unit};
  const fst_kx *at = c->rank == 2 ? index : index + 1;
  fst_kx h = c->state == UINT32_MAX ? fst_lower_load(lo, 1, at) : fst_lower_load_item(lo, 1, item, at);
  return kx_convert(lo, h, fst_dtype_wide(kx_dtype(lo, h)));
}

static fst_kx cell_row(fst_lower *lo, const cell *c, int gate) { return kx_add(lo, c->unit, kx_mul(lo, kx_int(lo, gate), c->hidden)); }

static fst_kx cell_input(fst_lower *lo, const cell *c, int gate) {
  fst_kx k = kx_var(lo), x[2] = {c->batch, k}, row = cell_row(lo, c, gate);
  fst_kx product = kx_mul(lo, kx_load_wide(lo, 0, c->rank == 2 ? x : x + 1), kx_load_wide(lo, 2, (fst_kx[]){row, k}));
  return add_bias(lo, fst_lower_has_arg(lo, 4) ? 4 : -1, row, sum1(lo, k, fst_lower_size(lo, 2, 1), product));
}

static fst_kx cell_hidden(fst_lower *lo, const cell *c, int gate) {
  fst_kx k = kx_var(lo), row = cell_row(lo, c, gate);
  fst_kx product = kx_mul(lo, cell_state(lo, c, 0, k), kx_load_wide(lo, 3, (fst_kx[]){row, k}));
  return add_bias(lo, fst_lower_has_arg(lo, 5) ? 5 : -1, row, sum1(lo, k, c->hidden, product));
}

static fst_kx cell_gate(fst_lower *lo, const cell *c, int gate) { return kx_add(lo, cell_input(lo, c, gate), cell_hidden(lo, c, gate)); }

void fst_lower_lstm_cell(fst_lower *lo) {
  cell c = cell_read(lo, true);
  fst_kx in = kx_call1(lo, "sigmoid", cell_gate(lo, &c, 0)), forget = kx_call1(lo, "sigmoid", cell_gate(lo, &c, 1));
  fst_kx fresh = kx_call1(lo, "tanh", cell_gate(lo, &c, 2));
  fst_kx next = kx_add(lo, kx_mul(lo, forget, cell_state(lo, &c, 1, c.unit)), kx_mul(lo, in, fresh));
  if (lo->result == 0) next = kx_mul(lo, kx_call1(lo, "sigmoid", cell_gate(lo, &c, 3)), kx_call1(lo, "tanh", next));
  lower_finish(lo, next);
}

void fst_lower_gru_cell(fst_lower *lo) {
  cell c = cell_read(lo, false);
  fst_kx reset = kx_call1(lo, "sigmoid", cell_gate(lo, &c, 0)), update = kx_call1(lo, "sigmoid", cell_gate(lo, &c, 1));
  fst_kx fresh = kx_call1(lo, "tanh", kx_add(lo, cell_input(lo, &c, 2), kx_mul(lo, reset, cell_hidden(lo, &c, 2))));
  fst_kx difference = kx_sub(lo, cell_state(lo, &c, 0, c.unit), fresh);
  lower_finish(lo, kx_add(lo, kx_mul(lo, difference, update), fresh));
}

void fst_lower_rnn_tanh_cell(fst_lower *lo) {
  cell c = cell_read(lo, false);
  lower_finish(lo, kx_call1(lo, "tanh", cell_gate(lo, &c, 0)));
}

void fst_lower_rnn_relu_cell(fst_lower *lo) {
  cell c = cell_read(lo, false);
  fst_kx gate = cell_gate(lo, &c, 0);
  lower_finish(lo, kx_max(lo, gate, kx_zero(lo, kx_dtype(lo, gate))));
}

// ---- products over pairs ----
void fst_lower_bilinear(fst_lower *lo) {
  int last = rank_of(lo, 0) - 1;
  fst_kx vars[2] = {kx_var(lo), kx_var(lo)}, extents[2] = {fst_lower_size(lo, 2, 1), fst_lower_size(lo, 2, 2)};
  fst_kx a[FST_MAX_RANK], b[FST_MAX_RANK];
  memcpy(a, lo->index, sizeof(fst_kx) * (size_t)last);
  memcpy(b, lo->index, sizeof(fst_kx) * (size_t)last);
  a[last] = vars[0];
  b[last] = vars[1];
  fst_kx weight = kx_load_wide(lo, 2, (fst_kx[]){lo->index[last], vars[0], vars[1]});
  fst_kx product = kx_mul(lo, kx_mul(lo, kx_load_wide(lo, 0, a), weight), kx_load_wide(lo, 1, b));
  lower_finish(lo, add_bias(lo, 3, lo->index[last], kx_sum(lo, vars, extents, 2, product)));
}

static fst_kx cdist_combine(fst_lower *lo, double p, fst_kx k, fst_kx extent, fst_kx distance) {
  fst_dtype dtype = kx_dtype(lo, distance);
  fst_kx zero = kx_zero(lo, dtype);
  if (p == 0.0) return sum1(lo, k, extent, kx_convert(lo, kx_ne(lo, distance, zero), dtype));
  if (p == 1.0) return sum1(lo, k, extent, distance);
  if (p == 2.0) return fst_kx_prim1(lo->kernel, FST_PRIM_SQRT, sum1(lo, k, extent, kx_mul(lo, distance, distance)));
  if (p > 1e308)  // distances are not negative, so an empty row gives 0
    return kx_max(lo, zero, fst_kx_reduce(lo->kernel, FST_REDUCE_MAX, &k, &extent, 1, distance));
  fst_kx sum = sum1(lo, k, extent, kx_call2(lo, "pow", distance, kx_number(lo, dtype, p)));
  return kx_call2(lo, "pow", sum, kx_number(lo, dtype, 1.0 / p));
}

void fst_lower_cdist(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  double p;
  if (!fst_args_float(&in, "p", 2.0, &p)) return;
  int a_rank = rank_of(lo, 0), b_rank = rank_of(lo, 1), out_rank = fst_lower_result_type(lo, 0)->rank;
  fst_kx k = kx_var(lo), a[FST_MAX_RANK], b[FST_MAX_RANK];
  matmul_batch(lo, 0, out_rank - 2, a);
  matmul_batch(lo, 1, out_rank - 2, b);
  a[a_rank - 2] = lo->index[out_rank - 2];
  b[b_rank - 2] = lo->index[out_rank - 1];
  a[a_rank - 1] = b[b_rank - 1] = k;
  fst_kx difference = kx_sub(lo, kx_load_wide(lo, 0, a), kx_load_wide(lo, 1, b));
  fst_kx distance = fst_kx_prim1(lo->kernel, FST_PRIM_ABS, difference);
  lower_finish(lo, cdist_combine(lo, p, k, fst_lower_size(lo, 0, (uint32_t)a_rank - 1), distance));
}

void fst_lower_kron(fst_lower *lo) {
  const fst_type_data *out = fst_lower_result_type(lo, 0);
  fst_kx a[FST_MAX_RANK], b[FST_MAX_RANK];
  int a_pad = out->rank - rank_of(lo, 0), b_pad = out->rank - rank_of(lo, 1);
  for (int i = 0; i < out->rank; i++) {
    fst_kx size = i >= b_pad ? fst_lower_size(lo, 1, (uint32_t)(i - b_pad)) : kx_int(lo, 1);
    if (i >= a_pad) a[i - a_pad] = kx_div(lo, lo->index[i], size);
    if (i >= b_pad) b[i - b_pad] = kx_rem(lo, lo->index[i], size);
  }
  lo->value = kx_mul(lo, kx_load_as(lo, 0, a, out->dtype), kx_load_as(lo, 1, b, out->dtype));
}
