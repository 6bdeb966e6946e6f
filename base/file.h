// Files: mapped, read whole, and written so that nobody ever sees half of one.
#ifndef FST_BASE_FILE_H
#define FST_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

// A read-only mapping. An empty file has data "" and size 0. The file may be replaced (rename) while it is
// mapped; if another process truncates it, touching the lost pages raises SIGBUS.
typedef struct fst_mapping {
  const char *data;
  size_t size;
} fst_mapping;

fst_status fst_file_map(const char *path, fst_mapping *out);
fst_status fst_file_map_fd(int fd, const char *name, fst_mapping *out);  // `name` for messages; fd stays the caller's
void fst_mapping_deinit(fst_mapping *mapping);

// The whole file with a NUL after it; free() it. Works on pipes too.
fst_status fst_file_read(const char *path, char **out_bytes, size_t *out_len);

// A new file that takes its name only when it is complete: written beside its final place, synced, renamed.
// After a failure, or fst_file_writer_abandon, nothing is left and a file that was there before is untouched.
// A device or a pipe is written where it is.
typedef struct fst_file_writer {
  char *path;
  char *temporary;  // NULL: written in place
  int fd;
} fst_file_writer;
fst_status fst_file_writer_begin(fst_file_writer *writer, const char *path);
fst_status fst_file_writer_write(fst_file_writer *writer, const void *bytes, size_t len);
fst_status fst_file_writer_commit(fst_file_writer *writer);  // ends the writer, also when it fails
void fst_file_writer_abandon(fst_file_writer *writer);       // ends the writer; harmless on an ended one

fst_status fst_file_write_atomic(const char *path, const void *bytes, size_t len);

// Writes all bytes to a descriptor, going on after interruptions and short writes.
fst_status fst_fd_write(int fd, const char *name, const void *bytes, size_t len);

// A file, or a folder with all that is in it; what cannot be removed stays.
void fst_file_remove_tree(const char *path);

bool fst_file_is_directory(const char *path);
bool fst_file_exists(const char *path);
const char *fst_path_base(const char *path);  // after the last '/'

// A status for what errno says: `what` is "cannot write", `path` the file.
fst_status fst_errno_status(int error, const char *what, const char *path);

#endif
