// One call from outside: bind arguments, find the code compiled for them, run it, hand the results out.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/buf.h"
#include "runtime/device_graph.h"
#include "runtime/jit.h"
#include "runtime/match.h"
#include "runtime/model.h"

enum { FEW = 32 };  // arguments, results and symbols up to so many need no allocation

typedef struct invocation {
  fst_model *model;
  const char *method_name;
  const fst_plan *plan;            // the describing artifact's
  uint32_t method;                 // in that plan
  uint32_t arg_count;
  fst_val *args;                   // borrowed from the caller, but for `copies`
  fst_val few_args[FEW];
  fst_ctx *ctx;
  bool is_locked;
  // The choice:
  fst_bound *bound;
  const fst_plan_signature *signature;
  uint32_t signature_number;
  const fst_plan_method *code_method;  // in the chosen artifact's plan
  bool is_strided;                 // some tensor is not row-major where the code wants it so
  fst_val *there;                  // the arguments on the device; NULL: the code runs on the CPU
  bool stays_there;                // an argument came from the device, so results stay on it
} invocation;

// ---- arguments ----

static fst_failure *unknown_argument(const invocation *v, const char *name) {
  fst_buf names = {0};
  const fst_plan_method *m = &v->plan->methods[v->method];
  for (uint32_t i = 0; i < m->arg_count; i++) fst_buf_printf(&names, "%s%s", i ? ", " : "", fst_plan_text(v->plan, v->plan->args[m->args + i].name));
  fst_failure *failure = fst_failure_make(FST_FAILED_INVALID, "%s() has no argument '%s'; it takes (%s)", v->method_name, name, fst_buf_text(&names));
  fst_buf_deinit(&names);
  return failure;
}

// Python's own widening: an int where a float is declared, and so on through Optional.
static void number_widen(const fst_plan *plan, uint32_t type, fst_val *val) {
  const fst_plan_type *t = &plan->types[type];
  if (t->kind == FST_PLAN_TY_OPTIONAL) number_widen(plan, plan->words[t->first], val);
  else if (t->kind == FST_PLAN_TY_FLOAT && val->tag == FST_TAG_INT) *val = fst_val_float((double)val->i);
}

static fst_failure *arguments_bind(invocation *v, const fst_arguments *a) {
  const fst_plan_method *m = &v->plan->methods[v->method];
  if (a->positional > m->arg_count)
    return fst_failure_make(FST_FAILED_INVALID, "%s() takes %u arguments, %zu were given", v->method_name, m->arg_count, a->positional);
  for (uint32_t i = 0; i < m->arg_count; i++) v->args[i].tag = UINT32_MAX;  // not given
  for (size_t i = 0; i < a->count; i++) {
    uint32_t at = (uint32_t)i;
    if (!a->vars[i]) return fst_failure_make(FST_FAILED_INVALID, "%s(): argument %zu is a null pointer", v->method_name, i);
    if (i >= a->positional) {
      const char *name = a->names[i - a->positional];
      for (at = 0; at < m->arg_count && strcmp(fst_plan_text(v->plan, v->plan->args[m->args + at].name), name) != 0; at++) {}
      if (at == m->arg_count) return unknown_argument(v, name);
      if (v->args[at].tag != UINT32_MAX) return fst_failure_make(FST_FAILED_INVALID, "%s(): argument '%s' is given twice", v->method_name, name);
    }
    v->args[at] = a->vars[i]->val;
    number_widen(v->plan, v->plan->args[m->args + at].type, &v->args[at]);
  }
  const fst_val *consts = fst_program_bounds(v->model->program)->items[0]->artifact->consts;
  for (uint32_t i = 0; i < m->arg_count; i++) {
    const fst_plan_arg *arg = &v->plan->args[m->args + i];
    if (v->args[i].tag != UINT32_MAX) continue;
    if (!arg->initial) return fst_failure_make(FST_FAILED_INVALID, "%s(): argument '%s' is missing", v->method_name, fst_plan_text(v->plan, arg->name));
    v->args[i] = consts[arg->initial - 1];
  }
  return NULL;
}

// ---- choosing a signature ----

