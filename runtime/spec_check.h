// Neuropod's comparison of tensors with specs: dtype, rank, sizes, symbols, then names that no spec has. Its rules and texts
// are source/neuropod/internal's of Neuropod.
#ifndef FST_RUNTIME_SPEC_CHECK_H
#define FST_RUNTIME_SPEC_CHECK_H

#include <stdbool.h>

#include "base/abi.h"
#include "include/firesteel/firesteel.h"
#include "runtime/names.h"

typedef struct fst_named_val { const char *name; fst_val val; } fst_named_val;

// Sizes that symbols stand for; `symbols` are borrowed, as many as specs have dimensions at most.
typedef struct fst_symbol_size { const char *symbol; int64_t size; } fst_symbol_size;
typedef struct fst_symbol_table { fst_symbol_size *rows; size_t count; } fst_symbol_table;

// Those of `specs` (rows of the plan) that are inputs or, with `outputs`, outputs. NULL: all is well.
fst_failure *fst_spec_check(const fst_plan *plan, const fst_names *names, bool outputs, const fst_named_val *vals, size_t count, fst_symbol_table *symbols);
// "FLOAT_TENSOR", or PyTorch's word where Neuropod has none.
const char *fst_tensor_type_name(const fst_val *val);

#endif
