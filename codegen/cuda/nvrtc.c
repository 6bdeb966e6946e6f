// Finding, opening and calling NVRTC.
#include "codegen/cuda/nvrtc.h"

#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/vec.h"

struct fst_nvrtc {
  void *library;
  char *path;
  uint32_t version;
  FST_VEC(int) archs;
#define SYMBOL(name, result, parameters) result(*name) parameters;
#include "codegen/cuda/nvrtc_symbols.def"
#undef SYMBOL
};

// NVRTC's errors, converted here and nowhere else.
static fst_status status_of(const fst_nvrtc *n, int result, const char *what) {
  return result ? FST_FAIL(FST_ERR_INTERNAL, "NVRTC (%s): %s: %s", n->path, what, n->nvrtcGetErrorString(result)) : NULL;
}

// ---- finding it ----

typedef struct finder { fst_nvrtc *nvrtc; fst_text looked; } finder;

static bool symbols_load(fst_nvrtc *n) {
  bool complete = true;
#define SYMBOL(name, result, parameters)          \
  {                                               \
    void *at = dlsym(n->library, #name);          \
    memcpy(&n->name, &at, sizeof at);             \
    complete &= at != NULL;                       \
  }
#include "codegen/cuda/nvrtc_symbols.def"
#undef SYMBOL
  return complete;
}

static bool try_library(finder *f, const char *path) {
  fst_nvrtc *n = f->nvrtc;
  n->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!n->library) return false;
  if (symbols_load(n)) {
    n->path = strdup(path);
    return true;
  }
  fst_text_printf(&f->looked, "\n  %s (too old: it lacks functions of CUDA 11.2)", path);
  dlclose(n->library);
  n->library = NULL;
  return false;
}

// The newest that matches; `pattern` may not match libnvrtc-builtins.
static bool try_pattern(finder *f, const char *format, const char *folder) {
  fst_text pattern = {0};
  glob_t found = {0};
  bool ok = false;
  fst_text_printf(&pattern, format, folder);
  if (!glob(fst_text_cstr(&pattern), 0, NULL, &found))
    for (size_t i = found.gl_pathc; i-- > 0 && !ok;) ok = try_library(f, found.gl_pathv[i]);
  if (!ok) fst_text_printf(&f->looked, "\n  %s", fst_text_cstr(&pattern));
  globfree(&found);
  fst_text_deinit(&pattern);
  return ok;
}

static bool try_given(finder *f, const char *given) {
  struct stat st;
  if (!stat(given, &st) && S_ISDIR(st.st_mode)) return try_pattern(f, "%s/libnvrtc.so*", given);
  if (try_library(f, given)) return true;
  fst_text_printf(&f->looked, "\n  %s (from FIRESTEEL_NVRTC)", given);
  return false;
}

// Installed beside us, this library is in site-packages/firesteel/ or a folder below it.
static bool try_beside(finder *f) {
  Dl_info info;
  void *self = NULL;
  fst_status (*open)(const char *, fst_nvrtc **) = fst_nvrtc_open;
  memcpy(&self, &open, sizeof self);
  if (!dladdr(self, &info) || !info.dli_fname) return false;
  char *folder = strdup(info.dli_fname), *slash = folder ? strrchr(folder, '/') : NULL;
  if (slash) *slash = 0;
  bool ok = slash && (try_pattern(f, "%s/libnvrtc.so*", folder) || try_pattern(f, "%s/../nvidia/*/lib/libnvrtc.so*", folder) || try_pattern(f, "%s/../../nvidia/*/lib/libnvrtc.so*", folder));
  // In the folder of a build: the project's own environment.
  ok = ok || (slash && try_pattern(f, "%s/../../.venv/lib/python3*/site-packages/nvidia/*/lib/libnvrtc.so*", folder));
  free(folder);
  return ok;
}

static bool try_toolkit(finder *f, const char *root) {
  return root && (try_pattern(f, "%s/lib64/libnvrtc.so*", root) || try_pattern(f, "%s/targets/x86_64-linux/lib/libnvrtc.so*", root));
}

