// Result types of pooling, resizing, sliding windows and grid sampling.
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "ir/args.h"
#include "ir/layout.h"
#include "ir/pool.h"
#include "ir/rows_structured.h"

// max_pool2d -> 2: the digit before the name's `d`.
static int spatial_of(const fst_infer *in) {
  const char *name = fst_op_name(fst_node_get(in->graph, in->node)->op);
  for (const char *p = name; *p; p++)
    if (isdigit((unsigned char)p[0]) && p[1] == 'd') return p[0] - '0';
  return 0;
}

// ---- windows ----
bool fst_pool_read(fst_infer *in, fst_pool *p) {
  const fst_type_data *x = fst_infer_tensor(in, 0);
  fst_dim zero = fst_dim_const(in->dims, 0), one = fst_dim_const(in->dims, 1);
  if (!x) return false;
  *p = (fst_pool){.spatial = spatial_of(in), .divisor = fst_args_dim(in, "divisor_override", FST_DIM_UNKNOWN)};
  p->first = x->rank - p->spatial;
  int stride = fst_args_find(in, "stride");
  fst_dim given[FST_POOL_MAX];
  bool no_stride = stride < 0 || fst_infer_int_list(in, (uint32_t)stride, given, FST_POOL_MAX) == 0;
  bool known = fst_args_dims(in, "kernel_size", p->spatial, one, p->kernel) &&
               fst_args_dims(in, "padding", p->spatial, zero, p->padding) && fst_args_dims(in, "dilation", p->spatial, one, p->dilation) &&
               fst_args_bool(in, "ceil_mode", false, &p->ceil_mode) && fst_args_bool(in, "count_include_pad", true, &p->counts_padding);
  if (known && no_stride) memcpy(p->stride, p->kernel, sizeof p->stride);
  else if (known) known = fst_args_dims(in, "stride", p->spatial, one, p->stride);
  if (!known) in->message = "the pooling window is not known";
  return known;
}

fst_dim fst_pool_out_size(fst_infer *in, const fst_pool *p, int i, fst_dim size) {
  fst_dims *d = in->dims;
  fst_dim one = fst_dim_const(d, 1), padded = fst_dim_add(d, size, p->padding[i]);
  fst_dim reach = fst_dim_mul(d, p->dilation[i], fst_dim_sub(d, p->kernel[i], one));
  fst_dim span = fst_dim_sub(d, fst_dim_sub(d, fst_dim_add(d, padded, p->padding[i]), reach), one);
  if (!p->ceil_mode) return fst_dim_add(d, fst_dim_floordiv(d, span, p->stride[i]), one);
  span = fst_dim_sub(d, fst_dim_add(d, span, p->stride[i]), one);
  // the last window must start inside the input or its left padding
  fst_dim starts = fst_dim_floordiv(d, fst_dim_sub(d, padded, one), p->stride[i]);
  return fst_dim_add(d, fst_dim_min(d, fst_dim_floordiv(d, span, p->stride[i]), starts), one);
}

// "kH: 2 kW: 3": PyTorch's names of a window's numbers, by dim.
static const char *named(fst_infer *in, const fst_dim *values, int spatial, const char *const *names) {
  const char *text = "";
  for (int i = 0; i < spatial; i++) text = fst_arena_printf(in->arena, "%s%s%s: %s", text, i ? " " : "", names[3 - spatial + i], fst_infer_dim_text(in, values[i]));
  return text;
}

// All but max_pool1d read their numbers as 32-bit ints.
static bool fits_int(fst_infer *in, const fst_dim *values, int count) {
  const char *text = "value cannot be converted to type int without overflow";
  for (int i = 0; i < count; i++)
    if (!fst_infer_require_at_least(in, values[i], INT32_MIN, text) || !fst_infer_require_at_most(in, values[i], fst_dim_const(in->dims, INT32_MAX), text)) return false;
  return true;
}

static bool require_positive(fst_infer *in, const fst_dim *values, int spatial, const char *what, const char *const *names) {
  const char *text = fst_arena_printf(in->arena, "%s should be greater than zero, but got %s", what, named(in, values, spatial, names));
  for (int i = 0; i < spatial; i++)
    if (!fst_infer_require_at_least(in, values[i], 1, text)) return false;
  return true;
}

