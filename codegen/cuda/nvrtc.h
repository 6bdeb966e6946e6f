// NVIDIA's run-time compiler, opened when it is first needed: no toolkit, driver or GPU is necessary to compile, and
// nothing is linked. One fst_nvrtc may be used by several threads at once.
#ifndef FST_CODEGEN_CUDA_NVRTC_H
#define FST_CODEGEN_CUDA_NVRTC_H

#include "base/status.h"
#include "base/text.h"

#include <stddef.h>
#include <stdint.h>

typedef struct fst_nvrtc fst_nvrtc;

// Looks, in this order: the environment variable FIRESTEEL_NVRTC (the library or its folder), the package
// nvidia-cuda-nvrtc of the Python installation at `python_prefix` (NULL: none), that package beside this library,
// CUDA_HOME and CUDA_PATH, /usr/local/cuda, and where the system's loader looks. FST_ERR_NOT_FOUND names all of these.
fst_status fst_nvrtc_open(const char *python_prefix, fst_nvrtc **out);
void fst_nvrtc_close(fst_nvrtc *nvrtc);
const char *fst_nvrtc_path(const fst_nvrtc *nvrtc);
uint32_t fst_nvrtc_version(const fst_nvrtc *nvrtc);             // 1000 * major + 10 * minor, as CUDA counts
bool fst_nvrtc_knows(const fst_nvrtc *nvrtc, uint32_t arch);    // 90: compute capability 9.0
// `source` as machine code for exactly `arch`, or as PTX that later GPUs compile when they load it. free() the bytes.
// `log`, if given, gets the compiler's messages whether it succeeds or not.
fst_status fst_nvrtc_compile(fst_nvrtc *nvrtc, const char *source, uint32_t arch, bool ptx, void **out_bytes, size_t *out_len, fst_text *log);

#endif
