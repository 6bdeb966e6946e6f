// If and Loop in the specializer: splitting worlds, walking on in both, joining them again.
#include <string.h>

#include "passes/specialize_internal.h"

// ---- what lives after a stretch of nodes -----------------------------------------------------------

// Position, in `block`, of the node that holds `user` (itself or an ancestor); UINT32_MAX when it is not inside.
static uint32_t position_in(specializer *sp, fst_block_id block, fst_node_id user) {
  while (user.id) {
    const fst_node *n = fst_node_get(sp->src, user);
    if (fst_block_eq(n->block, block)) return sp->position[user.id];
    user = fst_block_get(sp->src, n->block)->owner;
  }
  return UINT32_MAX;
}

static uint32_t last_use(specializer *sp, fst_block_id block, fst_value_id value) {
  const fst_value *v = fst_value_get(sp->src, value);
  uint32_t last = 0;
  for (size_t i = 0; i < v->uses.len; i++) {
    uint32_t at = position_in(sp, block, v->uses.data[i].user);
    if (at > last) last = at;
  }
  return last;
}

typedef FST_VEC(fst_value_id) value_list;

// Results of the nodes at [from, to] of `block` that something after `to` uses.
static void live_after(specializer *sp, fst_block_id block, uint32_t from, uint32_t to, value_list *out) {
  out->len = 0;
  for (FST_EACH_NODE(sp->src, block, id)) {
    if (sp->position[id.id] < from) continue;
    if (sp->position[id.id] > to) break;
    const fst_node *n = fst_node_get(sp->src, id);
    for (uint32_t r = 0; r < n->result_count; r++)
      if (last_use(sp, block, n->results[r]) > to) fst_vec_push(out, n->results[r]);
  }
}

// ---- joining bindings ------------------------------------------------------------------------------

typedef struct {
  specializer *sp;
  world *a, *b, *into;
  fst_node_id node;           // the If in the new graph
  fst_node_id yield[2];       // terminators of its blocks, placed once everything that they name is emitted
  fst_loc loc;
  fst_map heap;               // a's cell << 32 | b's cell -> cell of `into`, plus 1
  size_t old_cells;           // existed before the split: one number in a, b and `into`
} joiner;

static bool is_uninit(const specializer *sp, binding b) {
  const fst_const_data *c = b.kind == BOUND_VALUE ? fst_value_const(sp->out, b.value) : NULL;
  return c && c->kind == FST_CONST_UNINIT;
}
static bool is_none(const specializer *sp, binding b) { return b.kind == BOUND_VALUE && fst_value_is_none(sp->out, b.value); }

// Do the two agree on all that decides how the code after them looks?
static bool compatible(specializer *sp, const world *wa, const world *wb, binding a, binding b) {
  if (is_uninit(sp, a) || is_uninit(sp, b)) return true;
  if (a.kind == BOUND_TUPLE && b.kind == BOUND_TUPLE) {
    if (a.tuple->count != b.tuple->count) return false;
    for (uint32_t i = 0; i < a.tuple->count; i++)
      if (!compatible(sp, wa, wb, a.tuple->items[i], b.tuple->items[i])) return false;
    return true;
  }
  if (a.kind == BOUND_HEAP && b.kind == BOUND_HEAP) {
    const heap_cell *ca = &wa->heap.data[a.heap], *cb = &wb->heap.data[b.heap];
    if (ca->made.id || cb->made.id) return true;
    if (ca->count != cb->count) return false;
    for (uint32_t i = 0; i < ca->count; i++)
      if (!compatible(sp, wa, wb, ca->items[i], cb->items[i])) return false;
    return true;
  }
  if (a.kind != BOUND_VALUE || b.kind != BOUND_VALUE) return is_none(sp, a) == is_none(sp, b);
  if (is_none(sp, a) != is_none(sp, b)) return false;
  const fst_type_data *ta = fst_value_type_data(sp->out, a.value), *tb = fst_value_type_data(sp->out, b.value);
  if (ta->kind == FST_TY_TENSOR && tb->kind == FST_TY_TENSOR) return ta->rank == tb->rank && ta->dtype == tb->dtype;
  bool ka, kb;   // a flag that each path knows is worth keeping: a later If tests it
  if (fst_value_const_bool(sp->out, a.value, &ka) && fst_value_const_bool(sp->out, b.value, &kb)) return ka == kb;
  return true;
}

// Tensors whose sizes are different constants: worth a short walk apart (a mode of the model), not a long one.
static bool sizes_differ(specializer *sp, binding a, binding b) {
  if (a.kind != BOUND_VALUE || b.kind != BOUND_VALUE) return false;
  const fst_type_data *ta = fst_value_type_data(sp->out, a.value), *tb = fst_value_type_data(sp->out, b.value);
  if (ta->kind != FST_TY_TENSOR || tb->kind != FST_TY_TENSOR || ta->rank != tb->rank) return false;
  for (int i = 0; i < ta->rank; i++)
    if (fst_dim_equal(sp->out->dims, ta->dims[i], tb->dims[i]) == 0) return true;
  return false;
}

