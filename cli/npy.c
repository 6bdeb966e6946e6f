#define _GNU_SOURCE  // memmem, strndup
#include "cli/npy.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "runtime/zip.h"

// ---- .npy ------------------------------------------------------------------------------------------
// "\x93NUMPY", version, length of the header (2 bytes in version 1, else 4), the header: a Python dict literal.

static const struct { const char *code; fst_dtype dtype; } descriptions[] = {
    {"|b1", FST_BOOL}, {"|u1", FST_U8}, {"|i1", FST_I8}, {"<i2", FST_I16}, {"<i4", FST_I32}, {"<i8", FST_I64},
    {"<f2", FST_F16}, {"<f4", FST_F32}, {"<f8", FST_F64}, {"<c8", FST_C64}, {"<c16", FST_C128},
};
enum { DESCRIPTION_COUNT = sizeof descriptions / sizeof *descriptions };

static fst_status malformed(const char *path, const char *what) { return FST_FAIL(FST_ERR_CORRUPT, "'%s' is not a numpy array file: %s", path, what); }

// The text after `'key':`, without blanks; NULL when absent.
static const char *header_value(const char *header, const char *key) {
  const char *at = strstr(header, key);
  if (!at) return NULL;
  at += strlen(key);
  at += strspn(at, "' :");
  return at;
}

static fst_status dtype_read(const char *path, const char *header, fst_dtype *out) {
  const char *at = header_value(header, "'descr'");
  if (!at) return malformed(path, "its header has no 'descr'");
  size_t len = strcspn(at, "'");
  for (int i = 0; i < DESCRIPTION_COUNT; i++) {
    if (strlen(descriptions[i].code) != len || memcmp(descriptions[i].code, at, len) != 0) continue;
    *out = descriptions[i].dtype;
    return NULL;
  }
  return FST_FAIL(FST_ERR_UNSUPPORTED, "'%s' holds elements of type '%.*s', which are not supported", path, (int)len, at);
}

static fst_status shape_read(const char *path, const char *header, fst_npy *out) {
  const char *at = header_value(header, "'shape'");
  if (!at || *at++ != '(') return malformed(path, "its header has no 'shape'");
  while (at[strspn(at, " ,")] != ')') {
    at += strspn(at, " ,");
    char *end;
    long long size = strtoll(at, &end, 10);
    if (end == at || size < 0) return malformed(path, "its shape is wrong");
    if (out->rank == FST_NPY_RANK_MAX) return FST_FAIL(FST_ERR_UNSUPPORTED, "'%s' has more than %d dimensions", path, FST_NPY_RANK_MAX);
    out->sizes[out->rank++] = size;
    at = end;
  }
  return NULL;
}

static bool strides_fill(fst_npy *a, bool is_fortran) {
  int64_t stride = 1;
  for (int k = 0; k < a->rank; k++) {
    int d = is_fortran ? k : a->rank - 1 - k;
    a->strides[d] = stride;
    if (__builtin_mul_overflow(stride, a->sizes[d], &stride)) return false;
  }
  return !__builtin_mul_overflow(stride, (int64_t)fst_dtype_size(a->dtype), &a->bytes);
}

// *out_used: how many of the bytes were this array's.
static fst_status array_parse(const char *path, const char *bytes, size_t len, fst_npy *out, size_t *out_used) {
  if (len < 12 || memcmp(bytes, "\x93NUMPY", 6) != 0) return malformed(path, "it does not begin like one");
  bool is_long = bytes[6] > 1;
  size_t start = is_long ? 12 : 10;
  size_t header_len = (unsigned char)bytes[8] | (size_t)(unsigned char)bytes[9] << 8;
  if (is_long) header_len |= (size_t)(unsigned char)bytes[10] << 16 | (size_t)(unsigned char)bytes[11] << 24;
  if (header_len > len - start) return malformed(path, "its header is cut short");
  char *header = strndup(bytes + start, header_len);
  if (!header) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  fst_status status = dtype_read(path, header, &out->dtype);
  if (!status) status = shape_read(path, header, out);
  const char *order = header_value(header, "'fortran_order'");
  bool fits = !status && strides_fill(out, order && *order == 'T');
  free(header);
  if (status) return status;
  if (!fits || (uint64_t)out->bytes > len - start - header_len) return malformed(path, "it is shorter than its shape says");
  out->data = aligned_alloc(64, ((size_t)out->bytes + 64) & ~(size_t)63);
  if (!out->data) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  if (out->bytes) memcpy(out->data, bytes + start + header_len, (size_t)out->bytes);
  *out_used = start + header_len + (size_t)out->bytes;
  return NULL;
}

static fst_status array_make(const char *path, const char *name, const char *bytes, size_t len, fst_npy *out, size_t *out_used) {
  fst_npy array = {.name = strdup(name)};
  fst_status status = array.name ? array_parse(path, bytes, len, &array, out_used) : FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  if (status) fst_npy_deinit(&array);
  else *out = array;
  return status;
}

