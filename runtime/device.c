#define _GNU_SOURCE
#include "runtime/device.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/buf.h"
#include "runtime/model.h"

// ---- opening ---------------------------------------------------------------------------------------

static pthread_mutex_t devices_lock = PTHREAD_MUTEX_INITIALIZER;   // guards what follows
static const fst_device_api *library_api;
static fst_accel *devices;

static fst_status library_load(const char *path) {
  // Never closed: statuses and storages hold pointers into it.
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  union { void *at; fst_device_library_fn call; } symbol = {.at = library ? dlsym(library, FST_DEVICE_LIBRARY) : NULL};
  if (!symbol.at) {
    const char *why = dlerror();
    return FST_FAIL(FST_ERR_NOT_FOUND, "cannot open the library for CUDA devices: %s", why ? why : path);
  }
  const fst_device_api *api = symbol.call();
  if (api->version != FST_DEVICE_VERSION) return FST_FAIL(FST_ERR_UNSUPPORTED, "%s is of another version of Firesteel (its interface is %u, this runtime has %u)", path, api->version, FST_DEVICE_VERSION);
  library_api = api;
  return NULL;
}

static fst_status library_open(void) {
  if (library_api) return NULL;
  const char *given = getenv("FIRESTEEL_CUDA_LIBRARY");
  fst_buf path = {0};
  char *folder = given && *given ? NULL : fst_library_folder();
  if (given && *given) fst_buf_puts(&path, given);
  else fst_buf_printf(&path, "%s/libfiresteel_cuda.so", folder ? folder : ".");
  free(folder);
  fst_status status = path.failed ? FST_FAIL(FST_ERR_RESOURCE, "out of memory") : library_load(path.data);
  fst_buf_deinit(&path);
  return status;
}

static fst_status name_parse(const char *name, int *out_index) {
  char *end = "";
  long index = 0;
  bool ok = strncmp(name, "cuda", 4) == 0;
  if (ok && name[4]) {
    ok = name[4] == ':' && name[5] >= '0' && name[5] <= '9';
    if (ok) index = strtol(name + 5, &end, 10);
  }
  if (!ok || *end || index > 127) return FST_FAIL(FST_ERR_INVALID, "unknown device '%s': expected cpu, cuda, or cuda:N with N from 0 to 127", name);
  *out_index = (int)index;
  return NULL;
}

static fst_status accel_make(int index, fst_accel **out) {
  FST_TRY(library_open());
  const fst_device_api *api = library_api;
  fst_accel *a = calloc(1, sizeof *a);
  if (!a) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  *a = (fst_accel){.refs = 1, .api = api, .index = index, .next = devices};
  const char *synchronous = getenv("FIRESTEEL_CUDA_SYNC");
  a->is_synchronous = synchronous && *synchronous && strcmp(synchronous, "0") != 0;
  fst_status status = api->open(index, &a->device);
  if (!status) status = api->stream_create(a->device, &a->stream);
  if (!status && pthread_mutex_init(&a->lock, NULL) != 0) status = FST_FAIL(FST_ERR_RESOURCE, "cannot make a lock");
  if (status) {
    if (a->stream) api->stream_destroy(a->stream);
    if (a->device) api->close(a->device);
    free(a);
    return status;
  }
  *out = devices = a;
  return NULL;
}

fst_status fst_accel_open(const char *name, fst_accel **out) {
  int index = 0;
  FST_TRY(name_parse(name, &index));
  pthread_mutex_lock(&devices_lock);
  fst_accel *a = devices;
  while (a && a->index != index) a = a->next;
  fst_status status = NULL;
  if (a) a->refs++;
  else status = accel_make(index, &a);
  pthread_mutex_unlock(&devices_lock);
  if (!status) *out = a;
  return status;
}

void fst_accel_retain(fst_accel *a) {
  pthread_mutex_lock(&devices_lock);
  a->refs++;
  pthread_mutex_unlock(&devices_lock);
}

void fst_accel_release(fst_accel *a) {
  if (!a) return;
  pthread_mutex_lock(&devices_lock);
  if (--a->refs == 0) {
    fst_accel **at = &devices;
    while (*at != a) at = &(*at)->next;
    *at = a->next;
    a->api->stream_destroy(a->stream);
    a->api->close(a->device);
    pthread_mutex_destroy(&a->lock);
    free(a);
  }
  pthread_mutex_unlock(&devices_lock);
}

// ---- storages --------------------------------------------------------------------------------------

static _Thread_local fst_stream *current;
static _Thread_local fst_device_work *current_work;
static _Thread_local bool is_recording;

void fst_device_stream_use(fst_stream *stream, fst_device_work *work, bool records) {
  current = stream;
  is_recording = records;
  current_work = work;
}

// A block for each storage: freed in no stream, since the call that used it has waited for its own.
typedef struct device_memory {
  fst_accel *accel;
  void (*drop)(void *owner);   // of memory that is the caller's
  void *owner;
} device_memory;

