#include "driver/pack.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zip.h>

#include "base/file.h"
#include "base/sha256.h"
#include "driver/config.h"
#include "driver/semver.h"
#include "driver/zip_attributes.h"

typedef struct packed_file { const char *name, *bytes; size_t len; } packed_file;

typedef struct packing {
  const fst_pack_options *options;
  fst_arena arena;
  fst_config config;
  FST_VEC(packed_file) files;   // by name once all are there
} packing;

static void file_add(packing *k, const char *name, const char *bytes, size_t len) {
  packed_file file = {fst_arena_strdup(&k->arena, name), bytes, len};
  fst_vec_push(&k->files, file);
}

static fst_status file_load(packing *k, const char *name, const char *path) {
  char *bytes;
  size_t len;
  FST_TRY(fst_file_read(path, &bytes, &len));
  file_add(k, name, fst_arena_memdup(&k->arena, bytes, len), len);
  free(bytes);
  return NULL;
}

// ---- what goes in ----------------------------------------------------------------------------------

static fst_status folder_load(packing *k, const char *root, const char *below) {
  const char *path = fst_arena_printf(&k->arena, "%s/%s", root, below);
  DIR *dir = opendir(path);
  if (!dir) return fst_errno_status(errno, "cannot open", path);
  fst_status status = NULL;
  for (struct dirent *entry; !status && (entry = readdir(dir));) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    const char *name = fst_arena_printf(&k->arena, "%s%s%s", below, *below ? "/" : "", entry->d_name);
    const char *full = fst_arena_printf(&k->arena, "%s/%s", root, name);
    status = fst_file_is_directory(full) ? folder_load(k, root, name) : file_load(k, name, full);
  }
  closedir(dir);
  return status;
}

static fst_status ops_load(packing *k) {
  for (uint32_t i = 0; i < k->options->custom_op_count; i++) {
    const char *path = k->options->custom_ops[i], *name = fst_path_base(path);
    for (size_t op = 0; op < k->config.custom_ops.len; op++)
      if (!strcmp(k->config.custom_ops.data[op], name)) return FST_FAIL(FST_ERR_INVALID, "two custom ops have the name %s", name);
    FST_TRY(file_load(k, fst_arena_printf(&k->arena, "0/ops/%s", name), path));
    fst_vec_push(&k->config.custom_ops, name);
  }
  return NULL;
}

static fst_status config_make(packing *k) {
  const fst_pack_options *o = k->options;
  bool satisfied;
  k->config.name = o->name;
  k->config.platform = o->platform;
  k->config.version_range = o->version_range ? o->version_range : "*";
  if (!fst_semver_range(k->config.version_range, &satisfied)) return FST_FAIL(FST_ERR_INVALID, "The provided platform version (%s) was not a valid semver version or range. See https://semver.org/ and https://docs.npmjs.com/misc/semver#ranges", k->config.version_range);
  FST_TRY(fst_config_read_specs(o->spec, o->spec_len, &k->arena, &k->config));
  const char *device = o->default_device ? o->default_device : "GPU";
  if (strcmp(device, "GPU") != 0 && strcmp(device, "CPU") != 0) return FST_FAIL(FST_ERR_INVALID, "Device must either be 'GPU' or 'CPU', not '%s'", device);
  for (size_t i = 0; i < k->config.inputs.len; i++)
    if (!k->config.inputs.data[i].device) k->config.inputs.data[i].device = device;
  return NULL;
}

static void text_add(packing *k, const char *name, fst_text *text) {
  file_add(k, name, fst_arena_memdup(&k->arena, fst_text_cstr(text), text->len), text->len);
  fst_text_deinit(text);
}

static int file_order(const void *a, const void *b) { return strcmp(((const packed_file *)a)->name, ((const packed_file *)b)->name); }
static void files_sort(packing *k) { qsort(k->files.data, k->files.len, sizeof *k->files.data, file_order); }

static void manifest_add(packing *k) {
  fst_text text = {0};
  files_sort(k);
  fst_text_puts(&text, "{\n    \"files\": {");
  for (size_t i = 0; i < k->files.len; i++) {
    char digest[FST_SHA256_HEX];
    fst_sha256_hex(k->files.data[i].bytes, k->files.data[i].len, digest);
    fst_text_puts(&text, i ? ",\n        " : "\n        ");
    fst_config_quote(&text, k->files.data[i].name);
    fst_text_printf(&text, ": \"%s\"", digest);
  }
  fst_text_puts(&text, "\n    },\n    \"manifest_version\": 1\n}");
  text_add(k, "manifest.json", &text);
  files_sort(k);
}

