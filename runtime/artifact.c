#define _GNU_SOURCE
#include "runtime/artifact.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "runtime/buf.h"
#include "runtime/object.h"
#include "runtime/zip.h"

// ---- which CPU this is ----

bool fst_cpu_runs(const char *target) {
#if defined(__x86_64__)
  bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (strcmp(target, "x86-64-v4") == 0) return v4;
  // Code for "native" was made on the machine that opens it, through the worker or by its owner's choice.
  if (strcmp(target, "x86-64-v3") == 0 || strcmp(target, "native") == 0) return v3;
#endif
  (void)target;
  return false;
}

static int target_rank(const char *target) {
  if (strcmp(target, "native") == 0) return 3;
  if (strcmp(target, "x86-64-v4") == 0) return 2;
  return strcmp(target, "x86-64-v3") == 0;
}

static fst_status device_target_choose(fst_artifact *a) {
  const fst_plan *p = &a->plan;
  for (a->target = 0; a->target < p->targets_count; a->target++)
    if (!strcmp(fst_plan_text(p, p->targets[a->target].name), FST_PLAN_DEVICE_TARGET)) return NULL;
  return FST_FAIL(FST_ERR_UNSUPPORTED, "%s: holds no code for a CUDA device; compile it with --target %s, or open it with device=\"cpu\"", a->name, FST_PLAN_DEVICE_TARGET);
}

static fst_status target_choose(fst_artifact *a, const char *wanted) {
  const fst_plan *p = &a->plan;
  if (a->accel) return device_target_choose(a);
  fst_buf has = {0};
  int best = -1;
  for (uint32_t i = 0; i < p->targets_count; i++) {
    const char *name = fst_plan_text(p, p->targets[i].name);
    fst_buf_printf(&has, "%s%s", i ? ", " : "", name);
    if (wanted ? strcmp(wanted, name) != 0 : !fst_cpu_runs(name)) continue;
    if (target_rank(name) > best) {
      best = target_rank(name);
      a->target = i;
    }
  }
  fst_status status = NULL;
  if (best < 0 && wanted) status = FST_FAIL(FST_ERR_UNSUPPORTED, "%s: holds no code for target %s (it has %s)", a->name, wanted, fst_buf_text(&has));
  else if (best < 0 && has.len && !strcmp(has.data, FST_PLAN_DEVICE_TARGET)) status = FST_FAIL(FST_ERR_UNSUPPORTED, "%s: holds code for a CUDA device only; open it with device=\"cuda\", or compile it with a CPU among its targets", a->name);
  else if (best < 0) status = FST_FAIL(FST_ERR_UNSUPPORTED, "%s: its code is for %s, which this CPU cannot run; compile it for a level that this CPU has", a->name, has.len ? fst_buf_text(&has) : "no target");
  else if (wanted && !fst_cpu_runs(wanted)) status = FST_FAIL(FST_ERR_UNSUPPORTED, "%s: this CPU cannot run code for target %s", a->name, wanted);
  fst_buf_deinit(&has);
  return status;
}

// ---- members, in a zip file, a folder or the program ----

typedef struct source {
  int fd;            // of the zip file, or of the folder
  bool is_folder;
  const char *name;
  fst_zip zip;
  const fst_embedded *embedded;  // in the program, not in a file
} source;

typedef struct member { int fd; bool close_fd; uint64_t offset, bytes; const char *here; } member;

static fst_status embedded_find(const source *s, const char *name, member *out) {
  for (size_t i = 0; i < s->embedded->count; i++) {
    const fst_embedded_member *m = &s->embedded->members[i];
    if (strcmp(m->name, name) != 0) continue;
    *out = (member){-1, false, 0, m->len, m->bytes};
    return NULL;
  }
  return FST_FAIL(FST_ERR_NOT_FOUND, "%s: no member %s", s->name, name);
}

