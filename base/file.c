#define _GNU_SOURCE  // asprintf, O_CLOEXEC
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

fst_status fst_errno_status(int error, const char *what, const char *path) {
  switch (error) {
    case ENOENT: return FST_FAIL(FST_ERR_NOT_FOUND, "%s '%s': no such file or directory", what, path);
    case ENOTDIR: return FST_FAIL(FST_ERR_NOT_FOUND, "%s '%s': a part of the path is not a directory", what, path);
    case EISDIR: return FST_FAIL(FST_ERR_INVALID, "%s '%s': it is a directory", what, path);
    case ENOSPC:
    case EDQUOT: return FST_FAIL(FST_ERR_RESOURCE, "%s '%s': the disk is full", what, path);
    case EFBIG: return FST_FAIL(FST_ERR_RESOURCE, "%s '%s': larger than the limit on file sizes", what, path);
    case ENOMEM: return FST_FAIL(FST_ERR_RESOURCE, "%s '%s': out of memory", what, path);
    default: return FST_FAIL(FST_ERR_IO, "%s '%s': %s", what, path, strerror(error));
  }
}

// ---- reading ---------------------------------------------------------------------------------------

static fst_status file_open(const char *path, int *out_fd, struct stat *out_stat) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fst_errno_status(errno, "cannot open", path);
  fst_status status = NULL;
  if (fstat(fd, out_stat) != 0) status = fst_errno_status(errno, "cannot open", path);
  else if (S_ISDIR(out_stat->st_mode)) status = fst_errno_status(EISDIR, "cannot open", path);
  if (status) close(fd);
  else *out_fd = fd;
  return status;
}

fst_status fst_file_map_fd(int fd, const char *name, fst_mapping *out) {
  struct stat info;
  if (fstat(fd, &info) != 0) return fst_errno_status(errno, "cannot map", name);
  if (!S_ISREG(info.st_mode)) return FST_FAIL(FST_ERR_INVALID, "cannot map '%s': it is not a regular file", name);
  if (info.st_size == 0) {
    *out = (fst_mapping){"", 0};
    return NULL;
  }
  void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED) return fst_errno_status(errno, "cannot map", name);
  *out = (fst_mapping){data, (size_t)info.st_size};
  return NULL;
}

fst_status fst_file_map(const char *path, fst_mapping *out) {
  int fd;
  struct stat info;
  FST_TRY(file_open(path, &fd, &info));
  fst_status status = fst_file_map_fd(fd, path, out);
  close(fd);
  return status;
}

void fst_mapping_deinit(fst_mapping *mapping) {
  if (mapping->size) munmap((void *)mapping->data, mapping->size);
  *mapping = (fst_mapping){0};
}

static fst_status fd_read_all(int fd, const char *path, size_t expected, char **out_bytes, size_t *out_len) {
  size_t cap = expected + 1, len = 0;
  char *bytes = malloc(cap + 1);
  while (bytes) {
    if (len == cap) {
      char *grown = realloc(bytes, cap * 2 + 1);
      if (!grown) break;
      bytes = grown;
      cap *= 2;
    }
    ssize_t got = read(fd, bytes + len, cap - len);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      int error = errno;
      free(bytes);
      return fst_errno_status(error, "cannot read", path);
    }
    len += (size_t)got;
    if (got > 0) continue;
    bytes[len] = 0;
    *out_bytes = bytes;
    *out_len = len;
    return NULL;
  }
  free(bytes);
  return fst_errno_status(ENOMEM, "cannot read", path);
}

fst_status fst_file_read(const char *path, char **out_bytes, size_t *out_len) {
  int fd;
  struct stat info;
  FST_TRY(file_open(path, &fd, &info));
  fst_status status = fd_read_all(fd, path, info.st_size > 0 ? (size_t)info.st_size : 4096, out_bytes, out_len);
  close(fd);
  return status;
}

// ---- writing ---------------------------------------------------------------------------------------

