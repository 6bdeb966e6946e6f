// A package's test_data.pkl: {"test_input": {name: array}, "test_output": {name: array} or None}, as plain arrays.
#ifndef FST_DRIVER_TEST_DATA_H
#define FST_DRIVER_TEST_DATA_H

#include "base/arena.h"
#include "base/vec.h"
#include "driver/compiler.h"

// `out` is cleared first; arrays and what they point to live in the arena, the list is the caller's to free. Inputs come first.
typedef FST_VEC(fst_test_array) fst_test_arrays;
fst_status fst_test_data_read(const void *pickle, size_t len, fst_arena *arena, fst_test_arrays *out);

#endif