static binding join(joiner *j, binding a, binding b);

static binding join_heap(joiner *j, binding a, binding b) {
  specializer *sp = j->sp;
  uint64_t key = (uint64_t)a.heap << 32 | b.heap, known;
  if (fst_map_get(&j->heap, key, &known)) return (binding){.kind = BOUND_HEAP, .heap = (uint32_t)(known - 1)};
  heap_cell ca = j->a->heap.data[a.heap], cb = j->b->heap.data[b.heap];
  uint32_t id = a.heap;
  bool old = a.heap == b.heap && a.heap < j->old_cells;
  if (!old) {
    heap_cell cell = {.type = ca.type, .site = ca.site};
    id = (uint32_t)j->into->heap.len;
    WORLD_PUSH(sp, &j->into->heap, cell);
  }
  fst_map_set(&j->heap, key, (uint64_t)id + 1);
  binding *items = FST_NEW_ARRAY(&sp->arena, binding, ca.count + 1);
  for (uint32_t i = 0; i < ca.count; i++) items[i] = join(j, ca.items[i], cb.items[i]);
  j->into->heap.data[id].items = items;
  j->into->heap.data[id].count = ca.count;
  return (binding){.kind = BOUND_HEAP, .heap = id};
}

static binding join_values(joiner *j, binding a, binding b) {
  specializer *sp = j->sp;
  fst_types *types = sp->out->module->types;
  fst_value_id va = residual(sp, j->a, a, j->loc), vb = residual(sp, j->b, b, j->loc);
  if (fst_value_eq(va, vb)) return bind_value(va);
  fst_type ta = fst_value_type(sp->out, va), tb = fst_value_type(sp->out, vb);
  fst_type type = join_types(sp, ta, tb, j->into->block);
  fst_dim d = FST_DIM_UNKNOWN;
  if (fst_type_is(types, type, FST_TY_INT)) {
    fst_dim da = int_value(sp, j->a, bind_value(va)), db = int_value(sp, j->b, bind_value(vb));
    d = fst_dim_is_known(da) && da == db && symbol_visible(sp, da, j->into->block) ? da : fresh_symbol(sp, j->into, true);
  }
  fst_value_id yields[2] = {va, vb};
  for (uint32_t k = 0; k < 2; k++) fst_node_add_operand(sp->out, j->yield[k], yields[k]);
  fst_value_id out = fst_node_add_result(sp->out, j->node, instantiate(sp, j->into, type));
  fst_value_get(sp->out, out)->sym = d;
  uint32_t site = site_of(sp, va) ? site_of(sp, va) : site_of(sp, vb);
  if (site) note_site(sp, out, site);
  return bind_value(out);
}

static binding join(joiner *j, binding a, binding b) {
  specializer *sp = j->sp;
  if (a.kind == BOUND_TUPLE && b.kind == BOUND_TUPLE && a.tuple->count == b.tuple->count) {
    binding *items = FST_NEW_ARRAY(&sp->arena, binding, a.tuple->count + 1);
    for (uint32_t i = 0; i < a.tuple->count; i++) items[i] = join(j, a.tuple->items[i], b.tuple->items[i]);
    return new_tuple(sp, a.tuple->type, items, a.tuple->count);
  }
  if (is_uninit(sp, a) && b.kind == BOUND_TUPLE) {
    binding *items = FST_NEW_ARRAY(&sp->arena, binding, b.tuple->count + 1);
    for (uint32_t i = 0; i < b.tuple->count; i++) items[i] = join(j, a, b.tuple->items[i]);
    return new_tuple(sp, b.tuple->type, items, b.tuple->count);
  }
  if (is_uninit(sp, b) && a.kind == BOUND_TUPLE) {
    binding *items = FST_NEW_ARRAY(&sp->arena, binding, a.tuple->count + 1);
    for (uint32_t i = 0; i < a.tuple->count; i++) items[i] = join(j, a.tuple->items[i], b);
    return new_tuple(sp, a.tuple->type, items, a.tuple->count);
  }
  if (a.kind == BOUND_HEAP && b.kind == BOUND_HEAP) {
    const heap_cell *ca = &j->a->heap.data[a.heap], *cb = &j->b->heap.data[b.heap];
    bool old = a.heap < j->old_cells || b.heap < j->old_cells;
    if (!ca->made.id && !cb->made.id && ca->count == cb->count && (!old || a.heap == b.heap)) return join_heap(j, a, b);
    if (a.heap == b.heap && fst_value_eq(ca->made, cb->made) && ca->made.id) return a;
  }
  return join_values(j, a, b);
}

