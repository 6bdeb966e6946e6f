// The primitives of ir/kernel/scalar.def as LLVM instructions, on scalars and on vectors.
//
// Values: bool is i1; f16 and bf16 are their bits in i16, and arithmetic on them goes through float. No
// float operation carries a fast-math flag, so that results do not depend on the schedule; sums are the
// exception, and they are formed in reduce.c and codegen/contract/. Integer division must not trap on a lane that
// nobody asked for, so divisors 0 and -1 are replaced and the result is mended.
#include "codegen/llvm/emit.h"

#include <string.h>

uint32_t fst_emit_lane_count(LLVMValueRef value) {
  LLVMTypeRef type = LLVMTypeOf(value);
  return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetVectorSize(type) : 1;
}

LLVMTypeRef fst_emit_vector_type(LLVMTypeRef element, uint32_t lanes) { return lanes > 1 ? LLVMVectorType(element, lanes) : element; }

LLVMTypeRef fst_emit_like(const fst_emit *e, LLVMTypeRef element, LLVMValueRef like) {
  (void)e;
  return fst_emit_vector_type(element, fst_emit_lane_count(like));
}

LLVMValueRef fst_emit_int(const fst_emit *e, int64_t value) { return LLVMConstInt(e->unit->i64, (uint64_t)value, 1); }

static LLVMValueRef const_splat(LLVMValueRef scalar, uint32_t lanes) {
  LLVMValueRef items[FST_EMIT_MAX_LANES];
  if (lanes == 1) return scalar;
  for (uint32_t i = 0; i < lanes; i++) items[i] = scalar;
  return LLVMConstVector(items, lanes);
}

LLVMValueRef fst_emit_splat(fst_emit *e, LLVMValueRef value, uint32_t lanes) {
  if (lanes == 1 || fst_emit_lane_count(value) == lanes) return value;
  if (LLVMIsConstant(value)) return const_splat(value, lanes);
  LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(value), lanes);
  LLVMValueRef first = LLVMBuildInsertElement(e->b, LLVMGetPoison(type), value, LLVMConstInt(e->unit->i32, 0, 0), "");
  return LLVMBuildShuffleVector(e->b, first, LLVMGetPoison(type), LLVMConstNull(LLVMVectorType(e->unit->i32, lanes)), "");
}

LLVMValueRef fst_emit_iota(fst_emit *e, uint32_t lanes) {
  LLVMValueRef items[FST_EMIT_MAX_LANES];
  if (lanes == 1) return fst_emit_int(e, 0);
  for (uint32_t i = 0; i < lanes; i++) items[i] = fst_emit_int(e, i);
  return LLVMConstVector(items, lanes);
}

// ---- constants of what follows a loop without registers to spare ----
// The machine code generator moves constants out of all loops around their use, through loops over sums whose accumulators
// take all registers, and spills there. Behind an address that it cannot know they stay where they are.

void fst_emit_constants_far(fst_emit *e, bool on) {
  e->far_base = NULL;
  if (!on) return;
  if (!e->far_table) e->far_table = LLVMAddGlobal(e->unit->module, e->unit->i32, "constants");
  LLVMTypeRef type = LLVMFunctionType(e->unit->ptr, &e->unit->ptr, 1, 0);
  LLVMValueRef hide = LLVMGetInlineAsm(type, "", 0, "=r,0", 4, 1, 0, LLVMInlineAsmDialectATT, 0);
  e->far_base = LLVMBuildCall2(e->b, type, hide, &e->far_table, 1, "");
}

static LLVMValueRef far_constant(fst_emit *e, uint32_t bits) {
  size_t at = 0;
  while (at < e->far_bits.len && e->far_bits.data[at] != bits) at++;
  if (at == e->far_bits.len) fst_vec_push(&e->far_bits, bits);
  LLVMTypeRef type = fst_llvm_value_type(e->unit, FST_F32);
  LLVMValueRef value = LLVMBuildLoad2(e->b, type, fst_emit_element_ptr(e, e->far_base, FST_F32, fst_emit_int(e, (int64_t)at)), "");
  unsigned kind = LLVMGetMDKindIDInContext(e->unit->context, "invariant.load", sizeof "invariant.load" - 1);
  LLVMSetMetadata(value, kind, LLVMMetadataAsValue(e->unit->context, LLVMMDNodeInContext2(e->unit->context, NULL, 0)));
  return value;
}