static bool max_pool1d_legal(fst_infer *in, const fst_pool *p) {
  const struct { const char *name; fst_dim value; int64_t least; } numbers[] = {{"kernel_size", p->kernel[0], 1}, {"stride", p->stride[0], 1}, {"padding", p->padding[0], 0}, {"dilation", p->dilation[0], 1}};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    const char *text = fst_arena_printf(in->arena, "max_pool1d() %s must be %s, but got %s", numbers[i].name, numbers[i].least ? "greater than zero" : "non-negative", fst_infer_dim_text(in, numbers[i].value));
    if (!fst_infer_require_at_least(in, numbers[i].value, numbers[i].least, text)) return false;
  }
  const char *text = fst_arena_printf(in->arena, "max_pool1d() padding should be at most half of kernel size, but got padding=%s and kernel_size=%s",
                                      fst_infer_dim_text(in, p->padding[0]), fst_infer_dim_text(in, p->kernel[0]));
  return fst_infer_require_at_most(in, p->padding[0], fst_dim_floordiv(in->dims, p->kernel[0], fst_dim_const(in->dims, 2)), text);
}

static bool pool_legal(fst_infer *in, const fst_pool *p) {
  static const char *const kernel[] = {"kT", "kH", "kW"}, *const stride[] = {"dT", "dH", "dW"}, *const dilation[] = {"dilationT", "dilationH", "dilationW"};
  fst_dims *d = in->dims;
  fst_dim one = fst_dim_const(d, 1), two = fst_dim_const(d, 2);
  if (p->spatial == 1 && fst_args_find(in, "dilation") >= 0) return max_pool1d_legal(in, p);
  if (!fits_int(in, p->kernel, p->spatial) || !fits_int(in, p->stride, p->spatial) || !fits_int(in, p->padding, p->spatial) || !fits_int(in, p->dilation, p->spatial)) return false;
  for (int i = 0; i < p->spatial; i++) {
    const char *pad = fst_infer_dim_text(in, p->padding[i]);
    const char *text = fst_arena_printf(in->arena, "pad should be at most half of effective kernel size, but got pad=%s, kernel_size=%s and dilation=%s", pad,
                                        fst_infer_dim_text(in, p->kernel[i]), fst_infer_dim_text(in, p->dilation[i]));
    fst_dim effective = fst_dim_add(d, fst_dim_mul(d, fst_dim_sub(d, p->kernel[i], one), p->dilation[i]), one);
    if (!fst_infer_require_equal(in, fst_dim_min(d, fst_dim_max(d, p->stride[i], fst_dim_sub(d, fst_dim_const(d, 0), p->stride[i])), one), one, "stride should not be zero") ||
        !fst_infer_require_at_least(in, p->padding[i], 0, fst_arena_printf(in->arena, "pad must be non-negative, but got pad: %s", pad)) ||
        !fst_infer_require_at_most(in, p->padding[i], fst_dim_floordiv(d, effective, two), text))
      return false;
  }
  if (fst_dim_is_known(p->divisor)) {
    fst_dim sign = fst_dim_min(d, fst_dim_max(d, p->divisor, fst_dim_const(d, -1)), one), away = fst_dim_max(d, sign, fst_dim_sub(d, fst_dim_const(d, 0), sign));
    if (!fst_infer_require_at_least(in, away, 1, "divisor must be not zero")) return false;
  }
  return require_positive(in, p->kernel, p->spatial, "kernel size", kernel) && require_positive(in, p->stride, p->spatial, "stride", stride) &&
         require_positive(in, p->dilation, p->spatial, "dilation", dilation);
}

// Sets all results to these sizes, in the input's format: values of its dtype, then positions.
static void set_results(fst_infer *in, const fst_type_data *x, const fst_dim *dims, int format) {
  uint32_t count = fst_node_get(in->graph, in->node)->result_count;
  for (uint32_t r = 0; r < count; r++) fst_infer_set_format(in, r, r ? FST_I64 : x->dtype, x->rank, dims, format);
}