static bool signature_fits(const invocation *v, fst_match *m, const fst_bound *b, const fst_plan_method *method, const fst_plan_signature *s) {
  const fst_plan *plan = m->plan;
  fst_match_begin(m, s);
  for (uint32_t i = 0; i < v->arg_count; i++) {
    const fst_plan_arg *arg = &plan->args[method->args + i];
    bool strided_ok = m->accept_strided;
    // A copy would hide what the call writes, or cut the tie between the argument and a result.
    if (arg->flags & (FST_PLAN_ARG_WRITTEN | FST_PLAN_ARG_ALIASED)) m->accept_strided = false;
    bool fits = fst_match_val(m, plan->words[s->args + i], &v->args[i], "argument", fst_plan_text(plan, arg->name));
    m->accept_strided = strided_ok;
    if (!fits) return false;
  }
  bool strided_ok = m->accept_strided, fits = true;
  m->accept_strided = false;
  for (uint32_t i = 0; fits && i < s->state_count; i++) {
    uint32_t slot = plan->words[s->state + 2 * i], pattern = plan->words[s->state + 2 * i + 1];
    fits = fst_match_val(m, pattern, &v->model->state[b->slot_map[slot]], "attribute", fst_plan_text(plan, plan->slots[slot].path));
  }
  m->accept_strided = strided_ok;
  return fits;
}

// Tries the signatures of one artifact. `why` collects one line each (NULL: not wanted).
static bool bound_choose(invocation *v, fst_bound *b, bool accept_strided, fst_buf *why) {
  const fst_plan *plan = &b->artifact->plan;
  uint32_t number = b->method_map[v->method];
  if (number == UINT32_MAX || plan->methods[number].arg_count != v->arg_count) return false;
  const fst_plan_method *method = &plan->methods[number];
  for (uint32_t i = 0; i < method->signature_count; i++) {
    const fst_plan_signature *s = &plan->signatures[method->signatures + i];
    if (s->state_count && !v->is_locked) continue;
    int64_t few[FEW], *symbols = s->symbol_count <= FEW ? few : malloc(s->symbol_count * sizeof *symbols);
    if (!symbols) return false;
    fst_buf line = {0};
    fst_match m = {.plan = plan, .consts = b->artifact->consts, .symbols = symbols, .accept_strided = accept_strided, .why = why ? &line : NULL};
    bool fits = signature_fits(v, &m, b, method, s);
    if (symbols != few) free(symbols);
    if (why && line.len) fst_buf_printf(why, "\n  %s", line.data);
    fst_buf_deinit(&line);
    if (!fits) continue;
    v->bound = b;
    v->signature = s;
    v->signature_number = method->signatures + i;
    v->code_method = method;
    v->is_strided = accept_strided;
    return true;
  }
  return false;
}

static bool signature_choose(invocation *v, const fst_bounds *bounds) {
  for (int accept = 0; accept < 2; accept++)
    for (size_t i = bounds->count; i-- > 0;)
      if (bound_choose(v, bounds->items[i], accept, NULL)) return true;
  return false;
}

static fst_failure *no_signature(invocation *v, const fst_bounds *bounds) {
  fst_buf why = {0};
  for (size_t i = 0; i < bounds->count; i++) bound_choose(v, bounds->items[i], true, &why);
  fst_failure *failure;
  if (!why.len) failure = fst_failure_make(FST_FAILED_UNSUPPORTED, "%s() was not compiled into this artifact; compile it with --method %s", v->method_name, v->method_name);
  else failure = fst_failure_make(FST_FAILED_INVALID, "%s() was not compiled for these arguments:%s", v->method_name, fst_buf_text(&why));
  fst_buf_deinit(&why);
  return failure;
}

// Does some artifact say that the method uses state? Before anything is compiled for it: it may.
static bool method_may_use_state(const invocation *v, const fst_bounds *bounds) {
  bool compiled = false;
  for (size_t i = 0; i < bounds->count; i++) {
    const fst_plan *plan = &bounds->items[i]->artifact->plan;
    uint32_t number = bounds->items[i]->method_map[v->method];
    if (number == UINT32_MAX) continue;
    if (plan->methods[number].flags & FST_PLAN_METHOD_STATE) return true;
    compiled |= plan->methods[number].signature_count > 0;
  }
  return !compiled;
}

