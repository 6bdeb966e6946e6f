// The same model in libtorch, for comparison: opened through the bridge, in this process.
#ifndef FST_CLI_TORCH_H
#define FST_CLI_TORCH_H

#include "cli/inputs.h"
#include "frontend/torch/bridge.h"

typedef struct fst_torch fst_torch;

// `bridge` NULL: beside the runtime. `path` an archive.
fst_status fst_torch_open(const char *bridge, const char *path, fst_torch_mode mode, fst_torch **out);
void fst_torch_close(fst_torch *torch);  // NULL is allowed
fst_status fst_torch_infer(fst_torch *torch, const fst_inputs *inputs, const char *method, fst_var **out);

#endif