static void memory_drop(fst_storage_obj *storage) {
  device_memory *m = storage->owner;
  if (m->drop) m->drop(m->owner);
  else m->accel->api->release(m->accel->device, NULL, storage->data, storage->head.flags & FST_OBJ_LENT);
  fst_accel_release(m->accel);
  free(m);
}

static bool tensors_exist;

bool fst_device_tensors_exist(void) { return __atomic_load_n(&tensors_exist, __ATOMIC_RELAXED); }

fst_accel *fst_storage_accel(const fst_storage_obj *storage) { return ((const device_memory *)storage->owner)->accel; }

fst_status fst_device_storage_lend(fst_accel *accel, void *data, int64_t bytes, void (*drop)(void *owner), void *owner, fst_storage_obj **out) {
  device_memory *m = malloc(sizeof *m);
  fst_storage_obj *storage = m ? fst_storage_wrap(data, bytes, memory_drop, m) : NULL;
  if (!storage) {
    free(m);
    return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  }
  *m = (device_memory){accel, drop, owner};
  storage->head.flags |= FST_OBJ_DEVICE;
  fst_accel_retain(accel);
  __atomic_store_n(&tensors_exist, true, __ATOMIC_RELAXED);
  *out = storage;
  return NULL;
}

fst_status fst_device_storage_make(fst_accel *accel, int64_t bytes, fst_storage_obj **out) {
  void *data;
  if (bytes < 0) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  fst_stream *stream = is_recording ? NULL : current;
  FST_TRY(accel->api->alloc(accel->device, stream, (size_t)bytes, &data));
  fst_status status = fst_device_storage_lend(accel, data, bytes, NULL, NULL, out);
  if (status) accel->api->release(accel->device, stream, data, 0);
  return status;
}

// ---- copies ----------------------------------------------------------------------------------------

typedef fst_status (*transfer_fn)(const fst_device_api *api, fst_stream *stream, void *to, const void *from, size_t bytes);

static fst_status send(const fst_device_api *api, fst_stream *stream, void *to, const void *from, size_t bytes) {
  if (is_recording) return FST_FAIL(FST_ERR_UNSUPPORTED, "a graph cannot copy from the host");
  if (current_work) current_work->copies_in++;
  return api->upload(stream, to, from, bytes);
}
static fst_status fetch(const fst_device_api *api, fst_stream *stream, void *to, const void *from, size_t bytes) {
  if (is_recording) return FST_FAIL(FST_ERR_UNSUPPORTED, "a graph cannot copy to the host");
  if (current_work) current_work->copies_out++;
  return api->download(stream, to, from, bytes);
}
static fst_status move(const fst_device_api *api, fst_stream *stream, void *to, const void *from, size_t bytes) { return api->copy(stream, to, bytes, from, bytes, bytes, 1); }

// In the call's stream, or in the device's own and then waited for.
static fst_status transfer(fst_accel *a, transfer_fn what, void *to, const void *from, int64_t bytes) {
  if (current) return what(a->api, current, to, from, (size_t)bytes);
  FST_TRY(a->api->enter(a->device));
  pthread_mutex_lock(&a->lock);
  fst_status status = what(a->api, a->stream, to, from, (size_t)bytes);
  if (!status) status = a->api->stream_wait(a->stream);
  pthread_mutex_unlock(&a->lock);
  a->api->leave(a->device);
  return status;
}

fst_status fst_device_upload(fst_accel *accel, void *to, const void *from, int64_t bytes) { return transfer(accel, send, to, from, bytes); }
fst_status fst_device_download(fst_accel *accel, void *to, const void *from, int64_t bytes) { return transfer(accel, fetch, to, from, bytes); }

static fst_status filled(fst_accel *accel, transfer_fn what, fst_storage_obj *storage, const void *from, fst_storage_obj **out) {
  fst_status status = transfer(accel, what, storage->data, from, storage->bytes);
  if (status) fst_obj_release(&storage->head);
  else *out = storage;
  return status;
}

fst_status fst_device_storage_copy(const fst_storage_obj *from, fst_storage_obj **out) {
  fst_storage_obj *to;
  FST_TRY(fst_device_storage_make(fst_storage_accel(from), from->bytes, &to));
  return filled(fst_storage_accel(from), move, to, from->data, out);
}

fst_status fst_device_storage_home(const fst_storage_obj *from, fst_storage_obj **out) {
  fst_storage_obj *to = fst_storage_make(from->bytes);
  if (!to) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  return filled(fst_storage_accel(from), fetch, to, from->data, out);
}

fst_status fst_device_storage_send(fst_accel *accel, const fst_storage_obj *from, fst_storage_obj **out) {
  fst_storage_obj *to;
  FST_TRY(fst_device_storage_make(accel, from->bytes, &to));
  return filled(accel, send, to, from->data, out);
}
