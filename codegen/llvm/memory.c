// Loads and stores of one point or of one vector of points.
//
// An access is told apart by how its offset moves with the lane variable: not at all, by one element, by
// minus one, evenly, or irregularly. Dead lanes must not touch memory. Where the machine has masked
// forms they are used (from four bytes an element; below only with AVX-512); elsewhere a dead lane's pointer is
// turned to a few bytes on the stack, which costs a select instead of a branch.
#include "codegen/llvm/emit.h"

typedef enum { WALK_UNIFORM, WALK_UNIT, WALK_REVERSED, WALK_EVEN, WALK_IRREGULAR } walk_kind;
typedef struct walk {
  walk_kind kind;
  LLVMValueRef offset;  // scalar: of lane 0. IRREGULAR: a vector
  LLVMValueRef step;    // EVEN
} walk;

LLVMValueRef fst_emit_element_ptr(fst_emit *e, LLVMValueRef base, fst_dtype dtype, LLVMValueRef offset) {
  return LLVMBuildInBoundsGEP2(e->b, fst_llvm_memory_type(e->unit, dtype), base, &offset, 1, "");
}

static LLVMValueRef memory_to_value(fst_emit *e, fst_dtype dtype, LLVMValueRef raw) {
  return dtype == FST_BOOL ? LLVMBuildICmp(e->b, LLVMIntNE, raw, LLVMConstNull(LLVMTypeOf(raw)), "") : raw;
}

static LLVMValueRef value_to_memory(fst_emit *e, fst_dtype dtype, LLVMValueRef value) {
  return dtype == FST_BOOL ? LLVMBuildZExt(e->b, value, fst_emit_like(e, e->unit->i8, value), "") : value;
}

static LLVMValueRef raw_load(fst_emit *e, LLVMTypeRef type, fst_dtype dtype, LLVMValueRef ptr) {
  LLVMValueRef value = LLVMBuildLoad2(e->b, type, ptr, "");
  LLVMSetAlignment(value, (unsigned)fst_dtype_size(dtype));
  return value;
}

static void raw_store(fst_emit *e, fst_dtype dtype, LLVMValueRef value, LLVMValueRef ptr) {
  LLVMSetAlignment(LLVMBuildStore(e->b, value, ptr), (unsigned)fst_dtype_size(dtype));
}

LLVMValueRef fst_emit_load_at(fst_emit *e, fst_dtype dtype, LLVMValueRef ptr) {
  return memory_to_value(e, dtype, raw_load(e, fst_llvm_memory_type(e->unit, dtype), dtype, ptr));
}

void fst_emit_store_at(fst_emit *e, fst_dtype dtype, LLVMValueRef ptr, LLVMValueRef value) {
  raw_store(e, dtype, value_to_memory(e, dtype, value), ptr);
}

LLVMValueRef fst_emit_scratch(fst_emit *e, uint64_t offset) {
  LLVMValueRef at = fst_emit_int(e, (int64_t)offset);
  return LLVMBuildInBoundsGEP2(e->b, e->unit->i8, e->scratch, &at, 1, "");
}

void fst_emit_prefetch(fst_emit *e, LLVMValueRef ptr, bool write, int level) {
  LLVMTypeRef types[] = {e->unit->ptr};
  LLVMValueRef args[] = {ptr, LLVMConstInt(e->unit->i32, write, 0), LLVMConstInt(e->unit->i32, (uint64_t)(4 - level), 0), LLVMConstInt(e->unit->i32, 1, 0)};
  fst_llvm_intrinsic(e->unit, "llvm.prefetch", types, 1, args, 4);
}

// ---- offsets ----

LLVMValueRef fst_emit_at_base(fst_emit *e, fst_kx x) {
  if (!fst_emit_is_varying(e, x)) return fst_emit_expr(e, x);
  const fst_kx_data *data = fst_emit_get(e, x);
  if (data->kind == FST_KX_VAR) return e->lane.base;
  LLVMValueRef args[2] = {0};
  for (uint32_t i = 0; i < data->arg_count; i++) args[i] = fst_emit_at_base(e, data->args[i]);
  return fst_emit_prim(e, data->prim, FST_I64, args, data->arg_count);
}

