#include "runtime/call.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "runtime/calls.h"
#include "runtime/device_call.h"
#include "runtime/object.h"

enum { RESERVE_BYTES = 16384 };

struct fst_scratch {
  struct fst_scratch *next;
  size_t bytes;  // of the block, header included
};

fst_ctx *fst_ctx_create(void) {
  fst_ctx *ctx = calloc(1, sizeof *ctx);
  if (!ctx) return NULL;
  ctx->reserve = calloc(1, RESERVE_BYTES);
  if (!ctx->reserve) {
    free(ctx);
    return NULL;
  }
  return ctx;
}

static void scratch_free(fst_ctx *ctx) {
  while (ctx->scratch) {
    fst_scratch *next = ctx->scratch->next;
    free(ctx->scratch);
    ctx->scratch = next;
  }
}

void fst_raised_deinit(fst_raised *raised) {
  free(raised->cls);
  free(raised->message);
  *raised = (fst_raised){0};
}

void fst_ctx_end(fst_ctx *ctx) {
  for (size_t i = 0; i < ctx->pool_len; i++) fst_obj_release(ctx->pool[i]);
  ctx->pool_len = 0;
  scratch_free(ctx);
  fst_raised_deinit(&ctx->raised);
  if (ctx->pool_cap > 65536) {  // one long call must not hold its memory for ever
    free(ctx->pool);
    ctx->pool = NULL;
    ctx->pool_cap = 0;
  }
}

void fst_ctx_destroy(fst_ctx *ctx) {
  if (!ctx) return;
  fst_ctx_end(ctx);
  if (ctx->device) fst_device_call_destroy(ctx);
  free(ctx->pool);
  free(ctx->arena);
  free(ctx->reserve);
  free(ctx);
}

void fst_ctx_keep(fst_ctx *ctx, fst_obj *obj) {
  if (obj->flags & FST_OBJ_IMMORTAL) return;
  if (ctx->pool_len == ctx->pool_cap) {
    size_t cap = ctx->pool_cap ? ctx->pool_cap * 2 : 64;
    fst_obj **pool = realloc(ctx->pool, cap * sizeof *pool);
    if (!pool) {
      fst_ctx_raise_memory(ctx);
      return;
    }
    ctx->pool = pool;
    ctx->pool_cap = cap;
  }
  ctx->pool[ctx->pool_len++] = obj;
}

void *fst_ctx_own(fst_ctx *ctx, void *obj, fst_tag tag, size_t bytes) {
  if (obj) {
    fst_ctx_keep(ctx, obj);
    return obj;
  }
  fst_ctx_raise_memory(ctx);
  memset(ctx->reserve, 0, RESERVE_BYTES);
  fst_obj *stand_in = (fst_obj *)(void *)ctx->reserve;
  if (bytes > RESERVE_BYTES) bytes = RESERVE_BYTES;
  *stand_in = (fst_obj){.refs = 1, .tag = (uint16_t)tag, .flags = FST_OBJ_IMMORTAL};
  if (tag == FST_TAG_TUPLE && bytes > sizeof(fst_tuple_obj))
    ((fst_tuple_obj *)(void *)stand_in)->len = (int64_t)((bytes - sizeof(fst_tuple_obj)) / sizeof(fst_val));
  return stand_in;
}

int32_t fst_ctx_raise_memory(fst_ctx *ctx) {
  if (!ctx->raised.set) ctx->raised.set = ctx->raised.is_memory = true;
  return 1;
}

static char *bytes_dup(const char *bytes, size_t len) {
  char *copy = malloc(len + 1);
  if (!copy) return NULL;
  if (len) memcpy(copy, bytes, len);
  copy[len] = '\0';
  return copy;
}

int32_t fst_ctx_raise_text(fst_ctx *ctx, const char *cls, int64_t loc, const char *message, size_t len) {
  fst_raised *r = &ctx->raised;
  if (r->set) return 1;
  r->cls = bytes_dup(cls, strlen(cls));
  r->message = bytes_dup(message, len);
  if (!r->cls || !r->message) {
    fst_raised_deinit(r);
    return fst_ctx_raise_memory(ctx);
  }
  bool known = loc > 0 && ctx->plan && loc < (int64_t)ctx->plan->locs_count;
  r->loc = known ? (uint32_t)loc : 0;
  r->set = true;
  return 1;
}

