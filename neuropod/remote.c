#define _GNU_SOURCE
#include "neuropod/remote.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "neuropod/wire.h"

extern char **environ;

struct fst_remote {
  pthread_mutex_t lock;    // one request at a time
  char *path, *host;
  char *target, *worker, *compile_options, *bridge, *flags, *time_limit;
  pid_t pid;               // 0: none runs
  int socket;
  uint64_t *beats;         // shared with the process
  int beats_fd;
};

// ---- the process -----------------------------------------------------------------------------------

static void process_end(fst_remote *r) {
  if (r->socket >= 0) close(r->socket);
  r->socket = -1;
  if (r->pid <= 0) return;
  kill(r->pid, SIGKILL);
  while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR) {}
  r->pid = 0;
}

static fst_status host_find(const char *given, char **out) {
  static const char *const places[] = {"../bin/firesteel-host", "firesteel-host", "../../bin/firesteel-host", "bin/firesteel-host"};
  if (!given || !*given) given = getenv("FIRESTEEL_HOST");
  fst_text path = {0};
  Dl_info info;
  union { void (*call)(fst_pod *); void *at; } here = {.call = fst_pod_close};
  const char *library = dladdr(here.at, &info) && info.dli_fname ? info.dli_fname : "", *slash = strrchr(library, '/');
  bool found = false;
  if (given && *given) fst_text_puts(&path, given), found = access(given, X_OK) == 0;
  for (size_t i = 0; !found && !(given && *given) && i < sizeof places / sizeof *places; i++) {
    path.len = 0;
    fst_text_printf(&path, "%.*s/%s", slash ? (int)(slash - library) : 1, slash ? library : ".", places[i]);
    found = access(path.data, X_OK) == 0;
  }
  if (found) {
    *out = path.data;
    return NULL;
  }
  fst_status status = FST_FAIL(FST_ERR_NOT_FOUND, "cannot run the model in a process of its own: there is no firesteel-host (%s; set FIRESTEEL_HOST to its path)", fst_text_cstr(&path));
  fst_text_deinit(&path);
  return status;
}

static fst_status process_start(fst_remote *r) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return fst_errno_status(errno, "cannot make", "a socket pair");
  if (pair[1] == FST_HOST_FD) {  // must not be the very descriptor that it becomes, or it would keep its close-on-exec mark
    int other = fcntl(pair[1], F_DUPFD_CLOEXEC, FST_HOST_FD + 1);
    close(pair[1]);
    pair[1] = other;
  }
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, pair[1], FST_HOST_FD);
  posix_spawn_file_actions_addclosefrom_np(&files, FST_HOST_FD + 1);
  char *argv[] = {r->host, NULL};
  int error = posix_spawn(&r->pid, r->host, &files, NULL, argv, environ);
  posix_spawn_file_actions_destroy(&files);
  close(pair[1]);
  if (error) {
    close(pair[0]);
    r->pid = 0;
    return fst_errno_status(error, "cannot start", r->host);
  }
  r->socket = pair[0];
  return NULL;
}

// ---- requests --------------------------------------------------------------------------------------

static fst_status lost(fst_remote *r, fst_status cause) {
  fst_error_free(cause);
  process_end(r);
  return FST_FAIL(FST_ERR_IO, "%s", FST_HOST_LOST);
}

// Waits for the reply while the process shows that it lives.
static fst_status reply_wait(fst_remote *r) {
  uint64_t seen = __atomic_load_n(r->beats, __ATOMIC_RELAXED);
  for (int still = 0; still < FST_HOST_LOST_MS;) {
    struct pollfd peer = {.fd = r->socket, .events = POLLIN};
    int got = poll(&peer, 1, FST_HOST_BEAT_MS);
    if (got > 0) return NULL;
    if (got < 0 && errno != EINTR) break;
    uint64_t now = __atomic_load_n(r->beats, __ATOMIC_RELAXED);
    still = now == seen ? still + FST_HOST_BEAT_MS : 0;
    seen = now;
  }
  return FST_FAIL(FST_ERR_IO, "no sign of life");
}

static fst_status request(fst_remote *r, uint32_t kind, const fst_field *fields, size_t count, int fd, fst_message *out) {
  fst_status status = fst_message_send(r->socket, kind, FST_OK, fields, count, fd);
  if (!status) status = reply_wait(r);
  if (!status) status = fst_message_receive(r->socket, FST_HOST_LOST_MS, out);
  if (status) return lost(r, status);
  if (out->code == FST_OK) return NULL;
  const char *text = fst_message_field(out, FST_FIELD_MESSAGE, NULL);
  status = FST_FAIL((fst_code)out->code, "%s", text ? text : "the model's process gave no reason");
  fst_message_deinit(out);
  return status;
}