// How far it moves from lane to lane.
static LLVMValueRef index_step(fst_emit *e, fst_kx x) {
  const fst_kx_data *data = fst_emit_get(e, x);
  fst_step step = fst_emit_step(e, x, e->lane.var);
  if (step.kind == FST_STEP_CONST) return fst_emit_int(e, step.value);
  LLVMValueRef args[2];
  bool moves = fst_emit_depends(e, data->args[0], e->lane.var);
  switch (data->prim) {
    case FST_PRIM_NEG: return LLVMBuildNeg(e->b, index_step(e, data->args[0]), "");
    case FST_PRIM_MUL:
      args[0] = index_step(e, data->args[moves ? 0 : 1]);
      args[1] = fst_emit_expr(e, data->args[moves ? 1 : 0]);
      return LLVMBuildMul(e->b, args[0], args[1], "");
    default:
      args[0] = index_step(e, data->args[0]);
      args[1] = index_step(e, data->args[1]);
      return data->prim == FST_PRIM_SUB ? LLVMBuildSub(e->b, args[0], args[1], "") : LLVMBuildAdd(e->b, args[0], args[1], "");
  }
}

static LLVMValueRef scale(fst_emit *e, LLVMValueRef index, fst_kx stride) {
  LLVMValueRef args[] = {index, fst_emit_expr(e, stride)};
  return fst_emit_prim(e, FST_PRIM_MUL, FST_I64, args, 2);
}

static LLVMValueRef add(fst_emit *e, LLVMValueRef a, LLVMValueRef b) {
  LLVMValueRef args[] = {a, b};
  return a ? fst_emit_prim(e, FST_PRIM_ADD, FST_I64, args, 2) : b;
}

LLVMValueRef fst_emit_offset(fst_emit *e, uint32_t buffer, const fst_kx *indices) {
  const fst_kbuf *data = &e->kernel->buffers.data[buffer];
  LLVMValueRef sum = NULL;
  for (uint32_t d = 0; d < data->rank; d++) sum = add(e, sum, scale(e, fst_emit_at_base(e, indices[d]), data->strides[d]));
  return sum ? sum : fst_emit_int(e, 0);
}

// What else varies (a gather, a remainder, a carry) has a value of its own in every lane.
bool fst_emit_is_even(const fst_emit *e, fst_kx x) {
  if (!fst_emit_is_varying(e, x)) return true;
  uint64_t own = fst_set_has(e->varying, e->lane.var);
  const uint64_t *deps = fst_emit_deps(e, x);
  for (uint32_t i = 0; i < e->words; i++) {
    uint64_t others = deps[i] & e->varying[i];
    if (own && e->lane.var / 64 == i) others &= ~(UINT64_C(1) << (e->lane.var % 64));
    if (others) return false;
  }
  return fst_emit_step(e, x, e->lane.var).kind != FST_STEP_NONE;
}

static walk walk_irregular(fst_emit *e, uint32_t buffer, const fst_kx *indices) {
  const fst_kbuf *data = &e->kernel->buffers.data[buffer];
  LLVMValueRef sum = NULL;
  for (uint32_t d = 0; d < data->rank; d++) sum = add(e, sum, scale(e, fst_emit_expr(e, indices[d]), data->strides[d]));
  return (walk){WALK_IRREGULAR, fst_emit_splat(e, sum, e->lane.lanes), NULL};
}

static LLVMValueRef walk_step(fst_emit *e, uint32_t buffer, const fst_kx *indices) {
  const fst_kbuf *data = &e->kernel->buffers.data[buffer];
  LLVMValueRef sum = NULL;
  for (uint32_t d = 0; d < data->rank; d++)
    if (fst_emit_is_varying(e, indices[d])) sum = add(e, sum, scale(e, index_step(e, indices[d]), data->strides[d]));
  return sum;
}

