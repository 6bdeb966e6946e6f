#define _GNU_SOURCE  // memfd_create
#include "driver/source.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <zip.h>

#include "base/file.h"
#include "driver/semver.h"

#define IR_HEAD "firesteel.module"

// ---- opening ---------------------------------------------------------------------------------------

// IR text may begin with comments.
static bool is_ir_text(const char *bytes, size_t len) {
  size_t at = 0;
  while (at < len) {
    if (isspace((unsigned char)bytes[at])) at++;
    else if (bytes[at] == '#') while (at < len && bytes[at] != '\n') at++;
    else break;
  }
  return len - at >= strlen(IR_HEAD) && !memcmp(bytes + at, IR_HEAD, strlen(IR_HEAD));
}

// The text's storages name places in the archive and in the importer's side file, which importing the archive once
// more makes again, the same.
static fst_status ir_map(const fst_source_options *options, fst_import *import) {
  fst_import_options given = {options->bridge, options->eval, options->libraries, options->library_count};
  fst_text unused = {0};
  bool all_here = true;
  for (size_t i = 0; i < import->module->storages.len; i++) {
    const fst_storage_info *s = &import->module->storages.data[i];
    all_here = all_here && s->where == FST_BYTES_MEMORY;
    if (s->where == FST_BYTES_MEMORY && !s->data && s->bytes) return FST_FAIL(FST_ERR_INVALID, "storage %zu was made by a compiler and is too large for the text that it left: begin at an earlier stage", i);
  }
  if (all_here) return fst_module_map(import->module, NULL, 0, NULL, 0);
  if (!options->archive) return FST_FAIL(FST_ERR_INVALID, "the text describes tensors whose bytes are in an archive; name it with --archive");
  FST_TRY(fst_import_text(options->archive, &given, &unused, &import->side));
  fst_text_deinit(&unused);
  FST_TRY(fst_file_map(options->archive, &import->archive));
  return fst_module_map(import->module, import->archive.data, import->archive.size, import->side.data, import->side.size);
}

static fst_status ir_open(const char *path, const fst_mapping *file, const fst_source_options *options, fst_source *out) {
  FST_TRY(fst_module_parse(file->data, file->size, path, &out->import.module));
  fst_status status = fst_module_verify(out->import.module);
  if (!status && out->import.module->storages.len) status = ir_map(options, &out->import);
  if (!status) out->name = fst_arena_strdup(&out->arena, fst_sym_text(&out->import.module->strings, out->import.module->source));
  return fst_error_prefix(status, "%s", path);
}

static fst_status memory_file(const char *name, const void *bytes, size_t len, int *out_fd) {
  int fd = memfd_create(name, MFD_CLOEXEC);
  if (fd < 0) return fst_errno_status(errno, "cannot make a memory file for", name);
  fst_status status = fst_fd_write(fd, name, bytes, len);
  if (status) close(fd);
  else *out_fd = fd;
  return status;
}

// The package's own libraries after the caller's. A library has to be a file before it can be opened.
static fst_status libraries_extract(fst_source *s, const fst_source_options *options, const char ***out_paths, uint32_t *out_count) {
  const fst_config *config = &s->package.config;
  const char **paths = FST_NEW_ARRAY(&s->arena, const char *, options->library_count + config->custom_ops.len + 1);
  for (uint32_t i = 0; i < options->library_count; i++) paths[i] = options->libraries[i];
  *out_count = options->library_count;
  for (size_t i = 0; i < config->custom_ops.len; i++) {
    const char *op = config->custom_ops.data[i];
    const fst_package_file *file = fst_package_file_find(&s->package, fst_arena_printf(&s->arena, "0/ops/%s", op));
    if (!file) return FST_FAIL(FST_ERR_NOT_FOUND, "the package names the custom op %s but has no member 0/ops/%s", op, op);
    int fd;
    FST_TRY(memory_file(fst_path_base(op), file->bytes, file->len, &fd));
    paths[(*out_count)++] = fst_arena_printf(&s->arena, "/proc/self/fd/%d", fd);  // stays open: libtorch may open it again
  }
  *out_paths = paths;
  return NULL;
}

