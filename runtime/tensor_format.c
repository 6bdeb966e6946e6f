// Tensors as C++ PyTorch prints them: one number format for the whole tensor or matrix, chosen from the
// smallest and largest magnitude; 1-d as a column, 2-d as rows cut to 80 columns, more as 2-d slices.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "runtime/format.h"
#include "runtime/object.h"

enum { LINE = 80 };

static float half_to_float(uint16_t h) {
  int exponent = h >> 10 & 31, mantissa = h & 1023;
  double sign = h & 0x8000 ? -1.0 : 1.0;
  if (exponent == 31) return (float)(mantissa ? NAN : sign * INFINITY);
  if (exponent == 0) return (float)(sign * ldexp(mantissa, -24));
  return (float)(sign * ldexp(1024 + mantissa, exponent - 25));
}

static float bfloat_to_float(uint16_t b) {
  uint32_t bits = (uint32_t)b << 16;
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

int64_t fst_tensor_int_at(const fst_tensor_obj *t, int64_t index) {
  switch (t->dtype) {
    case FST_U8: return ((const uint8_t *)t->data)[index];
    case FST_I8: return ((const int8_t *)t->data)[index];
    case FST_BOOL: return ((const uint8_t *)t->data)[index] != 0;
    case FST_I16: return ((const int16_t *)(const void *)t->data)[index];
    case FST_I32: return ((const int32_t *)(const void *)t->data)[index];
    case FST_I64: return ((const int64_t *)(const void *)t->data)[index];
    default: return 0;
  }
}

double fst_tensor_double_at(const fst_tensor_obj *t, int64_t index) {
  switch (t->dtype) {
    case FST_F32: return ((const float *)(const void *)t->data)[index];
    case FST_F64: return ((const double *)(const void *)t->data)[index];
    case FST_F16: return half_to_float(((const uint16_t *)(const void *)t->data)[index]);
    case FST_BF16: return bfloat_to_float(((const uint16_t *)(const void *)t->data)[index]);
    default: return (double)fst_tensor_int_at(t, index);
  }
}

// A rank 0 to 2 window into a tensor.
typedef struct window {
  const fst_tensor_obj *t;
  int64_t offset, rows, cols, row_stride, col_stride;
} window;

static double window_at(const window *w, int64_t r, int64_t c) {
  return fst_tensor_double_at(w->t, w->offset + r * w->row_stride + c * w->col_stride);
}

typedef struct number_format {
  enum { SHORT, FIXED, SCIENTIFIC } mode;
  int width;
  double scale;
} number_format;

static double digits_of(double magnitude) { return magnitude != 0 ? floor(log10(magnitude)) + 1 : 1; }

static number_format format_choose(const window *w) {
  bool whole = true, any = false;
  double low = 1, high = 1;
  for (int64_t r = 0; r < w->rows; r++) {
    for (int64_t c = 0; c < w->cols; c++) {
      double z = window_at(w, r, c);
      if (!isfinite(z)) continue;
      if (z != ceil(z)) whole = false;
      z = fabs(z);
      if (!any || z < low) low = z;
      if (!any || z > high) high = z;
      any = true;
    }
  }
  if (any) low = digits_of(low), high = digits_of(high);
  if (whole) return high > 9 ? (number_format){SCIENTIFIC, 11, 1} : (number_format){SHORT, (int)high + 1, 1};
  if (high - low > 4) return (number_format){SCIENTIFIC, fabs(high) > 99 || fabs(low) > 99 ? 12 : 11, 1};
  if (high > 5 || high < 0) return (number_format){FIXED, 7, pow(10, high - 1)};
  return (number_format){FIXED, high == 0 ? 7 : (int)high + 6, 1};
}

static void number_put(fst_buf *buf, const number_format *f, double value) {
  value /= f->scale;
  if (f->mode == FIXED) fst_buf_printf(buf, "%*.4f", f->width, value);
  else if (f->mode == SCIENTIFIC) fst_buf_printf(buf, "%*.4e", f->width, value);
  else fst_buf_printf(buf, "%*g", f->width, value);
}

// The fewest digits that read back to the same double, as scales and 0-d tensors print.
static void shortest_put(fst_buf *buf, double value) {
  char text[64];
  int digits = 0;
  if (!isfinite(value)) {
    fst_buf_printf(buf, "%g", value);
    return;
  }
  do snprintf(text, sizeof text, "%.*e", digits, value);
  while (strtod(text, NULL) != value && ++digits < 17);
  int exponent = atoi(strchr(text, 'e') + 1);
  if (exponent < -4 || exponent >= 16) fst_buf_puts(buf, text);
  else fst_buf_printf(buf, "%.*f", digits > exponent ? digits - exponent : 0, value);
}

static void scale_put(fst_buf *buf, const number_format *f) {
  shortest_put(buf, f->scale);
  fst_buf_puts(buf, " *\n");
}

static void column_put(fst_buf *buf, const window *w) {
  number_format f = format_choose(w);
  if (f.scale != 1) scale_put(buf, &f);
  for (int64_t c = 0; c < w->cols && !buf->failed; c++) {
    number_put(buf, &f, window_at(w, 0, c));
    fst_buf_putc(buf, '\n');
  }
}

static void row_put(fst_buf *buf, const window *w, const number_format *f, int64_t r, int64_t first, int64_t last, int indent) {
  for (int64_t c = first; c <= last; c++) {
    number_put(buf, f, window_at(w, r, c));
    fst_buf_putc(buf, c == last ? '\n' : ' ');
  }
  if (r == w->rows - 1) return;
  fst_buf_fill(buf, ' ', (size_t)indent);
  if (f->scale != 1) fst_buf_putc(buf, ' ');
}

// The first row is not indented, the others are: PyTorch's own habit.
static void matrix_put(fst_buf *buf, const window *w, int indent) {
  number_format f = format_choose(w);
  int64_t per_line = (LINE - indent) / (f.width + 1);
  for (int64_t first = 0; first < w->cols && !buf->failed; first += per_line) {
    int64_t last = first + per_line <= w->cols ? first + per_line - 1 : w->cols - 1;
    if (per_line < w->cols) {
      if (first) fst_buf_putc(buf, '\n');
      fst_buf_printf(buf, "Columns %" PRId64 " to %" PRId64, first + 1, last + 1);
      fst_buf_fill(buf, ' ', (size_t)indent);
    }
    if (f.scale != 1) {
      scale_put(buf, &f);
      fst_buf_fill(buf, ' ', (size_t)indent);
    }
    for (int64_t r = 0; r < w->rows && !buf->failed; r++) row_put(buf, w, &f, r, first, last, indent);
  }
}

static void slices_put(fst_buf *buf, const fst_tensor_obj *t) {
  int outer = t->rank - 2;
  const int64_t *sizes = fst_tensor_sizes(t), *strides = fst_tensor_strides(t);
  int64_t counter[256] = {0};
  for (bool first = true; !buf->failed; first = false) {
    if (!first) fst_buf_putc(buf, '\n');
    int64_t offset = 0;
    fst_buf_putc(buf, '(');
    for (int d = 0; d < outer; d++) {
      offset += counter[d] * strides[d];
      fst_buf_printf(buf, "%" PRId64 ",", counter[d] + 1);
    }
    fst_buf_puts(buf, ".,.) = \n");
    window w = {t, offset, sizes[outer], sizes[outer + 1], strides[outer], strides[outer + 1]};
    matrix_put(buf, &w, 1);
    int d = 0;  // the first dimension counts fastest
    while (d < outer && ++counter[d] >= sizes[d]) counter[d++] = 0;
    if (d == outer) return;
  }
}

static void tensor_put(fst_buf *buf, const fst_tensor_obj *t, const char *device) {
  const int64_t *sizes = fst_tensor_sizes(t), *strides = fst_tensor_strides(t);
  bool real = fst_dtype_kind_of((fst_dtype)t->dtype) != FST_KIND_COMPLEX;
  if (real && t->rank == 0) {
    if (fst_dtype_is_float((fst_dtype)t->dtype)) shortest_put(buf, fst_tensor_double_at(t, 0));
    else fst_buf_printf(buf, "%" PRId64, fst_tensor_int_at(t, 0));
    fst_buf_putc(buf, '\n');
  } else if (real && fst_tensor_numel(t) > 0) {
    window w = {t, 0, 1, sizes[t->rank - 1], 0, strides[t->rank - 1]};
    if (t->rank == 1) {
      column_put(buf, &w);
    } else if (t->rank == 2) {
      w.rows = sizes[0];
      w.row_stride = strides[0];
      matrix_put(buf, &w, 0);
    } else {
      slices_put(buf, t);
    }
  }
  fst_buf_printf(buf, "[ %s%sType{", device, fst_dtype_word((fst_dtype)t->dtype));
  for (int d = 0; d < t->rank; d++) fst_buf_printf(buf, d ? ",%" PRId64 : "%" PRId64, sizes[d]);
  fst_buf_puts(buf, "} ]");
}

void fst_format_tensor(fst_buf *buf, const fst_tensor_obj *t) {
  if (!(t->storage->head.flags & FST_OBJ_DEVICE)) {
    tensor_put(buf, t, "CPU");
    return;
  }
  fst_tensor_obj *home = fst_tensor_home(t);
  if (home) tensor_put(buf, home, "CUDA");
  else buf->failed = true;
  fst_obj_release((fst_obj *)home);
}
