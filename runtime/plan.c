#include "runtime/plan.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/abi.h"
#include "base/crc32c.h"
#include "base/dtype.h"

static bool slice_ok(uint32_t first, uint64_t count, uint32_t total) { return first <= total && count <= total - first; }

static bool words_below(const fst_plan *p, uint32_t first, uint64_t count, uint32_t limit) {
  if (!slice_ok(first, count, p->words_count)) return false;
  for (uint64_t i = 0; i < count; i++)
    if (p->words[first + i] >= limit) return false;
  return true;
}

// ---- one check a section; each may rely on those before it ----

static bool strings_ok(const fst_plan *p) {
  for (uint32_t i = 0; i < p->strings_count; i++) {
    fst_plan_string s = p->strings[i];
    if (!slice_ok(s.offset, (uint64_t)s.len + 1, p->bytes_count) || p->bytes[s.offset + s.len] != 0) return false;
  }
  return p->header->source < p->strings_count && p->header->info < p->strings_count && p->header->package < p->strings_count;
}

static bool locs_ok(const fst_plan *p) {
  for (uint32_t i = 0; i < p->locs_count; i++)
    if (p->locs[i].file >= p->strings_count || (p->locs[i].caller && p->locs[i].caller >= i)) return false;
  return true;
}

static bool texts_ok(const fst_plan *p, const uint32_t *strings, uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    if (strings[i] >= p->strings_count) return false;
  return true;
}

static bool classes_ok(const fst_plan *p) {
  for (uint32_t i = 0; i < p->classes_count; i++) {
    const fst_plan_class *c = &p->classes[i];
    if (c->name >= p->strings_count || c->kind > FST_PLAN_CLASS_ENUM) return false;
    if (!words_below(p, c->first, c->count, p->strings_count)) return false;
    if (c->kind == FST_PLAN_CLASS_ENUM && !words_below(p, c->values, c->count, p->consts_count)) return false;
  }
  return true;
}

static bool deepen(uint8_t *depth, uint32_t at, uint32_t item) {
  if (depth[item] + 1 > depth[at]) depth[at] = (uint8_t)(depth[item] + 1);
  return depth[at] < FST_PLAN_MAX_DEPTH;
}

static bool type_ok(const fst_plan *p, uint32_t i, uint8_t *depth) {
  const fst_plan_type *t = &p->types[i];
  if (t->kind >= FST_PLAN_TY_COUNT || t->name >= p->strings_count || !words_below(p, t->first, t->count, i)) return false;
  if (fst_plan_text_len(p, t->name) && t->kind == FST_PLAN_TY_TUPLE && !words_below(p, t->fields, t->count, p->strings_count)) return false;
  if ((t->kind == FST_PLAN_TY_LIST || t->kind == FST_PLAN_TY_OPTIONAL) && t->count != 1) return false;
  if (t->kind == FST_PLAN_TY_DICT && t->count != 2) return false;
  for (uint32_t k = 0; k < t->count; k++)
    if (!deepen(depth, i, p->words[t->first + k])) return false;
  return true;
}

static bool types_ok(const fst_plan *p) {
  uint8_t *depth = calloc((size_t)p->types_count + 1, 1);
  bool ok = depth != NULL;
  for (uint32_t i = 0; ok && i < p->types_count; i++) ok = type_ok(p, i, depth);
  free(depth);
  return ok;
}

static bool storages_ok(const fst_plan *p) {
  uint64_t total = p->header->weights_bytes;
  if (total > INT64_MAX) return false;
  for (uint32_t i = 0; i < p->storages_count; i++)
    if (p->storages[i].offset > total || p->storages[i].bytes > total - p->storages[i].offset) return false;
  return true;
}

// Do all elements lie in the storage?
static bool tensor_ok(const fst_plan *p, const fst_plan_const *c) {
  int64_t elem = (int64_t)fst_dtype_size((fst_dtype)(c->dtype < 128 ? c->dtype : FST_DTYPE_UNKNOWN));
  if (!elem || c->count > FST_PLAN_MAX_RANK || c->aux >= p->storages_count) return false;
  if (!slice_ok(c->first, 2 * (uint64_t)c->count, p->ints_count)) return false;
  const fst_plan_storage *storage = &p->storages[c->aux];
  int64_t bytes = (int64_t)storage->bytes, low = 0, high = 0, numel = 1, reach;
  const int64_t *sizes = p->ints + c->first, *strides = sizes + c->count;
  for (uint32_t d = 0; d < c->count; d++) {
    if (sizes[d] < 0 || __builtin_mul_overflow(numel, sizes[d], &numel)) return false;
    if (sizes[d] == 0) continue;
    if (__builtin_mul_overflow(sizes[d] - 1, strides[d], &reach)) return false;
    if (__builtin_add_overflow(reach < 0 ? low : high, reach, reach < 0 ? &low : &high)) return false;
  }
  if (c->bits < 0 || c->bits > bytes || (storage->offset + (uint64_t)c->bits) % (uint64_t)elem) return false;
  if (numel == 0) return true;
  if (__builtin_mul_overflow(low, elem, &low) || __builtin_mul_overflow(high, elem, &high)) return false;
  return low >= -c->bits && elem <= bytes - c->bits && high <= bytes - c->bits - elem;
}

