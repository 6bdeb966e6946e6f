// Questions about the form of an expression: affine in some variables, a contraction.
#include "ir/kernel/kernel.h"

bool fst_kx_affine(fst_kernel *k, fst_kx x, const uint32_t *vars, uint32_t count, fst_kx *out_c, fst_kx *out_rest) {
  fst_kx_data d = *fst_kx_get(k, x);
  fst_kx ca[FST_KERNEL_MAX_DIMS * 2], cb[FST_KERNEL_MAX_DIMS * 2], ra, rb;
  FST_ASSERT(count <= FST_KERNEL_MAX_DIMS * 2, "affine in %u variables", count);
  bool free = true;
  for (uint32_t i = 0; i < count; i++) {
    out_c[i] = fst_kx_int(k, 0);
    if (d.kind == FST_KX_VAR && d.index == vars[i]) {
      for (uint32_t j = 0; j < count; j++) out_c[j] = fst_kx_int(k, i == j);
      *out_rest = fst_kx_int(k, 0);
      return true;
    }
    free = free && !fst_kx_depends(k, x, vars[i]);
  }
  if (free) {
    *out_rest = x;
    return true;
  }
  if (d.kind != FST_KX_PRIM) return false;
  switch (d.prim) {
    case FST_PRIM_ADD: case FST_PRIM_SUB:
      if (!fst_kx_affine(k, d.args[0], vars, count, ca, &ra) || !fst_kx_affine(k, d.args[1], vars, count, cb, &rb)) return false;
      for (uint32_t i = 0; i < count; i++) out_c[i] = fst_kx_prim2(k, d.prim, ca[i], cb[i]);
      *out_rest = fst_kx_prim2(k, d.prim, ra, rb);
      return true;
    case FST_PRIM_NEG:
      if (!fst_kx_affine(k, d.args[0], vars, count, ca, &ra)) return false;
      for (uint32_t i = 0; i < count; i++) out_c[i] = fst_kx_prim1(k, FST_PRIM_NEG, ca[i]);
      *out_rest = fst_kx_prim1(k, FST_PRIM_NEG, ra);
      return true;
    case FST_PRIM_MUL: {
      for (int side = 0; side < 2; side++) {
        fst_kx factor = d.args[1 - side];
        bool fixed = true;
        for (uint32_t i = 0; i < count; i++) fixed = fixed && !fst_kx_depends(k, factor, vars[i]);
        if (!fixed || !fst_kx_affine(k, d.args[side], vars, count, ca, &ra)) continue;
        for (uint32_t i = 0; i < count; i++) out_c[i] = fst_kx_prim2(k, FST_PRIM_MUL, ca[i], factor);
        *out_rest = fst_kx_prim2(k, FST_PRIM_MUL, ra, factor);
        return true;
      }
      return false;
    }
    default: return false;
  }
}

// ---- contractions ----------------------------------------------------------------------------------

static const fst_kx_data *prim_of(const fst_kernel *k, fst_kx x, fst_prim prim) {
  const fst_kx_data *d = fst_kx_get(k, x);
  return d->kind == FST_KX_PRIM && d->prim == prim ? d : NULL;
}

static bool is_zero_float(const fst_kernel *k, fst_kx x) {
  const fst_kx_data *d = fst_kx_get(k, x);
  return d->kind == FST_KX_CONST && fst_dtype_is_float(d->dtype) && !d->bits;
}

bool fst_kx_is_contraction(const fst_kernel *k, fst_kx x) {
  const fst_kx_data *d = fst_kx_get(k, x);
  if (d->kind != FST_KX_REDUCE || d->reduce != FST_REDUCE_SUM || !fst_dtype_is_float(d->dtype)) return false;
  const fst_kx_data *body = prim_of(k, d->args[0], FST_PRIM_SELECT);
  if (body) return is_zero_float(k, body->args[2]) && prim_of(k, body->args[1], FST_PRIM_MUL);
  return prim_of(k, d->args[0], FST_PRIM_MUL) != NULL;
}
