#include "runtime/device_graph.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/buf.h"
#include "runtime/object.h"

enum { MOST_GRAPHS = 16, RUNS_BEFORE = 2 };   // a kind that comes once or twice is not worth its memory

struct fst_device_graph {
  fst_device_graph *next;
  char *key;
  size_t key_len;
  int runs;                   // as usual, so far
  bool is_refused;
  fst_recording *recording;   // NULL: not yet
  fst_val *args;              // tensors are the graph's inputs
  uint32_t arg_count;
  fst_val result;
  fst_obj **pool;             // what the code made while it was recorded
  size_t pool_len;
  fst_device_memory memory;
  fst_device_report reported[FST_DEVICE_REPORTS];
  size_t report_count;
  fst_device_work work;
  int64_t flops, weight_bytes;
};

// ---- kinds of calls --------------------------------------------------------------------------------

static void word_add(fst_buf *key, int64_t word) { fst_buf_add(key, (const char *)&word, sizeof word); }

static bool shares_storage(const fst_val *args, uint32_t at) {
  for (uint32_t i = 0; i < at; i++)
    if (args[i].tag == FST_TAG_TENSOR && ((fst_tensor_obj *)(void *)args[i].p)->storage == ((fst_tensor_obj *)(void *)args[at].p)->storage) return true;
  return false;
}

// All that the work may depend on but for elements. False: arguments of other kinds.
static bool key_make(const void *owner, uint32_t number, const fst_val *args, uint32_t count, fst_buf *key) {
  word_add(key, (int64_t)(intptr_t)owner);
  word_add(key, number);
  for (uint32_t i = 0; i < count; i++) {
    word_add(key, args[i].tag);
    if (args[i].tag == FST_TAG_TENSOR) {
      const fst_tensor_obj *t = (const fst_tensor_obj *)(const void *)args[i].p;
      if (shares_storage(args, i)) return false;
      word_add(key, t->dtype);
      word_add(key, t->rank);
      word_add(key, t->storage->bytes);
      word_add(key, t->data - t->storage->data);
      fst_buf_add(key, (const char *)t->shape, 2 * (size_t)t->rank * sizeof *t->shape);
    } else if (args[i].tag == FST_TAG_STR) {
      const fst_str_obj *s = (const fst_str_obj *)(const void *)args[i].p;
      word_add(key, s->len);
      fst_buf_add(key, s->bytes, (size_t)s->len);
    } else if (args[i].tag != FST_TAG_NONE && fst_val_is_obj(&args[i])) {
      return false;
    } else {
      word_add(key, args[i].tag == FST_TAG_NONE ? 0 : args[i].i);
    }
  }
  return !key->failed;
}

// All but what says which calls it is for.
static void graph_empty(fst_device_call *d, fst_device_graph *g) {
  d->accel->api->forget(d->accel->device, g->recording);
  g->recording = NULL;
  for (uint32_t i = 0; g->args && i < g->arg_count; i++) fst_val_release(&g->args[i]);
  free(g->args);
  g->args = NULL;
  fst_val_release(&g->result);
  g->result = fst_val_none();
  for (size_t i = 0; i < g->pool_len; i++) fst_obj_release(g->pool[i]);
  free(g->pool);
  g->pool = NULL;
  g->pool_len = 0;
  fst_device_memory_free(d, &g->memory);
}

static void graph_destroy(fst_device_call *d, fst_device_graph *g) {
  graph_empty(d, g);
  free(g->key);
  free(g);
}

void fst_device_graphs_destroy(fst_ctx *ctx) {
  fst_device_call *d = ctx->device;
  while (d->graphs) {
    fst_device_graph *next = d->graphs->next;
    graph_destroy(d, d->graphs);
    d->graphs = next;
  }
}

// The one that was not wanted for longest makes room.
static fst_device_graph *graph_add(fst_device_call *d, char *key, size_t len) {
  fst_device_graph *g = calloc(1, sizeof *g), **last = &d->graphs;
  if (!g) {
    free(key);
    return NULL;
  }
  *g = (fst_device_graph){.next = d->graphs, .key = key, .key_len = len};
  d->graphs = g;
  for (int i = 0; i < MOST_GRAPHS && *last; i++) last = &(*last)->next;
  if (*last) {
    graph_destroy(d, *last);
    *last = NULL;
  }
  return g;
}

fst_device_graph *fst_device_graph_due(fst_ctx *ctx, fst_accel *accel, const void *owner, uint32_t number, const fst_val *args, uint32_t count) {
  fst_device_call *d = ctx->device;
  fst_buf key = {0};
  if (!d || d->accel != accel) return NULL;   // the first call of a context
  if (!key_make(owner, number, args, count, &key)) {
    fst_buf_deinit(&key);
    return NULL;
  }
  fst_device_graph **at = &d->graphs, *g;
  while ((g = *at) && (g->key_len != key.len || memcmp(g->key, key.data, key.len))) at = &g->next;
  if (g) {
    fst_buf_deinit(&key);
    *at = g->next;   // to the front
    g->next = d->graphs;
    d->graphs = g;
  } else {
    g = graph_add(d, key.data, key.len);
  }
  if (!g || g->is_refused) return NULL;
  return g->recording || ++g->runs > RUNS_BEFORE ? g : NULL;
}

