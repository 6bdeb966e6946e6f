// plan: gives every tensor that a group makes a place (ir/memory_plan.h).
//
// Expects `fused`; changes nothing but graph->plan and the stage. A tensor whose alias class escapes gets a
// counted storage. The others go to the arena: lifetimes are intervals over a linear numbering of the
// nodes, from the definition to the last use of any member of the alias class, stretched over a whole
// loop for what is defined outside of it; slots are placed largest first at the lowest offset that is
// free over the interval. A loop-carried tensor lives in two buffers in turn where its lifetimes allow it
// (passes/alternate.h); else, if its size is fixed, it owns a slot for the whole loop, into which the body's
// results are copied when a round ends. Sizes known only in the middle of the call take scratch memory; those
// that change from round to round are storages.
// Cost: quadratic in the number of constant slots.
#include "ir/memory_plan.h"

#include <stdlib.h>
#include <string.h>

#include "passes/alias.h"
#include "passes/alternate.h"
#include "passes/pass.h"

typedef struct {
  fst_value_id value;
  uint32_t slot;
  uint32_t from, to;
  int64_t bytes;
} interval;

typedef struct {
  fst_graph *g;
  fst_pass_ctx *pc;
  fst_alias alias;
  fst_plan *plan;
  uint32_t *number;        // by node id: linear position
  uint32_t *end;           // by node id: position behind its blocks
  uint32_t clock;
  uint32_t *last;          // by alias class: last position that touches it
  FST_VEC(fst_arena_slot) slots;
  FST_VEC(interval) intervals;
} planner;

static void number_block(planner *p, fst_block_id block) {
  for (FST_EACH_NODE(p->g, block, id)) {
    const fst_node *n = fst_node_get(p->g, id);
    p->number[id.id] = p->clock++;
    if (n->op != FST_OP_GROUP)
      for (uint32_t b = 0; b < n->block_count; b++) number_block(p, n->blocks[b]);
    p->end[id.id] = p->clock++;
  }
}

static uint32_t loop_depth_end(planner *p, fst_value_id value, fst_node_id user) {
  // A use inside a loop that the value's definition is outside of lasts until the loop ends.
  uint32_t until = p->end[user.id];
  const fst_value *v = fst_value_get(p->g, value);
  fst_block_id home = v->kind == FST_VALUE_RESULT ? fst_node_get(p->g, v->node)->block : v->block;
  for (fst_block_id b = fst_node_get(p->g, user)->block; b.id && !fst_block_eq(b, home);) {
    fst_node_id owner = fst_block_get(p->g, b)->owner;
    if (!owner.id) break;
    if (fst_node_get(p->g, owner)->op == FST_OP_LOOP) until = p->end[owner.id];
    b = fst_node_get(p->g, owner)->block;
  }
  return until;
}

static void touch(planner *p, fst_value_id value, uint32_t at) {
  uint32_t cls = fst_alias_of(&p->alias, value);
  if (p->last[cls] < at) p->last[cls] = at;
}

static void find_last_uses(planner *p) {
  for (uint32_t v = 1; v < p->g->values.len; v++) {
    const fst_value *value = p->g->values.data[v];
    if (fst_type_kind_of(p->g->module->types, value->type) != FST_TY_TENSOR) continue;
    for (size_t i = 0; i < value->uses.len; i++) {
      fst_node_id user = value->uses.data[i].user;
      // Uses inside a group count as uses of the group.
      fst_node_id owner = fst_block_get(p->g, fst_node_get(p->g, user)->block)->owner;
      if (owner.id && fst_node_get(p->g, owner)->op == FST_OP_GROUP) user = owner;
      const fst_node *n = fst_node_get(p->g, user);
      touch(p, (fst_value_id){v}, loop_depth_end(p, (fst_value_id){v}, user));
      // A literal list is read where its reader is.
      if (n->op == FST_OP_LIST_CONSTRUCT && n->result_count) {
        const fst_value *list = fst_value_get(p->g, n->results[0]);
        for (size_t k = 0; k < list->uses.len; k++) {
          fst_node_id reader = list->uses.data[k].user;
          fst_node_id group = fst_block_get(p->g, fst_node_get(p->g, reader)->block)->owner;
          if (group.id && fst_node_get(p->g, group)->op == FST_OP_GROUP) reader = group;
          touch(p, (fst_value_id){v}, loop_depth_end(p, (fst_value_id){v}, reader));
        }
      }
    }
  }
}

// ---- sizes -----------------------------------------------------------------------------------------

static fst_dim tensor_bytes(planner *p, fst_value_id value) { return fst_type_bytes(p->g->dims, p->g->module->types, fst_value_type(p->g, value)); }

