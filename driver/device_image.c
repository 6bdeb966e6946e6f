// NVRTC takes seconds for a large model, so what it made is kept: $XDG_CACHE_HOME/firesteel (~/.cache/firesteel), by a hash of
// the text, the architecture and NVRTC's version. A file there has a header that tells a damaged one; it is made again.
#include "driver/device_image.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/crc32c.h"
#include "base/file.h"
#include "base/map.h"
#include "codegen/cuda/nvrtc.h"

typedef struct arch_row {
  const char *arch, *file;
  uint32_t number;   // 0: the text
  bool is_ptx;
} arch_row;
static const arch_row archs[] = {
    {"sm_80", "sm_80.cubin", 80, false},   {"sm_86", "sm_86.cubin", 86, false},   {"sm_89", "sm_89.cubin", 89, false},         {"sm_90", "sm_90.cubin", 90, false},
    {"sm_100", "sm_100.cubin", 100, false}, {"sm_120", "sm_120.cubin", 120, false}, {"compute_80", "compute_80.ptx", 80, true}, {"compute_90", "compute_90.ptx", 90, true},
    {"source", "kernels.cu", 0, false},
};

static const arch_row *arch_find(const char *arch) {
  for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
    if (!strcmp(archs[i].arch, arch)) return &archs[i];
  return NULL;
}

fst_status fst_device_arch_check(const char *arch) {
  if (arch_find(arch)) return NULL;
  return FST_FAIL(FST_ERR_INVALID, "unknown CUDA architecture '%s': expected sm_80, sm_86, sm_89, sm_90, sm_100, sm_120, compute_80, compute_90 (PTX), or source", arch);
}

// ---- the cache -------------------------------------------------------------------------------------

typedef struct kept_header { char magic[8]; uint64_t bytes; uint32_t crc, pad; } kept_header;
static const char kept_magic[8] = "FSTKRN1";

// The file's path; "" when there is no place for it.
static void kept_path(const char *source, size_t len, const arch_row *arch, uint32_t version, fst_text *out) {
  const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  if (cache && *cache == '/') fst_text_puts(out, cache);
  else if (home && *home == '/') fst_text_printf(out, "%s/.cache", home);
  else return;
  mkdir(fst_text_cstr(out), 0777);   // what cannot be made shows when the file is written
  fst_text_puts(out, "/firesteel");
  mkdir(fst_text_cstr(out), 0777);
  fst_text_printf(out, "/%016" PRIx64 "%016" PRIx64 "-%u-%s", fst_hash_bytes(source, len, 1), fst_hash_bytes(source, len, 2), version, arch->file);
}

static bool kept_read(const char *path, void **out_bytes, size_t *out_len) {
  char *bytes;
  size_t len;
  if (!*path || !fst_file_exists(path)) return false;
  fst_status status = fst_file_read(path, &bytes, &len);
  if (status) {
    fst_error_free(status);
    return false;
  }
  kept_header h;
  bool ok = len >= sizeof h;
  if (ok) memcpy(&h, bytes, sizeof h);
  ok = ok && !memcmp(h.magic, kept_magic, sizeof h.magic) && h.bytes == len - sizeof h && fst_crc32c(0, bytes + sizeof h, h.bytes) == h.crc;
  if (ok) {
    memmove(bytes, bytes + sizeof h, h.bytes);
    *out_bytes = bytes;
    *out_len = h.bytes;
  } else {
    free(bytes);
  }
  return ok;
}

static void kept_write(const char *path, const void *bytes, size_t len) {
  kept_header h = {.bytes = len, .crc = fst_crc32c(0, bytes, len)};
  fst_text file = {0};
  if (!*path) return;
  memcpy(h.magic, kept_magic, sizeof h.magic);
  fst_text_append(&file, (const char *)&h, sizeof h);
  fst_text_append(&file, bytes, len);
  fst_error_free(fst_file_write_atomic(path, file.data, file.len));   // without it the next time takes as long
  fst_text_deinit(&file);
}

// ---- images ----------------------------------------------------------------------------------------

static fst_status compiled(fst_nvrtc *nvrtc, const char *source, const arch_row *arch, fst_code_image *out) {
  fst_text path = {0}, log = {0};
  fst_status status = NULL;
  kept_path(source, strlen(source), arch, fst_nvrtc_version(nvrtc), &path);
  if (!kept_read(fst_text_cstr(&path), &out->bytes, &out->len)) {
    status = fst_nvrtc_compile(nvrtc, source, arch->number, arch->is_ptx, &out->bytes, &out->len, &log);
    if (!status) kept_write(fst_text_cstr(&path), out->bytes, out->len);
  }
  fst_text_deinit(&path);
  fst_text_deinit(&log);
  return status;
}

static fst_status text_copy(const char *source, fst_code_image *out) {
  out->len = strlen(source);
  out->bytes = malloc(out->len + 1);
  if (!out->bytes) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  memcpy(out->bytes, source, out->len + 1);
  return NULL;
}

fst_status fst_device_images(const char *source, const char *const *names, uint32_t count, bool skips_unknown, fst_code_images *out) {
  fst_nvrtc *nvrtc = NULL;
  fst_status status = NULL;
  for (uint32_t i = 0; i < count && !status; i++) {
    const arch_row *arch = arch_find(names[i]);
    if (arch->number && !nvrtc) status = fst_nvrtc_open(getenv("VIRTUAL_ENV"), &nvrtc);
    if (status) break;
    if (arch->number && !fst_nvrtc_knows(nvrtc, arch->number)) {
      if (skips_unknown) continue;
      status = FST_FAIL(FST_ERR_UNSUPPORTED, "NVRTC %u.%u (%s) does not know the architecture %s", fst_nvrtc_version(nvrtc) / 1000, fst_nvrtc_version(nvrtc) % 1000 / 10, fst_nvrtc_path(nvrtc), names[i]);
      break;
    }
    fst_code_image image = {.target = arch->file};
    status = arch->number ? compiled(nvrtc, source, arch, &image) : text_copy(source, &image);
    if (!status) fst_vec_push(out, image);
  }
  if (nvrtc) fst_nvrtc_close(nvrtc);
  return status;
}
