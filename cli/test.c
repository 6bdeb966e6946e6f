// `firesteel test`: a package's stored test data against native code and, where the model itself is in the package, PyTorch.
#define _GNU_SOURCE  // memfd_create
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/compiler.h"
#include "cli/inputs.h"
#include "cli/tensor.h"
#include "cli/torch.h"

enum { RANK_MAX = 64 };

typedef struct test_options {
  const char *relative, *absolute, *bridge;
  bool native_only, strict_symbols;
  fst_tolerance tolerance;
} test_options;

// ---- stored arrays as values -----------------------------------------------------------------------

static fst_status texts_value(const fst_test_array *a, fst_var **out) {
  if (a->rank != 1) return FST_FAIL(FST_ERR_UNSUPPORTED, "'%s': Only 1D TorchScript string tensors are supported", a->name);
  fst_var *list = fst_var_list();
  bool ok = list != NULL;
  for (uint64_t i = 0; ok && i < a->count; i++) {
    fst_var *text = fst_var_str(a->texts[i].bytes, a->texts[i].len);
    ok = text && fst_var_list_add(list, text);
    fst_var_free(text);
  }
  if (ok) *out = list;
  else fst_var_free(list);
  return ok ? NULL : FST_FAIL(FST_ERR_RESOURCE, "out of memory");
}

static int array_dtype(const char *word) {
  static const struct { const char *word; int dtype; } foreign[] = {{"uint16", FST_DT_U16}, {"uint32", FST_DT_U32}, {"uint64", FST_DT_U64}};
  for (int i = 0; i < 3; i++)
    if (!strcmp(word, foreign[i].word)) return foreign[i].dtype;
  return fst_dtype_from_name(word, strlen(word));
}

static fst_status array_value(const fst_test_array *a, fst_var **out) {
  if (a->texts) return texts_value(a, out);
  int dtype = array_dtype(a->dtype);
  fst_var *made;
  FST_TRY(fst_failure_status(fst_var_tensor_new(dtype, a->rank, a->sizes, &made)));
  if (a->count) memcpy(fst_var_data(made), a->data, a->count * fst_dtype_size((fst_dtype)dtype));
  *out = made;
  return NULL;
}

static fst_status inputs_make(const fst_test_data *data, fst_inputs *out) {
  *out = (fst_inputs){0};
  for (uint32_t i = 0; i < data->count; i++) {
    if (data->arrays[i].is_expected) continue;
    fst_var *value;
    FST_TRY(array_value(&data->arrays[i], &value));
    fst_vec_push(&out->values, value);
    char *name = strdup(data->arrays[i].name);
    if (!name) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
    fst_vec_push(&out->names, name);
  }
  return NULL;
}

// ---- NumPy's allclose ------------------------------------------------------------------------------

// Row-major position of an element of `tensor` where `index` counts over the sizes that it is broadcast to.
static int64_t broadcast_position(const fst_var *tensor, const int64_t *index, size_t rank) {
  size_t own = fst_var_rank(tensor);
  const int64_t *sizes = fst_var_sizes(tensor);
  int64_t position = 0;
  for (size_t d = 0; d < own; d++) position = position * sizes[d] + (sizes[d] == 1 ? 0 : index[rank - own + d]);
  return position;
}

static bool broadcast_sizes(const fst_var *a, const fst_var *b, int64_t *sizes, size_t *out_rank) {
  size_t m = fst_var_rank(a), n = fst_var_rank(b), rank = m > n ? m : n;
  for (size_t d = 0; d < rank; d++) {
    int64_t x = d + m < rank ? 1 : fst_var_sizes(a)[d + m - rank], y = d + n < rank ? 1 : fst_var_sizes(b)[d + n - rank];
    if (x != y && x != 1 && y != 1) return false;
    sizes[d] = x == 1 ? y : x;
  }
  *out_rank = rank;
  return true;
}

// Where two tensors first differ beyond the tolerances; false: they cannot be compared, or are close.
static bool tensors_differ(const fst_var *found, const fst_var *want, const fst_tolerance *t, fst_text *out) {
  int64_t sizes[RANK_MAX], index[RANK_MAX] = {0};
  size_t rank;
  if (!broadcast_sizes(found, want, sizes, &rank)) {
    fst_text_puts(out, "their sizes cannot be broadcast");
    return true;
  }
  for (size_t d = 0; d < rank; d++)
    if (!sizes[d]) return false;
  for (;;) {
    double x = fst_tensor_element(found, broadcast_position(found, index, rank), 0), y = fst_tensor_element(want, broadcast_position(want, index, rank), 0);
    if (x != y && !(fabs(x - y) <= t->absolute + t->relative * fabs(y))) {
      fst_text_printf(out, "%.9g where %.9g was expected", x, y);
      return true;
    }
    size_t d = rank;
    while (d && ++index[d - 1] == sizes[d - 1]) index[--d] = 0;
    if (!d) return false;
  }
}

