// Tensors by name as a memory file, for another process: a directory, then the bytes, which the reader maps and uses where
// they lie. The reader trusts nothing in it.
#ifndef FST_NEUROPOD_WIRE_H
#define FST_NEUROPOD_WIRE_H

#include <stddef.h>

#include "base/status.h"
#include "firesteel/firesteel.h"

// Values are tensors or lists of strings. The descriptor is the caller's to close.
fst_status fst_wire_write(const char *const *names, const fst_var *const *values, size_t count, int *out_fd);
// A new dict. Its tensors hold on to the mapping; the descriptor stays the caller's.
fst_status fst_wire_read(int fd, fst_var **out_dict);

#endif