// A list or object of before the split whose contents the two paths left different.
static void join_old_cells(joiner *j) {
  specializer *sp = j->sp;
  for (uint32_t i = 0; i < j->old_cells; i++) {
    const heap_cell *a = &j->a->heap.data[i], *b = &j->b->heap.data[i];
    if (fst_value_eq(a->made, b->made) && a->items == b->items && a->count == b->count) {
      j->into->heap.data[i] = *a;
      continue;
    }
    binding cell = {.kind = BOUND_HEAP, .heap = i};
    if (!a->made.id && !b->made.id && a->count == b->count) {
      join_heap(j, cell, cell);
      continue;
    }
    binding made = join_values(j, cell, cell);   // makes it on the path that has not
    (void)sp;
    j->into->heap.data[i].made = made.value;
  }
}

static void join_state(joiner *j) {
  specializer *sp = j->sp;
  for (uint32_t s = 0; s < sp->slots; s++) {
    binding a = j->a->state[s], b = j->b->state[s];
    bool same = a.kind == BOUND_VALUE && b.kind == BOUND_VALUE && fst_value_eq(a.value, b.value);
    if (same && (fst_value_const(sp->out, a.value) || fst_value_dominates(sp->out, a.value, j->node))) {
      j->into->state[s] = a;
      continue;
    }
    // Both paths stored it already: load what is there, with what is known of both.
    fst_type ta = a.kind == BOUND_VALUE ? fst_value_type(sp->out, a.value) : j->a->state_type[s];
    fst_type tb = b.kind == BOUND_VALUE ? fst_value_type(sp->out, b.value) : j->b->state_type[s];
    bool touched = a.kind == BOUND_VALUE || b.kind == BOUND_VALUE || !j->a->state_value[s].id || j->a->state_value[s].id != j->b->state_value[s].id;
    j->into->state[s] = (binding){0};
    if (touched) j->into->state_value[s] = (fst_const){0};
    if (ta.id && tb.id) {
      j->into->state_type[s] = join_types(sp, ta, tb, j->into->block);
    }
  }
}

// Types of state that a path left as it was, so that two paths can be compared.
static bool state_compatible(specializer *sp, const world *a, const world *b) {
  for (uint32_t s = 0; s < sp->slots; s++) {
    if (a->state[s].kind != BOUND_VALUE || b->state[s].kind != BOUND_VALUE) {
      fst_type ta = a->state[s].kind == BOUND_VALUE ? fst_value_type(sp->out, a->state[s].value) : a->state_type[s];
      fst_type tb = b->state[s].kind == BOUND_VALUE ? fst_value_type(sp->out, b->state[s].value) : b->state_type[s];
      if (!ta.id || !tb.id) continue;
      const fst_type_data *da = fst_type_get(sp->out->module->types, ta), *db = fst_type_get(sp->out->module->types, tb);
      if (da->kind == FST_TY_TENSOR && db->kind == FST_TY_TENSOR && (da->rank != db->rank || da->dtype != db->dtype)) return false;
      continue;
    }
    if (!compatible(sp, a, b, a->state[s], b->state[s])) return false;
  }
  return true;
}

// ---- how far both paths must be walked -------------------------------------------------------------

// Does the node, or one inside it, load state that the two paths left in different forms?
static bool reads_differing_state(specializer *sp, const world *a, const world *b, fst_node_id id) {
  const fst_node *n = fst_node_get(sp->src, id);
  if (n->op == FST_OP_STATE_GET) {
    binding ba = a->state[n->attr_int], bb = b->state[n->attr_int];
    return ba.kind != BOUND_VALUE || bb.kind != BOUND_VALUE || !compatible(sp, a, b, ba, bb);
  }
  for (uint32_t k = 0; k < n->block_count; k++)
    for (FST_EACH_NODE(sp->src, n->blocks[k], inner))
      if (reads_differing_state(sp, a, b, inner)) return true;
  return false;
}

enum { SHORT_WALK = 24 };

// State of one path that is another size on the other: two forms, if the end of the method is near.
static bool state_sizes_differ(specializer *sp, const world *a, const world *b) {
  for (uint32_t s = 0; s < sp->slots; s++)
    if (sizes_differ(sp, a->state[s], b->state[s])) return true;
  return false;
}