static fst_status member_find(const source *s, const char *name, member *out) {
  if (s->embedded) return embedded_find(s, name, out);
  if (!s->is_folder) {
    fst_zip_member m;
    FST_TRY(fst_zip_find(&s->zip, name, &m));
    *out = (member){s->fd, false, m.offset, m.bytes, NULL};
    return NULL;
  }
  int fd = openat(s->fd, name, O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return FST_FAIL(FST_ERR_NOT_FOUND, "%s: no member %s", s->name, name);
  struct stat info;
  if (fd < 0 || fstat(fd, &info) != 0) {
    fst_status status = FST_FAIL(FST_ERR_IO, "%s: cannot open member %s: %s", s->name, name, strerror(errno));
    if (fd >= 0) close(fd);
    return status;
  }
  *out = (member){fd, true, 0, (uint64_t)info.st_size, NULL};
  return NULL;
}

static void member_close(member *m) {
  if (m->close_fd) close(m->fd);
}

static fst_status member_read(const source *s, const member *m, void **out) {
  void *bytes = m->bytes < SIZE_MAX / 2 ? malloc(m->bytes + 1) : NULL;
  if (!bytes) return FST_FAIL(FST_ERR_RESOURCE, "%s: out of memory", s->name);
  if (m->here) memcpy(bytes, m->here, m->bytes);
  fst_status status = m->here ? NULL : fst_fd_read_at(m->fd, s->name, bytes, m->bytes, m->offset);
  if (status) free(bytes);
  else *out = bytes;
  return status;
}

// A private copy in fresh pages, for bytes that cannot be mapped where they lie.
static fst_status member_copy(const source *s, const member *m, int protection, fst_region *out) {
  size_t bytes = m->bytes ? m->bytes : 1;
  char *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return FST_FAIL(FST_ERR_RESOURCE, "%s: cannot get %zu bytes of memory: %s", s->name, bytes, strerror(errno));
  if (bytes >= 2u << 20) (void)madvise(base, bytes, MADV_HUGEPAGE);  // a wish; without it only slower
  fst_status status = fst_fd_read_at(m->fd, s->name, base, m->bytes, m->offset);
  if (!status && mprotect(base, bytes, protection) != 0) status = FST_FAIL(FST_ERR_IO, "%s: cannot protect memory: %s", s->name, strerror(errno));
  if (status) munmap(base, bytes);
  else *out = (fst_region){base, bytes};
  return status;
}

// ---- code ----

static fst_status code_check(const fst_artifact *a, const char *bytes) {
  const fst_plan_target *target = &a->plan.targets[a->target];
  const fst_code_header *h = (const fst_code_header *)(const void *)bytes;
  const char *name = fst_plan_text(&a->plan, target->name);
  if (fst_crc32c(0, bytes, target->code_bytes) != target->code_crc)
    return FST_FAIL(FST_ERR_CORRUPT, "%s: the code for %s is damaged (its checksum does not match)", a->name, name);
  if (h->magic != FST_CODE_MAGIC || h->abi_version != FST_ABI_VERSION)
    return FST_FAIL(FST_ERR_UNSUPPORTED, "%s: the code for %s was made for another version of Firesteel; compile it again", a->name, name);
  bool ok = h->image_bytes == target->code_bytes && h->entry_count <= (target->code_bytes - sizeof *h) / sizeof h->entries[0];
  for (uint32_t i = 0; ok && i < h->entry_count; i++) ok = h->entries[i] >= sizeof *h && h->entries[i] < target->code_bytes;
  for (uint32_t i = 0; ok && i < a->plan.signatures_count; i++) ok = a->plan.signatures[i].entry < h->entry_count;
  return ok ? NULL : FST_FAIL(FST_ERR_CORRUPT, "%s: the code for %s is damaged (its entries lie outside)", a->name, name);
}

static fst_status code_map(fst_artifact *a, const source *s) {
  const fst_plan_target *target = &a->plan.targets[a->target];
  char path[256];
  snprintf(path, sizeof path, "0/compiled/%s/code.bin", fst_plan_text(&a->plan, target->name));
  member m;
  FST_TRY(member_find(s, path, &m));
  fst_status status = NULL;
  if (m.bytes != target->code_bytes || m.bytes < sizeof(fst_code_header)) {
    status = FST_FAIL(FST_ERR_CORRUPT, "%s: %s has %llu bytes, the plan says %llu", s->name, path, (unsigned long long)m.bytes, (unsigned long long)target->code_bytes);
  } else if (m.here) {
    status = code_check(a, m.here);
    if (!status) a->code = (const fst_code_header *)(const void *)m.here;
  } else {
    void *base = m.offset % 4096 ? MAP_FAILED : mmap(NULL, m.bytes, PROT_READ | PROT_EXEC, MAP_PRIVATE, m.fd, (off_t)m.offset);
    if (base != MAP_FAILED) a->code_region = (fst_region){base, m.bytes};
    else status = member_copy(s, &m, PROT_READ | PROT_EXEC, &a->code_region);  // a file system mounted noexec
    if (!status) status = code_check(a, a->code_region.base);
    if (!status) a->code = (const fst_code_header *)(const void *)a->code_region.base;
  }
  member_close(&m);
  return status;
}

// ---- weights ----

static const _Alignas(64) char no_weights[64];

static fst_status weights_map(fst_artifact *a, const source *s, const fst_artifact_options *o) {
  uint64_t bytes = a->plan.header->weights_bytes;
  a->weights = no_weights;
  if (!bytes) return NULL;
  member m;
  FST_TRY(member_find(s, "0/compiled/weights.bin", &m));
  fst_status status = NULL;
  uint64_t skip = m.offset % 4096;
  if (m.bytes != bytes) {
    status = FST_FAIL(FST_ERR_CORRUPT, "%s: weights.bin has %llu bytes, the plan says %llu", s->name, (unsigned long long)m.bytes, (unsigned long long)bytes);
  } else if (m.here) {
    a->weights = m.here;
  } else {
    bool copy = (o && o->copy_weights) || skip % 64;
    void *base = copy ? MAP_FAILED : mmap(NULL, bytes + skip, PROT_READ, MAP_SHARED, m.fd, (off_t)(m.offset - skip));
    if (copy) skip = 0;
    if (base != MAP_FAILED) a->weights_region = (fst_region){base, bytes + skip};
    else if (!copy) status = FST_FAIL(FST_ERR_IO, "%s: cannot map the weights: %s", s->name, strerror(errno));
    else status = member_copy(s, &m, PROT_READ, &a->weights_region);
    if (!status) a->weights = a->weights_region.base + skip;
  }
  member_close(&m);
  return status;
}

fst_status fst_artifact_check_weights(const fst_artifact *a) {
  uint64_t bytes = a->plan.header->weights_bytes;
  for (uint32_t i = 0; i < a->plan.crcs_count; i++) {
    uint64_t at = (uint64_t)i * FST_PLAN_CRC_BLOCK, len = bytes - at < FST_PLAN_CRC_BLOCK ? bytes - at : FST_PLAN_CRC_BLOCK;
    if (fst_crc32c(0, a->weights + at, len) != a->plan.crcs[i])
      return FST_FAIL(FST_ERR_CORRUPT, "%s: the weights are damaged in megabyte %u", a->name, i);
  }
  return NULL;
}

// ---- constants ----

static fst_obj *items_make(fst_artifact *a, const fst_plan_const *c) {
  const uint32_t *words = a->plan.words + c->first;
  if (c->tag == FST_TAG_LIST) {
    fst_list_obj *list = fst_list_make(0, NULL);
    for (uint32_t i = 0; list && i < c->count; i++) {
      if (fst_list_push(list, &a->consts[words[i]])) continue;
      fst_obj_release(&list->head);
      return NULL;
    }
    return (fst_obj *)list;
  }
  if (c->tag == FST_TAG_DICT) {
    fst_dict_obj *dict = fst_dict_make();
    for (uint32_t i = 0; dict && i < c->count; i++) {
      fst_val old;
      bool ok = fst_dict_put(dict, &a->consts[words[i]], &a->consts[words[c->count + i]], &old);
      fst_val_release(&old);
      if (ok) continue;
      fst_obj_release(&dict->head);
      return NULL;
    }
    return (fst_obj *)dict;
  }
  fst_tuple_obj *tuple = c->tag == FST_TAG_TUPLE ? fst_tuple_make(c->count, NULL) : NULL;
  fst_object_obj *object = c->tag == FST_TAG_OBJECT ? fst_object_make(c->aux, c->count) : NULL;
  fst_val *slots = tuple ? tuple->items : object ? object->slots : NULL;
  for (uint32_t i = 0; slots && i < c->count; i++) {
    slots[i] = a->consts[words[i]];
    fst_val_retain(&slots[i]);
  }
  return tuple ? &tuple->head : (fst_obj *)object;
}

static fst_obj *const_obj(fst_artifact *a, const fst_plan_const *c) {
  const fst_plan *p = &a->plan;
  if (c->tag == FST_TAG_STR) return (fst_obj *)fst_str_make(fst_plan_text(p, c->aux), fst_plan_text_len(p, c->aux));
  if (c->tag == FST_TAG_COMPLEX) {
    double parts[2];
    memcpy(parts, p->ints + c->first, sizeof parts);
    return (fst_obj *)fst_complex_make(parts[0], parts[1]);
  }
  if (c->tag != FST_TAG_TENSOR) return items_make(a, c);
  fst_storage_obj *storage = a->storages[c->aux];
  return (fst_obj *)fst_tensor_make(storage, storage->data + c->bits, (int)c->dtype, (int)c->count, p->ints + c->first);
}

static void weights_keep(void *owner) { (void)owner; }   // they go with the artifact

static bool consts_make(fst_artifact *a) {
  const fst_plan *p = &a->plan;
  a->storages = calloc((size_t)p->storages_count + 1, sizeof *a->storages);
  a->consts = calloc((size_t)p->consts_count + 1, sizeof *a->consts);
  if (!a->storages || !a->consts) return false;
  for (uint32_t i = 0; i < p->storages_count; i++) {
    // Nothing writes through a storage that is immortal: the weights stay mapped read-only.
    char *data = (char *)(uintptr_t)(fst_artifact_weights(a) + p->storages[i].offset);
    if (!a->accel) a->storages[i] = fst_storage_wrap(data, (int64_t)p->storages[i].bytes, NULL, NULL);
    else fst_error_free(fst_device_storage_lend(a->accel, data, (int64_t)p->storages[i].bytes, weights_keep, NULL, &a->storages[i]));
    if (!a->storages[i]) return false;
  }
  for (uint32_t i = 0; i < p->consts_count; i++) {
    const fst_plan_const *c = &p->consts[i];
    a->consts[i] = (fst_val){.tag = c->tag, .i = c->bits};
    if (!fst_val_is_obj(&a->consts[i])) continue;
    a->consts[i].p = const_obj(a, c);
    if (a->consts[i].p) continue;
    a->consts[i] = fst_val_none();
    return false;
  }
  return true;
}

static void consts_mark(fst_artifact *a, uint16_t flags) {
  for (uint32_t i = 0; a->storages && i < a->plan.storages_count; i++)
    if (a->storages[i]) a->storages[i]->head.flags = (a->storages[i]->head.flags & FST_OBJ_DEVICE) | flags;
  for (uint32_t i = 0; a->consts && i < a->plan.consts_count; i++)
    if (fst_val_is_obj(&a->consts[i]) && a->consts[i].p) a->consts[i].p->flags = flags;
}

// ---- on a device ----

// The weights are there once, for all instances and clones; what is mapped of the file is let go.
static fst_status weights_send(fst_artifact *a) {
  fst_status status = fst_device_storage_make(a->accel, (int64_t)a->plan.header->weights_bytes, &a->device_weights);
  if (!status) status = fst_device_upload(a->accel, a->device_weights->data, a->weights, a->device_weights->bytes);
  if (status) return fst_error_prefix(status, "%s: the weights", a->name);
  if (a->weights_region.base) munmap(a->weights_region.base, a->weights_region.bytes);
  a->weights_region = (fst_region){0};
  return NULL;
}

static fst_status image_choose(fst_artifact *a) {
  const fst_plan *p = &a->plan;
  const fst_device_facts *facts = a->accel->api->facts(a->accel->device);
  fst_buf has = {0};
  int best = 0;
  for (uint32_t i = 0; i < p->images_count; i++) {
    const char *name = fst_plan_text(p, p->images[i].name);
    int suits = a->accel->api->suits(a->accel->device, name);
    fst_buf_printf(&has, "%s%s", i ? ", " : "", name);
    if (suits <= best) continue;
    best = suits;
    a->image_row = i;
  }
  fst_status status = NULL;
  if (!best) status = FST_FAIL(FST_ERR_UNSUPPORTED, "%s: its kernels are for %s; this device is %s (%s): compile it with --target cuda:%s", a->name, has.len ? fst_buf_text(&has) : "no device", facts->arch, facts->name, facts->arch);
  fst_buf_deinit(&has);
  return status;
}

static fst_status functions_find(fst_artifact *a) {
  const fst_plan *p = &a->plan;
  a->functions = calloc((size_t)p->kernels_count + 1, sizeof *a->functions);
  if (!a->functions) return FST_FAIL(FST_ERR_RESOURCE, "%s: out of memory", a->name);
  for (uint32_t i = 0; i < p->kernels_count; i++) {
    fst_status status = a->accel->api->find(a->accel->device, a->image, fst_plan_text(p, p->kernels[i].name), p->kernels[i].shared_bytes, &a->functions[i]);
    if (status) return fst_error_prefix(status, "%s", a->name);
  }
  return NULL;
}

static fst_status kernels_load(fst_artifact *a, const source *s) {
  if (!a->plan.kernels_count) return NULL;   // a model may compute nothing
  FST_TRY(image_choose(a));
  const fst_plan_image *image = &a->plan.images[a->image_row];
  char path[256];
  snprintf(path, sizeof path, "0/compiled/%s/%s", FST_PLAN_DEVICE_TARGET, fst_plan_text(&a->plan, image->name));
  member m;
  void *bytes;
  FST_TRY(member_find(s, path, &m));
  fst_status status = member_read(s, &m, &bytes);
  member_close(&m);
  FST_TRY(status);
  ((char *)bytes)[m.bytes] = '\0';   // for images that are text
  if (m.bytes != image->bytes || fst_crc32c(0, bytes, m.bytes) != image->crc) status = FST_FAIL(FST_ERR_CORRUPT, "%s: %s is damaged (its checksum does not match)", a->name, path);
  if (!status) status = a->accel->api->load(a->accel->device, bytes, m.bytes, &a->image);
  free(bytes);
  if (status) return fst_error_prefix(status, "%s: %s", a->name, path);
  return functions_find(a);
}

// ---- opening ----

static void artifact_destroy(fst_artifact *a) {
  // Made counted, then marked immortal: unmarked again, they fall apart as any other objects.
  consts_mark(a, 0);
  for (uint32_t i = 0; a->consts && i < a->plan.consts_count; i++)
    if (fst_val_is_obj(&a->consts[i])) fst_obj_release(a->consts[i].p);
  for (uint32_t i = 0; a->storages && i < a->plan.storages_count; i++) fst_obj_release((fst_obj *)a->storages[i]);
  free(a->consts);
  free(a->storages);
  if (a->image) a->accel->api->unload(a->accel->device, a->image);
  free(a->functions);
  fst_obj_release((fst_obj *)a->device_weights);
  fst_accel_release(a->accel);
  if (a->code_region.base) munmap(a->code_region.base, a->code_region.bytes);
  if (a->weights_region.base) munmap(a->weights_region.base, a->weights_region.bytes);
  free(a->plan_bytes);
  if (a->library) dlclose(a->library);
  free(a->name);
  free(a);
}

static fst_status artifact_fill(fst_artifact *a, const source *s, const fst_artifact_options *o) {
  member m;
  FST_TRY(member_find(s, "0/compiled/plan.bin", &m));
  uint64_t bytes = m.bytes;
  fst_status status = member_read(s, &m, &a->plan_bytes);
  member_close(&m);
  FST_TRY(status);
  FST_TRY(fst_plan_open(a->name, a->plan_bytes, bytes, &a->plan));
  if (o && o->accel) fst_accel_retain(a->accel = o->accel);
  // A plan that only describes an archive has nothing to run.
  if (a->plan.signatures_count) {
    FST_TRY(target_choose(a, o ? o->target : NULL));
    FST_TRY(code_map(a, s));
  }
  FST_TRY(weights_map(a, s, o));
  if (o && o->verify_weights) FST_TRY(fst_artifact_check_weights(a));
  if (a->accel) FST_TRY(weights_send(a));
  if (a->accel) FST_TRY(kernels_load(a, s));
  bool made = consts_make(a);
  consts_mark(a, FST_OBJ_IMMORTAL);
  return made ? NULL : FST_FAIL(FST_ERR_RESOURCE, "%s: out of memory", a->name);
}

static fst_status artifact_open(const source *s, const fst_artifact_options *o, fst_artifact **out) {
  fst_artifact *a = calloc(1, sizeof *a);
  size_t name_len = strlen(s->name);
  if (a) a->name = malloc(name_len + 1);
  if (!a || !a->name) {
    free(a);
    return FST_FAIL(FST_ERR_RESOURCE, "%s: out of memory", s->name);
  }
  memcpy(a->name, s->name, name_len + 1);
  a->refs = 1;
  fst_status status = artifact_fill(a, s, o);
  if (status) artifact_destroy(a);
  else *out = a;
  return status;
}

fst_status fst_artifact_open_fd(int fd, const char *name, const fst_artifact_options *o, fst_artifact **out) {
  source s = {.fd = fd, .name = name};
  struct stat info;
  if (fstat(fd, &info) != 0) return FST_FAIL(FST_ERR_IO, "%s: cannot read: %s", name, strerror(errno));
  s.is_folder = S_ISDIR(info.st_mode);
  if (!s.is_folder) FST_TRY(fst_zip_open(fd, name, &s.zip));
  fst_status status = artifact_open(&s, o, out);
  if (!s.is_folder) fst_zip_deinit(&s.zip);
  return status;
}

fst_status fst_artifact_open_embedded(const fst_embedded *embedded, const fst_artifact_options *o, fst_artifact **out) {
  if (embedded->version != FST_EMBEDDED_VERSION) return FST_FAIL(FST_ERR_UNSUPPORTED, "the embedded model was made for another version of Firesteel; compile it again");
  source s = {.fd = -1, .name = embedded->name, .embedded = embedded};
  return artifact_open(&s, o, out);
}

// The loader maps what the headers say and crashes where a file is cut short.
static bool library_is_whole(int fd) {
  Elf64_Ehdr head;
  Elf64_Phdr part;
  struct stat info;
  if (fstat(fd, &info) != 0 || pread(fd, &head, sizeof head, 0) != (ssize_t)sizeof head || head.e_phentsize != sizeof part) return false;
  for (unsigned i = 0; i < head.e_phnum; i++) {
    if (pread(fd, &part, sizeof part, (off_t)(head.e_phoff + i * sizeof part)) != (ssize_t)sizeof part) return false;
    if (part.p_offset > (uint64_t)info.st_size || part.p_filesz > (uint64_t)info.st_size - part.p_offset) return false;
  }
  return head.e_phnum != 0;
}

static fst_status library_open(int fd, const char *path, const fst_artifact_options *o, fst_artifact **out) {
  if (!library_is_whole(fd)) return FST_FAIL(FST_ERR_CORRUPT, "%s: cannot open the shared object: it is cut short", path);
  char *full = realpath(path, NULL);  // a name without a slash would be searched for elsewhere
  void *library = full ? dlopen(full, RTLD_NOW | RTLD_LOCAL) : NULL;
  free(full);
  if (!library) return FST_FAIL(FST_ERR_CORRUPT, "%s: cannot open the shared object: %s", path, dlerror());
  const fst_embedded *embedded = dlsym(library, FST_EMBEDDED_SYMBOL);
  fst_status status = embedded ? fst_artifact_open_embedded(embedded, o, out) : FST_FAIL(FST_ERR_CORRUPT, "%s: the shared object holds no model", path);
  if (status) dlclose(library);
  else (*out)->library = library;
  return status;
}

static bool is_library(int fd) {
  char head[4];
  return pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head && !memcmp(head, "\177ELF", sizeof head);
}

fst_status fst_artifact_open(const char *path, const fst_artifact_options *o, fst_artifact **out) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return FST_FAIL(FST_ERR_INVALID, "%s: no such file", path);
  if (fd < 0) return FST_FAIL(FST_ERR_IO, "%s: cannot open: %s", path, strerror(errno));
  fst_status status = is_library(fd) ? library_open(fd, path, o, out) : fst_artifact_open_fd(fd, path, o, out);
  close(fd);
  return status;
}

fst_status fst_artifact_open_memory(const void *bytes, size_t len, const char *name, const fst_artifact_options *o, fst_artifact **out) {
  int fd = memfd_create("firesteel", MFD_CLOEXEC);
  if (fd < 0) return FST_FAIL(FST_ERR_RESOURCE, "%s: cannot make a memory file: %s", name, strerror(errno));
  fst_status status = NULL;
  for (size_t at = 0; !status && at < len;) {
    ssize_t put = write(fd, (const char *)bytes + at, len - at);
    if (put > 0) at += (size_t)put;
    else if (errno != EINTR) status = FST_FAIL(FST_ERR_RESOURCE, "%s: cannot fill a memory file: %s", name, strerror(errno));
  }
  if (!status) status = fst_artifact_open_fd(fd, name, o, out);
  close(fd);
  return status;
}

void fst_artifact_retain(fst_artifact *a) { __atomic_fetch_add(&a->refs, 1, __ATOMIC_RELAXED); }

void fst_artifact_release(fst_artifact *a) {
  if (a && __atomic_fetch_sub(&a->refs, 1, __ATOMIC_ACQ_REL) == 1) artifact_destroy(a);
}
