// canonicalize: local rewrites, which are data (passes/rules/*.def).
//
// Any stage; each rule says from which on it holds. The driver walks the nodes in order, inner blocks first, and tries the
// rules of each node's op; what a rule made is looked at again, and so is everything, until nothing changes.
//
// Laws of a rule, which the driver relies on:
//   - What takes the place of a result has its type (fst_value_may_replace); where it would not, the driver drops the rewrite.
//   - It shrinks the graph, or moves it towards the canonical form: constants right, one op for many. So an end is reached,
//     and no rule undoes another.
//   - It holds for every value: NaN, infinities, both zeros, wrapping integers, empty and 0-d tensors.
//   - It keeps who shares memory with whom, as far as anyone could see. A view may become another view of the same
//     memory. A fresh tensor may become an old one only once graphs are `functional`, and only where
//     fst_rewrite_may_share says so.
//   - It looks at its node and those that define its operands, no further.
// Cost: linear in nodes for each walk; a walk more than what chains of rewrites need.
//
// Before:                                             After:
//   %1 : int = aten::add.int(2, %n)                     %2 : int = aten::add.int(%n, 5)
//   %2 : int = aten::add.int(%1, 3)
#include "passes/canonicalize.h"

#include "ir/infer.h"
#include "passes/pass.h"
#include "passes/rules/rules.h"

enum { MOST_ROOTS = 40 };
typedef struct {
  const char *name, *doc;
  fst_rule_fn apply;
  fst_stage from;
  uint16_t roots[MOST_ROOTS];   // FST_OP_UNKNOWN past the last
} rule;

static const rule rules[] = {
#define RULE(name, fn, from, doc, ...) {name, doc, fn, FST_STAGE_##from, {__VA_ARGS__}},
#include "passes/rules/rules.def"
#undef RULE
};
enum { RULES = sizeof rules / sizeof *rules };
_Static_assert(FST_OP_COUNT < UINT16_MAX, "an op fits uint16_t");

uint32_t fst_rule_count(void) { return RULES; }
const char *fst_rule_name(uint32_t r) { return rules[r].name; }
const char *fst_rule_doc(uint32_t r) { return rules[r].doc; }

typedef struct {
  fst_pass_ctx *pc;
  fst_rewrite rw;
  // The rules of one op in their order: a chain through all their rows.
  struct { uint32_t rule, next; } *links;   // [0] unused
  uint32_t *first;                          // by op, link or 0
  uint64_t steps, most_steps;
  uint32_t last_rule;
} driver;

// ---- what rules use --------------------------------------------------------------------------------

fst_value_id fst_rewrite_make(fst_rewrite *rw, fst_op op, const fst_value_id *operands, uint32_t count) {
  fst_graph *g = rw->g;
  fst_node_id made = fst_node_create(g, op, operands, count, 1, rw->node->loc);
  fst_value_id result = fst_node_result(fst_node_get(g, made), 0), own = rw->node->results[0];
  fst_node_insert_before(g, rw->id, made);
  fst_value_set_type(g, result, fst_value_type(g, own));
  fst_value_get(g, result)->sym = fst_value_get(g, own)->sym;
  if (fst_value_type_data(g, own)->kind != FST_TY_TENSOR) return result;
  fst_infer in = {0};
  int outcome = fst_infer_node(g, made, rw->arena, &in);
  bool sure = outcome == FST_INFER_OK && !in.guards.len;
  fst_vec_free(&in.guards);
  return sure ? result : FST_NO_VALUE;
}

const fst_node *fst_rewrite_def(const fst_rewrite *rw, fst_value_id value, fst_op op) {
  fst_node_id def = fst_value_def(rw->g, value);
  const fst_node *n = def.id ? fst_node_get(rw->g, def) : NULL;
  return n && n->op == op ? n : NULL;
}

bool fst_rewrite_is_still(const fst_rewrite *rw, fst_value_id value) {
  if (!rw->alias) return false;
  if (value.id >= rw->alias->count) return fst_value_const(rw->g, value);   // made meanwhile: only of a literal all is known
  const fst_alias_class *cls = fst_alias_info(rw->alias, value);
  return !cls->written && !(rw->outside_is_written && (cls->external || cls->escapes));
}

bool fst_rewrite_may_share(const fst_rewrite *rw, fst_value_id value) {
  fst_value_id own = rw->node->results[0];
  if (!fst_rewrite_is_still(rw, value) || own.id >= rw->alias->count) return false;
  const fst_alias_class *cls = fst_alias_info(rw->alias, own);
  return !cls->written && !cls->escapes && !cls->external;
}

static bool has_unknown(const fst_graph *g, fst_block_id block) {
  for (FST_EACH_NODE(g, block, id)) {
    const fst_node *n = fst_node_get(g, id);
    if (n->op == FST_OP_UNKNOWN) return true;
    for (uint32_t b = 0; b < n->block_count; b++)
      if (has_unknown(g, n->blocks[b])) return true;
  }
  return false;
}

