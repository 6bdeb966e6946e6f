#define _GNU_SOURCE
#include "runtime/worker_client.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/buf.h"
#include "runtime/model.h"

extern char **environ;

void fst_worker_init(fst_worker *w) { *w = (fst_worker){.socket = -1}; }

// Ends the process and says how it ended: "" when that is not known.
static void worker_stop(fst_worker *w, fst_buf *how) {
  if (w->socket >= 0) close(w->socket);
  w->socket = -1;
  if (w->pid <= 0) return;
  if (w->owner != getpid()) {
    w->pid = 0;
    return;
  }
  int state = 0;
  pid_t got = 0;
  // A worker that lost its client ends by itself; one that hangs is ended.
  for (int tries = 0; tries < 100 && got == 0; tries++) {
    got = waitpid(w->pid, &state, WNOHANG);
    if (got == 0) usleep(tries < 20 ? 1000 : 10000);
  }
  if (got == 0) {
    kill(w->pid, SIGKILL);
    do got = waitpid(w->pid, &state, 0);
    while (got < 0 && errno == EINTR);
  }
  if (how && got > 0 && WIFSIGNALED(state)) fst_buf_printf(how, " (signal %d, %s)", WTERMSIG(state), strsignal(WTERMSIG(state)));
  else if (how && got > 0 && WIFEXITED(state) && WEXITSTATUS(state)) fst_buf_printf(how, " (exit code %d)", WEXITSTATUS(state));
  w->pid = 0;
}

void fst_worker_deinit(fst_worker *w) {
  worker_stop(w, NULL);
  free(w->path);
}

// ---- starting ----

static fst_status worker_path(const fst_worker *w, fst_buf *out) {
  const char *given = w->path ? w->path : getenv("FIRESTEEL_WORKER");
  if (given && *given) {
    fst_buf_puts(out, given);
    if (access(out->data ? out->data : "", X_OK) == 0) return NULL;
    return FST_FAIL(FST_ERR_NOT_FOUND, "the compiler worker %s cannot be run: %s", given, strerror(errno));
  }
  static const char *const places[] = {"../bin/firesteel-worker", "firesteel-worker", "../../bin/firesteel-worker"};
  char *folder = fst_library_folder();
  for (size_t i = 0; folder && i < sizeof places / sizeof *places; i++) {
    out->len = 0;
    fst_buf_printf(out, "%s/%s", folder, places[i]);
    if (out->failed || access(out->data, X_OK) != 0) continue;
    free(folder);
    return NULL;
  }
  fst_status status = FST_FAIL(FST_ERR_NOT_FOUND, "cannot compile: there is no firesteel-worker beside the runtime in %s (set FIRESTEEL_WORKER to its path)", folder ? folder : "?");
  free(folder);
  return status;
}

