// A compiled model as a shared object or an object file, with a header, by the system's C compiler.
#ifndef FST_CLI_EMIT_H
#define FST_CLI_EMIT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

// Writes `path` and, beside it, the header: model.so or model.o, and model.h.
fst_status fst_emit(const void *artifact, size_t len, const char *path, bool shared);

#endif
