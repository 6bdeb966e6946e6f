#define _GNU_SOURCE
#include "base/bridge_open.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"

// libtorch's own version number is a C function: major, minor and patch in the three highest bytes.
static fst_status loaded_torch_check(void) {
  void *torch = dlopen("libtorch_cpu.so", RTLD_LAZY | RTLD_NOLOAD);
  if (!torch) return NULL;
  union { void *at; uint64_t (*call)(void); } version = {.at = dlsym(torch, "aoti_torch_abi_version")};
  uint64_t number = version.at ? version.call() : 0;
  dlclose(torch);
  int major = (int)(number >> 56), minor = (int)(number >> 48 & 255);
  if (major == FST_TORCH_MAJOR && minor == FST_TORCH_MINOR) return NULL;
  if (!number) return FST_FAIL(FST_ERR_UNSUPPORTED, "this process has loaded an older libtorch; the bridge needs %d.%d", FST_TORCH_MAJOR, FST_TORCH_MINOR);
  return FST_FAIL(FST_ERR_UNSUPPORTED, "this process has loaded libtorch %d.%d; the bridge needs %d.%d", major, minor, FST_TORCH_MAJOR, FST_TORCH_MINOR);
}

static void default_path(fst_text *out) {
  static const char here = 0;
  Dl_info info;
  if (dladdr(&here, &info) && info.dli_fname) fst_text_append(out, info.dli_fname, (size_t)(fst_path_base(info.dli_fname) - info.dli_fname));
  fst_text_puts(out, "libfiresteel_torch.so");
}

static fst_status library_open(const char *path, void **out_library) {
  if (!fst_file_exists(path))
    return FST_FAIL(FST_ERR_UNSUPPORTED, "this needs libtorch, and Firesteel was built or installed without its bridge (%s is missing)", fst_path_base(path));
  FST_TRY(loaded_torch_check());
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) return FST_FAIL(FST_ERR_UNSUPPORTED, "the bridge to libtorch cannot be opened: %s", dlerror());
  *out_library = library;
  return NULL;
}

fst_status fst_bridge_open(const char *path, void **out_library) {
  fst_text found = {0};
  if (path) fst_text_puts(&found, path);
  else default_path(&found);
  fst_status status = library_open(fst_text_cstr(&found), out_library);
  fst_text_deinit(&found);
  return status;
}

fst_status fst_bridge_symbol(void *library, const char *name, void **out_symbol) {
  void *symbol = dlsym(library, name);
  if (!symbol) return FST_FAIL(FST_ERR_INTERNAL, "the bridge to libtorch has no %s: it is of another version of Firesteel", name);
  *out_symbol = symbol;
  return NULL;
}
