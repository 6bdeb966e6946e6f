// Signatures: what a method is compiled for, as text and as types of its parameters.
//
// Text: one entry per argument, separated by `;`, each `name: type` or, by position, `type`. Types are
// those of docs/ir.md; sizes may also be names (`f32[N, 3, 224, 224]`), equal names being equal sizes. A
// tensor without strides is row-major. Arguments that are not mentioned keep their declared type where
// that says enough (int, float, bool, str, lists of them), or take their default.
#ifndef FST_DRIVER_SIGNATURE_H
#define FST_DRIVER_SIGNATURE_H

#include "ir/graph.h"

// Sets the types of `graph`'s parameters (a frozen method: no `self`). Fails naming the argument.
fst_status fst_signature_apply(fst_graph *graph, const char *text);
// One type with named sizes; `*names` remembers them (a growing list, shared by the entries of a signature).
typedef struct fst_size_names { FST_VEC(fst_sym) names; } fst_size_names;
fst_status fst_signature_type(fst_graph *graph, fst_size_names *names, const char *text, size_t len, fst_type *out);

#endif
