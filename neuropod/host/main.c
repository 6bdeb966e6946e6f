// firesteel-host: one model in a process of its own, for neuropod/remote.c, on descriptor 3. It ends with its parent.
#define _GNU_SOURCE  // POLLRDHUP
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/text.h"
#include "base/vec.h"
#include "neuropod/remote.h"
#include "neuropod/specs.h"
#include "neuropod/wire.h"

typedef struct host {
  fst_model *model;
  fst_map_options call;
  uint64_t *beats;
} host;

// Says that the process lives, also during a long call, and ends it when nobody is there to hear.
static void *beat(void *context) {
  host *h = context;
  for (;;) {
    struct pollfd peer = {.fd = FST_HOST_FD, .events = POLLRDHUP};
    if (poll(&peer, 1, FST_HOST_BEAT_MS / 2) > 0 && (peer.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL))) _exit(0);
    uint64_t *beats = __atomic_load_n(&h->beats, __ATOMIC_ACQUIRE);
    if (beats) __atomic_add_fetch(beats, 1, __ATOMIC_RELAXED);
  }
}

static fst_status failed(fst_failure *failure) {
  if (!failure) return NULL;
  fst_status status = FST_FAIL((fst_code)fst_failure_code(failure), "%s", fst_failure_message(failure));
  fst_failure_free(failure);
  return status;
}

static fst_status model_open(host *h, fst_message *request, fst_text *out) {
  const char *path = fst_message_field(request, FST_FIELD_PATH, NULL), *flags = fst_message_field(request, FST_FIELD_ARGUMENTS, NULL), *seconds = fst_message_field(request, FST_FIELD_TIME_LIMIT, NULL);
  fst_open_options o = {.size = sizeof o, .target = fst_message_field(request, FST_FIELD_TARGET, NULL), .worker = fst_message_field(request, FST_FIELD_STAGE, NULL),
                        .compile_options = fst_message_field(request, FST_FIELD_OPTIONS, NULL), .bridge = fst_message_field(request, FST_FIELD_BRIDGE, NULL), .time_limit = seconds ? atoi(seconds) : 0};
  h->call = (fst_map_options){.size = sizeof h->call};
  if (!path || !flags || h->model || sscanf(flags, "%d %d %d %d %d %d", &o.copy_weights, &o.verify_weights, &o.no_compile, &o.dynamic_shapes, &h->call.no_check, &h->call.strict_symbols) != 6)
    return FST_FAIL(FST_ERR_CORRUPT, "the request to open a model is damaged");
  void *map = mmap(NULL, sizeof *h->beats, PROT_READ | PROT_WRITE, MAP_SHARED, request->fd, 0);
  if (map == MAP_FAILED) return FST_FAIL(FST_ERR_IO, "cannot map the memory to beat in: %s", strerror(errno));
  __atomic_store_n(&h->beats, (uint64_t *)map, __ATOMIC_RELEASE);
  FST_TRY(failed(fst_open(path, &o, &h->model)));
  if (!*fst_package_name(h->model)) return FST_FAIL(FST_ERR_NOT_FOUND, "Error loading config file for neuropod '%s'", path);
  fst_specs_print(h->model, out);
  return NULL;
}

// Names and values of a dict, which holds them.
typedef struct parts {
  FST_VEC(const char *) names;
  FST_VEC(fst_var *) keys;
  FST_VEC(fst_var *) values;
} parts;

static void parts_take(const fst_var *dict, parts *out) {
  for (size_t i = 0; i < fst_var_count(dict); i++) {
    fst_var *key = fst_var_key(dict, i), *value = fst_var_item(dict, i);
    const char *name = key ? fst_var_as_str(key, NULL) : "";
    fst_vec_push(&out->keys, key);
    fst_vec_push(&out->values, value);
    fst_vec_push(&out->names, name);
  }
}

static void parts_free(parts *p) {
  for (size_t i = 0; i < p->keys.len; i++) {
    fst_var_free(p->keys.data[i]);
    fst_var_free(p->values.data[i]);
  }
  fst_vec_free(&p->names);
  fst_vec_free(&p->keys);
  fst_vec_free(&p->values);
}

static fst_status outputs_send(const fst_var *outputs, int *out_fd) {
  parts p = {0};
  parts_take(outputs, &p);
  fst_status status = fst_wire_write(p.names.data, (const fst_var *const *)p.values.data, p.names.len, out_fd);
  parts_free(&p);
  return status;
}

static fst_status model_infer(host *h, const fst_message *request, int *out_fd) {
  size_t len = 0;
  const char *wanted = fst_message_field(request, FST_FIELD_TEXT, &len);
  if (!h->model || request->fd < 0) return FST_FAIL(FST_ERR_CORRUPT, "the request to call a model is damaged");
  fst_var *inputs, *outputs = NULL;
  FST_TRY(fst_wire_read(request->fd, &inputs));
  FST_VEC(const char *) names = {0};
  for (size_t at = 0; at < len; at += strlen(wanted + at) + 1) {
    const char *name = wanted + at;
    fst_vec_push(&names, name);
  }
  parts p = {0};
  parts_take(inputs, &p);
  fst_map_options o = h->call;
  o.outputs = names.data;
  o.output_count = names.len;
  fst_status status = failed(fst_infer_map(h->model, p.names.data, (const fst_var *const *)p.values.data, p.names.len, &o, &outputs));
  if (!status) status = outputs_send(outputs, out_fd);
  fst_var_free(outputs);
  parts_free(&p);
  fst_vec_free(&names);
  fst_var_free(inputs);
  return status;
}

static fst_status serve(host *h) {
  fst_message request;
  FST_TRY(fst_message_receive(FST_HOST_FD, -1, &request));
  fst_text text = {0};
  int fd = -1;
  fst_status outcome = request.kind == FST_HOST_OPEN ? model_open(h, &request, &text) : request.kind == FST_HOST_INFER ? model_infer(h, &request, &fd) : FST_FAIL(FST_ERR_UNSUPPORTED, "unknown request %u", request.kind);
  const fst_field field = {outcome ? FST_FIELD_MESSAGE : FST_FIELD_TEXT, outcome ? outcome->message : text.data, outcome ? strlen(outcome->message) : text.len};
  fst_status status = fst_message_send(FST_HOST_FD, FST_REPLY, outcome ? outcome->code : FST_OK, &field, 1, fd);
  fst_error_free(outcome);
  fst_text_deinit(&text);
  if (fd >= 0) close(fd);
  fst_message_deinit(&request);
  return status;
}

int main(void) {
  if (fcntl(FST_HOST_FD, F_GETFD) < 0) {
    fprintf(stderr, "firesteel-host is started by programs that run a model in a process of its own; it is not a command\n");
    return 2;
  }
  fcntl(FST_HOST_FD, F_SETFD, FD_CLOEXEC);
  signal(SIGPIPE, SIG_IGN);
  host h = {0};
  pthread_t thread;
  if (pthread_create(&thread, NULL, beat, &h) != 0) return 1;
  fst_status status = NULL;
  while (!status) status = serve(&h);
  fst_error_free(status);
  _exit(0);
}