static bool writes_outside(const fst_graph *g, const fst_alias *alias) {
  for (uint32_t v = 1; v < alias->count; v++) {
    const fst_alias_class *cls = fst_alias_info(alias, (fst_value_id){v});
    if (cls->written && (cls->external || cls->escapes)) return true;
  }
  return has_unknown(g, g->entry);
}

// ---- the walk --------------------------------------------------------------------------------------

static void index_rules(driver *d) {
  uint32_t *last = FST_NEW_ARRAY(d->pc->arena, uint32_t, FST_OP_COUNT + 1), count = 0, rows = 1;
  d->first = FST_NEW_ARRAY(d->pc->arena, uint32_t, FST_OP_COUNT + 1);
  for (uint32_t r = 0; r < RULES; r++)
    for (uint32_t i = 0; i < MOST_ROOTS && rules[r].roots[i]; i++) rows++;
  d->links = fst_arena_alloc(d->pc->arena, rows * sizeof *d->links);
  for (uint32_t r = 0; r < RULES; r++)
    for (uint32_t i = 0; i < MOST_ROOTS && rules[r].roots[i]; i++) {
      uint32_t op = rules[r].roots[i];
      d->links[++count].rule = r;
      d->links[count].next = 0;
      if (last[op]) d->links[last[op]].next = count;
      else d->first[op] = count;
      last[op] = count;
    }
}

static bool limit_reached(const fst_pass_ctx *pc) { return pc->limit >= 0 && pc->changes >= (uint64_t)pc->limit; }

static void drop_made(fst_graph *g, fst_node_id id, fst_node_id before) {
  while (!fst_node_eq(fst_node_get(g, id)->prev, before)) fst_node_erase(g, fst_node_get(g, id)->prev);
}

static bool may_replace(const fst_graph *g, const fst_node *n, const fst_value_id *with) {
  for (uint32_t r = 0; r < n->result_count; r++)
    if (!with[r].id || (!fst_value_eq(with[r], n->results[r]) && !fst_value_may_replace(g, n->results[r], with[r]))) return false;
  return true;
}

// True when the rule changed something; the node may be gone then.
static bool apply(driver *d, uint32_t r, fst_node_id id) {
  fst_graph *g = d->rw.g;
  const fst_node *n = fst_node_get(g, id);
  fst_node_id before = n->prev;
  if (g->stage < rules[r].from) return false;
  fst_value_id *with = fst_arena_memdup(d->pc->arena, n->results, n->result_count * sizeof *with);
  d->rw.id = id;
  d->rw.node = n;
  if (!rules[r].apply(&d->rw, with) || !may_replace(g, n, with)) {
    drop_made(g, id, before);
    return false;
  }
  bool stays = true;
  for (uint32_t i = 0; i < n->result_count; i++) stays = stays && fst_value_eq(with[i], n->results[i]);
  fst_pass_allow(d->pc);
  if (d->pc->rule_counts) d->pc->rule_counts[r]++;
  d->last_rule = r;
  d->steps++;
  if (stays) return true;
  for (uint32_t i = 0; i < n->result_count; i++) fst_value_replace(g, n->results[i], with[i]);
  fst_node_erase(g, id);
  return true;
}

static bool rewrite_node(driver *d, fst_node_id id) {
  uint32_t op = fst_node_get(d->rw.g, id)->op;
  if (!fst_node_get(d->rw.g, id)->result_count) return false;
  for (uint32_t list = 0; list < 2; list++)
    for (uint32_t link = d->first[list ? op : ANY_OP]; link; link = d->links[link].next)
      if (apply(d, d->links[link].rule, id)) return true;
  return false;
}

static void rewrite_block(driver *d, fst_block_id block) {
  fst_graph *g = d->rw.g;
  for (fst_node_id id = fst_block_get(g, block)->first; id.id && !limit_reached(d->pc) && d->steps <= d->most_steps;) {
    const fst_node *n = fst_node_get(g, id);
    fst_node_id before = n->prev, next = n->next;
    for (uint32_t b = 0; b < n->block_count && n->op != FST_OP_GROUP; b++) rewrite_block(d, n->blocks[b]);
    if (limit_reached(d->pc) || !rewrite_node(d, id)) id = next;
    else id = before.id ? fst_node_get(g, before)->next : fst_block_get(g, block)->first;   // what was made, or the node again
  }
}

fst_status fst_pass_canonicalize(fst_pass_ctx *pc, fst_graph *graph) {
  driver d = {.pc = pc, .rw = {.g = graph, .arena = pc->arena, .alias = pc->alias}, .most_steps = 64 + 16 * (uint64_t)graph->nodes.len};
  d.rw.outside_is_written = pc->alias && writes_outside(graph, pc->alias);
  index_rules(&d);
  for (uint64_t before = UINT64_MAX; before != d.steps && d.steps <= d.most_steps && !limit_reached(pc);) {
    before = d.steps;
    rewrite_block(&d, graph->entry);
  }
  if (d.steps > d.most_steps) return FST_FAIL(FST_ERR_INTERNAL, "the rules come to no end; the last one was '%s'", rules[d.last_rule].name);
  return NULL;
}
