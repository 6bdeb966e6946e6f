// inline: every call of a method or function becomes the callee's body.
//
// Expects any stage before `typed`; changes prim::CallMethod, prim::CallFunction and the ends of `with` statements
// (prim::Enter, prim::Exit: the manager's own methods). A call that cannot be resolved is an error that names it:
// recursion, or a method of an interface whose object is not one that the archive fixes. Hooks need nothing here: the archive's
// code calls them. Locations remember the calls they came through.
// Cost: the size of the result.
//
// Before:                                                    After:
//   %1 : Tensor = prim::CallFunction[name="twice"](%x)         %1 : Tensor = aten::add.Tensor(%x, %x, 1)
#include <stdio.h>
#include <string.h>

#include "passes/pass.h"

enum { MOST_DEPTH = 200 };

typedef struct {
  fst_pass_ctx *pc;
  fst_graph *g;
  fst_sym stack[MOST_DEPTH];
  uint32_t depth;
  fst_map written;       // names of attributes that some function of the module sets
  bool has_written;
} inliner;

static fst_status inline_block(inliner *in, fst_block_id block);

static const char *text(const inliner *in, fst_sym s) { return fst_sym_text(&in->g->module->strings, s); }

// ---- objects behind interfaces ---------------------------------------------------------------------

static void note_writes(inliner *in, const fst_graph *f, fst_block_id block) {
  for (FST_EACH_NODE(f, block, id)) {
    const fst_node *n = fst_node_get(f, id);
    if (n->op == FST_OP_SET_ATTR) fst_map_set(&in->written, n->name, 1);
    for (uint32_t b = 0; b < n->block_count; b++) note_writes(in, f, n->blocks[b]);
  }
}

static bool is_written(inliner *in, fst_sym attribute) {
  const fst_module *m = in->g->module;
  for (size_t i = 0; !in->has_written && i < m->functions.len; i++) note_writes(in, m->functions.data[i], m->functions.data[i]->entry);
  in->has_written = true;
  return fst_map_get(&in->written, attribute, NULL);
}

// The archive's object that `value` is: the root, or what is reached from it by attributes that nothing sets.
static const fst_object_info *object_of(inliner *in, fst_value_id value) {
  const fst_graph *g = in->g;
  const fst_module *m = g->module;
  const fst_const_data *c = fst_value_const(g, value);
  if (c) return c->kind == FST_CONST_OBJECT ? &m->objects.data[c->index] : NULL;
  const fst_value *v = fst_value_get(g, value);
  if (v->kind == FST_VALUE_PARAM) {
    const fst_type_data *t = fst_type_get(m->types, v->type);
    if (!fst_block_eq(v->block, g->entry) || v->index || m->root == UINT32_MAX || t->kind != FST_TY_CLASS) return NULL;
    const fst_object_info *root = &m->objects.data[m->root];
    return t->name == m->classes.data[root->cls.id].name ? root : NULL;
  }
  const fst_node *n = fst_node_get(g, v->node);
  if (n->op != FST_OP_GET_ATTR || is_written(in, n->name)) return NULL;
  const fst_object_info *owner = object_of(in, n->operands[0]);
  int attr = owner ? fst_class_attr(&m->classes.data[owner->cls.id], n->name) : -1;
  c = attr >= 0 ? fst_const_get(m, owner->attrs[attr]) : NULL;
  return c && c->kind == FST_CONST_OBJECT ? &m->objects.data[c->index] : NULL;
}

// ---- calls -----------------------------------------------------------------------------------------

static void relocate(inliner *in, fst_node_id id, fst_loc caller) {
  fst_node *n = fst_node_get(in->g, id);
  n->loc = fst_loc_inline(in->g->module, n->loc, caller);
  for (uint32_t b = 0; b < n->block_count; b++)
    for (FST_EACH_NODE(in->g, n->blocks[b], inner)) relocate(in, inner, caller);
}

