// What the runtime and a device library share: memory, copies and kernels on a device that is not the CPU. The
// runtime opens the library when a model is opened for such a device, never before, looks FST_DEVICE_LIBRARY up and
// drives the device through the functions of the table. libfiresteel_cuda.so has them over the CUDA driver.
//
// Threads: any, several at once; a stream belongs to one of them at a time. What is put into a stream (copies,
// launches) happens in its order, later than the call that put it there, unless said otherwise. A failing function
// says in its status what the device's driver calls the error.
#ifndef FST_BASE_DEVICE_ABI_H
#define FST_BASE_DEVICE_ABI_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define FST_DEVICE_VERSION 1

typedef struct fst_device fst_device;         // opened
typedef struct fst_stream fst_stream;         // a queue of work
typedef struct fst_image fst_image;           // kernels, loaded
typedef struct fst_function fst_function;     // one of them
typedef struct fst_recording fst_recording;   // work to be done again and again

typedef struct fst_device_facts {
  char name[128];          // "NVIDIA H100 80GB HBM3"
  char arch[16];           // what kernels are compiled for: "sm_90"
  int64_t memory_bytes;
} fst_device_facts;

typedef struct fst_device_api {
  uint32_t version;        // FST_DEVICE_VERSION

  fst_status (*open)(int index, fst_device **out);
  void (*close)(fst_device *device);                  // nothing of it is in use any more
  const fst_device_facts *(*facts)(const fst_device *device);
  // A thread works with the device between the two; they nest. The functions that take a device itself need neither.
  fst_status (*enter)(fst_device *device);
  void (*leave)(fst_device *device);

  // ---- streams ----
  fst_status (*stream_create)(fst_device *device, fst_stream **out);
  void (*stream_destroy)(fst_stream *stream);         // after all that is in it
  fst_status (*stream_wait)(fst_stream *stream);      // until all that is in it is done
  // Work from now on starts after what others have put into the device's default stream until now.
  fst_status (*stream_join)(fst_stream *stream);

  // ---- memory ----
  // FST_ERR_RESOURCE when there is too little. With a stream, it may be used there at once, and is freed after what is
  // in the stream; memory that is freed without one is not in use any more, but by `is_lent` in the default stream.
  fst_status (*alloc)(fst_device *device, fst_stream *stream, size_t bytes, void **out);
  void (*release)(fst_device *device, fst_stream *stream, void *memory, int is_lent);
  // From and to the memory of the host, which may be used again when they return; downloads are done then, too.
  fst_status (*upload)(fst_stream *stream, void *to, const void *from, size_t bytes);
  fst_status (*download)(fst_stream *stream, void *to, const void *from, size_t bytes);
  // `rows` pieces of `bytes`, whose starts are so many bytes apart.
  fst_status (*copy)(fst_stream *stream, void *to, size_t to_step, const void *from, size_t from_step, size_t bytes, size_t rows);
  fst_status (*clear)(fst_stream *stream, void *to, size_t bytes);

  // ---- kernels ----
  // How well an image of this file name suits the device: 0 not at all, more is better.
  int (*suits)(const fst_device *device, const char *image_name);
  fst_status (*load)(fst_device *device, const void *bytes, size_t len, fst_image **out);
  void (*unload)(fst_device *device, fst_image *image);
  // `shared_bytes`: the most that a launch of it will ask for beyond its own.
  fst_status (*find)(fst_device *device, fst_image *image, const char *name, uint32_t shared_bytes, fst_function **out);
  // `args[i]` points at argument i, 8 bytes of which the kernel takes as many as it wants.
  fst_status (*launch)(fst_stream *stream, fst_function *function, const uint32_t grid[3], const uint32_t block[3], uint32_t shared_bytes, void **args, uint32_t arg_count);

  // ---- work that is done again ----
  // Launches, copies on the device and clears between the two are recorded, not done. Meanwhile memory is taken without a
  // stream, and nothing is copied from or to the host, or waited for. `out` NULL: what was recorded is thrown away.
  fst_status (*record)(fst_stream *stream);
  fst_status (*recorded)(fst_stream *stream, fst_recording **out);
  fst_status (*replay)(fst_stream *stream, fst_recording *recording);
  void (*forget)(fst_device *device, fst_recording *recording);   // it is not running any more
} fst_device_api;

#define FST_DEVICE_LIBRARY "fst_device_library"
typedef const fst_device_api *(*fst_device_library_fn)(void);

#endif