static walk walk_of(fst_emit *e, uint32_t buffer, const fst_kx *indices) {
  const fst_kbuf *data = &e->kernel->buffers.data[buffer];
  bool varying = false;
  for (uint32_t d = 0; d < data->rank; d++) {
    varying |= fst_emit_is_varying(e, indices[d]);
    if (!fst_emit_is_even(e, indices[d])) return walk_irregular(e, buffer, indices);
  }
  LLVMValueRef offset = fst_emit_offset(e, buffer, indices);
  if (!varying) return (walk){WALK_UNIFORM, offset, NULL};
  fst_step step = fst_emit_access_step(e, buffer, indices, e->lane.var);
  if (step.kind == FST_STEP_CONST && step.value == 1) return (walk){WALK_UNIT, offset, NULL};
  if (step.kind == FST_STEP_CONST && step.value == -1) return (walk){WALK_REVERSED, offset, NULL};
  return (walk){WALK_EVEN, offset, walk_step(e, buffer, indices)};
}

// ---- vectors ----

static bool has_masked_forms(const fst_emit *e, fst_dtype dtype) {
  return fst_dtype_size(dtype) >= 4 || e->unit->target->vector_bytes >= 64;
}

static LLVMValueRef reverse(fst_emit *e, LLVMValueRef value) {
  LLVMValueRef order[FST_EMIT_MAX_LANES];
  uint32_t lanes = fst_emit_lane_count(value);
  for (uint32_t i = 0; i < lanes; i++) order[i] = LLVMConstInt(e->unit->i32, lanes - 1 - i, 0);
  return LLVMBuildShuffleVector(e->b, value, LLVMGetPoison(LLVMTypeOf(value)), LLVMConstVector(order, lanes), "");
}

static LLVMValueRef dummy_memory(fst_emit *e) {
  if (!e->dummy) e->dummy = fst_emit_alloca(e, LLVMArrayType2(e->unit->i8, 64), 64);
  return e->dummy;
}

static LLVMValueRef lane_index(fst_emit *e, uint32_t lane) { return LLVMConstInt(e->unit->i32, lane, 0); }

// Pointer of one lane; a dead one's leads to the stack.
static LLVMValueRef lane_ptr(fst_emit *e, const walk *w, LLVMValueRef base, fst_dtype dtype, uint32_t lane, LLVMValueRef mask) {
  LLVMValueRef offset = w->offset;
  switch (w->kind) {
    case WALK_UNIT: offset = add(e, offset, fst_emit_int(e, lane)); break;
    case WALK_REVERSED: offset = add(e, offset, fst_emit_int(e, -(int64_t)lane)); break;
    case WALK_EVEN: offset = add(e, offset, LLVMBuildMul(e->b, w->step, fst_emit_int(e, lane), "")); break;
    case WALK_IRREGULAR: offset = LLVMBuildExtractElement(e->b, offset, lane_index(e, lane), ""); break;
    default: break;
  }
  LLVMValueRef ptr = fst_emit_element_ptr(e, base, dtype, offset);
  if (!mask) return ptr;
  return LLVMBuildSelect(e->b, LLVMBuildExtractElement(e->b, mask, lane_index(e, lane), ""), ptr, dummy_memory(e), "");
}

static LLVMValueRef lane_ptrs(fst_emit *e, const walk *w, LLVMValueRef base, fst_dtype dtype) {
  uint32_t lanes = e->lane.lanes;
  LLVMValueRef offsets = w->offset;
  if (w->kind != WALK_IRREGULAR) {
    LLVMValueRef step = w->kind == WALK_EVEN ? w->step : fst_emit_int(e, w->kind == WALK_REVERSED ? -1 : 1);
    offsets = LLVMBuildMul(e->b, fst_emit_iota(e, lanes), fst_emit_splat(e, step, lanes), "");
    base = fst_emit_element_ptr(e, base, dtype, w->offset);
  }
  return LLVMBuildGEP2(e->b, fst_llvm_memory_type(e->unit, dtype), base, &offsets, 1, "");
}

