// `firesteel inspect`: what a compiled file holds, as JSON, from the plan as the runtime reads it. Everything with
// a checksum is verified, code for other CPUs and weights included.
#define _GNU_SOURCE  // O_CLOEXEC
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "runtime/match.h"
#include "runtime/plan.h"
#include "runtime/zip.h"

typedef struct inspection {
  const char *path;
  fst_mapping file;
  fst_zip zip;
  fst_plan plan;
  fst_text out, damage;  // JSON so far; what is wrong, a line each
} inspection;

// ---- members ---------------------------------------------------------------------------------------

static fst_status member_bytes(const inspection *x, const char *name, const char **out_bytes, uint64_t *out_len) {
  fst_zip_member m;
  FST_TRY(fst_zip_find(&x->zip, name, &m));
  if (m.offset > x->file.size || m.bytes > x->file.size - m.offset) return FST_FAIL(FST_ERR_CORRUPT, "%s: member %s lies outside the file", x->path, name);
  *out_bytes = x->file.data + m.offset;
  *out_len = m.bytes;
  return NULL;
}

static void damage_add(inspection *x, fst_status status) {
  fst_text_printf(&x->damage, "%s%s", x->damage.len ? "; " : "", status->message);
  fst_error_free(status);
}

static bool target_check(inspection *x, const fst_plan_target *target) {
  fst_text name = {0};
  const char *bytes;
  uint64_t len;
  fst_text_printf(&name, "0/compiled/%s/code.bin", fst_plan_text(&x->plan, target->name));
  fst_status status = member_bytes(x, fst_text_cstr(&name), &bytes, &len);
  if (!status && (len != target->code_bytes || fst_crc32c(0, bytes, len) != target->code_crc)) status = FST_FAIL(FST_ERR_CORRUPT, "member %s is damaged", fst_text_cstr(&name));
  fst_text_deinit(&name);
  if (!status) return true;
  damage_add(x, status);
  return false;
}

// Megabytes of the weights whose checksum is wrong; also names the first.
static uint64_t weights_check(inspection *x) {
  const char *bytes;
  uint64_t len, wrong = 0, first = 0;
  fst_status status = member_bytes(x, "0/compiled/weights.bin", &bytes, &len);
  if (!status && len != x->plan.header->weights_bytes) status = FST_FAIL(FST_ERR_CORRUPT, "member 0/compiled/weights.bin has %" PRIu64 " bytes instead of %" PRIu64, len, x->plan.header->weights_bytes);
  for (uint64_t i = 0; !status && i < x->plan.crcs_count; i++) {
    uint64_t start = i * FST_PLAN_CRC_BLOCK, size = len - start < FST_PLAN_CRC_BLOCK ? len - start : FST_PLAN_CRC_BLOCK;
    if (start >= len || fst_crc32c(0, bytes + start, size) == x->plan.crcs[i]) continue;
    if (!wrong++) first = i;
  }
  if (wrong) status = FST_FAIL(FST_ERR_CORRUPT, "the weights are damaged: %" PRIu64 " pieces of 1 MB, the first at %" PRIu64 " MB", wrong, first);
  if (status) damage_add(x, status);
  return wrong;
}

// ---- JSON ------------------------------------------------------------------------------------------

static void json_text(fst_text *out, const char *bytes, size_t len) {
  fst_buf buf = {0};
  fst_buf_json(&buf, bytes, len);
  fst_text_puts(out, fst_buf_text(&buf));
  fst_buf_deinit(&buf);
}

static void json_string(inspection *x, uint32_t string) { json_text(&x->out, fst_plan_text(&x->plan, string), fst_plan_text_len(&x->plan, string)); }

static void json_described(inspection *x, fst_buf *buf) {
  json_text(&x->out, fst_buf_text(buf), strlen(fst_buf_text(buf)));
  fst_buf_deinit(buf);
}

static void json_pattern(inspection *x, uint32_t pattern) {
  fst_buf buf = {0};
  fst_describe_pattern(&buf, &x->plan, pattern);
  json_described(x, &buf);
}

static void json_type(inspection *x, uint32_t type) {
  fst_buf buf = {0};
  fst_describe_type(&buf, &x->plan, type);
  json_described(x, &buf);
}

static void signature_print(inspection *x, const fst_plan_method *m, const fst_plan_signature *s) {
  const fst_plan *p = &x->plan;
  fst_text_puts(&x->out, "{\"arguments\": {");
  for (uint32_t a = 0; a < m->arg_count; a++) {
    if (a) fst_text_puts(&x->out, ", ");
    json_string(x, p->args[m->args + a].name);
    fst_text_puts(&x->out, ": ");
    json_pattern(x, p->words[s->args + a]);
  }
  fst_text_puts(&x->out, "}, \"state\": {");
  for (uint32_t i = 0; i < s->state_count; i++) {
    if (i) fst_text_puts(&x->out, ", ");
    json_string(x, p->slots[p->words[s->state + 2 * i]].path);
    fst_text_puts(&x->out, ": ");
    json_pattern(x, p->words[s->state + 2 * i + 1]);
  }
  fst_text_printf(&x->out, "}, \"entry\": %u, \"arena_bytes\": ", s->entry);
  if (s->arena_bytes == UINT64_MAX) fst_text_puts(&x->out, "null}");
  else fst_text_printf(&x->out, "%" PRIu64 "}", s->arena_bytes);
}