static bool known_at_entry(planner *p, fst_dim d) {
  uint32_t symbol;
  if (!fst_dim_is_known(d)) return false;
  if (!fst_dim_is_symbol(p->g->dims, d, &symbol)) {
    fst_dim_view v = fst_dim_open(p->g->dims, d);
    for (uint32_t i = 0; i < v.count; i++)
      if (!known_at_entry(p, v.operands[i])) return false;
    return true;
  }
  const fst_block *entry = fst_block_get(p->g, p->g->entry);
  for (size_t i = 0; i < entry->params.len; i++) {
    const fst_value *param = fst_value_get(p->g, entry->params.data[i]);
    const fst_type_data *t = fst_type_get(p->g->module->types, param->type);
    if (param->sym == d) return true;
    for (int k = 0; t->kind == FST_TY_TENSOR && k < t->rank; k++)
      if (t->dims[k] == d || (t->has_strides && t->strides[k] == d)) return true;
  }
  return false;
}

static uint32_t new_slot(planner *p, fst_dim bytes) {
  int64_t fixed;
  fst_arena_slot slot = {.bytes = bytes};
  if (fst_dim_is_const(p->g->dims, bytes, &fixed)) slot.bytes = fst_dim_const(p->g->dims, (fixed + 63) / 64 * 64);
  fst_vec_push(&p->slots, slot);
  return (uint32_t)p->slots.len - 1;
}

// ---- loops -----------------------------------------------------------------------------------------

// A slot of the arena that is taken from the loop's start to the last use of what it carries.
static uint32_t loop_slot(planner *p, fst_node_id loop, fst_value_id param, fst_dim bytes) {
  uint32_t slot = new_slot(p, bytes), last = p->last[fst_alias_of(&p->alias, param)];
  int64_t fixed;
  if (fst_dim_is_const(p->g->dims, p->slots.data[slot].bytes, &fixed)) {
    interval v = {param, slot, p->number[loop.id], last > p->end[loop.id] ? last : p->end[loop.id], fixed};
    fst_vec_push(&p->intervals, v);
  }
  return slot;
}

// Two buffers in turn: in the arena if one size fits all rounds and nothing outlives the call.
static void plan_turns(planner *p, fst_node_id loop, fst_value_id param, const fst_value_list *makers) {
  fst_carried *carried = &p->plan->carried[param.id];
  fst_dim bytes = tensor_bytes(p, makers->data[0]);
  bool fits = !p->alias.classes[fst_alias_of(&p->alias, param)].escapes && known_at_entry(p, bytes);
  for (size_t i = 0; i < makers->len; i++) {
    fits = fits && tensor_bytes(p, makers->data[i]) == bytes;
    p->plan->places[makers->data[i].id] = (fst_place){.kind = FST_PLACE_TURN, .param = param};
  }
  carried->kind = fits ? FST_CARRIED_TURNS_ARENA : FST_CARRIED_TURNS_HEAP;
  if (!fits) return;
  carried->slot = loop_slot(p, loop, param, bytes);
  carried->other = loop_slot(p, loop, param, bytes);
}

static void plan_carried(planner *p, fst_node_id loop, uint32_t index, fst_value_list *makers) {
  fst_value_id param = fst_block_get(p->g, fst_node_get(p->g, loop)->blocks[0])->params.data[index + 1];
  const fst_type_data *t = fst_value_type_data(p->g, param);
  if (t->kind != FST_TY_TENSOR) return;
  if (t->rank >= 0 && t->dtype != FST_DTYPE_UNKNOWN && fst_loop_alternates(p->g, loop, index, makers)) {
    plan_turns(p, loop, param, makers);
    return;
  }
  fst_alias_class *info = &p->alias.classes[fst_alias_of(&p->alias, param)];
  bool fits = t->rank >= 0 && !info->escapes && !info->external && !info->written &&
              fst_type_is_contiguous(p->g->dims, p->g->module->types, fst_value_type(p->g, param));
  fst_dim bytes = fits ? tensor_bytes(p, param) : FST_DIM_UNKNOWN;
  if (known_at_entry(p, bytes)) p->plan->carried[param.id] = (fst_carried){.kind = FST_CARRIED_MOVED, .slot = loop_slot(p, loop, param, bytes)};
  else info->escapes = true;   // pointers are passed on, so the memory must last
}

static void plan_loop(planner *p, fst_node_id id) {
  fst_value_list makers = {0};
  for (uint32_t i = 0; i < fst_node_get(p->g, id)->result_count; i++) plan_carried(p, id, i, &makers);
  fst_vec_free(&makers);
}

static void plan_loops(planner *p, fst_block_id block) {
  for (FST_EACH_NODE(p->g, block, id)) {
    const fst_node *n = fst_node_get(p->g, id);
    if (n->op == FST_OP_LOOP) plan_loop(p, id);
    if (n->op != FST_OP_GROUP)
      for (uint32_t b = 0; b < n->block_count; b++) plan_loops(p, n->blocks[b]);
  }
}

// ---- values ----------------------------------------------------------------------------------------