static fst_status torchscript_open(fst_source *s, const fst_source_options *options) {
  const fst_package_file *model = fst_package_file_find(&s->package, "0/data/model.pt");
  if (!model) return FST_FAIL(FST_ERR_NOT_FOUND, "the package has no member 0/data/model.pt");
  const char **libraries;
  uint32_t count;
  FST_TRY(libraries_extract(s, options, &libraries, &count));
  FST_TRY(memory_file("model.pt", model->bytes, model->len, &s->model_fd));
  fst_import_options import = {options->bridge, options->eval, libraries, count};
  return fst_error_prefix(fst_import_archive(fst_arena_printf(&s->arena, "/proc/self/fd/%d", s->model_fd), &import, &s->import), "0/data/model.pt");
}

static fst_status backend_missing(fst_source *s, const fst_source_options *options) {
  (void)options;
  return FST_FAIL(FST_ERR_UNSUPPORTED, "the package '%s' is for the platform '%s', which Firesteel cannot run; it compiles packages of the platform 'torchscript'",
                  s->package.config.name, s->package.config.platform);
}

// What a platform's packages are opened with: the one place where a platform is told from another. `open` imports the model
// as a module; all that follows is the same for every platform.
typedef struct fst_backend {
  const char *platform;
  fst_status (*open)(fst_source *source, const fst_source_options *options);
} fst_backend;
static const fst_backend backends[] = {
    {"torchscript", torchscript_open},
    {"tensorflow", backend_missing},
    {"python", backend_missing},
};

static fst_status backend_open(fst_source *s, const fst_source_options *options) {
  const fst_config *config = &s->package.config;
  bool satisfied = true;
  for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
    if (strcmp(backends[i].platform, config->platform) != 0) continue;
    fst_semver_range(config->version_range, &satisfied);  // read before, so it is a range
    if (satisfied) return backends[i].open(s, options);
  }
  return FST_FAIL(FST_ERR_UNSUPPORTED,
                  "The model being loaded requires a Neuropod backend for type '%s' and version range '%s'. However, a backend satisfying these requirements was not found. "
                  "Firesteel stands for every version of torchscript up to " FST_CLAIMED_TORCH ".",
                  config->platform, config->version_range);
}

static fst_status package_open(const char *path, const fst_source_options *options, fst_source *s) {
  FST_TRY(fst_package_open(path, &s->package));
  s->is_package = true;
  return fst_error_prefix(backend_open(s, options), "%s", path);
}

static fst_status archive_open(const char *path, const fst_source_options *options, fst_source *s) {
  fst_import_options import = {options->bridge, options->eval, options->libraries, options->library_count};
  return fst_import_archive(path, &import, &s->import);
}

static fst_status file_open(const char *path, const fst_source_options *options, fst_source *s) {
  fst_mapping file;
  FST_TRY(fst_file_map(path, &file));
  bool is_text = is_ir_text(file.data, file.size);
  fst_status status = is_text ? ir_open(path, &file, options, s) : NULL;
  bool is_zip = file.size >= 4 && !memcmp(file.data, "PK", 2);
  fst_mapping_deinit(&file);
  if (is_text || status) return status;
  if (!is_zip) return FST_FAIL(FST_ERR_CORRUPT, "'%s' is neither a TorchScript archive, a Neuropod, nor IR text", path);
  return fst_package_is(path) ? package_open(path, options, s) : archive_open(path, options, s);
}

static fst_status folder_open(const char *path, const fst_source_options *options, fst_source *s) {
  if (fst_package_is(path)) return package_open(path, options, s);
  return FST_FAIL(FST_ERR_INVALID, "'%s' is a directory and not an unpacked Neuropod (it has no config.json)", path);
}

fst_status fst_source_open(const char *path, const fst_source_options *options, fst_source *out) {
  fst_source made = {.model_fd = -1};
  fst_arena_init(&made.arena);
  made.name = fst_arena_strdup(&made.arena, fst_path_base(path));
  fst_status status = fst_file_is_directory(path) ? folder_open(path, options, &made) : file_open(path, options, &made);
  if (status) {
    fst_source_deinit(&made);
    return status;
  }
  // The archive within a package was opened by a name that says nothing.
  if (made.is_package) made.import.module->source = fst_intern(&made.import.module->strings, made.name);
  *out = made;
  return NULL;
}