// Last position that must be walked in both worlds before they can be joined, given that they were walked
// up to `at`; `at` itself when they can be joined now.
static uint32_t split_until(specializer *sp, const world *a, const world *b, const fst_node *cond_node, fst_block_id block, uint32_t from, uint32_t at) {
  value_list live = {0};
  uint32_t until = at;
  live_after(sp, block, from, at, &live);
  for (size_t i = 0; i < live.len; i++) {
    binding ba = a->bound[live.data[i].id], bb = b->bound[live.data[i].id];
    uint32_t last = last_use(sp, block, live.data[i]);
    if (compatible(sp, a, b, ba, bb) && (!sizes_differ(sp, ba, bb) || last - at > SHORT_WALK)) continue;
    if (last > until && last != UINT32_MAX) until = last;
  }
  // State that the paths left in different forms: up to the last access of it.
  bool state_differs = !state_compatible(sp, a, b);
  for (FST_EACH_NODE(sp->src, block, id)) {
    const fst_node *n = fst_node_get(sp->src, id);
    uint32_t p = sp->position[id.id];
    if (p <= until) continue;
    if (state_differs && reads_differing_state(sp, a, b, id)) {
      uint32_t last = n->result_count && n->op == FST_OP_STATE_GET ? last_use(sp, block, n->results[0]) : p;
      until = last > p ? last : p;
    }
    // The same condition again: each path knows the answer.
    if (n->op == FST_OP_IF && fst_value_eq(n->operands[0], cond_node->operands[0])) until = p;
  }
  fst_vec_free(&live);
  uint32_t end = sp->position[fst_block_terminator(sp->src, block).id];
  if (until + 1 < end && end - until <= SHORT_WALK && fst_block_eq(block, sp->src->entry) && state_sizes_differ(sp, a, b)) until = end - 1;
  return until;
}

// ---- If --------------------------------------------------------------------------------------------

static fst_status walk_branch(specializer *sp, world *w, const fst_node *n, uint32_t which) {
  FST_TRY(eval_block(sp, w, n->blocks[which], 0, UINT32_MAX));
  if (w->dead) return NULL;
  const fst_node *yield = fst_node_get(sp->src, fst_block_terminator(sp->src, n->blocks[which]));
  for (uint32_t r = 0; r < n->result_count; r++) world_set(w, n->results[r], world_get(sp, w, yield->operands[r]));
  return NULL;
}

static void end_block(specializer *sp, fst_block_id block) {
  fst_node_append(sp->out, block, fst_node_create(sp->out, FST_OP_YIELD, NULL, 0, 0, FST_NO_LOC));
}

// One path is gone (it raises): what the other emitted moves out of the If, behind it.
static void splice_after(specializer *sp, fst_block_id from, fst_node_id node) {
  fst_node_id at = node;
  for (FST_EACH_NODE(sp->out, from, id)) {
    fst_node_id anchor = fst_node_get(sp->out, at)->next;
    if (anchor.id) {
      fst_node_move_before(sp->out, anchor, id);
    } else {
      // `node` is the last of its block: append by way of a marker that is moved in front of.
      fst_node_id mark = fst_node_create(sp->out, FST_OP_YIELD, NULL, 0, 0, FST_NO_LOC);
      fst_node_insert_after(sp->out, at, mark);
      fst_node_move_before(sp->out, mark, id);
      fst_node_erase(sp->out, mark);
    }
    at = id;
  }
  while (sp->block_moved.len <= from.id) fst_vec_push(&sp->block_moved, FST_NO_BLOCK);
  sp->block_moved.data[from.id] = fst_node_get(sp->out, node)->block;
}

// Worlds are values; one takes the place of another, which keeps its block.
static void world_take(world *into, world *from) {
  fst_block_id block = into->block;
  *into = *from;
  into->block = block;
  memset(&from->heap, 0, sizeof from->heap);
  memset(&from->facts, 0, sizeof from->facts);
  memset(&from->choices, 0, sizeof from->choices);
}

static void join_worlds(specializer *sp, world *w, world *a, world *b, fst_node_id node, fst_block_id block, uint32_t from, uint32_t at, fst_loc loc) {
  joiner j = {.sp = sp, .a = a, .b = b, .into = w, .old_cells = w->heap.len, .node = node, .loc = loc};
  for (uint32_t k = 0; k < 2; k++) j.yield[k] = fst_node_create(sp->out, FST_OP_YIELD, NULL, 0, 0, FST_NO_LOC);
  value_list live = {0};
  live_after(sp, block, from, at, &live);
  for (size_t i = 0; i < live.len; i++) w->bound[live.data[i].id] = join(&j, a->bound[live.data[i].id], b->bound[live.data[i].id]);
  join_old_cells(&j);
  join_state(&j);
  fst_node_append(sp->out, a->block, j.yield[0]);
  fst_node_append(sp->out, b->block, j.yield[1]);
  fst_vec_free(&live);
  fst_map_deinit(&j.heap);
}

