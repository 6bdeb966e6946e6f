#include "driver/compiler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/artifact.h"
#include "driver/compile.h"
#include "driver/device_image.h"
#include "driver/pack.h"
#include "driver/source.h"
#include "driver/test_data.h"
#include "passes/canonicalize.h"

#ifndef FST_VERSION
#define FST_VERSION "0"
#endif
#ifndef FST_LLVM_VERSION
#define FST_LLVM_VERSION "unknown"
#endif
#define DESCRIPTION "firesteel " FST_VERSION ", LLVM " FST_LLVM_VERSION

// ---- sources ---------------------------------------------------------------------------------------

static fst_status compiler_open(const char *path, const fst_compiler_open_options *options, fst_source **out) {
  fst_source *source = calloc(1, sizeof *source);
  if (!source) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  fst_source_options given = {0};
  if (options) given = (fst_source_options){options->bridge, options->eval, options->libraries, options->library_count, options->archive};
  fst_status status = fst_source_open(path, &given, source);
  if (status) free(source);
  else *out = source;
  return status;
}

static void compiler_close(fst_source *source) {
  if (!source) return;
  fst_source_deinit(source);
  free(source);
}

// ---- requests --------------------------------------------------------------------------------------

// What fst_compile takes, from what the API takes; everything lives in `arena`.
typedef struct request {
  fst_arena arena;
  fst_compile_request rq;
  fst_pipeline_options passes;
  FST_VEC(fst_compile_signature) signatures;
  FST_VEC(const fst_target *) targets;
  FST_VEC(const char *) archs;
} request;

static void request_deinit(request *r) {
  fst_vec_free(&r->signatures);
  fst_vec_free(&r->targets);
  fst_vec_free(&r->archs);
  fst_arena_deinit(&r->arena);
}

static void dump_to_stderr(void *context, const char *pass, const char *text) {
  (void)context;
  fprintf(stderr, "# after %s\n%s\n", pass, text);
}

static fst_pipeline_options pipeline_options(const fst_compiler_passes *p, const fst_target *target) {
  fst_pipeline_options out = {.limit = -1, .target = target, .dump = dump_to_stderr};
  if (!p) return out;
  out.verify_each = p->verify_each;
  out.dump_after = p->dump_after;
  out.stop_after = p->stop_after;
  out.limit_pass = p->limit_pass;
  out.limit = p->limit_pass ? p->limit : -1;
  out.time = p->time;
  out.stats = p->stats;
  if (p->dump) out.dump = p->dump;
  out.dump_context = p->dump_context;
  return out;
}

// "cuda": the architectures in use, and PTX for those to come; "cuda:sm_90": one.
static fst_status archs_add(request *r, const char *arch) {
  static const char *const all[] = {"sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "compute_80"};
  if (!arch) {
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) FST_TRY(archs_add(r, all[i]));
    r->rq.skips_unknown_archs = true;
    return NULL;
  }
  FST_TRY(fst_device_arch_check(arch));
  for (size_t i = 0; i < r->archs.len; i++)
    if (!strcmp(r->archs.data[i], arch)) return FST_FAIL(FST_ERR_INVALID, "CUDA architecture '%s' is given twice", arch);
  fst_vec_push(&r->archs, arch);
  return NULL;
}

static fst_status target_add(request *r, const char *name) {
  size_t len = strlen(FST_PLAN_DEVICE_TARGET);
  if (!strncmp(name, FST_PLAN_DEVICE_TARGET, len) && (!name[len] || name[len] == ':')) return archs_add(r, name[len] ? name + len + 1 : NULL);
  const fst_target *target = fst_target_find(name);
  if (!target) return FST_FAIL(FST_ERR_INVALID, "unknown target '%s': expected x86-64-v3, x86-64-v4, native (which needs AVX2), cuda, or cuda:ARCH", name);
  for (size_t i = 0; i < r->targets.len; i++)
    if (r->targets.data[i] == target) return FST_FAIL(FST_ERR_INVALID, "target '%s' is given twice", name);
  fst_vec_push(&r->targets, target);
  return NULL;
}

static fst_status targets_read(request *r, const char *names) {
  for (char *at = fst_arena_strdup(&r->arena, names); *at;) {
    size_t len = strcspn(at, ",");
    bool more = at[len] == ',';
    at[len] = 0;
    FST_TRY(target_add(r, at));
    at += len + more;
  }
  if (!r->targets.len && !r->archs.len) return FST_FAIL(FST_ERR_INVALID, "no target is given");
  return NULL;
}

