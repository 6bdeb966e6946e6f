// What travels between a host process and its compiler worker, over a socket pair: requests and replies,
// one of each at a time. A message is a header, then fields; large results go as a file descriptor.
//
// The worker has the socket as descriptor FST_WORKER_FD. It ends when the other side closes or dies, and
// after FST_WORKER_IDLE_SECONDS without a request. A client that gets FST_ERR_IO has lost its worker (a crash
// while compiling looks like this), reaps it and may spawn another.
//
// Used inside hosts: running out of memory is a status, nothing aborts, no signal is raised.
#ifndef FST_BASE_WORKER_PROTOCOL_H
#define FST_BASE_WORKER_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum {
  FST_WORKER_FD = 3,
  FST_WORKER_IDLE_SECONDS = 30,
  FST_WORKER_TIME_LIMIT_SECONDS = 600,   // for one request, unless FST_FIELD_TIME_LIMIT says otherwise
  FST_WORKER_PROTOCOL_VERSION = 1,
};

typedef enum {
  FST_REQUEST_DESCRIBE = 1,  // -> an artifact with a plan but no code: methods, arguments, types, slots
  FST_REQUEST_COMPILE,       // -> an artifact
  FST_REQUEST_DUMP,          // -> text of FST_FIELD_METHOD at FST_FIELD_STAGE
} fst_request_kind;
enum { FST_REPLY = 100 };    // `code` FST_OK or an fst_code with FST_FIELD_MESSAGE

// Texts, all optional but PATH.
typedef enum {
  FST_FIELD_PATH = 1,      // the archive
  FST_FIELD_METHOD,        // COMPILE, DUMP; absent: forward
  FST_FIELD_ARGUMENTS,     // COMPILE, DUMP: types of the arguments, as driver/signature.h
  FST_FIELD_STATE,         // COMPILE: types of all slots as they are now, in DESCRIBE's order, `;`-separated
  FST_FIELD_STAGE,         // DUMP: imported, inlined, typed, functional, fused, planned, llvm, asm
  FST_FIELD_TARGET,        // feature levels, comma-separated; absent: native
  FST_FIELD_OPTIONS,       // as fst_open_options.compile_options
  FST_FIELD_TIME_LIMIT,    // seconds of wall time, decimal
  FST_FIELD_MEMORY_LIMIT,  // megabytes of address space, decimal; the worker's first request decides
  FST_FIELD_BRIDGE,        // libfiresteel_torch.so; absent: beside the compiler
  FST_FIELD_MESSAGE,       // in replies: the error's text
  FST_FIELD_TEXT,          // in replies: a dump that is not sent as a file
} fst_field_id;

typedef struct fst_field {
  fst_field_id id;
  const char *text;
  size_t len;
} fst_field;

// Received. Texts are NUL-terminated and live as long as the message.
typedef struct fst_message {
  uint32_t kind;
  uint32_t code;
  char *payload;
  size_t len;
  int fd;  // a descriptor that came along, or -1; belongs to the message until the caller takes it (sets it to -1)
} fst_message;

// `fd`: passed along (a copy; the caller keeps its own), or -1. Fields with a NULL text are left out.
fst_status fst_message_send(int socket, uint32_t kind, fst_code code, const fst_field *fields, size_t count, int fd);
// Waits up to `timeout_ms` (negative: for ever) for the first byte, and for each further piece. FST_ERR_RESOURCE
// when nothing came in time, FST_ERR_IO when the other side is gone, FST_ERR_CORRUPT when it speaks another language.
fst_status fst_message_receive(int socket, int timeout_ms, fst_message *out);
void fst_message_deinit(fst_message *message);
// NULL when absent. `out_len` may be NULL.
const char *fst_message_field(const fst_message *message, fst_field_id id, size_t *out_len);

#endif
