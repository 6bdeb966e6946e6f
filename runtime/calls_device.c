// The call table of code for a device: memory is the device's, kernels are launched, and what reads a tensor's elements
// on the host (tolist(), ops of libtorch; printing does it itself) gets a copy of them first, which is counted.
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "runtime/artifact.h"
#include "runtime/calls.h"
#include "runtime/device_call.h"
#include "runtime/model.h"

// Records the device's error at a line of the model; takes the status; 0 when there is none.
static int32_t failed(fst_ctx *ctx, fst_status status, int64_t loc) {
  if (!status) return 0;
  bool is_new = !ctx->raised.set;
  fst_ctx_raise_text(ctx, "RuntimeError", loc, status->message, strlen(status->message));
  if (is_new && !ctx->raised.is_memory) ctx->raised.code = status->code;
  fst_error_free(status);
  return 1;
}

static int32_t no_device(fst_ctx *ctx) {
  if (ctx->device) return 0;
  return fst_ctx_raise(ctx, "RuntimeError", 0, "code for a device was called without one");
}

// ---- memory ----------------------------------------------------------------------------------------

static void *device_storage_new(fst_call *call, int64_t bytes) {
  fst_ctx *ctx = fst_ctx_of(call);
  fst_storage_obj *storage = NULL;
  if (bytes > INT64_MAX / 2) bytes = -1;
  failed(ctx, fst_device_storage_make(ctx->device->accel, bytes, &storage), 0);
  return fst_ctx_own(ctx, storage, FST_TAG_STORAGE, sizeof *storage);
}

// In the order of the stream; beside it while it records.
static int32_t memory_take(fst_ctx *ctx, size_t bytes, void **out) {
  fst_device_call *d = ctx->device;
  return failed(ctx, d->accel->api->alloc(d->accel->device, d->is_recording ? NULL : d->stream, bytes, out), 0);
}

static bool scratch_push(fst_ctx *ctx, void *block) {
  fst_device_memory *m = &ctx->device->memory;
  if (m->scratch_len == m->scratch_cap) {
    size_t cap = m->scratch_cap ? 2 * m->scratch_cap : 16;
    void **scratch = realloc(m->scratch, cap * sizeof *scratch);
    if (!scratch) return false;
    m->scratch = scratch;
    m->scratch_cap = cap;
  }
  m->scratch[m->scratch_len++] = block;
  return true;
}

// One block that grows. Work that is still to be done with the old one comes first, so it is let go when the call ends.
static void *grown(fst_ctx *ctx, void **block, size_t *have, int64_t bytes) {
  enum { GRAIN = 1 << 16 };
  if (*block && bytes >= 0 && (size_t)bytes <= *have) return *block;
  if (bytes < 0 || bytes > INT64_MAX / 2 || (*block && !scratch_push(ctx, *block))) {
    fst_ctx_raise_memory(ctx);
    return NULL;
  }
  size_t want = ((size_t)bytes / GRAIN + 1) * GRAIN;
  *block = NULL;
  *have = 0;
  if (memory_take(ctx, want, block)) return *block = NULL;
  *have = want;
  return *block;
}

static void *device_arena(fst_call *call, int64_t bytes) {
  fst_ctx *ctx = fst_ctx_of(call);
  fst_device_memory *m = &ctx->device->memory;
  void *arena = grown(ctx, &m->arena, &m->arena_bytes, bytes);
  ctx->arena_bytes = m->arena_bytes;   // for the report
  return arena;
}

void *fst_call_kernel_scratch(fst_call *call, int64_t bytes) {
  fst_ctx *ctx = fst_ctx_of(call);
  if (no_device(ctx)) return NULL;
  return grown(ctx, &ctx->device->memory.kernel_scratch, &ctx->device->memory.kernel_scratch_bytes, bytes);
}