void fst_emit_constants_finish(fst_emit *e) {
  if (!e->far_table) return;
  LLVMValueRef *items = FST_NEW_ARRAY(e->arena, LLVMValueRef, e->far_bits.len + 1);
  for (size_t i = 0; i < e->far_bits.len; i++) items[i] = LLVMConstInt(e->unit->i32, e->far_bits.data[i], 0);
  LLVMTypeRef type = LLVMArrayType2(e->unit->i32, e->far_bits.len);
  LLVMValueRef table = LLVMAddGlobal(e->unit->module, type, "constants");
  LLVMSetInitializer(table, LLVMConstArray2(e->unit->i32, items, e->far_bits.len));
  LLVMSetGlobalConstant(table, 1);
  LLVMSetLinkage(table, LLVMPrivateLinkage);
  LLVMSetAlignment(table, 4);
  LLVMReplaceAllUsesWith(e->far_table, table);
  LLVMDeleteGlobal(e->far_table);
  e->far_table = table;
}

LLVMValueRef fst_emit_const_value(fst_emit *e, fst_dtype dtype, uint64_t bits) {
  LLVMTypeRef type = fst_llvm_value_type(e->unit, dtype);
  if (dtype == FST_BOOL) return LLVMConstInt(type, bits & 1, 0);
  if (dtype == FST_F32 && e->far_base && (uint32_t)bits) return far_constant(e, (uint32_t)bits);
  if (dtype == FST_F32) return LLVMConstBitCast(LLVMConstInt(e->unit->i32, (uint32_t)bits, 0), type);
  if (dtype == FST_F64) return LLVMConstBitCast(LLVMConstInt(e->unit->i64, bits, 0), type);
  unsigned width = LLVMGetIntTypeWidth(type);
  return LLVMConstInt(type, width == 64 ? bits : bits & ((UINT64_C(1) << width) - 1), 0);
}

static LLVMValueRef int_like(const fst_emit *e, LLVMTypeRef element, uint64_t value, LLVMValueRef like) {
  (void)e;
  return const_splat(LLVMConstInt(element, value, 1), fst_emit_lane_count(like));
}

static LLVMValueRef real_like(LLVMTypeRef element, double value, LLVMValueRef like) {
  return const_splat(LLVMConstReal(element, value), fst_emit_lane_count(like));
}

LLVMValueRef fst_emit_intrinsic1(fst_emit *e, const char *name, LLVMValueRef a) {
  LLVMTypeRef type = LLVMTypeOf(a);
  return fst_llvm_intrinsic(e->unit, name, &type, 1, &a, 1);
}

LLVMValueRef fst_emit_fma(fst_emit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
  LLVMTypeRef type = LLVMTypeOf(a);
  LLVMValueRef args[] = {a, b, c};
  return fst_llvm_intrinsic(e->unit, "llvm.fma", &type, 1, args, 3);
}

LLVMValueRef fst_emit_any(fst_emit *e, LLVMValueRef mask) { return fst_emit_intrinsic1(e, "llvm.vector.reduce.or", mask); }

// ---- conversions ----

static bool is_half(fst_dtype dtype) { return dtype == FST_F16 || dtype == FST_BF16; }

static LLVMValueRef half_to_f32(fst_emit *e, LLVMValueRef bits, fst_dtype from) {
  const fst_llvm_unit *u = e->unit;
  if (from == FST_F16) {
    LLVMValueRef half = LLVMBuildBitCast(e->b, bits, fst_emit_like(e, u->f16, bits), "");
    return LLVMBuildFPExt(e->b, half, fst_emit_like(e, u->f32, bits), "");
  }
  LLVMValueRef wide = LLVMBuildZExt(e->b, bits, fst_emit_like(e, u->i32, bits), "");
  wide = LLVMBuildShl(e->b, wide, int_like(e, u->i32, 16, bits), "");
  return LLVMBuildBitCast(e->b, wide, fst_emit_like(e, u->f32, bits), "");
}

// Round to nearest even by integer arithmetic: the addition carries into the kept bits. NaN would carry into
// infinity, so it is replaced.
static LLVMValueRef f32_to_bf16(fst_emit *e, LLVMValueRef value) {
  const fst_llvm_unit *u = e->unit;
  LLVMValueRef bits = LLVMBuildBitCast(e->b, value, fst_emit_like(e, u->i32, value), "");
  LLVMValueRef sixteen = int_like(e, u->i32, 16, value);
  LLVMValueRef odd = LLVMBuildAnd(e->b, LLVMBuildLShr(e->b, bits, sixteen, ""), int_like(e, u->i32, 1, value), "");
  LLVMValueRef sum = LLVMBuildAdd(e->b, LLVMBuildAdd(e->b, bits, int_like(e, u->i32, 0x7fff, value), ""), odd, "");
  LLVMValueRef rounded = LLVMBuildLShr(e->b, sum, sixteen, "");
  LLVMValueRef is_nan = LLVMBuildFCmp(e->b, LLVMRealUNO, value, value, "");
  rounded = LLVMBuildSelect(e->b, is_nan, int_like(e, u->i32, 0x7fc0, value), rounded, "");
  return LLVMBuildTrunc(e->b, rounded, fst_emit_like(e, u->i16, value), "");
}

