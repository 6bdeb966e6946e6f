// One call in progress: what generated code gets as fst_call, with the runtime's own part behind it. A
// context is leased for a call and reused by later ones; it belongs to one thread at a time.
#ifndef FST_RUNTIME_CALL_H
#define FST_RUNTIME_CALL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/abi.h"
#include "base/status.h"
#include "runtime/plan.h"

struct fst_tensor_obj;
struct fst_device_call;
typedef struct fst_scratch fst_scratch;

// What a model raised, or what went wrong in a call.
typedef struct fst_raised {
  bool set;
  bool is_memory;     // out of memory: no text of its own was made
  char *cls;          // "ValueError"
  char *message;
  uint32_t loc;       // plan location, 0 when unknown
  int code;           // of the failure, when it is not the model's own
} fst_raised;

typedef struct fst_ctx {
  fst_call call;      // first: generated code sees only this
  const fst_plan *plan;
  // Runs an op of the fallback table; set by whoever owns the model.
  int32_t (*fallback)(struct fst_ctx *ctx, int64_t op, int64_t count, const fst_val *vals, int64_t results, fst_val *out);
  void *owner;        // the instance
  struct fst_bound *bound;  // the artifact that runs, with its counters
  fst_obj **pool;     // one reference each, dropped when the call ends
  size_t pool_len, pool_cap;
  char *arena;
  size_t arena_bytes;
  fst_scratch *scratch;
  size_t scratch_bytes;
  fst_raised raised;
  // Where objects come from when memory is out: zeroed, never freed before the context. Generated code may
  // touch what it asked for until it sees the error.
  char *reserve;
  struct fst_device_call *device;   // NULL: no call of it has run on a device
  struct fst_ctx *next;  // in the list of idle contexts
} fst_ctx;

extern const fst_calls fst_calls_table;

fst_ctx *fst_ctx_create(void);       // NULL: memory is out
void fst_ctx_destroy(fst_ctx *ctx);  // NULL is allowed
// Drops what the call made; keeps arena and pool memory for the next one.
void fst_ctx_end(fst_ctx *ctx);

static inline fst_ctx *fst_ctx_of(fst_call *call) { return (fst_ctx *)(void *)call; }

// Puts an object, with one reference, into the pool. Never fails: without memory the error is recorded and
// the object stays alive for good, since generated code may still hold it.
void fst_ctx_keep(fst_ctx *ctx, fst_obj *obj);
static inline bool fst_tag_is_counted(uint32_t tag) {
  return (tag >= FST_TAG_COMPLEX && tag <= FST_TAG_OBJECT) || tag == FST_TAG_OPAQUE;
}
// The same for a value that was taken out of a container or a slot.
static inline void fst_ctx_keep_val(fst_ctx *ctx, const fst_val *val) {
  if (fst_tag_is_counted(val->tag)) fst_ctx_keep(ctx, val->p);
}
// Pools a fresh object (NULL: memory was out) and returns it, or a stand-in of `bytes` zeroed bytes.
void *fst_ctx_own(fst_ctx *ctx, void *obj, fst_tag tag, size_t bytes);

// Records an error unless one is recorded; always returns 1.
int32_t fst_ctx_raise(fst_ctx *ctx, const char *cls, int64_t loc, const char *fmt, ...) FST_PRINTF(4, 5);
int32_t fst_ctx_raise_text(fst_ctx *ctx, const char *cls, int64_t loc, const char *message, size_t len);
int32_t fst_ctx_raise_memory(fst_ctx *ctx);
void fst_raised_deinit(fst_raised *raised);

#endif
