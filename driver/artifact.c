// Libzip writes members in order without gaps, so where each will lie can be computed before: a local header
// of 30 bytes, the name, our extra field, the bytes. The extra field carries the padding. What was
// computed is checked against the finished file.
#include "driver/artifact.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "base/vec.h"
#include "driver/zip_attributes.h"

enum {
  LOCAL_HEADER = 30, EXTRA_HEADER = 4, EXTRA_ID = 0x5346,  // "FS"
  EXTRA_MAX = 65535 - EXTRA_HEADER,
};
#define FILLER_NAME "0/compiled/filler"
#define LARGEST_FILE 0xf0000000u  // beyond, libzip adds 64-bit fields of its own

typedef struct placed { fst_member member; uint64_t header_at, padding; } placed;
typedef FST_VEC(placed) placement;

static uint64_t padding_for(uint64_t at, const fst_member *m) {
  if (m->align <= 1) return 0;
  uint64_t start = at + LOCAL_HEADER + strlen(m->name) + EXTRA_HEADER;
  return (m->align - start % m->align) % m->align;
}

static uint64_t place(placement *out, uint64_t at, const fst_member *m) {
  placed p = {*m, at, padding_for(at, m)};
  fst_vec_push(out, p);
  return at + LOCAL_HEADER + strlen(m->name) + (m->align > 1 ? EXTRA_HEADER + p.padding : 0) + m->len;
}

// A gap of nearly 64 KB does not fit an extra field: an empty member before it makes it smaller.
static uint64_t place_all(placement *out, const fst_member *members, size_t count) {
  static const fst_member filler = {FILLER_NAME, "", 0, 0};
  uint64_t at = 0;
  for (size_t i = 0; i < count; i++) {
    if (padding_for(at, &members[i]) > EXTRA_MAX) at = place(out, at, &filler);
    at = place(out, at, &members[i]);
  }
  return at;
}

static fst_status zip_failed(zip_t *zip, const char *what) {
  return FST_FAIL(FST_ERR_INTERNAL, "cannot write the artifact: %s: %s", what, zip_strerror(zip));
}

static fst_status member_add(zip_t *zip, const placed *p) {
  static const zip_uint8_t zeros[EXTRA_MAX];
  const fst_member *m = &p->member;
  zip_source_t *source = zip_source_buffer(zip, m->bytes, m->len, 0);
  if (!source) return zip_failed(zip, m->name);
  zip_int64_t at = zip_file_add(zip, m->name, source, ZIP_FL_ENC_UTF_8);
  if (at < 0) {
    zip_source_free(source);
    return zip_failed(zip, m->name);
  }
  zip_uint64_t index = (zip_uint64_t)at;
  bool ok = zip_set_file_compression(zip, index, ZIP_CM_STORE, 0) == 0 && zip_file_set_dostime(zip, index, 0, FST_ZIP_DATE, 0) == 0 &&
            zip_file_set_external_attributes(zip, index, 0, ZIP_OPSYS_UNIX, FST_ZIP_FILE_ATTRIBUTES) == 0;
  if (ok && m->align > 1)
    ok = zip_file_extra_field_set(zip, index, EXTRA_ID, ZIP_EXTRA_FIELD_NEW, zeros, (zip_uint16_t)p->padding, ZIP_FL_LOCAL) == 0;
  return ok ? NULL : zip_failed(zip, m->name);
}

static fst_status placement_check(const placement *placed_members, const char *bytes, size_t len) {
  for (size_t i = 0; i < placed_members->len; i++) {
    const placed *p = &placed_members->data[i];
    const unsigned char *header = (const unsigned char *)bytes + p->header_at;
    bool ok = p->header_at + LOCAL_HEADER <= len && !memcmp(header, "PK\3\4", 4);
    uint64_t start = ok ? p->header_at + LOCAL_HEADER + (header[26] | header[27] << 8) + (header[28] | header[29] << 8) : 0;
    ok = ok && (p->member.align <= 1 || start % p->member.align == 0) && start + p->member.len <= len;
    if (!ok) return FST_FAIL(FST_ERR_INTERNAL, "cannot write the artifact: libzip placed %s elsewhere", p->member.name);
  }
  return NULL;
}

static fst_status source_read(zip_source_t *source, void **out_bytes, size_t *out_len) {
  zip_stat_t info;
  if (zip_source_stat(source, &info) != 0 || !(info.valid & ZIP_STAT_SIZE) || zip_source_open(source) != 0)
    return FST_FAIL(FST_ERR_INTERNAL, "cannot write the artifact: libzip made no file");
  char *bytes = malloc(info.size + 1);
  zip_int64_t got = bytes ? zip_source_read(source, bytes, info.size) : -1;
  zip_source_close(source);
  if (got < 0 || (zip_uint64_t)got != info.size) {
    free(bytes);
    return FST_FAIL(FST_ERR_RESOURCE, "cannot write the artifact: out of memory");
  }
  *out_bytes = bytes;
  *out_len = (size_t)info.size;
  return NULL;
}

// `source` collects the file and survives the zip (it is kept by the caller).
static fst_status zip_fill(zip_source_t *source, const placement *placed_members) {
  zip_error_t error;
  zip_error_init(&error);
  zip_t *zip = zip_open_from_source(source, ZIP_TRUNCATE, &error);
  if (!zip) {
    fst_status status = FST_FAIL(FST_ERR_INTERNAL, "cannot write the artifact: %s", zip_error_strerror(&error));
    zip_error_fini(&error);
    return status;
  }
  zip_source_keep(source);
  fst_status status = NULL;
  for (size_t i = 0; i < placed_members->len && !status; i++) status = member_add(zip, &placed_members->data[i]);
  if (!status && zip_close(zip) != 0) status = zip_failed(zip, "closing");
  if (status) zip_discard(zip);
  return status;
}

fst_status fst_artifact_pack(const fst_member *members, size_t count, void **out_bytes, size_t *out_len) {
  placement placed_members = {0};
  if (place_all(&placed_members, members, count) > LARGEST_FILE) {
    fst_vec_free(&placed_members);
    return FST_FAIL(FST_ERR_UNSUPPORTED, "artifacts of 4 GB and more cannot be written yet");
  }
  void *bytes = NULL;
  size_t len = 0;
  zip_source_t *source = zip_source_buffer_create(NULL, 0, 0, NULL);
  fst_status status = source ? zip_fill(source, &placed_members) : FST_FAIL(FST_ERR_RESOURCE, "cannot write the artifact: out of memory");
  if (!status) status = source_read(source, &bytes, &len);
  if (!status) status = placement_check(&placed_members, bytes, len);
  if (source) zip_source_free(source);
  fst_vec_free(&placed_members);
  if (status) {
    free(bytes);
    return status;
  }
  *out_bytes = bytes;
  *out_len = len;
  return NULL;
}
