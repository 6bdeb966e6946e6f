// What a test tells the driver of tests/cuda/fake_driver.c, and what it sees of it.
#ifndef FST_TESTS_CUDA_FAKE_DRIVER_H
#define FST_TESTS_CUDA_FAKE_DRIVER_H

#include "runtime/cuda/driver.h"

typedef struct fake_cuda_state {
  int version, devices, major, minor;
  size_t memory;
  const char *fails;   // the function (without its version) that returns `error` the next time
  int error;
  int contexts, streams, events, blocks, pinned, modules, graphs, depth;   // made and not given back
  int freed_in_default, shared_limit, threads, replays;
} fake_cuda_state;

#endif
