// Names that the printer and the parser of kernels share.
#ifndef FST_IR_KERNEL_TEXT_INTERNAL_H
#define FST_IR_KERNEL_TEXT_INTERNAL_H

// By fst_reduce, fst_kstmt_kind and fst_combine.
#define FST_REDUCE_NAMES {"sum", "prod", "max", "min", "argmax", "argmin", "any", "all"}
#define FST_KSTMT_NAMES {"map", "scatter", "scan", "sort", "compact"}
#define FST_COMBINE_NAMES {"set", "add", "mul", "max", "min"}

#endif
