// Signatures asked for, in this order, for one kind of arguments (types, ranks, None or not, of arguments and
// state): first with the very sizes of the call; when another size comes, once more with every size of the
// arguments open; then, when that code left a state that it does not take, with those of the state open too;
// and when a tensor that is not row-major cannot be copied (the method writes it), with open strides.
// Each time the compiler adds the forms of state that the code leaves behind, so these are few.
#define _GNU_SOURCE
#include "runtime/jit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/dtype.h"
#include "runtime/buf.h"
#include "runtime/worker_client.h"

enum { DETAIL_SIZES, DETAIL_OPEN, DETAIL_OPEN_STATE, DETAIL_STRIDES, DETAIL_KIND };

typedef struct signature_text { fst_buf arguments, state; } signature_text;

struct fst_jit {
  pthread_mutex_t lock;      // one compilation at a time; guards all below
  fst_worker worker;
  char *path, *target, *options, *bridge;
  bool open_sizes;
  int time_limit;            // seconds, for one request
  struct { char *kind; int next; } *kinds;  // seen so far, and what detail comes next
  size_t kind_count;
  struct { char *method; signature_text text; } *lasts;  // per method: what it was compiled for last
  size_t last_count;
  uint64_t compiles;         // atomic
  uint64_t microseconds;     // atomic
};

static void signature_deinit(signature_text *s) {
  fst_buf_deinit(&s->arguments);
  fst_buf_deinit(&s->state);
}

static bool text_copy(const char *text, char **out) {
  if (!text) return true;
  fst_buf buf = {0};
  fst_buf_puts(&buf, text);
  return (*out = fst_buf_take(&buf)) != NULL;
}

fst_status fst_jit_create(const char *path, const fst_open_options *o, fst_jit **out) {
  fst_jit *jit = calloc(1, sizeof *jit);
  if (!jit || pthread_mutex_init(&jit->lock, NULL) != 0) {
    free(jit);
    return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  }
  fst_worker_init(&jit->worker);
  jit->open_sizes = o->dynamic_shapes != 0;
  jit->time_limit = o->time_limit > 0 ? o->time_limit : FST_WORKER_TIME_LIMIT_SECONDS;
  // The worker may run in another folder one day; the path must mean the same there.
  char *full = realpath(path, NULL);
  bool ok = text_copy(full ? full : path, &jit->path) && text_copy(o->target, &jit->target) && text_copy(o->compile_options, &jit->options) &&
            text_copy(o->bridge, &jit->bridge) && text_copy(o->worker, &jit->worker.path);
  free(full);
  if (!ok) {
    fst_jit_destroy(jit);
    return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  }
  *out = jit;
  return NULL;
}

void fst_jit_destroy(fst_jit *jit) {
  if (!jit) return;
  fst_worker_deinit(&jit->worker);
  for (size_t i = 0; i < jit->kind_count; i++) free(jit->kinds[i].kind);
  free(jit->kinds);
  for (size_t i = 0; i < jit->last_count; i++) {
    signature_deinit(&jit->lasts[i].text);
    free(jit->lasts[i].method);
  }
  free(jit->lasts);
  free(jit->path);
  free(jit->target);
  free(jit->options);
  free(jit->bridge);
  pthread_mutex_destroy(&jit->lock);
  free(jit);
}

// ---- values as types, in the text of docs/ir.md ----

typedef struct typing {
  fst_buf *out;
  const fst_plan *plan;
  int detail;
  uint32_t next_size;   // names given to open sizes so far
  bool is_element;      // inside a list or dict: one type for several values, so no sizes
  bool is_state;        // open sizes have no names there; strides are exact, since state cannot be copied
} typing;