static LLVMValueRef gather(fst_emit *e, const walk *w, LLVMValueRef base, fst_dtype dtype, LLVMValueRef mask) {
  uint32_t lanes = e->lane.lanes;
  LLVMTypeRef type = LLVMVectorType(fst_llvm_memory_type(e->unit, dtype), lanes);
  if (e->unit->target->vector_bytes >= 64 && fst_dtype_size(dtype) >= 4) {
    LLVMValueRef ptrs = lane_ptrs(e, w, base, dtype);
    LLVMTypeRef types[] = {type, LLVMTypeOf(ptrs)};
    LLVMValueRef all = fst_emit_splat(e, LLVMConstInt(e->unit->i1, 1, 0), lanes);
    LLVMValueRef args[] = {ptrs, LLVMConstInt(e->unit->i32, fst_dtype_size(dtype), 0), mask ? mask : all, LLVMConstNull(type)};
    return fst_llvm_intrinsic(e->unit, "llvm.masked.gather", types, 2, args, 4);
  }
  LLVMValueRef result = LLVMGetPoison(type);
  for (uint32_t i = 0; i < lanes; i++) {
    LLVMValueRef one = raw_load(e, LLVMGetElementType(type), dtype, lane_ptr(e, w, base, dtype, i, mask));
    result = LLVMBuildInsertElement(e->b, result, one, lane_index(e, i), "");
  }
  return result;
}

static void scatter(fst_emit *e, const walk *w, LLVMValueRef base, fst_dtype dtype, LLVMValueRef value, LLVMValueRef mask) {
  for (uint32_t i = 0; i < e->lane.lanes; i++) {
    LLVMValueRef ptr = lane_ptr(e, w, base, dtype, i, mask);
    raw_store(e, dtype, LLVMBuildExtractElement(e->b, value, lane_index(e, i), ""), ptr);
  }
}

static LLVMValueRef and_masks(fst_emit *e, LLVMValueRef a, LLVMValueRef b) {
  if (!a || !b) return a ? a : b;
  return LLVMBuildAnd(e->b, a, b, "");
}

static LLVMValueRef block_load(fst_emit *e, LLVMValueRef ptr, fst_dtype dtype, LLVMValueRef mask) {
  LLVMTypeRef type = LLVMVectorType(fst_llvm_memory_type(e->unit, dtype), e->lane.lanes);
  if (!mask) return raw_load(e, type, dtype, ptr);
  LLVMTypeRef types[] = {type, e->unit->ptr};
  LLVMValueRef args[] = {ptr, LLVMConstInt(e->unit->i32, fst_dtype_size(dtype), 0), mask, LLVMConstNull(type)};
  return fst_llvm_intrinsic(e->unit, "llvm.masked.load", types, 2, args, 4);
}

static LLVMValueRef first_of_reversed(fst_emit *e, const walk *w) { return add(e, w->offset, fst_emit_int(e, 1 - (int64_t)e->lane.lanes)); }

// Every second element: two vectors that end with the first and with the last element wanted, and a shuffle. Dead
// lanes and the elements between are masked where there is a mask; without one the elements between are
// read, which lie inside because their neighbours do.
static LLVMValueRef every_second(fst_emit *e, LLVMValueRef ptr, fst_dtype dtype, LLVMValueRef mask) {
  uint32_t lanes = e->lane.lanes;
  LLVMValueRef order[FST_EMIT_MAX_LANES], parts[2];
  for (uint32_t part = 0; part < 2; part++) {
    uint32_t first = part ? lanes - 1 : 0;  // of the part, in elements from lane 0's
    for (uint32_t i = 0; i < lanes; i++) {
      bool wanted = (first + i) % 2 == 0;
      order[i] = LLVMConstInt(e->unit->i32, wanted ? (first + i) / 2 : lanes, 0);
    }
    LLVMValueRef own = mask ? LLVMBuildShuffleVector(e->b, mask, LLVMConstNull(LLVMTypeOf(mask)), LLVMConstVector(order, lanes), "") : NULL;
    parts[part] = block_load(e, fst_emit_element_ptr(e, ptr, dtype, fst_emit_int(e, first)), dtype, own);
  }
  for (uint32_t i = 0; i < lanes; i++) order[i] = LLVMConstInt(e->unit->i32, 2 * i < lanes ? 2 * i : lanes + 2 * i - (lanes - 1), 0);
  return LLVMBuildShuffleVector(e->b, parts[0], parts[1], LLVMConstVector(order, lanes), "");
}

