// Elements of resized and sampled images: weighted sums of a few input elements, computed in the input's float type
// (f32 for 16-bit floats and integers), source positions as PyTorch computes them.
#include <string.h>

#include "ir/args.h"
#include "ir/lower_build.h"
#include "ir/pool.h"
#include "ir/rows_structured.h"

enum { TAPS_MAX = 4 };
// Along one dim: the input places that contribute, and their weights.
typedef struct taps {
  int count;
  fst_kx place[TAPS_MAX], weight[TAPS_MAX];
} taps;

static fst_dtype weight_dtype(const fst_lower *lo) { return fst_lower_type(lo, 0)->dtype == FST_F64 ? FST_F64 : FST_F32; }

static fst_kx num(fst_lower *lo, double v) { return kx_number(lo, weight_dtype(lo), v); }
static fst_kx real(fst_lower *lo, fst_kx integer) { return kx_convert(lo, integer, weight_dtype(lo)); }
static fst_kx floor_of(fst_lower *lo, fst_kx x) { return fst_kx_prim1(lo->kernel, FST_PRIM_FLOOR, x); }
static fst_kx clamp(fst_lower *lo, fst_kx x, fst_kx low, fst_kx high) { return kx_min(lo, kx_max(lo, x, low), high); }

// Input steps per output step.
static fst_kx step_of(fst_lower *lo, const fst_resize *r, int i, fst_kx in_size, fst_kx out_size) {
  fst_kx one = kx_int(lo, 1);
  if (r->align_corners && r->mode >= FST_RESIZE_LINEAR) {
    fst_kx step = kx_div(lo, real(lo, kx_sub(lo, in_size, one)), real(lo, kx_max(lo, kx_sub(lo, out_size, one), one)));
    return kx_select(lo, kx_lt(lo, one, out_size), step, num(lo, 0.0));
  }
  if (r->scale[i] > 0) return num(lo, weight_dtype(lo) == FST_F64 ? 1.0 / r->scale[i] : (float)(1.0 / r->scale[i]));
  return kx_div(lo, real(lo, in_size), real(lo, out_size));
}

// Nearest positions are f32 whatever the input is, as PyTorch's are.
static taps taps_nearest(fst_lower *lo, const fst_resize *r, int i, fst_kx at, fst_kx in_size, fst_kx out_size) {
  fst_kx last = kx_sub(lo, in_size, kx_int(lo, 1)), out = kx_convert(lo, at, FST_F32);
  fst_kx step = r->scale[i] > 0 ? kx_number(lo, FST_F32, (float)(1.0 / r->scale[i])) : kx_div(lo, kx_convert(lo, in_size, FST_F32), kx_convert(lo, out_size, FST_F32));
  if (r->mode == FST_RESIZE_NEAREST_EXACT) out = kx_add(lo, out, kx_number(lo, FST_F32, 0.5));
  fst_kx place = kx_convert(lo, floor_of(lo, kx_mul(lo, out, step)), FST_I64);
  if (r->mode == FST_RESIZE_NEAREST) {  // same and double size are exact
    place = kx_select(lo, kx_eq(lo, out_size, in_size), at, place);
    place = kx_select(lo, kx_eq(lo, out_size, kx_mul(lo, in_size, kx_int(lo, 2))), fst_kx_prim2(lo->kernel, FST_PRIM_SHR, at, kx_int(lo, 1)), place);
  }
  return (taps){.count = 1, .place = {kx_min(lo, place, last)}};
}

static fst_kx source_position(fst_lower *lo, const fst_resize *r, fst_kx at, fst_kx step) {
  if (r->align_corners) return kx_mul(lo, real(lo, at), step);
  fst_kx half = num(lo, 0.5);
  fst_kx position = kx_sub(lo, kx_mul(lo, step, kx_add(lo, real(lo, at), half)), half);
  return r->mode == FST_RESIZE_CUBIC ? position : kx_max(lo, position, num(lo, 0.0));
}