static void declared_type(typing *t, uint32_t type) {
  static const char *const words[FST_PLAN_TY_COUNT] = {
    "Any", "None", "int", "float", "bool", "complex", "Scalar", "str", "Device", "Tensor", "List", "Dict", "Tuple", "Optional", "Union", "Class", "Opaque",
  };
  const fst_plan_type *d = &t->plan->types[type];
  uint32_t name_len = fst_plan_text_len(t->plan, d->name);
  bool named = d->kind == FST_PLAN_TY_TUPLE && name_len, classy = d->kind == FST_PLAN_TY_CLASS || d->kind == FST_PLAN_TY_OPAQUE;
  fst_buf_puts(t->out, named ? "NamedTuple" : words[d->kind]);
  if (d->kind < FST_PLAN_TY_LIST) return;
  fst_buf_putc(t->out, '[');
  if (named || classy) fst_buf_json(t->out, fst_plan_text(t->plan, d->name), name_len);
  for (uint32_t i = 0; i < d->count; i++) {
    if (i || named) fst_buf_puts(t->out, ", ");
    if (named) fst_buf_printf(t->out, "%s: ", fst_plan_text(t->plan, t->plan->words[d->fields + i]));
    declared_type(t, t->plan->words[d->first + i]);
  }
  fst_buf_putc(t->out, ']');
}

static void size_print(typing *t, int64_t size) {
  bool is_exact = t->is_state ? t->detail < DETAIL_OPEN_STATE : t->detail == DETAIL_SIZES;
  if (t->detail == DETAIL_KIND || t->is_element || (t->is_state && !is_exact)) fst_buf_putc(t->out, '?');
  else if (is_exact) fst_buf_printf(t->out, "%" PRId64, size);
  else fst_buf_printf(t->out, "s%u", t->next_size++);
}

static void tensor_type(typing *t, const fst_tensor_obj *x) {
  fst_buf_printf(t->out, "%s[", fst_dtype_name((fst_dtype)x->dtype));
  for (int d = 0; d < x->rank; d++) {
    if (d) fst_buf_puts(t->out, ", ");
    size_print(t, x->shape[d]);
  }
  fst_buf_putc(t->out, ']');
  if ((t->detail != DETAIL_STRIDES && !t->is_state) || fst_tensor_is_contiguous(x)) return;
  fst_buf_putc(t->out, '{');
  for (int d = 0; d < x->rank; d++) {
    if (d) fst_buf_puts(t->out, ", ");
    // A unit stride is worth knowing: loads along it are plain.
    if (t->is_state || x->shape[x->rank + d] == 1) fst_buf_printf(t->out, "%" PRId64, x->shape[x->rank + d]);
    else size_print(t, x->shape[x->rank + d]);
  }
  fst_buf_putc(t->out, '}');
}

static void value_type(typing *t, const fst_val *val, uint32_t declared);

// The only member of this kind, or UINT32_MAX.
static uint32_t union_member(const fst_plan *plan, const fst_plan_type *type, uint32_t kind) {
  uint32_t found = UINT32_MAX, count = 0;
  for (uint32_t i = 0; i < type->count; i++) {
    if (plan->types[plan->words[type->first + i]].kind != kind) continue;
    found = plan->words[type->first + i];
    count++;
  }
  return count == 1 ? found : UINT32_MAX;
}

// What the declared type says of item `i`, seen through Optional and Union.
static uint32_t declared_item(const fst_plan *plan, uint32_t declared, uint32_t kind, uint32_t i) {
  while (declared != UINT32_MAX && plan->types[declared].kind == FST_PLAN_TY_OPTIONAL) declared = plan->words[plan->types[declared].first];
  if (declared != UINT32_MAX && plan->types[declared].kind == FST_PLAN_TY_UNION) declared = union_member(plan, &plan->types[declared], kind);
  if (declared == UINT32_MAX || plan->types[declared].kind != kind || i >= plan->types[declared].count) return UINT32_MAX;
  return plan->words[plan->types[declared].first + i];
}

static bool same_kind(const fst_val *a, const fst_val *b) {
  if (a->tag != b->tag) return false;
  if (a->tag == FST_TAG_TENSOR) return ((fst_tensor_obj *)a->p)->dtype == ((fst_tensor_obj *)b->p)->dtype && ((fst_tensor_obj *)a->p)->rank == ((fst_tensor_obj *)b->p)->rank;
  return a->tag < FST_TAG_LIST;
}