static int spawn_with(const char *path, int theirs, pid_t *out_pid) {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  if (posix_spawn_file_actions_init(&files) != 0) return ENOMEM;
  if (posix_spawnattr_init(&attributes) != 0) {
    posix_spawn_file_actions_destroy(&files);
    return ENOMEM;
  }
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  // What the compiler prints is for the developer: nothing goes into the host's standard output.
  int error = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", 0, 0);
  if (!error) error = posix_spawn_file_actions_adddup2(&files, 2, 1);
  if (!error) error = posix_spawn_file_actions_adddup2(&files, theirs, FST_WORKER_FD);
  if (!error) error = posix_spawn_file_actions_addclosefrom_np(&files, FST_WORKER_FD + 1);
  if (!error) error = posix_spawnattr_setsigmask(&attributes, &none);
  if (!error) error = posix_spawnattr_setsigdefault(&attributes, &all);
  if (!error) error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  char *argv[] = {(char *)(uintptr_t)path, NULL};
  if (!error) error = posix_spawn(out_pid, path, &files, &attributes, argv, environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  return error;
}

static fst_status worker_start(fst_worker *w) {
  fst_buf path = {0};
  fst_status status = worker_path(w, &path);
  int pair[2] = {-1, -1};
  if (!status && path.failed) status = FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  if (!status && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) status = FST_FAIL(FST_ERR_RESOURCE, "cannot make a socket pair: %s", strerror(errno));
  // Theirs must not be the very descriptor it becomes, or it would keep its close-on-exec mark.
  if (!status && pair[1] == FST_WORKER_FD) {
    int other = dup(pair[1]);
    if (other < 0) status = FST_FAIL(FST_ERR_RESOURCE, "cannot copy a descriptor: %s", strerror(errno));
    close(pair[1]);
    pair[1] = other;
  }
  if (!status) {
    int error = spawn_with(path.data, pair[1], &w->pid);
    if (error) status = FST_FAIL(FST_ERR_IO, "cannot start the compiler worker %s: %s", path.data, strerror(error));
  }
  if (pair[1] >= 0) close(pair[1]);
  if (status && pair[0] >= 0) close(pair[0]);
  else if (!status) w->socket = pair[0];
  if (status) w->pid = 0;
  w->owner = getpid();
  fst_buf_deinit(&path);
  return status;
}

// ---- between requests ----

// The worker that waits for the next request of any model, or NULL. It ends with the host, or after a while idle.
static _Atomic(fst_worker *) waiting;

static bool same_path(const fst_worker *a, const fst_worker *b) { return !a->path || !b->path ? a->path == b->path : !strcmp(a->path, b->path); }

static void worker_free(fst_worker *w) {
  fst_worker_deinit(w);
  free(w);
}

// Leaves the client's worker for whoever asks next; keeps it when one waits already or memory is out.
static void worker_park(fst_worker *w) {
  fst_worker *parked = calloc(1, sizeof *parked), *none = NULL;
  if (!parked) return;
  *parked = *w;
  parked->path = w->path ? strdup(w->path) : NULL;
  if ((w->path && !parked->path) || !atomic_compare_exchange_strong(&waiting, &none, parked)) {
    free(parked->path);
    free(parked);
    return;
  }
  w->pid = 0;
  w->socket = -1;
}

static void worker_take(fst_worker *w) {
  fst_worker *parked = atomic_exchange(&waiting, NULL);
  if (!parked) return;
  if (parked->owner == getpid() && same_path(parked, w)) {
    w->pid = parked->pid;
    w->owner = parked->owner;
    w->socket = parked->socket;
    parked->pid = 0;
    parked->socket = -1;
  }
  worker_free(parked);
}

// ---- asking ----

static fst_status reply_check(fst_message *reply) {
  if (reply->kind != FST_REPLY) return FST_FAIL(FST_ERR_CORRUPT, "the compiler worker answered something else than a reply");
  if (reply->code == FST_OK) return NULL;
  const char *text = fst_message_field(reply, FST_FIELD_MESSAGE, NULL);
  return FST_FAIL((fst_code)(reply->code <= FST_ERR_INTERNAL ? reply->code : FST_ERR_INTERNAL), "%s", text ? text : "the compiler failed without saying why");
}

fst_status fst_worker_request(fst_worker *w, fst_request_kind kind, const fst_field *fields, size_t count, int timeout_ms, fst_message *out) {
  if (w->pid > 0 && w->owner != getpid()) worker_stop(w, NULL);
  if (w->pid <= 0) worker_take(w);
  bool was_running = w->pid > 0;
  for (;;) {
    if (w->pid <= 0) FST_TRY(worker_start(w));
    fst_status status = fst_message_send(w->socket, (uint32_t)kind, FST_OK, fields, count, -1);
    if (!status) status = fst_message_receive(w->socket, timeout_ms, out);
    if (!status) {
      status = reply_check(out);
      if (status) fst_message_deinit(out);
      worker_park(w);
      return status;
    }
    bool lost = status->code == FST_ERR_IO;
    fst_buf how = {0};
    worker_stop(w, &how);
    if (lost && was_running) {  // it may have ended while idle: once more with a new one
      was_running = false;
      fst_error_free(status);
      fst_buf_deinit(&how);
      continue;
    }
    if (lost) {
      fst_error_free(status);
      status = FST_FAIL(FST_ERR_INTERNAL, "the compiler worker ended unexpectedly%s; the next call starts another", fst_buf_text(&how));
    }
    fst_buf_deinit(&how);
    return status;
  }
}
