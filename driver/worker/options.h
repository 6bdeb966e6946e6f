// What a host may ask of its worker in fst_open_options.compile_options: "name=value" separated by blanks.
#ifndef FST_DRIVER_WORKER_OPTIONS_H
#define FST_DRIVER_WORKER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { FST_WORKER_LIBRARIES_MAX = 32 };
typedef struct fst_worker_options {
  bool eval;                // eval=1
  bool allow_fallback;      // fallback=0 forbids it
  bool verify_each;         // verify=1
  const char *libraries[FST_WORKER_LIBRARIES_MAX];  // library=/path/to/ops.so, once for each
  uint32_t library_count;
  char *text;               // owns the words
} fst_worker_options;

fst_status fst_worker_options_parse(const char *text, fst_worker_options *out);  // NULL: none
void fst_worker_options_deinit(fst_worker_options *options);

#endif
