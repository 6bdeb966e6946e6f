// Passes over one graph. passes.def lists them; pipeline.c puts them in order; nothing else does either.
#ifndef FST_PASSES_PASS_H
#define FST_PASSES_PASS_H

#include "base/meta.h"
#include "passes/alias.h"

// What passes may ask to hold when they run. The manager brings about what a pass requires and does not hold yet, and
// forgets what a pass does not preserve.
typedef enum {
  FST_HOLDS_ALIAS = 1,   // pc->alias is right: conservative, and counts every value. From `typed` on; NULL before
  FST_HOLDS_LIVE = 2,    // nothing is there for nobody: what `dce` leaves
} fst_property;

struct fst_target;
typedef struct fst_pass_ctx {
  fst_arena *arena;              // reset by the manager after each pass
  const fst_alias *alias;        // for passes that require FST_HOLDS_ALIAS
  const struct fst_target *target;  // NULL: neutral
  uint64_t changes;              // the pass counts what it changed
  int64_t limit;                 // stop changing after so many (bisecting); negative: no limit
  uint32_t *rule_counts;         // canonicalize: how often each rule applied (passes/canonicalize.h)
} fst_pass_ctx;
// Call before each change: counts it and says whether it may be made.
bool fst_pass_allow(fst_pass_ctx *pc);

typedef fst_status (*fst_pass_fn)(fst_pass_ctx *pc, fst_graph *graph);

typedef struct fst_pass {
  const char *name, *doc;
  fst_pass_fn run;
  fst_stage from, to;       // legal on graphs of stage >= from; leaves them at max(stage, to)
  uint32_t requires, preserves;   // fst_property bits
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
  bool allow_fallback;         // ops may run through libtorch
  const struct fst_target *target;
  const fst_meta_trial *trial;  // what ops that run through libtorch give; NULL: not known
  void (*dump)(void *context, const char *pass, const char *text);
  void *dump_context;
} fst_pipeline_options;

// Runs named passes ("a,b,c") in order, each with the manager's verification, dumps and counters.
fst_status fst_passes_run(fst_graph *graph, const char *names, const fst_pipeline_options *options);

#endif
