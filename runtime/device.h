// Devices that are not the CPU, as the runtime sees them: opened through a library (base/device_abi.h), shared by all
// that lives on them, closed with the last of it. Where a call runs on one, see runtime/device_call.h.
#ifndef FST_RUNTIME_DEVICE_H
#define FST_RUNTIME_DEVICE_H

#include <pthread.h>
#include <stdbool.h>

#include "base/abi.h"
#include "base/device_abi.h"

typedef struct fst_accel {
  uint32_t refs;           // guarded by the lock of all devices
  const fst_device_api *api;
  fst_device *device;
  int index;               // of "cuda:1"
  bool is_synchronous;     // FIRESTEEL_CUDA_SYNC: every launch is waited for, so that errors name their kernel
  pthread_mutex_t lock;    // guards `stream`
  fst_stream *stream;      // for work outside of calls
  struct fst_accel *next;
} fst_accel;

// "cuda" or "cuda:1". The library is libfiresteel_cuda.so beside this one, or what FIRESTEEL_CUDA_LIBRARY names.
fst_status fst_accel_open(const char *name, fst_accel **out);
void fst_accel_retain(fst_accel *accel);
void fst_accel_release(fst_accel *accel);   // NULL is allowed

// ---- memory as storages; in a call they are made, filled and freed in the order of its stream ----
fst_status fst_device_storage_make(fst_accel *accel, int64_t bytes, fst_storage_obj **out);
// Memory of the caller's on the device; it goes back by `drop`, which gets `owner`.
fst_status fst_device_storage_lend(fst_accel *accel, void *data, int64_t bytes, void (*drop)(void *owner), void *owner, fst_storage_obj **out);
static inline bool fst_storage_on_device(const fst_storage_obj *storage) { return storage->head.flags & FST_OBJ_DEVICE; }
// Has this process ever had a tensor on a device?
bool fst_device_tensors_exist(void);
fst_accel *fst_storage_accel(const fst_storage_obj *storage);   // of one on a device
// Copies of all bytes: on the same device, from the device, to the device.
fst_status fst_device_storage_copy(const fst_storage_obj *from, fst_storage_obj **out);
fst_status fst_device_storage_home(const fst_storage_obj *from, fst_storage_obj **out);
fst_status fst_device_storage_send(fst_accel *accel, const fst_storage_obj *from, fst_storage_obj **out);
fst_status fst_device_upload(fst_accel *accel, void *to, const void *from, int64_t bytes);
fst_status fst_device_download(fst_accel *accel, void *to, const void *from, int64_t bytes);

// What a call has done on a device.
typedef struct fst_device_work {
  int64_t launches;
  int64_t copies_in, copies_out;   // of tensors and numbers between host and device
  int64_t graphs;                  // replayed
} fst_device_work;
// Until the next time the functions above work in this stream of a call and count into `work`; NULL: each waits for what
// it does. While the stream records, memory is taken beside it, and what needs the host fails. Of this thread.
void fst_device_stream_use(fst_stream *stream, fst_device_work *work, bool records);

#endif
