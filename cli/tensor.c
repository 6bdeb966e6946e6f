#include "cli/tensor.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- elements --------------------------------------------------------------------------------------

static double half_value(uint16_t bits) {
  int sign = bits >> 15, exponent = bits >> 10 & 31, fraction = bits & 1023;
  double value = exponent == 31 ? (fraction ? NAN : INFINITY) : exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
  return sign ? -value : value;
}

static double bfloat_value(uint16_t bits) {
  uint32_t wide = (uint32_t)bits << 16;
  float value;
  memcpy(&value, &wide, sizeof value);
  return value;
}

static double element_value(const char *at, fst_dtype dtype, int part) {
  union { uint8_t u8; int8_t i8; int16_t i16; uint16_t u16; int32_t i32; int64_t i64; float f32[2]; double f64[2]; } x;
  memset(&x, 0, sizeof x);
  memcpy(&x, at, fst_dtype_size(dtype));
  switch (dtype) {
    case FST_U8: case FST_BOOL: return x.u8;
    case FST_I8: return x.i8;
    case FST_I16: return x.i16;
    case FST_I32: return x.i32;
    case FST_I64: return (double)x.i64;
    case FST_F16: return half_value(x.u16);
    case FST_BF16: return bfloat_value(x.u16);
    case FST_F32: case FST_C64: return (double)x.f32[part];
    case FST_F64: case FST_C128: return x.f64[part];
    default: return NAN;
  }
}

int64_t fst_tensor_count(const fst_var *tensor) {
  int64_t count = 1;
  for (size_t d = 0; d < fst_var_rank(tensor); d++) count *= fst_var_sizes(tensor)[d];
  return count;
}

static const char *element_at(const fst_var *tensor, int64_t position) {
  const int64_t *sizes = fst_var_sizes(tensor), *strides = fst_var_strides(tensor);
  int64_t offset = 0;
  for (size_t d = fst_var_rank(tensor); d-- > 0;) {
    offset += position % sizes[d] * strides[d];
    position /= sizes[d];
  }
  return (const char *)fst_var_data(tensor) + offset * (int64_t)fst_dtype_size((fst_dtype)fst_var_dtype(tensor));
}

double fst_tensor_element(const fst_var *tensor, int64_t position, int part) {
  return element_value(element_at(tensor, position), (fst_dtype)fst_var_dtype(tensor), part);
}

void *fst_tensor_bytes(const fst_var *tensor, size_t *out_len) {
  size_t size = fst_dtype_size((fst_dtype)fst_var_dtype(tensor));
  int64_t count = fst_tensor_count(tensor);
  char *bytes = malloc((size_t)count * size + 1);
  for (int64_t i = 0; bytes && i < count; i++) memcpy(bytes + (size_t)i * size, element_at(tensor, i), size);
  *out_len = (size_t)count * size;
  return bytes;
}

// ---- text ------------------------------------------------------------------------------------------

enum { SHOWN_AT_EDGE = 4, SHOWN_WHOLE = 64 };

static void element_print(const fst_var *tensor, int64_t position, fst_text *out) {
  fst_dtype dtype = (fst_dtype)fst_var_dtype(tensor);
  double value = fst_tensor_element(tensor, position, 0);
  if (dtype == FST_BOOL) fst_text_puts(out, value != 0 ? "true" : "false");
  else if (dtype == FST_I64) fst_text_printf(out, "%" PRId64, *(const int64_t *)(const void *)element_at(tensor, position));
  else if (fst_dtype_is_integral(dtype, false)) fst_text_printf(out, "%.0f", value);
  else fst_text_printf(out, "%.7g", value);
  if (fst_dtype_kind_of(dtype) == FST_KIND_COMPLEX) fst_text_printf(out, "%+.7gj", fst_tensor_element(tensor, position, 1));
}

