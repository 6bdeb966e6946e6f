// Elements of pooled tensors: a reduction over the window, with a select where it may leave the input.
#include <string.h>

#include "ir/args.h"
#include "ir/lower_build.h"
#include "ir/pool.h"
#include "ir/rows_structured.h"

typedef struct window {
  uint32_t count;
  fst_kx vars[FST_POOL_MAX], extents[FST_POOL_MAX];
  fst_kx index[FST_MAX_RANK];   // of x, in terms of vars
  fst_kx inside;                // condition; constant true when the window cannot leave the input
} window;

static window window_start(fst_lower *lo, int first) {
  window w = {.inside = fst_kx_bool(lo->kernel, true)};
  memcpy(w.index, lo->index, sizeof(fst_kx) * (size_t)first);
  return w;
}

static fst_kx lowest(fst_lower *lo, fst_dtype dtype) {  // the empty maximum
  fst_kx none = kx_int(lo, 0), var = kx_var(lo);
  return fst_kx_reduce(lo->kernel, FST_REDUCE_MAX, &var, &none, 1, kx_zero(lo, dtype));
}

static fst_kx window_value(fst_lower *lo, const window *w, fst_kx outside) {
  fst_kx x = kx_load_wide(lo, 0, w->index);
  return kx_select(lo, w->inside, x, kx_convert(lo, outside, kx_dtype(lo, x)));
}

static window pool_window(fst_lower *lo, const fst_pool *p) {
  window w = window_start(lo, p->first);
  for (int i = 0; i < p->spatial; i++) {
    int d = p->first + i;
    fst_kx k = w.vars[w.count] = kx_var(lo), pad = fst_lower_dim(lo, p->padding[i]);
    w.extents[w.count++] = fst_lower_dim(lo, p->kernel[i]);
    fst_kx start = kx_sub(lo, kx_mul(lo, lo->index[d], fst_lower_dim(lo, p->stride[i])), pad);
    w.index[d] = kx_add(lo, start, kx_mul(lo, k, fst_lower_dim(lo, p->dilation[i])));
    if (p->ceil_mode || !kx_is_int(lo, pad, 0)) w.inside = kx_and(lo, w.inside, kx_in_bounds(lo, w.index[d], fst_lower_size(lo, 0, (uint32_t)d)));
  }
  return w;
}

// Position within the pooled dims of the window element with this linear number.
static fst_kx window_position(fst_lower *lo, const window *w, int first, fst_kx number) {
  uint32_t vars[FST_POOL_MAX];
  fst_kx by[FST_POOL_MAX], position = kx_int(lo, 0);
  for (uint32_t i = w->count; i-- > 0;) {
    vars[i] = fst_kx_get(lo->kernel, w->vars[i])->index;
    by[i] = i ? kx_rem(lo, number, w->extents[i]) : number;
    number = kx_div(lo, number, w->extents[i]);
  }
  for (uint32_t i = 0; i < w->count; i++) {
    fst_kx at = fst_kx_substitute(lo->kernel, w->index[first + (int)i], vars, by, w->count);
    position = kx_add(lo, kx_mul(lo, position, fst_lower_size(lo, 0, (uint32_t)first + i)), at);
  }
  return position;
}

static void window_max(fst_lower *lo, const window *w, int first) {
  fst_kx value = window_value(lo, w, lowest(lo, fst_dtype_wide(fst_lower_type(lo, 0)->dtype)));
  fst_reduce op = lo->result ? FST_REDUCE_ARGMAX : FST_REDUCE_MAX;
  fst_kx best = fst_kx_reduce(lo->kernel, op, w->vars, w->extents, w->count, value);
  if (lo->result) lo->value = window_position(lo, w, first, best);
  else lower_finish(lo, best);
}

void fst_lower_max_pool(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  fst_pool p;
  if (!fst_pool_read(&in, &p)) return;
  window w = pool_window(lo, &p);
  window_max(lo, &w, p.first);
}