static bool enum_ok(const fst_plan *p, int64_t bits) {
  uint64_t cls = (uint64_t)bits >> 32, member = (uint64_t)bits & UINT32_MAX;
  return cls < p->classes_count && p->classes[cls].kind == FST_PLAN_CLASS_ENUM && member < p->classes[cls].count;
}

static bool dict_keys_ok(const fst_plan *p, const fst_plan_const *c) {
  for (uint32_t k = 0; k < c->count; k++) {
    uint32_t tag = p->consts[p->words[c->first + k]].tag;
    if (tag != FST_TAG_STR && tag != FST_TAG_INT && tag != FST_TAG_FLOAT && tag != FST_TAG_BOOL && tag != FST_TAG_COMPLEX) return false;
  }
  return true;
}

static bool const_ok(const fst_plan *p, uint32_t i) {
  const fst_plan_const *c = &p->consts[i];
  switch (c->tag) {
    case FST_TAG_NONE: case FST_TAG_INT: case FST_TAG_FLOAT: case FST_TAG_DEVICE: return true;
    case FST_TAG_BOOL: return c->bits == 0 || c->bits == 1;
    case FST_TAG_ENUM: return enum_ok(p, c->bits);
    case FST_TAG_STR: return c->aux < p->strings_count;
    case FST_TAG_COMPLEX: return slice_ok(c->first, 2, p->ints_count);
    case FST_TAG_TENSOR: return tensor_ok(p, c);
    case FST_TAG_LIST: case FST_TAG_TUPLE: return words_below(p, c->first, c->count, i);
    case FST_TAG_DICT: return words_below(p, c->first, 2 * (uint64_t)c->count, i) && dict_keys_ok(p, c);
    case FST_TAG_OBJECT: return c->aux < p->classes_count && p->classes[c->aux].count == c->count && words_below(p, c->first, c->count, i);
    default: return false;
  }
}

static bool consts_ok(const fst_plan *p) {
  for (uint32_t i = 0; i < p->consts_count; i++)
    if (!const_ok(p, i)) return false;
  return true;
}

static bool slots_ok(const fst_plan *p) {
  for (uint32_t i = 0; i < p->slots_count; i++)
    if (p->slots[i].path >= p->strings_count || p->slots[i].initial >= p->consts_count) return false;
  return true;
}

static bool args_ok(const fst_plan *p) {
  for (uint32_t i = 0; i < p->args_count; i++) {
    const fst_plan_arg *a = &p->args[i];
    if (a->name >= p->strings_count || a->type >= p->types_count || a->initial > p->consts_count) return false;
  }
  return true;
}

// ---- patterns: also their depth, and one more than the highest symbol in each ----

typedef struct pattern_facts { uint32_t *symbols; uint8_t *depth; } pattern_facts;

static bool symbol_note(pattern_facts *f, uint32_t at, int64_t dim) {
  if (dim >= 0 || dim == FST_PLAN_DIM_ANY) return true;
  if (dim < -(int64_t)FST_PLAN_MAX_SYMBOLS) return false;
  uint32_t above = (uint32_t)-dim;
  if (above > f->symbols[at]) f->symbols[at] = above;
  return true;
}

static bool pattern_items_ok(const fst_plan *p, uint32_t i, uint32_t first, uint32_t count, pattern_facts *f) {
  if (!words_below(p, first, count, i)) return false;
  for (uint32_t k = 0; k < count; k++) {
    uint32_t item = p->words[first + k];
    if (!deepen(f->depth, i, item)) return false;
    if (f->symbols[item] > f->symbols[i]) f->symbols[i] = f->symbols[item];
  }
  return true;
}