static taps taps_linear(fst_lower *lo, fst_kx position, fst_kx in_size) {
  fst_kx one = kx_int(lo, 1), last = kx_sub(lo, in_size, one);
  fst_kx low = kx_min(lo, kx_convert(lo, floor_of(lo, position), FST_I64), last), high = kx_min(lo, kx_add(lo, low, one), last);
  fst_kx part = clamp(lo, kx_sub(lo, position, real(lo, low)), num(lo, 0.0), num(lo, 1.0));
  return (taps){.count = 2, .place = {low, high}, .weight = {kx_sub(lo, num(lo, 1.0), part), part}};
}

// Keys' cubic with a = -0.75: near taps ((a + 2) x - (a + 3)) x x + 1, far ones ((a x - 5 a) x + 8 a) x - 4 a.
static fst_kx cubic_near(fst_lower *lo, fst_kx x) {
  fst_kx inner = kx_sub(lo, kx_mul(lo, num(lo, 1.25), x), num(lo, 2.25));
  return kx_add(lo, kx_mul(lo, kx_mul(lo, inner, x), x), num(lo, 1.0));
}

static fst_kx cubic_far(fst_lower *lo, fst_kx x) {
  fst_kx inner = kx_add(lo, kx_mul(lo, num(lo, -0.75), x), num(lo, 3.75));
  return kx_add(lo, kx_mul(lo, kx_sub(lo, kx_mul(lo, inner, x), num(lo, 6.0)), x), num(lo, 3.0));
}

static void cubic_weights(fst_lower *lo, fst_kx part, fst_kx *weight) {
  fst_kx one = num(lo, 1.0), rest = kx_sub(lo, one, part);
  weight[0] = cubic_far(lo, kx_add(lo, part, one));
  weight[1] = cubic_near(lo, part);
  weight[2] = cubic_near(lo, rest);
  weight[3] = cubic_far(lo, kx_add(lo, rest, one));
}

static taps taps_cubic(fst_lower *lo, fst_kx position, fst_kx in_size) {
  fst_kx last = kx_sub(lo, in_size, kx_int(lo, 1)), base = kx_min(lo, kx_convert(lo, floor_of(lo, position), FST_I64), last);
  fst_kx part = clamp(lo, kx_sub(lo, position, real(lo, base)), num(lo, 0.0), num(lo, 1.0));
  taps t = {.count = 4};
  cubic_weights(lo, part, t.weight);
  for (int i = 0; i < 4; i++) t.place[i] = clamp(lo, kx_add(lo, base, kx_int(lo, i - 1)), kx_int(lo, 0), last);
  return t;
}

static taps taps_of(fst_lower *lo, const fst_resize *r, int i) {
  fst_kx at = lo->index[2 + i], in_size = fst_lower_size(lo, 0, (uint32_t)(2 + i)), out_size = fst_lower_dim(lo, r->out[i]);
  if (r->mode < FST_RESIZE_LINEAR) return taps_nearest(lo, r, i, at, in_size, out_size);
  fst_kx position = source_position(lo, r, at, step_of(lo, r, i, in_size, out_size));
  return r->mode == FST_RESIZE_LINEAR ? taps_linear(lo, position, in_size) : taps_cubic(lo, position, in_size);
}

// The weighted sum over dims i and on, the outer index being set.
static fst_kx taps_sum(fst_lower *lo, const taps *t, int i, int spatial, fst_kx *index) {
  if (i == spatial) {
    fst_kx x = fst_lower_load(lo, 0, index);
    return t[0].weight[0].id ? kx_convert(lo, x, weight_dtype(lo)) : x;
  }
  fst_kx sum = FST_NO_KX;
  for (int k = 0; k < t[i].count; k++) {
    index[2 + i] = t[i].place[k];
    fst_kx inner = taps_sum(lo, t, i + 1, spatial, index);
    if (t[i].weight[k].id) inner = kx_mul(lo, inner, t[i].weight[k]);
    sum = sum.id ? kx_add(lo, sum, inner) : inner;
  }
  return sum;
}

