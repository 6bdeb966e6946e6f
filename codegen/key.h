// What makes two kernels the same for a code generator: everything that they say but their names.
#ifndef FST_CODEGEN_KEY_H
#define FST_CODEGEN_KEY_H

#include "ir/kernel/kernel.h"

// Appends bytes that are equal for equal kernels only. `constants`: as for fst_llvm_kernel_emit; whether a buffer is
// known counts, its contents do not.
void fst_kernel_key(const fst_kernel *k, const void *const *constants, fst_text *key);
// Complex numbers have no native form on any target.
fst_status fst_kernel_check_dtypes(const fst_kernel *k);

#endif