static fst_failure *code_find(invocation *v) {
  fst_program *p = v->model->program;
  for (int round = 0;; round++) {
    const fst_bounds *bounds = fst_program_bounds(p);
    if (!v->is_locked && method_may_use_state(v, bounds)) {
      pthread_mutex_lock(&v->model->lock);
      v->is_locked = true;
    }
    if (v->is_locked) {
      fst_status status = fst_model_grow_state(v->model);
      if (status) return fst_failure_of(status);
    }
    if (signature_choose(v, bounds)) return NULL;
    if (!p->jit || round == 16) return no_signature(v, bounds);
    bool exhausted;
    fst_status status = fst_jit_compile(p, v->method_name, v->plan, v->method, v->args, v->model->state, v->is_locked ? v->model->state_count : 0, bounds->count, &exhausted);
    if (exhausted) return no_signature(v, bounds);
    if (status) return fst_failure_of(status);
  }
}

// ---- running ----

static bool row_major(fst_ctx *ctx, fst_val *val, int depth);

static bool row_major_items(fst_ctx *ctx, fst_val *items, int64_t count, int depth) {
  for (int64_t i = 0; i < count; i++) {
    fst_val old = items[i];
    if (!row_major(ctx, &items[i], depth + 1)) return false;
    if (!fst_val_is_obj(&old) || items[i].p == old.p) continue;
    fst_val_retain(&items[i]);  // the pool has the first reference of what replaces it
    fst_val_release(&old);
  }
  return true;
}

static bool has_strided(const fst_val *val, int depth) {
  if (depth > FST_PLAN_MAX_DEPTH) return false;
  const fst_val *items = NULL;
  int64_t count = 0;
  switch (val->tag) {
    case FST_TAG_TENSOR: return !fst_tensor_is_contiguous((fst_tensor_obj *)val->p);
    case FST_TAG_LIST: items = ((fst_list_obj *)val->p)->items, count = ((fst_list_obj *)val->p)->len; break;
    case FST_TAG_TUPLE: items = ((fst_tuple_obj *)val->p)->items, count = ((fst_tuple_obj *)val->p)->len; break;
    case FST_TAG_DICT: items = ((fst_dict_obj *)val->p)->values, count = ((fst_dict_obj *)val->p)->used; break;
    default: return false;
  }
  for (int64_t i = 0; i < count; i++)
    if (has_strided(&items[i], depth + 1)) return true;
  return false;
}

// A container of its own with row-major tensors in it.
static bool row_major_container(fst_ctx *ctx, fst_val *val, int depth) {
  if (val->tag == FST_TAG_TUPLE) {
    fst_tuple_obj *t = fst_tuple_make(((fst_tuple_obj *)val->p)->len, ((fst_tuple_obj *)val->p)->items);
    if (!t) return false;
    fst_ctx_keep(ctx, &t->head);
    *val = fst_val_obj(t);
    return row_major_items(ctx, t->items, t->len, depth);
  }
  if (val->tag == FST_TAG_LIST) {
    fst_list_obj *l = fst_list_make(((fst_list_obj *)val->p)->len, ((fst_list_obj *)val->p)->items);
    if (!l) return false;
    fst_ctx_keep(ctx, &l->head);
    *val = fst_val_obj(l);
    return row_major_items(ctx, l->items, l->len, depth);
  }
  const fst_dict_obj *from = (const fst_dict_obj *)val->p;
  fst_dict_obj *d = fst_dict_make();
  if (!d) return false;
  fst_ctx_keep(ctx, &d->head);
  fst_val old;
  for (int64_t i = 0; i < from->used; i++)
    if (fst_dict_is_live(from, i) && !fst_dict_put(d, &from->keys[i], &from->values[i], &old)) return false;
  *val = fst_val_obj(d);
  return row_major_items(ctx, d->values, d->used, depth);
}

static bool row_major(fst_ctx *ctx, fst_val *val, int depth) {
  if (!has_strided(val, depth)) return true;
  if (val->tag != FST_TAG_TENSOR) return row_major_container(ctx, val, depth);
  fst_tensor_obj *copy = fst_tensor_contiguous_copy((fst_tensor_obj *)val->p);
  if (!copy) return false;
  *val = fst_val_obj(copy);
  fst_ctx_keep(ctx, &copy->head);
  return true;
}

// Tensors that the code wants row-major and that are not get a row-major copy in the call's pool, unless the
// code may write into them or hand them out.
static bool strided_copy(invocation *v) {
  const fst_plan *plan = &v->bound->artifact->plan;
  for (uint32_t i = 0; i < v->arg_count; i++) {
    const fst_plan_arg *arg = &plan->args[v->code_method->args + i];
    const fst_plan_pattern *p = &plan->patterns[plan->words[v->signature->args + i]];
    if (arg->flags & (FST_PLAN_ARG_WRITTEN | FST_PLAN_ARG_ALIASED)) continue;
    if (p->tag == FST_PLAN_ANY || (p->tag == FST_TAG_TENSOR && !(p->flags & FST_PLAN_PAT_CONTIGUOUS))) continue;
    if (!row_major(v->ctx, &v->args[i], 0)) return false;
  }
  return true;
}

