// The device's part of a call: its stream, its memory, and values on their way in and out.
#include "runtime/device_graph.h"

#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "runtime/object.h"

// ---- begin and end ---------------------------------------------------------------------------------

static void scratch_free(fst_device_call *d, fst_device_memory *m) {
  for (size_t i = 0; i < m->scratch_len; i++) d->accel->api->release(d->accel->device, d->stream, m->scratch[i], 0);
  m->scratch_len = 0;
}

void fst_device_memory_free(fst_device_call *d, fst_device_memory *m) {
  const fst_device_api *api = d->accel->api;
  scratch_free(d, m);
  api->release(d->accel->device, d->stream, m->arena, 0);
  api->release(d->accel->device, d->stream, m->kernel_scratch, 0);
  api->release(d->accel->device, d->stream, m->reports, 0);
  free(m->scratch);
  *m = (fst_device_memory){0};
}

void fst_device_call_destroy(fst_ctx *ctx) {
  fst_device_call *d = ctx->device;
  fst_device_graphs_destroy(ctx);
  fst_device_memory_free(d, &d->memory);
  d->accel->api->stream_destroy(d->stream);
  fst_accel_release(d->accel);
  free(d->pairs);
  free(d);
  ctx->device = NULL;
}

static fst_status device_call_make(fst_ctx *ctx, fst_accel *accel) {
  fst_device_call *d = calloc(1, sizeof *d);
  if (!d) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  fst_status status = accel->api->stream_create(accel->device, &d->stream);
  if (status) {
    free(d);
    return status;
  }
  d->accel = accel;
  fst_accel_retain(accel);
  ctx->device = d;
  return NULL;
}

fst_status fst_device_call_begin(fst_ctx *ctx, fst_accel *accel, bool is_shared, uint32_t arg_count) {
  if (!ctx->device) FST_TRY(device_call_make(ctx, accel));
  fst_device_call *d = ctx->device;
  d->work = (fst_device_work){0};
  d->report_count = 0;
  d->arg_count = arg_count;
  d->last_kernel = NULL;
  FST_TRY(accel->api->enter(accel->device));
  d->is_entered = true;
  d->is_waited = false;
  fst_device_stream_use(d->stream, &d->work, false);
  ctx->call.calls = &fst_device_calls_table;
  return is_shared ? accel->api->stream_join(d->stream) : NULL;
}

fst_status fst_device_call_wait(fst_ctx *ctx) {
  fst_device_call *d = ctx->device;
  fst_status status = d->accel->api->stream_wait(d->stream);
  if (status && d->last_kernel) status = fst_error_prefix(status, "a kernel failed (the last one was %s; FIRESTEEL_CUDA_SYNC=1 in the environment shows which)", d->last_kernel);
  d->last_kernel = NULL;
  d->is_waited = true;
  return status;
}

void fst_device_call_finish(fst_ctx *ctx) {
  fst_device_call *d = ctx->device;
  if (!d) return;
  if (d->is_entered && !d->is_waited) fst_error_free(d->accel->api->stream_wait(d->stream));   // the call has failed already
  scratch_free(d, &d->memory);
  for (size_t i = 0; i < d->pair_count; i++) {
    fst_obj_release(&d->pairs[i].host->head);
    fst_obj_release(&d->pairs[i].device->head);
  }
  d->pair_count = 0;
  if (!d->is_entered) return;
  fst_device_stream_use(NULL, NULL, false);
  d->accel->api->leave(d->accel->device);
  d->is_entered = false;
}

// ---- what a value holds ----------------------------------------------------------------------------

static bool items_have(const fst_val *items, int64_t count, bool on_device, int depth);

static bool has_tensor(const fst_val *val, bool on_device, int depth) {
  if (!fst_val_is_obj(val) || !val->p || depth > FST_PLAN_MAX_DEPTH) return false;
  switch (val->tag) {
    case FST_TAG_TENSOR: return fst_storage_on_device(((const fst_tensor_obj *)(const void *)val->p)->storage) == on_device;
    case FST_TAG_LIST: return items_have(((const fst_list_obj *)(const void *)val->p)->items, ((const fst_list_obj *)(const void *)val->p)->len, on_device, depth);
    case FST_TAG_TUPLE: return items_have(((const fst_tuple_obj *)(const void *)val->p)->items, ((const fst_tuple_obj *)(const void *)val->p)->len, on_device, depth);
    case FST_TAG_OBJECT: return items_have(((const fst_object_obj *)(const void *)val->p)->slots, ((const fst_object_obj *)(const void *)val->p)->len, on_device, depth);
    case FST_TAG_DICT: {
      const fst_dict_obj *dict = (const fst_dict_obj *)(const void *)val->p;
      for (int64_t i = 0; i < dict->used; i++)
        if (fst_dict_is_live(dict, i) && (has_tensor(&dict->keys[i], on_device, depth + 1) || has_tensor(&dict->values[i], on_device, depth + 1))) return true;
      return false;
    }
    default: return false;
  }
}

static bool items_have(const fst_val *items, int64_t count, bool on_device, int depth) {
  for (int64_t i = 0; i < count; i++)
    if (has_tensor(&items[i], on_device, depth + 1)) return true;
  return false;
}

bool fst_val_has_tensor(const fst_val *val, bool on_device) { return has_tensor(val, on_device, 0); }

// ---- to the device ---------------------------------------------------------------------------------

// A copying job whose storages change sides; the first thing that goes wrong is kept.
typedef struct crossing {
  fst_ctx *ctx;
  fst_status status;
} crossing;

static fst_storage_obj *held(fst_storage_obj *storage) {
  fst_obj_retain(&storage->head);
  return storage;
}