// Integers are rounded to nearest and kept within their range, which cubic weights can leave.
static fst_kx rounded(fst_lower *lo, fst_kx value, fst_dtype dtype) {
  if (dtype != FST_U8) return value;
  return clamp(lo, fst_kx_prim1(lo->kernel, FST_PRIM_RINT, value), num(lo, 0.0), num(lo, 255.0));
}

void fst_lower_resize(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  fst_resize r;
  if (!fst_resize_read(&in, &r)) return;
  fst_kx index[2 + FST_POOL_MAX] = {lo->index[0], lo->index[1]};
  taps t[FST_POOL_MAX];
  for (int i = 0; i < r.spatial; i++) t[i] = taps_of(lo, &r, i);
  fst_kx value = taps_sum(lo, t, 0, r.spatial, index);
  lower_finish(lo, t[0].weight[0].id ? rounded(lo, value, fst_lower_type(lo, 0)->dtype) : value);
}

// ---- antialiased: a filter as wide as the input step, over the window it reaches ----
typedef struct aa_dim {
  fst_kx var, extent;       // of the window
  fst_kx place, inside;     // input place, and whether it belongs to the window
  fst_kx weight, total;
} aa_dim;

static fst_kx aa_filter(fst_lower *lo, fst_kx x, bool is_cubic) {
  fst_kx zero = num(lo, 0.0), one = num(lo, 1.0);
  x = fst_kx_prim1(lo->kernel, FST_PRIM_ABS, x);
  if (!is_cubic) return kx_max(lo, kx_sub(lo, one, x), zero);
  fst_kx near = kx_add(lo, kx_mul(lo, kx_mul(lo, kx_sub(lo, kx_mul(lo, num(lo, 1.5), x), num(lo, 2.5)), x), x), one);  // a = -0.5
  fst_kx far = kx_mul(lo, num(lo, -0.5), kx_sub(lo, kx_mul(lo, kx_add(lo, kx_mul(lo, kx_sub(lo, x, num(lo, 5.0)), x), num(lo, 8.0)), x), num(lo, 4.0)));
  return kx_select(lo, kx_lt(lo, x, one), near, kx_select(lo, kx_lt(lo, x, num(lo, 2.0)), far, zero));
}

static aa_dim aa_window(fst_lower *lo, const fst_resize *r, int i) {
  fst_kx size = fst_lower_size(lo, 0, (uint32_t)(2 + i)), half = num(lo, 0.5), one = num(lo, 1.0), zero = kx_int(lo, 0);
  fst_resize linear = *r;
  linear.mode = FST_RESIZE_LINEAR;  // the step honours align_corners
  fst_kx step = step_of(lo, &linear, i, size, fst_lower_dim(lo, r->out[i])), wide = kx_max(lo, step, one);
  fst_kx support = kx_mul(lo, num(lo, r->mode == FST_RESIZE_CUBIC ? 2.0 : 1.0), wide);
  fst_kx center = kx_mul(lo, step, kx_add(lo, real(lo, lo->index[2 + i]), half));
  fst_kx first = kx_max(lo, kx_convert(lo, kx_add(lo, kx_sub(lo, center, support), half), FST_I64), zero);
  fst_kx end = kx_min(lo, kx_convert(lo, kx_add(lo, kx_add(lo, center, support), half), FST_I64), size);
  aa_dim d = {.var = kx_var(lo)};
  fst_kx reach = kx_convert(lo, fst_kx_prim1(lo->kernel, FST_PRIM_CEIL, support), FST_I64);
  d.extent = kx_add(lo, kx_mul(lo, reach, kx_int(lo, 2)), kx_int(lo, 1));
  d.place = kx_add(lo, first, d.var);
  d.inside = kx_lt(lo, d.place, end);
  fst_kx offset = kx_add(lo, kx_sub(lo, real(lo, d.place), center), half);
  d.weight = kx_select(lo, d.inside, aa_filter(lo, kx_div(lo, offset, wide), r->mode == FST_RESIZE_CUBIC), num(lo, 0.0));
  fst_kx other = kx_var(lo);
  d.total = kx_sum(lo, &other, &d.extent, 1, fst_kx_substitute(lo->kernel, d.weight, &(uint32_t){fst_kx_get(lo->kernel, d.var)->index}, &other, 1));
  return d;
}

