#define _GNU_SOURCE  // getline
#include "cli/contestant.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "cli/npy.h"
#include "cli/tensor.h"
#include "cli/torch.h"
#include "runtime/buf.h"

const char *const fst_form_words[FST_FORM_COUNT] = {"firesteel", "as-is", "frozen", "optimized"};

typedef struct contestant {
  const char *method;
  fst_model *model;    // ours
  fst_torch *torch;    // or theirs
  FST_VEC(fst_inputs) sets;
  size_t next;         // which set is the next call's
  fst_var *first;      // what the first call returned
  FILE *answers;       // where answers go: the model may print to standard output
} contestant;

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static fst_status call(contestant *c, fst_var **out) {
  const fst_inputs *inputs = &c->sets.data[c->next];
  c->next = (c->next + 1) % c->sets.len;
  return c->model ? fst_inputs_infer(inputs, c->model, c->method, out) : fst_torch_infer(c->torch, inputs, c->method, out);
}

// ---- results ---------------------------------------------------------------------------------------

static fst_status array_add(fst_dtype dtype, size_t rank, const int64_t *sizes, const void *data, size_t bytes, fst_text *out) {
  return fst_npy_print(dtype, rank, sizes, data, bytes, out);
}

static fst_status text_add(const char *text, fst_text *out) {
  int64_t len = (int64_t)strlen(text);
  return array_add(FST_U8, 1, &len, text, (size_t)len, out);
}

// numpy has no bfloat16: as float64.
static fst_status wide_add(const fst_var *tensor, fst_text *out) {
  int64_t count = fst_tensor_count(tensor);
  double *wide = malloc(((size_t)count + 1) * sizeof *wide);
  if (!wide) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  for (int64_t i = 0; i < count; i++) wide[i] = fst_tensor_element(tensor, i, 0);
  fst_status status = array_add(FST_F64, fst_var_rank(tensor), fst_var_sizes(tensor), wide, (size_t)count * sizeof *wide, out);
  free(wide);
  return status;
}

static fst_status tensor_add(const fst_var *tensor, fst_text *out) {
  if (fst_var_dtype(tensor) == FST_DT_BF16) return wide_add(tensor, out);
  size_t len = 0;
  void *bytes = fst_tensor_bytes(tensor, &len);
  if (!bytes) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  fst_status status = array_add((fst_dtype)fst_var_dtype(tensor), fst_var_rank(tensor), fst_var_sizes(tensor), bytes, len, out);
  free(bytes);
  return status;
}

static fst_status leaves_add(const fst_var *var, fst_text *out) {
  int64_t whole = fst_var_as_int(var);
  double real = fst_var_as_float(var);
  switch (fst_var_kind(var)) {
    case FST_VAR_TENSOR: return tensor_add(var, out);
    case FST_VAR_INT: case FST_VAR_BOOL: return array_add(FST_I64, 0, NULL, &whole, sizeof whole, out);
    case FST_VAR_FLOAT: return array_add(FST_F64, 0, NULL, &real, sizeof real, out);
    case FST_VAR_LIST: case FST_VAR_TUPLE: case FST_VAR_DICT: {
      fst_status status = NULL;
      for (size_t i = 0; i < fst_var_count(var) && !status; i++) {
        fst_var *item = fst_var_item(var, i);
        status = item ? leaves_add(item, out) : FST_FAIL(FST_ERR_RESOURCE, "out of memory");
        fst_var_free(item);
      }
      return status;
    }
    default: {
      char *text = fst_var_format(var);
      if (!text) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
      fst_status status = text_add(text, out);
      fst_string_free(text);
      return status;
    }
  }
}

static fst_status answer_results(contestant *c, const char *path) {
  fst_text bytes = {0};
  fst_status status = leaves_add(c->first, &bytes);
  if (!status) status = fst_file_write_atomic(path, fst_text_cstr(&bytes), bytes.len);
  fst_text_deinit(&bytes);
  if (!status) fprintf(c->answers, "{}\n");
  return status;
}

// ---- time ------------------------------------------------------------------------------------------

static fst_status answer_time(contestant *c, const char *argument) {
  long count = strtol(argument, NULL, 10);
  int64_t *took = calloc((size_t)(count > 0 ? count : 1), sizeof *took);
  if (count < 1 || !took) {
    free(took);
    return FST_FAIL(FST_ERR_INVALID, "time: expected a number of calls, not '%s'", argument);
  }
  fst_status status = NULL;
  for (long i = 0; i < count && !status; i++) {
    fst_var *result = NULL;
    int64_t start = now_ns();
    status = call(c, &result);
    took[i] = now_ns() - start;
    fst_var_free(result);
  }
  for (long i = 0; i < count && !status; i++) fprintf(c->answers, "%s%" PRId64, i ? ", " : "{\"ns\": [", took[i]);
  if (!status) fprintf(c->answers, "]}\n");
  free(took);
  return status;
}

// ---- memory and size -------------------------------------------------------------------------------

static long peak_kb(void) {
  FILE *f = fopen("/proc/self/status", "re");
  char line[256];
  long kb = 0;
  while (f && fgets(line, sizeof line, f))
    if (!strncmp(line, "VmHWM:", 6)) kb = strtol(line + 6, NULL, 10);
  if (f) fclose(f);
  return kb;
}

// What every process of the system has anyway is no part of a runtime.
static bool is_system_library(const char *name) {
  static const char *const names[] = {"libc.so", "libm.so", "libdl.so", "libpthread.so", "librt.so", "ld-linux", "libstdc++.so", "libgcc_s.so"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!strncmp(name, names[i], strlen(names[i]))) return true;
  return false;
}

