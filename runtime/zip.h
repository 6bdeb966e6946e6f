// The directory of a zip file whose members are stored: where each one's bytes lie in the file. Everything
// read is checked against the file's size; compressed, encrypted and split members are refused by name.
#ifndef FST_RUNTIME_ZIP_H
#define FST_RUNTIME_ZIP_H

#include <stdint.h>

#include "base/status.h"

typedef struct fst_zip {
  int fd;              // borrowed
  uint64_t file_bytes;
  const char *name;    // for messages; borrowed
  char *directory;     // the central directory, read once
  uint64_t directory_bytes;
} fst_zip;

typedef struct fst_zip_member { uint64_t offset, bytes; } fst_zip_member;

// FST_ERR_CORRUPT when it is no zip file, or a damaged one.
fst_status fst_zip_open(int fd, const char *name, fst_zip *out);
void fst_zip_deinit(fst_zip *zip);
// FST_ERR_NOT_FOUND when there is no such member.
fst_status fst_zip_find(const fst_zip *zip, const char *member, fst_zip_member *out);

// Reads exactly `bytes` at `offset`; a shorter file is FST_ERR_CORRUPT.
fst_status fst_fd_read_at(int fd, const char *name, void *to, uint64_t bytes, uint64_t offset);

#endif