static void method_print(inspection *x, const fst_plan_method *m) {
  const fst_plan *p = &x->plan;
  fst_text_puts(&x->out, "    {\"name\": ");
  json_string(x, m->name);
  fst_text_printf(&x->out, ", \"state\": %s, \"arguments\": [", m->flags & FST_PLAN_METHOD_STATE ? "true" : "false");
  for (uint32_t a = 0; a < m->arg_count; a++) {
    const fst_plan_arg *arg = &p->args[m->args + a];
    fst_text_puts(&x->out, a ? ", {\"name\": " : "{\"name\": ");
    json_string(x, arg->name);
    fst_text_puts(&x->out, ", \"type\": ");
    json_type(x, arg->type);
    fst_text_printf(&x->out, ", \"optional\": %s, \"written\": %s}", arg->initial ? "true" : "false", arg->flags & FST_PLAN_ARG_WRITTEN ? "true" : "false");
  }
  fst_text_puts(&x->out, "], \"signatures\": [");
  for (uint32_t s = 0; s < m->signature_count; s++) {
    fst_text_puts(&x->out, s ? ",\n      " : "\n      ");
    signature_print(x, m, &p->signatures[m->signatures + s]);
  }
  fst_text_puts(&x->out, "]}");
}

static void specs_print(inspection *x, const char *key, uint32_t wanted) {
  const fst_plan *p = &x->plan;
  bool first = true;
  fst_text_printf(&x->out, "  \"%s\": [", key);
  for (uint32_t i = 0; i < p->specs_count; i++) {
    const fst_plan_spec *spec = &p->specs[i];
    if ((spec->flags & FST_PLAN_SPEC_OUTPUT) != wanted) continue;
    fst_text_puts(&x->out, first ? "{\"name\": " : ", {\"name\": ");
    first = false;
    json_string(x, spec->name);
    fst_text_puts(&x->out, ", \"dtype\": ");
    json_string(x, spec->dtype);
    fst_text_puts(&x->out, ", \"shape\": [");
    for (uint32_t d = 0; d < spec->count; d++) {
      int64_t dim = p->ints[spec->first + d];
      if (d) fst_text_puts(&x->out, ", ");
      if (dim == FST_PLAN_DIM_ANY) fst_text_puts(&x->out, "null");
      else if (dim < 0) json_string(x, (uint32_t)(-1 - dim));
      else fst_text_printf(&x->out, "%" PRId64, dim);
    }
    fst_text_puts(&x->out, "]}");
  }
  fst_text_puts(&x->out, "],\n");
}

static void targets_print(inspection *x) {
  fst_text_puts(&x->out, "  \"targets\": [");
  for (uint32_t i = 0; i < x->plan.targets_count; i++) {
    const fst_plan_target *t = &x->plan.targets[i];
    fst_text_puts(&x->out, i ? ", {\"name\": " : "{\"name\": ");
    json_string(x, t->name);
    fst_text_printf(&x->out, ", \"code_bytes\": %" PRIu64 ", \"intact\": %s}", t->code_bytes, target_check(x, t) ? "true" : "false");
  }
  fst_text_puts(&x->out, "],\n");
}

static bool image_check(inspection *x, const fst_plan_image *image) {
  fst_text name = {0};
  const char *bytes;
  uint64_t len;
  fst_text_printf(&name, "0/compiled/" FST_PLAN_DEVICE_TARGET "/%s", fst_plan_text(&x->plan, image->name));
  fst_status status = member_bytes(x, fst_text_cstr(&name), &bytes, &len);
  if (!status && (len != image->bytes || fst_crc32c(0, bytes, len) != image->crc)) status = FST_FAIL(FST_ERR_CORRUPT, "member %s is damaged", fst_text_cstr(&name));
  fst_text_deinit(&name);
  if (!status) return true;
  damage_add(x, status);
  return false;
}

