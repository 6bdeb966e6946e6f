#define _GNU_SOURCE  // dladdr
#include "cli/torch.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "base/bridge_open.h"
#include "base/text.h"
#include "runtime/model.h"

struct fst_torch {
  fst_torch_model *model;
  fst_torch_call_method_fn call;
  fst_torch_model_close_fn close;
};

static fst_status torch_status(int32_t code, char *error) {
  if (!code) return NULL;
  fst_status status = FST_FAIL((fst_code)code, "PyTorch: %s", error ? error : "failed without saying why");
  free(error);
  return status;
}

// Beside the runtime library, where the build puts it.
static void bridge_path(fst_text *out) {
  Dl_info info;
  union { const char *(*call)(void); void *at; } anything = {.call = fst_version};
  const char *name = dladdr(anything.at, &info) && info.dli_fname ? info.dli_fname : "";
  const char *slash = strrchr(name, '/');
  if (slash) fst_text_append(out, name, (size_t)(slash - name) + 1);
  fst_text_puts(out, "libfiresteel_torch.so");
}

static fst_status library_open(const char *given, void **out) {
  fst_text path = {0};
  if (given) fst_text_puts(&path, given);
  else bridge_path(&path);
  fst_status status = fst_bridge_open(fst_text_cstr(&path), out);
  fst_text_deinit(&path);
  return status;
}

static fst_status model_open(void *library, const char *path, fst_torch_mode mode, fst_torch *t) {
  union { void *at; fst_torch_model_open_fn open; fst_torch_model_close_fn close; fst_torch_call_method_fn call; fst_torch_set_threads_fn threads; } f;
  FST_TRY(fst_bridge_symbol(library, FST_TORCH_SET_THREADS, &f.at));
  f.threads(1);
  FST_TRY(fst_bridge_symbol(library, FST_TORCH_MODEL_CLOSE, &f.at));
  t->close = f.close;
  FST_TRY(fst_bridge_symbol(library, FST_TORCH_CALL_METHOD, &f.at));
  t->call = f.call;
  FST_TRY(fst_bridge_symbol(library, FST_TORCH_MODEL_OPEN, &f.at));
  char *error = NULL;
  int32_t code = f.open(path, mode, NULL, &t->model, &error);   // `error` is there only after the call
  return torch_status(code, error);
}

fst_status fst_torch_open(const char *bridge, const char *path, fst_torch_mode mode, fst_torch **out) {
  void *library;
  FST_TRY(library_open(bridge, &library));
  fst_torch *made = calloc(1, sizeof *made);
  if (!made) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  fst_status status = model_open(library, path, mode, made);
  if (status) free(made);
  else *out = made;
  return status;
}

void fst_torch_close(fst_torch *t) {
  if (!t) return;
  t->close(t->model);
  free(t);
}

fst_status fst_torch_infer(fst_torch *t, const fst_inputs *inputs, const char *method, fst_var **out) {
  size_t count = inputs->values.len;
  fst_val *args = calloc(count + 1, sizeof *args), result;
  const char **names = calloc(count + 1, sizeof *names);
  char *error = NULL;
  fst_status status = args && names ? NULL : FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  for (size_t i = 0; i < count && !status; i++) {
    args[i] = inputs->values.data[i]->val;
    if (i >= inputs->positional) names[i] = inputs->names.data[i - inputs->positional];
  }
  int32_t code = status ? 0 : t->call(t->model, fst_bridge_host_table(), method ? method : "forward", (int64_t)count, args, names, &result, &error);
  if (!status) status = torch_status(code, error);
  if (!status) {
    *out = fst_var_of(&result);
    fst_val_release(&result);
    if (!*out) status = FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  }
  free(args);
  free(names);
  return status;
}
