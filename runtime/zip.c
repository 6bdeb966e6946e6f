#define _GNU_SOURCE
#include "runtime/zip.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  END_SIG = 0x06054b50, END_BYTES = 22, END64_SIG = 0x06064b50, END64_BYTES = 56,
  LOCATOR_SIG = 0x07064b50, LOCATOR_BYTES = 20, ENTRY_SIG = 0x02014b50, ENTRY_BYTES = 46,
  LOCAL_SIG = 0x04034b50, LOCAL_BYTES = 30, COMMENT_MAX = 65535,
};
#define DIRECTORY_MAX (256ull << 20)  // no artifact comes near; a damaged length must not eat the memory

static uint32_t u16_at(const char *p) { return (uint32_t)(unsigned char)p[0] | (uint32_t)(unsigned char)p[1] << 8; }
static uint32_t u32_at(const char *p) { return u16_at(p) | u16_at(p + 2) << 16; }
static uint64_t u64_at(const char *p) { return u32_at(p) | (uint64_t)u32_at(p + 4) << 32; }

fst_status fst_fd_read_at(int fd, const char *name, void *to, uint64_t bytes, uint64_t offset) {
  char *at = to;
  while (bytes) {
    ssize_t got = pread(fd, at, bytes > (1u << 30) ? 1u << 30 : bytes, (off_t)offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FST_FAIL(FST_ERR_IO, "%s: cannot read: %s", name, strerror(errno));
    if (got == 0) return FST_FAIL(FST_ERR_CORRUPT, "%s: the file is cut short", name);
    at += got;
    offset += (uint64_t)got;
    bytes -= (uint64_t)got;
  }
  return NULL;
}

static fst_status damaged(const fst_zip *zip, const char *what) {
  return FST_FAIL(FST_ERR_CORRUPT, "%s: not a zip file, or a damaged one (%s)", zip->name, what);
}

// Where the central directory lies, from the record at the end of the file.
static fst_status directory_locate(const fst_zip *zip, uint64_t *out_offset, uint64_t *out_bytes) {
  uint64_t tail_bytes = zip->file_bytes < END_BYTES + COMMENT_MAX + LOCATOR_BYTES ? zip->file_bytes : END_BYTES + COMMENT_MAX + LOCATOR_BYTES;
  if (tail_bytes < END_BYTES) return damaged(zip, "too short");
  char *tail = malloc(tail_bytes);
  if (!tail) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  fst_status status = fst_fd_read_at(zip->fd, zip->name, tail, tail_bytes, zip->file_bytes - tail_bytes);
  uint64_t at = tail_bytes - END_BYTES;
  while (!status && at && !(u32_at(tail + at) == END_SIG && u16_at(tail + at + 20) == tail_bytes - END_BYTES - at)) at--;
  if (!status && u32_at(tail + at) != END_SIG) status = damaged(zip, "no directory at its end");
  char end64[END64_BYTES];
  bool is_64 = !status && at >= LOCATOR_BYTES && u32_at(tail + at - LOCATOR_BYTES) == LOCATOR_SIG;
  if (!status) {
    *out_bytes = u32_at(tail + at + 12);
    *out_offset = u32_at(tail + at + 16);
  }
  if (is_64) {
    uint64_t where = u64_at(tail + at - LOCATOR_BYTES + 8);
    if (zip->file_bytes < END64_BYTES || where > zip->file_bytes - END64_BYTES) status = damaged(zip, "its directory lies outside");
    if (!status) status = fst_fd_read_at(zip->fd, zip->name, end64, END64_BYTES, where);
    if (!status && u32_at(end64) != END64_SIG) status = damaged(zip, "its directory record is wrong");
    if (!status) {
      *out_bytes = u64_at(end64 + 40);
      *out_offset = u64_at(end64 + 48);
    }
  }
  free(tail);
  return status;
}

fst_status fst_zip_open(int fd, const char *name, fst_zip *out) {
  struct stat info;
  if (fstat(fd, &info) != 0) return FST_FAIL(FST_ERR_IO, "%s: cannot read: %s", name, strerror(errno));
  fst_zip zip = {.fd = fd, .file_bytes = (uint64_t)info.st_size, .name = name};
  uint64_t offset = 0, bytes = 0;
  FST_TRY(directory_locate(&zip, &offset, &bytes));
  if (offset > zip.file_bytes || bytes > zip.file_bytes - offset || bytes > DIRECTORY_MAX) return damaged(&zip, "its directory lies outside");
  zip.directory = malloc(bytes + 1);
  if (!zip.directory) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  zip.directory_bytes = bytes;
  fst_status status = fst_fd_read_at(fd, name, zip.directory, bytes, offset);
  if (status) {
    fst_zip_deinit(&zip);
    return status;
  }
  *out = zip;
  return NULL;
}

void fst_zip_deinit(fst_zip *zip) {
  free(zip->directory);
  zip->directory = NULL;
}

// Sizes and offset that did not fit 32 bits stand in extra field 1, in this order, each only where needed.
static bool wide_read(const char *extra, uint64_t extra_bytes, uint64_t *full, uint64_t *packed, uint64_t *offset) {
  for (uint64_t at = 0; at + 4 <= extra_bytes;) {
    uint32_t id = u16_at(extra + at), len = u16_at(extra + at + 2);
    at += 4;
    if (len > extra_bytes - at) return false;
    if (id != 1) {
      at += len;
      continue;
    }
    uint64_t *wants[3] = {full, packed, offset};
    uint64_t from = at, end = at + len;
    for (int i = 0; i < 3; i++) {
      if (*wants[i] != UINT32_MAX) continue;
      if (end - from < 8) return false;
      *wants[i] = u64_at(extra + from);
      from += 8;
    }
    return true;
  }
  return true;
}

static fst_status member_locate(const fst_zip *zip, const char *member, const char *entry, uint64_t extra_bytes, fst_zip_member *out) {
  uint32_t flags = u16_at(entry + 8), method = u16_at(entry + 10), name_len = u16_at(entry + 28);
  uint64_t packed = u32_at(entry + 20), full = u32_at(entry + 24), offset = u32_at(entry + 42);
  if (!wide_read(entry + ENTRY_BYTES + name_len, extra_bytes, &full, &packed, &offset)) return damaged(zip, "a directory entry is wrong");
  if (method != 0 || full != packed || (flags & 1)) return FST_FAIL(FST_ERR_CORRUPT, "%s: member %s is compressed or encrypted, which an artifact's never are", zip->name, member);
  char local[LOCAL_BYTES];
  if (zip->file_bytes < LOCAL_BYTES || offset > zip->file_bytes - LOCAL_BYTES) return damaged(zip, "a member lies outside");
  FST_TRY(fst_fd_read_at(zip->fd, zip->name, local, LOCAL_BYTES, offset));
  if (u32_at(local) != LOCAL_SIG) return damaged(zip, "a member's header is wrong");
  uint64_t data = offset + LOCAL_BYTES + u16_at(local + 26) + u16_at(local + 28);
  if (data > zip->file_bytes || full > zip->file_bytes - data) return damaged(zip, "a member lies outside");
  *out = (fst_zip_member){data, full};
  return NULL;
}

fst_status fst_zip_find(const fst_zip *zip, const char *member, fst_zip_member *out) {
  size_t want = strlen(member);
  uint64_t at = 0, end = zip->directory_bytes;
  while (end - at >= ENTRY_BYTES) {
    const char *entry = zip->directory + at;
    if (u32_at(entry) != ENTRY_SIG) return damaged(zip, "its directory is wrong");
    uint64_t name_len = u16_at(entry + 28), extra = u16_at(entry + 30), comment = u16_at(entry + 32);
    uint64_t total = ENTRY_BYTES + name_len + extra + comment;
    if (total > end - at) return damaged(zip, "its directory is cut short");
    if (name_len == want && memcmp(entry + ENTRY_BYTES, member, want) == 0) return member_locate(zip, member, entry, extra, out);
    at += total;
  }
  return FST_FAIL(FST_ERR_NOT_FOUND, "%s: no member %s", zip->name, member);
}