static bool steps_by_two(const fst_emit *e, uint32_t buffer, const fst_kx *indices) {
  fst_step step = fst_emit_access_step(e, buffer, indices, e->lane.var);
  return step.kind == FST_STEP_CONST && step.value == 2;
}

LLVMValueRef fst_emit_load(fst_emit *e, uint32_t buffer, const fst_kx *indices) {
  fst_dtype dtype = e->kernel->buffers.data[buffer].dtype;
  LLVMValueRef base = e->buffers[buffer];
  walk w = walk_of(e, buffer, indices);
  if (w.kind == WALK_UNIFORM) return fst_emit_load_at(e, dtype, fst_emit_element_ptr(e, base, dtype, w.offset));
  LLVMValueRef chosen = fst_emit_in_bounds(e, buffer, indices) ? NULL : e->lane.chosen;
  LLVMValueRef mask = and_masks(e, e->lane.tail, chosen), raw;
  bool whole = !mask || has_masked_forms(e, dtype);
  if (w.kind == WALK_UNIT && whole) {
    raw = block_load(e, fst_emit_element_ptr(e, base, dtype, w.offset), dtype, mask);
  } else if (w.kind == WALK_REVERSED && whole) {
    LLVMValueRef ptr = fst_emit_element_ptr(e, base, dtype, first_of_reversed(e, &w));
    raw = reverse(e, block_load(e, ptr, dtype, mask ? reverse(e, mask) : NULL));
  } else if (w.kind == WALK_EVEN && whole && e->lane.lanes >= 4 && steps_by_two(e, buffer, indices)) {
    raw = every_second(e, fst_emit_element_ptr(e, base, dtype, w.offset), dtype, mask);
  } else {
    raw = gather(e, &w, base, dtype, mask);
  }
  return memory_to_value(e, dtype, raw);
}

static void block_store(fst_emit *e, LLVMValueRef ptr, fst_dtype dtype, LLVMValueRef value, LLVMValueRef mask) {
  if (!mask) {
    raw_store(e, dtype, value, ptr);
    return;
  }
  LLVMTypeRef types[] = {LLVMTypeOf(value), e->unit->ptr};
  LLVMValueRef args[] = {value, ptr, LLVMConstInt(e->unit->i32, fst_dtype_size(dtype), 0), mask};
  fst_llvm_intrinsic(e->unit, "llvm.masked.store", types, 2, args, 4);
}

void fst_emit_store(fst_emit *e, uint32_t buffer, const fst_kx *indices, LLVMValueRef value) {
  fst_dtype dtype = e->kernel->buffers.data[buffer].dtype;
  LLVMValueRef base = e->buffers[buffer], mask = e->lane.tail;
  walk w = walk_of(e, buffer, indices);
  if (e->lane.lanes == 1 || w.kind == WALK_UNIFORM) {
    FST_ASSERT(fst_emit_lane_count(value) == 1, "every lane would store to one element");
    fst_emit_store_at(e, dtype, fst_emit_element_ptr(e, base, dtype, w.offset), value);
    return;
  }
  value = value_to_memory(e, dtype, fst_emit_splat(e, value, e->lane.lanes));
  bool whole = !mask || has_masked_forms(e, dtype);
  if (w.kind == WALK_UNIT && whole) {
    block_store(e, fst_emit_element_ptr(e, base, dtype, w.offset), dtype, value, mask);
  } else if (w.kind == WALK_REVERSED && whole) {
    LLVMValueRef ptr = fst_emit_element_ptr(e, base, dtype, first_of_reversed(e, &w));
    block_store(e, ptr, dtype, reverse(e, value), mask ? reverse(e, mask) : NULL);
  } else {
    scatter(e, &w, base, dtype, value, mask);
  }
}

