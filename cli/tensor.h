// Looking at tensors: elements as numbers, whole values as text, and how far two values are apart.
#ifndef FST_CLI_TENSOR_H
#define FST_CLI_TENSOR_H

#include <stdbool.h>
#include <stdio.h>

#include "base/dtype.h"
#include "base/text.h"
#include "firesteel/firesteel.h"

int64_t fst_tensor_count(const fst_var *tensor);
// The element at a row-major position; `part` 1 is the imaginary part of a complex one.
double fst_tensor_element(const fst_var *tensor, int64_t position, int part);
// Row-major bytes, malloc'ed; NULL: memory is out.
void *fst_tensor_bytes(const fst_var *tensor, size_t *out_len);

// The value under `name`, nested ones with a line for each part; large tensors are cut short.
void fst_var_show(const fst_model *model, const fst_var *var, const char *name, FILE *to);

typedef struct fst_tolerance { double relative, absolute; } fst_tolerance;  // negative: by dtype
typedef struct fst_difference {
  double largest;     // largest absolute difference of numbers seen so far
  fst_text where;     // first place that is beyond the tolerance; empty while there is none
} fst_difference;
void fst_var_compare(const fst_var *a, const fst_var *b, fst_tolerance tolerance, const char *name, fst_difference *out);

#endif
