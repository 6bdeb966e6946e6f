#include "frontend/import.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/bridge_open.h"
#include "frontend/archive.h"
#include "frontend/torch/bridge.h"
#include "ir/graph.h"

static fst_status bridge_import(const char *path, const fst_import_options *options, char **out_text, size_t *out_len, int *out_side) {
  fst_torch_import_options given = {.size = sizeof given};
  if (options) given = (fst_torch_import_options){sizeof given, options->eval, options->libraries, options->library_count};
  void *library;
  union { void *at; fst_torch_import_fn call; } import;
  FST_TRY(fst_bridge_open(options ? options->bridge : NULL, &library));
  FST_TRY(fst_bridge_symbol(library, FST_TORCH_IMPORT, &import.at));
  char *error = NULL;
  int32_t code = import.call(path, &given, out_text, out_len, out_side, &error);
  if (!code) return NULL;
  fst_status status = FST_FAIL((fst_code)code, "%s", error ? error : "libtorch failed without saying why");
  free(error);
  return status;
}

fst_status fst_import_text(const char *path, const fst_import_options *options, fst_text *out_text, fst_mapping *out_side) {
  char *text = NULL;
  size_t len = 0;
  int side = -1;
  FST_TRY(fst_archive_check(path));
  FST_TRY(bridge_import(path, options, &text, &len, &side));
  fst_status status = fst_file_map_fd(side, "the importer's side file", out_side);
  close(side);
  if (!status) fst_text_append(out_text, text, len);
  free(text);
  return status;
}

static fst_status import_parse(const char *path, const fst_text *text, fst_import *out) {
  FST_TRY(fst_error_prefix(fst_module_parse(fst_text_cstr(text), text->len, "imported", &out->module), "cannot read what the importer wrote"));
  FST_TRY(fst_module_verify(out->module));
  FST_TRY(fst_file_map(path, &out->archive));
  return fst_module_map(out->module, out->archive.data, out->archive.size, out->side.data, out->side.size);
}

static bool trial_run(void *context, const char *schema, uint32_t count, const fst_meta_val *args, uint32_t results, fst_meta_val *out) {
  union { void *at; fst_torch_try_fn call; } tries = {.at = context};
  char *error = NULL;
  int32_t code = tries.call(schema, count, args, results, out, &error);
  free(error);
  return code == 0;
}

// The bridge is open already.
static fst_status trial_open(const char *bridge, fst_meta_trial *out) {
  void *library;
  FST_TRY(fst_bridge_open(bridge, &library));
  FST_TRY(fst_bridge_symbol(library, FST_TORCH_TRY, &out->context));
  out->run = trial_run;
  return NULL;
}

fst_status fst_import_archive(const char *path, const fst_import_options *options, fst_import *out) {
  fst_import made = {0};
  fst_text text = {0};
  fst_status status = fst_import_text(path, options, &text, &made.side);
  if (!status) status = import_parse(path, &text, &made);
  if (!status) status = trial_open(options ? options->bridge : NULL, &made.trial);
  fst_text_deinit(&text);
  if (status) {
    fst_import_deinit(&made);
    return status;
  }
  *out = made;
  return NULL;
}

void fst_import_deinit(fst_import *import) {
  fst_module_destroy(import->module);
  fst_mapping_deinit(&import->archive);
  fst_mapping_deinit(&import->side);
  *import = (fst_import){0};
}