fst_status fst_device_pair_add(fst_device_call *d, fst_storage_obj *host, fst_storage_obj *device) {
  if (d->pair_count == d->pair_cap) {
    size_t cap = d->pair_cap ? 2 * d->pair_cap : 16;
    fst_device_pair *pairs = realloc(d->pairs, cap * sizeof *pairs);
    if (!pairs) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
    d->pairs = pairs;
    d->pair_cap = cap;
  }
  d->pairs[d->pair_count++] = (fst_device_pair){held(host), held(device)};
  return NULL;
}

fst_status fst_device_check_there(const fst_accel *accel, const fst_storage_obj *storage) {
  const fst_accel *there = fst_storage_accel(storage);
  if (there == accel) return NULL;
  return FST_FAIL(FST_ERR_INVALID, "a tensor lies on cuda:%d; this model runs on cuda:%d: pass it there, or from the CPU", there->index, accel->index);
}

static fst_status storage_send(fst_ctx *ctx, fst_storage_obj *from, fst_storage_obj **out) {
  fst_device_call *d = ctx->device;
  if (fst_storage_on_device(from)) {
    FST_TRY(fst_device_check_there(d->accel, from));
    *out = held(from);
    return NULL;
  }
  for (size_t i = 0; i < d->pair_count; i++) {
    if (d->pairs[i].host != from) continue;
    *out = held(d->pairs[i].device);
    return NULL;
  }
  fst_storage_obj *to;
  FST_TRY(fst_device_storage_send(d->accel, from, &to));
  fst_status status = fst_device_pair_add(d, from, to);
  if (status) fst_obj_release(&to->head);
  else *out = to;
  return status;
}

static fst_storage_obj *place_there(void *context, fst_storage_obj *from) {
  crossing *c = context;
  fst_storage_obj *to = NULL;
  if (!c->status) c->status = storage_send(c->ctx, from, &to);
  return to;
}

// A copy of the value whose storages are what `place` gives; a reference for the caller.
static fst_status cross(fst_ctx *ctx, const fst_val *val, fst_storage_obj *(*place)(void *context, fst_storage_obj *from), fst_val *out) {
  crossing c = {.ctx = ctx};
  fst_copy copy;
  fst_copy_init(&copy, false);
  copy.place = place;
  copy.context = &c;
  *out = fst_copy_val(&copy, val);
  if (copy.failed && !c.status) c.status = FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  fst_copy_deinit(&copy);
  return c.status;
}

fst_status fst_device_argument(fst_ctx *ctx, fst_val *val) {
  bool is_tensor = val->tag == FST_TAG_TENSOR;
  if (!is_tensor && !fst_val_has_tensor(val, false) && !fst_val_has_tensor(val, true)) return NULL;
  if (is_tensor && fst_storage_on_device(((fst_tensor_obj *)(void *)val->p)->storage)) {
    fst_storage_obj *same;
    FST_TRY(storage_send(ctx, ((fst_tensor_obj *)(void *)val->p)->storage, &same));
    fst_obj_release(&same->head);
    return NULL;
  }
  fst_val there;
  FST_TRY(cross(ctx, val, place_there, &there));
  fst_ctx_keep(ctx, there.p);
  *val = there;
  return NULL;
}

// ---- to the host -----------------------------------------------------------------------------------

static fst_storage_obj *place_here(void *context, fst_storage_obj *from) {
  crossing *c = context;
  fst_device_call *d = c->ctx->device;
  fst_storage_obj *to = NULL;
  if (!fst_storage_on_device(from)) return held(from);
  for (size_t i = 0; i < d->pair_count; i++)
    if (d->pairs[i].device == from) return held(d->pairs[i].host);
  if (!c->status) c->status = fst_device_storage_home(from, &to);
  return to;
}

fst_status fst_device_home(fst_ctx *ctx, fst_val *val) {
  if (!fst_val_has_tensor(val, true)) return NULL;
  fst_val here;
  FST_TRY(cross(ctx, val, place_here, &here));
  fst_val_release(val);
  *val = here;
  return NULL;
}

static fst_status pair_fetch(fst_device_call *d, const fst_device_pair *pair) {
  return fst_device_download(d->accel, pair->host->data, pair->device->data, pair->host->bytes);
}

// What the call left in a container, moved to the caller's own.
static fst_status contents_return(fst_ctx *ctx, const fst_val *given, const fst_val *taken) {
  fst_val now = *taken;
  fst_val_retain(&now);
  fst_status status = fst_device_home(ctx, &now);
  if (!status && given->p != now.p && given->tag == FST_TAG_LIST) {
    fst_list_obj *to = (fst_list_obj *)(void *)given->p, *from = (fst_list_obj *)(void *)now.p, old = *to;
    to->len = from->len, to->cap = from->cap, to->items = from->items;
    from->len = old.len, from->cap = old.cap, from->items = old.items;
  } else if (!status && given->p != now.p && given->tag == FST_TAG_DICT) {
    fst_dict_obj *to = (fst_dict_obj *)(void *)given->p, *from = (fst_dict_obj *)(void *)now.p, old = *to;
    fst_obj to_head = to->head, from_head = from->head;
    *to = *from;
    to->head = to_head;
    *from = old;
    from->head = from_head;
  }
  fst_val_release(&now);
  return status;
}

fst_status fst_device_write_back(fst_ctx *ctx, const fst_val *given, const fst_val *taken) {
  fst_device_call *d = ctx->device;
  bool is_tensor = given->tag == FST_TAG_TENSOR;
  if (!fst_val_is_obj(given)) return NULL;
  for (size_t i = 0; i < d->pair_count; i++)
    if (!is_tensor || ((fst_tensor_obj *)(void *)given->p)->storage == d->pairs[i].host) FST_TRY(pair_fetch(d, &d->pairs[i]));
  return is_tensor ? NULL : contents_return(ctx, given, taken);
}
