// Which tensors that a loop carries can live in two buffers in turn.
#ifndef FST_PASSES_ALTERNATE_H
#define FST_PASSES_ALTERNATE_H

#include "base/vec.h"
#include "ir/graph.h"

typedef FST_VEC(fst_value_id) fst_value_list;

// Does every round of `loop` either hand its carried value number `index` on, or make the next one in one group, and does
// nothing in the body keep either? Then a round may write the next value where the value before the last one was, and
// nothing need be copied. Fills `makers` with the results of the groups that make it, one for every path through the body;
// at most one of them runs in a round. Expects `fused`.
bool fst_loop_alternates(const fst_graph *graph, fst_node_id loop, uint32_t index, fst_value_list *makers);

#endif