fst_status fst_fd_write(int fd, const char *name, const void *bytes, size_t len) {
  const char *at = bytes;
  while (len) {
    ssize_t put = write(fd, at, len);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fst_errno_status(errno, "cannot write", name);
    at += put;
    len -= (size_t)put;
  }
  return NULL;
}

static void writer_end(fst_file_writer *writer) {
  if (writer->fd >= 0) close(writer->fd);
  free(writer->path);
  free(writer->temporary);
  *writer = (fst_file_writer){.fd = -1};
}

void fst_file_writer_abandon(fst_file_writer *writer) {
  if (writer->temporary) unlink(writer->temporary);
  writer_end(writer);
}

// The permissions a plain open(O_CREAT) would give, which mkstemp withholds. umask can only be read by
// setting it; no other thread of a compiler or command creates files at that moment.
static mode_t creation_mode(void) {
  mode_t mask = umask(022);
  umask(mask);
  return 0666 & ~mask;
}

fst_status fst_file_writer_begin(fst_file_writer *writer, const char *path) {
  *writer = (fst_file_writer){.fd = -1};
  struct stat info;
  bool exists = stat(path, &info) == 0;
  if (exists && S_ISDIR(info.st_mode)) return fst_errno_status(EISDIR, "cannot write", path);
  bool in_place = exists && !S_ISREG(info.st_mode);  // a device or a pipe: must not be replaced by a file
  writer->path = strdup(path);
  if (in_place || asprintf(&writer->temporary, "%s.XXXXXX", path) < 0) writer->temporary = NULL;
  if (!writer->path || (!in_place && !writer->temporary)) {
    writer_end(writer);
    return fst_errno_status(ENOMEM, "cannot write", path);
  }
  writer->fd = in_place ? open(path, O_WRONLY | O_CLOEXEC) : mkostemp(writer->temporary, O_CLOEXEC);
  if (writer->fd < 0) {
    int error = errno;
    writer_end(writer);
    return fst_errno_status(error, "cannot write", path);
  }
  return NULL;
}

fst_status fst_file_writer_write(fst_file_writer *writer, const void *bytes, size_t len) {
  return fst_fd_write(writer->fd, writer->path, bytes, len);
}

// Without this a crash after the rename could bring back the old name. Not all file systems can do it,
// and the data itself is safe by now, so failure is not an error.
static void directory_sync(const char *path) {
  char *copy = strdup(path);
  if (!copy) return;
  int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  free(copy);
  if (fd < 0) return;
  (void)fsync(fd);
  close(fd);
}

fst_status fst_file_writer_commit(fst_file_writer *writer) {
  int error = 0;
  bool in_place = !writer->temporary;
  if (!in_place && (fchmod(writer->fd, creation_mode()) != 0 || fsync(writer->fd) != 0)) error = errno;
  if (close(writer->fd) != 0 && !error) error = errno;
  writer->fd = -1;
  if (!error && !in_place && rename(writer->temporary, writer->path) != 0) error = errno;
  if (error) {
    fst_status status = fst_errno_status(error, "cannot write", writer->path);
    fst_file_writer_abandon(writer);
    return status;
  }
  if (!in_place) directory_sync(writer->path);
  writer_end(writer);
  return NULL;
}

fst_status fst_file_write_atomic(const char *path, const void *bytes, size_t len) {
  fst_file_writer writer;
  FST_TRY(fst_file_writer_begin(&writer, path));
  fst_status status = fst_file_writer_write(&writer, bytes, len);
  if (!status) return fst_file_writer_commit(&writer);
  fst_file_writer_abandon(&writer);
  return status;
}

// ---- asking ----------------------------------------------------------------------------------------

bool fst_file_is_directory(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool fst_file_exists(const char *path) {
  struct stat info;
  return stat(path, &info) == 0;
}

const char *fst_path_base(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

static int entry_remove(const char *path, const struct stat *info, int kind, struct FTW *at) {
  (void)info;
  (void)kind;
  (void)at;
  remove(path);
  return 0;
}

void fst_file_remove_tree(const char *path) { nftw(path, entry_remove, 16, FTW_DEPTH | FTW_PHYS); }