// Number of elements an average divides by: the window clipped to the padded input, or to the input itself.
static fst_kx window_size(fst_lower *lo, const fst_pool *p) {
  fst_kx size = kx_int(lo, 1), zero = kx_int(lo, 0);
  for (int i = 0; i < p->spatial; i++) {
    int d = p->first + i;
    fst_kx pad = fst_lower_dim(lo, p->padding[i]), extent = fst_lower_size(lo, 0, (uint32_t)d), kernel = fst_lower_dim(lo, p->kernel[i]);
    if (!p->ceil_mode && (p->counts_padding || kx_is_int(lo, pad, 0))) {
      size = kx_mul(lo, size, kernel);
      continue;
    }
    fst_kx start = kx_sub(lo, kx_mul(lo, lo->index[d], fst_lower_dim(lo, p->stride[i])), pad);
    fst_kx end = kx_min(lo, kx_add(lo, start, kernel), kx_add(lo, extent, pad));
    if (!p->counts_padding) {
      start = kx_max(lo, start, zero);
      end = kx_min(lo, end, extent);
    }
    size = kx_mul(lo, size, kx_sub(lo, end, start));
  }
  return size;
}

static void window_mean(fst_lower *lo, const window *w, fst_kx divisor) {
  fst_kx sum = kx_sum(lo, w->vars, w->extents, w->count, window_value(lo, w, kx_zero(lo, fst_dtype_wide(fst_lower_type(lo, 0)->dtype))));
  lower_finish(lo, kx_div(lo, sum, kx_convert(lo, divisor, kx_dtype(lo, sum))));
}

void fst_lower_avg_pool(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  fst_pool p;
  if (!fst_pool_read(&in, &p)) return;
  window w = pool_window(lo, &p);
  window_mean(lo, &w, fst_dim_is_known(p.divisor) ? fst_lower_dim(lo, p.divisor) : window_size(lo, &p));
}

// ---- adaptive: windows from floor(o * in / out) to ceil((o + 1) * in / out) ----
static window adaptive_window(fst_lower *lo, int first, fst_kx *out_size) {
  const fst_type_data *x = fst_lower_type(lo, 0), *out = fst_lower_result_type(lo, 0);
  window w = window_start(lo, first);
  fst_kx one = kx_int(lo, 1), count = one;
  fst_dims *dims = lo->graph->dims;
  for (int d = first; d < x->rank; d++) {
    fst_kx k = w.vars[w.count] = kx_var(lo), size = fst_lower_size(lo, 0, (uint32_t)d), outs = fst_lower_dim(lo, out->dims[d]);
    if (out->dims[d] != 0 && fst_dim_mod(dims, x->dims[d], out->dims[d]) == 0) {
      fst_kx each = fst_lower_dim(lo, fst_dim_floordiv(dims, x->dims[d], out->dims[d]));
      w.extents[w.count++] = each;
      w.index[d] = kx_add(lo, kx_mul(lo, lo->index[d], each), k);
      count = kx_mul(lo, count, each);
      continue;
    }
    fst_kx scaled = kx_mul(lo, lo->index[d], size), start = kx_div(lo, scaled, outs);
    fst_kx end = kx_div(lo, kx_sub(lo, kx_add(lo, kx_add(lo, scaled, size), outs), one), outs);
    w.extents[w.count++] = kx_add(lo, kx_div(lo, kx_sub(lo, kx_add(lo, size, outs), one), outs), one);
    w.index[d] = kx_add(lo, start, k);
    w.inside = kx_and(lo, w.inside, kx_lt(lo, w.index[d], end));
    count = kx_mul(lo, count, kx_sub(lo, end, start));
  }
  *out_size = count;
  return w;
}

static int adaptive_first(const fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  fst_dim ignored[FST_POOL_MAX];
  const char *name = fst_op_name(fst_node_get(lo->graph, lo->node)->op);
  int count = strstr(name, "1d") ? 1 : strstr(name, "2d") ? 2 : 3;
  return fst_args_dims(&in, "output_size", count, FST_DIM_UNKNOWN, ignored) ? fst_lower_type(lo, 0)->rank - count : -1;
}

void fst_lower_adaptive_avg_pool(fst_lower *lo) {
  int first = adaptive_first(lo);
  fst_kx size;
  if (first < 0) return;
  window w = adaptive_window(lo, first, &size);
  window_mean(lo, &w, size);
}

void fst_lower_adaptive_max_pool(fst_lower *lo) {
  int first = adaptive_first(lo);
  fst_kx size;
  if (first < 0) return;
  window w = adaptive_window(lo, first, &size);
  window_max(lo, &w, first);
}

// ---- sliding windows as columns: channel, then tap row, then tap column; places row by row ----
typedef struct columns {
  fst_kx kernel[2], dilation[2], padding[2], stride[2];
  fst_kx places;   // along a row of windows
} columns;