fst_status eval_if(specializer *sp, world *w, fst_node_id id, uint32_t to, uint32_t *out_next) {
  const fst_node *n = fst_node_get(sp->src, id);
  bool known;
  binding cond = world_get(sp, w, n->operands[0]);
  if (const_bool(sp, cond, &known)) return walk_branch(sp, w, n, known ? 0 : 1);

  fst_value_id c = residual(sp, w, cond, n->loc);
  fst_node_id made = emit_node(sp, w, FST_OP_IF, &c, 1, 0, n->loc);
  world path[2];
  for (uint32_t k = 0; k < 2; k++) {
    path[k] = world_clone(sp, w);
    path[k].block = fst_node_add_block(sp->out, made);
    // In each branch the condition itself is known.
    world_set(&path[k], n->operands[0], bind_value(fst_graph_const_bool(sp->out, k == 0)));
    learn_condition(sp, &path[k], c, k == 0);
  }
  uint32_t from = sp->position[id.id], at = from;
  for (uint32_t k = 0; k < 2; k++) FST_TRY(walk_branch(sp, &path[k], n, k));
  while (!path[0].dead && !path[1].dead && sp->emitted < sp->budget) {
    uint32_t until = split_until(sp, &path[0], &path[1], n, n->block, from, at);
    if (until >= to) until = to - 1;   // `to` is the terminator or the end of a stretch someone else walks
    uint32_t end = sp->position[fst_block_terminator(sp->src, n->block).id];
    if (until >= end) until = end - 1;
    if (until <= at) break;
    for (uint32_t k = 0; k < 2; k++) FST_TRY(eval_block(sp, &path[k], n->block, at + 1, until + 1));
    at = until;
  }
  *out_next = at + 1;
  if (path[0].dead && path[1].dead) {
    end_block(sp, path[0].block);
    end_block(sp, path[1].block);
    w->dead = true;
  } else if (path[0].dead || path[1].dead) {
    world *live = path[0].dead ? &path[1] : &path[0], *gone = path[0].dead ? &path[0] : &path[1];
    splice_after(sp, live->block, made);
    end_block(sp, live->block);
    end_block(sp, gone->block);
    // What was known only inside is a fact from here on: the other way does not come back.
    world_take(w, live);
  } else {
    if (fst_block_eq(n->block, sp->src->entry) && at + 1 == sp->position[fst_block_terminator(sp->src, n->block).id]) {
      for (uint32_t k = 0; k < 2; k++)
        if (!path[k].noted) note_exit(sp, &path[k]);
      w->noted = true;
    }
    join_worlds(sp, w, &path[0], &path[1], made, n->block, from, at, n->loc);
  }
  return NULL;
}

// ---- Loop ------------------------------------------------------------------------------------------

enum { UNROLL_TRIPS = 64, UNROLL_NODES = 1024 };

static uint32_t count_nodes(const fst_graph *g, fst_block_id block) {
  uint32_t count = 0;
  for (FST_EACH_NODE(g, block, id)) {
    const fst_node *n = fst_node_get(g, id);
    count++;
    for (uint32_t b = 0; b < n->block_count; b++) count += count_nodes(g, n->blocks[b]);
  }
  return count;
}

// A `for` with a known, small trip count and no way out: walk the body once per trip.
static bool unrolls(specializer *sp, const fst_node *n, binding trips, binding cond, int64_t *out_trips) {
  bool runs, goes_on;
  int64_t count;
  if (trips.kind != BOUND_VALUE || !fst_value_const_int(sp->out, trips.value, &count)) return false;
  if (!const_bool(sp, cond, &runs)) return false;
  *out_trips = runs && count > 0 ? count : 0;
  if (!*out_trips) return true;
  const fst_node *yield = fst_node_get(sp->src, fst_block_terminator(sp->src, n->blocks[0]));
  if (!fst_value_const_bool(sp->src, yield->operands[0], &goes_on) || !goes_on) return false;
  return count <= UNROLL_TRIPS && count * count_nodes(sp->src, n->blocks[0]) <= UNROLL_NODES && sp->emitted < sp->budget;
}

static fst_status eval_unrolled(specializer *sp, world *w, const fst_node *n, int64_t trips) {
  const fst_block *body = fst_block_get(sp->src, n->blocks[0]);
  const fst_node *yield = fst_node_get(sp->src, fst_block_terminator(sp->src, n->blocks[0]));
  uint32_t carried = n->result_count;
  binding *now = FST_NEW_ARRAY(&sp->arena, binding, carried + 1);
  for (uint32_t i = 0; i < carried; i++) now[i] = world_get(sp, w, n->operands[i + 2]);
  for (int64_t t = 0; t < trips && !w->dead; t++) {
    world_set(w, body->params.data[0], bind_value(fst_graph_const_int(sp->out, t)));
    for (uint32_t i = 0; i < carried; i++) world_set(w, body->params.data[i + 1], now[i]);
    FST_TRY(eval_block(sp, w, n->blocks[0], 0, UINT32_MAX));
    for (uint32_t i = 0; i < carried && !w->dead; i++) now[i] = world_get(sp, w, yield->operands[i + 1]);
  }
  for (uint32_t i = 0; i < carried && !w->dead; i++) world_set(w, n->results[i], now[i]);
  return NULL;
}