int fst_infer_pool(fst_infer *in) {
  fst_pool p;
  if (!fst_pool_read(in, &p)) return FST_INFER_UNKNOWN;
  const fst_type_data *x = fst_infer_tensor(in, 0);
  if (p.first != 1 && p.first != 2)
    return fst_infer_raise(in, "Expected %dD or %dD (batch mode) tensor with optional 0 dim batch size for input, but got: %s", p.spatial + 1, p.spatial + 2, fst_infer_shape_text(in, x->dims, x->rank));
  if (!pool_legal(in, &p)) return FST_INFER_RAISES;
  fst_dim dims[FST_MAX_RANK];
  memcpy(dims, x->dims, sizeof(fst_dim) * (size_t)x->rank);
  for (int i = 0; i < p.spatial; i++) dims[p.first + i] = fst_pool_out_size(in, &p, i, x->dims[p.first + i]);
  int channels = p.first - 1;
  const char *text = fst_arena_printf(in->arena, "Given input size: (%s). Calculated output size: (%s). Output size is too small",
                                      fst_infer_times_text(in, x->dims + channels, x->rank - channels), fst_infer_times_text(in, dims + channels, x->rank - channels));
  for (int i = 0; i < p.spatial; i++)
    if (!fst_infer_require_reach(in, p.dilation[i], p.kernel[i], text) || !fst_infer_require_at_least(in, dims[p.first + i], 1, text)) return FST_INFER_RAISES;
  set_results(in, x, dims, fst_infer_format(in, x));
  return FST_INFER_OK;
}

int fst_infer_adaptive_pool(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0);
  int spatial = spatial_of(in);
  fst_dim out[FST_POOL_MAX], dims[FST_MAX_RANK];
  if (!x) return FST_INFER_UNKNOWN;
  if (!fst_args_dims(in, "output_size", spatial, FST_DIM_UNKNOWN, out)) return fst_infer_give_up(in, "the output size is not known");
  int first = x->rank - spatial;
  if (first != 1 && first != 2)
    return fst_infer_raise(in, "adaptive_avg_pool%dd(): Expected %dD or %dD tensor, but got %s", spatial, spatial + 1, spatial + 2, fst_infer_shape_text(in, x->dims, x->rank));
  memcpy(dims, x->dims, sizeof(fst_dim) * (size_t)x->rank);
  memcpy(dims + first, out, sizeof(fst_dim) * (size_t)spatial);
  set_results(in, x, dims, fst_infer_format(in, x));
  return FST_INFER_OK;
}

// ---- resizing ----
static fst_resize_mode resize_mode_of(const char *name) {
  if (strstr(name, "exact")) return FST_RESIZE_NEAREST_EXACT;
  if (strstr(name, "nearest")) return FST_RESIZE_NEAREST;
  return strstr(name, "bicubic") ? FST_RESIZE_CUBIC : FST_RESIZE_LINEAR;
}

// size * scale truncated, as an expression where the scale is a short binary fraction.
static fst_dim scaled_size(fst_infer *in, fst_dim size, double scale) {
  int64_t constant;
  if (fst_dim_is_const(in->dims, size, &constant)) return fst_dim_const(in->dims, (int64_t)((double)constant * scale));
  for (int64_t below = 1; below <= 1024; below *= 2)
    if (scale * (double)below == floor(scale * (double)below) && scale < 1024)
      return fst_dim_floordiv(in->dims, fst_dim_mul(in->dims, size, fst_dim_const(in->dims, (int64_t)(scale * (double)below))), fst_dim_const(in->dims, below));
  return FST_DIM_UNKNOWN;
}

static bool resize_scales(fst_infer *in, fst_resize *r) {
  static const char *const names[][3] = {{"scales", "", ""}, {"scales_h", "scales_w", ""}, {"scales_d", "scales_h", "scales_w"}};
  for (int i = 0; i < r->spatial; i++)
    if (!fst_args_float(in, names[r->spatial - 1][i], 0.0, &r->scale[i])) return false;
  return !fst_args_has(in, "scale_factors") || fst_args_floats(in, "scale_factors", r->scale, r->spatial) == r->spatial;
}