// Dimension `d` from element `position` on, of which each step is `step` elements.
static void dimension_print(const fst_var *tensor, size_t d, int64_t position, int64_t step, bool whole, fst_text *out) {
  if (d == fst_var_rank(tensor)) {
    element_print(tensor, position, out);
    return;
  }
  int64_t size = fst_var_sizes(tensor)[d], inner = size ? step / size : 0;
  fst_text_putc(out, '[');
  for (int64_t i = 0; i < size; i++) {
    if (i) fst_text_puts(out, ", ");
    if (!whole && i == SHOWN_AT_EDGE && size > 2 * SHOWN_AT_EDGE) {
      fst_text_puts(out, "..., ");
      i = size - SHOWN_AT_EDGE;
    }
    dimension_print(tensor, d + 1, position + i * inner, inner, whole, out);
  }
  fst_text_putc(out, ']');
}

static void tensor_print(const fst_var *tensor, fst_text *out) {
  fst_text_printf(out, "%s[", fst_dtype_name((fst_dtype)fst_var_dtype(tensor)));
  for (size_t d = 0; d < fst_var_rank(tensor); d++) fst_text_printf(out, "%s%" PRId64, d ? ", " : "", fst_var_sizes(tensor)[d]);
  fst_text_puts(out, "] ");
  int64_t count = fst_tensor_count(tensor);
  dimension_print(tensor, 0, 0, count, count <= SHOWN_WHOLE, out);
}

static void part_name(const fst_model *model, const fst_var *var, const char *name, size_t i, fst_text *out) {
  fst_text_puts(out, name);
  int kind = fst_var_kind(var);
  if (kind == FST_VAR_OBJECT) {
    fst_text_printf(out, ".%s", fst_model_member_name(model, var, i));
    return;
  }
  fst_text_putc(out, '[');
  if (kind == FST_VAR_DICT) {
    fst_var *key = fst_var_key(var, i);
    char *text = fst_var_format(key);
    size_t len;
    const char *string = fst_var_as_str(key, &len);
    if (fst_var_kind(key) == FST_VAR_STR) fst_text_quote(out, string, len);
    else fst_text_puts(out, text ? text : "?");
    fst_string_free(text);
    fst_var_free(key);
  } else {
    fst_text_printf(out, "%zu", i);
  }
  fst_text_putc(out, ']');
}

static bool has_parts(const fst_var *var) {
  int kind = fst_var_kind(var);
  return kind == FST_VAR_LIST || kind == FST_VAR_TUPLE || kind == FST_VAR_DICT || kind == FST_VAR_OBJECT;
}

void fst_var_show(const fst_model *model, const fst_var *var, const char *name, FILE *to) {
  fst_text text = {0};
  if (has_parts(var) && fst_var_count(var)) {
    for (size_t i = 0; i < fst_var_count(var); i++) {
      fst_var *item = fst_var_item(var, i);
      text.len = 0;
      part_name(model, var, name, i, &text);
      fst_var_show(model, item, fst_text_cstr(&text), to);
      fst_var_free(item);
    }
    fst_text_deinit(&text);
    return;
  }
  if (fst_var_kind(var) == FST_VAR_TENSOR) {
    tensor_print(var, &text);
  } else {
    char *formatted = fst_var_format(var);
    fst_text_puts(&text, formatted ? formatted : "?");
    fst_string_free(formatted);
  }
  fprintf(to, "%s = %s\n", name, fst_text_cstr(&text));
  fst_text_deinit(&text);
}

// ---- comparison ------------------------------------------------------------------------------------

// The defaults of PyTorch's torch.testing.assert_close.
static fst_tolerance tolerance_of(fst_dtype dtype) {
  switch (dtype) {
    case FST_F16: return (fst_tolerance){1e-3, 1e-5};
    case FST_BF16: return (fst_tolerance){1.6e-2, 1e-5};
    case FST_F32: case FST_C64: return (fst_tolerance){1.3e-6, 1e-5};
    case FST_F64: case FST_C128: return (fst_tolerance){1e-7, 1e-7};
    default: return (fst_tolerance){0, 0};
  }
}

static void differ(fst_difference *out, const char *name, const char *what, double a, double b) {
  if (!out->where.len) fst_text_printf(&out->where, "%s: %s differ: %.9g and %.9g", name, what, a, b);
}

