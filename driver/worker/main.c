// firesteel-worker: the compiler as a process of its own. It answers requests (base/worker_protocol.h) on
// descriptor 3, one at a time, and keeps the last archive open between them.
//
// It is meant to be lost without harm: loading an archive or generating code may crash, hang or eat memory, and
// the host only sees an error. A watcher thread ends the process when the host is gone (the socket hangs up,
// however the host died; a parent-death signal would also fire when merely the thread that started us ends)
// and when a request takes too long.
#define _GNU_SOURCE  // memfd_create, POLLRDHUP
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "base/worker_protocol.h"
#include "driver/compiler.h"
#include "driver/worker/options.h"

enum { INLINE_TEXT_MAX = 64 << 10, WATCH_INTERVAL_MS = 200 };

typedef enum { IDLE, WORKING, ANSWERING } worker_state;

typedef struct worker {
  const fst_compiler_api *compiler;
  fst_source *source;        // the archive that is open, or NULL
  char *source_key;          // what it was opened from and how
  bool limited;              // the memory limit is set
  bool retire;               // end after this answer: libtorch may be in a bad state
  atomic_int state;          // worker_state; whoever moves it out of WORKING sends the reply
  _Atomic int64_t deadline;  // seconds of the monotonic clock; meaningful while WORKING
  atomic_int limit_seconds;
} worker;

// ---- the watcher -----------------------------------------------------------------------------------

static int64_t now_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

static void answer_timeout(int seconds) {
  char text[192];
  snprintf(text, sizeof text, "reading or compiling the model took longer than the limit of %d seconds and was stopped; raise it with time_limit (--time-limit)", seconds);
  const fst_field field = {FST_FIELD_MESSAGE, text, strlen(text)};
  fst_error_free(fst_message_send(FST_WORKER_FD, FST_REPLY, FST_ERR_RESOURCE, &field, 1, -1));
}

static void *watch(void *context) {
  worker *w = context;
  for (;;) {
    struct pollfd peer = {.fd = FST_WORKER_FD, .events = POLLRDHUP};
    if (poll(&peer, 1, WATCH_INTERVAL_MS) > 0 && (peer.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL))) _exit(0);
    int expected = WORKING;
    if (atomic_load(&w->state) == WORKING && now_seconds() >= atomic_load(&w->deadline) && atomic_compare_exchange_strong(&w->state, &expected, ANSWERING)) {
      answer_timeout(atomic_load(&w->limit_seconds));
      _exit(1);
    }
  }
}

// ---- limits ----------------------------------------------------------------------------------------

static long field_number(const fst_message *request, fst_field_id id, long otherwise) {
  const char *text = fst_message_field(request, id, NULL);
  char *end;
  long value = text ? strtol(text, &end, 10) : 0;
  return text && *text && !*end && value > 0 ? value : otherwise;
}

// Writable private memory, not address space: libtorch and the CUDA driver reserve far more than they use.
// Sanitizers do too, as data.
static void limit_memory(worker *w, const fst_message *request) {
  if (w->limited) return;
  w->limited = true;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  long long physical = (long long)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) >> 20;
  long megabytes = field_number(request, FST_FIELD_MEMORY_LIMIT, (long)(physical * 3 / 4));
  struct rlimit limit = {(rlim_t)megabytes << 20, (rlim_t)megabytes << 20};
  if (setrlimit(RLIMIT_DATA, &limit) != 0) fprintf(stderr, "firesteel-worker: cannot limit memory: %s\n", strerror(errno));
#else
  (void)request;
#endif
}

// ---- files for results -----------------------------------------------------------------------------

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010u
#endif