static bool columns_read(fst_lower *lo, columns *c, const fst_dim *image) {
  fst_infer in = fst_infer_reader(lo);
  fst_dim one = fst_dim_const(in.dims, 1), zero = fst_dim_const(in.dims, 0);
  fst_pool p = {.spatial = 2};
  if (!fst_args_dims(&in, "kernel_size", 2, one, p.kernel) || !fst_args_dims(&in, "dilation", 2, one, p.dilation) ||
      !fst_args_dims(&in, "padding", 2, zero, p.padding) || !fst_args_dims(&in, "stride", 2, one, p.stride))
    return false;
  for (int i = 0; i < 2; i++) {
    c->kernel[i] = fst_lower_dim(lo, p.kernel[i]);
    c->dilation[i] = fst_lower_dim(lo, p.dilation[i]);
    c->padding[i] = fst_lower_dim(lo, p.padding[i]);
    c->stride[i] = fst_lower_dim(lo, p.stride[i]);
  }
  c->places = fst_lower_dim(lo, fst_pool_out_size(&in, &p, 1, image[1]));
  return true;
}

void fst_lower_im2col(fst_lower *lo) {
  const fst_type_data *x = fst_lower_type(lo, 0);
  int c = x->rank - 3;
  columns cols;
  if (!columns_read(lo, &cols, x->dims + c + 1)) return;
  fst_kx row = lo->index[c], place = lo->index[c + 1], index[4], inside = fst_kx_bool(lo->kernel, true);
  fst_kx taps[2] = {kx_rem(lo, kx_div(lo, row, cols.kernel[1]), cols.kernel[0]), kx_rem(lo, row, cols.kernel[1])};
  fst_kx at[2] = {kx_div(lo, place, cols.places), kx_rem(lo, place, cols.places)};
  index[0] = lo->index[0];
  index[c] = kx_div(lo, row, kx_mul(lo, cols.kernel[0], cols.kernel[1]));
  for (int i = 0; i < 2; i++) {
    fst_kx start = kx_sub(lo, kx_mul(lo, at[i], cols.stride[i]), cols.padding[i]);
    index[c + 1 + i] = kx_add(lo, start, kx_mul(lo, taps[i], cols.dilation[i]));
    if (!kx_is_int(lo, cols.padding[i], 0)) inside = kx_and(lo, inside, kx_in_bounds(lo, index[c + 1 + i], fst_lower_size(lo, 0, (uint32_t)(c + 1 + i))));
  }
  lo->value = kx_select(lo, inside, fst_lower_load(lo, 0, index), kx_zero(lo, x->dtype));
}

void fst_lower_col2im(fst_lower *lo) {
  const fst_type_data *x = fst_lower_type(lo, 0), *out = fst_lower_result_type(lo, 0);
  int c = x->rank - 2;
  columns cols;
  if (!columns_read(lo, &cols, out->dims + c + 1)) return;
  fst_kx vars[2], at[2], inside = fst_kx_bool(lo->kernel, true), index[3], zero = kx_int(lo, 0);
  fst_kx rows = kx_div(lo, fst_lower_size(lo, 0, (uint32_t)c + 1), kx_max(lo, cols.places, kx_int(lo, 1)));
  for (int i = 0; i < 2; i++) {
    vars[i] = kx_var(lo);
    fst_kx scaled = kx_sub(lo, kx_add(lo, lo->index[c + 1 + i], cols.padding[i]), kx_mul(lo, vars[i], cols.dilation[i]));
    at[i] = kx_div(lo, scaled, cols.stride[i]);
    inside = kx_and(lo, inside, kx_and(lo, kx_le(lo, zero, scaled), kx_lt(lo, at[i], i ? cols.places : rows)));
    if (!kx_is_int(lo, cols.stride[i], 1)) inside = kx_and(lo, inside, kx_eq(lo, kx_rem(lo, scaled, cols.stride[i]), zero));
  }
  index[0] = lo->index[0];
  index[c] = kx_add(lo, kx_mul(lo, kx_add(lo, kx_mul(lo, lo->index[c], cols.kernel[0]), vars[0]), cols.kernel[1]), vars[1]);
  index[c + 1] = kx_add(lo, kx_mul(lo, at[0], cols.places), at[1]);
  fst_kx value = kx_load_wide(lo, 0, index);
  lower_finish(lo, kx_sum(lo, vars, cols.kernel, 2, kx_select(lo, inside, value, kx_zero(lo, kx_dtype(lo, value)))));
}