static bool try_loader(finder *f) {
  static const char *const names[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2", "libnvrtc.so"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (try_library(f, names[i])) return true;
  fst_text_puts(&f->looked, "\n  libnvrtc.so.13, .12 and .11.2 of the system");
  return false;
}

static bool find(finder *f, const char *prefix) {
  const char *given = getenv("FIRESTEEL_NVRTC");
  if (given && *given) return try_given(f, given);
  if (prefix && try_pattern(f, "%s/lib/python3*/site-packages/nvidia/*/lib/libnvrtc.so*", prefix)) return true;
  return try_beside(f) || try_toolkit(f, getenv("CUDA_HOME")) || try_toolkit(f, getenv("CUDA_PATH")) || try_toolkit(f, "/usr/local/cuda") || try_loader(f);
}

// ---- opening ----

static fst_status read_facts(fst_nvrtc *n) {
  int major = 0, minor = 0, count = 0;
  FST_TRY(status_of(n, n->nvrtcVersion(&major, &minor), "its version"));
  n->version = (uint32_t)(1000 * major + 10 * minor);
  FST_TRY(status_of(n, n->nvrtcGetNumSupportedArchs(&count), "its architectures"));
  fst_vec_reserve(&n->archs, (size_t)count + 1);
  FST_TRY(status_of(n, n->nvrtcGetSupportedArchs(n->archs.data), "its architectures"));
  n->archs.len = (size_t)count;
  return NULL;
}

fst_status fst_nvrtc_open(const char *python_prefix, fst_nvrtc **out) {
  finder f = {.nvrtc = calloc(1, sizeof *f.nvrtc)};
  if (!f.nvrtc) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  fst_status status = NULL;
  if (!find(&f, python_prefix))
    status = FST_FAIL(FST_ERR_NOT_FOUND, "compiling for CUDA needs NVRTC, which was not found; pip install nvidia-cuda-nvrtc, or name the library in FIRESTEEL_NVRTC. Looked at:%s", fst_text_cstr(&f.looked));
  else status = read_facts(f.nvrtc);
  fst_text_deinit(&f.looked);
  if (status) {
    fst_nvrtc_close(f.nvrtc);
    return status;
  }
  *out = f.nvrtc;
  return NULL;
}

void fst_nvrtc_close(fst_nvrtc *n) {
  if (!n) return;
  if (n->library) dlclose(n->library);
  fst_vec_free(&n->archs);
  free(n->path);
  free(n);
}

const char *fst_nvrtc_path(const fst_nvrtc *n) { return n->path; }

uint32_t fst_nvrtc_version(const fst_nvrtc *n) { return n->version; }

bool fst_nvrtc_knows(const fst_nvrtc *n, uint32_t arch) {
  for (size_t i = 0; i < n->archs.len; i++)
    if ((uint32_t)n->archs.data[i] == arch) return true;
  return false;
}

// ---- compiling ----

static fst_status read_log(const fst_nvrtc *n, void *program, fst_text *log) {
  size_t size = 0;
  FST_TRY(status_of(n, n->nvrtcGetProgramLogSize(program, &size), "the size of the log"));
  char *text = calloc(1, size + 1);
  if (!text) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  fst_status status = status_of(n, n->nvrtcGetProgramLog(program, text), "the log");
  if (!status) fst_text_puts(log, text);
  free(text);
  return status;
}

static fst_status read_code(const fst_nvrtc *n, void *program, bool ptx, void **out_bytes, size_t *out_len) {
  size_t size = 0;
  FST_TRY(status_of(n, (ptx ? n->nvrtcGetPTXSize : n->nvrtcGetCUBINSize)(program, &size), "the size of the code"));
  char *bytes = malloc(size + 1);
  if (!bytes) return FST_FAIL(FST_ERR_RESOURCE, "out of memory for %zu bytes of code", size);
  fst_status status = status_of(n, (ptx ? n->nvrtcGetPTX : n->nvrtcGetCUBIN)(program, bytes), "the code");
  if (status) {
    free(bytes);
    return status;
  }
  *out_bytes = bytes;
  *out_len = size;
  return NULL;
}

static fst_status program_compile(const fst_nvrtc *n, void *program, uint32_t arch, bool ptx, void **out_bytes, size_t *out_len, fst_text *log) {
  char target[40];
  snprintf(target, sizeof target, "--gpu-architecture=%s_%u", ptx ? "compute" : "sm", arch);
  // Contraction is written out where it is meant, as for every target; no other freedom is taken with floats.
  const char *options[] = {target, "--std=c++17", "--fmad=false", "--prec-div=true", "--prec-sqrt=true", "--ftz=false", "--disable-warnings"};
  int result = n->nvrtcCompileProgram(program, (int)(sizeof options / sizeof *options), options);
  fst_text own = {0};
  fst_status status = read_log(n, program, &own);
  if (!status && log) fst_text_puts(log, fst_text_cstr(&own));
  if (!status && result) status = FST_FAIL(FST_ERR_INTERNAL, "NVRTC (%s): compiling for sm_%u: %s\n%.2000s", n->path, arch, n->nvrtcGetErrorString(result), fst_text_cstr(&own));
  fst_text_deinit(&own);
  return status ? status : read_code(n, program, ptx, out_bytes, out_len);
}

fst_status fst_nvrtc_compile(fst_nvrtc *n, const char *source, uint32_t arch, bool ptx, void **out_bytes, size_t *out_len, fst_text *log) {
  void *program = NULL;
  if (!fst_nvrtc_knows(n, arch))
    return FST_FAIL(FST_ERR_UNSUPPORTED, "this NVRTC (%s, CUDA %u.%u) does not compile for sm_%u", n->path, n->version / 1000, n->version % 1000 / 10, arch);
  FST_TRY(status_of(n, n->nvrtcCreateProgram(&program, source, "firesteel.cu", 0, NULL, NULL), "a new program"));
  fst_status status = program_compile(n, program, arch, ptx, out_bytes, out_len, log);
  n->nvrtcDestroyProgram(&program);
  return status;
}
