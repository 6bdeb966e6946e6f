// Which records of a module a dump holds. Shared by ir/print.c and ir/print_set.c.
#ifndef FST_IR_PRINT_INTERNAL_H
#define FST_IR_PRINT_INTERNAL_H

#include "ir/graph.h"

enum { FST_PRINT_HEX_BYTES = 4096 };   // constants made by the compiler are printed up to this size

typedef enum { FST_PRINT_FILE, FST_PRINT_CLASS, FST_PRINT_STORAGE, FST_PRINT_TENSOR, FST_PRINT_LIST, FST_PRINT_DICT, FST_PRINT_OBJECT, FST_PRINT_KINDS } fst_print_kind;

typedef struct fst_print_set {
  const fst_module *module;
  fst_map seen[FST_PRINT_KINDS];   // index -> 1
  fst_map types;                   // looked at
} fst_print_set;
void fst_print_set_init(fst_print_set *set, const fst_module *module);
void fst_print_set_deinit(fst_print_set *set);
// All that the function refers to, directly or through it; of other functions nothing.
void fst_print_set_add_graph(fst_print_set *set, const fst_graph *graph);
bool fst_print_set_has(const fst_print_set *set, fst_print_kind kind, uint32_t index);   // NULL holds everything

#endif
