#include "tests/fuzz/fuzz.h"

#include "firesteel/firesteel.h"

// Opened by the runtime alone; what is accepted says what it is. Code is never run: a checksum protects it, but it is code.
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
  fst_open_options options = {.size = sizeof options, .no_compile = 1, .verify_weights = 1};
  fst_model *model;
  fst_failure *failure = fst_open_memory(bytes, len, &options, &model);
  if (failure) {
    fst_failure_free(failure);
    return 0;
  }
  fst_spec spec;
  for (size_t i = 0; i < fst_method_count(model); i++)
    for (size_t a = 0; a < fst_method_arg_count(model, i); a++) fst_method_arg_type(model, i, a);
  for (size_t i = 0; fst_spec_get(model, 0, i, &spec); i++) {}
  fst_close(model);
  return 0;
}