// Whatever is still not row-major cannot be passed.
static fst_failure *nested_check(invocation *v) {
  fst_buf line = {0};
  int64_t few[FEW], *symbols = v->signature->symbol_count <= FEW ? few : malloc(v->signature->symbol_count * sizeof *symbols);
  if (!symbols) return fst_failure_memory();
  const fst_plan *plan = &v->bound->artifact->plan;
  fst_match m = {.plan = plan, .consts = v->bound->artifact->consts, .symbols = symbols, .why = &line};
  fst_failure *failure = NULL;
  fst_match_begin(&m, v->signature);
  for (uint32_t i = 0; !failure && i < v->arg_count; i++) {
    const char *name = fst_plan_text(v->plan, v->plan->args[v->plan->methods[v->method].args + i].name);
    if (!fst_match_val(&m, plan->words[v->signature->args + i], &v->args[i], "argument", name))
      failure = fst_failure_make(FST_FAILED_INVALID, "%s(): %s; make it contiguous first", v->method_name, fst_buf_text(&line));
  }
  if (symbols != few) free(symbols);
  fst_buf_deinit(&line);
  return failure;
}

// Memory that must not be written is no argument for a method that writes it.
static fst_failure *readonly_check(const invocation *v) {
  const fst_plan *plan = &v->bound->artifact->plan;
  for (uint32_t i = 0; i < v->arg_count; i++) {
    const fst_plan_arg *arg = &plan->args[v->code_method->args + i];
    if (!(arg->flags & FST_PLAN_ARG_WRITTEN) || v->args[i].tag != FST_TAG_TENSOR) continue;
    if (!(((fst_tensor_obj *)v->args[i].p)->storage->head.flags & FST_OBJ_READONLY)) continue;
    return fst_failure_make(FST_FAILED_INVALID, "%s() writes into argument '%s', which is read-only memory; pass a copy", v->method_name, fst_plan_text(plan, arg->name));
  }
  return NULL;
}

// State by the artifact's slot numbers. Values move there for the call and back afterwards; counts stay.
static fst_val *state_in(invocation *v) {
  const fst_bound *b = v->bound;
  if (b->is_identity) return v->model->state;
  uint32_t count = b->artifact->plan.slots_count;
  fst_val *state = malloc((count + 1) * sizeof *state);
  for (uint32_t i = 0; state && i < count; i++) state[i] = v->model->state[b->slot_map[i]];
  return state;
}

static void state_out(invocation *v, fst_val *state) {
  const fst_bound *b = v->bound;
  if (b->is_identity) return;
  for (uint32_t i = 0; i < b->artifact->plan.slots_count; i++) v->model->state[b->slot_map[i]] = state[i];
  free(state);
}

// Nothing that outlives the call in other hands may point into the artifact: neither results nor what was
// put into the caller's containers.
static bool arguments_detach(invocation *v) {
  const fst_plan *plan = &v->bound->artifact->plan;
  for (uint32_t i = 0; i < v->arg_count; i++) {
    const fst_plan_arg *arg = &plan->args[v->code_method->args + i];
    if (!(arg->flags & FST_PLAN_ARG_WRITTEN) || !fst_val_is_obj(&v->args[i])) continue;
    fst_val val = v->args[i];
    if (val.p->flags & FST_OBJ_IMMORTAL) continue;
    fst_val_retain(&val);
    bool ok = fst_val_detach(&val);
    fst_val_release(&val);
    if (!ok) return false;
  }
  return true;
}

// The results as one value with a reference for the caller: as it is, or None, or a tuple of several.
static bool results_join(invocation *v, const fst_val *results, fst_val *out) {
  uint32_t count = v->signature->result_count;
  if (count == 1) {
    *out = results[0];
    fst_val_retain(out);
    return true;
  }
  if (!count) {
    *out = fst_val_none();
    return true;
  }
  fst_tuple_obj *tuple = fst_tuple_make(count, results);
  if (tuple) *out = fst_val_obj(tuple);
  return tuple != NULL;
}