void fst_source_deinit(fst_source *s) {
  fst_import_deinit(&s->import);
  if (s->is_package) fst_package_deinit(&s->package);
  if (s->model_fd > 0) close(s->model_fd);
  fst_arena_deinit(&s->arena);
  *s = (fst_source){.model_fd = -1};
}

// ---- methods ---------------------------------------------------------------------------------------

fst_graph *fst_source_method(const fst_source *s, const char *method) {
  fst_module *module = s->import.module;
  fst_sym name = fst_intern(&module->strings, method);
  if (module->root == UINT32_MAX) return fst_module_find_function(module, name);
  return fst_class_method(module, fst_module_class(module, module->objects.data[module->root].cls), name);
}

static bool type_is_plain(const fst_types *types, fst_type type) {
  switch (fst_type_kind_of(types, type)) {
    case FST_TY_INT: case FST_TY_FLOAT: case FST_TY_BOOL: case FST_TY_STR: case FST_TY_NONE: return true;
    default: return false;
  }
}

bool fst_source_method_is_plain(const fst_source *s, const char *method) {
  const fst_graph *graph = fst_source_method(s, method);
  if (!graph) return false;
  const fst_block *entry = fst_block_get(graph, graph->entry);
  for (size_t i = s->import.module->root == UINT32_MAX ? 0 : 1; i < entry->params.len; i++) {
    bool has_default = i < graph->defaults.len && graph->defaults.data[i].id;
    if (!has_default && !type_is_plain(s->import.module->types, fst_value_type(graph, entry->params.data[i]))) return false;
  }
  return true;
}

// ---- specs -----------------------------------------------------------------------------------------

static fst_dtype spec_dtype(const fst_config_spec *spec) { return fst_dtype_from_name(spec->dtype, strlen(spec->dtype)); }

// Sizes get names that no word of the type language has.
static void dim_name(fst_text *out, const fst_config_dim *dim, size_t input, uint32_t number) {
  if (dim->size >= 0) fst_text_printf(out, "%lld", (long long)dim->size);
  else if (!dim->symbol) fst_text_printf(out, "any_%zu_%u", input, number);
  else {
    fst_text_puts(out, "dim_");
    for (const char *c = dim->symbol; *c; c++) {
      if (isalnum((unsigned char)*c)) fst_text_putc(out, *c);
      else fst_text_printf(out, "_%02x", (unsigned char)*c);
    }
  }
}

// Parameters are named as in the archive, which may add a number after a dot. NULL: none has the name.
static const fst_type_data *parameter_type(const fst_graph *graph, const char *name) {
  const fst_block *entry = fst_block_get(graph, graph->entry);
  size_t len = strlen(name);
  for (size_t i = 0; i < entry->params.len; i++) {
    const char *text = fst_sym_text(&graph->module->strings, fst_value_get(graph, entry->params.data[i])->name);
    if (!strncmp(text, name, len) && (!text[len] || text[len] == '.')) return fst_type_get(graph->module->types, fst_value_type(graph, entry->params.data[i]));
  }
  return NULL;
}

static fst_status spec_dtype_check(const fst_config_spec *spec) {
  if (spec_dtype(spec) != FST_DTYPE_UNKNOWN || !strcmp(spec->dtype, "string")) return NULL;
  return FST_FAIL(FST_ERR_UNSUPPORTED, "input '%s' is of type %s, which TorchScript does not have", spec->name, spec->dtype);
}

// The type of a dict's tensors, when the model takes all inputs in one: what is the same in all of them.
static void common_type_print(const fst_config_specs *inputs, fst_text *out) {
  const fst_config_spec *first = NULL;
  bool agree = true;
  for (size_t i = 0; i < inputs->len; i++) {
    const fst_config_spec *spec = &inputs->data[i];
    if (!strcmp(spec->dtype, "string")) continue;
    agree &= !first || (!strcmp(first->dtype, spec->dtype) && first->rank == spec->rank);
    if (!first) first = spec;
  }
  if (!first || !agree) {
    fst_text_puts(out, "Tensor");
    return;
  }
  fst_text_printf(out, "%s[", fst_dtype_name(spec_dtype(first)));
  for (uint32_t d = 0; d < first->rank; d++) {
    bool is_fixed = true;
    for (size_t i = 0; i < inputs->len; i++) is_fixed &= !strcmp(inputs->data[i].dtype, "string") || inputs->data[i].dims[d].size == first->dims[d].size;
    fst_text_puts(out, d ? ", " : "");
    if (is_fixed && first->dims[d].size >= 0) fst_text_printf(out, "%lld", (long long)first->dims[d].size);
    else fst_text_puts(out, "?");
  }
  fst_text_puts(out, "]");
}