static LLVMValueRef f32_to_half(fst_emit *e, LLVMValueRef value, fst_dtype to) {
  if (to == FST_BF16) return f32_to_bf16(e, value);
  LLVMValueRef half = LLVMBuildFPTrunc(e->b, value, fst_emit_like(e, e->unit->f16, value), "");
  return LLVMBuildBitCast(e->b, half, fst_emit_like(e, e->unit->i16, value), "");
}

// What cvttsd2si gives, for 32 and 64 bits: truncation, and the lowest integer for whatever does not fit, NaN included.
static LLVMValueRef float_to_signed(fst_emit *e, LLVMValueRef value, LLVMTypeRef element, unsigned bits) {
  LLVMTypeRef type = bits == 32 ? e->unit->i32 : e->unit->i64;
  LLVMValueRef bound = real_like(element, bits == 32 ? 0x1p31 : 0x1p63, value);
  LLVMValueRef fits = LLVMBuildFCmp(e->b, LLVMRealOLT, fst_emit_intrinsic1(e, "llvm.fabs", value), bound, "");
  LLVMValueRef safe = LLVMBuildSelect(e->b, fits, value, real_like(element, 0.0, value), "");
  LLVMValueRef whole = LLVMBuildFPToSI(e->b, safe, fst_emit_like(e, type, value), "");
  return LLVMBuildSelect(e->b, fits, whole, int_like(e, type, UINT64_C(1) << (bits - 1), value), "");
}

// The low 32 bits of the 64 without 64-bit conversions, which AVX2 has only for single elements: remove
// the multiple of 2^32, which is exact, and convert the rest.
static LLVMValueRef float_to_low32(fst_emit *e, LLVMValueRef value, LLVMTypeRef element) {
  const fst_llvm_unit *u = e->unit;
  LLVMValueRef whole = fst_emit_intrinsic1(e, "llvm.trunc", value);
  LLVMValueRef scaled = LLVMBuildFMul(e->b, whole, real_like(element, 0x1p-32, value), "");
  LLVMValueRef high = fst_emit_intrinsic1(e, "llvm.roundeven", scaled);
  LLVMValueRef rest = fst_emit_fma(e, high, real_like(element, -0x1p32, value), whole);
  LLVMValueRef half = real_like(element, 0x1p31, value);
  LLVMValueRef wraps = LLVMBuildFCmp(e->b, LLVMRealOGE, rest, half, "");
  rest = LLVMBuildSelect(e->b, wraps, real_like(element, -0x1p31, value), rest, "");
  LLVMValueRef fits = LLVMBuildFCmp(e->b, LLVMRealOLT, fst_emit_intrinsic1(e, "llvm.fabs", value), real_like(element, 0x1p63, value), "");
  rest = LLVMBuildSelect(e->b, fits, rest, real_like(element, 0.0, value), "");
  return LLVMBuildFPToSI(e->b, rest, fst_emit_like(e, u->i32, value), "");
}

static LLVMValueRef float_to_int(fst_emit *e, LLVMValueRef value, LLVMTypeRef element, fst_dtype to) {
  LLVMTypeRef type = fst_emit_like(e, fst_llvm_value_type(e->unit, to), value);
  if (to == FST_I64) return float_to_signed(e, value, element, 64);
  if (to != FST_U8) return LLVMBuildIntCast2(e->b, float_to_signed(e, value, element, 32), type, 1, "");
  // One element at a time the machine's own instruction is the shorter way.
  LLVMValueRef whole = fst_emit_lane_count(value) > 1 ? float_to_low32(e, value, element) : float_to_signed(e, value, element, 64);
  return LLVMBuildTrunc(e->b, whole, type, "");
}

static LLVMValueRef int_to_int(fst_emit *e, LLVMValueRef value, fst_dtype from, fst_dtype to) {
  LLVMTypeRef element = fst_llvm_value_type(e->unit, to), type = fst_emit_like(e, element, value);
  unsigned had = LLVMGetIntTypeWidth(fst_llvm_value_type(e->unit, from)), wants = LLVMGetIntTypeWidth(element);
  if (had == wants) return value;
  if (wants < had) return LLVMBuildTrunc(e->b, value, type, "");
  bool is_signed = fst_dtype_kind_of(from) == FST_KIND_INT;
  return is_signed ? LLVMBuildSExt(e->b, value, type, "") : LLVMBuildZExt(e->b, value, type, "");
}

