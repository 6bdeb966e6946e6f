// Reading Python's pickles, protocols 0 to 5, for data: numbers, texts, containers, and NumPy's arrays. Nothing is
// ever executed: a pickle that calls anything but NumPy's own constructors of arrays, `collections.OrderedDict` and the
// encoders of bytes is refused by that name. Values may be shared and, through containers, cyclic.
#ifndef FST_DRIVER_PICKLE_H
#define FST_DRIVER_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"

typedef enum {
  FST_PICKLE_NONE, FST_PICKLE_BOOL, FST_PICKLE_INT, FST_PICKLE_FLOAT,
  FST_PICKLE_STR,     // UTF-8 (with surrogates as Python writes them)
  FST_PICKLE_BYTES,   // also Python 2's str
  FST_PICKLE_LIST, FST_PICKLE_TUPLE,
  FST_PICKLE_DICT,    // items: key, value, key, value; a later key wins
  FST_PICKLE_GLOBAL,  // text: "module name"; a function or class that is mentioned, not called
  FST_PICKLE_DTYPE,
  FST_PICKLE_ARRAY,
} fst_pickle_kind;

enum { FST_PICKLE_RANK_MAX = 64 };
typedef struct fst_pickle_value {
  fst_pickle_kind kind;
  int64_t i;                                 // BOOL, INT
  double f;                                  // FLOAT
  const char *bytes;                         // STR, BYTES, GLOBAL; a NUL follows. ARRAY: elements
  size_t len;
  struct fst_pickle_value **items;           // LIST, TUPLE, DICT; ARRAY of objects
  size_t count, cap;
  char type, order;                          // DTYPE: 'f', 'i', 'u', 'b', 'U', 'S', 'O'; '<', '>' or '|'
  int64_t width;                             // DTYPE: bytes of an element
  const struct fst_pickle_value *dtype;      // ARRAY; NULL until it is built
  int rank;
  int64_t *sizes;
  bool is_fortran;                           // ARRAY: the first dimension varies fastest
} fst_pickle_value;

// FST_ERR_CORRUPT, or FST_ERR_UNSUPPORTED for what is more than data. An accepted array's bytes are as many as its
// sizes and dtype say. The value and the bytes that it points into live in the arena or in `bytes`.
fst_status fst_pickle_read(const void *bytes, size_t len, fst_arena *arena, fst_pickle_value **out);

// The value under a text key of a dict; NULL when there is none.
const fst_pickle_value *fst_pickle_get(const fst_pickle_value *dict, const char *key);

#endif