// ---- on a device ----

// Device tensors are no arguments for a model on the CPU. Only a process that has made some is looked through.
static fst_failure *device_check(const invocation *v) {
  if (v->model->program->accel || !fst_device_tensors_exist()) return NULL;
  for (uint32_t i = 0; i < v->arg_count; i++)
    if (fst_val_has_tensor(&v->args[i], true))
      return fst_failure_make(FST_FAILED_INVALID, "%s(): argument '%s': a tensor lies on another device; this model runs on the CPU: pass tensor.cpu(), or open it with device=\"cuda\"",
                              v->method_name, fst_plan_text(v->plan, v->plan->args[v->plan->methods[v->method].args + i].name));
  return NULL;
}

static fst_status device_begin(invocation *v) {
  v->there = malloc((v->arg_count + 1) * sizeof *v->there);
  if (!v->there) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  v->stays_there = false;
  for (uint32_t i = 0; i < v->arg_count; i++) {
    v->there[i] = v->args[i];
    v->stays_there = v->stays_there || fst_val_has_tensor(&v->args[i], true);
  }
  FST_TRY(fst_device_call_begin(v->ctx, v->model->program->accel, v->stays_there, v->arg_count));
  for (uint32_t i = 0; i < v->arg_count; i++) {
    fst_status status = fst_device_argument(v->ctx, &v->there[i]);
    if (status) return fst_error_prefix(status, "%s(): argument '%s'", v->method_name, fst_plan_text(v->plan, v->plan->args[v->plan->methods[v->method].args + i].name));
  }
  return NULL;
}

// A call that repeats as a graph: recorded when it is due, then replayed. False: it is to be run as usual.
static bool graph_run(invocation *v, fst_val *results, fst_val *out, fst_status *out_status) {
  const fst_artifact *a = v->bound->artifact;
  fst_ctx *ctx = v->ctx;
  if (!v->model->program->graphs || !(v->signature->flags & FST_PLAN_SIGNATURE_REPEATS)) return false;
  fst_device_graph *g = fst_device_graph_due(ctx, a->accel, v->bound, v->signature_number, v->args, v->arg_count);
  if (!g) return false;
  v->stays_there = false;
  for (uint32_t i = 0; i < v->arg_count; i++) v->stays_there = v->stays_there || fst_val_has_tensor(&v->args[i], true);
  const fst_val *inputs;
  fst_status status = fst_device_call_begin(ctx, a->accel, v->stays_there, v->arg_count);
  if (!status && !fst_device_graph_is_ready(g)) {
    bool recorded = fst_device_graph_begin(ctx, g, v->args, &inputs);
    if (recorded) {
      fst_val result;
      bool ok = !fst_artifact_entry(a, v->signature->entry)(&ctx->call, inputs, results) && results_join(v, results, &result);
      recorded = fst_device_graph_end(ctx, g, ok ? &result : NULL);
    }
    for (uint32_t i = 0; i < v->signature->result_count; i++) results[i] = fst_val_none();
    if (!recorded) {
      fst_device_call_finish(ctx);
      return false;
    }
  }
  if (!status) status = fst_device_graph_run(ctx, g, v->args, out);
  *out_status = status;
  return true;
}

// Also after an error of the model: what it had written until then is there to be seen.
static fst_status device_end(invocation *v, fst_val *result) {
  const fst_plan *plan = &v->bound->artifact->plan;
  fst_status status = fst_device_call_wait(v->ctx);
  for (uint32_t i = 0; i < v->arg_count && !status; i++)
    if (plan->args[v->code_method->args + i].flags & FST_PLAN_ARG_WRITTEN) status = fst_device_write_back(v->ctx, &v->args[i], &v->there[i]);
  if (!status && !v->stays_there) status = fst_device_home(v->ctx, result);
  const fst_device_work *work = &v->ctx->device->work;
  __atomic_store_n(&v->model->device_work.launches, work->launches, __ATOMIC_RELAXED);
  __atomic_store_n(&v->model->device_work.graphs, work->graphs, __ATOMIC_RELAXED);
  __atomic_store_n(&v->model->device_work.copies_in, work->copies_in, __ATOMIC_RELAXED);
  __atomic_store_n(&v->model->device_work.copies_out, work->copies_out, __ATOMIC_RELAXED);
  return status;
}

