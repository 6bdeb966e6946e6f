// Texts and arrays about a model's methods and specs that the public interface hands out pointers to. Made
// once, from the artifact that describes the model.
#ifndef FST_RUNTIME_NAMES_H
#define FST_RUNTIME_NAMES_H

#include "base/status.h"
#include "include/firesteel/firesteel.h"
#include "runtime/plan.h"

typedef struct fst_names {
  size_t arg_count, method_count, spec_count;
  char **arg_types;       // per row of the plan's arguments
  char **result_types;    // per method
  fst_spec *specs;        // per row of the plan's specs
  int64_t *dims;          // what specs point into
  const char **symbols;
} fst_names;

fst_status fst_names_create(const fst_plan *plan, fst_names **out);
void fst_names_destroy(fst_names *names);  // NULL is allowed

#endif
