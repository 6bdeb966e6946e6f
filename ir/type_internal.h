// The table of types, shared by ir/type.c and ir/type_text.c.
#ifndef FST_IR_TYPE_INTERNAL_H
#define FST_IR_TYPE_INTERNAL_H

#include "ir/type.h"

struct fst_types {
  fst_arena *arena;
  fst_strings *strings;
  fst_type_data **data;   // type id - 1; pointers stay valid
  uint64_t *hashes;
  uint32_t len, cap;
  uint32_t *table;        // open addressing: index + 1
  uint32_t table_cap;
};

#endif
