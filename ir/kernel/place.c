// The loop tree of a statement; see place.h.
#include "ir/kernel/place.h"

#include <string.h>

typedef struct {
  const fst_kernel *k;
  const fst_kstmt *stmt;
  fst_placement *out;
  fst_arena arena;
  uint32_t words;      // of a set of variables
  const uint64_t *free;   // per expression: the variables it depends on
  uint32_t *bound;     // per variable: 1 + the open nest that binds it, 0: none
  uint32_t *position;  // per variable: its place in that nest, from 1
  fst_map placed;      // nest << 32 | expression -> position of the item
} placer;

// The innermost open nest that binds a variable of x, and how deep in it x stands.
static uint32_t home_of(const placer *p, fst_kx x, uint32_t *out_depth) {
  uint32_t home = 0;
  *out_depth = 0;
  for (uint32_t w = 0; w < p->words; w++)
    for (uint64_t set = p->free[(size_t)x.id * p->words + w]; set; set &= set - 1) {
      uint32_t var = w * 64 + (uint32_t)__builtin_ctzll(set);
      if (!p->bound[var]) continue;
      uint32_t nest = p->bound[var] - 1;
      if (nest > home || (nest == home && p->position[var] > *out_depth)) {
        home = nest;
        *out_depth = p->position[var];
      }
    }
  return home;
}

static void visit(placer *p, fst_kx x, bool lazy);

static uint32_t open_nest(placer *p, fst_kx reduce, uint32_t parent, const uint32_t *vars, const fst_kx *extents, uint32_t count, uint32_t *saved) {
  fst_place_nest nest = {.reduce = reduce, .parent = parent, .vars = vars, .extents = extents, .var_count = count};
  uint32_t number = (uint32_t)p->out->nests.len;
  fst_vec_push(&p->out->nests, nest);
  for (uint32_t i = 0; i < count; i++) {
    saved[2 * i] = p->bound[vars[i]];
    saved[2 * i + 1] = p->position[vars[i]];
    p->bound[vars[i]] = number + 1;
    p->position[vars[i]] = i + 1;
  }
  return number;
}

static void close_nest(placer *p, const uint32_t *vars, uint32_t count, const uint32_t *saved) {
  for (uint32_t i = 0; i < count; i++) {
    p->bound[vars[i]] = saved[2 * i];
    p->position[vars[i]] = saved[2 * i + 1];
  }
}

static void visit_operands(placer *p, const fst_kx_data *d, bool lazy) {
  bool is_select = d->kind == FST_KX_PRIM && d->prim == FST_PRIM_SELECT;
  for (uint32_t i = 0; i < d->arg_count; i++) visit(p, d->args[i], lazy || (is_select && i > 0));
}

// An item that turns out to be asked for outright is no longer lazy, nor is what it needs.
static bool already_placed(placer *p, uint64_t key, uint32_t home, bool lazy) {
  uint64_t at;
  if (!fst_map_get(&p->placed, key, &at)) return false;
  fst_place_item *item = &p->out->nests.data[home].items.data[at];
  if (lazy || !item->is_lazy) return true;
  item->is_lazy = false;
  const fst_kx_data *d = fst_kx_get(p->k, item->expr);
  if (d->kind != FST_KX_REDUCE) visit_operands(p, d, false);
  return true;
}

static void visit(placer *p, fst_kx x, bool lazy) {
  const fst_kx_data *d = fst_kx_get(p->k, x);
  if (d->kind < FST_KX_PRIM) return;
  fst_place_item item = {.expr = x, .is_lazy = lazy};
  uint32_t home = home_of(p, x, &item.depth), saved[2 * FST_KERNEL_MAX_DIMS];
  uint64_t key = (uint64_t)home << 32 | x.id;
  if (already_placed(p, key, home, lazy)) return;
  if (d->kind == FST_KX_REDUCE) {
    for (uint32_t i = 0; i < d->var_count; i++) visit(p, d->extents[i], lazy);
    item.nest = open_nest(p, x, home, d->vars, d->extents, d->var_count, saved);
    visit(p, d->args[0], false);   // each round asks for it
    close_nest(p, d->vars, d->var_count, saved);
  } else {
    visit_operands(p, d, lazy);
  }
  fst_map_set(&p->placed, key, p->out->nests.data[home].items.len);
  fst_vec_push(&p->out->nests.data[home].items, item);
}

static void visit_stores(placer *p) {
  const fst_kstmt *s = p->stmt;
  if (s->condition.id) visit(p, s->condition, false);
  for (uint32_t i = 0; i < s->carry_count; i++)
    if (s->carry_next[i].id) visit(p, s->carry_next[i], false);
  for (uint32_t i = 0; i < s->store_count; i++) {
    for (uint32_t d = 0; d < s->stores[i].index_count; d++) visit(p, s->stores[i].indices[d], s->condition.id != 0);
    if (s->stores[i].value.id) visit(p, s->stores[i].value, s->condition.id != 0);
  }
}

void fst_kernel_place(const fst_kernel *k, const fst_kstmt *stmt, fst_placement *out) {
  placer p = {.k = k, .stmt = stmt, .out = out};
  uint32_t saved[2 * FST_KERNEL_MAX_DIMS];
  memset(out, 0, sizeof *out);
  fst_arena_init(&p.arena);
  p.free = fst_kernel_free_vars(k, &p.arena, &p.words);
  p.bound = FST_NEW_ARRAY(&p.arena, uint32_t, k->vars.len + 1);
  p.position = FST_NEW_ARRAY(&p.arena, uint32_t, k->vars.len + 1);
  open_nest(&p, FST_NO_KX, 0, stmt->vars, stmt->extents, stmt->var_count, saved);
  for (uint32_t i = 0; i < stmt->carry_count; i++) {
    p.bound[stmt->carries[i]] = 1;
    p.position[stmt->carries[i]] = stmt->var_count;
  }
  for (uint32_t i = 0; i < stmt->var_count; i++) visit(&p, stmt->extents[i], false);
  for (uint32_t i = 0; i < stmt->carry_count; i++)
    if (stmt->carry_init[i].id) visit(&p, stmt->carry_init[i], false);
  visit_stores(&p);
  fst_map_deinit(&p.placed);
  fst_arena_deinit(&p.arena);
}

void fst_place_deinit(fst_placement *place) {
  for (size_t i = 0; i < place->nests.len; i++) fst_vec_free(&place->nests.data[i].items);
  fst_vec_free(&place->nests);
}
