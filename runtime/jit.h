// Compiling an archive while it runs: a worker process is asked for an artifact per kind of arguments, once,
// while other callers of that kind wait.
#ifndef FST_RUNTIME_JIT_H
#define FST_RUNTIME_JIT_H

#include <stddef.h>

#include "runtime/model.h"

typedef struct fst_jit fst_jit;

// Copies what it needs of path and options. Starts nothing.
fst_status fst_jit_create(const char *path, const fst_open_options *options, fst_jit **out);
void fst_jit_destroy(fst_jit *jit);  // NULL is allowed; ends the worker
// The plan without code that says what methods the archive has.
fst_status fst_jit_describe(fst_program *program);
// An artifact for these arguments of the method, added to the program. `state` (by program slot) is what
// the instance holds now. `seen`: how many artifacts the caller has tried in vain; if there are more by
// now, nothing is compiled and the caller tries again. *out_exhausted: every way of compiling for arguments of
// this kind was tried, and what came out does not take them.
fst_status fst_jit_compile(fst_program *program, const char *method, const fst_plan *plan, uint32_t method_number, const fst_val *args, const fst_val *state, size_t state_count, size_t seen, bool *out_exhausted);
// A method's IR; from `typed` on for the arguments it was compiled for last.
fst_status fst_jit_dump(fst_program *program, const char *method, const char *stage, char **out_text);
void fst_jit_stats(const fst_jit *jit, uint64_t *out_compiles, double *out_ms);

#endif
