// One call whose tensors live on a device: the device's part of a context, and what moves values to and fro.
#ifndef FST_RUNTIME_DEVICE_CALL_H
#define FST_RUNTIME_DEVICE_CALL_H

#include "runtime/call.h"
#include "runtime/device.h"

typedef struct fst_device_pair { fst_storage_obj *host, *device; } fst_device_pair;   // the same memory, seen from both sides

typedef struct fst_device_report { int64_t text, loc; } fst_device_report;
enum { FST_DEVICE_REPORTS = 128 };   // more than so many at once are looked at in between

// What code asks for beside storages.
typedef struct fst_device_memory {
  void *arena, *kernel_scratch;
  size_t arena_bytes, kernel_scratch_bytes;
  void *reports;              // FST_DEVICE_REPORTS of i64[3]; all 0 but for kernels that found something wrong
  void **scratch;             // freed when the call ends
  size_t scratch_len, scratch_cap;
} fst_device_memory;

// Kept with its context from call to call.
typedef struct fst_device_call {
  fst_accel *accel;
  fst_stream *stream;
  fst_device_memory memory;
  fst_device_report reported[FST_DEVICE_REPORTS];   // a row for each report that is given out in this call
  size_t report_count;
  void *settled;              // where they are looked at
  fst_device_pair *pairs;     // storages that came from the host in this call; held
  size_t pair_count, pair_cap;
  bool is_entered, is_waited, is_recording;
  const char *last_kernel;    // launched since the device was last waited for; NULL: none
  uint32_t arg_count;         // of this call
  struct fst_device_graph *graphs;   // what was wanted last first
  fst_device_work work;       // of this call
} fst_device_call;
void fst_device_memory_free(fst_device_call *d, fst_device_memory *memory);

// The table that code for a device calls through.
extern const fst_calls fst_device_calls_table;

// Makes the context ready for a call on the device, whose table is then in ctx->call; `finish` goes with it, also after a
// failure. Work starts after what others have put into the default stream when `is_shared`.
fst_status fst_device_call_begin(fst_ctx *ctx, fst_accel *accel, bool is_shared, uint32_t arg_count);
// Looks at what kernels have reported; nonzero, and an error recorded, where something is wrong.
int32_t fst_device_call_settle(fst_ctx *ctx);
// Waits for the device. A failure of it is reported here at the latest.
fst_status fst_device_call_wait(fst_ctx *ctx);
void fst_device_call_finish(fst_ctx *ctx);
void fst_device_call_destroy(fst_ctx *ctx);   // with its context

// An error where a storage lies on another device.
fst_status fst_device_check_there(const fst_accel *accel, const fst_storage_obj *storage);
// Says that the two are the same memory: until the call ends, the one stands for the other.
fst_status fst_device_pair_add(fst_device_call *d, fst_storage_obj *host, fst_storage_obj *device);
// An argument as the code wants it: tensors on the device, containers that hold any copied. The pool holds it.
fst_status fst_device_argument(fst_ctx *ctx, fst_val *val);
// After the call has written into what came from the host: into the host's memory with it. `given`: what the caller passed,
// `taken`: what fst_device_argument made of it.
fst_status fst_device_write_back(fst_ctx *ctx, const fst_val *given, const fst_val *taken);
// A value with its tensors in the host's memory: what came from there is the same memory again. Takes over `val`'s
// reference and gives one.
fst_status fst_device_home(fst_ctx *ctx, fst_val *val);
// Copies elements between tensors of one dtype and shape on the device, any strides; false: an error is recorded.
bool fst_device_copy_elements(fst_ctx *ctx, const fst_tensor_obj *to, const fst_tensor_obj *from);
// Does it hold a tensor on a device (`on_device`), or one of the host's?
bool fst_val_has_tensor(const fst_val *val, bool on_device);

#endif