static fst_status files_collect(packing *k) {
  const fst_pack_options *o = k->options;
  fst_text text = {0};
  if (o->root) FST_TRY(folder_load(k, o->root, ""));
  if (o->model) FST_TRY(file_load(k, "0/data/model.pt", o->model));
  FST_TRY(ops_load(k));
  if (o->test_pickle) FST_TRY(file_load(k, "test_data.pkl", o->test_pickle));
  if (o->test_count) {
    fst_status status = fst_pickle_write_test_data(o->tests, o->test_count, &text);
    text_add(k, "test_data.pkl", &text);
    FST_TRY(status);
  }
  fst_config_print(&k->config, &text);
  text_add(k, "config.json", &text);
  manifest_add(k);
  for (size_t i = 1; i < k->files.len; i++)
    if (!strcmp(k->files.data[i].name, k->files.data[i - 1].name)) return FST_FAIL(FST_ERR_INVALID, "two files would be %s in the package", k->files.data[i].name);
  return NULL;
}

// ---- where it goes ---------------------------------------------------------------------------------

static fst_status zip_failed(zip_t *zip, const char *path) { return FST_FAIL(FST_ERR_IO, "cannot write '%s': %s", path, zip_strerror(zip)); }

static fst_status zip_member_add(zip_t *zip, const packed_file *file, bool stored, const char *path) {
  zip_source_t *source = zip_source_buffer(zip, file->bytes, file->len, 0);
  zip_int64_t at = source ? zip_file_add(zip, file->name, source, ZIP_FL_ENC_UTF_8) : -1;
  if (at < 0) {
    zip_source_free(source);
    return zip_failed(zip, path);
  }
  zip_uint64_t index = (zip_uint64_t)at;
  bool ok = zip_set_file_compression(zip, index, stored ? ZIP_CM_STORE : ZIP_CM_DEFLATE, 0) == 0 && zip_file_set_dostime(zip, index, 0, FST_ZIP_DATE, 0) == 0 &&
            zip_file_set_external_attributes(zip, index, 0, ZIP_OPSYS_UNIX, FST_ZIP_FILE_ATTRIBUTES) == 0;
  return ok ? NULL : zip_failed(zip, path);
}

// Libzip writes beside the final place and renames.
static fst_status zip_write(const packing *k) {
  const char *path = k->options->path;
  int code = 0;
  zip_t *zip = zip_open(path, ZIP_CREATE | ZIP_EXCL, &code);
  if (!zip) return FST_FAIL(FST_ERR_IO, "cannot write '%s': %s", path, code == ZIP_ER_EXISTS ? "it exists" : strerror(errno));
  fst_status status = NULL;
  for (size_t i = 0; i < k->files.len && !status; i++) status = zip_member_add(zip, &k->files.data[i], k->options->stored, path);
  if (!status && zip_close(zip) != 0) status = zip_failed(zip, path);
  if (status) zip_discard(zip);
  return status;
}

static fst_status parents_make(char *path) {
  for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
    *at = 0;
    int made = mkdir(path, 0777);
    int error = errno;
    *at = '/';
    if (made != 0 && error != EEXIST) return fst_errno_status(error, "cannot make the folders of", path);
  }
  return NULL;
}

static fst_status folder_fill(packing *k, const char *path) {
  for (size_t i = 0; i < k->files.len; i++) {
    char *name = fst_arena_printf(&k->arena, "%s/%s", path, k->files.data[i].name);
    FST_TRY(parents_make(name));
    FST_TRY(fst_file_write_atomic(name, k->files.data[i].bytes, k->files.data[i].len));
  }
  char *ops = fst_arena_printf(&k->arena, "%s/0/ops/", path);  // there even when it is empty, as Neuropod has it
  return parents_make(ops);
}

// Filled beside its final place, so that nobody sees half of it.
static fst_status folder_write(packing *k) {
  const char *path = k->options->path, *part = fst_arena_printf(&k->arena, "%s.%ld.part", path, (long)getpid());
  if (mkdir(part, 0777) != 0) return fst_errno_status(errno, "cannot make the folder", part);
  fst_status status = folder_fill(k, part);
  if (!status && rename(part, path) != 0) status = fst_errno_status(errno, "cannot make", path);
  if (status) fst_file_remove_tree(part);
  return status;
}

static fst_status pack(packing *k) {
  if (fst_file_exists(k->options->path)) return FST_FAIL(FST_ERR_INVALID, "The specified neuropod path (%s) already exists! Aborting...", k->options->path);
  FST_TRY(config_make(k));
  FST_TRY(files_collect(k));
  return k->options->as_folder ? folder_write(k) : zip_write(k);
}

fst_status fst_pack(const fst_pack_options *options) {
  packing k = {.options = options};
  fst_arena_init(&k.arena);
  fst_status status = pack(&k);
  fst_vec_free(&k.files);
  fst_config_deinit(&k.config);
  fst_arena_deinit(&k.arena);
  return status;
}
