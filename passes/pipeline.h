// The order of passes, from an imported method to a planned one. Everything else that runs passes
// (tests, `firesteel opt`) names them one by one.
#ifndef FST_PASSES_PIPELINE_H
#define FST_PASSES_PIPELINE_H

#include "passes/pass.h"
#include "passes/specialize.h"
#include "passes/state.h"

// `graph`, a clone of an imported method, with all calls inlined. In place.
fst_status fst_pipeline_inline(fst_graph *graph, const fst_pipeline_options *options);
// Freezes against the layout of all methods and cleans up. In place; the graph is then `inlined`.
fst_status fst_pipeline_freeze(fst_graph *graph, const fst_state_layout *layout, const fst_pipeline_options *options);
// A new graph for one signature (parameter types of `graph` and state->entry), taken as far as `until`. One that is typed
// already, a dump's, goes on from its stage.
fst_status fst_pipeline_lower(fst_graph *graph, fst_state_forms *state, fst_stage until, const fst_pipeline_options *options, fst_graph **out_graph);

#endif