bool fst_resize_read(fst_infer *in, fst_resize *r) {
  const fst_type_data *x = fst_infer_tensor(in, 0);
  if (!x) return false;
  *r = (fst_resize){.spatial = spatial_of(in), .mode = resize_mode_of(fst_op_name(fst_node_get(in->graph, in->node)->op))};
  if (x->rank != r->spatial + 2) return in->message = "Expected an input of batch, channel and the resized dimensions", false;
  if (!resize_scales(in, r) || !fst_args_bool(in, "align_corners", false, &r->align_corners)) return in->message = "the scales are not known", false;
  if (fst_args_has(in, "output_size")) {
    if (fst_args_dims(in, "output_size", r->spatial, FST_DIM_UNKNOWN, r->out)) return true;
    return in->message = "the output size is not known", false;
  }
  for (int i = 0; i < r->spatial; i++) {
    r->out[i] = scaled_size(in, x->dims[2 + i], r->scale[i]);
    if (!fst_dim_is_known(r->out[i])) return in->message = "the output size is not known", false;
  }
  return true;
}

int fst_infer_resize(fst_infer *in) {
  fst_resize r;
  if (!fst_resize_read(in, &r)) return FST_INFER_UNKNOWN;
  const fst_type_data *x = fst_infer_tensor(in, 0);
  fst_dim dims[FST_MAX_RANK];
  memcpy(dims, x->dims, sizeof(fst_dim) * 2);
  memcpy(dims + 2, r.out, sizeof(fst_dim) * (size_t)r.spatial);
  static const char *const names[] = {"D: ", "H: ", "W: "};
  const char *sizes[2] = {"", ""};
  for (int side = 0; side < 2; side++)
    for (int i = 0; i < r.spatial; i++)
      sizes[side] = fst_arena_printf(in->arena, "%s%s%s%s", sizes[side], i ? ", " : "", names[3 - r.spatial + i], fst_infer_dim_text(in, side ? r.out[i] : x->dims[2 + i]));
  const char *text = fst_arena_printf(in->arena, "Input and output sizes should be greater than 0, but got input (%s)%s output (%s)", sizes[0], r.spatial == 1 ? " and" : "", sizes[1]);
  for (int i = 0; i < r.spatial; i++)
    if (!fst_infer_require_at_least(in, x->dims[2 + i], 1, text) || !fst_infer_require_at_least(in, r.out[i], 1, text)) return FST_INFER_RAISES;
  fst_infer_set_format(in, 0, x->dtype, x->rank, dims, fst_infer_format(in, x));
  return FST_INFER_OK;
}

// ---- sliding windows as columns ----
static bool columns_legal(fst_infer *in, const fst_pool *p, const fst_dim *size, const fst_dim *blocks) {
  const struct { const char *what, *name; const fst_dim *values; int64_t least; } numbers[] = {
      {"kernel size should be greater than zero", "kernel", p->kernel, 1}, {"dilation should be greater than zero", "dilation", p->dilation, 1},
      {"padding should be non-negative", "pad", p->padding, 0}, {"stride should be greater than zero", "stride", p->stride, 1}};
  for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++) {
    const char *text = fst_arena_printf(in->arena, "%s, but got %s_height: %s %s_width: %s", numbers[n].what, numbers[n].name, fst_infer_dim_text(in, numbers[n].values[0]),
                                        numbers[n].name, fst_infer_dim_text(in, numbers[n].values[1]));
    for (int i = 0; i < 2; i++)
      if (!fst_infer_require_at_least(in, numbers[n].values[i], numbers[n].least, text)) return false;
  }
  const char *pairs[6];
  const fst_dim *values[] = {size, p->kernel, p->dilation, p->padding, p->stride, blocks};
  for (int i = 0; i < 6; i++) pairs[i] = fst_arena_printf(in->arena, "(%s, %s)", fst_infer_dim_text(in, values[i][0]), fst_infer_dim_text(in, values[i][1]));
  const char *text = fst_arena_printf(in->arena, "Given input with spatial size %s, kernel_size=%s, dilation=%s, padding=%s, stride=%s, calculated shape of the array of sliding blocks as %s, but its components must be at least one.",
                                      pairs[0], pairs[1], pairs[2], pairs[3], pairs[4], pairs[5]);
  fst_dim most = fst_dim_const(in->dims, INT64_MAX / 4);
  for (int i = 0; i < 2; i++)
    if (!fst_infer_require_reach(in, p->dilation[i], p->kernel[i], text) || !fst_infer_require_at_most(in, p->padding[i], most, text) || !fst_infer_require_at_least(in, blocks[i], 1, text)) return false;
  return true;
}

