// Artifacts made in memory for tests of the runtime: a plan from the real writer, a stored zip as the driver
// writes it, and code whose entries jump to C functions of the test.
#ifndef FST_TESTS_UNIT_RUNTIME_FIXTURE_H
#define FST_TESTS_UNIT_RUNTIME_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/abi.h"
#include "base/crc32c.h"
#include "base/plan_write.h"
#include "base/text.h"

enum { FIXTURE_ENTRY_BYTES = 16 };

// code.bin with one entry per function: `mov rax, function; jmp rax`.
static inline void *fixture_code(const fst_entry *functions, uint32_t count, size_t *out_len) {
  size_t head = sizeof(fst_code_header) + count * sizeof(uint64_t), len = head + count * FIXTURE_ENTRY_BYTES;
  char *image = calloc(1, len);
  fst_code_header *h = (fst_code_header *)(void *)image;
  *h = (fst_code_header){FST_CODE_MAGIC, FST_ABI_VERSION, count, len};
  for (uint32_t i = 0; i < count; i++) {
    char *at = image + head + i * FIXTURE_ENTRY_BYTES;
    h->entries[i] = (uint64_t)(at - image);
    memcpy(at, "\x48\xb8", 2);
    memcpy(at + 2, &functions[i], 8);
    memcpy(at + 10, "\xff\xe0", 2);
  }
  *out_len = len;
  return image;
}

static inline void fixture_u16(fst_text *t, uint32_t v) { fst_text_append(t, (char[]){(char)v, (char)(v >> 8)}, 2); }
static inline void fixture_u32(fst_text *t, uint32_t v) {
  fixture_u16(t, v & 0xffff);
  fixture_u16(t, v >> 16);
}

typedef struct fixture_zip {
  fst_text file, directory;
  uint32_t count;
} fixture_zip;

// A stored member whose bytes start at a multiple of `align` (an extra field pads).
static inline void fixture_zip_add(fixture_zip *z, const char *name, const void *bytes, size_t len, size_t align) {
  size_t name_len = strlen(name), header = z->file.len, start = header + 30 + name_len;
  size_t pad = (align - start % align) % align;
  if (pad && pad < 4) pad += align;
  fixture_u32(&z->file, 0x04034b50);
  for (int i = 0; i < 5; i++) fixture_u16(&z->file, i == 0 ? 20 : 0);
  fixture_u32(&z->file, 0);
  fixture_u32(&z->file, (uint32_t)len);
  fixture_u32(&z->file, (uint32_t)len);
  fixture_u16(&z->file, (uint32_t)name_len);
  fixture_u16(&z->file, (uint32_t)pad);
  fst_text_append(&z->file, name, name_len);
  if (pad) {
    fixture_u16(&z->file, 0xffff);
    fixture_u16(&z->file, (uint32_t)(pad - 4));
    for (size_t i = 4; i < pad; i++) fst_text_putc(&z->file, 0);
  }
  fst_text_append(&z->file, bytes, len);
  fixture_u32(&z->directory, 0x02014b50);
  for (int i = 0; i < 6; i++) fixture_u16(&z->directory, i < 2 ? 20 : 0);
  fixture_u32(&z->directory, 0);
  fixture_u32(&z->directory, (uint32_t)len);
  fixture_u32(&z->directory, (uint32_t)len);
  fixture_u16(&z->directory, (uint32_t)name_len);
  for (int i = 0; i < 4; i++) fixture_u16(&z->directory, 0);
  fixture_u32(&z->directory, 0);
  fixture_u32(&z->directory, (uint32_t)header);
  fst_text_append(&z->directory, name, name_len);
  z->count++;
}

static inline void fixture_zip_end(fixture_zip *z) {
  size_t at = z->file.len;
  fst_text_append(&z->file, z->directory.data, z->directory.len);
  fixture_u32(&z->file, 0x06054b50);
  fixture_u32(&z->file, 0);
  fixture_u16(&z->file, z->count);
  fixture_u16(&z->file, z->count);
  fixture_u32(&z->file, (uint32_t)z->directory.len);
  fixture_u32(&z->file, (uint32_t)at);
  fixture_u16(&z->file, 0);
  fst_text_deinit(&z->directory);
}

// The finished artifact; the tables get target and weights noted and are destroyed.
static inline fst_text fixture_artifact(fst_plan_tables *t, const fst_entry *functions, uint32_t count, const void *weights, size_t weight_bytes) {
  size_t code_len, plan_len;
  void *code = fixture_code(functions, count, &code_len), *plan;
  fst_plan_target_add(t, "x86-64-v3", code, code_len);
  fst_plan_weights_set(t, weights, weight_bytes);
  assert_null(fst_plan_write(t, &plan, &plan_len));
  fixture_zip z = {0};
  fixture_zip_add(&z, "config.json", "{}", 2, 1);
  fixture_zip_add(&z, "0/compiled/plan.bin", plan, plan_len, 8);
  fixture_zip_add(&z, "0/compiled/x86-64-v3/code.bin", code, code_len, 4096);
  fixture_zip_add(&z, "0/compiled/weights.bin", weights, weight_bytes, 65536);
  fixture_zip_end(&z);
  free(code);
  free(plan);
  fst_plan_tables_destroy(t);
  return z.file;
}

#endif
