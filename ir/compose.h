// Ops written as a few lines over other ops: the `compose` column of ir/ops.def.
//
// The text is a small template in the syntax of docs/ir.md, run once per node when its operands' types are
// known. Names are the schema's arguments; a name may be bound again. Sizes, ranks and constants can be
// computed with and asked about at that time; everything else becomes nodes.
//
//   statement  %a = EXPR  |  %a, %b = CALL  |  return EXPR, ...  |  raise "text"  |  fail
//              require SIZE, SIZE, "text"  |  if COND { ... } else { ... }  |  for %i in range(A, B) { ... }
//              loop %i in STEPS carry %a, ... { ... }
//   EXPR       CALL, [EXPR, ...], literals, dtype names (f32, b8), and arithmetic (+ - * / //) over
//              rank(%x) len(%list) size(%x, D) dtype(%x) sqrt(E) int(E) min(A, B) and arguments with known values
//   CALL       aten::op.overload(EXPR, ...), trailing arguments that are left out have their schema default
//   other      item(%list, I), range(A, B) (a list of at most 64 ints), lists joined by +,
//              fresh(%n) (an int >= 0 that only the call can tell, usable as a size)
//   COND       none(%x) known(%x) floating(%x) EXPR == EXPR (also != < <= > >=), not, and, or, ( )
//
// `for` writes its body once for each item; `loop` makes a Loop, for as many steps as the call tells. Carried values keep
// their types, no value but these leaves the body, and steps are taken to be good where they are used as indices.
//
// A comparison of something not known is false, so `not %alpha == 1` also holds for an alpha that is only
// known at run time; only == and != of ints that may be negative (numbers of the call, not sizes) leave the op as it is
// unless the answer is known. Texts may hold `{EXPR}`: an int, or the sizes of a tensor. `fail` leaves the op as it is; so does running past the end.
#ifndef FST_IR_COMPOSE_H
#define FST_IR_COMPOSE_H

#include "ir/infer.h"

// Builds the composition of `node` before it, types included. The results, one per result of the node, go to
// `out_results`. FST_INFER_OK; otherwise nothing was added and in->message says why. `in` needs graph, node,
// dims, types, arena; guards of the parts are appended to it.
int fst_compose_build(fst_infer *in, fst_value_id *out_results);
// The infer function of composed rows: types as the composition gives them.
int fst_infer_compose(fst_infer *in);

#endif