static LLVMValueRef int_to_float(fst_emit *e, LLVMValueRef value, fst_dtype from, fst_dtype to) {
  LLVMTypeRef type = fst_emit_like(e, fst_llvm_value_type(e->unit, to), value);
  bool is_signed = fst_dtype_kind_of(from) == FST_KIND_INT;
  return is_signed ? LLVMBuildSIToFP(e->b, value, type, "") : LLVMBuildUIToFP(e->b, value, type, "");
}

static LLVMValueRef to_bool(fst_emit *e, LLVMValueRef value, fst_dtype from) {
  LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(value));
  return fst_dtype_is_float(from) ? LLVMBuildFCmp(e->b, LLVMRealUNE, value, zero, "") : LLVMBuildICmp(e->b, LLVMIntNE, value, zero, "");
}

LLVMValueRef fst_emit_convert(fst_emit *e, LLVMValueRef value, fst_dtype from, fst_dtype to) {
  if (from == to) return value;
  if (is_half(from)) return fst_emit_convert(e, half_to_f32(e, value, from), FST_F32, to);
  if (to == FST_BOOL) return to_bool(e, value, from);
  // PyTorch's half types are made from floats, so wider values are rounded twice there as well.
  if (is_half(to)) return f32_to_half(e, fst_emit_convert(e, value, from, FST_F32), to);
  bool from_float = fst_dtype_is_float(from), to_float = fst_dtype_is_float(to);
  LLVMTypeRef type = fst_emit_like(e, fst_llvm_value_type(e->unit, to), value);
  if (from_float && to_float) return to == FST_F64 ? LLVMBuildFPExt(e->b, value, type, "") : LLVMBuildFPTrunc(e->b, value, type, "");
  if (from_float) return float_to_int(e, value, fst_llvm_value_type(e->unit, from), to);
  return to_float ? int_to_float(e, value, from, to) : int_to_int(e, value, from, to);
}

LLVMValueRef fst_emit_bitcast(fst_emit *e, LLVMValueRef value, fst_dtype to) {
  LLVMTypeRef type = fst_emit_like(e, fst_llvm_value_type(e->unit, to), value);
  return LLVMTypeOf(value) == type ? value : LLVMBuildBitCast(e->b, value, type, "");
}

// ---- remainder of floats ----
// C's fmod, exactly: the quotient's bits one at a time on the integer significands. Floats go through double,
// where their remainder is exact too. Emitted once per unit, as a function of doubles.

typedef struct fmod_parts { LLVMValueRef exponent, significand; } fmod_parts;

// Exponent and significand with its leading bit at position 52, also for subnormals.
static fmod_parts fmod_split(fst_emit *e, LLVMValueRef bits) {
  const fst_llvm_unit *u = e->unit;
  LLVMValueRef field = LLVMBuildLShr(e->b, bits, fst_emit_int(e, 52), "");
  LLVMValueRef fraction = LLVMBuildAnd(e->b, bits, fst_emit_int(e, (INT64_C(1) << 52) - 1), "");
  LLVMValueRef zeros_args[] = {fraction, LLVMConstInt(u->i1, 0, 0)};
  LLVMTypeRef type = u->i64;
  LLVMValueRef zeros = fst_llvm_intrinsic(e->unit, "llvm.ctlz", &type, 1, zeros_args, 2);
  LLVMValueRef shift = LLVMBuildAnd(e->b, LLVMBuildSub(e->b, zeros, fst_emit_int(e, 11), ""), fst_emit_int(e, 63), "");
  LLVMValueRef small = LLVMBuildICmp(e->b, LLVMIntEQ, field, fst_emit_int(e, 0), "");
  fmod_parts parts;
  parts.exponent = LLVMBuildSelect(e->b, small, LLVMBuildSub(e->b, fst_emit_int(e, 1), shift, ""), field, "");
  parts.significand = LLVMBuildSelect(e->b, small, LLVMBuildShl(e->b, fraction, shift, ""),
                                      LLVMBuildOr(e->b, fraction, fst_emit_int(e, INT64_C(1) << 52), ""), "");
  return parts;
}

// One step of long division: r = r >= y ? r - y : r.
static LLVMValueRef fmod_subtract(fst_emit *e, LLVMValueRef rest, LLVMValueRef divisor) {
  LLVMValueRef less = LLVMBuildSub(e->b, rest, divisor, "");
  return LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, less, fst_emit_int(e, 0), ""), rest, less, "");
}