// May a dict with values of this type hold an input of this dtype? Those it may not hold it is not given.
static bool holds_input(const fst_types *types, fst_type elem, bool is_string) {
  const fst_type_data *t = fst_type_get(types, elem);
  for (uint32_t i = 0; t->kind == FST_TY_UNION && i < t->count; i++)
    if (holds_input(types, t->items[i], is_string)) return true;
  bool is_str_list = t->kind == FST_TY_LIST && fst_type_kind_of(types, t->elem) == FST_TY_STR;
  return t->kind == FST_TY_ANY || (is_string ? is_str_list : t->kind == FST_TY_TENSOR);
}

// The type of a dict that takes all inputs: of one of tensors what its values share, of others each entry.
static void dict_type_print(const fst_graph *graph, fst_type elem, const fst_config_specs *inputs, fst_text *out) {
  const fst_types *types = graph->module->types;
  bool is_tensor = fst_type_is(types, elem, FST_TY_TENSOR);
  fst_text_puts(out, "Dict[str, ");
  if (is_tensor) common_type_print(inputs, out);
  else fst_type_print(types, graph->dims, elem, out);
  for (size_t i = 0; !is_tensor && i < inputs->len; i++) {
    const fst_config_spec *spec = &inputs->data[i];
    bool is_string = !strcmp(spec->dtype, "string");
    if (!holds_input(types, elem, is_string)) continue;
    fst_text_puts(out, ", ");
    fst_text_quote(out, spec->name, strlen(spec->name));
    if (is_string) fst_text_puts(out, ": List[str]");
    else fst_text_printf(out, ": %s[", fst_dtype_name(spec_dtype(spec)));
    for (uint32_t d = 0; !is_string && d < spec->rank; d++) {
      fst_text_puts(out, d ? ", " : "");
      if (spec->dims[d].size >= 0) fst_text_printf(out, "%lld", (long long)spec->dims[d].size);
      else fst_text_putc(out, '?');
    }
    if (!is_string) fst_text_putc(out, ']');
  }
  fst_text_putc(out, ']');
}

// The only argument that is a dict of texts to what inputs may be, or NULL.
static const fst_value *dict_argument(const fst_graph *graph, bool has_self) {
  const fst_block *entry = fst_block_get(graph, graph->entry);
  const fst_types *types = graph->module->types;
  if (entry->params.len != (has_self ? 2u : 1u)) return NULL;
  fst_value_id param = fst_vec_last(&entry->params);
  const fst_type_data *type = fst_type_get(types, fst_value_type(graph, param));
  if (type->kind != FST_TY_DICT || fst_type_kind_of(types, type->key) != FST_TY_STR || !holds_input(types, type->elem, false)) return NULL;
  return fst_value_get(graph, param);
}

