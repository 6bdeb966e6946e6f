// Scalars in CUDA C: types, literals, and the forms of scalar.def put around operands.
#include "codegen/cuda/emit.h"

#include <math.h>
#include <string.h>

const char *fst_cu_type(fst_dtype dtype) {
  switch (dtype) {
    case FST_BOOL: return "bool";
    case FST_U8: return "u8";
    case FST_I8: return "i8";
    case FST_I16: return "i16";
    case FST_I32: return "i32";
    case FST_I64: return "i64";
    case FST_F16:
    case FST_BF16: return "u16";
    case FST_F32: return "float";
    case FST_F64: return "double";
    default: FST_UNREACHABLE("no CUDA type for %s", fst_dtype_name(dtype));
  }
}

const char *fst_cu_memory_type(fst_dtype dtype) { return dtype == FST_BOOL ? "u8" : fst_cu_type(dtype); }

// ---- literals ----

static const char *float_literal(fst_arena *arena, fst_dtype dtype, uint64_t bits) {
  uint64_t wide = fst_convert_eval(dtype, FST_F64, bits);
  double value;
  memcpy(&value, &wide, sizeof value);
  bool single = dtype == FST_F32;
  if (!isfinite(value)) {
    if (single) return fst_arena_printf(arena, "__uint_as_float(0x%xu)", (unsigned)bits);
    return fst_arena_printf(arena, "__longlong_as_double(0x%llxll)", (unsigned long long)bits);
  }
  // Enough digits to read back to the same number.
  const char *text = fst_arena_printf(arena, single ? "%.9g" : "%.17g", value);
  const char *point = strpbrk(text, ".e") ? "" : ".0", *suffix = single ? "f" : "";
  return fst_arena_printf(arena, *text == '-' ? "(%s%s%s)" : "%s%s%s", text, point, suffix);
}

const char *fst_cu_literal(fst_arena *arena, fst_dtype dtype, uint64_t bits) {
  switch (dtype) {
    case FST_BOOL: return bits & 1 ? "true" : "false";
    case FST_F16:
    case FST_BF16: return fst_arena_printf(arena, "(u16)0x%xu", (unsigned)(bits & 0xffff));
    case FST_F32:
    case FST_F64: return float_literal(arena, dtype, bits);
    case FST_I64:
      if ((int64_t)bits == INT64_MIN) return "(i64)0x8000000000000000ull";
      return fst_arena_printf(arena, (int64_t)bits < 0 ? "(%lldll)" : "%lldll", (long long)bits);
    default: return fst_arena_printf(arena, "(%s)%lldll", fst_cu_type(dtype), (long long)(int64_t)bits);
  }
}

// ---- primitives ----

typedef struct form { const char *floats, *integers, *bools; } form;
static const form forms[] = {
#define FORM(prim, f, i, b) [FST_PRIM_##prim] = {f, i, b},
#include "codegen/cuda/scalar.def"
#undef FORM
};
_Static_assert(sizeof forms / sizeof *forms == FST_PRIM_COUNT, "a primitive without a row in codegen/cuda/scalar.def");

static bool is_half(fst_dtype dtype) { return dtype == FST_F16 || dtype == FST_BF16; }

static const char *to_f32(fst_arena *arena, fst_dtype from, const char *value) {
  return fst_arena_printf(arena, "%s(%s)", from == FST_F16 ? "f16_f32" : "bf16_f32", value);
}

static const char *from_f32(fst_arena *arena, fst_dtype to, const char *value) {
  return fst_arena_printf(arena, "%s(%s)", to == FST_F16 ? "f32_f16" : "f32_bf16", value);
}

static const char *fill(fst_arena *arena, const char *pattern, const char *type, const char *const *args) {
  fst_text text = {0};
  for (const char *c = pattern; *c; c++) {
    if (*c == '$') fst_text_puts(&text, args[*++c - '0']);
    else if (*c == '@') fst_text_puts(&text, type);
    else fst_text_putc(&text, *c);
  }
  const char *out = fst_arena_strdup(arena, fst_text_cstr(&text));
  fst_text_deinit(&text);
  return out;
}

static const char *convert(fst_arena *arena, fst_dtype from, fst_dtype to, const char *value) {
  if (from == to) return value;
  if (is_half(from)) return convert(arena, FST_F32, to, to_f32(arena, from, value));
  if (to == FST_BOOL) return fst_arena_printf(arena, "(%s != 0)", value);
  // PyTorch's half types are made from floats, so wider values are rounded twice there as well.
  if (is_half(to)) return from_f32(arena, to, convert(arena, from, FST_F32, value));
  bool through_32 = to == FST_I8 || to == FST_I16 || to == FST_I32;
  if (fst_dtype_is_float(from) && !fst_dtype_is_float(to)) return fst_arena_printf(arena, "(%s)fst_whole%s(%s)", fst_cu_type(to), through_32 ? "32" : "", value);
  return fst_arena_printf(arena, "(%s)%s", fst_cu_type(to), value);
}

static const char *bitcast(fst_arena *arena, fst_dtype from, fst_dtype to, const char *value) {
  if (to == FST_F32) return fst_arena_printf(arena, "__uint_as_float((u32)%s)", value);
  if (to == FST_F64) return fst_arena_printf(arena, "__longlong_as_double((i64)%s)", value);
  if (from == FST_F32) return fst_arena_printf(arena, "(%s)__float_as_uint(%s)", fst_cu_type(to), value);
  if (from == FST_F64) return fst_arena_printf(arena, "(%s)__double_as_longlong(%s)", fst_cu_type(to), value);
  return fst_arena_printf(arena, "(%s)%s", fst_cu_type(to), value);
}

const char *fst_cu_prim(fst_arena *arena, fst_prim prim, fst_dtype dtype, fst_dtype result, const char *const *args) {
  if (prim == FST_PRIM_CONVERT) return convert(arena, dtype, result, args[0]);
  if (prim == FST_PRIM_BITCAST) return bitcast(arena, dtype, result, args[0]);
  if (prim == FST_PRIM_SELECT) return fst_arena_printf(arena, "%s ? %s : %s", args[0], args[1], args[2]);
  const form *f = &forms[prim];
  bool real = fst_dtype_is_float(dtype);
  const char *pattern = real ? f->floats : dtype == FST_BOOL ? f->bools : f->integers;
  FST_ASSERT(pattern, "no form of %s for %s", fst_prim_name(prim), fst_dtype_name(dtype));
  if (!is_half(dtype)) return fill(arena, pattern, fst_cu_type(result), args);
  const char *wide[3] = {0};
  for (uint32_t i = 0; i < fst_prim_arity(prim); i++) wide[i] = to_f32(arena, dtype, args[i]);
  const char *value = fill(arena, pattern, "float", wide);
  return fst_prim_is_compare(prim) ? value : from_f32(arena, dtype, value);
}