// rest * 2^(exponent - 1075) back to a double's magnitude; rest < 2^53.
static LLVMValueRef fmod_join(fst_emit *e, LLVMValueRef rest, LLVMValueRef exponent) {
  const fst_llvm_unit *u = e->unit;
  LLVMValueRef zeros_args[] = {rest, LLVMConstInt(u->i1, 0, 0)};
  LLVMTypeRef type = u->i64;
  LLVMValueRef zeros = fst_llvm_intrinsic(e->unit, "llvm.ctlz", &type, 1, zeros_args, 2);
  LLVMValueRef shift = LLVMBuildSub(e->b, zeros, fst_emit_int(e, 11), "");
  LLVMValueRef top = LLVMBuildSub(e->b, exponent, shift, "");
  LLVMValueRef mask = fst_emit_int(e, 63);
  LLVMValueRef normal = LLVMBuildShl(e->b, rest, LLVMBuildAnd(e->b, shift, mask, ""), "");
  normal = LLVMBuildAdd(e->b, LLVMBuildSub(e->b, normal, fst_emit_int(e, INT64_C(1) << 52), ""), LLVMBuildShl(e->b, top, fst_emit_int(e, 52), ""), "");
  // Subnormal: exponent 1 is the unit. Shift left when the rest's own exponent is above it, right when below.
  LLVMValueRef up = LLVMBuildSub(e->b, exponent, fst_emit_int(e, 1), "");
  LLVMValueRef is_up = LLVMBuildICmp(e->b, LLVMIntSGE, up, fst_emit_int(e, 0), "");
  LLVMValueRef left = LLVMBuildShl(e->b, rest, LLVMBuildAnd(e->b, up, mask, ""), "");
  LLVMValueRef right = LLVMBuildLShr(e->b, rest, LLVMBuildAnd(e->b, LLVMBuildNeg(e->b, up, ""), mask, ""), "");
  LLVMValueRef small = LLVMBuildSelect(e->b, is_up, left, right, "");
  LLVMValueRef is_normal = LLVMBuildICmp(e->b, LLVMIntSGE, top, fst_emit_int(e, 1), "");
  return LLVMBuildSelect(e->b, is_normal, normal, small, "");
}

static void fmod_body(fst_emit *e, LLVMValueRef function) {
  const fst_llvm_unit *u = e->unit;
  LLVMBasicBlockRef entry = LLVMAppendBasicBlockInContext(u->context, function, "entry");
  LLVMBasicBlockRef special = LLVMAppendBasicBlockInContext(u->context, function, "special");
  LLVMBasicBlockRef ordinary = LLVMAppendBasicBlockInContext(u->context, function, "ordinary");
  LLVMPositionBuilderAtEnd(e->b, entry);
  LLVMValueRef x = LLVMGetParam(function, 0), y = LLVMGetParam(function, 1);
  LLVMValueRef magnitude = fst_emit_int(e, INT64_MAX), infinity = fst_emit_int(e, INT64_C(0x7ff) << 52);
  LLVMValueRef all_x = LLVMBuildBitCast(e->b, x, u->i64, "");
  LLVMValueRef bits_x = LLVMBuildAnd(e->b, all_x, magnitude, "");
  LLVMValueRef bits_y = LLVMBuildAnd(e->b, LLVMBuildBitCast(e->b, y, u->i64, ""), magnitude, "");
  LLVMValueRef undefined = LLVMBuildICmp(e->b, LLVMIntUGE, bits_x, infinity, "");
  undefined = LLVMBuildOr(e->b, undefined, LLVMBuildICmp(e->b, LLVMIntUGT, bits_y, infinity, ""), "");
  undefined = LLVMBuildOr(e->b, undefined, LLVMBuildICmp(e->b, LLVMIntEQ, bits_y, fst_emit_int(e, 0), ""), "");
  LLVMValueRef is_less = LLVMBuildICmp(e->b, LLVMIntULT, bits_x, bits_y, "");
  LLVMBuildCondBr(e->b, LLVMBuildOr(e->b, undefined, is_less, ""), special, ordinary);

  LLVMPositionBuilderAtEnd(e->b, special);
  LLVMValueRef nan = LLVMConstReal(u->f64, __builtin_nan(""));
  LLVMBuildRet(e->b, LLVMBuildSelect(e->b, undefined, nan, x, ""));

  LLVMPositionBuilderAtEnd(e->b, ordinary);
  fmod_parts px = fmod_split(e, bits_x), py = fmod_split(e, bits_y);
  LLVMValueRef steps = LLVMBuildSub(e->b, px.exponent, py.exponent, "");
  LLVMValueRef rest = fmod_subtract(e, px.significand, py.significand);
  fst_loop loop;
  LLVMValueRef saved = e->function;
  e->function = function;
  fst_loop_begin(e, &loop, fst_emit_int(e, 0), steps, 1, true, &rest, 1);
  LLVMValueRef next = fmod_subtract(e, LLVMBuildShl(e->b, loop.phis[0], fst_emit_int(e, 1), ""), py.significand);
  fst_loop_end(e, &loop, &next);
  e->function = saved;
  LLVMValueRef joined = fmod_join(e, next, py.exponent);
  LLVMValueRef is_zero = LLVMBuildICmp(e->b, LLVMIntEQ, next, fst_emit_int(e, 0), "");
  joined = LLVMBuildSelect(e->b, is_zero, fst_emit_int(e, 0), joined, "");
  LLVMValueRef sign = LLVMBuildAnd(e->b, all_x, fst_emit_int(e, INT64_MIN), "");
  LLVMBuildRet(e->b, LLVMBuildBitCast(e->b, LLVMBuildOr(e->b, joined, sign, ""), u->f64, ""));
}