static bool values_differ(const fst_var *found, const fst_var *want, const fst_tolerance *t, fst_text *out) {
  if (fst_var_kind(found) == FST_VAR_TENSOR && fst_var_kind(want) == FST_VAR_TENSOR) return tensors_differ(found, want, t, out);
  fst_difference difference = {0};
  fst_var_compare(found, want, *t, "texts", &difference);
  fst_text_puts(out, fst_text_cstr(&difference.where));
  fst_text_deinit(&difference.where);
  return out->len != 0;
}

// ---- the tests -------------------------------------------------------------------------------------

static fst_status expected_check(const test_options *o, const fst_test_array *expected, const fst_var *outputs) {
  fst_var *found = fst_var_get(outputs, expected->name), *want;
  if (!found) return FST_FAIL(FST_ERR_MODEL, "%s does not match expected value! The model returned no such output", expected->name);
  fst_status status = array_value(expected, &want);
  fst_text where = {0};
  if (!status && values_differ(found, want, &o->tolerance, &where)) status = FST_FAIL(FST_ERR_MODEL, "%s does not match expected value! %s", expected->name, fst_text_cstr(&where));
  fst_text_deinit(&where);
  if (!status) fst_var_free(want);
  fst_var_free(found);
  return status;
}

static fst_status native_test(const test_options *o, const char *path, const fst_test_data *data, const fst_inputs *inputs, fst_model *model) {
  fst_map_options options = {.size = sizeof options, .strict_symbols = o->strict_symbols};
  fst_var *outputs;
  FST_TRY(fst_failure_status(fst_infer_map(model, (const char *const *)inputs->names.data, (const fst_var *const *)inputs->values.data, inputs->values.len, &options, &outputs)));
  fst_status status = NULL;
  uint32_t checked = 0;
  for (uint32_t i = 0; i < data->count && !status; i++) {
    if (!data->arrays[i].is_expected) continue;
    status = expected_check(o, &data->arrays[i], outputs);
    checked++;
  }
  if (!status) printf("%s: native code ran, %u of %zu outputs compared with the stored ones\n", fst_path_base(path), checked, fst_var_count(outputs));
  fst_var_free(outputs);
  return status;
}

// A model that takes one dict gets the inputs in one.
static fst_status dict_wrap(const fst_model *model, fst_inputs *inputs) {
  size_t forward;
  if (!fst_method_find(model, "forward", &forward) || fst_method_arg_count(model, forward) != 1 || strncmp(fst_method_arg_type(model, forward, 0), "Dict[", 5) != 0) return NULL;
  fst_var *dict = fst_var_dict();
  bool ok = dict != NULL;
  for (size_t i = 0; ok && i < inputs->values.len; i++) {
    fst_var *key = fst_var_str(inputs->names.data[i], strlen(inputs->names.data[i]));
    ok = key && fst_var_dict_set(dict, key, inputs->values.data[i]);
    fst_var_free(key);
  }
  if (!ok) {
    fst_var_free(dict);
    return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  }
  fst_inputs_deinit(inputs);
  *inputs = (fst_inputs){.positional = 1};
  fst_vec_push(&inputs->values, dict);
  return NULL;
}

// Tensors of one element become numbers where the method declares one, as fst_infer_map has it.
static fst_status numbers_fit(const fst_model *model, fst_inputs *inputs) {
  size_t forward;
  if (!fst_method_find(model, "forward", &forward)) return NULL;
  for (size_t i = inputs->positional; i < inputs->values.len; i++) {
    const char *type = "";
    for (size_t a = 0; a < fst_method_arg_count(model, forward); a++)
      if (!strcmp(fst_method_arg_name(model, forward, a), inputs->names.data[i - inputs->positional])) type = fst_method_arg_type(model, forward, a);
    fst_var *value = inputs->values.data[i], *number = NULL;
    if (fst_var_kind(value) != FST_VAR_TENSOR || fst_tensor_count(value) != 1) continue;
    double element = fst_tensor_element(value, 0, 0);
    if (!strcmp(type, "int")) number = fst_var_int((int64_t)element);
    else if (!strcmp(type, "float")) number = fst_var_float(element);
    else if (!strcmp(type, "bool")) number = fst_var_bool(element != 0);
    else continue;
    if (!number) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
    fst_var_free(value);
    inputs->values.data[i] = number;
  }
  return NULL;
}

