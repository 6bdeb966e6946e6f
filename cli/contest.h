// `firesteel bench` from above: contestants in processes of their own, compared, then timed in turns, and what came of it.
#ifndef FST_CLI_CONTEST_H
#define FST_CLI_CONTEST_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/text.h"
#include "base/vec.h"
#include "cli/args.h"
#include "cli/npy.h"
#include "cli/roof.h"

// What a contestant is, and all that is measured of it. Times are microseconds.
typedef struct fst_rival {
  const char *name;         // "PyTorch, frozen"
  bool is_python, is_ours;
  pid_t pid;                // 0: it does not run
  FILE *ask, *hear;
  char *refusal;            // why it does not take part, or NULL
  fst_npy_list results;     // of its first call
  double difference;        // largest, to the reference's results
  double start_us, open_us, first_us;
  long turn;                // calls in one turn
  FST_VEC(double) times;    // sorted at the end
  FST_VEC(double) medians;  // of each turn
  double min, p50, p99;
  long peak_kb;
  int64_t artifact_bytes, runtime_bytes, flops, weight_bytes;
  char target[32];
} fst_rival;
typedef FST_VEC(fst_rival) fst_rivals;

// Begins the process; argv[0] is the program, and `--started NS` is put behind the words. A process that cannot
// open or run the model refuses: that is no failure here.
fst_status fst_rival_start(fst_rival *rival, const fst_words *words);
// Fetches the first results into `results`, through a file of that name.
fst_status fst_rival_results(fst_rival *rival, const char *path);
// Refuses to go on with one whose results are not `reference`'s, by the tolerances of PyTorch's assert_close.
fst_status fst_rival_compare(fst_rival *rival, const fst_rival *reference);
// Calls until they are warm, then `rounds` rounds in which everyone has a turn.
fst_status fst_rivals_time(fst_rivals *rivals, long rounds);
// Asks for memory, sizes and the work of a call, as they are by now.
void fst_rival_memory(fst_rival *rival);
// Ends the process; what was measured of its start is forgotten when it begins again.
void fst_rival_dismiss(fst_rival *rival);
void fst_rivals_deinit(fst_rivals *rivals);

// One thing against another: median over the rounds of the ratio of their turns, and what lies around it.
typedef struct fst_ratio { double median, low, high; bool is_tie; } fst_ratio;
fst_ratio fst_rival_ratio(const fst_rival *a, const fst_rival *b);
// The fastest of PyTorch's forms in C processes; NULL when there is none.
const fst_rival *fst_rivals_best_torch(const fst_rivals *rivals, bool is_python);

typedef struct fst_bench_result {
  const char *path, *method;
  int cpu;                 // pinned to; -1: not
  long rounds, buffers;
  fst_roof roof;
  int64_t flops, bytes;    // of one call: multiply-adds of contractions count two; weights read, arguments and results
  fst_rivals rivals;
} fst_bench_result;
// The time that the roof allows for one call, microseconds; 0 when it is not known. *out_is_memory: bandwidth binds, not arithmetic.
double fst_bench_floor(const fst_bench_result *result, bool *out_is_memory);
void fst_bench_print(const fst_bench_result *result);
void fst_bench_json(const fst_bench_result *result, fst_text *out);

#endif