// The bytes of images go through PyTorch's fixed-point form, which rounds differently: left to the fallback.
void fst_lower_resize_aa(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  fst_resize r;
  if (!fst_resize_read(&in, &r) || !fst_dtype_is_float(fst_lower_type(lo, 0)->dtype)) return;
  aa_dim y = aa_window(lo, &r, 0), x = aa_window(lo, &r, 1);
  fst_kx element = kx_convert(lo, fst_lower_load(lo, 0, (fst_kx[]){lo->index[0], lo->index[1], y.place, x.place}), weight_dtype(lo));
  fst_kx weighted = kx_mul(lo, kx_mul(lo, element, x.weight), y.weight);
  fst_kx body = kx_select(lo, kx_and(lo, y.inside, x.inside), weighted, num(lo, 0.0));
  fst_kx sum = kx_sum(lo, (fst_kx[]){y.var, x.var}, (fst_kx[]){y.extent, x.extent}, 2, body);
  lower_finish(lo, kx_div(lo, sum, kx_mul(lo, y.total, x.total)));
}

// ---- grid sampling: positions from a grid in [-1, 1], x first ----
enum { GRID_BILINEAR, GRID_NEAREST, GRID_BICUBIC };
enum { GRID_ZEROS, GRID_BORDER, GRID_REFLECTION };
typedef struct grid {
  int64_t mode, padding;
  bool align_corners;
  int spatial;
} grid;

// Reflects into [low / 2, high / 2] (twice the bounds, so that halves stay integers).
static fst_kx reflected(fst_lower *lo, fst_kx x, fst_kx twice_low, fst_kx twice_high) {
  fst_kx zero = num(lo, 0.0), half = num(lo, 0.5), low = kx_mul(lo, twice_low, half), span = kx_mul(lo, kx_sub(lo, twice_high, twice_low), half);
  fst_kx away = fst_kx_prim1(lo->kernel, FST_PRIM_ABS, kx_sub(lo, x, low)), safe = kx_select(lo, kx_eq(lo, span, zero), num(lo, 1.0), span);
  fst_kx extra = kx_rem(lo, away, safe), flips = floor_of(lo, kx_div(lo, away, safe));
  fst_kx odd = kx_ne(lo, kx_rem(lo, flips, num(lo, 2.0)), zero);
  fst_kx inside = kx_select(lo, odd, kx_add(lo, kx_sub(lo, span, extra), low), kx_add(lo, extra, low));
  return kx_select(lo, kx_eq(lo, span, zero), zero, inside);
}

static fst_kx grid_padded(fst_lower *lo, const grid *g, fst_kx x, fst_kx size) {
  fst_kx last = kx_sub(lo, real(lo, size), num(lo, 1.0)), twice = kx_mul(lo, num(lo, 2.0), real(lo, size));
  if (g->padding == GRID_REFLECTION)
    x = g->align_corners ? reflected(lo, x, num(lo, 0.0), kx_mul(lo, num(lo, 2.0), last)) : reflected(lo, x, num(lo, -1.0), kx_sub(lo, twice, num(lo, 1.0)));
  return g->padding == GRID_ZEROS ? x : clamp(lo, x, num(lo, 0.0), last);
}