// What the package's spec says, where the caller said nothing.
static fst_status signature_add(request *r, const fst_source *source, const char *method, const char *arguments) {
  fst_text text = {0};
  if (!arguments) FST_TRY(fst_source_signature(source, method, &text));
  fst_compile_signature signature = {method, arguments};
  if (text.len) signature.arguments = fst_arena_strndup(&r->arena, text.data, text.len);
  fst_text_deinit(&text);
  fst_vec_push(&r->signatures, signature);
  return NULL;
}

static fst_status signatures_default(request *r, const fst_source *source) {
  fst_text names = {0};
  fst_module_methods(source->import.module, &names);
  char *at = fst_arena_strdup(&r->arena, fst_text_cstr(&names));
  fst_text_deinit(&names);
  if (fst_source_method(source, "forward")) FST_TRY(signature_add(r, source, "forward", NULL));
  for (char *name = strtok(at, ","); name; name = strtok(NULL, ",")) {
    if (strcmp(name, "forward") != 0 && fst_source_method_is_plain(source, name)) FST_TRY(signature_add(r, source, name, NULL));
  }
  if (!r->signatures.len) return FST_FAIL(FST_ERR_INVALID, "the model has no method 'forward'; name the method to compile");
  return NULL;
}

static fst_status request_fill(request *r, const fst_source *source, const fst_compiler_options *o) {
  FST_TRY(targets_read(r, o->targets ? o->targets : "native"));
  for (uint32_t i = 0; i < o->signature_count; i++) FST_TRY(signature_add(r, source, o->signatures[i].method, o->signatures[i].arguments));
  if (!o->signature_count) FST_TRY(signatures_default(r, source));
  r->passes = pipeline_options(&o->passes, r->targets.len ? r->targets.data[0] : NULL);
  source->import.module->device_kind = !r->archs.len ? FST_DEVICE_CPU : r->targets.len ? FST_DEVICE_UNKNOWN : FST_DEVICE_CUDA;
  r->passes.trial = source->import.trial.run ? &source->import.trial : NULL;
  r->passes.allow_fallback = o->allow_fallback;
  r->rq = (fst_compile_request){
      .module = source->import.module,
      .signatures = r->signatures.data,
      .signature_count = (uint32_t)r->signatures.len,
      .state = o->state,
      .targets = r->targets.data,
      .target_count = (uint32_t)r->targets.len,
      .archs = r->archs.data,
      .arch_count = (uint32_t)r->archs.len,
      .skips_unknown_archs = r->rq.skips_unknown_archs,
      .allow_fallback = o->allow_fallback,
      .options = &r->passes,
  };
  return NULL;
}

// ---- artifacts -------------------------------------------------------------------------------------

// What report() adds to what the plan says itself. Nothing here may differ from one compilation to the next:
// the same input gives the same bytes.
static void info_set(const fst_source *source, const fst_compiled *compiled, fst_plan_tables *tables) {
  fst_text info = {0};
  fst_text_printf(&info, "{\"kernels\": %u, \"arena_bytes\": %llu, \"compiler\": ", compiled->kernel_count, (unsigned long long)compiled->arena_bytes);
  fst_config_quote(&info, DESCRIPTION);
  fst_text_puts(&info, ", \"extra_files\": ");
  fst_source_extra_files(source, &info);
  fst_text_putc(&info, '}');
  tables->info = fst_plan_string_add(tables, info.data, info.len);
  fst_text_deinit(&info);
}

typedef FST_VEC(fst_member) member_list;

static void member_push(member_list *list, const char *name, const void *bytes, uint64_t len, uint32_t align) {
  fst_member m = {name, bytes, len, align};
  fst_vec_push(list, m);
}

// The package's members come first, so that a listing begins with what its user knows.
static void members_collect(const fst_source *source, bool strip_source, const fst_compiled *compiled, const void *plan, size_t plan_len, fst_arena *arena, member_list *out) {
  for (size_t i = 0; source->is_package && i < source->package.files.len; i++) {
    const fst_package_file *file = &source->package.files.data[i];
    if (!strip_source || !strcmp(file->name, "config.json") || !strcmp(file->name, "test_data.pkl")) member_push(out, file->name, file->bytes, file->len, 0);
  }
  member_push(out, "0/compiled/plan.bin", plan, plan_len, 8);
  for (size_t i = 0; i < compiled->images.len; i++) {
    const fst_code_image *image = &compiled->images.data[i];
    member_push(out, fst_arena_printf(arena, "0/compiled/%s/code.bin", image->target), image->bytes, image->len, FST_ALIGN_CODE);
  }
  for (size_t i = 0; i < compiled->device_images.len; i++) {
    const fst_code_image *image = &compiled->device_images.data[i];
    member_push(out, fst_arena_printf(arena, "0/compiled/%s/%s", FST_PLAN_DEVICE_TARGET, image->target), image->bytes, image->len, 64);
  }
  uint64_t weights_len;
  const void *weights = fst_blob_data(compiled->weights, &weights_len);
  member_push(out, "0/compiled/weights.bin", weights, weights_len, FST_ALIGN_WEIGHTS);
}

