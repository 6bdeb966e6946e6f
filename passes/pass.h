// Passes over one graph. passes.def lists them; pipeline.c puts them in order; nothing else does either.
#ifndef FST_PASSES_PASS_H
#define FST_PASSES_PASS_H

#include "ir/graph.h"

struct fst_target;
typedef struct fst_pass_ctx {
  fst_arena *arena;              // reset by the manager after each pass
  const struct fst_target *target;  // NULL: neutral
  uint64_t changes;              // the pass counts what it changed
  int64_t limit;                 // stop changing after so many (bisecting); negative: no limit
} fst_pass_ctx;
// Call before each change: counts it and says whether it may be made.
bool fst_pass_allow(fst_pass_ctx *pc);

typedef fst_status (*fst_pass_fn)(fst_pass_ctx *pc, fst_graph *graph);

typedef struct fst_pass {
  const char *name, *doc;
  fst_pass_fn run;
  fst_stage from, to;       // legal on graphs of stage >= from; leaves them at max(stage, to)
} fst_pass;
const fst_pass *fst_pass_find(const char *name);
const fst_pass *fst_pass_at(uint32_t index);   // NULL past the last
uint32_t fst_pass_count(void);

typedef struct fst_pipeline_options {
  bool verify_each;
  const char *dump_after;      // comma-separated pass names or "all"
  const char *stop_after;      // pass or stage name
  const char *limit_pass;      // with `limit`: bisect
  int64_t limit;
  bool time, stats;
  const struct fst_target *target;
  void (*dump)(void *context, const char *pass, const char *text);
  void *dump_context;
} fst_pipeline_options;

// Runs named passes ("a,b,c") in order, each with the manager's verification, dumps and counters.
fst_status fst_passes_run(fst_graph *graph, const char *names, const fst_pipeline_options *options);

#endif
