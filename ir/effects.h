// What running a whole graph does besides computing its results.
#ifndef FST_IR_EFFECTS_H
#define FST_IR_EFFECTS_H

#include "ir/graph.h"

enum {
  FST_EFFECTS_LAST = 1,    // it writes, prints, draws random numbers or runs an op of libtorch: what a failure does not undo
  FST_EFFECTS_STATE = 2,   // it reads the state
};
unsigned fst_graph_effects(const fst_graph *graph);

#endif