// Copies the callee's nodes before `at`; its calls are inlined in turn. `args` has its parameters' values.
static fst_status splice(inliner *in, const fst_graph *callee, const fst_value_id *args, uint32_t count, fst_node_id at, fst_value_id *out_result) {
  fst_graph *g = in->g;
  const fst_block *entry = fst_block_get(callee, callee->entry);
  fst_loc caller = fst_node_get(g, at)->loc;
  if (count > entry->params.len) return FST_FAIL(FST_ERR_CORRUPT, "%s takes %zu arguments and is called with %u", text(in, callee->name), entry->params.len, count);
  for (uint32_t i = 0; i < in->depth; i++)
    if (in->stack[i] == callee->name) return FST_FAIL(FST_ERR_UNSUPPORTED, "%s calls itself", text(in, callee->name));
  if (in->depth == MOST_DEPTH) return FST_FAIL(FST_ERR_UNSUPPORTED, "calls are nested more than %d deep at %s", MOST_DEPTH, text(in, callee->name));
  in->stack[in->depth++] = callee->name;
  fst_map map = {0};
  for (size_t i = 0; i < entry->params.len; i++) {
    fst_value_id v = i < count ? args[i] : FST_NO_VALUE;
    if (!v.id && i < callee->defaults.len && callee->defaults.data[i].id) v = fst_graph_const(g, callee->defaults.data[i]);
    if (!v.id) {
      fst_map_deinit(&map);
      return FST_FAIL(FST_ERR_CORRUPT, "%s is called without its argument %zu", text(in, callee->name), i);
    }
    fst_map_set(&map, entry->params.data[i].id, v.id);
  }
  // A block of its own while calls inside are resolved, so that only new nodes are visited.
  fst_node_id holder = fst_node_create(g, FST_OP_GROUP, NULL, 0, 0, caller);
  fst_node_insert_before(g, at, holder);
  fst_block_id body = fst_node_add_block(g, holder);
  fst_value_id result = FST_NO_VALUE;
  for (FST_EACH_NODE(callee, callee->entry, id)) {
    const fst_node *n = fst_node_get(callee, id);
    if (n->op == FST_OP_RETURN) {
      uint64_t mapped;
      const fst_value *v = n->operand_count ? fst_value_get(callee, n->operands[0]) : NULL;
      if (!v) result = fst_graph_const_none(g);
      else if (v->kind == FST_VALUE_CONST) result = fst_graph_const(g, v->constant);
      else if (fst_map_get(&map, n->operands[0].id, &mapped)) result = (fst_value_id){(uint32_t)mapped};
      break;
    }
    fst_node_id copy = fst_node_clone(g, body, FST_NO_NODE, callee, id, &map);
    relocate(in, copy, caller);
  }
  fst_map_deinit(&map);
  // The result may be a call's: it is replaced when that is inlined, so hold it by a use.
  fst_node_id keep = fst_node_create(g, FST_OP_YIELD, &result, 1, 0, caller);
  fst_node_append(g, body, keep);
  fst_status status = inline_block(in, body);
  if (!status) {
    *out_result = fst_node_get(g, keep)->operands[0];
    fst_node_erase(g, keep);
    for (FST_EACH_NODE(g, body, id)) fst_node_move_before(g, holder, id);
    fst_node_erase(g, holder);
  }
  in->depth--;
  return status;
}

static fst_status call_named(inliner *in, fst_sym function, const fst_value_id *args, uint32_t count, fst_node_id at, fst_value_id *out) {
  const fst_graph *callee = fst_module_find_function(in->g->module, function);
  if (!callee) return FST_FAIL(FST_ERR_CORRUPT, "function %s is called but not in the archive", text(in, function));
  return splice(in, callee, args, count, at, out);
}