// Lists and objects that the body may change or hand on must exist before the loop.
static bool only_read(specializer *sp, const fst_node *user) {
  if (user->op == FST_OP_UNKNOWN) return false;
  const fst_op_info *info = fst_op_get(user->op);
  (void)sp;
  return user->op == FST_OP___GETITEM___T || user->op == FST_OP_LEN_T || user->op == FST_OP_LIST_UNPACK ||
         (info->effect != FST_WRITES && info->cls != FST_CLASS_CONTAINER && info->cls != FST_CLASS_CONTROL && info->cls != FST_CLASS_ATTRIBUTE);
}

static void make_for_loop(specializer *sp, world *w, fst_block_id block, fst_loc loc) {
  for (FST_EACH_NODE(sp->src, block, id)) {
    const fst_node *n = fst_node_get(sp->src, id);
    for (uint32_t i = 0; i < n->operand_count; i++) {
      binding b = fst_value_const(sp->src, n->operands[i]) ? (binding){0} : w->bound[n->operands[i].id];
      if (b.kind == BOUND_HEAP && !only_read(sp, n)) residual_of(sp, w, n->operands[i], loc);
      if (b.kind == BOUND_TUPLE)   // a tuple's lists too
        for (uint32_t k = 0; k < b.tuple->count; k++)
          if (b.tuple->items[k].kind == BOUND_HEAP) make_heap(sp, w, b.tuple->items[k].heap, loc);
    }
    for (uint32_t b = 0; b < n->block_count; b++) make_for_loop(sp, w, n->blocks[b], loc);
  }
}

static void forget_state(specializer *sp, world *w, fst_block_id block) {
  for (FST_EACH_NODE(sp->src, block, id)) {
    const fst_node *n = fst_node_get(sp->src, id);
    if (n->op == FST_OP_STATE_SET) {
      binding b = w->state[n->attr_int];
      if (b.kind == BOUND_VALUE) w->state_type[n->attr_int] = fst_value_type(sp->out, b.value);
      w->state_value[n->attr_int] = (fst_const){0};
      w->state[n->attr_int] = (binding){0};
    }
    for (uint32_t b = 0; b < n->block_count; b++) forget_state(sp, w, n->blocks[b]);
  }
}

// One carried scalar, tensor, list...: a leaf of the carried bindings.
typedef struct {
  fst_value_id init;
  fst_type type;      // assumed at the top of the body
  bool constant;      // assumed to keep its initial literal
  fst_value_id param; // in the new body, this round
} leaf;
typedef FST_VEC(leaf) leaf_list;

// The carried binding with its leaves replaced, in order, by `values` (NULL: collects into `leaves`).
static binding map_leaves(specializer *sp, world *w, binding b, leaf_list *leaves, const fst_value_id *values, uint32_t *at, fst_loc loc) {
  if (b.kind == BOUND_TUPLE) {
    binding *items = FST_NEW_ARRAY(&sp->arena, binding, b.tuple->count + 1);
    for (uint32_t i = 0; i < b.tuple->count; i++) items[i] = map_leaves(sp, w, b.tuple->items[i], leaves, values, at, loc);
    return new_tuple(sp, b.tuple->type, items, b.tuple->count);
  }
  if (leaves) {
    fst_value_id v = residual(sp, w, b, loc);
    leaf l = {.init = v, .type = fst_value_type(sp->out, v), .constant = fst_value_const(sp->out, v) != NULL};
    fst_vec_push(leaves, l);
    return bind_value(v);
  }
  return bind_value(values[(*at)++]);
}

// Same structure of tuples, so that leaves correspond?
static bool same_shape(binding a, binding b) {
  if ((a.kind == BOUND_TUPLE) != (b.kind == BOUND_TUPLE)) return false;
  if (a.kind != BOUND_TUPLE) return true;
  if (a.tuple->count != b.tuple->count) return false;
  for (uint32_t i = 0; i < a.tuple->count; i++)
    if (!same_shape(a.tuple->items[i], b.tuple->items[i])) return false;
  return true;
}

// Sizes as far as they are the same for every round; the others are remembered as unknown. Returns true when the type
// changed. It can only grow, and what a type can say ends, so that every loop settles; `hasty`: all sizes go at once.
static bool widen(specializer *sp, fst_type *type, fst_type left, fst_block_id outside, bool hasty) {
  fst_type wider = join_types(sp, *type, left, outside);
  if (fst_type_eq(wider, *type)) return false;
  *type = hasty ? open_sizes(sp, wider) : wider;
  return true;
}

