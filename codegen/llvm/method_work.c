// What a call computes and reads, counted while it runs: two additions beside each kernel that holds a contraction. Products in
// branches that are not taken and loops of any length are then counted as they are; report() and `firesteel bench` show it.
#include <stddef.h>

#include "codegen/llvm/method_internal.h"
#include "ir/kernel/place.h"

LLVMValueRef method_size_value(method *m, const fst_kernel *k, LLVMValueRef const *params, fst_kx x) {
  const fst_kx_data *d = fst_kx_get(k, x);
  if (d->dtype != FST_I64) return NULL;
  if (d->kind == FST_KX_CONST) return method_i64(m, (int64_t)d->bits);
  if (d->kind == FST_KX_PARAM) return params[d->index];
  if (d->kind != FST_KX_PRIM || d->arg_count != 2) return NULL;
  LLVMValueRef a = method_size_value(m, k, params, d->args[0]), b = method_size_value(m, k, params, d->args[1]);
  if (!a || !b) return NULL;
  switch (d->prim) {
    case FST_PRIM_ADD: return LLVMBuildAdd(m->b, a, b, "");
    case FST_PRIM_SUB: return LLVMBuildSub(m->b, a, b, "");
    case FST_PRIM_MUL: return LLVMBuildMul(m->b, a, b, "");
    case FST_PRIM_MIN: return LLVMBuildSelect(m->b, LLVMBuildICmp(m->b, LLVMIntSLT, a, b, ""), a, b, "");
    case FST_PRIM_MAX: return LLVMBuildSelect(m->b, LLVMBuildICmp(m->b, LLVMIntSGT, a, b, ""), a, b, "");
    case FST_PRIM_DIV: return fst_kx_get(k, d->args[1])->kind == FST_KX_CONST && fst_kx_get(k, d->args[1])->bits ? LLVMBuildSDiv(m->b, a, b, "") : NULL;
    default: return NULL;
  }
}

typedef struct counting {
  method *m;
  const fst_kernel *k;
  LLVMValueRef const *params;
  const fst_placement *place;
} counting;

// How often a nest's loops are run through, the first `depth` of them; NULL when that is data.
static LLVMValueRef rounds(const counting *c, uint32_t number, uint32_t depth) {
  const fst_place_nest *nest = &c->place->nests.data[number], *parent = &c->place->nests.data[nest->parent];
  LLVMValueRef all = method_i64(c->m, 1);
  for (size_t i = 0; number && i < parent->items.len; i++)
    if (parent->items.data[i].nest == number) all = rounds(c, nest->parent, parent->items.data[i].depth);
  for (uint32_t v = 0; all && v < depth; v++) {
    LLVMValueRef extent = method_size_value(c->m, c->k, c->params, nest->extents[v]);
    all = extent ? LLVMBuildMul(c->m->b, all, extent, "") : NULL;
  }
  return all;
}

static LLVMValueRef statement_flops(method *m, const fst_kernel *k, LLVMValueRef const *params, const fst_kstmt *stmt) {
  fst_placement place;
  fst_kernel_place(k, stmt, &place);
  counting c = {m, k, params, &place};
  LLVMValueRef sum = NULL;
  for (uint32_t n = 1; n < place.nests.len; n++) {
    const fst_place_nest *nest = &place.nests.data[n];
    if (!fst_kx_is_contraction(k, nest->reduce)) continue;
    LLVMValueRef count = rounds(&c, n, nest->var_count);
    if (!count) continue;
    count = LLVMBuildMul(m->b, count, method_i64(m, 2), "");
    sum = sum ? LLVMBuildAdd(m->b, sum, count, "") : count;
  }
  fst_place_deinit(&place);
  return sum;
}

static void counter_add(method *m, int64_t offset, LLVMValueRef amount) {
  LLVMValueRef sum = LLVMBuildAdd(m->b, method_load(m, m->u->i64, m->call, offset), amount, "");
  LLVMBuildStore(m->b, sum, method_address(m, m->call, offset));
}

void method_count_work(method *m, const fst_kernel *k, LLVMValueRef const *params, uint64_t constant_bytes) {
  LLVMValueRef flops = NULL;
  for (size_t s = 0; s < k->stmts.len; s++) {
    LLVMValueRef more = statement_flops(m, k, params, &k->stmts.data[s]);
    if (more) flops = flops ? LLVMBuildAdd(m->b, flops, more, "") : more;
  }
  if (!flops) return;
  counter_add(m, (int64_t)offsetof(fst_call, flops), flops);
  if (constant_bytes) counter_add(m, (int64_t)offsetof(fst_call, weight_bytes), method_i64(m, (int64_t)constant_bytes));
}
