// Does a call's argument list (and the state it meets) fit a compiled signature?
#ifndef FST_RUNTIME_MATCH_H
#define FST_RUNTIME_MATCH_H

#include <stdbool.h>

#include "base/abi.h"
#include "runtime/buf.h"
#include "runtime/plan.h"

typedef struct fst_match {
  const fst_plan *plan;
  const fst_val *consts;      // the artifact's
  int64_t *symbols;           // at least symbol_count of the signature
  // A tensor that is not row-major where the code wants it so: accept it, to be copied by the caller.
  bool accept_strided;
  fst_buf *why;               // NULL, or where the first misfit is described
} fst_match;

void fst_match_begin(fst_match *m, const fst_plan_signature *signature);
// `what` and `name` say what is matched ("argument", "x"), for the description.
bool fst_match_val(fst_match *m, uint32_t pattern, const fst_val *val, const char *what, const char *name);

// "f32[2, 3]", "List of 3", "int", "str": a value as messages and signatures name it.
void fst_describe_val(fst_buf *buf, const fst_plan *plan, const fst_val *val);
void fst_describe_pattern(fst_buf *buf, const fst_plan *plan, uint32_t pattern);
// The declared type as text ("Dict[str, Tensor]").
void fst_describe_type(fst_buf *buf, const fst_plan *plan, uint32_t type);

#endif