static void *device_scratch(fst_call *call, int64_t bytes) {
  fst_ctx *ctx = fst_ctx_of(call);
  void *memory = NULL;
  if (bytes < 0 || bytes > INT64_MAX / 2) {
    fst_ctx_raise_memory(ctx);
    return NULL;
  }
  if (memory_take(ctx, (size_t)bytes, &memory)) return NULL;
  if (scratch_push(ctx, memory)) return memory;
  ctx->device->accel->api->release(ctx->device->accel->device, ctx->device->is_recording ? NULL : ctx->device->stream, memory, 0);
  fst_ctx_raise_memory(ctx);
  return NULL;
}

// ---- copies ----------------------------------------------------------------------------------------

int32_t fst_call_fetch(fst_call *call, void *to, const void *from, int64_t bytes) {
  fst_ctx *ctx = fst_ctx_of(call);
  if (no_device(ctx)) return 1;
  fst_device_call *d = ctx->device;
  if (fst_device_call_settle(ctx)) return 1;   // what was wrong first is raised first
  fst_status status = fst_device_download(d->accel, to, from, bytes);
  if (status && d->last_kernel) status = fst_error_prefix(status, "a kernel failed (the last one was %s; FIRESTEEL_CUDA_SYNC=1 in the environment shows which)", d->last_kernel);
  return failed(ctx, status, 0);
}

int32_t fst_call_move(fst_call *call, void *to, const void *from, int64_t bytes) {
  fst_ctx *ctx = fst_ctx_of(call);
  if (no_device(ctx)) return 1;
  return failed(ctx, ctx->device->accel->api->copy(ctx->device->stream, to, (size_t)bytes, from, (size_t)bytes, (size_t)bytes, 1), 0);
}

typedef struct run { int64_t size, to, from; } run;   // a dimension: how many steps of so many bytes

// One copy moves a block that lies in one piece on both sides, as often as the innermost dimension around it says.
static fst_status rows_copy(fst_device_call *d, char *to, const char *from, int64_t bytes, const run *runs, int count) {
  const fst_device_api *api = d->accel->api;
  if (!count) return api->copy(d->stream, to, (size_t)bytes, from, (size_t)bytes, (size_t)bytes, 1);
  const run *r = &runs[0];
  if (count == 1 && r->from >= bytes && r->to >= bytes) return api->copy(d->stream, to, (size_t)r->to, from, (size_t)r->from, (size_t)bytes, (size_t)r->size);
  for (int64_t i = 0; i < r->size; i++) FST_TRY(rows_copy(d, to + i * r->to, from + i * r->from, bytes, runs + 1, count - 1));
  return NULL;
}

bool fst_device_copy_elements(fst_ctx *ctx, const fst_tensor_obj *to, const fst_tensor_obj *from) {
  int64_t bytes = (int64_t)fst_dtype_size((fst_dtype)from->dtype), elem = bytes;
  run runs[FST_PLAN_MAX_RANK];
  int count = 0;
  if (!fst_tensor_numel(from)) return true;
  for (int d = from->rank - 1; d >= 0; d--) {
    run r = {from->shape[d], to->shape[to->rank + d] * elem, from->shape[from->rank + d] * elem};
    if (r.size == 1) continue;
    run *inner = count ? &runs[count - 1] : NULL;
    if (!inner && r.to == bytes && r.from == bytes) bytes *= r.size;   // grows the piece
    else if (inner && r.to == inner->to * inner->size && r.from == inner->from * inner->size) inner->size *= r.size;
    else runs[count++] = r;
  }
  for (int i = 0; i < count / 2; i++) {   // outermost first
    run r = runs[i];
    runs[i] = runs[count - 1 - i];
    runs[count - 1 - i] = r;
  }
  return !failed(ctx, rows_copy(ctx->device, to->data, from->data, bytes, runs, count), 0);
}

// ---- reports ---------------------------------------------------------------------------------------

enum { REPORT_BYTES = 3 * sizeof(int64_t), REPORTS_BYTES = FST_DEVICE_REPORTS * REPORT_BYTES };

