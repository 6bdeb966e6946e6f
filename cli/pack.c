// `firesteel pack`: an archive becomes a Neuropod, which is tried at once in a process of its own.
#define _GNU_SOURCE  // environ
#include <ctype.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/compiler.h"
#include "cli/npy.h"

typedef struct pack_options {
  fst_pack_options pack;
  const char *spec;
  fst_words inputs, outputs, ops;
  const char *test_inputs, *test_outputs, *compression;
  bool keep_no_tests;
} pack_options;

// ---- specs as JSON ---------------------------------------------------------------------------------

static fst_status entry_wrong(const char *entry) {
  return FST_FAIL(FST_ERR_INVALID, "cannot read the spec '%s': expected 'NAME: DTYPE[SIZE, ...]', as in 'x: float32[batch, 3, ?]'", entry);
}

// JSON needs no quoting of what a name, a dtype or a symbol may be made of here.
static bool word_take(const char **at, const char *more, const char **out, size_t *out_len) {
  while (isspace((unsigned char)**at)) ++*at;
  *out = *at;
  while (isalnum((unsigned char)**at) || **at == '_' || (**at && strchr(more, **at))) ++*at;
  *out_len = (size_t)(*at - *out);
  while (isspace((unsigned char)**at)) ++*at;
  return *out_len > 0;
}

static fst_status entry_print(const char *entry, fst_text *out) {
  const char *at = entry, *name, *dtype, *dim;
  size_t name_len, dtype_len, dim_len;
  if (!word_take(&at, ".-", &name, &name_len) || *at++ != ':' || !word_take(&at, "", &dtype, &dtype_len) || *at++ != '[') return entry_wrong(entry);
  fst_text_printf(out, "{\"name\": \"%.*s\", \"dtype\": \"%.*s\", \"shape\": [", (int)name_len, name, (int)dtype_len, dtype);
  while (isspace((unsigned char)*at)) at++;
  for (bool first = true; *at != ']'; first = false) {
    if (!first && *at++ != ',') return entry_wrong(entry);
    if (!word_take(&at, "?-.", &dim, &dim_len)) return entry_wrong(entry);
    bool is_any = dim_len == 1 && *dim == '?', is_number = isdigit((unsigned char)*dim) || *dim == '-';
    if (is_any) fst_text_printf(out, "%snull", first ? "" : ", ");
    else fst_text_printf(out, is_number ? "%s%.*s" : "%s\"%.*s\"", first ? "" : ", ", (int)dim_len, dim);
  }
  fst_text_puts(out, "]}");
  while (isspace((unsigned char)*++at)) {}
  return *at ? entry_wrong(entry) : NULL;
}

static fst_status entries_print(const char *key, const fst_words *entries, fst_text *out) {
  fst_text_printf(out, "\"%s\": [", key);
  for (size_t i = 0; i < entries->len; i++) {
    if (i) fst_text_puts(out, ", ");
    FST_TRY(entry_print(entries->data[i], out));
  }
  fst_text_puts(out, "]");
  return NULL;
}

static fst_status spec_make(const pack_options *o, fst_text *out) {
  if (o->spec && (o->inputs.len || o->outputs.len)) return FST_FAIL(FST_ERR_INVALID, "give --spec, or --input and --output, not both");
  if (o->spec) {
    char *bytes;
    size_t len;
    FST_TRY(fst_file_read(o->spec, &bytes, &len));
    fst_text_append(out, bytes, len);
    free(bytes);
    return NULL;
  }
  fst_text_puts(out, "{");
  FST_TRY(entries_print("input_spec", &o->inputs, out));
  fst_text_puts(out, ", ");
  FST_TRY(entries_print("output_spec", &o->outputs, out));
  fst_text_puts(out, "}");
  return NULL;
}

// ---- test data -------------------------------------------------------------------------------------

typedef FST_VEC(fst_test_array) test_arrays;

// What np.savez wrote is row-major, but for Fortran arrays, whose strides say so.
static fst_status tests_add(const fst_npy_list *list, bool is_expected, test_arrays *out) {
  for (size_t i = 0; i < list->len; i++) {
    const fst_npy *a = &list->data[i];
    int64_t count = 1;
    for (int d = a->rank - 1; d >= 0; d--) {
      if (a->sizes[d] > 1 && a->strides[d] != count) return FST_FAIL(FST_ERR_UNSUPPORTED, "test array '%s' is not row-major", a->name);
      count *= a->sizes[d];
    }
    fst_test_array array = {.name = a->name, .is_expected = is_expected, .dtype = fst_dtype_np_name(a->dtype), .rank = (uint32_t)a->rank, .sizes = a->sizes, .count = (uint64_t)count, .data = a->data};
    fst_vec_push(out, array);
  }
  return NULL;
}

static fst_status packed(const pack_options *o, fst_pack_options *pack, const fst_npy_list *inputs, const fst_npy_list *outputs) {
  const fst_compiler_api *compiler;
  test_arrays tests = {0};
  fst_text spec = {0};
  fst_status status = tests_add(inputs, false, &tests);
  if (!status) status = tests_add(outputs, true, &tests);
  if (!status) status = spec_make(o, &spec);
  if (!status) status = fst_cli_compiler(&compiler);
  pack->spec = fst_text_cstr(&spec);
  pack->spec_len = spec.len;
  pack->tests = tests.data;
  pack->test_count = (uint32_t)tests.len;
  if (!status) status = compiler->pack(pack);
  fst_text_deinit(&spec);
  fst_vec_free(&tests);
  return status;
}