fst_status fst_source_signature(const fst_source *s, const char *method, fst_text *out) {
  if (!s->is_package || strcmp(method, "forward") != 0) return NULL;
  const fst_graph *graph = fst_source_method(s, method);
  const fst_config_specs *inputs = &s->package.config.inputs;
  if (!graph) return NULL;
  for (size_t i = 0; i < inputs->len; i++) FST_TRY(spec_dtype_check(&inputs->data[i]));
  const fst_value *dict = dict_argument(graph, s->import.module->root != UINT32_MAX);
  if (dict) {
    const char *name = fst_sym_text(&graph->module->strings, dict->name);
    fst_text_printf(out, "%.*s: ", (int)strcspn(name, "."), name);
    dict_type_print(graph, fst_type_get(graph->module->types, dict->type)->elem, inputs, out);
    return NULL;
  }
  for (size_t i = 0; i < inputs->len; i++) {
    const fst_config_spec *spec = &inputs->data[i];
    const fst_type_data *type = parameter_type(graph, spec->name);
    // Numbers and lists of strings say enough by themselves.
    bool is_tensor = type && (type->kind == FST_TY_TENSOR || (type->kind == FST_TY_OPTIONAL && fst_type_kind_of(graph->module->types, type->elem) == FST_TY_TENSOR));
    if (!is_tensor || !strcmp(spec->dtype, "string")) continue;
    fst_text_printf(out, "%s%s: %s[", out->len ? "; " : "", spec->name, fst_dtype_name(spec_dtype(spec)));
    for (uint32_t d = 0; d < spec->rank; d++) {
      if (d) fst_text_puts(out, ", ");
      dim_name(out, &spec->dims[d], i, d);
    }
    fst_text_putc(out, ']');
  }
  return NULL;
}

static void spec_add(fst_plan_tables *tables, const fst_config_spec *spec, uint32_t flags) {
  int64_t dims[FST_SPEC_RANK_MAX];
  for (uint32_t d = 0; d < spec->rank; d++) {
    const fst_config_dim *dim = &spec->dims[d];
    if (dim->symbol) dims[d] = fst_plan_dim_symbol(fst_plan_cstring_add(tables, dim->symbol));
    else dims[d] = dim->size < 0 ? FST_PLAN_DIM_ANY : dim->size;
  }
  fst_plan_spec_add(tables, spec->name, spec->dtype, flags, dims, spec->rank);
}

void fst_source_specs(const fst_source *s, fst_plan_tables *tables) {
  if (!s->is_package) return;
  tables->package = fst_plan_cstring_add(tables, s->package.config.name);
  for (size_t i = 0; i < s->package.config.inputs.len; i++) spec_add(tables, &s->package.config.inputs.data[i], 0);
  for (size_t i = 0; i < s->package.config.outputs.len; i++) spec_add(tables, &s->package.config.outputs.data[i], FST_PLAN_SPEC_OUTPUT);
}

// ---- extra files -----------------------------------------------------------------------------------

enum { EXTRA_TEXT_MAX = 16384 };

static void extra_print(zip_t *zip, zip_uint64_t index, const zip_stat_t *info, fst_text *out) {
  char text[EXTRA_TEXT_MAX + 1];
  zip_file_t *file = info->size <= EXTRA_TEXT_MAX ? zip_fopen_index(zip, index, 0) : NULL;
  zip_int64_t got = file ? zip_fread(file, text, info->size) : -1;
  if (file) zip_fclose(file);
  text[got > 0 ? got : 0] = 0;
  if (got >= 0 && strlen(text) == info->size) fst_config_quote(out, text);
  else fst_text_printf(out, "\"%llu bytes\"", (unsigned long long)info->size);
}

void fst_source_extra_files(const fst_source *s, fst_text *out) {
  zip_error_t error;
  zip_error_init(&error);
  const fst_mapping *archive = &s->import.archive;
  zip_source_t *bytes = archive->size ? zip_source_buffer_create(archive->data, archive->size, 0, &error) : NULL;
  zip_t *zip = bytes ? zip_open_from_source(bytes, ZIP_RDONLY, &error) : NULL;
  if (bytes && !zip) zip_source_free(bytes);
  bool first = true;
  fst_text_putc(out, '{');
  for (zip_int64_t i = 0, count = zip ? zip_get_num_entries(zip, 0) : 0; i < count; i++) {
    zip_stat_t info;
    const char *name = zip_get_name(zip, (zip_uint64_t)i, 0), *below = name ? strchr(name, '/') : NULL;
    if (!below || strncmp(below, "/extra/", 7) != 0 || zip_stat_index(zip, (zip_uint64_t)i, 0, &info) != 0) continue;
    if (!first) fst_text_puts(out, ", ");
    first = false;
    fst_config_quote(out, below + 7);
    fst_text_puts(out, ": ");
    extra_print(zip, (zip_uint64_t)i, &info, out);
  }
  fst_text_putc(out, '}');
  if (zip) zip_discard(zip);
  zip_error_fini(&error);
}
