#define _GNU_SOURCE  // memfd_create
#include "neuropod/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dtype.h"
#include "base/file.h"

#define MAGIC 0x31444f5050545346ull
enum { RANK_MAX = 64, ALIGN = 64, STRINGS = -1 };

typedef struct wire_header { uint64_t magic, count, bytes; } wire_header;
// Offsets from the start of the file.
typedef struct wire_item {
  uint64_t name, name_len;  // a NUL follows the name
  int64_t dtype;            // or STRINGS: for each a 64-bit length, then the bytes
  uint64_t rank;
  int64_t sizes[RANK_MAX];  // of tensors; sizes[0] of strings
  uint64_t data, data_len;
} wire_item;

// ---- writing ---------------------------------------------------------------------------------------

static uint64_t tensor_bytes(const fst_var *tensor) {
  uint64_t count = fst_dtype_size((fst_dtype)fst_var_dtype(tensor));
  for (size_t d = 0; d < fst_var_rank(tensor); d++) count *= (uint64_t)fst_var_sizes(tensor)[d];
  return count;
}

static uint64_t strings_bytes(const fst_var *list) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < fst_var_count(list); i++) {
    fst_var *text = fst_var_item(list, i);
    size_t len;
    fst_var_as_str(text, &len);
    bytes += sizeof(uint64_t) + len;
    fst_var_free(text);
  }
  return bytes;
}

// Row-major, whatever the strides.
static void tensor_copy(const fst_var *tensor, char *to) {
  size_t rank = fst_var_rank(tensor), width = fst_dtype_size((fst_dtype)fst_var_dtype(tensor));
  const int64_t *sizes = fst_var_sizes(tensor), *strides = fst_var_strides(tensor);
  const char *from = fst_var_data(tensor);
  int64_t index[RANK_MAX] = {0}, expected = 1;
  bool whole = true;
  for (size_t d = rank; d-- > 0; expected *= sizes[d]) whole &= sizes[d] == 1 || strides[d] == expected;
  uint64_t bytes = tensor_bytes(tensor);
  if (!bytes) return;
  if (whole) {
    memcpy(to, from, bytes);
    return;
  }
  for (;; to += width) {
    int64_t at = 0;
    for (size_t d = 0; d < rank; d++) at += index[d] * strides[d];
    memcpy(to, from + at * (int64_t)width, width);
    size_t d = rank;
    while (d && ++index[d - 1] == sizes[d - 1]) index[--d] = 0;
    if (!d) return;
  }
}

static void strings_copy(const fst_var *list, char *to) {
  for (size_t i = 0; i < fst_var_count(list); i++) {
    fst_var *text = fst_var_item(list, i);
    size_t len;
    const char *bytes = fst_var_as_str(text, &len);
    uint64_t wide = len;
    memcpy(to, &wide, sizeof wide);
    memcpy(to + sizeof wide, bytes, len);
    to += sizeof wide + len;
    fst_var_free(text);
  }
}

static fst_status item_plan(const char *name, const fst_var *value, uint64_t *at, wire_item *out) {
  *out = (wire_item){.name = *at, .name_len = strlen(name)};
  int kind = fst_var_kind(value);
  if (kind == FST_VAR_TENSOR) {
    out->dtype = fst_var_dtype(value);
    out->rank = fst_var_rank(value);
    memcpy(out->sizes, fst_var_sizes(value), out->rank * sizeof *out->sizes);
    out->data_len = tensor_bytes(value);
  } else if (kind == FST_VAR_LIST) {
    out->dtype = STRINGS;
    out->rank = 1;
    out->sizes[0] = (int64_t)fst_var_count(value);
    out->data_len = strings_bytes(value);
  } else {
    return FST_FAIL(FST_ERR_INVALID, "'%s' is neither a tensor nor a list of strings", name);
  }
  out->data = (*at + out->name_len + 1 + ALIGN - 1) / ALIGN * ALIGN;
  *at = out->data + out->data_len;
  return NULL;
}

static void file_fill(char *map, const wire_item *items, const char *const *names, const fst_var *const *values, size_t count, uint64_t bytes) {
  wire_header header = {MAGIC, count, bytes};
  memcpy(map, &header, sizeof header);
  if (count) memcpy(map + sizeof header, items, count * sizeof *items);
  for (size_t i = 0; i < count; i++) {
    memcpy(map + items[i].name, names[i], items[i].name_len + 1);
    if (items[i].dtype == STRINGS) strings_copy(values[i], map + items[i].data);
    else tensor_copy(values[i], map + items[i].data);
  }
}

fst_status fst_wire_write(const char *const *names, const fst_var *const *values, size_t count, int *out_fd) {
  wire_item *items = malloc((count + 1) * sizeof *items);
  if (!items) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  uint64_t bytes = sizeof(wire_header) + count * sizeof *items;
  fst_status status = NULL;
  for (size_t i = 0; i < count && !status; i++) status = item_plan(names[i], values[i], &bytes, &items[i]);
  int fd = -1;
  if (!status && (fd = memfd_create("firesteel-tensors", MFD_CLOEXEC | MFD_ALLOW_SEALING)) < 0) status = fst_errno_status(errno, "cannot make", "a memory file");
  if (!status && ftruncate(fd, (off_t)bytes) != 0) status = fst_errno_status(errno, "cannot make", "a memory file");
  char *map = status ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (!status && map == MAP_FAILED) status = fst_errno_status(errno, "cannot map", "a memory file");
  if (!status) {
    file_fill(map, items, names, values, count, bytes);
    munmap(map, bytes);
    *out_fd = fd;
  } else if (fd >= 0) {
    close(fd);
  }
  free(items);
  return status;
}

