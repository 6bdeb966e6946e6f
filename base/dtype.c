#include "base/dtype.h"

#include <string.h>

typedef struct dtype_row {
  fst_dtype dtype;
  const char *names[3];  // IR text, torch, numpy
  const char *word;
  size_t bytes;
  fst_dtype_kind kind;
} dtype_row;

static const dtype_row rows[] = {
#define X(id, number, short_name, torch_name, np_name, word, bytes, kind) {FST_##id, {short_name, torch_name, np_name}, word, bytes, kind},
    FST_DTYPES(X) FST_FOREIGN_DTYPES(X)
#undef X
};
static const dtype_row unknown = {FST_DTYPE_UNKNOWN, {"?", "?", "?"}, "Unknown", 0, FST_KIND_NONE};

enum { ROW_COUNT = sizeof rows / sizeof rows[0] };

static const dtype_row *dtype_find(fst_dtype dtype) {
  for (int i = 0; i < ROW_COUNT; i++)
    if (rows[i].dtype == dtype) return &rows[i];
  return &unknown;
}

size_t fst_dtype_size(fst_dtype dtype) { return dtype_find(dtype)->bytes; }
fst_dtype_kind fst_dtype_kind_of(fst_dtype dtype) { return dtype_find(dtype)->kind; }
const char *fst_dtype_name(fst_dtype dtype) { return dtype_find(dtype)->names[0]; }
const char *fst_dtype_torch_name(fst_dtype dtype) { return dtype_find(dtype)->names[1]; }
const char *fst_dtype_np_name(fst_dtype dtype) { return dtype_find(dtype)->names[2]; }
const char *fst_dtype_word(fst_dtype dtype) { return dtype_find(dtype)->word; }

fst_dtype fst_dtype_from_name(const char *name, size_t len) {
  for (int i = 0; i < ROW_COUNT; i++)
    for (int n = 0; n < 3 && rows[i].kind != FST_KIND_NONE; n++)
      if (strlen(rows[i].names[n]) == len && memcmp(rows[i].names[n], name, len) == 0) return rows[i].dtype;
  return FST_DTYPE_UNKNOWN;
}

bool fst_dtype_is_float(fst_dtype dtype) { return fst_dtype_kind_of(dtype) == FST_KIND_FLOAT; }

bool fst_dtype_is_complex(fst_dtype dtype) { return fst_dtype_kind_of(dtype) == FST_KIND_COMPLEX; }

fst_dtype fst_dtype_part(fst_dtype dtype) { return dtype == FST_C32 ? FST_F16 : dtype == FST_C64 ? FST_F32 : dtype == FST_C128 ? FST_F64 : dtype; }

bool fst_dtype_is_integral(fst_dtype dtype, bool with_bool) {
  fst_dtype_kind kind = fst_dtype_kind_of(dtype);
  return kind == FST_KIND_INT || kind == FST_KIND_UINT || (with_bool && kind == FST_KIND_BOOL);
}
