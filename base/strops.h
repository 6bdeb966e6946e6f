// Numbers of the string operations of base/strops.def, shared by code generation and runtime.
#ifndef FST_BASE_STROPS_H
#define FST_BASE_STROPS_H

typedef enum {
#define STR_OP(id, schema, operands) FST_STR_OP_##id,
#include "base/strops.def"
#undef STR_OP
  FST_STR_OPS  // how many
} fst_str_op;

#endif