static LLVMValueRef fmod_function(fst_emit *e, LLVMTypeRef *out_type) {
  const fst_llvm_unit *u = e->unit;
  LLVMTypeRef params[] = {u->f64, u->f64};
  *out_type = LLVMFunctionType(u->f64, params, 2, 0);
  LLVMValueRef function = LLVMGetNamedFunction(u->module, "fst.fmod");
  if (function) return function;
  function = fst_llvm_function_add(e->unit, "fst.fmod", *out_type);
  LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b);
  fmod_body(e, function);
  LLVMPositionBuilderAtEnd(e->b, here);
  return function;
}

static LLVMValueRef float_rem(fst_emit *e, fst_dtype dtype, LLVMValueRef a, LLVMValueRef b) {
  const fst_llvm_unit *u = e->unit;
  LLVMTypeRef type;
  LLVMValueRef function = fmod_function(e, &type);
  uint32_t lanes = fst_emit_lane_count(a);
  LLVMValueRef wide_a = fst_emit_convert(e, a, dtype, FST_F64), wide_b = fst_emit_convert(e, b, dtype, FST_F64);
  LLVMValueRef result = LLVMGetPoison(LLVMTypeOf(wide_a));
  for (uint32_t i = 0; i < lanes; i++) {
    LLVMValueRef lane = LLVMConstInt(u->i32, i, 0);
    LLVMValueRef args[] = {lanes > 1 ? LLVMBuildExtractElement(e->b, wide_a, lane, "") : wide_a,
                           lanes > 1 ? LLVMBuildExtractElement(e->b, wide_b, lane, "") : wide_b};
    LLVMValueRef one = LLVMBuildCall2(e->b, type, function, args, 2, "");
    result = lanes > 1 ? LLVMBuildInsertElement(e->b, result, one, lane, "") : one;
  }
  return fst_emit_convert(e, result, FST_F64, dtype);
}

// ---- primitives by kind ----

// The smaller or larger, NaN if either is: the first select is one machine instruction and gives b when
// either is NaN, so only a NaN in `a` is left to handle.
static LLVMValueRef float_extreme(fst_emit *e, LLVMRealPredicate order, LLVMValueRef a, LLVMValueRef b) {
  LLVMValueRef best = LLVMBuildSelect(e->b, LLVMBuildFCmp(e->b, order, a, b, ""), a, b, "");
  return LLVMBuildSelect(e->b, LLVMBuildFCmp(e->b, LLVMRealUNO, a, a, ""), a, best, "");
}