int fst_infer_im2col(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0);
  fst_dims *d = in->dims;
  fst_dim one = fst_dim_const(d, 1), zero = fst_dim_const(d, 0), dims[3];
  fst_pool p = {.spatial = 2};
  if (!x) return FST_INFER_UNKNOWN;
  if (!fst_args_dims(in, "kernel_size", 2, one, p.kernel) || !fst_args_dims(in, "dilation", 2, one, p.dilation) ||
      !fst_args_dims(in, "padding", 2, zero, p.padding) || !fst_args_dims(in, "stride", 2, one, p.stride))
    return fst_infer_give_up(in, "the window is not known");
  if (x->rank != 3 && x->rank != 4) return fst_infer_raise(in, "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, but got: %s", fst_infer_shape_text(in, x->dims, x->rank));
  int c = x->rank - 3;
  dims[0] = x->dims[0];
  dims[c] = fst_dim_mul(d, x->dims[c], fst_dim_mul(d, p.kernel[0], p.kernel[1]));
  fst_dim blocks[2] = {fst_pool_out_size(in, &p, 0, x->dims[c + 1]), fst_pool_out_size(in, &p, 1, x->dims[c + 2])};
  if (!columns_legal(in, &p, &x->dims[c + 1], blocks)) return FST_INFER_RAISES;
  dims[c + 1] = fst_dim_mul(d, blocks[0], blocks[1]);
  fst_infer_set_tensor(in, 0, x->dtype, x->rank - 1, dims);
  return FST_INFER_OK;
}

int fst_infer_col2im(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0);
  fst_dims *d = in->dims;
  fst_dim one = fst_dim_const(d, 1), kernel[2], out[2], dims[4];
  if (!x) return FST_INFER_UNKNOWN;
  if (!fst_args_dims(in, "kernel_size", 2, one, kernel) || !fst_args_dims(in, "output_size", 2, one, out)) return fst_infer_give_up(in, "the window is not known");
  if (x->rank != 2 && x->rank != 3) return fst_infer_raise(in, "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for input, but got: %s", fst_infer_shape_text(in, x->dims, x->rank));
  int c = x->rank - 2;
  dims[0] = x->dims[0];
  dims[c] = fst_dim_floordiv(d, x->dims[c], fst_dim_mul(d, kernel[0], kernel[1]));
  dims[c + 1] = out[0];
  dims[c + 2] = out[1];
  fst_infer_set_tensor(in, 0, x->dtype, x->rank + 1, dims);
  return FST_INFER_OK;
}

// ---- sampling at given places ----
int fst_infer_grid_sample(fst_infer *in) {
  const fst_type_data *x = fst_infer_tensor(in, 0), *grid = fst_infer_tensor(in, 1);
  if (!x || !grid) return FST_INFER_UNKNOWN;
  if (x->rank != grid->rank || (x->rank != 4 && x->rank != 5))
    return fst_infer_raise(in, "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but got input with sizes %s and grid with sizes %s",
                           fst_infer_shape_text(in, x->dims, x->rank), fst_infer_shape_text(in, grid->dims, grid->rank));
  if (x->dtype != grid->dtype) return fst_infer_raise(in, "grid_sampler(): expected input and grid to have same dtype, but input has %s and grid has %s",
                                                      fst_dtype_torch_name(x->dtype), fst_dtype_torch_name(grid->dtype));
  const char *input = fst_infer_shape_text(in, x->dims, x->rank), *places = fst_infer_shape_text(in, grid->dims, grid->rank);
  const char *batch = fst_arena_printf(in->arena, "grid_sampler(): expected grid and input to have same batch size, but got input with sizes %s and grid with sizes %s", input, places);
  const char *last = fst_arena_printf(in->arena, "grid_sampler(): expected grid to have size %d in last dimension, but got grid with sizes %s", grid->rank - 2, places);
  if (!fst_infer_require_equal(in, x->dims[0], grid->dims[0], batch) || !fst_infer_require_equal(in, grid->dims[grid->rank - 1], fst_dim_const(in->dims, grid->rank - 2), last)) return FST_INFER_RAISES;
  fst_dim dims[FST_MAX_RANK];
  memcpy(dims, x->dims, sizeof(fst_dim) * 2);
  memcpy(dims + 2, grid->dims + 1, sizeof(fst_dim) * (size_t)(grid->rank - 2));
  fst_infer_set_tensor(in, 0, x->dtype, x->rank, dims);
  return FST_INFER_OK;
}