int32_t fst_ctx_raise(fst_ctx *ctx, const char *cls, int64_t loc, const char *fmt, ...) {
  char text[512];
  va_list args;
  va_start(args, fmt);
  int len = vsnprintf(text, sizeof text, fmt, args);
  va_end(args);
  if (len < 0) len = 0;
  if ((size_t)len >= sizeof text) len = sizeof text - 1;
  return fst_ctx_raise_text(ctx, cls, loc, text, (size_t)len);
}

// ---- memory calls ----

void *fst_call_storage_new(fst_call *call, int64_t bytes) {
  fst_ctx *ctx = fst_ctx_of(call);
  return fst_ctx_own(ctx, fst_storage_make(bytes), FST_TAG_STORAGE, sizeof(fst_storage_obj));
}

void *fst_call_arena(fst_call *call, int64_t bytes) {
  fst_ctx *ctx = fst_ctx_of(call);
  if (bytes < 0 || bytes > INT64_MAX / 2) {
    fst_ctx_raise_memory(ctx);
    return NULL;
  }
  if ((size_t)bytes <= ctx->arena_bytes && ctx->arena) return ctx->arena;
  size_t want = ((size_t)bytes + 4095) / 4096 * 4096;
  if (!want) want = 4096;
  free(ctx->arena);
  ctx->arena = aligned_alloc(64, want);
  ctx->arena_bytes = ctx->arena ? want : 0;
  if (!ctx->arena) fst_ctx_raise_memory(ctx);
  return ctx->arena;
}

void *fst_call_scratch(fst_call *call, int64_t bytes) {
  fst_ctx *ctx = fst_ctx_of(call);
  if (bytes < 0 || bytes > INT64_MAX / 2) {
    fst_ctx_raise_memory(ctx);
    return NULL;
  }
  size_t total = 64 + ((size_t)bytes + 63) / 64 * 64;
  fst_scratch *block = aligned_alloc(64, total);
  if (!block) {
    fst_ctx_raise_memory(ctx);
    return NULL;
  }
  block->next = ctx->scratch;
  block->bytes = total;
  ctx->scratch = block;
  return (char *)block + 64;
}

static void keep(void *arena) { (void)arena; }   // the context's, not the storage's

// A storage of the call for a tensor whose data lies in the arena.
static fst_storage_obj *arena_storage(fst_ctx *ctx, char *data, int64_t dtype, int64_t rank, const int64_t *shape) {
  int64_t low = 0, high = 1, elem = (int64_t)fst_dtype_size((fst_dtype)dtype);
  for (int64_t d = 0; d < rank; d++) {
    int64_t reach = shape[d] > 0 ? (shape[d] - 1) * shape[rank + d] : 0;
    if (reach < 0) low += reach;
    else high += reach;
  }
  fst_storage_obj *storage = NULL;
  bool on_device = ctx->device && ctx->device->is_entered;
  if (!on_device) storage = fst_storage_wrap(data + low * elem, (high - low) * elem, NULL, NULL);
  else fst_error_free(fst_device_storage_lend(ctx->device->accel, data + low * elem, (high - low) * elem, keep, NULL, &storage));
  storage = fst_ctx_own(ctx, storage, FST_TAG_STORAGE, sizeof *storage);
  storage->head.flags |= FST_OBJ_ARENA;
  return storage;
}

void *fst_call_tensor_new(fst_call *call, void *storage, void *data, int64_t dtype, int64_t rank, const int64_t *shape) {
  fst_ctx *ctx = fst_ctx_of(call);
  if (!storage) storage = arena_storage(ctx, data, dtype, rank, shape);
  fst_tensor_obj *t = fst_tensor_make(storage, data, (int)dtype, (int)rank, shape);
  return fst_ctx_own(ctx, t, FST_TAG_TENSOR, sizeof *t + 2 * (size_t)rank * sizeof(int64_t));
}

void fst_call_state_set(fst_call *call, int64_t slot, const void *val) {
  fst_ctx *ctx = fst_ctx_of(call);
  fst_val old = call->state[slot], now = *(const fst_val *)val;
  fst_val_retain(&now);
  // Only a tensor can lie in the arena; what it is stored in was made with it as an escaping value.
  if (now.tag == FST_TAG_TENSOR && !(now.p->flags & FST_OBJ_IMMORTAL) && !fst_val_detach(&now)) fst_ctx_raise_memory(ctx);
  call->state[slot] = now;
  fst_ctx_keep_val(ctx, &old);  // the code may still use what it read from the slot
}

int32_t fst_call_failed(fst_call *call) { return fst_ctx_of(call)->raised.set; }
