#define _GNU_SOURCE  // memfd_create
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "driver/package.h"

static char path[64];
static int fd = -1;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
  if (fd < 0) {
    fd = memfd_create("package", 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  }
  if (ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) != 0) return 0;
  fst_error_free(fst_fd_write(fd, "package", bytes, len));
  fst_package package;
  fst_package_is(path);
  fst_status status = fst_package_open(path, &package);
  if (!status) fst_package_deinit(&package);
  fst_error_free(status);
  return 0;
}