static bool widen_leaf(specializer *sp, leaf *l, fst_value_id left, fst_block_id outside, bool hasty) {
  if (l->constant && (fst_value_eq(left, l->init) || fst_value_eq(left, l->param))) return false;
  bool was_constant = l->constant;
  l->constant = false;
  return widen(sp, &l->type, fst_value_type(sp->out, left), outside, hasty) || was_constant;
}

static void clear_block(specializer *sp, fst_block_id block) {
  // Last to first: uses before definitions.
  for (fst_node_id id = fst_block_get(sp->out, block)->last; id.id;) {
    fst_node_id prev = fst_node_get(sp->out, id)->prev;
    fst_node_erase(sp->out, id);
    id = prev;
  }
  while (fst_block_get(sp->out, block)->params.len) fst_block_remove_param(sp->out, block, (uint32_t)fst_block_get(sp->out, block)->params.len - 1);
}

typedef struct {
  const fst_node *n;
  binding *init;       // carried bindings at entry, leaves made
  leaf_list leaves;
  fst_node_id made;
  fst_block_id body;
} loop_state;

static void open_body(specializer *sp, world *w, loop_state *ls) {
  const fst_block *src_body = fst_block_get(sp->src, ls->n->blocks[0]);
  fst_types *types = sp->out->module->types;
  fst_value_id trip = fst_block_add_param(sp->out, ls->body, fst_type_simple(types, FST_TY_INT), 0);
  fst_value_get(sp->out, trip)->sym = fresh_symbol(sp, w, false);
  world_set(w, src_body->params.data[0], bind_value(trip));
  fst_value_id *values = FST_NEW_ARRAY(&sp->arena, fst_value_id, ls->leaves.len + 1);
  for (size_t i = 0; i < ls->leaves.len; i++) {
    leaf *l = &ls->leaves.data[i];
    values[i] = l->init;
    l->param = l->init;
    if (l->constant) continue;
    values[i] = l->param = fst_block_add_param(sp->out, ls->body, instantiate(sp, w, l->type), 0);
    if (fst_type_is(types, l->type, FST_TY_INT)) fst_value_get(sp->out, l->param)->sym = fresh_symbol(sp, w, true);
    uint32_t site = site_of(sp, l->init);
    if (site) note_site(sp, l->param, site);
  }
  uint32_t at = 0;
  for (uint32_t i = 0; i < ls->n->result_count; i++)
    world_set(w, src_body->params.data[i + 1], map_leaves(sp, w, ls->init[i], NULL, values, &at, ls->n->loc));
}

// Values that the body carries on.
static void collect_leaves(specializer *sp, world *w, loop_state *ls) {
  fst_vec_clear(&ls->leaves);
  for (uint32_t i = 0; i < ls->n->result_count; i++) ls->init[i] = map_leaves(sp, w, ls->init[i], &ls->leaves, NULL, NULL, ls->n->loc);
  for (size_t i = 0; i < ls->leaves.len; i++)   // only literals that can stay: flags, None, numbers
    if (ls->leaves.data[i].constant) ls->leaves.data[i].constant = fst_value_const(sp->out, ls->leaves.data[i].init)->kind <= FST_CONST_FLOAT;
}

// A tuple that some round leaves as something else (None): one value from now on, made before the loop.
static void make_carried(specializer *sp, world *w, loop_state *ls, uint32_t i) {
  ls->init[i] = bind_value(residual(sp, w, ls->init[i], ls->n->loc));
  for (fst_node_id made; (made = fst_node_get(sp->out, ls->made)->next).id;) fst_node_move_before(sp->out, ls->made, made);
  collect_leaves(sp, w, ls);
}

// Closes the body with what it leaves. Returns true when the assumptions held.
static bool close_body(specializer *sp, world *outer, world *w, loop_state *ls, bool hasty) {
  const fst_node *yield = fst_node_get(sp->src, fst_block_terminator(sp->src, ls->n->blocks[0]));
  fst_node_id made = fst_node_create(sp->out, FST_OP_YIELD, NULL, 0, 0, ls->n->loc);
  if (w->dead) {
    fst_node_add_operand(sp->out, made, fst_graph_const_bool(sp->out, false));
    for (size_t i = 0; i < ls->leaves.len; i++)
      if (!ls->leaves.data[i].constant) fst_node_add_operand(sp->out, made, ls->leaves.data[i].param);
    fst_node_append(sp->out, ls->body, made);
    return true;
  }
  fst_value_id goes_on = residual_of(sp, w, yield->operands[0], ls->n->loc);
  leaf_list left = {0};
  bool held = true;
  for (uint32_t i = 0; i < ls->n->result_count; i++) {
    binding b = world_get(sp, w, yield->operands[i + 1]);
    if (ls->init[i].kind == BOUND_TUPLE && !same_shape(ls->init[i], b)) {
      make_carried(sp, outer, ls, i);
      fst_vec_free(&left);
      return false;
    }
    if (ls->init[i].kind != BOUND_TUPLE) b = bind_value(residual(sp, w, b, ls->n->loc));
    map_leaves(sp, w, b, &left, NULL, NULL, ls->n->loc);
  }
  fst_node_add_operand(sp->out, made, goes_on);
  for (size_t i = 0; i < left.len && i < ls->leaves.len; i++) {
    if (widen_leaf(sp, &ls->leaves.data[i], left.data[i].init, outer->block, hasty)) held = false;
    if (!ls->leaves.data[i].constant) fst_node_add_operand(sp->out, made, left.data[i].init);
    uint32_t from = site_of(sp, left.data[i].init), into = site_of(sp, ls->leaves.data[i].init);
    if (from && into && from != into) {
      site_store(sp, into, site_load(sp, w, from, FST_NO_TYPE));
      site_store(sp, from, site_load(sp, w, into, FST_NO_TYPE));
    }
  }
  fst_vec_free(&left);
  fst_node_append(sp->out, ls->body, made);
  return held;
}

