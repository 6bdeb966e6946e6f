// What a model is called with, from the command line.
#ifndef FST_CLI_INPUTS_H
#define FST_CLI_INPUTS_H

#include <stdint.h>

#include "base/text.h"
#include "cli/args.h"
#include "firesteel/firesteel.h"

typedef struct fst_inputs {
  size_t positional;          // the first so many have no name
  FST_VEC(char *) names;      // of the others; owned
  FST_VEC(fst_var *) values;  // all
} fst_inputs;

// `texts` are --input's, `files` --inputs' (.npz). Another `seed` gives other random numbers.
fst_status fst_inputs_read(const fst_words *texts, const fst_words *files, uint64_t seed, fst_inputs *out);
// What the inputs are, as a signature to compile for: `x: f32[1, 512]; sr: int`.
fst_status fst_inputs_signature(const fst_inputs *inputs, fst_text *out);
void fst_inputs_deinit(fst_inputs *inputs);
fst_status fst_inputs_infer(const fst_inputs *inputs, fst_model *model, const char *method, fst_var **out);

// The library's failures as statuses.
fst_status fst_failure_status(fst_failure *failure);  // NULL stays NULL

#endif