// ---- reading ---------------------------------------------------------------------------------------

// A mapping that tensors share.
typedef struct mapping { char *data; uint64_t bytes; uint32_t refs; } mapping;

static void mapping_release(void *owner) {
  mapping *m = owner;
  if (__atomic_sub_fetch(&m->refs, 1, __ATOMIC_ACQ_REL)) return;
  munmap(m->data, m->bytes);
  free(m);
}

static fst_status damaged(void) { return FST_FAIL(FST_ERR_CORRUPT, "tensors from another process are damaged"); }

static bool within(const mapping *m, uint64_t at, uint64_t len) { return at <= m->bytes && len <= m->bytes - at; }

static fst_status strings_read(const mapping *m, const wire_item *item, fst_var **out) {
  fst_var *list = fst_var_list();
  const char *at = m->data + item->data, *end = at + item->data_len;
  bool ok = list != NULL, intact = true;
  for (int64_t i = 0; ok && intact && i < item->sizes[0]; i++) {
    uint64_t len = 0;
    intact = (size_t)(end - at) >= sizeof len;
    if (intact) memcpy(&len, at, sizeof len);
    intact = intact && len <= (size_t)(end - at) - sizeof len;
    if (!intact) break;
    fst_var *text = fst_var_str(at + sizeof len, len);
    ok = text && fst_var_list_add(list, text);
    fst_var_free(text);
    at += sizeof len + len;
  }
  if (ok && intact) {
    *out = list;
    return NULL;
  }
  fst_var_free(list);
  return intact ? FST_FAIL(FST_ERR_RESOURCE, "out of memory") : damaged();
}

static fst_status tensor_read(mapping *m, const wire_item *item, fst_var **out) {
  size_t width = item->dtype >= 0 && item->dtype < 127 ? fst_dtype_size((fst_dtype)item->dtype) : 0;
  uint64_t bytes = width;
  for (uint64_t d = 0; d < item->rank; d++)
    if (item->sizes[d] < 0 || __builtin_mul_overflow(bytes, (uint64_t)item->sizes[d], &bytes)) return damaged();
  if (!width || bytes != item->data_len || item->data % ALIGN) return damaged();
  __atomic_add_fetch(&m->refs, 1, __ATOMIC_RELAXED);
  fst_failure *failure = fst_var_tensor((int)item->dtype, item->rank, item->sizes, NULL, m->data + item->data, mapping_release, m, out);
  if (!failure) return NULL;
  mapping_release(m);
  fst_status status = FST_FAIL((fst_code)fst_failure_code(failure), "%s", fst_failure_message(failure));
  fst_failure_free(failure);
  return status;
}

static fst_status item_read(mapping *m, uint64_t number, fst_var *dict) {
  wire_item item;
  memcpy(&item, m->data + sizeof(wire_header) + number * sizeof item, sizeof item);
  if (item.rank > RANK_MAX || !within(m, item.name, item.name_len) || !within(m, item.data, item.data_len) || (item.dtype == STRINGS && (item.rank != 1 || item.sizes[0] < 0))) return damaged();
  fst_var *value, *name = fst_var_str(m->data + item.name, item.name_len);
  fst_status status = !name ? FST_FAIL(FST_ERR_RESOURCE, "out of memory") : item.dtype == STRINGS ? strings_read(m, &item, &value) : tensor_read(m, &item, &value);
  if (!status) {
    if (!fst_var_dict_set(dict, name, value)) status = FST_FAIL(FST_ERR_RESOURCE, "out of memory");
    fst_var_free(value);
  }
  fst_var_free(name);
  return status;
}

fst_status fst_wire_read(int fd, fst_var **out) {
  struct stat info;
  // Sealed first: a file that shrinks under its mapping would be a crash here.
  (void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
  if (fstat(fd, &info) != 0 || info.st_size < (off_t)sizeof(wire_header)) return damaged();
  mapping *m = malloc(sizeof *m);
  if (!m) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  *m = (mapping){mmap(NULL, (size_t)info.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0), (uint64_t)info.st_size, 1};
  if (m->data == MAP_FAILED) {
    free(m);
    return fst_errno_status(errno, "cannot map", "tensors from another process");
  }
  wire_header header;
  memcpy(&header, m->data, sizeof header);
  bool intact = header.magic == MAGIC && header.bytes == m->bytes && header.count <= (m->bytes - sizeof header) / sizeof(wire_item);
  fst_status status = intact ? NULL : damaged();
  fst_var *dict = status ? NULL : fst_var_dict();
  if (!status && !dict) status = FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  for (uint64_t i = 0; i < header.count && !status; i++) status = item_read(m, i, dict);
  mapping_release(m);
  if (status) fst_var_free(dict);
  else *out = dict;
  return status;
}
