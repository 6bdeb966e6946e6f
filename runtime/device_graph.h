// Calls that do the same work each time (FST_PLAN_SIGNATURE_REPEATS, same sizes and numbers), recorded once and replayed: the
// host then launches one graph. A graph belongs to a context, with inputs, memory and results of its own; a call copies its
// arguments in and its results out. What turns out to need the host in between is not recorded, and never tried again.
#ifndef FST_RUNTIME_DEVICE_GRAPH_H
#define FST_RUNTIME_DEVICE_GRAPH_H

#include "runtime/device_call.h"

typedef struct fst_device_graph fst_device_graph;

// The graph for a call of this kind, when kinds like it have been seen before; NULL: run it as usual. `owner` and `number` say which
// code it is.
fst_device_graph *fst_device_graph_due(fst_ctx *ctx, fst_accel *accel, const void *owner, uint32_t number, const fst_val *args, uint32_t count);
bool fst_device_graph_is_ready(const fst_device_graph *graph);
// Between begin and finish of the call: records what the code does with the arguments that come back in *out_args, until `end` gets
// its result (taken over; NULL: it failed). False: there will be no graph, and nothing has happened.
bool fst_device_graph_begin(fst_ctx *ctx, fst_device_graph *graph, const fst_val *args, const fst_val **out_args);
bool fst_device_graph_end(fst_ctx *ctx, fst_device_graph *graph, const fst_val *result);
// Runs a graph that is ready. The result is the caller's; reports are to be settled.
fst_status fst_device_graph_run(fst_ctx *ctx, const fst_device_graph *graph, const fst_val *args, fst_val *out);
void fst_device_graphs_destroy(fst_ctx *ctx);   // with its context

#endif