static fst_status inline_method(inliner *in, fst_node_id id, fst_value_id *out) {
  fst_graph *g = in->g;
  fst_module *m = g->module;
  const fst_node *n = fst_node_get(g, id);
  const fst_type_data *t = fst_value_type_data(g, n->operands[0]);
  fst_class_id cls_id = t->kind == FST_TY_CLASS ? fst_module_find_class(m, t->name) : (fst_class_id){0};
  if (!cls_id.id) return FST_FAIL(FST_ERR_CORRUPT, "method %s of an unknown class is called", text(in, n->name));
  const fst_class *cls = fst_module_class(m, cls_id);
  const fst_object_info *object = cls->kind == FST_CLASS_INTERFACE ? object_of(in, n->operands[0]) : NULL;
  if (object) cls = fst_module_class(m, object->cls);
  if (cls->kind == FST_CLASS_INTERFACE)
    return FST_FAIL(FST_ERR_UNSUPPORTED, "%s is a method of the interface %s: which one runs is only known at run time", text(in, n->name), text(in, cls->name));
  const fst_graph *callee = fst_class_method(m, cls, n->name);
  if (!callee) return FST_FAIL(FST_ERR_CORRUPT, "class %s has no method %s", text(in, cls->name), text(in, n->name));
  return splice(in, callee, n->operands, n->operand_count, id, out);
}

// `with`: enters and exits are calls of the object's own methods. Those that only concern gradients or profiling
// change nothing that a compiled model computes.
static fst_status inline_with(inliner *in, fst_node_id id, fst_value_id *out) {
  fst_graph *g = in->g;
  fst_module *m = g->module;
  const fst_node *n = fst_node_get(g, id);
  const fst_type_data *t = fst_value_type_data(g, n->operands[0]);
  const char *cls_name = t->kind == FST_TY_CLASS ? text(in, t->name) : "";
  static const char *const inert[] = {"__torch__.torch.autograd.grad_mode.", "__torch__.torch.autograd.profiler.", "__torch__.torch.autograd.profiler_util."};
  *out = fst_graph_const_none(g);
  for (size_t i = 0; i < sizeof inert / sizeof *inert; i++)
    if (!strncmp(cls_name, inert[i], strlen(inert[i]))) return NULL;
  fst_class_id cls = t->kind == FST_TY_CLASS ? fst_module_find_class(m, t->name) : (fst_class_id){0};
  const char *method = n->op == FST_OP_ENTER ? "__enter__" : "__exit__";
  const fst_graph *callee = cls.id ? fst_class_method(m, fst_module_class(m, cls), fst_intern(&m->strings, method)) : NULL;
  if (!callee) return FST_FAIL(FST_ERR_UNSUPPORTED, "`with` on %s, which has no %s in the archive", *cls_name ? cls_name : "a value that is no object", method);
  fst_value_id args[4] = {n->operands[0], *out, *out, *out};
  return splice(in, callee, args, n->op == FST_OP_ENTER ? 1 : 4, id, out);
}

static fst_status inline_block(inliner *in, fst_block_id block) {
  fst_graph *g = in->g;
  for (FST_EACH_NODE(g, block, id)) {
    fst_node *n = fst_node_get(g, id);
    for (uint32_t b = 0; b < n->block_count; b++) FST_TRY(inline_block(in, n->blocks[b]));
    fst_value_id result;
    if (n->op == FST_OP_CALL_METHOD) FST_TRY(inline_method(in, id, &result));
    else if (n->op == FST_OP_CALL_FUNCTION) FST_TRY(call_named(in, n->name, n->operands, n->operand_count, id, &result));
    else if (n->op == FST_OP_ENTER || n->op == FST_OP_EXIT) FST_TRY(inline_with(in, id, &result));
    else continue;
    in->pc->changes++;   // never limited: nothing after works with calls in place
    if (n->result_count) fst_value_replace(g, n->results[0], result);
    fst_node_erase(g, id);
  }
  return NULL;
}

fst_status fst_pass_inline(fst_pass_ctx *pc, fst_graph *graph) {
  inliner in = {.pc = pc, .g = graph, .stack = {graph->name}, .depth = 1};
  fst_status status = inline_block(&in, graph->entry);
  fst_map_deinit(&in.written);
  return status;
}