// Code for a device: the images, and what is launched of them.
static void kernels_print(inspection *x) {
  const fst_plan *p = &x->plan;
  if (!p->kernels_count) return;
  fst_text_puts(&x->out, "  \"images\": [");
  for (uint32_t i = 0; i < p->images_count; i++) {
    fst_text_puts(&x->out, i ? ", {\"name\": " : "{\"name\": ");
    json_string(x, p->images[i].name);
    fst_text_printf(&x->out, ", \"bytes\": %" PRIu64 ", \"intact\": %s}", p->images[i].bytes, image_check(x, &p->images[i]) ? "true" : "false");
  }
  fst_text_puts(&x->out, "],\n  \"kernels\": [");
  for (uint32_t i = 0; i < p->kernels_count; i++) {
    const fst_plan_kernel *k = &p->kernels[i];
    fst_text_puts(&x->out, i ? ",\n    {\"name\": " : "\n    {\"name\": ");
    json_string(x, k->name);
    fst_text_printf(&x->out, ", \"arguments\": %u, \"threads\": [%u, %u, %u], \"shared_bytes\": %u}", k->arg_count, k->threads[0], k->threads[1], k->threads[2], k->shared_bytes);
  }
  fst_text_puts(&x->out, "],\n");
}

static void strings_print(inspection *x, const char *key, const uint32_t *strings, uint32_t count) {
  fst_text_printf(&x->out, "  \"%s\": [", key);
  for (uint32_t i = 0; i < count; i++) {
    if (i) fst_text_puts(&x->out, ", ");
    json_string(x, strings[i]);
  }
  fst_text_puts(&x->out, "],\n");
}

static void plan_print(inspection *x) {
  const fst_plan *p = &x->plan;
  fst_text_puts(&x->out, "{\n  \"source\": ");
  json_string(x, p->header->source);
  fst_text_printf(&x->out, ",\n  \"source_hash\": \"%016" PRIx64 "\",\n  \"abi\": %u,\n", p->header->source_hash, p->header->abi_version);
  // The compiler wrote this as JSON; the reader has checked that it is text, not that it is an object.
  fst_text_puts(&x->out, "  \"info\": ");
  json_string(x, p->header->info);
  fst_text_printf(&x->out, ",\n  \"needs_libtorch\": %s,\n", p->header->flags & FST_PLAN_FLAG_BRIDGE ? "true" : "false");
  targets_print(x);
  kernels_print(x);
  strings_print(x, "fallback_ops", p->fallbacks, p->fallbacks_count);
  specs_print(x, "inputs", 0);
  specs_print(x, "outputs", FST_PLAN_SPEC_OUTPUT);
  fst_text_puts(&x->out, "  \"methods\": [");
  for (uint32_t i = 0; i < p->methods_count; i++) {
    fst_text_puts(&x->out, i ? ",\n" : "\n");
    method_print(x, &p->methods[i]);
  }
  fst_text_puts(&x->out, "],\n  \"state\": [");
  for (uint32_t i = 0; i < p->slots_count; i++) {
    if (i) fst_text_puts(&x->out, ", ");
    json_string(x, p->slots[i].path);
  }
  uint64_t wrong = weights_check(x);
  fst_text_printf(&x->out, "],\n  \"weights\": {\"bytes\": %" PRIu64 ", \"damaged_megabytes\": %" PRIu64 "}\n}\n", p->header->weights_bytes, wrong);
}

// ---- the command -----------------------------------------------------------------------------------

// The plan must lie at a multiple of 8 to be read in place; a file of another writer may not do that.
static fst_status plan_open(inspection *x, void **out_copy) {
  const char *bytes;
  uint64_t len;
  fst_status status = member_bytes(x, "0/compiled/plan.bin", &bytes, &len);
  if (status && status->code == FST_ERR_NOT_FOUND) {
    fst_error_free(status);
    return FST_FAIL(FST_ERR_INVALID, "'%s' holds no compiled model", x->path);
  }
  FST_TRY(status);
  *out_copy = malloc(len + 1);
  if (!*out_copy) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  memcpy(*out_copy, bytes, len);
  return fst_plan_open(x->path, *out_copy, len, &x->plan);
}

static fst_status inspect_zip(inspection *x) {
  void *plan = NULL;
  fst_status status = plan_open(x, &plan);
  if (!status) {
    plan_print(x);
    fputs(fst_text_cstr(&x->out), stdout);
    if (x->damage.len) status = FST_FAIL(FST_ERR_CORRUPT, "%s: %s", x->path, fst_text_cstr(&x->damage));
  }
  free(plan);
  fst_text_deinit(&x->out);
  fst_text_deinit(&x->damage);
  return status;
}

static fst_status inspect(const char *path) {
  inspection x = {.path = path};
  FST_TRY(fst_file_map(path, &x.file));
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  fst_status status = fd < 0 ? FST_FAIL(FST_ERR_IO, "cannot open '%s'", path) : fst_zip_open(fd, path, &x.zip);
  if (!status) {
    status = inspect_zip(&x);
    fst_zip_deinit(&x.zip);
  }
  if (fd >= 0) close(fd);
  fst_mapping_deinit(&x.file);
  return status;
}

int fst_command_inspect(int argc, char **argv) {
  fst_words words = {0};
  int code = fst_args_parse(fst_command_find("inspect"), argc, argv, NULL, 0, 1, 1, &words);
  if (code < 0) code = fst_report_status(inspect(words.data[0]));
  fst_vec_free(&words);
  return code;
}