// One type for all items: theirs where they agree, else the declared one.
static void element_type(typing *t, const fst_val *first, bool agree, uint32_t declared) {
  bool was = t->is_element;
  t->is_element = true;
  if (first && agree) value_type(t, first, declared);
  else if (declared != UINT32_MAX) declared_type(t, declared);
  else fst_buf_puts(t->out, first && first->tag == FST_TAG_TENSOR ? "Tensor" : "Any");
  t->is_element = was;
}

static void list_type(typing *t, const fst_list_obj *list, uint32_t declared) {
  bool agree = true;
  for (int64_t i = 1; i < list->len; i++) agree &= same_kind(&list->items[0], &list->items[i]);
  if (list->len && list->items[0].tag >= FST_TAG_LIST) agree = list->len == 1;
  fst_buf_puts(t->out, "List[");
  element_type(t, list->len ? &list->items[0] : NULL, agree, declared_item(t->plan, declared, FST_PLAN_TY_LIST, 0));
  fst_buf_putc(t->out, ']');
}

// Each value of a dict that may hold values of several types.
static void entry_types(typing *t, const fst_dict_obj *dict, uint32_t declared) {
  bool was = t->is_element;
  t->is_element = true;
  for (int64_t i = 0; i < dict->used; i++) {
    if (!fst_dict_is_live(dict, i)) continue;
    const fst_str_obj *key = (const fst_str_obj *)dict->keys[i].p;
    fst_buf_puts(t->out, ", \"");
    for (int64_t k = 0; k < key->len; k++) {
      unsigned char c = (unsigned char)key->bytes[k];
      if (c < 0x20 || c == '"' || c == '\\') fst_buf_printf(t->out, "\\x%02x", c);
      else fst_buf_putc(t->out, (char)c);
    }
    fst_buf_puts(t->out, "\": ");
    value_type(t, &dict->values[i], declared);
  }
  t->is_element = was;
}

static void dict_type(typing *t, const fst_dict_obj *dict, uint32_t declared) {
  const fst_val *key = NULL, *val = NULL;
  bool agree = true;
  for (int64_t i = 0; i < dict->used; i++) {
    if (!fst_dict_is_live(dict, i)) continue;
    agree &= !val || same_kind(val, &dict->values[i]);
    if (!val) key = &dict->keys[i], val = &dict->values[i];
  }
  fst_buf_puts(t->out, "Dict[");
  element_type(t, key, true, declared_item(t->plan, declared, FST_PLAN_TY_DICT, 0));
  fst_buf_puts(t->out, ", ");
  uint32_t item = declared_item(t->plan, declared, FST_PLAN_TY_DICT, 1);
  bool is_open = item != UINT32_MAX && (t->plan->types[item].kind == FST_PLAN_TY_UNION || t->plan->types[item].kind == FST_PLAN_TY_ANY);
  element_type(t, val, agree && !is_open && val && (val->tag < FST_TAG_LIST || dict->len == 1), item);
  if (is_open && key && key->tag == FST_TAG_STR) entry_types(t, dict, item);
  fst_buf_putc(t->out, ']');
}

static void tuple_type(typing *t, const fst_tuple_obj *tuple, uint32_t declared) {
  uint32_t type = declared;
  while (type != UINT32_MAX && t->plan->types[type].kind == FST_PLAN_TY_OPTIONAL) type = t->plan->words[t->plan->types[type].first];
  const fst_plan_type *d = type != UINT32_MAX && t->plan->types[type].kind == FST_PLAN_TY_TUPLE ? &t->plan->types[type] : NULL;
  bool named = d && fst_plan_text_len(t->plan, d->name) && d->count == tuple->len;
  fst_buf_puts(t->out, named ? "NamedTuple[" : "Tuple[");
  if (named) fst_buf_json(t->out, fst_plan_text(t->plan, d->name), fst_plan_text_len(t->plan, d->name));
  for (int64_t i = 0; i < tuple->len; i++) {
    if (i || named) fst_buf_puts(t->out, ", ");
    if (named) fst_buf_printf(t->out, "%s: ", fst_plan_text(t->plan, t->plan->words[d->fields + i]));
    value_type(t, &tuple->items[i], declared_item(t->plan, declared, FST_PLAN_TY_TUPLE, (uint32_t)i));
  }
  fst_buf_putc(t->out, ']');
}