// A result that is the memory of an operand: fst::write inside the group.
static bool writes_in_place(const planner *p, const fst_node *group, uint32_t r) {
  const fst_node *yield = fst_node_get(p->g, fst_block_terminator(p->g, group->blocks[0]));
  fst_node_id def = fst_value_def(p->g, yield->operands[r]);
  return def.id && fst_op_get(fst_node_get(p->g, def)->op)->effect == FST_WRITES;
}

static void plan_value(planner *p, fst_node_id group, fst_value_id value) {
  fst_place *place = &p->plan->places[value.id];
  if (place->kind == FST_PLACE_TURN) return;
  uint32_t cls = fst_alias_of(&p->alias, value);
  if (p->alias.classes[cls].escapes) {
    place->kind = FST_PLACE_HEAP;
    return;
  }
  fst_dim bytes = tensor_bytes(p, value);
  if (!known_at_entry(p, bytes)) {
    place->kind = FST_PLACE_SCRATCH;
    return;
  }
  place->kind = FST_PLACE_ARENA;
  place->slot = new_slot(p, bytes);
  int64_t fixed;
  if (!fst_dim_is_const(p->g->dims, p->slots.data[place->slot].bytes, &fixed)) return;
  uint32_t last = p->last[cls] > p->end[group.id] ? p->last[cls] : p->end[group.id];
  interval v = {value, place->slot, p->number[group.id], last, fixed};
  fst_vec_push(&p->intervals, v);
}

static void plan_block(planner *p, fst_block_id block) {
  for (FST_EACH_NODE(p->g, block, id)) {
    const fst_node *n = fst_node_get(p->g, id);
    if (n->op == FST_OP_GROUP) {
      for (uint32_t r = 0; r < n->result_count; r++)
        if (!writes_in_place(p, n, r)) plan_value(p, id, n->results[r]);
    } else {
      for (uint32_t b = 0; b < n->block_count; b++) plan_block(p, n->blocks[b]);
    }
  }
}

// ---- offsets ---------------------------------------------------------------------------------------

static int by_size(const void *a, const void *b) {
  const interval *x = a, *y = b;
  if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
  return x->slot < y->slot ? -1 : x->slot > y->slot;
}

static bool overlap(const interval *a, const interval *b) { return a->from <= b->to && b->from <= a->to; }

static int64_t lowest_offset(const planner *p, size_t index) {
  const interval *mine = &p->intervals.data[index];
  int64_t at = 0;
  for (bool moved = true; moved;) {
    moved = false;
    for (size_t i = 0; i < index; i++) {
      const interval *other = &p->intervals.data[i];
      int64_t start = p->slots.data[other->slot].offset;
      if (!overlap(mine, other) || at + mine->bytes <= start || start + other->bytes <= at) continue;
      at = start + other->bytes;
      moved = true;
    }
  }
  return at;
}

static void place_slots(planner *p) {
  if (p->intervals.len) qsort(p->intervals.data, p->intervals.len, sizeof *p->intervals.data, by_size);
  for (size_t i = 0; i < p->intervals.len; i++) {
    int64_t at = lowest_offset(p, i), top = at + p->intervals.data[i].bytes;
    p->slots.data[p->intervals.data[i].slot].offset = at;
    if (top > p->plan->fixed_bytes) p->plan->fixed_bytes = top;
    int64_t live = 0;
    for (size_t k = 0; k < p->intervals.len; k++)
      if (p->intervals.data[k].from <= p->intervals.data[i].from && p->intervals.data[i].from <= p->intervals.data[k].to) live += p->intervals.data[k].bytes;
    if (live > p->plan->lower_bound) p->plan->lower_bound = live;
  }
}

fst_status fst_pass_plan(fst_pass_ctx *pc, fst_graph *graph) {
  planner p = {.g = graph, .pc = pc, .alias = *pc->alias};
  uint32_t values = (uint32_t)graph->values.len, nodes = (uint32_t)graph->nodes.len;
  p.plan = FST_NEW(&graph->arena, fst_plan);
  p.plan->value_count = values;
  p.plan->places = FST_NEW_ARRAY(&graph->arena, fst_place, values);
  p.plan->carried = FST_NEW_ARRAY(&graph->arena, fst_carried, values);
  p.number = FST_NEW_ARRAY(pc->arena, uint32_t, nodes);
  p.end = FST_NEW_ARRAY(pc->arena, uint32_t, nodes);
  p.last = FST_NEW_ARRAY(pc->arena, uint32_t, values);
  number_block(&p, graph->entry);
  find_last_uses(&p);
  plan_loops(&p, graph->entry);
  plan_block(&p, graph->entry);
  place_slots(&p);
  p.plan->slot_count = (uint32_t)p.slots.len;
  p.plan->slots = fst_arena_memdup(&graph->arena, p.slots.data, p.slots.len * sizeof *p.slots.data);
  fst_vec_free(&p.slots);
  fst_vec_free(&p.intervals);
  graph->plan = p.plan;
  graph->stage = FST_STAGE_PLANNED;
  return NULL;
}
