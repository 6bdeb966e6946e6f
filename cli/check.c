#include <stdio.h>
#include <stdlib.h>

#include "cli/args.h"
#include "cli/commands.h"
#include "cli/inputs.h"
#include "cli/tensor.h"

typedef struct check_options {
  fst_words inputs, files;
  const char *method, *relative, *absolute;
  fst_tolerance tolerance;
} check_options;

static fst_status answer(const check_options *o, const char *path, fst_var **out) {
  fst_open_options open = {.size = sizeof open};
  fst_inputs inputs;
  fst_model *model;
  // Inputs are read for each model: it may write into them.
  FST_TRY(fst_inputs_read(&o->inputs, &o->files, 0, &inputs));
  fst_status status = fst_failure_status(fst_open(path, &open, &model));
  if (!status) {
    status = fst_inputs_infer(&inputs, model, o->method, out);
    fst_close(model);
  }
  fst_inputs_deinit(&inputs);
  return fst_error_prefix(status, "%s", path);
}

static fst_status check(const check_options *o, const char *a, const char *b) {
  fst_var *x, *y;
  FST_TRY(answer(o, a, &x));
  fst_status status = answer(o, b, &y);
  if (status) {
    fst_var_free(x);
    return status;
  }
  fst_difference difference = {0};
  fst_var_compare(x, y, o->tolerance, "result", &difference);
  if (difference.where.len) status = FST_FAIL(FST_ERR_MODEL, "the results differ: %s (largest difference %.3g)", fst_text_cstr(&difference.where), difference.largest);
  else printf("equal; largest difference %.3g\n", difference.largest);
  fst_text_deinit(&difference.where);
  fst_var_free(x);
  fst_var_free(y);
  return status;
}

static fst_status tolerance_read(const char *name, const char *text, double *out) {
  char *end;
  *out = -1;
  if (!text) return NULL;
  *out = strtod(text, &end);
  if (end == text || *end || !(*out >= 0)) return FST_FAIL(FST_ERR_INVALID, "%s needs a number that is not negative, not '%s'", name, text);
  return NULL;
}

static fst_status check_words(check_options *o, const fst_words *words) {
  FST_TRY(tolerance_read("--rtol", o->relative, &o->tolerance.relative));
  FST_TRY(tolerance_read("--atol", o->absolute, &o->tolerance.absolute));
  return check(o, words->data[0], words->data[1]);
}

int fst_command_check(int argc, char **argv) {
  check_options o = {0};
  fst_words words = {0};
  const fst_option options[] = {
      FST_LIST("--input", "NAME=VALUE", "an argument, see above", &o.inputs),
      FST_LIST("--inputs", "FILE.npz", "arguments by name", &o.files),
      FST_TEXT("--method", "NAME", "what to call (default: forward)", &o.method),
      FST_TEXT("--rtol", "X", "relative tolerance (default: that of PyTorch's assert_close for the dtype)", &o.relative),
      FST_TEXT("--atol", "X", "absolute tolerance (default: likewise)", &o.absolute),
  };
  int code = fst_args_parse(fst_command_find("check"), argc, argv, options, sizeof options / sizeof *options, 2, 2, &words);
  if (code < 0) code = fst_report_status(check_words(&o, &words));
  fst_vec_free(&words);
  fst_vec_free(&o.inputs);
  fst_vec_free(&o.files);
  return code;
}
