// What the machine can do on one thread, measured: the bound that a model's time is compared with.
#ifndef FST_CLI_ROOF_H
#define FST_CLI_ROOF_H

#include <stdint.h>

#include "base/status.h"

typedef struct fst_roof {
  const char *level;    // whose instructions were used: "x86-64-v4", "x86-64-v3" or "" (none that is known)
  double gflops;        // f32 multiply-adds, two operations each; 0: not measured
  double read_gbs;      // reading a buffer of `read_bytes` again and again
  int64_t read_bytes;
} fst_roof;

// The best of a few short bursts, about 0.1 s. `level` NULL or "native": the widest that this CPU runs. Called again with a roof that
// was measured before it raises that: on a machine with other work the higher of two readings is the truer one.
fst_status fst_roof_measure(const char *level, int64_t read_bytes, fst_roof *inout);

#endif