static LLVMValueRef float_prim(fst_emit *e, fst_prim prim, fst_dtype dtype, LLVMValueRef *args) {
  LLVMValueRef a = args[0], b = args[1];
  switch (prim) {
    case FST_PRIM_ADD: return LLVMBuildFAdd(e->b, a, b, "");
    case FST_PRIM_SUB: return LLVMBuildFSub(e->b, a, b, "");
    case FST_PRIM_MUL: return LLVMBuildFMul(e->b, a, b, "");
    case FST_PRIM_DIV: return LLVMBuildFDiv(e->b, a, b, "");
    case FST_PRIM_REM: return float_rem(e, dtype, a, b);
    case FST_PRIM_FMA: return fst_emit_fma(e, a, b, args[2]);
    case FST_PRIM_NEG: return LLVMBuildFNeg(e->b, a, "");
    case FST_PRIM_ABS: return fst_emit_intrinsic1(e, "llvm.fabs", a);
    case FST_PRIM_MIN: return float_extreme(e, LLVMRealOLT, a, b);
    case FST_PRIM_MAX: return float_extreme(e, LLVMRealOGT, a, b);
    case FST_PRIM_EQ: return LLVMBuildFCmp(e->b, LLVMRealOEQ, a, b, "");
    case FST_PRIM_NE: return LLVMBuildFCmp(e->b, LLVMRealUNE, a, b, "");
    case FST_PRIM_LT: return LLVMBuildFCmp(e->b, LLVMRealOLT, a, b, "");
    case FST_PRIM_LE: return LLVMBuildFCmp(e->b, LLVMRealOLE, a, b, "");
    case FST_PRIM_SQRT: return fst_emit_intrinsic1(e, "llvm.sqrt", a);
    case FST_PRIM_FLOOR: return fst_emit_intrinsic1(e, "llvm.floor", a);
    case FST_PRIM_CEIL: return fst_emit_intrinsic1(e, "llvm.ceil", a);
    case FST_PRIM_TRUNC: return fst_emit_intrinsic1(e, "llvm.trunc", a);
    case FST_PRIM_RINT: return fst_emit_intrinsic1(e, "llvm.roundeven", a);
    default: FST_UNREACHABLE("%s of floats", fst_prim_name(prim));
  }
}

static LLVMValueRef bool_prim(fst_emit *e, fst_prim prim, LLVMValueRef *args) {
  LLVMValueRef a = args[0], b = args[1];
  switch (prim) {
    case FST_PRIM_MIN:
    case FST_PRIM_MUL:
    case FST_PRIM_AND: return LLVMBuildAnd(e->b, a, b, "");
    case FST_PRIM_MAX:
    case FST_PRIM_ADD:
    case FST_PRIM_OR: return LLVMBuildOr(e->b, a, b, "");
    case FST_PRIM_NE:
    case FST_PRIM_SUB:
    case FST_PRIM_XOR: return LLVMBuildXor(e->b, a, b, "");
    case FST_PRIM_EQ: return LLVMBuildICmp(e->b, LLVMIntEQ, a, b, "");
    case FST_PRIM_LT: return LLVMBuildICmp(e->b, LLVMIntULT, a, b, "");
    case FST_PRIM_LE: return LLVMBuildICmp(e->b, LLVMIntULE, a, b, "");
    case FST_PRIM_NOT: return LLVMBuildNot(e->b, a, "");
    case FST_PRIM_NEG:
    case FST_PRIM_ABS: return a;
    default: FST_UNREACHABLE("%s of bools", fst_prim_name(prim));
  }
}

static LLVMValueRef int_divide(fst_emit *e, bool is_rem, bool is_signed, LLVMValueRef a, LLVMValueRef b) {
  LLVMTypeRef type = LLVMTypeOf(b);
  LLVMValueRef zero = LLVMConstNull(type), one = const_splat(LLVMConstInt(LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetElementType(type) : type, 1, 0), fst_emit_lane_count(b));
  LLVMValueRef is_zero = LLVMBuildICmp(e->b, LLVMIntEQ, b, zero, "");
  if (!is_signed) {
    b = LLVMBuildSelect(e->b, is_zero, one, b, "");
    return is_rem ? LLVMBuildURem(e->b, a, b, "") : LLVMBuildUDiv(e->b, a, b, "");
  }
  LLVMValueRef is_minus_one = LLVMBuildICmp(e->b, LLVMIntEQ, b, LLVMConstAllOnes(type), "");
  LLVMValueRef safe = LLVMBuildSelect(e->b, LLVMBuildOr(e->b, is_zero, is_minus_one, ""), one, b, "");
  if (is_rem) return LLVMBuildSelect(e->b, is_minus_one, zero, LLVMBuildSRem(e->b, a, safe, ""), "");
  return LLVMBuildSelect(e->b, is_minus_one, LLVMBuildNeg(e->b, a, ""), LLVMBuildSDiv(e->b, a, safe, ""), "");
}

static LLVMValueRef int_extreme(fst_emit *e, LLVMIntPredicate order, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, order, a, b, ""), a, b, "");
}

static LLVMValueRef int_flagged(fst_emit *e, const char *name, LLVMValueRef a) {
  LLVMTypeRef type = LLVMTypeOf(a);
  LLVMValueRef args[] = {a, LLVMConstInt(e->unit->i1, 0, 0)};
  return fst_llvm_intrinsic(e->unit, name, &type, 1, args, 2);
}

