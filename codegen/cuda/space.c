// Boxes of points that are counted through with one number, and accesses that are done as vectors.
#include "codegen/cuda/schedule.h"

fst_cu_space fst_cu_space_of(const uint32_t *vars, const fst_kx *extents, uint32_t count) {
  fst_cu_space s = {.count = count};
  for (uint32_t i = 0; i < count; i++) {
    s.vars[i] = vars[i];
    s.extents[i] = extents[i];
  }
  return s;
}

static bool is_single(const fst_cu_space *s) {
  for (uint32_t i = 0; i + 1 < s->count; i++)
    if (!s->merged[i]) return false;
  return true;
}

bool fst_cu_space_is_flat(const fst_cu_space *s) { return s->count && is_single(s); }

void fst_cu_space_declare(fst_cu *c, fst_cu_space *s) {
  const char *run = NULL, *total = NULL;
  int64_t points = 1, known;
  s->is_small = true;
  for (uint32_t i = 0; i < s->count; i++) {
    s->is_small = s->is_small && fst_cu_is_const(c, s->extents[i], &known) && known >= 0 && !__builtin_mul_overflow(points, known, &points) && points <= INT32_MAX;
    const char *extent = fst_cu_expr(c, s->extents[i]);
    run = run ? fst_cu_format(c, "%s * %s", run, extent) : extent;
    if (s->merged[i]) continue;
    s->sizes[i] = fst_cu_name(c, "size");
    fst_cu_line(c, "const i64 %s = %s;", s->sizes[i], run);
    total = total ? fst_cu_format(c, "%s * %s", total, s->sizes[i]) : s->sizes[i];
    run = NULL;
  }
  s->total = total ? total : "1ll";
  if (is_single(s)) return;
  s->total = fst_cu_name(c, "size");
  fst_cu_line(c, "const i64 %s = %s;", s->total, total);
}

void fst_cu_space_bind(fst_cu *c, const fst_cu_space *s, const char *at) {
  const char *rest = at;
  uint32_t first = 0;
  while (first < s->count && s->merged[first]) first++;
  for (uint32_t i = s->count; i-- > 0;) {
    if (s->merged[i]) {
      fst_cu_bind(c, s->vars[i], "0ll");
      continue;
    }
    if (i == first) {
      fst_cu_bind(c, s->vars[i], rest);
      continue;
    }
    const char *index = fst_cu_name(c, "x"), *above = fst_cu_name(c, "rest");
    const char *quotient = fst_cu_format(c, s->is_small ? "(i64)((u32)%s / (u32)%s)" : "fst_quotient(%s, %s)", rest, s->sizes[i]);
    fst_cu_line(c, "const i64 %s = %s, %s = %s - %s * %s;", above, quotient, index, rest, above, s->sizes[i]);
    rest = above;
    fst_cu_bind(c, s->vars[i], index);
  }
}

void fst_cu_space_unbind(fst_cu *c, const fst_cu_space *s) {
  for (uint32_t i = 0; i < s->count; i++) fst_cu_unbind(c, s->vars[i]);
}

// ---- vectors ----

bool fst_cu_is_wide(fst_kernel *k, const fst_cu_space *const *spaces, uint32_t space_count, const fst_cu_access *a, uint32_t vector, fst_cu_list *multiples) {
  uint32_t vars[3 * FST_KERNEL_MAX_DIMS], count = 0;
  fst_kx coefficients[3 * FST_KERNEL_MAX_DIMS + 1], offset = fst_kx_int(k, 0), zero = fst_kx_int(k, 0);
  int64_t value;
  for (uint32_t d = 0; d < k->buffers.data[a->buffer].rank; d++)
    offset = fst_kx_prim2(k, FST_PRIM_ADD, offset, fst_kx_prim2(k, FST_PRIM_MUL, a->indices[d], k->buffers.data[a->buffer].strides[d]));
  for (uint32_t s = 0; s < space_count; s++) {
    for (uint32_t i = 0; i < spaces[s]->count; i++) {
      if (spaces[s]->merged[i]) offset = fst_kx_substitute(k, offset, &spaces[s]->vars[i], &zero, 1);
      else vars[count++] = spaces[s]->vars[i];
    }
  }
  if (!count || count > 2 * FST_KERNEL_MAX_DIMS || !fst_kx_affine(k, offset, vars, count, coefficients, &coefficients[count])) return false;
  if (!fst_kx_is_int(k, coefficients[count - 1], &value) || value != 1) return false;
  size_t known = multiples->len;
  for (uint32_t i = 0; i <= count; i++) {
    if (i == count - 1) continue;
    if (!fst_kx_is_int(k, coefficients[i], &value)) {
      fst_vec_push(multiples, coefficients[i]);
    } else if (value % vector) {
      multiples->len = known;
      return false;
    }
  }
  return true;
}

const char *fst_cu_vector_type(fst_cu *c, uint32_t buffer, uint32_t vector) {
  return fst_cu_format(c, "fst_vec<%s, %u>", fst_cu_memory_type(c->k->buffers.data[buffer].dtype), vector);
}

const char *fst_cu_wide_condition(fst_cu *c, const fst_cu_list *multiples, const bool *buffers, uint32_t vector) {
  const char *all = "true";
  for (size_t i = 0; i < multiples->len; i++) {
    bool again = false;
    for (size_t j = 0; j < i && !again; j++) again = fst_kx_eq(multiples->data[i], multiples->data[j]);
    if (!again) all = fst_cu_format(c, "%s && %s %% %u == 0", all, fst_cu_expr(c, multiples->data[i]), vector);
  }
  for (uint32_t i = 0; i < c->k->buffers.len; i++)
    if (buffers[i]) all = fst_cu_format(c, "%s && (u64)b%u %% sizeof(%s) == 0", all, i, fst_cu_vector_type(c, i, vector));
  return all;
}
