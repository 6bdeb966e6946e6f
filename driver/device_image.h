// Kernels for the architectures of a device, from their text.
#ifndef FST_DRIVER_DEVICE_IMAGE_H
#define FST_DRIVER_DEVICE_IMAGE_H

#include "driver/compile.h"

// Is this the name of an architecture? If not, an error that says what is expected.
fst_status fst_device_arch_check(const char *arch);
// "sm_90" gives sm_90.cubin, "compute_80" compute_80.ptx, "source" kernels.cu, the text itself: added to `out`, bytes and all.
// `skips_unknown`: what the NVRTC that is installed does not know is left out.
fst_status fst_device_images(const char *source, const char *const *archs, uint32_t count, bool skips_unknown, fst_code_images *out);

#endif
