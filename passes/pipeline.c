// The whole road of a method on one screen.
#include "passes/pipeline.h"

fst_status fst_pipeline_inline(fst_graph *graph, const fst_pipeline_options *options) {
  return fst_passes_run(graph, "inline,scalar-operands", options);
}

fst_status fst_pipeline_freeze(fst_graph *graph, const fst_state_layout *layout, const fst_pipeline_options *options) {
  if (graph->stage >= FST_STAGE_TYPED) return NULL;   // a dump of a later stage: nothing is left to freeze
  FST_TRY(fst_freeze(graph, layout));
  return fst_passes_run(graph, "canonicalize,simplify-cf,canonicalize,cse,dce", options);
}

// What takes a graph from one stage to the next, in order.
static const struct { fst_stage to; const char *passes; bool falls_back; } steps[] = {
    {FST_STAGE_TYPED, "ties", true},                        // only where ops may fall back
    {FST_STAGE_TYPED, "fold-batch-norm,decompose,canonicalize,cse,dce", false},          // after specialization itself
    {FST_STAGE_FUNCTIONAL, "settle-views,functionalize,canonicalize,cse,dce", false},
    {FST_STAGE_FUSED, "fuse", false},
    {FST_STAGE_PLANNED, "plan", false},
};

fst_status fst_pipeline_lower(fst_graph *graph, fst_state_forms *state, fst_stage until, const fst_pipeline_options *options, fst_graph **out_graph) {
  fst_graph *made;
  bool begun = graph->stage >= FST_STAGE_TYPED;
  if (begun) made = fst_graph_clone(graph, graph->name);
  else FST_TRY(fst_specialize(graph, state, options ? options->trial : NULL, &made));
  for (size_t i = 0; i < sizeof steps / sizeof *steps && steps[i].to <= until; i++) {
    if (steps[i].falls_back && !(options && options->allow_fallback)) continue;
    if (begun && steps[i].to <= graph->stage && steps[i].to != FST_STAGE_PLANNED) continue;   // places are not part of a graph's text
    fst_status status = fst_passes_run(made, steps[i].passes, options);
    if (status) {
      fst_graph_destroy(made);
      return status;
    }
  }
  *out_graph = made;
  return NULL;
}