void *fst_call_report(fst_call *call, int64_t text, int64_t loc) {
  fst_ctx *ctx = fst_ctx_of(call);
  if (no_device(ctx)) return NULL;
  fst_device_call *d = ctx->device;
  const fst_device_api *api = d->accel->api;
  if (d->report_count == FST_DEVICE_REPORTS && fst_device_call_settle(ctx)) return NULL;
  fst_device_memory *m = &d->memory;
  if (!m->reports) {
    if (memory_take(ctx, REPORTS_BYTES, &m->reports)) return m->reports = NULL;
    if (failed(ctx, api->clear(d->stream, m->reports, REPORTS_BYTES), loc)) return NULL;
  }
  d->settled = m->reports;
  d->reported[d->report_count] = (fst_device_report){text, loc};
  return (char *)m->reports + d->report_count++ * REPORT_BYTES;
}

int32_t fst_device_call_settle(fst_ctx *ctx) {
  fst_device_call *d = ctx->device;
  int64_t found[FST_DEVICE_REPORTS][3];
  size_t count = d->report_count;
  if (!count) return 0;
  d->report_count = 0;
  if (failed(ctx, fst_device_download(d->accel, found, d->settled, (int64_t)(count * REPORT_BYTES)), 0)) return 1;
  for (size_t i = 0; i < count; i++) {
    if (!found[i][0]) continue;
    failed(ctx, d->accel->api->clear(d->stream, d->settled, REPORTS_BYTES), 0);   // for the next call
    return fst_call_raise_text(&ctx->call, d->reported[i].text, 2, &found[i][1], d->reported[i].loc);
  }
  return 0;
}

int32_t fst_call_settle(fst_call *call) { return no_device(fst_ctx_of(call)) || fst_device_call_settle(fst_ctx_of(call)); }

static int32_t device_raise(fst_call *call, int64_t cls, void *message, int64_t loc) {
  return fst_device_call_settle(fst_ctx_of(call)) || fst_call_raise(call, cls, message, loc);
}

static int32_t device_raise_text(fst_call *call, int64_t text, int64_t count, const void *numbers, int64_t loc) {
  return fst_device_call_settle(fst_ctx_of(call)) || fst_call_raise_text(call, text, count, numbers, loc);
}

// ---- kernels ---------------------------------------------------------------------------------------

int32_t fst_call_launch(fst_call *call, int64_t kernel, int64_t x, int64_t y, int64_t z, const void *args, int64_t loc) {
  fst_ctx *ctx = fst_ctx_of(call);
  if (no_device(ctx)) return 1;
  fst_device_call *d = ctx->device;
  const fst_plan_kernel *k = &ctx->plan->kernels[kernel];
  const char *name = fst_plan_text(ctx->plan, k->name);
  void *pointers[FST_PLAN_MAX_KERNEL_ARGS];
  if (x <= 0 || y <= 0 || z <= 0) return 0;
  if (x > INT32_MAX || y > 65535 || z > 65535)
    return fst_ctx_raise(ctx, "RuntimeError", loc, "kernel %s would need a grid of %lld x %lld x %lld blocks, more than a device takes", name, (long long)x, (long long)y, (long long)z);
  for (uint32_t i = 0; i < k->arg_count; i++) pointers[i] = (char *)(uintptr_t)args + 8 * (size_t)i;
  const uint32_t grid[3] = {(uint32_t)x, (uint32_t)y, (uint32_t)z};
  d->work.launches++;
  d->last_kernel = name;
  fst_status status = d->accel->api->launch(d->stream, ctx->bound->artifact->functions[kernel], grid, k->threads, k->shared_bytes, pointers, k->arg_count);
  if (!status && d->accel->is_synchronous && !d->is_recording) status = d->accel->api->stream_wait(d->stream);
  if (!status) return 0;
  return failed(ctx, fst_error_prefix(status, "kernel %s", name), loc);
}

// ---- what reads tensors on the host ----------------------------------------------------------------

