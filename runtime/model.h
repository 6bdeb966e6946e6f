// Models behind the public interface. A program is what all clones share: artifacts, their slots, the worker
// that compiles further ones, the bridge. An instance (fst_model) adds state and idle call contexts.
#ifndef FST_RUNTIME_MODEL_H
#define FST_RUNTIME_MODEL_H

#include <pthread.h>
#include <stdbool.h>

#include "base/bridge_abi.h"
#include "include/firesteel/firesteel.h"
#include "runtime/artifact.h"
#include "runtime/call.h"
#include "runtime/object.h"

// ---- failures ----
struct fst_failure {
  int code;
  char *message, *cls, *text, *location;  // any may be NULL
  bool is_static;                         // the one that stands for "out of memory"
};
fst_failure *fst_failure_of(fst_status status);  // takes the status; NULL stays NULL
fst_failure *fst_failure_make(int code, const char *fmt, ...) FST_PRINTF(2, 3);
fst_failure *fst_failure_memory(void);
fst_failure *fst_failure_raised(const fst_plan *plan, const fst_raised *raised);

struct fst_var { fst_val val; };
fst_var *fst_var_of(const fst_val *val);  // takes a reference of its own; NULL: memory is out

// ---- programs ----
typedef struct fst_bound {  // an artifact in a program
  fst_artifact *artifact;
  uint32_t *slot_map;         // artifact slot -> program slot
  bool is_identity;           // slot_map[i] == i for all
  uint32_t *method_map;       // method of the describing artifact -> method here, or UINT32_MAX
  uint64_t *fallback_calls;   // per row of the plan's fallback table; atomic
  uint64_t *signature_calls;  // per signature; atomic
} fst_bound;

// Grows by replacement, so that a caller may walk the set it has seen without a lock.
typedef struct fst_bounds {
  struct fst_bounds *older;   // kept until the program goes: somebody may still be walking it
  size_t count;
  fst_bound *items[];
} fst_bounds;

typedef struct fst_slot {
  char *path;
  fst_artifact *artifact;     // whose constant is the initial value
  uint32_t initial;
} fst_slot;

struct fst_jit;               // runtime/jit.h
typedef struct fst_program {
  uint32_t refs;              // atomic
  pthread_mutex_t lock;       // guards what follows but for reading `bounds`
  fst_bounds *bounds;         // atomic
  fst_slot *slots;
  size_t slot_count;
  char *bridge_path;          // NULL: beside the library
  fst_bridge_call_fn bridge_call;  // atomic; NULL until first needed
  fst_artifact_options artifact_options;
  fst_accel *accel;           // held; NULL: the CPU
  bool graphs;                // calls that repeat are recorded and replayed there
  char *target;
  struct fst_jit *jit;        // NULL: compiled ahead, nothing will be compiled
  struct fst_names *names;    // texts that the public interface hands out; set before a model is handed out
  uint64_t arena_bytes;       // largest seen; atomic
} fst_program;

fst_status fst_program_create(const fst_open_options *options, fst_program **out);
void fst_program_retain(fst_program *program);
void fst_program_release(fst_program *program);
// Takes the artifact's reference, also on failure.
fst_status fst_program_add(fst_program *program, fst_artifact *artifact);
static inline const fst_bounds *fst_program_bounds(fst_program *program) { return __atomic_load_n(&program->bounds, __ATOMIC_ACQUIRE); }
// Method number in a plan, or UINT32_MAX.
uint32_t fst_plan_method_find(const fst_plan *plan, const char *name);
// The artifact that says what methods there are: the first.
static inline const fst_plan *fst_program_plan(fst_program *program) { return &fst_program_bounds(program)->items[0]->artifact->plan; }

// ---- instances ----
struct fst_model {
  fst_program *program;
  pthread_mutex_t lock;       // held while a method with state runs
  fst_val *state;             // by program slot
  size_t state_count;
  pthread_mutex_t idle_lock;
  fst_ctx *idle;              // contexts that no call uses
  int64_t flops, weight_bytes;  // of the call that ended last; atomic
  fst_device_work device_work;  // of that call; atomic, each
};
fst_status fst_model_create(fst_program *program, fst_model **out);  // takes a reference of its own
// Gives slots that artifacts added since their initial values. The lock is held.
fst_status fst_model_grow_state(fst_model *model);
fst_ctx *fst_model_lease(fst_model *model);
void fst_model_return(fst_model *model, fst_ctx *ctx);

// ---- calls ----
typedef struct fst_arguments {
  const char *method;
  size_t positional, count;
  const char *const *names;       // [count - positional]
  const fst_var *const *vars;
} fst_arguments;
fst_failure *fst_model_invoke(fst_model *model, const fst_arguments *arguments, fst_var **out);

// Opens the bridge on the first call. Called with no lock held.
int32_t fst_bridge_run(fst_ctx *ctx, int64_t op, int64_t count, const fst_val *vals, int64_t results, fst_val *out);

// What the bridge is given by this process.
const fst_bridge_host *fst_bridge_host_table(void);

// Folder of this library, for what lies beside it; malloc'ed, NULL when unknown.
char *fst_library_folder(void);

#endif