static bool pattern_tensor_ok(const fst_plan *p, uint32_t i, pattern_facts *f) {
  const fst_plan_pattern *t = &p->patterns[i];
  if (t->rank == FST_PLAN_RANK_ANY) return t->count == 0 && !(t->flags & FST_PLAN_PAT_STRIDED);
  uint64_t dims = t->flags & FST_PLAN_PAT_STRIDED ? 2 * (uint64_t)t->rank : t->rank;
  if (t->count != t->rank || t->rank > FST_PLAN_MAX_RANK || !slice_ok(t->first, dims, p->ints_count)) return false;
  for (uint64_t d = 0; d < dims; d++)
    if (!symbol_note(f, i, p->ints[t->first + d])) return false;
  return true;
}

static bool pattern_ok(const fst_plan *p, uint32_t i, pattern_facts *f) {
  const fst_plan_pattern *t = &p->patterns[i];
  if ((t->flags & FST_PLAN_PAT_VALUE) && (t->aux >= p->consts_count || p->consts[t->aux].tag != t->tag)) return false;
  switch (t->tag) {
    case FST_PLAN_ANY: case FST_TAG_NONE: case FST_TAG_BOOL: case FST_TAG_FLOAT: case FST_TAG_COMPLEX:
    case FST_TAG_STR: case FST_TAG_DEVICE: case FST_TAG_ENUM: case FST_TAG_OPAQUE:
      return true;
    case FST_TAG_INT: return symbol_note(f, i, t->number);
    case FST_TAG_TENSOR: return pattern_tensor_ok(p, i, f);
    case FST_TAG_LIST: return t->count == 1 && symbol_note(f, i, t->number) && pattern_items_ok(p, i, t->first, 1, f);
    case FST_TAG_TUPLE: return pattern_items_ok(p, i, t->first, t->count, f);
    case FST_TAG_OBJECT: return t->aux < p->classes_count && pattern_items_ok(p, i, t->first, t->count, f);
    case FST_TAG_DICT:
      if (!(t->flags & FST_PLAN_PAT_KEYS)) return t->count == 2 && pattern_items_ok(p, i, t->first, 2, f);
      return slice_ok(t->first, 2 * (uint64_t)t->count, p->words_count) && words_below(p, t->first, t->count, p->consts_count) &&
             pattern_items_ok(p, i, t->first + t->count, t->count, f);
    default: return false;
  }
}

static bool signature_ok(const fst_plan *p, const fst_plan_method *m, const fst_plan_signature *s, const pattern_facts *f) {
  if (s->symbol_count > FST_PLAN_MAX_SYMBOLS || s->result_count != m->result_count) return false;
  if (!words_below(p, s->args, m->arg_count, p->patterns_count)) return false;
  for (uint32_t i = 0; i < m->arg_count; i++)
    if (f->symbols[p->words[s->args + i]] > s->symbol_count) return false;
  if (!slice_ok(s->state, 2 * (uint64_t)s->state_count, p->words_count)) return false;
  for (uint32_t i = 0; i < s->state_count; i++) {
    uint32_t slot = p->words[s->state + 2 * i], pattern = p->words[s->state + 2 * i + 1];
    if (slot >= p->slots_count || pattern >= p->patterns_count || f->symbols[pattern] > s->symbol_count) return false;
  }
  return true;
}

static bool method_ok(const fst_plan *p, const fst_plan_method *m, const pattern_facts *f) {
  if (m->name >= p->strings_count || m->result_count > 1024) return false;
  if (!slice_ok(m->args, m->arg_count, p->args_count) || m->arg_count > 4096) return false;
  if (!words_below(p, m->results, m->result_count, p->types_count)) return false;
  if (!slice_ok(m->signatures, m->signature_count, p->signatures_count)) return false;
  for (uint32_t i = 0; i < m->signature_count; i++)
    if (!signature_ok(p, m, &p->signatures[m->signatures + i], f)) return false;
  return true;
}

static bool methods_ok(const fst_plan *p) {
  pattern_facts f = {calloc((size_t)p->patterns_count + 1, sizeof(uint32_t)), calloc((size_t)p->patterns_count + 1, 1)};
  bool ok = f.symbols && f.depth;
  for (uint32_t i = 0; ok && i < p->patterns_count; i++) ok = pattern_ok(p, i, &f);
  for (uint32_t i = 0; ok && i < p->methods_count; i++) ok = method_ok(p, &p->methods[i], &f);
  free(f.symbols);
  free(f.depth);
  return ok;
}

static bool specs_ok(const fst_plan *p) {
  for (uint32_t i = 0; i < p->specs_count; i++) {
    const fst_plan_spec *s = &p->specs[i];
    if (s->name >= p->strings_count || s->dtype >= p->strings_count || !slice_ok(s->first, s->count, p->ints_count)) return false;
    for (uint32_t d = 0; d < s->count; d++) {
      int64_t dim = p->ints[s->first + d];
      if (dim < 0 && dim != FST_PLAN_DIM_ANY && dim < -(int64_t)p->strings_count) return false;
    }
  }
  return true;
}

