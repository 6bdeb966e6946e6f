#define _GNU_SOURCE
#include "driver/package.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include <cjson/cJSON.h>
#include <zip.h>

#include "base/file.h"
#include "base/sha256.h"
#include "base/text.h"

#define COMPILED "0/compiled/"

static bool is_kept(const char *name) {
  size_t len = strlen(name);
  return len && name[len - 1] != '/' && strncasecmp(name, COMPILED, strlen(COMPILED)) != 0;
}

static void file_add(fst_package *p, const char *name, const char *bytes, uint64_t len) {
  fst_package_file file = {fst_arena_strdup(&p->arena, name), bytes, len};
  fst_vec_push(&p->files, file);
}

// ---- folders ---------------------------------------------------------------------------------------

static fst_status folder_read(fst_package *p, const char *root, const char *below);

static fst_status folder_entry(fst_package *p, const char *root, const char *below, const char *entry) {
  if (!strcmp(entry, ".") || !strcmp(entry, "..")) return NULL;
  const char *name = fst_arena_printf(&p->arena, "%s%s%s", below, *below ? "/" : "", entry);
  const char *path = fst_arena_printf(&p->arena, "%s/%s", root, name);
  if (fst_file_is_directory(path)) return folder_read(p, root, name);
  if (!is_kept(name)) return NULL;
  char *bytes;
  size_t len;
  FST_TRY(fst_file_read(path, &bytes, &len));
  file_add(p, name, fst_arena_memdup(&p->arena, bytes, len), len);
  free(bytes);
  return NULL;
}

static fst_status folder_read(fst_package *p, const char *root, const char *below) {
  const char *path = fst_arena_printf(&p->arena, "%s/%s", root, below);
  DIR *dir = opendir(path);
  if (!dir) return fst_errno_status(errno, "cannot open", path);
  fst_status status = NULL;
  for (struct dirent *entry; !status && (entry = readdir(dir));) status = folder_entry(p, root, below, entry->d_name);
  closedir(dir);
  return status;
}

// ---- zip files -------------------------------------------------------------------------------------

static fst_status zip_open_path(const char *path, zip_t **out) {
  int error = 0;
  zip_t *zip = zip_open(path, ZIP_RDONLY, &error);
  if (zip) {
    *out = zip;
    return NULL;
  }
  zip_error_t text;
  zip_error_init_with_code(&text, error);
  fst_status status = FST_FAIL(error == ZIP_ER_NOENT ? FST_ERR_NOT_FOUND : FST_ERR_CORRUPT, "cannot open '%s': %s", path, zip_error_strerror(&text));
  zip_error_fini(&text);
  return status;
}

// Deflate makes nothing more than about a thousand times smaller, so a member that claims more is not believed
// before memory is taken for it.
enum { LARGEST_RATIO = 1100, SMALL_MEMBER = 65536 };

static bool size_is_possible(const zip_stat_t *info, uint64_t file_bytes) {
  return info->comp_size <= file_bytes && info->size <= SMALL_MEMBER + info->comp_size * LARGEST_RATIO;
}

static fst_status zip_member_read(fst_package *p, zip_t *zip, zip_uint64_t index, const char *path, uint64_t file_bytes) {
  zip_stat_t info;
  zip_uint64_t needed = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_NAME;
  if (zip_stat_index(zip, index, 0, &info) != 0 || (info.valid & needed) != needed) return FST_FAIL(FST_ERR_CORRUPT, "%s: its directory is damaged", path);
  if (!is_kept(info.name)) return NULL;
  if (!size_is_possible(&info, file_bytes)) return FST_FAIL(FST_ERR_CORRUPT, "%s: member %s claims %llu bytes", path, info.name, (unsigned long long)info.size);
  zip_file_t *file = zip_fopen_index(zip, index, 0);
  if (!file) return FST_FAIL(FST_ERR_CORRUPT, "%s: member %s: %s", path, info.name, zip_strerror(zip));
  char *bytes = fst_arena_alloc(&p->arena, info.size + 1);
  zip_int64_t got = zip_fread(file, bytes, info.size);
  char beyond;
  zip_int64_t more = zip_fread(file, &beyond, 1);  // a wrong checksum shows at the end
  int closed = zip_fclose(file);
  if (got < 0 || (zip_uint64_t)got != info.size || more != 0 || closed != 0) return FST_FAIL(FST_ERR_CORRUPT, "%s: member %s is damaged", path, info.name);
  file_add(p, info.name, bytes, info.size);
  return NULL;
}

