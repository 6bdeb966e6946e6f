#define _GNU_SOURCE  // dladdr
#include "cli/compiler.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/args.h"
#include "firesteel/firesteel.h"

// Beside the runtime library.
static void compiler_path(fst_text *out) {
  const char *given = getenv("FIRESTEEL_COMPILER");
  if (given && *given) {
    fst_text_puts(out, given);
    return;
  }
  Dl_info info;
  union { const char *(*call)(void); void *at; } anything = {.call = fst_version};
  const char *name = dladdr(anything.at, &info) && info.dli_fname ? info.dli_fname : "";
  const char *slash = strrchr(name, '/');
  if (slash) fst_text_append(out, name, (size_t)(slash - name) + 1);
  fst_text_puts(out, "libfiresteel.so");
}

fst_status fst_cli_compiler(const fst_compiler_api **out) {
  fst_text path = {0};
  compiler_path(&path);
  void *library = dlopen(fst_text_cstr(&path), RTLD_NOW | RTLD_LOCAL);
  fst_text_deinit(&path);
  if (!library) return FST_FAIL(FST_ERR_NOT_FOUND, "cannot open the compiler: %s", dlerror());
  union { void *at; fst_compiler_fn call; } symbol = {.at = dlsym(library, FST_COMPILER_SYMBOL)};
  const fst_compiler_api *api = symbol.at ? symbol.call() : NULL;
  if (!api || api->version != FST_COMPILER_VERSION) return FST_FAIL(FST_ERR_UNSUPPORTED, "libfiresteel.so and this program are of different versions; build both again");
  *out = api;
  return NULL;
}

// ---- the time limit --------------------------------------------------------------------------------
// The compiler runs in this process, and an archive may do anything while it is read. Nothing of the output is written before
// the compiler is done, so ending the process leaves nothing behind.

static char limit_text[160];
static size_t limit_len;

static void limit_reached(int signal_number) {
  (void)signal_number;
  if (write(STDERR_FILENO, limit_text, limit_len) < 0) _exit(FST_EXIT_FAILED);
  _exit(FST_EXIT_FAILED);
}

void fst_cli_time_limit(long seconds) {
  if (seconds > 0) {
    int len = snprintf(limit_text, sizeof limit_text, "firesteel: reading and compiling the model took longer than the %ld seconds of --time-limit\n", seconds);
    limit_len = len > 0 ? (size_t)len : 0;
    signal(SIGALRM, limit_reached);
  }
  alarm(seconds > 0 ? (unsigned)seconds : 0);
}
