// Opening libfiresteel_torch.so, for whoever needs libtorch: the importer and the runtime's fallback.
#ifndef FST_BASE_BRIDGE_OPEN_H
#define FST_BASE_BRIDGE_OPEN_H

#include "base/status.h"

// The libtorch that the bridge is written for. Its C++ interface changes with every minor version.
enum { FST_TORCH_MAJOR = 2, FST_TORCH_MINOR = 13 };

// The bridge, opened; `path` NULL: beside the library (or program) this code is in. Never close it: libtorch
// does not survive being unloaded. Refused when the process already holds another version of libtorch, since
// the loader would bind the bridge to that one.
fst_status fst_bridge_open(const char *path, void **out_library);
// A function of the bridge, for a cast to the type that its header gives.
fst_status fst_bridge_symbol(void *library, const char *name, void **out_symbol);

#endif