static fst_status artifact_make(const fst_source *source, bool strip_source, fst_compiled *compiled, void **out_bytes, size_t *out_len) {
  fst_plan_tables *tables = compiled->tables;
  tables->source = fst_plan_cstring_add(tables, source->name);
  tables->source_hash = fst_module_hash(source->import.module);
  fst_source_specs(source, tables);
  info_set(source, compiled, tables);
  void *plan;
  size_t plan_len;
  FST_TRY(fst_plan_write(tables, &plan, &plan_len));
  fst_arena arena;
  fst_arena_init(&arena);
  member_list members = {0};
  members_collect(source, strip_source, compiled, plan, plan_len, &arena, &members);
  fst_status status = fst_artifact_pack(members.data, members.len, out_bytes, out_len);
  fst_vec_free(&members);
  fst_arena_deinit(&arena);
  free(plan);
  return status;
}

static fst_status request_compile(const fst_source *source, bool strip_source, const fst_compile_request *rq, void **out_bytes, size_t *out_len) {
  fst_compiled compiled;
  FST_TRY(fst_compile(rq, &compiled));
  fst_status status = artifact_make(source, strip_source, &compiled, out_bytes, out_len);
  fst_compiled_deinit(&compiled);
  return status;
}

static fst_status compiler_compile(fst_source *source, const fst_compiler_options *options, void **out_bytes, size_t *out_len) {
  request r = {0};
  fst_arena_init(&r.arena);
  fst_status status = request_fill(&r, source, options);
  if (!status) status = request_compile(source, options->strip_source, &r.rq, out_bytes, out_len);
  request_deinit(&r);
  return status;
}

static fst_status compiler_describe(fst_source *source, void **out_bytes, size_t *out_len) {
  fst_pipeline_options passes = pipeline_options(NULL, NULL);
  fst_compile_request rq = {.module = source->import.module, .describe_all = true, .allow_fallback = true, .options = &passes};
  return request_compile(source, true, &rq, out_bytes, out_len);
}

// ---- texts -----------------------------------------------------------------------------------------

static fst_status text_take(fst_text *text, fst_status status, char **out) {
  if (!status && !text->data) fst_text_append(text, "", 0);
  if (!status) *out = text->data;
  else fst_text_deinit(text);
  return status;
}

static fst_status stage_dump(const request *r, const fst_source *source, const char *method, const char *stage, fst_text *out) {
  fst_stage number;
  bool assembly = !strcmp(stage, "asm");
  if (assembly || !strcmp(stage, "llvm")) {
    if (!r->rq.target_count) return FST_FAIL(FST_ERR_INVALID, "stage '%s' is of code for the CPU; stage 'cuda' shows the kernels of a device", stage);
    return fst_compile_text(&r->rq, assembly, out);
  }
  if (!strcmp(stage, "cuda")) return fst_compile_device_text(&r->rq, out);
  if (!fst_stage_from_name(stage, &number)) return FST_FAIL(FST_ERR_INVALID, "unknown stage '%s': expected imported, inlined, typed, functional, fused, planned, llvm, asm or cuda", stage);
  if (number == FST_STAGE_IMPORTED && !method) {
    fst_module_print(source->import.module, out);
    return NULL;
  }
  return fst_compile_dump(&r->rq, method ? method : "forward", number, out);
}

static fst_status compiler_dump(fst_source *source, const fst_compiler_options *options, const char *method, const char *stage, char **out_text) {
  request r = {0};
  fst_text text = {0};
  fst_arena_init(&r.arena);
  fst_status status = request_fill(&r, source, options);
  if (!status) status = stage_dump(&r, source, method, stage, &text);
  request_deinit(&r);
  return text_take(&text, status, out_text);
}

static fst_status compiler_methods(fst_source *source, char **out_text) {
  fst_text text = {0};
  fst_module_methods(source->import.module, &text);
  return text_take(&text, NULL, out_text);
}

// ---- test data -------------------------------------------------------------------------------------

typedef struct test_data_owner {
  fst_arena arena;
  fst_package package;
  fst_test_arrays arrays;
} test_data_owner;

static void compiler_test_data_free(fst_test_data *data) {
  test_data_owner *owner = data->owner;
  if (!owner) return;
  fst_vec_free(&owner->arrays);
  fst_package_deinit(&owner->package);
  fst_arena_deinit(&owner->arena);
  free(owner);
  *data = (fst_test_data){0};
}