static void class_type(typing *t, uint64_t cls) {
  if (cls >= t->plan->classes_count) {
    fst_buf_puts(t->out, "Any");
    return;
  }
  const fst_plan_class *c = &t->plan->classes[cls];
  fst_buf_puts(t->out, "Class[");
  fst_buf_json(t->out, fst_plan_text(t->plan, c->name), fst_plan_text_len(t->plan, c->name));
  fst_buf_putc(t->out, ']');
}

static void value_type(typing *t, const fst_val *val, uint32_t declared) {
  switch (val->tag) {
    case FST_TAG_NONE: fst_buf_puts(t->out, "None"); return;
    case FST_TAG_BOOL: fst_buf_puts(t->out, "bool"); return;
    case FST_TAG_INT: fst_buf_puts(t->out, "int"); return;
    case FST_TAG_FLOAT: fst_buf_puts(t->out, "float"); return;
    case FST_TAG_COMPLEX: fst_buf_puts(t->out, "complex"); return;
    case FST_TAG_STR: fst_buf_puts(t->out, "str"); return;
    case FST_TAG_DEVICE: fst_buf_puts(t->out, "Device"); return;
    case FST_TAG_TENSOR: tensor_type(t, (const fst_tensor_obj *)val->p); return;
    case FST_TAG_LIST: list_type(t, (const fst_list_obj *)val->p, declared); return;
    case FST_TAG_DICT: dict_type(t, (const fst_dict_obj *)val->p, declared); return;
    case FST_TAG_TUPLE: tuple_type(t, (const fst_tuple_obj *)val->p, declared); return;
    case FST_TAG_ENUM: class_type(t, (uint64_t)val->i >> 32); return;
    case FST_TAG_OBJECT: class_type(t, ((fst_object_obj *)val->p)->cls); return;
    default: fst_buf_puts(t->out, "Any"); return;
  }
}


static void signature_print(signature_text *out, int detail, const fst_plan *plan, uint32_t method, const fst_val *args, const fst_val *state, size_t state_count) {
  const fst_plan_method *m = &plan->methods[method];
  typing t = {.out = &out->arguments, .plan = plan, .detail = detail};
  for (uint32_t i = 0; i < m->arg_count; i++) {
    const fst_plan_arg *arg = &plan->args[m->args + i];
    fst_buf_printf(t.out, "%s%s: ", i ? "; " : "", fst_plan_text(plan, arg->name));
    value_type(&t, &args[i], arg->type);
  }
  t.out = &out->state;
  t.is_state = true;
  for (size_t i = 0; i < state_count; i++) {
    if (i) fst_buf_putc(t.out, ';');
    value_type(&t, &state[i], UINT32_MAX);
    // Branches on flags and modes that a model keeps fold when their values are known; a counter, whose
    // values never end, is left open by the compiler itself.
    bool is_flag = state[i].tag == FST_TAG_INT || state[i].tag == FST_TAG_BOOL;
    if (is_flag && detail < DETAIL_OPEN_STATE) fst_buf_printf(t.out, "=%" PRId64, state[i].i);
  }
}

static bool has_strides(const fst_val *args, uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    if (args[i].tag == FST_TAG_TENSOR && !fst_tensor_is_contiguous((fst_tensor_obj *)args[i].p)) return true;
  return false;
}

// ---- asking the worker; the lock is held ----