static fst_status process_open(fst_remote *r, fst_message *out) {
  FST_TRY(process_start(r));
  const char *texts[] = {r->path, r->target, r->worker, r->compile_options, r->bridge, r->flags, r->time_limit};
  const fst_field_id ids[] = {FST_FIELD_PATH, FST_FIELD_TARGET, FST_FIELD_STAGE, FST_FIELD_OPTIONS, FST_FIELD_BRIDGE, FST_FIELD_ARGUMENTS, FST_FIELD_TIME_LIMIT};
  fst_field fields[7];
  for (int i = 0; i < 7; i++) fields[i] = (fst_field){ids[i], texts[i], texts[i] ? strlen(texts[i]) : 0};
  fst_status status = request(r, FST_HOST_OPEN, fields, 7, r->beats_fd, out);
  if (status) process_end(r);
  return status;
}

// ---- opening ---------------------------------------------------------------------------------------

static char *copied(const char *text) { return text ? strdup(text) : NULL; }

static fst_status beats_make(fst_remote *r) {
  r->beats_fd = memfd_create("firesteel-beats", MFD_CLOEXEC);
  if (r->beats_fd < 0 || ftruncate(r->beats_fd, sizeof *r->beats) != 0) return fst_errno_status(errno, "cannot make", "a memory file");
  void *map = mmap(NULL, sizeof *r->beats, PROT_READ | PROT_WRITE, MAP_SHARED, r->beats_fd, 0);
  if (map == MAP_FAILED) return fst_errno_status(errno, "cannot map", "a memory file");
  r->beats = map;
  return NULL;
}

static fst_status remote_fill(fst_remote *r, const char *path, const fst_pod_options *options, char **out_specs, size_t *out_len) {
  fst_open_options open = {0};
  if (options->open) memcpy(&open, options->open, options->open->size < sizeof open ? options->open->size : sizeof open);
  char flags[128], seconds[32];
  snprintf(flags, sizeof flags, "%d %d %d %d %d %d", open.copy_weights, open.verify_weights, open.no_compile, open.dynamic_shapes, options->no_check, options->strict_symbols);
  snprintf(seconds, sizeof seconds, "%d", open.time_limit);
  FST_TRY(host_find(options->host, &r->host));
  r->path = realpath(path, NULL);
  if (!r->path) r->path = copied(path);
  r->target = copied(open.target);
  r->worker = copied(open.worker);
  r->compile_options = copied(open.compile_options);
  r->bridge = copied(open.bridge);
  r->flags = copied(flags);
  r->time_limit = copied(seconds);
  if (!r->path || !r->flags || !r->time_limit) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  FST_TRY(beats_make(r));
  fst_message reply;
  FST_TRY(process_open(r, &reply));
  const char *specs = fst_message_field(&reply, FST_FIELD_TEXT, out_len);
  *out_specs = specs ? malloc(*out_len + 1) : NULL;
  if (*out_specs) memcpy(*out_specs, specs, *out_len);
  fst_message_deinit(&reply);
  return *out_specs ? NULL : FST_FAIL(FST_ERR_RESOURCE, "out of memory");
}

fst_status fst_remote_open(const char *path, const fst_pod_options *options, fst_remote **out, char **out_specs, size_t *out_len) {
  fst_remote *r = calloc(1, sizeof *r);
  if (!r || pthread_mutex_init(&r->lock, NULL) != 0) {
    free(r);
    return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  }
  r->socket = r->beats_fd = -1;
  fst_status status = remote_fill(r, path, options, out_specs, out_len);
  if (status) fst_remote_close(r);
  else *out = r;
  return status;
}

void fst_remote_close(fst_remote *r) {
  if (!r) return;
  process_end(r);
  if (r->beats) munmap(r->beats, sizeof *r->beats);
  if (r->beats_fd >= 0) close(r->beats_fd);
  char *texts[] = {r->path, r->host, r->target, r->worker, r->compile_options, r->bridge, r->flags, r->time_limit};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free(texts[i]);
  pthread_mutex_destroy(&r->lock);
  free(r);
}

// ---- calling ---------------------------------------------------------------------------------------

static fst_status infer(fst_remote *r, int inputs, const fst_text *wanted, fst_var **out) {
  fst_message reply;
  if (!r->pid) {  // it was lost
    FST_TRY(process_open(r, &reply));
    fst_message_deinit(&reply);
  }
  const fst_field field = {FST_FIELD_TEXT, wanted->data, wanted->len};
  FST_TRY(request(r, FST_HOST_INFER, &field, 1, inputs, &reply));
  fst_status status = fst_wire_read(reply.fd, out);
  fst_message_deinit(&reply);
  return status;
}

fst_status fst_remote_infer(fst_remote *r, const char *const *names, const fst_var *const *values, size_t count, const char *const *outputs, size_t output_count, fst_var **out) {
  int inputs;
  FST_TRY(fst_wire_write(names, values, count, &inputs));
  fst_text wanted = {0};
  for (size_t i = 0; i < output_count; i++) fst_text_append(&wanted, outputs[i], strlen(outputs[i]) + 1);
  pthread_mutex_lock(&r->lock);
  fst_status status = infer(r, inputs, &wanted, out);
  pthread_mutex_unlock(&r->lock);
  fst_text_deinit(&wanted);
  close(inputs);
  return status;
}