// The host maps code from what we send, so it must be possible to map it executable.
static bool can_execute(int fd) {
  long page = sysconf(_SC_PAGESIZE);
  if (ftruncate(fd, page) != 0) return false;
  void *at = mmap(NULL, (size_t)page, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
  if (at != MAP_FAILED) munmap(at, (size_t)page);
  return at != MAP_FAILED && ftruncate(fd, 0) == 0;
}

static int memory_file_open(void) {
  int fd = memfd_create("firesteel", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  if (fd < 0 && errno == EINVAL) fd = memfd_create("firesteel", MFD_CLOEXEC | MFD_ALLOW_SEALING);  // before Linux 6.3
  if (fd >= 0 && can_execute(fd)) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

// A hardened kernel may refuse executable memory files: a nameless file does as well.
static int nameless_file_open(void) {
  const char *folders[] = {getenv("XDG_RUNTIME_DIR"), "/dev/shm", "/var/tmp", "/tmp"};
  for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
    int fd = folders[i] ? open(folders[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : -1;
    if (fd >= 0 && can_execute(fd)) {
      fprintf(stderr, "firesteel: executable memory files are forbidden here; using a file in %s\n", folders[i]);
      return fd;
    }
    if (fd >= 0) close(fd);
  }
  return -1;
}

static fst_status result_file(const void *bytes, size_t len, int *out_fd) {
  int fd = memory_file_open();
  if (fd < 0) fd = nameless_file_open();
  if (fd < 0) return FST_FAIL(FST_ERR_UNSUPPORTED, "this system lets no file be mapped executable, in memory or in a temporary folder; compile ahead of time instead");
  fst_status status = fst_fd_write(fd, "the result", bytes, len);
  if (status) {
    close(fd);
    return status;
  }
  // Nobody can cut the file under the host's mapping. Plain files cannot be sealed; they have no name.
  (void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
  *out_fd = fd;
  return NULL;
}

// ---- requests --------------------------------------------------------------------------------------

typedef struct answer {
  int fd;
  char *text;  // or NULL
} answer;

static void source_forget(worker *w) {
  w->compiler->close(w->source);
  free(w->source_key);
  w->source = NULL;
  w->source_key = NULL;
}

// The file's identity and everything that decides what is read from it.
static fst_status source_key_make(const char *path, const char *bridge, const char *options, char **out) {
  struct stat info;
  if (stat(path, &info) != 0) return fst_errno_status(errno, "cannot open", path);
  fst_text key = {0};
  fst_text_printf(&key, "%s|%llu:%llu:%lld:%lld.%09ld|%s|%s", path, (unsigned long long)info.st_dev, (unsigned long long)info.st_ino, (long long)info.st_size, (long long)info.st_mtim.tv_sec,
                  (long)info.st_mtim.tv_nsec, bridge ? bridge : "", options ? options : "");
  *out = key.data;
  return NULL;
}

static fst_status source_open(worker *w, const fst_message *request, const fst_worker_options *options) {
  const char *path = fst_message_field(request, FST_FIELD_PATH, NULL), *bridge = fst_message_field(request, FST_FIELD_BRIDGE, NULL);
  if (!path) return FST_FAIL(FST_ERR_INVALID, "the request names no archive");
  char *key = NULL;
  FST_TRY(source_key_make(path, bridge, fst_message_field(request, FST_FIELD_OPTIONS, NULL), &key));
  if (w->source && !strcmp(key, w->source_key)) {
    free(key);
    return NULL;
  }
  source_forget(w);
  fst_compiler_open_options open = {bridge, options->eval, options->libraries, options->library_count, NULL};
  fst_status status = w->compiler->open(path, &open, &w->source);
  if (status) {
    w->retire = true;
    free(key);
    return status;
  }
  w->source_key = key;
  return NULL;
}

static fst_status request_run(worker *w, const fst_message *request, const fst_worker_options *options, answer *out) {
  FST_TRY(source_open(w, request, options));
  const char *method = fst_message_field(request, FST_FIELD_METHOD, NULL), *stage = fst_message_field(request, FST_FIELD_STAGE, NULL);
  fst_compiler_signature signature = {method ? method : "forward", fst_message_field(request, FST_FIELD_ARGUMENTS, NULL)};
  fst_compiler_options compile = {
      .signatures = &signature,
      .signature_count = 1,
      .state = fst_message_field(request, FST_FIELD_STATE, NULL),
      .targets = fst_message_field(request, FST_FIELD_TARGET, NULL),
      .allow_fallback = options->allow_fallback,
      .strip_source = true,
      .passes = {.verify_each = options->verify_each},
  };
  void *artifact = NULL;
  size_t len = 0;
  fst_status status;
  switch (request->kind) {
    case FST_REQUEST_DESCRIBE: status = w->compiler->describe(w->source, &artifact, &len); break;
    case FST_REQUEST_COMPILE: status = w->compiler->compile(w->source, &compile, &artifact, &len); break;
    case FST_REQUEST_DUMP: status = w->compiler->dump(w->source, &compile, method, stage ? stage : "imported", &out->text); break;
    default: status = FST_FAIL(FST_ERR_UNSUPPORTED, "unknown request %u", request->kind);
  }
  if (!status && out->text && strlen(out->text) > INLINE_TEXT_MAX) {
    status = result_file(out->text, strlen(out->text), &out->fd);
    free(out->text);
    out->text = NULL;
  }
  if (!status && artifact) status = result_file(artifact, len, &out->fd);
  free(artifact);
  return status;
}

static fst_status request_handle(worker *w, const fst_message *request, answer *out) {
  fst_worker_options options;
  FST_TRY(fst_worker_options_parse(fst_message_field(request, FST_FIELD_OPTIONS, NULL), &options));
  fst_status status = request_run(w, request, &options, out);
  fst_worker_options_deinit(&options);
  return status;
}

static fst_status answer_send(fst_status outcome, const answer *a) {
  const char *text = outcome ? outcome->message : a->text;
  const fst_field field = {outcome ? FST_FIELD_MESSAGE : FST_FIELD_TEXT, text, text ? strlen(text) : 0};
  return fst_message_send(FST_WORKER_FD, FST_REPLY, outcome ? outcome->code : FST_OK, &field, 1, outcome ? -1 : a->fd);
}

// Receives and answers one request. A status means that there is nobody left to answer.
static fst_status serve(worker *w) {
  fst_message request;
  FST_TRY(fst_message_receive(FST_WORKER_FD, FST_WORKER_IDLE_SECONDS * 1000, &request));
  limit_memory(w, &request);
  long limit = field_number(&request, FST_FIELD_TIME_LIMIT, FST_WORKER_TIME_LIMIT_SECONDS);
  atomic_store(&w->limit_seconds, (int)limit);
  atomic_store(&w->deadline, now_seconds() + limit);
  atomic_store(&w->state, WORKING);
  answer a = {.fd = -1};
  fst_status outcome = request_handle(w, &request, &a);
  int expected = WORKING;
  if (!atomic_compare_exchange_strong(&w->state, &expected, ANSWERING)) pause();  // too late: the watcher ends us
  fst_status status = answer_send(outcome, &a);
  atomic_store(&w->state, IDLE);
  fst_error_free(outcome);
  free(a.text);
  if (a.fd >= 0) close(a.fd);
  fst_message_deinit(&request);
  return status;
}

int main(void) {
  if (fcntl(FST_WORKER_FD, F_GETFD) < 0) {
    fprintf(stderr, "firesteel-worker is started by libfiresteel_rt when a model must be compiled; it is not a command\n");
    return 2;
  }
  fcntl(FST_WORKER_FD, F_SETFD, FD_CLOEXEC);
  signal(SIGPIPE, SIG_IGN);
  worker w = {.compiler = fst_compiler()};
  pthread_t watcher;
  if (pthread_create(&watcher, NULL, watch, &w) != 0) {
    fprintf(stderr, "firesteel-worker: cannot start a thread\n");
    return 1;
  }
  fst_status status = NULL;
  while (!status && !w.retire) status = serve(&w);
  fst_error_free(status);
  // libtorch's and LLVM's own clean-up at exit is slow and of no use to anybody.
  _exit(0);
}
