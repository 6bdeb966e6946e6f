// A model in a process of its own (firesteel-host), over a socket pair; tensors go as memory files. The process says by a counter
// in shared memory that it lives. One that dies or stands still is an error of that call; the next one starts another.
#ifndef FST_NEUROPOD_REMOTE_H
#define FST_NEUROPOD_REMOTE_H

#include "base/status.h"
#include "base/worker_protocol.h"
#include "firesteel/pod.h"

enum { FST_HOST_FD = FST_WORKER_FD, FST_HOST_OPEN = 200, FST_HOST_INFER, FST_HOST_BEAT_MS = 500, FST_HOST_LOST_MS = 5000 };
#define FST_HOST_LOST "OPE lost communication with the other process. See logs for more details."

typedef struct fst_remote fst_remote;

// *out_specs: what fst_specs_parse reads; malloc'ed.
fst_status fst_remote_open(const char *path, const fst_pod_options *options, fst_remote **out, char **out_specs, size_t *out_len);
void fst_remote_close(fst_remote *remote);  // NULL is allowed
fst_status fst_remote_infer(fst_remote *remote, const char *const *names, const fst_var *const *values, size_t count, const char *const *outputs, size_t output_count, fst_var **out);

#endif
