// Arrays in numpy's files: .npy, and .npz whose members are stored (np.savez).
#ifndef FST_CLI_NPY_H
#define FST_CLI_NPY_H

#include <stdint.h>

#include "base/dtype.h"
#include "base/status.h"
#include "base/text.h"
#include "base/vec.h"

enum { FST_NPY_RANK_MAX = 32 };
typedef struct fst_npy {
  char *name;            // of the member, without ".npy"; "" for a .npy file. Owned
  fst_dtype dtype;
  int rank;
  int64_t sizes[FST_NPY_RANK_MAX];
  int64_t strides[FST_NPY_RANK_MAX];  // elements
  void *data;            // owned, malloc'ed
  int64_t bytes;
} fst_npy;
typedef FST_VEC(fst_npy) fst_npy_list;

fst_status fst_npy_read(const char *path, fst_npy *out);
fst_status fst_npz_read(const char *path, fst_npy_list *out);  // in the file's order
fst_status fst_npy_sequence_read(const char *path, fst_npy_list *out);  // .npy files, one behind the other
void fst_npy_deinit(fst_npy *array);
void fst_npy_list_deinit(fst_npy_list *list);

// The bytes of a .npy file for a row-major array.
fst_status fst_npy_print(fst_dtype dtype, size_t rank, const int64_t *sizes, const void *data, size_t bytes, fst_text *out);

#endif
