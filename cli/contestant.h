// One contestant of `firesteel bench`: a process that holds the model in one form, and answers on standard input and output.
//
//   it says      {"open_us": 812.0, "first_us": 95.1, "start_us": 2210.3}       once: opened, called once, since its process began
//   results F    {}                        the first call's results are in file F: .npy arrays, one behind the other
//   time N       {"ns": [31020, ...]}      N calls, timed one by one
//   memory       {"peak_kb": 9120, "runtime_bytes": 181320, "target": "x86-64-v4", "flops": 1621248, "weight_bytes": 2160}
//
// An answer is one line of JSON; `{"error": "text"}` says why there is none. End of input ends the process. The same is
// spoken by cli/contestant.py and by the engines in bench/.
#ifndef FST_CLI_CONTESTANT_H
#define FST_CLI_CONTESTANT_H

#include "cli/inputs.h"

typedef enum { FST_FORM_FIRESTEEL, FST_FORM_AS_IS, FST_FORM_FROZEN, FST_FORM_OPTIMIZED, FST_FORM_COUNT } fst_form;
extern const char *const fst_form_words[FST_FORM_COUNT];  // "firesteel", "as-is", "frozen", "optimized"

typedef struct fst_contestant_options {
  const char *path;       // what this form runs: an artifact or an archive
  const char *form;       // a word of the above
  const char *method, *target, *bridge;
  const fst_words *inputs, *files;
  long buffers;           // that many sets of inputs, used in turn; 0 is 1
  const char *started;    // when the process was begun: nanoseconds of CLOCK_MONOTONIC
} fst_contestant_options;

extern const char fst_contestant_py[];  // cli/contestant.py

fst_status fst_contestant_serve(const fst_contestant_options *options);

#endif