static void numbers_compare(double a, double b, fst_tolerance t, const char *name, fst_difference *out) {
  if (isnan(a) && isnan(b)) return;
  double distance = a == b ? 0 : fabs(a - b);
  if (distance > out->largest) out->largest = distance;
  if (!(distance <= t.absolute + t.relative * fabs(b))) differ(out, name, "values", a, b);
}

static void tensors_compare(const fst_var *a, const fst_var *b, fst_tolerance t, const char *name, fst_difference *out) {
  fst_dtype dtype = (fst_dtype)fst_var_dtype(a);
  if (fst_var_dtype(b) != (int)dtype) {
    differ(out, name, "dtypes (by number)", dtype, fst_var_dtype(b));
    return;
  }
  if (fst_var_rank(a) != fst_var_rank(b)) {
    differ(out, name, "ranks", (double)fst_var_rank(a), (double)fst_var_rank(b));
    return;
  }
  for (size_t d = 0; d < fst_var_rank(a); d++) {
    if (fst_var_sizes(a)[d] == fst_var_sizes(b)[d]) continue;
    differ(out, name, "sizes", (double)fst_var_sizes(a)[d], (double)fst_var_sizes(b)[d]);
    return;
  }
  fst_tolerance mine = tolerance_of(dtype);
  if (t.relative >= 0) mine.relative = t.relative;
  if (t.absolute >= 0) mine.absolute = t.absolute;
  int parts = fst_dtype_kind_of(dtype) == FST_KIND_COMPLEX ? 2 : 1;
  for (int64_t i = 0, n = fst_tensor_count(a); i < n; i++)
    for (int part = 0; part < parts; part++) numbers_compare(fst_tensor_element(a, i, part), fst_tensor_element(b, i, part), mine, name, out);
}

static void parts_compare(const fst_var *a, const fst_var *b, fst_tolerance t, const char *name, fst_difference *out) {
  if (fst_var_count(a) != fst_var_count(b)) {
    differ(out, name, "numbers of items", (double)fst_var_count(a), (double)fst_var_count(b));
    return;
  }
  fst_text text = {0};
  for (size_t i = 0; i < fst_var_count(a); i++) {
    fst_var *x = fst_var_item(a, i), *y = fst_var_item(b, i);
    text.len = 0;
    part_name(NULL, a, name, i, &text);
    if (fst_var_kind(a) == FST_VAR_DICT) {
      fst_var *p = fst_var_key(a, i), *q = fst_var_key(b, i);
      fst_var_compare(p, q, t, fst_text_cstr(&text), out);
      fst_var_free(p);
      fst_var_free(q);
    }
    fst_var_compare(x, y, t, fst_text_cstr(&text), out);
    fst_var_free(x);
    fst_var_free(y);
  }
  fst_text_deinit(&text);
}

void fst_var_compare(const fst_var *a, const fst_var *b, fst_tolerance t, const char *name, fst_difference *out) {
  int kind = fst_var_kind(a);
  if (kind != fst_var_kind(b)) {
    differ(out, name, "kinds of values (by number)", kind, fst_var_kind(b));
    return;
  }
  if (has_parts(a)) {
    parts_compare(a, b, t, name, out);
    return;
  }
  fst_tolerance exact = {0, 0}, number = {t.relative < 0 ? 1e-7 : t.relative, t.absolute < 0 ? 1e-7 : t.absolute};
  switch (kind) {
    case FST_VAR_TENSOR: tensors_compare(a, b, t, name, out); break;
    case FST_VAR_FLOAT: case FST_VAR_COMPLEX:
      numbers_compare(fst_var_as_float(a), fst_var_as_float(b), number, name, out);
      numbers_compare(fst_var_imag(a), fst_var_imag(b), number, name, out);
      break;
    case FST_VAR_STR: {
      size_t n, m;
      const char *x = fst_var_as_str(a, &n), *y = fst_var_as_str(b, &m);
      if (n != m || memcmp(x, y, n) != 0) differ(out, name, "texts of these lengths", (double)n, (double)m);
      break;
    }
    default: numbers_compare((double)fst_var_as_int(a), (double)fst_var_as_int(b), exact, name, out);
  }
}