static fst_status test_data_load(const char *path, test_data_owner *owner) {
  FST_TRY(fst_package_open(path, &owner->package));
  const fst_package_file *file = fst_package_file_find(&owner->package, "test_data.pkl");
  if (!file) return NULL;
  return fst_error_prefix(fst_test_data_read(file->bytes, file->len, &owner->arena, &owner->arrays), "%s: test_data.pkl", path);
}

static fst_status compiler_test_data(const char *path, fst_test_data *out) {
  test_data_owner *owner = calloc(1, sizeof *owner);
  if (!owner) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  fst_arena_init(&owner->arena);
  fst_status status = test_data_load(path, owner);
  fst_test_data made = {owner->arrays.data, (uint32_t)owner->arrays.len, owner};
  if (status) compiler_test_data_free(&made);
  else *out = made;
  return status;
}

static fst_status compiler_package_file(const char *path, const char *name, void **out_bytes, size_t *out_len) {
  fst_package package;
  FST_TRY(fst_package_open(path, &package));
  const fst_package_file *file = fst_package_file_find(&package, name);
  char *bytes = file ? malloc(file->len + 1) : NULL;
  fst_status status = NULL;
  if (!file) status = FST_FAIL(FST_ERR_NOT_FOUND, "the package '%s' has no member %s", path, name);
  else if (!bytes) status = FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  else memcpy(bytes, file->bytes, file->len);
  if (!status) {
    *out_bytes = bytes;
    *out_len = file->len;
  }
  fst_package_deinit(&package);
  return status;
}

// ---- passes over IR text ---------------------------------------------------------------------------

// Tensors stay without bytes: a text has none, and passes do not need them.
static fst_status module_from_text(const char *text, size_t len, const char *file_name, fst_module **out) {
  fst_module *module = NULL;
  FST_TRY(fst_module_parse(text, len, file_name, &module));
  fst_status status = fst_module_verify(module);
  if (status) {
    fst_module_destroy(module);
    return fst_error_prefix(status, "%s", file_name);
  }
  *out = module;
  return NULL;
}

static fst_status round_trip_check(const fst_module *module, const fst_text *printed) {
  fst_module *again;
  fst_status status = fst_module_parse(printed->data, printed->len, "printed text", &again);
  if (status) return fst_error_prefix(status, "what was printed does not parse");
  uint64_t before = fst_module_hash(module), after = fst_module_hash(again);
  fst_module_destroy(again);
  if (before == after) return NULL;
  return FST_FAIL(FST_ERR_INTERNAL, "what was printed means something else: hash %016llx became %016llx", (unsigned long long)before, (unsigned long long)after);
}

static fst_status compiler_opt(const char *text, size_t len, const char *file_name, const char *pass_names, const fst_compiler_passes *passes, bool round_trip, char **out_text) {
  fst_module *module = NULL;
  fst_text printed = {0};
  FST_TRY(module_from_text(text, len, file_name, &module));
  fst_pipeline_options options = pipeline_options(passes, NULL);
  fst_status status = NULL;
  // Passes may add functions; those are not run again.
  for (size_t i = 0, count = module->functions.len; i < count && !status && pass_names && *pass_names; i++)
    status = fst_passes_run(module->functions.data[i], pass_names, &options);
  if (!status) status = fst_module_verify(module);
  if (!status) fst_module_print(module, &printed);
  if (!status && round_trip) status = round_trip_check(module, &printed);
  fst_module_destroy(module);
  return text_take(&printed, status, out_text);
}

static bool compiler_pass_info(uint32_t index, const char **out_name, const char **out_doc) {
  const fst_pass *pass = fst_pass_at(index);
  if (!pass) return false;
  *out_name = pass->name;
  *out_doc = pass->doc;
  return true;
}

static bool compiler_rule_info(uint32_t index, const char **out_name, const char **out_doc) {
  if (index >= fst_rule_count()) return false;
  *out_name = fst_rule_name(index);
  *out_doc = fst_rule_doc(index);
  return true;
}

// ---- the table -------------------------------------------------------------------------------------

const fst_compiler_api *fst_compiler(void) {
  static const fst_compiler_api api = {
      FST_COMPILER_VERSION, DESCRIPTION, compiler_open, compiler_close, compiler_compile, compiler_describe, compiler_dump, compiler_methods, compiler_test_data, compiler_test_data_free, compiler_package_file, fst_pack, compiler_opt, compiler_pass_info, compiler_rule_info,
  };
  return &api;
}