static fst_failure *code_run(invocation *v, fst_val *out) {
  fst_ctx *ctx = v->ctx;
  const fst_artifact *a = v->bound->artifact;
  fst_val few[FEW], *results = v->signature->result_count <= FEW ? few : malloc(v->signature->result_count * sizeof *results);
  fst_val *state = state_in(v);
  if (!results || (!state && a->plan.slots_count)) {
    if (results != few) free(results);
    return fst_failure_memory();
  }
  for (uint32_t i = 0; i < v->signature->result_count; i++) results[i] = fst_val_none();
  ctx->call = (fst_call){.calls = &fst_calls_table, .weights = fst_artifact_weights(a), .state = state, .consts = a->consts};
  ctx->plan = &a->plan;
  ctx->fallback = fst_bridge_run;
  fst_status device = NULL;
  fst_val result = fst_val_none();
  bool is_graph = a->accel && graph_run(v, results, &result, &device);
  if (a->accel && !is_graph) device = device_begin(v);
  int32_t failed = device ? 1 : is_graph ? 0 : fst_artifact_entry(a, v->signature->entry)(&ctx->call, a->accel ? v->there : v->args, results);
  if (a->accel && !device && !failed) failed = fst_device_call_settle(ctx);
  __atomic_store_n(&v->model->flops, ctx->call.flops, __ATOMIC_RELAXED);
  __atomic_store_n(&v->model->weight_bytes, ctx->call.weight_bytes, __ATOMIC_RELAXED);
  state_out(v, state);
  fst_failure *failure = NULL;
  bool detached = arguments_detach(v);
  if (failed || ctx->raised.set) {
    if (!ctx->raised.set && !device) fst_ctx_raise(ctx, "RuntimeError", 0, "%s() failed without saying why", v->method_name);
    if (!device) failure = fst_failure_raised(&a->plan, &ctx->raised);
  } else if (!is_graph && !results_join(v, results, &result)) {
    failure = fst_failure_memory();
  } else if (!detached || !fst_val_detach(&result)) {
    failure = fst_failure_memory();
  }
  if (a->accel && !device) device = device_end(v, &result);
  if (!failure) failure = fst_failure_of(device);
  else fst_error_free(device);
  if (failure) fst_val_release(&result);
  else *out = result;
  if (results != few) free(results);
  return failure;
}

static fst_failure *invocation_run(invocation *v, const fst_arguments *a, fst_val *out) {
  fst_failure *failure = arguments_bind(v, a);
  if (!failure) failure = code_find(v);
  if (!failure) failure = readonly_check(v);
  if (!failure) failure = device_check(v);
  if (failure) return failure;
  v->ctx = fst_model_lease(v->model);
  if (!v->ctx) return fst_failure_memory();
  v->ctx->bound = v->bound;
  if (v->is_strided) {
    if (!strided_copy(v)) return fst_failure_memory();
    failure = nested_check(v);
    if (failure) return failure;
  }
  __atomic_fetch_add(&v->bound->signature_calls[v->signature_number], 1, __ATOMIC_RELAXED);
  return code_run(v, out);
}

fst_failure *fst_model_invoke(fst_model *model, const fst_arguments *a, fst_var **out) {
  invocation v;  // not cleared as a whole: few_args is large and filled as far as it is used
  v.model = model;
  v.method_name = a->method ? a->method : "forward";
  v.ctx = NULL;
  v.is_locked = v.is_strided = false;
  v.there = NULL;
  v.plan = fst_program_plan(model->program);
  v.method = fst_plan_method_find(v.plan, v.method_name);
  if (v.method == UINT32_MAX) return fst_failure_make(FST_FAILED_NOT_FOUND, "the model has no method '%s'", v.method_name);
  v.arg_count = v.plan->methods[v.method].arg_count;
  v.args = v.arg_count <= FEW ? v.few_args : malloc(v.arg_count * sizeof *v.args);
  if (!v.args) return fst_failure_memory();
  fst_val result = fst_val_none();
  fst_failure *failure = invocation_run(&v, a, &result);
  if (v.is_locked) pthread_mutex_unlock(&model->lock);
  if (v.ctx && v.ctx->device) fst_device_call_finish(v.ctx);
  free(v.there);
  if (v.ctx) fst_model_return(model, v.ctx);
  if (v.args != v.few_args) free(v.args);
  if (failure) return failure;
  *out = fst_var_of(&result);
  fst_val_release(&result);
  return *out ? NULL : fst_failure_memory();
}
