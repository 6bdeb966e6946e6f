#include "ir/ops.h"

#include <pthread.h>
#include <string.h>

#include "base/vec.h"
#include "ir/rows_basic.h"
#include "ir/rows_core.h"
#include "ir/rows_structured.h"

static const fst_op_info op_infos[] = {
    [FST_OP_UNKNOWN] = {.schema = "fst::unknown(...) -> ...", .effect = FST_IO, .cls = FST_CLASS_OPAQUE},
#define OP(id, text, ...) [FST_OP_##id] = {.schema = text, __VA_ARGS__},
#include "ir/ops.def"
#undef OP
};

// Parsed schemas and the index by name: derived from the table above, made once, never changed.
enum { NAME_SLOTS = 8192 };
_Static_assert(FST_OP_COUNT * 2 < NAME_SLOTS, "the index of names is at most half full");
static fst_arena schema_arena;
static fst_schema schemas[FST_OP_COUNT];
static uint16_t name_slots[NAME_SLOTS];   // op + 1
static pthread_once_t schemas_once = PTHREAD_ONCE_INIT;

static uint32_t name_slot(const char *name, size_t len) { return (uint32_t)fst_hash_bytes(name, len, 0) % NAME_SLOTS; }

static void schemas_make(void) {
  fst_arena_init(&schema_arena);
  for (uint32_t op = 0; op < FST_OP_COUNT; op++) {
    fst_status status = fst_schema_parse(&schema_arena, op_infos[op].schema, &schemas[op]);
    FST_ASSERT(!status, "row \"%s\": %s", op_infos[op].schema, status->message);
    uint32_t slot = name_slot(schemas[op].name, strlen(schemas[op].name));
    for (; name_slots[slot]; slot = (slot + 1) % NAME_SLOTS)
      FST_ASSERT(strcmp(schemas[name_slots[slot] - 1].name, schemas[op].name), "two rows for %s", schemas[op].name);
    name_slots[slot] = (uint16_t)(op + 1);
  }
}

const fst_op_info *fst_op_get(fst_op op) {
  FST_ASSERT(op < FST_OP_COUNT, "op %d", (int)op);
  return &op_infos[op];
}

const fst_schema *fst_op_schema(fst_op op) {
  FST_ASSERT(op < FST_OP_COUNT, "op %d", (int)op);
  pthread_once(&schemas_once, schemas_make);
  return &schemas[op];
}

const char *fst_op_name(fst_op op) { return fst_op_schema(op)->name; }

fst_op fst_op_find(const char *name, size_t len) {
  pthread_once(&schemas_once, schemas_make);
  for (uint32_t slot = name_slot(name, len); name_slots[slot]; slot = (slot + 1) % NAME_SLOTS) {
    const char *found = schemas[name_slots[slot] - 1].name;
    if (strlen(found) == len && !memcmp(found, name, len)) return (fst_op)(name_slots[slot] - 1);
  }
  return FST_OP_UNKNOWN;
}

int fst_schema_arg_index(const fst_schema *schema, const char *name) {
  for (uint32_t i = 0; i < schema->arg_count; i++)
    if (!strcmp(schema->args[i].name, name)) return (int)i;
  return -1;
}