static LLVMValueRef int_prim(fst_emit *e, fst_prim prim, bool is_signed, LLVMValueRef *args) {
  LLVMValueRef a = args[0], b = args[1];
  switch (prim) {
    case FST_PRIM_ADD: return LLVMBuildAdd(e->b, a, b, "");
    case FST_PRIM_SUB: return LLVMBuildSub(e->b, a, b, "");
    case FST_PRIM_MUL: return LLVMBuildMul(e->b, a, b, "");
    case FST_PRIM_DIV: return int_divide(e, false, is_signed, a, b);
    case FST_PRIM_REM: return int_divide(e, true, is_signed, a, b);
    case FST_PRIM_FMA: return LLVMBuildAdd(e->b, LLVMBuildMul(e->b, a, b, ""), args[2], "");
    case FST_PRIM_NEG: return LLVMBuildNeg(e->b, a, "");
    case FST_PRIM_ABS: return is_signed ? int_flagged(e, "llvm.abs", a) : a;
    case FST_PRIM_MIN: return int_extreme(e, is_signed ? LLVMIntSLT : LLVMIntULT, a, b);
    case FST_PRIM_MAX: return int_extreme(e, is_signed ? LLVMIntSGT : LLVMIntUGT, a, b);
    case FST_PRIM_EQ: return LLVMBuildICmp(e->b, LLVMIntEQ, a, b, "");
    case FST_PRIM_NE: return LLVMBuildICmp(e->b, LLVMIntNE, a, b, "");
    case FST_PRIM_LT: return LLVMBuildICmp(e->b, is_signed ? LLVMIntSLT : LLVMIntULT, a, b, "");
    case FST_PRIM_LE: return LLVMBuildICmp(e->b, is_signed ? LLVMIntSLE : LLVMIntULE, a, b, "");
    case FST_PRIM_AND: return LLVMBuildAnd(e->b, a, b, "");
    case FST_PRIM_OR: return LLVMBuildOr(e->b, a, b, "");
    case FST_PRIM_XOR: return LLVMBuildXor(e->b, a, b, "");
    case FST_PRIM_NOT: return LLVMBuildNot(e->b, a, "");
    case FST_PRIM_SHL: return LLVMBuildShl(e->b, a, b, "");
    case FST_PRIM_SHR: return is_signed ? LLVMBuildAShr(e->b, a, b, "") : LLVMBuildLShr(e->b, a, b, "");
    case FST_PRIM_POPCNT: return fst_emit_intrinsic1(e, "llvm.ctpop", a);
    case FST_PRIM_CLZ: return int_flagged(e, "llvm.ctlz", a);
    case FST_PRIM_FLOOR:
    case FST_PRIM_CEIL:
    case FST_PRIM_TRUNC:
    case FST_PRIM_RINT: return a;
    default: FST_UNREACHABLE("%s of integers", fst_prim_name(prim));
  }
}

static bool prim_gives_bool(fst_prim prim) { return prim == FST_PRIM_EQ || prim == FST_PRIM_NE || prim == FST_PRIM_LT || prim == FST_PRIM_LE; }

static LLVMValueRef half_prim(fst_emit *e, fst_prim prim, fst_dtype dtype, LLVMValueRef *args, uint32_t count) {
  LLVMValueRef wide[3] = {0};
  for (uint32_t i = 0; i < count; i++) wide[i] = fst_emit_convert(e, args[i], dtype, FST_F32);
  LLVMValueRef result = float_prim(e, prim, FST_F32, wide);
  return prim_gives_bool(prim) ? result : fst_emit_convert(e, result, FST_F32, dtype);
}

LLVMValueRef fst_emit_prim(fst_emit *e, fst_prim prim, fst_dtype dtype, LLVMValueRef *given, uint32_t count) {
  LLVMValueRef args[3] = {0};
  uint32_t lanes = 1;
  for (uint32_t i = 0; i < count; i++)
    if (fst_emit_lane_count(given[i]) > lanes) lanes = fst_emit_lane_count(given[i]);
  // A scalar condition may choose between vectors; everything else wants equal lanes.
  for (uint32_t i = 0; i < count; i++)
    args[i] = prim == FST_PRIM_SELECT && i == 0 ? given[i] : fst_emit_splat(e, given[i], lanes);
  if (prim == FST_PRIM_SELECT) return LLVMBuildSelect(e->b, args[0], args[1], args[2], "");
  if (is_half(dtype)) return half_prim(e, prim, dtype, args, count);
  if (dtype == FST_BOOL) return bool_prim(e, prim, args);
  if (fst_dtype_is_float(dtype)) return float_prim(e, prim, dtype, args);
  return int_prim(e, prim, fst_dtype_kind_of(dtype) == FST_KIND_INT, args);
}