// ---- trying it -------------------------------------------------------------------------------------

extern char **environ;

// In a process of its own, which says itself what is wrong.
static fst_status package_try(const char *path) {
  char *argv[] = {"firesteel", "test", "--native-only", "--", (char *)(uintptr_t)path, NULL};
  pid_t child;
  int how = 0;
  fflush(stdout);
  if (posix_spawn(&child, "/proc/self/exe", NULL, NULL, argv, environ) != 0) return FST_FAIL(FST_ERR_RESOURCE, "cannot start a process to test the package");
  while (waitpid(child, &how, 0) < 0) {}
  if (WIFEXITED(how) && WEXITSTATUS(how) == 0) return NULL;
  return FST_FAIL(FST_ERR_MODEL, "the package failed its test and was removed");
}

static fst_status pack_and_try(pack_options *o, const fst_npy_list *inputs, const fst_npy_list *outputs) {
  bool has_tests = o->test_inputs || o->pack.test_pickle, is_ours = !strcmp(o->pack.platform, "torchscript");
  FST_TRY(packed(o, &o->pack, inputs, outputs));
  if (!has_tests || !is_ours) return NULL;
  fst_status status = package_try(o->pack.path);
  if (status || o->keep_no_tests) fst_file_remove_tree(o->pack.path);
  if (status || !o->keep_no_tests) return status;
  static const fst_npy_list none = {0};
  o->pack.test_pickle = NULL;
  return packed(o, &o->pack, &none, &none);
}

static fst_status pack(pack_options *o) {
  if (!o->pack.path || !o->pack.name) return FST_FAIL(FST_ERR_INVALID, "pack needs -o PACKAGE and --name NAME");
  if (!o->pack.platform) o->pack.platform = "torchscript";
  if (!o->pack.model && !o->pack.root) return FST_FAIL(FST_ERR_INVALID, "pack needs a MODEL");
  if (o->test_outputs && !o->test_inputs) return FST_FAIL(FST_ERR_INVALID, "--test-output needs --test-input");
  if (o->compression && strcmp(o->compression, "stored") != 0 && strcmp(o->compression, "deflated") != 0)
    return FST_FAIL(FST_ERR_INVALID, "--compression is 'stored' or 'deflated', not '%s': no other can be read by Neuropod", o->compression);
  o->pack.stored = o->compression && !strcmp(o->compression, "stored");
  o->pack.custom_ops = o->ops.data;
  o->pack.custom_op_count = (uint32_t)o->ops.len;
  fst_npy_list inputs = {0}, outputs = {0};
  fst_status status = o->test_inputs ? fst_npz_read(o->test_inputs, &inputs) : NULL;
  if (!status && o->test_outputs) status = fst_npz_read(o->test_outputs, &outputs);
  if (!status) status = pack_and_try(o, &inputs, &outputs);
  fst_npy_list_deinit(&inputs);
  fst_npy_list_deinit(&outputs);
  return status;
}

int fst_command_pack(int argc, char **argv) {
  pack_options o = {0};
  fst_words words = {0};
  const fst_option options[] = {
      FST_TEXT("-o", "PACKAGE", "the package; must not exist", &o.pack.path),
      FST_TEXT("--name", "NAME", "the model's name", &o.pack.name),
      FST_LIST("--input", "'NAME: DTYPE[SIZE, ...]'", "spec of an input, see above", &o.inputs),
      FST_LIST("--output", "'NAME: DTYPE[SIZE, ...]'", "spec of an output", &o.outputs),
      FST_TEXT("--spec", "FILE.json", "the specs, as a config.json has them", &o.spec),
      FST_LIST("--custom-op", "FILE.so", "a library of ops that the model needs", &o.ops),
      FST_TEXT("--default-device", "GPU|CPU", "where inputs that the spec says nothing of go (default: GPU, or the CPU where there is none)", &o.pack.default_device),
      FST_TEXT("--platform-version", "RANGE", "versions of the platform that can run it (default: *)", &o.pack.version_range),
      FST_TEXT("--test-input", "FILE.npz", "inputs that the package is tried with, and that are kept in it", &o.test_inputs),
      FST_TEXT("--test-output", "FILE.npz", "what must come out", &o.test_outputs),
      FST_TEXT("--test-data", "FILE.pkl", "both, as a test_data.pkl", &o.pack.test_pickle),
      FST_FLAG("--no-persist", "do not keep the test data in the package", &o.keep_no_tests),
      FST_FLAG("--folder", "make a folder instead of a file", &o.pack.as_folder),
      FST_TEXT("--compression", "deflated|stored", "of the file (default: deflated)", &o.compression),
      FST_TEXT("--platform", "NAME", "another platform than torchscript, with --root", &o.pack.platform),
      FST_TEXT("--root", "FOLDER", "files that go in as they are", &o.pack.root),
  };
  int code = fst_args_parse(fst_command_find("pack"), argc, argv, options, sizeof options / sizeof *options, 0, 1, &words);
  if (code < 0) {
    o.pack.model = words.len ? words.data[0] : NULL;
    code = fst_report_status(pack(&o));
  }
  fst_vec_free(&words);
  fst_vec_free(&o.inputs);
  fst_vec_free(&o.outputs);
  fst_vec_free(&o.ops);
  return code;
}