static fst_status request(fst_jit *jit, fst_request_kind kind, const char *method, const signature_text *s, const char *stage, fst_message *reply) {
  char seconds[24];
  snprintf(seconds, sizeof seconds, "%d", jit->time_limit);
  const fst_field all[] = {
    {FST_FIELD_TIME_LIMIT, seconds, 0},
    {FST_FIELD_PATH, jit->path, 0}, {FST_FIELD_METHOD, method, 0}, {FST_FIELD_STAGE, stage, 0},
    {FST_FIELD_ARGUMENTS, s ? fst_buf_text(&s->arguments) : NULL, 0}, {FST_FIELD_STATE, s && s->state.len ? s->state.data : NULL, 0},
    {FST_FIELD_TARGET, jit->target, 0}, {FST_FIELD_OPTIONS, jit->options, 0}, {FST_FIELD_BRIDGE, jit->bridge, 0},
  };
  enum { COUNT = sizeof all / sizeof *all };
  fst_field fields[COUNT];
  for (size_t i = 0; i < COUNT; i++) {
    fields[i] = all[i];
    if (fields[i].text) fields[i].len = strlen(fields[i].text);
  }
  // The worker keeps the limit itself; waiting longer only covers a worker that hangs beyond it.
  fst_status status = fst_worker_request(&jit->worker, kind, fields, COUNT, (jit->time_limit > 86400 ? 86400 : jit->time_limit + 30) * 1000, reply);
  // What became of the worker says nothing about the model; what the compiler says names it.
  bool is_workers = status && (status->code == FST_ERR_INTERNAL || status->code == FST_ERR_RESOURCE || status->code == FST_ERR_IO);
  return is_workers && !strstr(status->message, jit->path) ? fst_error_prefix(status, "%s", jit->path) : status;
}

static uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static fst_status artifact_request(fst_program *p, fst_request_kind kind, const char *method, const signature_text *s) {
  fst_jit *jit = p->jit;
  uint64_t start = now_us();
  fst_message reply;
  FST_TRY(request(jit, kind, method, s, NULL, &reply));
  fst_artifact *artifact = NULL;
  fst_status status = reply.fd < 0 ? FST_FAIL(FST_ERR_INTERNAL, "the compiler worker sent no artifact") : fst_artifact_open_fd(reply.fd, jit->path, &p->artifact_options, &artifact);
  fst_message_deinit(&reply);
  if (!status) status = fst_program_add(p, artifact);
  if (!status && kind == FST_REQUEST_COMPILE) __atomic_fetch_add(&jit->compiles, 1, __ATOMIC_RELAXED);
  __atomic_fetch_add(&jit->microseconds, now_us() - start, __ATOMIC_RELAXED);
  return status;
}

fst_status fst_jit_describe(fst_program *p) {
  pthread_mutex_lock(&p->jit->lock);
  fst_status status = artifact_request(p, FST_REQUEST_DESCRIBE, NULL, NULL);
  pthread_mutex_unlock(&p->jit->lock);
  return status;
}

// The number of this kind of arguments, noted if it is new; takes the text. SIZE_MAX: memory is out.
static size_t kind_find(fst_jit *jit, char *kind) {
  for (size_t i = 0; i < jit->kind_count; i++) {
    if (strcmp(jit->kinds[i].kind, kind) != 0) continue;
    free(kind);
    return i;
  }
  void *kinds = realloc(jit->kinds, (jit->kind_count + 1) * sizeof *jit->kinds);
  if (!kinds) {
    free(kind);
    return SIZE_MAX;
  }
  jit->kinds = kinds;
  jit->kinds[jit->kind_count].kind = kind;
  jit->kinds[jit->kind_count].next = jit->open_sizes ? DETAIL_OPEN : DETAIL_SIZES;
  return jit->kind_count++;
}

static const signature_text *last_get(const fst_jit *jit, const char *method) {
  for (size_t i = 0; i < jit->last_count; i++)
    if (strcmp(jit->lasts[i].method, method) == 0) return &jit->lasts[i].text;
  return NULL;
}

