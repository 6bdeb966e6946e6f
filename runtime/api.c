// The public interface but for values: opening, asking, calling.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/buf.h"
#include "runtime/jit.h"
#include "runtime/model.h"
#include "runtime/names.h"

#ifndef FST_VERSION
#define FST_VERSION "0"  // the build says
#endif

const char *fst_version(void) { return FST_VERSION; }

// ---- opening ----

// The caller's options in today's layout, whatever version it was built for.
static fst_status options_read(const fst_open_options *given, fst_open_options *out) {
  *out = (fst_open_options){.size = sizeof *out};
  if (!given) return NULL;
  if (given->size < sizeof given->size || given->size > 65536) return FST_FAIL(FST_ERR_INVALID, "fst_open_options.size is not set");
  memcpy(out, given, given->size < sizeof *out ? given->size : sizeof *out);
  return NULL;
}

static fst_status program_finish(fst_program *p, fst_model **out) {
  FST_TRY(fst_names_create(fst_program_plan(p), &p->names));
  FST_TRY(fst_model_create(p, out));
  fst_status status = fst_model_grow_state(*out);
  if (!status) return NULL;
  fst_close(*out);
  *out = NULL;
  return status;
}

// IR text (docs/ir.md) is a model too; what is wrong with it is the compiler's to say.
static bool is_ir_text(const char *path) {
  static const char head[] = "firesteel.module";
  char bytes[sizeof head] = "";
  FILE *file = fopen(path, "rb");
  if (!file) return false;
  size_t got = fread(bytes, 1, sizeof head - 1, file);
  fclose(file);
  return got && (bytes[0] == '#' || !strcmp(bytes, head));
}

static fst_status path_open(const char *path, const fst_open_options *o, fst_program *p) {
  fst_artifact *artifact = NULL;
  fst_status status = fst_artifact_open(path, &p->artifact_options, &artifact);
  if (!status) return fst_program_add(p, artifact);
  // A file that is there but holds nothing compiled is the compiler's to judge.
  if (status->code != FST_ERR_NOT_FOUND && !(status->code == FST_ERR_CORRUPT && is_ir_text(path))) return status;
  if (o->no_compile) return fst_error_prefix(status, "not a compiled artifact");
  fst_error_free(status);
  fst_open_options compile = *o;
  char target[32];
  if (p->accel) {
    snprintf(target, sizeof target, "%s:%s", FST_PLAN_DEVICE_TARGET, p->accel->api->facts(p->accel->device)->arch);
    compile.target = target;
  }
  FST_TRY(fst_jit_create(path, &compile, &p->jit));
  return fst_jit_describe(p);
}

static fst_status open_with(const char *path, const void *bytes, size_t len, const fst_embedded *embedded, const fst_open_options *given, fst_model **out) {
  fst_open_options o;
  FST_TRY(options_read(given, &o));
  fst_program *p = NULL;
  FST_TRY(fst_program_create(&o, &p));
  fst_status status;
  if (path) {
    status = path_open(path, &o, p);
  } else {
    fst_artifact *artifact = NULL;
    status = embedded ? fst_artifact_open_embedded(embedded, &p->artifact_options, &artifact) : fst_artifact_open_memory(bytes, len, "artifact in memory", &p->artifact_options, &artifact);
    if (!status) status = fst_program_add(p, artifact);
  }
  fst_model *model = NULL;
  if (!status) status = program_finish(p, &model);
  fst_program_release(p);
  if (!status) *out = model;
  return status;
}

fst_failure *fst_open(const char *path, const fst_open_options *options, fst_model **out) {
  if (!path || !out) return fst_failure_make(FST_FAILED_INVALID, "fst_open: path and out_model must be given");
  return fst_failure_of(open_with(path, NULL, 0, NULL, options, out));
}

fst_failure *fst_open_memory(const void *bytes, size_t len, const fst_open_options *options, fst_model **out) {
  if (!bytes || !out) return fst_failure_make(FST_FAILED_INVALID, "fst_open_memory: bytes and out_model must be given");
  return fst_failure_of(open_with(NULL, bytes, len, NULL, options, out));
}

fst_failure *fst_open_embedded(const fst_embedded *embedded, const fst_open_options *options, fst_model **out) {
  if (!embedded || !out) return fst_failure_make(FST_FAILED_INVALID, "fst_open_embedded: embedded and out_model must be given");
  return fst_failure_of(open_with(NULL, NULL, 0, embedded, options, out));
}

// ---- asking ----

static const fst_plan *model_plan(const fst_model *model) { return fst_program_plan(model->program); }

static const fst_plan_method *model_method(const fst_model *model, size_t method) {
  const fst_plan *plan = model_plan(model);
  return method < plan->methods_count ? &plan->methods[method] : NULL;
}

static const fst_plan_arg *model_arg(const fst_model *model, size_t method, size_t arg) {
  const fst_plan_method *m = model_method(model, method);
  return m && arg < m->arg_count ? &model_plan(model)->args[m->args + arg] : NULL;
}