static fst_kx grid_position(fst_lower *lo, const grid *g, int i, fst_kx size) {
  fst_kx at[2 + FST_POOL_MAX] = {lo->index[0]};
  for (int d = 0; d < g->spatial; d++) at[1 + d] = lo->index[2 + d];
  at[1 + g->spatial] = kx_int(lo, g->spatial - 1 - i);
  fst_kx x = kx_load_wide(lo, 1, at), one = num(lo, 1.0), half = num(lo, 0.5);
  if (g->align_corners) return kx_mul(lo, kx_mul(lo, kx_add(lo, x, one), half), kx_sub(lo, real(lo, size), one));
  return kx_mul(lo, kx_sub(lo, kx_mul(lo, kx_add(lo, x, one), real(lo, size)), one), half);
}

// Places may lie outside here: the load is guarded.
static taps grid_taps(fst_lower *lo, const grid *g, int i, fst_kx size) {
  fst_kx x = grid_position(lo, g, i, size);
  if (g->mode != GRID_BICUBIC) x = grid_padded(lo, g, x, size);
  if (g->mode == GRID_NEAREST) return (taps){.count = 1, .place = {fst_kx_prim1(lo->kernel, FST_PRIM_RINT, x)}, .weight = {num(lo, 1.0)}};
  fst_kx low = floor_of(lo, x), part = kx_sub(lo, x, low);
  if (g->mode == GRID_BILINEAR)
    return (taps){.count = 2, .place = {low, kx_add(lo, low, num(lo, 1.0))}, .weight = {kx_sub(lo, num(lo, 1.0), part), part}};
  taps t = {.count = 4};
  cubic_weights(lo, part, t.weight);
  for (int k = 0; k < 4; k++) t.place[k] = grid_padded(lo, g, kx_add(lo, low, num(lo, k - 1)), size);
  return t;
}

static fst_kx grid_sum(fst_lower *lo, const taps *t, int i, int spatial, fst_kx *index, fst_kx inside) {
  fst_kx sum = FST_NO_KX;
  if (i == spatial) {
    fst_kx x = kx_load_wide(lo, 0, index);
    return kx_select(lo, inside, x, kx_zero(lo, kx_dtype(lo, x)));
  }
  fst_kx size = fst_lower_size(lo, 0, (uint32_t)(2 + i));
  for (int k = 0; k < t[i].count; k++) {
    // compared as floats: a place far outside (or NaN) has no integer
    fst_kx place = t[i].place[k], fits = kx_and(lo, kx_le(lo, num(lo, 0.0), place), kx_lt(lo, place, real(lo, size)));
    index[2 + i] = kx_convert(lo, place, FST_I64);
    fst_kx inner = kx_mul(lo, grid_sum(lo, t, i + 1, spatial, index, kx_and(lo, inside, fits)), t[i].weight[k]);
    sum = sum.id ? kx_add(lo, sum, inner) : inner;
  }
  return sum;
}

void fst_lower_grid_sample(fst_lower *lo) {
  fst_infer in = fst_infer_reader(lo);
  grid g = {.spatial = fst_lower_type(lo, 0)->rank - 2};
  if (!fst_args_int(&in, "interpolation_mode", 0, &g.mode) || !fst_args_int(&in, "padding_mode", 0, &g.padding) || !fst_args_bool(&in, "align_corners", false, &g.align_corners)) return;
  if (g.mode == GRID_BICUBIC && g.spatial != 2) return;
  taps t[FST_POOL_MAX];
  fst_kx index[2 + FST_POOL_MAX] = {lo->index[0], lo->index[1]};
  for (int i = 0; i < g.spatial; i++) t[i] = grid_taps(lo, &g, i, fst_lower_size(lo, 0, (uint32_t)(2 + i)));
  lower_finish(lo, grid_sum(lo, t, 0, g.spatial, index, fst_kx_bool(lo->kernel, true)));
}
