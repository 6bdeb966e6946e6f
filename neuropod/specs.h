// A package's name and specs as they travel from the process that has opened it.
#ifndef FST_NEUROPOD_SPECS_H
#define FST_NEUROPOD_SPECS_H

#include "base/text.h"
#include "firesteel/firesteel.h"

typedef struct fst_specs {
  char *text;               // owned; what the others point into
  const char *name;
  size_t count[2];          // inputs, outputs
  fst_spec *rows[2];
  int64_t *dims;
  const char **symbols;
} fst_specs;

// NUL-terminated words: the name, then for each spec `i` or `o`, name, dtype, rank, and for each dimension a number, `?` or `=symbol`.
void fst_specs_print(const fst_model *model, fst_text *out);
// Takes the text, also on failure.
fst_status fst_specs_parse(char *text, size_t len, fst_specs *out);
void fst_specs_deinit(fst_specs *specs);  // zeroed ones too

#endif
