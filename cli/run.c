#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/inputs.h"
#include "cli/npy.h"
#include "cli/tensor.h"

typedef struct run_options {
  fst_words inputs, files;
  const char *method, *output, *target, *worker, *compile, *device;
  long repeat, time_limit;
  bool report, no_compile;
} run_options;

static bool ends_with(const char *text, const char *end) {
  size_t len = strlen(text), end_len = strlen(end);
  return len >= end_len && !strcmp(text + len - end_len, end);
}

// One tensor as .npy: the result itself, or the only value of a dict, list or tuple.
static fst_status output_write(const fst_var *result, const char *path) {
  if (!ends_with(path, ".npy")) return FST_FAIL(FST_ERR_INVALID, "--output '%s': expected a file name ending in .npy", path);
  fst_var *only = NULL;
  int kind = fst_var_kind(result);
  if (kind != FST_VAR_TENSOR && fst_var_count(result) == 1) only = fst_var_item(result, 0);
  const fst_var *tensor = only ? only : result;
  fst_text text = {0};
  size_t len = 0;
  fst_status status = NULL;
  void *bytes = NULL;
  if (fst_var_kind(tensor) != FST_VAR_TENSOR) status = FST_FAIL(FST_ERR_INVALID, "--output: the model returns more than one tensor");
  else if (!(bytes = fst_tensor_bytes(tensor, &len))) status = FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  if (!status) status = fst_npy_print((fst_dtype)fst_var_dtype(tensor), fst_var_rank(tensor), fst_var_sizes(tensor), bytes, len, &text);
  if (!status) status = fst_file_write_atomic(path, text.data, text.len);
  free(bytes);
  fst_text_deinit(&text);
  fst_var_free(only);
  return status;
}

static fst_status report_print(fst_model *model) {
  char *json;
  FST_TRY(fst_failure_status(fst_report(model, &json)));
  printf("%s\n", json);
  fst_string_free(json);
  return NULL;
}

static fst_status model_run(const run_options *o, fst_model *model) {
  fst_inputs inputs;
  FST_TRY(fst_inputs_read(&o->inputs, &o->files, 0, &inputs));
  fst_var *result = NULL;
  fst_status status = NULL;
  for (long i = 0; i < (o->repeat > 1 ? o->repeat : 1) && !status; i++) {
    fst_var_free(result);
    result = NULL;
    status = fst_inputs_infer(&inputs, model, o->method, &result);
  }
  if (!status) fst_var_show(model, result, "result", stdout);
  if (!status && o->output) status = output_write(result, o->output);
  if (!status && o->report) status = report_print(model);
  fst_var_free(result);
  fst_inputs_deinit(&inputs);
  return status;
}

static fst_status run(const run_options *o, const char *path) {
  fst_open_options open = {.size = sizeof open, .target = o->target, .worker = o->worker, .compile_options = o->compile, .no_compile = o->no_compile, .time_limit = (int)o->time_limit, .device = o->device};
  fst_model *model;
  FST_TRY(fst_failure_status(fst_open(path, &open, &model)));
  fst_status status = model_run(o, model);
  fst_close(model);
  return status;
}

int fst_command_run(int argc, char **argv) {
  run_options o = {0};
  fst_words words = {0};
  const fst_option options[] = {
      FST_LIST("--input", "NAME=VALUE", "an argument, see above", &o.inputs),
      FST_LIST("--inputs", "FILE.npz", "arguments by name", &o.files),
      FST_TEXT("--method", "NAME", "what to call (default: forward)", &o.method),
      FST_NUMBER("--repeat", "N", "call it N times and print the last result", &o.repeat),
      FST_TEXT("--output", "FILE.npy", "write the result, one tensor, there", &o.output),
      FST_FLAG("--report", "print as JSON what was compiled, what fell back to libtorch, and what a call computes", &o.report),
      FST_FLAG("--no-compile", "refuse models that are not compiled yet", &o.no_compile),
      FST_TEXT("--target", "NAME", "x86-64-v3 or x86-64-v4 (default: the best this CPU runs)", &o.target),
      FST_TEXT("--device", "NAME", "cpu, cuda or cuda:N (default: cpu)", &o.device),
      FST_TEXT("--worker", "PATH", "the program firesteel-worker (default: beside the runtime, or $FIRESTEEL_WORKER)", &o.worker),
      FST_NUMBER("--time-limit", "SECONDS", "for reading the archive, and for each compilation (default: 600)", &o.time_limit),
      FST_TEXT("--compile-options", "TEXT", "for the compiler, in memory: 'eval=1 fallback=0 verify=1'", &o.compile),
  };
  int code = fst_args_parse(fst_command_find("run"), argc, argv, options, sizeof options / sizeof *options, 1, 1, &words);
  if (code < 0) code = fst_report_status(run(&o, words.data[0]));
  fst_vec_free(&words);
  fst_vec_free(&o.inputs);
  fst_vec_free(&o.files);
  return code;
}