bool fst_device_graph_is_ready(const fst_device_graph *graph) { return graph->recording != NULL; }

// ---- recording -------------------------------------------------------------------------------------

static fst_status input_make(fst_device_call *d, const fst_val *arg, fst_val *out) {
  const fst_tensor_obj *t = (const fst_tensor_obj *)(const void *)arg->p;
  fst_storage_obj *storage;
  FST_TRY(fst_device_storage_make(d->accel, t->storage->bytes, &storage));
  fst_tensor_obj *input = fst_tensor_make(storage, storage->data + (t->data - t->storage->data), t->dtype, t->rank, t->shape);
  fst_obj_release(&storage->head);
  if (!input) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  *out = fst_val_obj(input);
  return NULL;
}

static fst_status inputs_make(fst_device_call *d, fst_device_graph *g, const fst_val *args) {
  for (; g->arg_count < d->arg_count; g->arg_count++) {
    fst_val *to = &g->args[g->arg_count];
    *to = args[g->arg_count];
    if (to->tag != FST_TAG_TENSOR) fst_val_retain(to);
    else FST_TRY(input_make(d, &args[g->arg_count], to));
  }
  return NULL;
}

static void memory_exchange(fst_device_call *d, fst_device_graph *g) {
  fst_device_memory mine = d->memory;
  d->memory = g->memory;
  g->memory = mine;
}

static bool refuse(fst_device_call *d, fst_device_graph *g, fst_status status) {
  fst_error_free(status);   // the call as it is usually run says what is wrong, if anything is
  graph_empty(d, g);
  g->is_refused = true;
  return false;
}

bool fst_device_graph_begin(fst_ctx *ctx, fst_device_graph *g, const fst_val *args, const fst_val **out_args) {
  fst_device_call *d = ctx->device;
  g->args = calloc((size_t)d->arg_count + 1, sizeof *g->args);
  fst_status status = g->args ? inputs_make(d, g, args) : FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  if (!status) status = d->accel->api->record(d->stream);
  if (status) return refuse(d, g, status);
  memory_exchange(d, g);
  d->is_recording = true;
  fst_device_stream_use(d->stream, &d->work, true);
  *out_args = g->args;
  return true;
}

bool fst_device_graph_end(fst_ctx *ctx, fst_device_graph *g, const fst_val *result) {
  fst_device_call *d = ctx->device;
  fst_status status = d->accel->api->recorded(d->stream, result ? &g->recording : NULL);
  memory_exchange(d, g);
  d->is_recording = false;
  fst_device_stream_use(d->stream, &d->work, false);
  g->pool = ctx->pool;
  g->pool_len = ctx->pool_len;
  ctx->pool = NULL;
  ctx->pool_len = ctx->pool_cap = 0;
  g->report_count = d->report_count;
  memcpy(g->reported, d->reported, d->report_count * sizeof *g->reported);
  d->report_count = 0;
  g->work = d->work;
  g->flops = ctx->call.flops;
  g->weight_bytes = ctx->call.weight_bytes;
  ctx->call.flops = ctx->call.weight_bytes = 0;
  if (!result || status) {
    fst_raised_deinit(&ctx->raised);
    if (result) fst_val_release(result);
    return refuse(d, g, status);
  }
  g->result = *result;
  return true;
}

// ---- running ---------------------------------------------------------------------------------------

static fst_status input_fill(fst_device_call *d, const fst_val *input, const fst_val *arg) {
  const fst_storage_obj *to = ((const fst_tensor_obj *)(const void *)input->p)->storage, *from = ((const fst_tensor_obj *)(const void *)arg->p)->storage;
  size_t bytes = (size_t)to->bytes;
  if (!fst_storage_on_device(from)) return fst_device_upload(d->accel, to->data, from->data, to->bytes);
  FST_TRY(fst_device_check_there(d->accel, from));
  return d->accel->api->copy(d->stream, to->data, bytes, from->data, bytes, bytes, 1);
}

fst_status fst_device_graph_run(fst_ctx *ctx, const fst_device_graph *g, const fst_val *args, fst_val *out) {
  fst_device_call *d = ctx->device;
  for (uint32_t i = 0; i < g->arg_count; i++)
    if (args[i].tag == FST_TAG_TENSOR) FST_TRY(input_fill(d, &g->args[i], &args[i]));
  FST_TRY(d->accel->api->replay(d->stream, g->recording));
  d->work.launches += g->work.launches;
  d->work.graphs++;
  ctx->call.flops = g->flops;
  ctx->call.weight_bytes = g->weight_bytes;
  memcpy(d->reported, g->reported, g->report_count * sizeof *g->reported);
  d->report_count = g->report_count;
  d->settled = g->memory.reports;
  fst_copy copy;
  fst_copy_init(&copy, false);
  *out = fst_copy_val(&copy, &g->result);
  bool ok = !copy.failed;
  fst_copy_deinit(&copy);
  return ok ? NULL : FST_FAIL(FST_ERR_RESOURCE, "CUDA out of memory for the results of a graph");
}