static bool targets_ok(const fst_plan *p) {
  for (uint32_t i = 0; i < p->targets_count; i++)
    if (p->targets[i].name >= p->strings_count) return false;
  uint64_t blocks = p->header->weights_bytes / FST_PLAN_CRC_BLOCK + (p->header->weights_bytes % FST_PLAN_CRC_BLOCK != 0);
  return p->crcs_count == blocks;
}

static bool kernels_ok(const fst_plan *p) {
  for (uint32_t i = 0; i < p->images_count; i++)
    if (p->images[i].name >= p->strings_count) return false;
  for (uint32_t i = 0; i < p->kernels_count; i++) {
    const fst_plan_kernel *k = &p->kernels[i];
    bool ok = k->name < p->strings_count && k->arg_count <= FST_PLAN_MAX_KERNEL_ARGS;
    for (int d = 0; d < 3; d++) ok = ok && k->threads[d] && k->threads[d] <= 1024;
    if (!ok) return false;
  }
  return true;
}

static bool rows_ok(const fst_plan *p, const char **out_bad) {
  *out_bad = "strings";
  if (!strings_ok(p)) return false;
  *out_bad = "source locations";
  if (!locs_ok(p)) return false;
  *out_bad = "texts";
  if (!texts_ok(p, p->exceptions, p->exceptions_count) || !texts_ok(p, p->messages, p->messages_count) || !texts_ok(p, p->fallbacks, p->fallbacks_count)) return false;
  *out_bad = "classes";
  if (!classes_ok(p)) return false;
  *out_bad = "types";
  if (!types_ok(p)) return false;
  *out_bad = "constants";
  if (!storages_ok(p) || !consts_ok(p)) return false;
  *out_bad = "state";
  if (!slots_ok(p)) return false;
  *out_bad = "methods";
  if (!args_ok(p) || !methods_ok(p)) return false;
  *out_bad = "specs and targets";
  if (!specs_ok(p) || !targets_ok(p)) return false;
  *out_bad = "kernels";
  return kernels_ok(p);
}

// ---- the frame ----

static fst_status sections_locate(const char *name, const char *bytes, size_t len, fst_plan *p) {
  static const size_t sizes[] = {
#define X(id, field, type) sizeof(type),
    FST_PLAN_SECTIONS(X)
#undef X
  };
  for (int s = 0; s < FST_PLAN_SECTION_COUNT; s++) {
    uint64_t offset = p->header->sections[s].offset, count = p->header->sections[s].count;
    if (offset % 8 || offset < sizeof(fst_plan_header) || offset > len || count > (len - offset) / sizes[s])
      return FST_FAIL(FST_ERR_CORRUPT, "%s: the plan is damaged (section %d lies outside)", name, s);
  }
#define X(id, field, type)                                                          \
  p->field = (const type *)(bytes + p->header->sections[FST_PLAN_##id].offset);     \
  p->field##_count = p->header->sections[FST_PLAN_##id].count;
  FST_PLAN_SECTIONS(X)
#undef X
  return NULL;
}

fst_status fst_plan_open(const char *name, const void *bytes, size_t len, fst_plan *out) {
  const fst_plan_header *h = bytes;
  if (len < sizeof *h || h->magic != FST_PLAN_MAGIC) return FST_FAIL(FST_ERR_CORRUPT, "%s: not a Firesteel plan", name);
  if (h->version != FST_PLAN_VERSION || h->abi_version != FST_ABI_VERSION)
    return FST_FAIL(FST_ERR_UNSUPPORTED, "%s: compiled for another version of Firesteel (plan %u, interface %u; this runtime has %u and %u); compile it again",
                    name, h->version, h->abi_version, FST_PLAN_VERSION, FST_ABI_VERSION);
  if (h->bytes != len) return FST_FAIL(FST_ERR_CORRUPT, "%s: the plan is damaged (%zu bytes instead of %llu)", name, len, (unsigned long long)h->bytes);
  size_t covered = offsetof(fst_plan_header, bytes);
  if (fst_crc32c(0, (const char *)bytes + covered, len - covered) != h->crc)
    return FST_FAIL(FST_ERR_CORRUPT, "%s: the plan is damaged (its checksum does not match)", name);
  fst_plan plan = {.header = h};
  FST_TRY(sections_locate(name, bytes, len, &plan));
  const char *bad;
  if (!rows_ok(&plan, &bad)) return FST_FAIL(FST_ERR_CORRUPT, "%s: the plan is damaged (its %s contradict themselves)", name, bad);
  *out = plan;
  return NULL;
}