// Takes the text; without memory it is only forgotten.
static void last_set(fst_jit *jit, const char *method, signature_text *text) {
  for (size_t i = 0; i < jit->last_count; i++) {
    if (strcmp(jit->lasts[i].method, method) != 0) continue;
    signature_deinit(&jit->lasts[i].text);
    jit->lasts[i].text = *text;
    return;
  }
  char *name = NULL;
  void *lasts = text_copy(method, &name) ? realloc(jit->lasts, (jit->last_count + 1) * sizeof *jit->lasts) : NULL;
  if (!lasts) {
    free(name);
    signature_deinit(text);
    return;
  }
  jit->lasts = lasts;
  jit->lasts[jit->last_count].method = name;
  jit->lasts[jit->last_count++].text = *text;
}

static fst_status compile_next(fst_program *p, const char *method, const fst_plan *plan, uint32_t number, const fst_val *args, const fst_val *state, size_t state_count, bool *out_exhausted) {
  signature_text kind = {{0}, {0}}, text = {{0}, {0}};
  signature_print(&kind, DETAIL_KIND, plan, number, args, state, state_count);
  fst_buf key = {0};
  fst_buf_printf(&key, "%s(%s) %s", method, fst_buf_text(&kind.arguments), fst_buf_text(&kind.state));
  bool failed = kind.arguments.failed || kind.state.failed;
  signature_deinit(&kind);
  char *key_text = fst_buf_take(&key);
  if (failed) {
    free(key_text);
    key_text = NULL;
  }
  size_t at = key_text ? kind_find(p->jit, key_text) : SIZE_MAX;
  if (at == SIZE_MAX) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  int detail = p->jit->kinds[at].next;
  if (detail == DETAIL_OPEN_STATE && !state_count) detail++;
  *out_exhausted = detail > DETAIL_STRIDES || (detail == DETAIL_STRIDES && !has_strides(args, plan->methods[number].arg_count));
  if (*out_exhausted) return NULL;
  signature_print(&text, detail, plan, number, args, state, state_count);
  fst_status status = text.arguments.failed || text.state.failed ? FST_FAIL(FST_ERR_RESOURCE, "out of memory") : artifact_request(p, FST_REQUEST_COMPILE, method, &text);
  // Kept also after a failure: what did not compile is what somebody will want to look at.
  last_set(p->jit, method, &text);
  if (!status) p->jit->kinds[at].next = detail + 1;  // after a failure the next call is told the same
  return status;
}

fst_status fst_jit_compile(fst_program *p, const char *method, const fst_plan *plan, uint32_t number, const fst_val *args, const fst_val *state, size_t state_count, size_t seen, bool *out_exhausted) {
  *out_exhausted = false;
  pthread_mutex_lock(&p->jit->lock);
  // Whoever waited for the lock looks first at what the one before it compiled.
  fst_status status = fst_program_bounds(p)->count > seen ? NULL : compile_next(p, method, plan, number, args, state, state_count, out_exhausted);
  pthread_mutex_unlock(&p->jit->lock);
  return status;
}

fst_status fst_jit_dump(fst_program *p, const char *method, const char *stage, char **out) {
  fst_message reply;
  pthread_mutex_lock(&p->jit->lock);
  fst_status status = request(p->jit, FST_REQUEST_DUMP, method, last_get(p->jit, method), stage, &reply);
  pthread_mutex_unlock(&p->jit->lock);
  FST_TRY(status);
  fst_buf text = {0};
  size_t len = 0;
  const char *inline_text = fst_message_field(&reply, FST_FIELD_TEXT, &len);
  if (inline_text) fst_buf_add(&text, inline_text, len);
  char piece[65536];
  for (ssize_t got; !inline_text && reply.fd >= 0 && (got = pread(reply.fd, piece, sizeof piece, (off_t)text.len)) > 0 && !text.failed;)
    fst_buf_add(&text, piece, (size_t)got);
  fst_message_deinit(&reply);
  char *taken = fst_buf_take(&text);
  if (!taken) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  *out = taken;
  return NULL;
}

void fst_jit_stats(const fst_jit *jit, uint64_t *out_compiles, double *out_ms) {
  *out_compiles = __atomic_load_n(&jit->compiles, __ATOMIC_RELAXED);
  *out_ms = (double)__atomic_load_n(&jit->microseconds, __ATOMIC_RELAXED) / 1000.0;
}
