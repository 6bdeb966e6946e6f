// A growable array on the heap: `FST_VEC(int) v = {0}; fst_vec_push(&v, 3); ... fst_vec_free(&v);`
// Zero-initialised is empty. Elements move when it grows: keep indices, not pointers.
#ifndef FST_BASE_VEC_H
#define FST_BASE_VEC_H

#include <stddef.h>

#define FST_VEC(T) \
  struct {         \
    T *data;       \
    size_t len;    \
    size_t cap;    \
  }

// Grows `*data` (element size `elem`) so that `len + extra` fit; aborts when memory is out.
void fst_vec_grow(void **data, size_t *cap, size_t len, size_t extra, size_t elem);

#define fst_vec_reserve(v, extra)                                                                  \
  do {                                                                                             \
    if ((v)->len + (extra) > (v)->cap) {                                                           \
      void *fst_vec_data_ = (v)->data;                                                             \
      fst_vec_grow(&fst_vec_data_, &(v)->cap, (v)->len, (extra), sizeof *(v)->data);               \
      (v)->data = fst_vec_data_;                                                                   \
    }                                                                                              \
  } while (0)
#define fst_vec_push(v, item)          \
  do {                                 \
    fst_vec_reserve(v, 1);             \
    (v)->data[(v)->len++] = (item);    \
  } while (0)
#define fst_vec_pop(v) ((v)->data[--(v)->len])
#define fst_vec_last(v) ((v)->data[(v)->len - 1])
#define fst_vec_clear(v) ((void)((v)->len = 0))
void fst_vec_free_data(void *data);
#define fst_vec_free(v)              \
  do {                               \
    fst_vec_free_data((v)->data);    \
    (v)->data = NULL;                \
    (v)->len = (v)->cap = 0;         \
  } while (0)

#endif
