// The simplifications that building applies (ir/kernel/rules.c). Private to ir/kernel/.
#ifndef FST_IR_KERNEL_RULES_H
#define FST_IR_KERNEL_RULES_H

#include "ir/kernel/kernel.h"

// A simpler expression for a primitive on operands that are not all constant and stand in canonical order
// (constants right); none when no rule applies. `dtype` is the operands' (of SELECT: the sides').
fst_kx fst_rules_prim(fst_kernel *k, fst_prim prim, fst_dtype dtype, const fst_kx *args);
fst_kx fst_rules_convert(fst_kernel *k, fst_kx a, fst_dtype dtype);

#endif