// Bytes of the shared libraries that are mapped, by their first mapping each (offset 0).
static int64_t runtime_bytes(void) {
  FILE *f = fopen("/proc/self/maps", "re");
  char *line = NULL;
  size_t cap = 0;
  int64_t bytes = 0;
  while (f && getline(&line, &cap, f) > 0) {
    char *path = strchr(line, '/');
    unsigned long offset;
    if (!path || sscanf(line, "%*s %*s %lx", &offset) != 1 || offset) continue;
    path[strcspn(path, "\n")] = 0;
    struct stat st;
    if (strstr(fst_path_base(path), ".so") && !is_system_library(fst_path_base(path)) && !stat(path, &st)) bytes += st.st_size;
  }
  free(line);
  if (f) fclose(f);
  return bytes;
}

// The value after `"key": ` in the runtime's own flat report; "0" when it is not there.
static const char *report_value(const char *json, const char *key) {
  const char *at = json ? strstr(json, key) : NULL;
  return at ? at + strlen(key) : "0";
}

static fst_status answer_memory(contestant *c) {
  char *report = NULL;
  if (c->model) FST_TRY(fst_failure_status(fst_report(c->model, &report)));
  const char *target = report_value(report, "\"target\": \"");
  fprintf(c->answers, "{\"peak_kb\": %ld, \"runtime_bytes\": %" PRId64 ", \"target\": \"%.*s\", \"flops\": %lld, \"weight_bytes\": %lld}\n", peak_kb(), runtime_bytes(),
          report ? (int)strcspn(target, "\"") : 0, target, strtoll(report_value(report, "\"flops\": "), NULL, 10), strtoll(report_value(report, "\"weight_bytes\": "), NULL, 10));
  fst_string_free(report);
  return NULL;
}

// ---- the conversation ------------------------------------------------------------------------------

static void answer_error(contestant *c, fst_status status) {
  fst_buf text = {0};
  fst_buf_json(&text, status->message, strlen(status->message));
  fprintf(c->answers, "{\"error\": %s}\n", fst_buf_text(&text));
  fst_buf_deinit(&text);
  fst_error_free(status);
}

static fst_status answer(contestant *c, const char *line) {
  if (!strncmp(line, "results ", 8)) return answer_results(c, line + 8);
  if (!strncmp(line, "time ", 5)) return answer_time(c, line + 5);
  if (!strcmp(line, "memory")) return answer_memory(c);
  return FST_FAIL(FST_ERR_INVALID, "cannot do '%s'", line);
}

static void converse(contestant *c) {
  char *line = NULL;
  size_t cap = 0;
  ssize_t len;
  while ((len = getline(&line, &cap, stdin)) > 0) {
    if (line[len - 1] == '\n') line[len - 1] = 0;
    fst_status status = answer(c, line);
    if (status) answer_error(c, status);
    fflush(c->answers);
  }
  free(line);
}

static fst_status model_open(contestant *c, const fst_contestant_options *o) {
  if (!strcmp(o->form, fst_form_words[FST_FORM_FIRESTEEL])) {
    fst_open_options open = {.size = sizeof open, .target = o->target};
    return fst_failure_status(fst_open(o->path, &open, &c->model));
  }
  for (int form = FST_FORM_AS_IS; form < FST_FORM_COUNT; form++)
    if (!strcmp(o->form, fst_form_words[form])) return fst_torch_open(o->bridge, o->path, (fst_torch_mode)(FST_TORCH_AS_IS + form - FST_FORM_AS_IS), &c->torch);
  return FST_FAIL(FST_ERR_INVALID, "--serve '%s': expected firesteel, as-is, frozen or optimized", o->form);
}

static fst_status begin(contestant *c, const fst_contestant_options *o) {
  int64_t start = o->started ? strtoll(o->started, NULL, 10) : now_ns();
  for (long i = 0; i < (o->buffers > 1 ? o->buffers : 1); i++) {
    fst_inputs inputs;
    FST_TRY(fst_inputs_read(o->inputs, o->files, (uint64_t)i, &inputs));
    fst_vec_push(&c->sets, inputs);
  }
  int64_t opening = now_ns();
  FST_TRY(model_open(c, o));
  int64_t opened = now_ns();
  FST_TRY(call(c, &c->first));
  int64_t done = now_ns();
  fprintf(c->answers, "{\"open_us\": %.1f, \"first_us\": %.1f, \"start_us\": %.1f}\n", (double)(opened - opening) / 1e3, (double)(done - opened) / 1e3, (double)(done - start) / 1e3);
  return NULL;
}

fst_status fst_contestant_serve(const fst_contestant_options *o) {
  contestant c = {.method = o->method};
  int fd = dup(STDOUT_FILENO);
  c.answers = fd < 0 ? NULL : fdopen(fd, "w");
  if (!c.answers || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) return FST_FAIL(FST_ERR_IO, "cannot answer on standard output");
  fst_status status = begin(&c, o);
  if (status) answer_error(&c, status);
  fflush(c.answers);
  if (!status) converse(&c);
  fst_var_free(c.first);
  fst_close(c.model);
  fst_torch_close(c.torch);
  for (size_t i = 0; i < c.sets.len; i++) fst_inputs_deinit(&c.sets.data[i]);
  fst_vec_free(&c.sets);
  fclose(c.answers);
  return NULL;
}