fst_status fst_npy_read(const char *path, fst_npy *out) {
  fst_mapping file;
  size_t used;
  FST_TRY(fst_file_map(path, &file));
  fst_status status = array_make(path, "", file.data, file.size, out, &used);
  fst_mapping_deinit(&file);
  return status;
}

fst_status fst_npy_sequence_read(const char *path, fst_npy_list *out) {
  fst_mapping file;
  FST_TRY(fst_file_map(path, &file));
  fst_npy_list made = {0};
  fst_status status = NULL;
  for (size_t at = 0, used = 0; at < file.size && !status; at += used) {
    fst_npy array;
    status = array_make(path, "", file.data + at, file.size - at, &array, &used);
    if (!status) fst_vec_push(&made, array);
  }
  fst_mapping_deinit(&file);
  if (status) fst_npy_list_deinit(&made);
  else *out = made;
  return status;
}

// ---- .npz ------------------------------------------------------------------------------------------

static fst_status member_read(const char *path, const fst_zip *zip, const char *member, fst_npy_list *out) {
  fst_zip_member where;
  FST_TRY(fst_error_prefix(fst_zip_find(zip, member, &where), "(arrays must be written by np.savez, not savez_compressed)"));
  char *bytes = malloc(where.bytes + 1);
  if (!bytes) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  fst_npy array;
  size_t used;
  fst_status status = fst_fd_read_at(zip->fd, path, bytes, where.bytes, where.offset);
  char name[256];
  size_t len = strlen(member);
  memcpy(name, member, len + 1);
  if (len > 4 && !strcmp(name + len - 4, ".npy")) name[len - 4] = 0;
  if (!status) status = array_make(path, name, bytes, where.bytes, &array, &used);
  free(bytes);
  if (!status) fst_vec_push(out, array);
  return status;
}

// The names in a central directory: entries of 46 bytes, then name, extra field and comment.
static fst_status members_read(const char *path, const fst_zip *zip, fst_npy_list *out) {
  const unsigned char *d = (const unsigned char *)zip->directory;
  for (uint64_t at = 0; at + 46 <= zip->directory_bytes && !memcmp(d + at, "PK\1\2", 4);) {
    uint64_t name_len = d[at + 28] | d[at + 29] << 8, rest = (d[at + 30] | d[at + 31] << 8) + (d[at + 32] | d[at + 33] << 8);
    char name[256];
    if (name_len >= sizeof name || name_len > zip->directory_bytes - at - 46) return malformed(path, "a member's name is too long");
    memcpy(name, d + at + 46, name_len);
    name[name_len] = 0;
    FST_TRY(member_read(path, zip, name, out));
    at += 46 + name_len + rest;
  }
  return NULL;
}

fst_status fst_npz_read(const char *path, fst_npy_list *out) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FST_FAIL(FST_ERR_NOT_FOUND, "cannot open '%s'", path);
  fst_zip zip;
  fst_status status = fst_zip_open(fd, path, &zip);
  fst_npy_list made = {0};
  if (!status) {
    status = members_read(path, &zip, &made);
    fst_zip_deinit(&zip);
  }
  close(fd);
  if (status) fst_npy_list_deinit(&made);
  else *out = made;
  return status;
}

void fst_npy_deinit(fst_npy *array) {
  free(array->name);
  free(array->data);
  *array = (fst_npy){0};
}

void fst_npy_list_deinit(fst_npy_list *list) {
  for (size_t i = 0; i < list->len; i++) fst_npy_deinit(&list->data[i]);
  fst_vec_free(list);
}

// ---- writing ---------------------------------------------------------------------------------------

fst_status fst_npy_print(fst_dtype dtype, size_t rank, const int64_t *sizes, const void *data, size_t bytes, fst_text *out) {
  const char *code = NULL;
  for (int i = 0; i < DESCRIPTION_COUNT; i++)
    if (descriptions[i].dtype == dtype) code = descriptions[i].code;
  if (!code) return FST_FAIL(FST_ERR_UNSUPPORTED, "numpy has no element type for %s", fst_dtype_name(dtype));
  fst_text header = {0};
  fst_text_printf(&header, "{'descr': '%s', 'fortran_order': False, 'shape': (", code);
  for (size_t i = 0; i < rank; i++) fst_text_printf(&header, "%lld,", (long long)sizes[i]);
  fst_text_puts(&header, "), }");
  while ((10 + header.len + 1) % 64) fst_text_putc(&header, ' ');  // numpy wants the data aligned
  fst_text_putc(&header, '\n');
  fst_text_append(out, "\x93NUMPY\1\0", 8);
  fst_text_putc(out, (char)(header.len & 255));
  fst_text_putc(out, (char)(header.len >> 8));
  fst_text_append(out, header.data, header.len);
  fst_text_append(out, data, bytes);
  fst_text_deinit(&header);
  return NULL;
}