static fst_status torch_call(const test_options *o, const void *bytes, size_t len, const fst_inputs *inputs, fst_var **out) {
  char path[64];
  int fd = memfd_create("model.pt", MFD_CLOEXEC);
  if (fd < 0) return FST_FAIL(FST_ERR_RESOURCE, "cannot make a memory file");
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  fst_torch *torch = NULL;
  fst_status status = fst_fd_write(fd, "model.pt", bytes, len);
  if (!status) status = fst_torch_open(o->bridge, path, FST_TORCH_AS_IS, &torch);
  if (!status) status = fst_torch_infer(torch, inputs, "forward", out);
  fst_torch_close(torch);
  close(fd);
  return status;
}

// The same inputs through PyTorch and, in a fresh instance, native code: what the methods return has to be equal.
static fst_status torch_test(const test_options *o, const char *path, const void *archive, size_t len, fst_inputs *inputs, fst_model *model) {
  FST_TRY(dict_wrap(model, inputs));
  FST_TRY(numbers_fit(model, inputs));
  fst_var *want, *found;
  FST_TRY(torch_call(o, archive, len, inputs, &want));
  fst_difference difference = {0};
  fst_status status = fst_inputs_infer(inputs, model, "forward", &found);
  if (!status) {
    fst_var_compare(found, want, (fst_tolerance){o->relative ? o->tolerance.relative : -1, o->absolute ? o->tolerance.absolute : -1}, "result", &difference);
    if (difference.where.len) status = FST_FAIL(FST_ERR_MODEL, "native code and PyTorch differ: %s", fst_text_cstr(&difference.where));
    else printf("%s: equal to PyTorch; largest difference %.3g\n", fst_path_base(path), difference.largest);
    fst_var_free(found);
  }
  fst_text_deinit(&difference.where);
  fst_var_free(want);
  return status;
}

static fst_status model_test(const test_options *o, const fst_compiler_api *compiler, const char *path, const fst_test_data *data) {
  fst_model *model, *fresh;
  fst_inputs inputs;
  fst_open_options open = {.size = sizeof open, .verify_weights = 1};
  FST_TRY(fst_failure_status(fst_open(path, &open, &model)));
  fst_status status = fst_failure_status(fst_clone(model, &fresh));
  if (status) {
    fst_close(model);
    return status;
  }
  status = inputs_make(data, &inputs);
  if (!status) status = native_test(o, path, data, &inputs, model);
  void *archive = NULL;
  size_t len = 0;
  if (!status && !o->native_only) {
    status = compiler->package_file(path, "0/data/model.pt", &archive, &len);
    if (status && status->code == FST_ERR_NOT_FOUND) {  // stripped
      fst_error_free(status);
      status = NULL;
    }
  }
  if (!status && archive) status = torch_test(o, path, archive, len, &inputs, fresh);
  free(archive);
  fst_inputs_deinit(&inputs);
  fst_close(fresh);
  fst_close(model);
  return status;
}

static fst_status tolerance_take(const char *name, const char *text, double *out) {
  char *end;
  if (!text) return NULL;
  *out = strtod(text, &end);
  if (end == text || *end || !(*out >= 0)) return FST_FAIL(FST_ERR_INVALID, "%s needs a number that is not negative, not '%s'", name, text);
  return NULL;
}

static fst_status package_test(test_options *o, const char *path) {
  o->tolerance = (fst_tolerance){1e-5, 1e-8};  // NumPy's, which Neuropod's packagers compare with
  FST_TRY(tolerance_take("--rtol", o->relative, &o->tolerance.relative));
  FST_TRY(tolerance_take("--atol", o->absolute, &o->tolerance.absolute));
  const fst_compiler_api *compiler;
  fst_test_data data = {0};
  FST_TRY(fst_cli_compiler(&compiler));
  FST_TRY(compiler->test_data(path, &data));
  fst_status status = data.count ? model_test(o, compiler, path, &data) : FST_FAIL(FST_ERR_NOT_FOUND, "the package '%s' holds no test data (test_data.pkl)", path);
  compiler->test_data_free(&data);
  return status;
}

int fst_command_test(int argc, char **argv) {
  test_options o = {0};
  fst_words words = {0};
  const fst_option options[] = {
      FST_TEXT("--rtol", "X", "relative tolerance (default: 1e-5 for stored outputs, that of PyTorch's assert_close for PyTorch's)", &o.relative),
      FST_TEXT("--atol", "X", "absolute tolerance (default: 1e-8, and likewise)", &o.absolute),
      FST_FLAG("--native-only", "do not run PyTorch", &o.native_only),
      FST_FLAG("--strict-symbols", "a symbol of the specs stands for one size in inputs and outputs together", &o.strict_symbols),
      FST_TEXT("--bridge", "FILE.so", "libfiresteel_torch.so, if it is not beside the runtime", &o.bridge),
  };
  int code = fst_args_parse(fst_command_find("test"), argc, argv, options, sizeof options / sizeof *options, 1, 1, &words);
  if (code < 0) code = fst_report_status(package_test(&o, words.data[0]));
  fst_vec_free(&words);
  return code;
}
