#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/buf.h"
#include "runtime/jit.h"
#include "runtime/model.h"
#include "runtime/names.h"

static char *text_copy(const char *text) {
  fst_buf buf = {0};
  fst_buf_puts(&buf, text);
  return fst_buf_take(&buf);
}

char *fst_library_folder(void) {
  Dl_info info;
  // Any address of ours will do; an object's avoids turning a function into a data pointer.
  if (!dladdr((const void *)&fst_calls_table, &info) || !info.dli_fname) return NULL;
  const char *slash = strrchr(info.dli_fname, '/');
  if (!slash) return text_copy(".");
  char *folder = text_copy(info.dli_fname);
  if (folder) folder[slash - info.dli_fname] = '\0';
  return folder;
}

fst_status fst_program_create(const fst_open_options *options, fst_program **out) {
  fst_program *p = calloc(1, sizeof *p);
  fst_bounds *none = calloc(1, sizeof *none);
  if (!p || !none || pthread_mutex_init(&p->lock, NULL) != 0) {
    free(p);
    free(none);
    return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  }
  p->refs = 1;
  p->bounds = none;
  bool ok = true;
  if (options->target) ok = (p->target = text_copy(options->target)) != NULL;
  if (ok && options->bridge) ok = (p->bridge_path = text_copy(options->bridge)) != NULL;
  fst_status status = ok ? NULL : FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  bool on_device = options->device && strcmp(options->device, "cpu") != 0;
  if (!status && on_device && options->target) status = FST_FAIL(FST_ERR_INVALID, "a target ('%s') is for the CPU; leave it out where the device is '%s'", options->target, options->device);
  if (!status && on_device) status = fst_accel_open(options->device, &p->accel);
  if (status) {
    fst_program_release(p);
    return status;
  }
  p->graphs = options->graphs != 0;
  p->artifact_options = (fst_artifact_options){p->target, options->copy_weights != 0, options->verify_weights != 0, p->accel};
  *out = p;
  return NULL;
}

void fst_program_retain(fst_program *p) { __atomic_fetch_add(&p->refs, 1, __ATOMIC_RELAXED); }

static void bound_destroy(fst_bound *b) {
  if (!b) return;
  fst_artifact_release(b->artifact);
  free(b->slot_map);
  free(b->method_map);
  free(b->fallback_calls);
  free(b->signature_calls);
  free(b);
}

void fst_program_release(fst_program *p) {
  if (!p || __atomic_fetch_sub(&p->refs, 1, __ATOMIC_ACQ_REL) != 1) return;
  fst_jit_destroy(p->jit);
  for (size_t i = 0; i < p->bounds->count; i++) bound_destroy(p->bounds->items[i]);
  while (p->bounds) {
    fst_bounds *older = p->bounds->older;
    free(p->bounds);
    p->bounds = older;
  }
  for (size_t i = 0; i < p->slot_count; i++) free(p->slots[i].path);
  free(p->slots);
  fst_names_destroy(p->names);
  fst_accel_release(p->accel);
  pthread_mutex_destroy(&p->lock);
  free(p->bridge_path);
  free(p->target);
  free(p);
}

uint32_t fst_plan_method_find(const fst_plan *plan, const char *name) {
  for (uint32_t i = 0; i < plan->methods_count; i++)
    if (strcmp(fst_plan_text(plan, plan->methods[i].name), name) == 0) return i;
  return UINT32_MAX;
}

// ---- adding an artifact ----

static bool slot_resolve(fst_program *p, fst_bound *b, uint32_t slot) {
  const fst_plan *plan = &b->artifact->plan;
  const char *path = fst_plan_text(plan, plan->slots[slot].path);
  // Slots of artifacts of one archive are numbered alike, so the guess is nearly always right.
  size_t at = slot;
  if (at >= p->slot_count || strcmp(p->slots[at].path, path) != 0)
    for (at = 0; at < p->slot_count && strcmp(p->slots[at].path, path) != 0; at++) {}
  if (at == p->slot_count) {
    char *copy = text_copy(path);
    fst_slot *slots = copy ? realloc(p->slots, (at + 1) * sizeof *slots) : NULL;
    if (!slots) {
      free(copy);
      return false;
    }
    slots[at] = (fst_slot){copy, b->artifact, plan->slots[slot].initial};
    p->slots = slots;
    p->slot_count = at + 1;
  }
  b->slot_map[slot] = (uint32_t)at;
  return true;
}

static bool bound_fill(fst_program *p, fst_bound *b) {
  const fst_plan *plan = &b->artifact->plan;
  b->slot_map = calloc((size_t)plan->slots_count + 1, sizeof *b->slot_map);
  b->fallback_calls = calloc((size_t)plan->fallbacks_count + 1, sizeof *b->fallback_calls);
  b->signature_calls = calloc((size_t)plan->signatures_count + 1, sizeof *b->signature_calls);
  const fst_plan *first = p->bounds->count ? fst_program_plan(p) : plan;
  b->method_map = calloc((size_t)first->methods_count + 1, sizeof *b->method_map);
  if (!b->slot_map || !b->fallback_calls || !b->signature_calls || !b->method_map) return false;
  for (uint32_t i = 0; i < first->methods_count; i++) b->method_map[i] = fst_plan_method_find(plan, fst_plan_text(first, first->methods[i].name));
  b->is_identity = true;
  for (uint32_t i = 0; i < plan->slots_count; i++) {
    if (!slot_resolve(p, b, i)) return false;
    b->is_identity &= b->slot_map[i] == i;
  }
  return true;
}

fst_status fst_program_add(fst_program *p, fst_artifact *artifact) {
  fst_bound *b = calloc(1, sizeof *b);
  if (!b) {
    fst_artifact_release(artifact);
    return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  }
  b->artifact = artifact;
  pthread_mutex_lock(&p->lock);
  const fst_bounds *now = p->bounds;
  size_t slots_before = p->slot_count;
  fst_bounds *bigger = malloc(sizeof *bigger + (now->count + 1) * sizeof bigger->items[0]);
  bool ok = bigger && bound_fill(p, b);
  if (ok) {
    bigger->older = p->bounds;
    bigger->count = now->count + 1;
    memcpy(bigger->items, now->items, now->count * sizeof bigger->items[0]);
    bigger->items[now->count] = b;
    __atomic_store_n(&p->bounds, bigger, __ATOMIC_RELEASE);
  }
  while (!ok && p->slot_count > slots_before) free(p->slots[--p->slot_count].path);  // they point into the artifact
  pthread_mutex_unlock(&p->lock);
  if (ok) return NULL;
  free(bigger);
  bound_destroy(b);
  return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
}