// The values with all tensors in the host's memory, in an array of the call's; NULL: an error is recorded.
static const fst_val *homes(fst_ctx *ctx, const fst_val *vals, int64_t count) {
  fst_val *out = fst_call_scratch(&ctx->call, count * (int64_t)sizeof *out);
  for (int64_t i = 0; out && i < count; i++) {
    out[i] = vals[i];
    if (!fst_val_is_obj(&out[i]) || !fst_val_has_tensor(&out[i], true)) continue;
    fst_val_retain(&out[i]);
    if (failed(ctx, fst_device_home(ctx, &out[i]), 0)) return NULL;
    fst_ctx_keep(ctx, out[i].p);
  }
  return out;
}

static int32_t device_tensor_list(fst_call *call, void *tensor, int64_t depth, int64_t tag, int64_t loc, void *out) {
  fst_val val = fst_val_obj(tensor);
  const fst_val *here = homes(fst_ctx_of(call), &val, 1);
  return here ? fst_call_tensor_list(call, here->p, depth, tag, loc, out) : 1;
}

static void device_list_numbers(fst_call *call, void *list, int64_t dtype, void *out) {
  fst_ctx *ctx = fst_ctx_of(call);
  int64_t bytes = ((fst_list_obj *)list)->len * (int64_t)fst_dtype_size((fst_dtype)dtype);
  void *here = fst_call_scratch(call, bytes);
  if (!here) return;
  fst_call_list_numbers(call, list, dtype, here);
  failed(ctx, fst_device_upload(ctx->device->accel, out, here, bytes), 0);
}

// Does the op write into an argument of its? Such are marked with an exclamation mark.
static bool op_writes(const char *schema) {
  size_t arguments = strcspn(schema, ">");
  const char *mark = strchr(schema, '!');
  return mark && (size_t)(mark - schema) < arguments;
}

static fst_storage_obj *storage_of(const fst_val *tensor) { return ((fst_tensor_obj *)(void *)tensor->p)->storage; }

// libtorch computes on the CPU: what it gets and gives is copied there and back. Views of arguments stay views.
static int32_t device_fallback(fst_call *call, int64_t op, int64_t count, const void *vals, int64_t results, void *out) {
  fst_ctx *ctx = fst_ctx_of(call);
  fst_device_call *d = ctx->device;
  const char *schema = fst_plan_text(ctx->plan, ctx->plan->fallbacks[op]);
  const fst_val *given = vals;
  fst_val *result = out;
  if (op_writes(schema)) return fst_ctx_raise(ctx, "RuntimeError", 0, "%.*s writes into its argument and has no native code: it cannot run on a device", (int)strcspn(schema, "("), schema);
  const fst_val *here = homes(ctx, given, count);
  if (!here) return 1;
  // A result in the memory of an argument is found there again.
  for (int64_t i = 0; i < count; i++)
    if (here[i].tag == FST_TAG_TENSOR && failed(ctx, fst_device_pair_add(d, storage_of(&here[i]), storage_of(&given[i])), 0)) return 1;
  if (fst_call_fallback(call, op, count, here, results, out)) return 1;
  for (int64_t i = 0; i < results; i++)
    if (failed(ctx, fst_device_argument(ctx, &result[i]), 0)) return 1;
  return 0;
}

// ---- the table -------------------------------------------------------------------------------------

// All other rows are the CPU's own.
#define fst_call_raise device_raise
#define fst_call_raise_text device_raise_text
#define fst_call_storage_new device_storage_new
#define fst_call_arena device_arena
#define fst_call_scratch device_scratch
#define fst_call_tensor_list device_tensor_list
#define fst_call_list_numbers device_list_numbers
#define fst_call_fallback device_fallback
const fst_calls fst_device_calls_table = {
  .version = FST_ABI_VERSION,
#define CALL(name, ret, params, args, doc) .name = fst_call_##name,
#include "base/calls.def"
#undef CALL
};
