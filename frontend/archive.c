#include "frontend/archive.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "base/file.h"

// What a TorchScript archive holds, all under one folder: data.pkl, code/, and a format version.
typedef struct {
  bool data, code, version, constants;
  bool exported;     // models/*.json or *.pt2's own marks: torch.export
  bool flat;         // data.pkl at the top: made by unpacking and zipping again
} archive_members;

static bool has_suffix(const char *text, const char *suffix) {
  size_t a = strlen(text), b = strlen(suffix);
  return a >= b && !strcmp(text + a - b, suffix);
}

static void member_note(archive_members *m, const char *name) {
  const char *inner = strchr(name, '/');
  if (!inner) {
    m->flat |= !strcmp(name, "data.pkl");
    return;
  }
  inner++;
  m->data |= !strcmp(inner, "data.pkl");
  m->code |= !strncmp(inner, "code/", 5) && has_suffix(inner, ".py");
  m->version |= !strcmp(inner, "version") || !strcmp(inner, ".data/version");
  m->constants |= !strcmp(inner, "constants.pkl");
  m->exported |= !strncmp(inner, "models/", 7) || !strcmp(inner, "serialized_exported_program.json");
}

static fst_status members_check(const archive_members *m, const char *path) {
  if (m->data && m->code && m->version) return NULL;
  if (m->exported) return FST_FAIL(FST_ERR_UNSUPPORTED, "%s is a torch.export package, not a TorchScript archive", path);
  if (m->data && !m->code && !m->constants)
    return FST_FAIL(FST_ERR_UNSUPPORTED, "%s holds weights only (torch.save), not a TorchScript archive: save the model with torch.jit.save", path);
  if (m->flat) return FST_FAIL(FST_ERR_CORRUPT, "%s is not a TorchScript archive: its members must lie in one folder", path);
  return FST_FAIL(FST_ERR_CORRUPT, "%s is a zip file but not a TorchScript archive: it has no %s", path, !m->data ? "data.pkl" : !m->code ? "code/" : "version");
}

static fst_status zip_check(zip_t *zip, const char *path) {
  archive_members members = {0};
  zip_int64_t count = zip_get_num_entries(zip, 0);
  for (zip_int64_t i = 0; i < count; i++) {
    const char *name = zip_get_name(zip, (zip_uint64_t)i, 0);
    if (!name) return FST_FAIL(FST_ERR_CORRUPT, "%s: its directory is damaged", path);
    member_note(&members, name);
  }
  return members_check(&members, path);
}

// A zip's directory is at its end, so what begins like one but cannot be opened has lost its tail.
static fst_status open_failed(int code, const char *path) {
  fst_mapping bytes = {0};
  FST_TRY(fst_file_map(path, &bytes));
  bool begins = bytes.size >= 4 && !memcmp(bytes.data, "PK\3\4", 4);
  bool is_empty = bytes.size == 0;
  fst_mapping_deinit(&bytes);
  if (is_empty) return FST_FAIL(FST_ERR_CORRUPT, "%s is empty", path);
  if (begins && code == ZIP_ER_NOZIP) return FST_FAIL(FST_ERR_CORRUPT, "%s is truncated: it begins like an archive but its directory is missing", path);
  if (begins) return FST_FAIL(FST_ERR_CORRUPT, "%s is damaged: its directory is not consistent", path);
  return FST_FAIL(FST_ERR_CORRUPT, "%s is not a TorchScript archive: it is not a zip file", path);
}

fst_status fst_archive_check(const char *path) {
  if (fst_file_is_directory(path)) return FST_FAIL(FST_ERR_INVALID, "%s is a directory, not an archive", path);
  if (!fst_file_exists(path)) return FST_FAIL(FST_ERR_NOT_FOUND, "%s: no such file", path);
  int code = 0;
  zip_t *zip = zip_open(path, ZIP_RDONLY, &code);
  if (!zip) return open_failed(code, path);
  fst_status status = zip_check(zip, path);
  zip_discard(zip);
  return status;
}
