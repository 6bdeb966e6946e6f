// The compiler worker: one process for all models of the host, started when first needed, kept warm between requests, and
// started again after it ended. Only models that compile at the same time get one each. A client is not
// thread-safe: its owner holds a lock around each request.
#ifndef FST_RUNTIME_WORKER_CLIENT_H
#define FST_RUNTIME_WORKER_CLIENT_H

#include <sys/types.h>

#include "base/worker_protocol.h"

typedef struct fst_worker {
  char *path;     // of the executable; owned; NULL: beside the library
  pid_t pid;      // 0: none is held
  pid_t owner;    // the process that started it: a fork of the host must not speak to its parent's worker
  int socket;
} fst_worker;

void fst_worker_init(fst_worker *worker);
void fst_worker_deinit(fst_worker *worker);  // ends the process, if one is held
// Sends a request and waits for its reply. A reply that carries an error becomes the status. A worker that
// had gone idle and away is replaced without a word; one that dies over this request is an error that says how.
fst_status fst_worker_request(fst_worker *worker, fst_request_kind kind, const fst_field *fields, size_t count, int timeout_ms, fst_message *out_reply);

#endif