// Returns true when a type changed.
static bool join_state_types(specializer *sp, fst_type *into, const world *w, fst_block_id outside, bool hasty) {
  bool changed = false;
  for (uint32_t s = 0; s < sp->slots; s++) {
    fst_type left = w->state[s].kind == BOUND_VALUE ? fst_value_type(sp->out, w->state[s].value) : w->state_type[s];
    if (left.id && into[s].id && widen(sp, &into[s], left, outside, hasty)) changed = true;
  }
  return changed;
}

fst_status eval_loop(specializer *sp, world *w, fst_node_id id) {
  const fst_node *n = fst_node_get(sp->src, id);
  int64_t trips;
  binding trip_binding = world_get(sp, w, n->operands[0]), cond_binding = world_get(sp, w, n->operands[1]);
  if (unrolls(sp, n, trip_binding, cond_binding, &trips)) return eval_unrolled(sp, w, n, trips);
  bool runs;
  if (const_bool(sp, cond_binding, &runs) && !runs) return eval_unrolled(sp, w, n, 0);

  make_for_loop(sp, w, n->blocks[0], n->loc);
  loop_state ls = {.n = n, .init = FST_NEW_ARRAY(&sp->arena, binding, n->result_count + 1)};
  for (uint32_t i = 0; i < n->result_count; i++) ls.init[i] = world_get(sp, w, n->operands[i + 2]);
  collect_leaves(sp, w, &ls);
  fst_value_id head[2] = {residual(sp, w, trip_binding, n->loc), residual(sp, w, cond_binding, n->loc)};
  forget_state(sp, w, n->blocks[0]);
  fst_type *state_type = fst_arena_memdup(&sp->arena, w->state_type, (sp->slots + 1) * sizeof *state_type);
  ls.made = emit_node(sp, w, FST_OP_LOOP, head, 2, 0, n->loc);
  ls.body = fst_node_add_block(sp->out, ls.made);
  bool held = false;
  uint32_t emitted = sp->emitted;
  for (int round = 0; !held; round++) {
    if (round) clear_block(sp, ls.body);
    sp->emitted = emitted;
    world inner = world_clone(sp, w);
    inner.block = ls.body;
    memcpy(inner.state_type, state_type, (sp->slots + 1) * sizeof *state_type);
    open_body(sp, &inner, &ls);
    fst_status status = eval_block(sp, &inner, n->blocks[0], 0, UINT32_MAX);
    if (!status) {
      bool hasty = round >= WIDEN_ROUNDS;
      held = close_body(sp, w, &inner, &ls, hasty);
      if (!inner.dead && join_state_types(sp, state_type, &inner, w->block, hasty)) held = false;
    }
    if (status) {
      fst_vec_free(&ls.leaves);
      return status;
    }
  }
  memcpy(w->state_type, state_type, (sp->slots + 1) * sizeof *state_type);
  fst_value_id *values = FST_NEW_ARRAY(&sp->arena, fst_value_id, ls.leaves.len + 1);
  for (size_t i = 0; i < ls.leaves.len; i++) {
    leaf *l = &ls.leaves.data[i];
    values[i] = l->init;
    if (l->constant) continue;
    fst_node_add_operand(sp->out, ls.made, l->init);
    values[i] = fst_node_add_result(sp->out, ls.made, instantiate(sp, w, l->type));
    if (fst_type_is(sp->out->module->types, l->type, FST_TY_INT)) fst_value_get(sp->out, values[i])->sym = fresh_symbol(sp, w, true);
    uint32_t site = site_of(sp, l->init);
    if (site) note_site(sp, values[i], site);
  }
  uint32_t at = 0;
  for (uint32_t i = 0; i < n->result_count; i++) world_set(w, n->results[i], map_leaves(sp, w, ls.init[i], NULL, values, &at, n->loc));
  fst_vec_free(&ls.leaves);
  return NULL;
}