size_t fst_method_count(const fst_model *model) { return model_plan(model)->methods_count; }

const char *fst_method_name(const fst_model *model, size_t method) {
  const fst_plan_method *m = model_method(model, method);
  return m ? fst_plan_text(model_plan(model), m->name) : "";
}

int fst_method_find(const fst_model *model, const char *name, size_t *out_method) {
  uint32_t at = fst_plan_method_find(model_plan(model), name);
  if (at == UINT32_MAX) return 0;
  *out_method = at;
  return 1;
}

size_t fst_method_arg_count(const fst_model *model, size_t method) {
  const fst_plan_method *m = model_method(model, method);
  return m ? m->arg_count : 0;
}

const char *fst_method_arg_name(const fst_model *model, size_t method, size_t arg) {
  const fst_plan_arg *a = model_arg(model, method, arg);
  return a ? fst_plan_text(model_plan(model), a->name) : "";
}

const char *fst_method_arg_type(const fst_model *model, size_t method, size_t arg) {
  const fst_plan_arg *a = model_arg(model, method, arg);
  return a ? model->program->names->arg_types[a - model_plan(model)->args] : "";
}

int fst_method_arg_is_optional(const fst_model *model, size_t method, size_t arg) {
  const fst_plan_arg *a = model_arg(model, method, arg);
  return a && a->initial != 0;
}

const char *fst_method_result_type(const fst_model *model, size_t method) {
  return model_method(model, method) ? model->program->names->result_types[method] : "";
}

int fst_method_has_state(const fst_model *model, size_t method) {
  const fst_plan_method *m = model_method(model, method);
  return m && (m->flags & FST_PLAN_METHOD_STATE);
}

static int64_t spec_row(const fst_plan *plan, int outputs, size_t index) {
  for (uint32_t i = 0; i < plan->specs_count; i++)
    if (!(plan->specs[i].flags & FST_PLAN_SPEC_OUTPUT) == !outputs && index-- == 0) return i;
  return -1;
}

const char *fst_package_name(const fst_model *model) { return fst_plan_text(model_plan(model), model_plan(model)->header->package); }

size_t fst_spec_count(const fst_model *model, int outputs) {
  size_t count = 0;
  while (spec_row(model_plan(model), outputs, count) >= 0) count++;
  return count;
}

int fst_spec_get(const fst_model *model, int outputs, size_t index, fst_spec *out) {
  int64_t row = spec_row(model_plan(model), outputs, index);
  if (row < 0) return 0;
  *out = model->program->names->specs[row];
  return 1;
}

static const fst_plan_class *var_class(const fst_model *model, const fst_var *var) {
  const fst_plan *plan = model_plan(model);
  uint64_t number = UINT64_MAX;
  if (var->val.tag == FST_TAG_ENUM) number = (uint64_t)var->val.i >> 32;
  if (var->val.tag == FST_TAG_OBJECT) number = ((fst_object_obj *)var->val.p)->cls;
  return number < plan->classes_count ? &plan->classes[number] : NULL;
}

const char *fst_model_class_name(const fst_model *model, const fst_var *var) {
  const fst_plan_class *c = var_class(model, var);
  return c ? fst_plan_text(model_plan(model), c->name) : "";
}

const char *fst_model_member_name(const fst_model *model, const fst_var *var, size_t index) {
  const fst_plan_class *c = var_class(model, var);
  if (var->val.tag == FST_TAG_ENUM) index = (uint32_t)var->val.i;
  if (!c || index >= c->count) return "";
  return fst_plan_text(model_plan(model), model_plan(model)->words[c->first + index]);
}

// ---- calling ----

fst_failure *fst_infer(fst_model *model, const char *method, const fst_var *const *args, size_t count, fst_var **out) {
  if (!model || !out || (count && !args)) return fst_failure_make(FST_FAILED_INVALID, "fst_infer: model, args and out_result must be given");
  return fst_model_invoke(model, &(fst_arguments){method, count, count, NULL, args}, out);
}

fst_failure *fst_infer_named(fst_model *model, const char *method, size_t positional, const char *const *names, const fst_var *const *args, size_t count, fst_var **out) {
  if (!model || !out || (count && !args) || positional > count || (positional < count && !names))
    return fst_failure_make(FST_FAILED_INVALID, "fst_infer_named: model, names, args and out_result must be given");
  return fst_model_invoke(model, &(fst_arguments){method, positional, count, names, args}, out);
}

fst_failure *fst_dump(fst_model *model, const char *method, const char *stage, char **out) {
  if (!model || !stage || !out) return fst_failure_make(FST_FAILED_INVALID, "fst_dump: model, stage and out_text must be given");
  if (!model->program->jit) return fst_failure_make(FST_FAILED_UNSUPPORTED, "a compiled artifact holds no IR; dump the archive it was compiled from");
  return fst_failure_of(fst_jit_dump(model->program, method ? method : "forward", stage, out));
}
