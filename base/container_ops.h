// Numbers of the operations of base/container_ops.def, shared by code generation and runtime.
#ifndef FST_BASE_CONTAINER_OPS_H
#define FST_BASE_CONTAINER_OPS_H

typedef enum {
#define CONTAINER_OP(id, kind, name) FST_CONTAINER_OP_##id,
#include "base/container_ops.def"
#undef CONTAINER_OP
  FST_CONTAINER_OPS  // how many
} fst_container_op;

#endif