static fst_status zip_read(fst_package *p, const char *path) {
  zip_t *zip;
  struct stat file;
  if (stat(path, &file) != 0) return fst_errno_status(errno, "cannot open", path);
  FST_TRY(zip_open_path(path, &zip));
  fst_status status = NULL;
  zip_int64_t count = zip_get_num_entries(zip, 0);
  for (zip_int64_t i = 0; i < count && !status; i++) status = zip_member_read(p, zip, (zip_uint64_t)i, path, (uint64_t)file.st_size);
  zip_discard(zip);
  return status;
}

// ---- members ---------------------------------------------------------------------------------------

const fst_package_file *fst_package_file_find(const fst_package *p, const char *name) {
  for (size_t i = 0; i < p->files.len; i++)
    if (!strcmp(p->files.data[i].name, name)) return &p->files.data[i];
  // Neuropod's reader of zip files looks names up in any case.
  for (size_t i = 0; p->is_zip && i < p->files.len; i++)
    if (!strcasecmp(p->files.data[i].name, name)) return &p->files.data[i];
  return NULL;
}

static fst_status config_read(fst_package *p, const char *path) {
  const fst_package_file *file = fst_package_file_find(p, "config.json");
  if (!file) return FST_FAIL(FST_ERR_NOT_FOUND, "Error loading config file for neuropod '%s'", path);
  return fst_config_read(file->bytes, file->len, &p->arena, &p->config);
}

// ---- manifest.json ---------------------------------------------------------------------------------

static fst_status manifest_check(const fst_package *p, const cJSON *files, const char *path) {
  const cJSON *item;
  cJSON_ArrayForEach(item, files) {
    const char *name = item->string ? item->string : "";
    if (!is_kept(name)) continue;
    const fst_package_file *file = fst_package_file_find(p, name);
    if (!file) return FST_FAIL(FST_ERR_CORRUPT, "the package '%s' is damaged: its manifest names %s, which is not there", path, name);
    char digest[FST_SHA256_HEX];
    fst_sha256_hex(file->bytes, file->len, digest);
    if (!cJSON_IsString(item) || strcmp(item->valuestring, digest) != 0) return FST_FAIL(FST_ERR_CORRUPT, "the package '%s' is damaged: %s is not the file that its manifest describes", path, name);
  }
  return NULL;
}

static fst_status manifest_verify(const fst_package *p, const char *path) {
  const fst_package_file *file = fst_package_file_find(p, "manifest.json");
  if (!file) return NULL;
  cJSON *manifest = cJSON_ParseWithLength(file->bytes, file->len);
  const cJSON *version = cJSON_GetObjectItemCaseSensitive(manifest, "manifest_version"), *files = cJSON_GetObjectItemCaseSensitive(manifest, "files");
  fst_status status = NULL;
  if (!cJSON_IsObject(files)) status = FST_FAIL(FST_ERR_CORRUPT, "the package '%s' is damaged: its manifest.json lists no files", path);
  else if (!cJSON_IsNumber(version) || version->valuedouble != 1) status = FST_FAIL(FST_ERR_UNSUPPORTED, "the package '%s' has a manifest.json of another version than 1", path);
  else status = manifest_check(p, files, path);
  cJSON_Delete(manifest);
  return status;
}

// ---- packages --------------------------------------------------------------------------------------

static int file_order(const void *a, const void *b) {
  return strcmp(((const fst_package_file *)a)->name, ((const fst_package_file *)b)->name);
}

static fst_status package_read(fst_package *p, const char *path) {
  p->is_zip = !fst_file_is_directory(path);
  FST_TRY(p->is_zip ? zip_read(p, path) : folder_read(p, path, ""));
  if (p->files.len) qsort(p->files.data, p->files.len, sizeof *p->files.data, file_order);
  FST_TRY(config_read(p, path));
  return manifest_verify(p, path);
}

fst_status fst_package_open(const char *path, fst_package *out) {
  fst_package made = {0};
  fst_arena_init(&made.arena);
  fst_status status = package_read(&made, path);
  if (status) fst_package_deinit(&made);
  else *out = made;
  return status;
}

void fst_package_deinit(fst_package *p) {
  fst_config_deinit(&p->config);
  fst_vec_free(&p->files);
  fst_arena_deinit(&p->arena);
  *p = (fst_package){0};
}

bool fst_package_is(const char *path) {
  if (fst_file_is_directory(path)) {
    fst_text name = {0};
    fst_text_printf(&name, "%s/config.json", path);
    bool found = fst_file_exists(fst_text_cstr(&name));
    fst_text_deinit(&name);
    return found;
  }
  zip_t *zip;
  fst_status status = zip_open_path(path, &zip);
  if (status) {
    fst_error_free(status);
    return false;
  }
  bool found = zip_name_locate(zip, "config.json", ZIP_FL_NOCASE) >= 0;
  zip_discard(zip);
  return found;
}