// Element `lane` of vector 0, of vector 1, ..., then of the next lane: as many vectors again.
static void interleave(fst_emit *e, const LLVMValueRef *from, uint32_t count, LLVMValueRef *to) {
  uint32_t lanes = fst_emit_lane_count(from[0]);
  if (count == 1) {
    to[0] = from[0];
    return;
  }
  LLVMValueRef halves[2][FST_INTERLEAVE_MOST] = {{0}}, part[2][FST_INTERLEAVE_MOST] = {{0}};
  for (uint32_t i = 0; i < count; i++) part[i % 2][i / 2] = from[i];
  interleave(e, part[0], count / 2, halves[0]);
  interleave(e, part[1], count / 2, halves[1]);
  for (uint32_t i = 0; i < count; i++) {
    LLVMValueRef order[FST_EMIT_MAX_LANES];
    uint32_t first = i % 2 * lanes / 2;
    for (uint32_t l = 0; l < lanes; l++) order[l] = lane_index(e, first + l / 2 + (l % 2 ? lanes : 0));
    to[i] = LLVMBuildShuffleVector(e->b, halves[0][i / 2], halves[1][i / 2], LLVMConstVector(order, lanes), "");
  }
}

void fst_emit_store_interleaved(fst_emit *e, uint32_t buffer, const fst_kx *indices, const LLVMValueRef *values, uint32_t count) {
  fst_dtype dtype = e->kernel->buffers.data[buffer].dtype;
  uint32_t lanes = e->lane.lanes;
  LLVMValueRef raw[FST_INTERLEAVE_MOST] = {0}, out[FST_INTERLEAVE_MOST] = {0}, masks[FST_INTERLEAVE_MOST] = {0};
  walk w = walk_of(e, buffer, indices);
  for (uint32_t i = 0; i < count; i++) raw[i] = value_to_memory(e, dtype, fst_emit_splat(e, values[i], lanes));
  interleave(e, raw, count, out);
  for (uint32_t i = 0; i < count; i++) raw[i] = e->lane.tail;
  if (e->lane.tail) interleave(e, raw, count, masks);
  for (uint32_t i = 0; i < count; i++) {
    LLVMValueRef at = add(e, w.offset, fst_emit_int(e, (int64_t)i * lanes));
    block_store(e, fst_emit_element_ptr(e, e->buffers[buffer], dtype, at), dtype, out[i], masks[i]);
  }
}

// ---- stores that lie between each other ----

static fst_kx without_constant(const fst_emit *e, fst_kx x, int64_t *out) {
  const fst_kx_data *d = fst_emit_get(e, x);
  *out = 0;
  return d->kind == FST_KX_PRIM && d->prim == FST_PRIM_ADD && fst_emit_const(e, d->args[1], out) ? d->args[0] : x;
}

// How many elements behind `a` the store `b` writes, if that is one number.
static bool store_distance(const fst_emit *e, const fst_kstore *a, const fst_kstore *b, int64_t *out) {
  const fst_kbuf *buffer = &e->kernel->buffers.data[a->buffer];
  *out = 0;
  if (a->buffer != b->buffer) return false;
  for (uint32_t d = 0; d < buffer->rank; d++) {
    int64_t ca, cb, stride;
    if (!fst_kx_eq(without_constant(e, a->indices[d], &ca), without_constant(e, b->indices[d], &cb))) return false;
    if (ca == cb) continue;
    if (!fst_emit_const(e, buffer->strides[d], &stride)) return false;
    *out += (cb - ca) * stride;
  }
  return true;
}

uint32_t fst_emit_stores_beside(const fst_emit *e, const fst_kstmt *stmt, uint32_t first, uint32_t var, uint32_t *out) {
  const fst_kstore *store = &stmt->stores[first];
  fst_step step = fst_emit_access_step(e, store->buffer, store->indices, var);
  uint32_t found = 0;
  if (step.kind != FST_STEP_CONST || (step.value != 2 && step.value != 4)) return 0;
  for (int64_t distance = 0; distance < step.value; distance++)
    for (uint32_t i = 0; i < stmt->store_count; i++) {
      int64_t own;
      if (found != distance || !store_distance(e, store, &stmt->stores[i], &own) || own != distance) continue;
      out[found++] = i;
    }
  return found == step.value ? found : 0;
}
