// plan.bin: what the writer writes the reader reads; nothing damaged gets through, and what contradicts
// itself behind a right checksum is refused or harmless.
#include "tests/unit/runtime_fixture.h"

#include "base/dtype.h"
#include "runtime/plan.h"

// A plan with something in every section.
static fst_plan_tables *rich_tables(void) {
  fst_plan_tables *t = fst_plan_tables_create();
  t->source = fst_plan_cstring_add(t, "m.pt");
  t->info = fst_plan_cstring_add(t, "{\"kernels\": 3}");
  uint32_t outer = fst_plan_loc_add(t, "code/__torch__/a.py", 3, 0);
  fst_plan_loc_add(t, "code/__torch__/b.py", 30, outer);
  fst_plan_exception_add(t, "ValueError");
  fst_plan_message_add(t, "size {} and {}");
  fst_plan_fallback_add(t, "aten::foo(Tensor a) -> Tensor");
  uint32_t storage = fst_plan_storage_add(t, 64, 48);
  uint32_t matrix = fst_plan_const_tensor(t, storage, 8, FST_F32, 2, (int64_t[]){2, 3}, (int64_t[]){3, 1});
  uint32_t backward = fst_plan_const_tensor(t, storage, 44, FST_F32, 1, (int64_t[]){12}, (int64_t[]){-1});
  uint32_t name = fst_plan_const_str(t, "key", 3), seven = fst_plan_const_scalar(t, FST_TAG_INT, 7), half = fst_plan_const_double(t, 0.5);
  uint32_t z = fst_plan_const_complex(t, 1, -2);
  uint32_t list = fst_plan_const_items(t, FST_TAG_LIST, (uint32_t[]){seven, seven}, 2);
  uint32_t tuple = fst_plan_const_items(t, FST_TAG_TUPLE, (uint32_t[]){name, list, z}, 3);
  uint32_t dict = fst_plan_const_dict(t, (uint32_t[]){name, half}, (uint32_t[]){matrix, tuple}, 2);
  uint32_t color = fst_plan_class_add(t, "Color", FST_PLAN_CLASS_ENUM, (uint32_t[]){fst_plan_cstring_add(t, "RED")}, (uint32_t[]){seven}, 1);
  uint32_t pair = fst_plan_class_add(t, "Pair", FST_PLAN_CLASS_PLAIN, (uint32_t[]){fst_plan_cstring_add(t, "a"), fst_plan_cstring_add(t, "b")}, NULL, 2);
  fst_plan_const_scalar(t, FST_TAG_ENUM, (int64_t)color << 32);
  uint32_t object = fst_plan_const_object(t, pair, (uint32_t[]){backward, dict}, 2);
  fst_plan_slot_add(t, "sub.cache", list);
  fst_plan_slot_add(t, "pair", object);
  uint32_t tensor = fst_plan_type_add(t, FST_PLAN_TY_TENSOR, "", NULL, NULL, 0);
  uint32_t lists = fst_plan_type_add(t, FST_PLAN_TY_LIST, "", &tensor, NULL, 1);
  uint32_t named = fst_plan_type_add(t, FST_PLAN_TY_TUPLE, "P", (uint32_t[]){tensor, lists}, (uint32_t[]){fst_plan_cstring_add(t, "x"), fst_plan_cstring_add(t, "n")}, 2);
  int64_t n = fst_plan_dim_symbol(0);
  uint32_t x = fst_plan_pattern_tensor(t, FST_F32, 2, (int64_t[]){n, 3}, NULL, 1);
  uint32_t y = fst_plan_pattern_tensor(t, FST_I64, 1, (int64_t[]){n}, (int64_t[]){fst_plan_dim_symbol(1)}, 0);
  uint32_t many = fst_plan_pattern_list(t, x, FST_PLAN_DIM_ANY);
  uint32_t keys = fst_plan_pattern_keys(t, &name, &y, 1);
  uint32_t both = fst_plan_pattern_tuple(t, (uint32_t[]){many, keys}, 2);
  fst_plan_pattern_dict(t, fst_plan_pattern_scalar(t, FST_TAG_STR), x);
  fst_plan_pattern_object(t, pair, (uint32_t[]){fst_plan_pattern_any(t), fst_plan_pattern_value(t, FST_TAG_FLOAT, half)}, 2);
  fst_plan_method_add(t, "forward", FST_PLAN_METHOD_STATE, &named, 1);
  fst_plan_arg_add(t, "x", tensor, 0, FST_PLAN_ARG_WRITTEN);
  fst_plan_arg_add(t, "p", named, tuple + 1, 0);
  fst_plan_signature_add(t, (uint32_t[]){x, both}, (uint32_t[]){0, fst_plan_pattern_list(t, fst_plan_pattern_int(t, 7), 2)}, 1, 2, 0, 1, 4096);
  fst_plan_spec_add(t, "x", "float32", 0, (int64_t[]){-1 - (int64_t)fst_plan_cstring_add(t, "N"), 3}, 2);
  fst_plan_spec_add(t, "out", "string", FST_PLAN_SPEC_OUTPUT, (int64_t[]){FST_PLAN_DIM_ANY}, 1);
  fst_plan_target_add(t, "x86-64-v3", "code", 4);
  static const char weights[(1 << 20) + 8];
  fst_plan_weights_set(t, weights, sizeof weights);
  return t;
}

static void *rich_plan(size_t *out_len) {
  fst_plan_tables *t = rich_tables();
  void *bytes;
  assert_null(fst_plan_write(t, &bytes, out_len));
  fst_plan_tables_destroy(t);
  return bytes;
}

static bool opens(const void *bytes, size_t len, fst_plan *out) {
  fst_status status = fst_plan_open("test", bytes, len, out);
  if (status) assert_non_null(strstr(status->message, "test: "));
  fst_error_free(status);
  return status == NULL;
}

static void what_is_written_is_read(void **state) {
  (void)state;
  size_t len;
  void *bytes = rich_plan(&len);
  fst_plan p;
  assert_true(opens(bytes, len, &p));
  assert_string_equal(fst_plan_text(&p, p.header->source), "m.pt");
  assert_int_equal(p.locs_count, 3);
  assert_string_equal(fst_plan_text(&p, p.locs[2].file), "code/__torch__/b.py");
  assert_int_equal(p.locs[2].caller, 1);
  assert_string_equal(fst_plan_text(&p, p.slots[0].path), "sub.cache");
  assert_int_equal(p.methods_count, 1);
  assert_string_equal(fst_plan_text(&p, p.methods[0].name), "forward");
  assert_int_equal(p.methods[0].arg_count, 2);
  assert_string_equal(fst_plan_text(&p, p.args[1].name), "p");
  assert_int_equal(p.consts[p.args[1].initial - 1].tag, FST_TAG_TUPLE);
  assert_int_equal(p.signatures[0].symbol_count, 2);
  assert_int_equal(p.header->weights_bytes, (1 << 20) + 8);
  assert_int_equal(p.crcs_count, 2);
  assert_int_equal(p.header->flags, FST_PLAN_FLAG_BRIDGE);
  free(bytes);
}

static void equal_plans_are_equal_bytes(void **state) {
  (void)state;
  size_t a_len, b_len;
  void *a = rich_plan(&a_len), *b = rich_plan(&b_len);
  assert_int_equal(a_len, b_len);
  assert_memory_equal(a, b, a_len);
  free(a);
  free(b);
}

static void every_truncation_is_refused(void **state) {
  (void)state;
  size_t len;
  char *bytes = rich_plan(&len);
  for (size_t cut = 0; cut < len; cut++) {
    char *part = malloc(cut + 1);  // of its own, so that reading past the end is seen
    memcpy(part, bytes, cut);
    part = realloc(part, cut ? cut : 1);
    fst_plan p;
    assert_false(opens(part, cut, &p));
    free(part);
  }
  free(bytes);
}

static void every_flipped_bit_is_refused(void **state) {
  (void)state;
  size_t len;
  char *bytes = rich_plan(&len);
  for (size_t bit = 0; bit < len * 8; bit++) {
    bytes[bit / 8] ^= (char)(1 << bit % 8);
    fst_plan p;
    assert_false(opens(bytes, len, &p));
    bytes[bit / 8] ^= (char)(1 << bit % 8);
  }
  free(bytes);
}

// Touches all that a plan leads to; what the checks missed shows as a sanitizer's report.
static uint64_t plan_walk(const fst_plan *p) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < p->strings_count; i++) sum += strlen(fst_plan_text(p, i));
  for (uint32_t i = 0; i < p->locs_count; i++)
    for (uint32_t at = i; at; at = p->locs[at].caller) sum += strlen(fst_plan_text(p, p->locs[at].file));
  for (uint32_t i = 0; i < p->types_count; i++)
    for (uint32_t k = 0; k < p->types[i].count; k++) sum += p->types[p->words[p->types[i].first + k]].kind;
  for (uint32_t i = 0; i < p->consts_count; i++) {
    const fst_plan_const *c = &p->consts[i];
    uint32_t items = c->tag == FST_TAG_DICT ? 2 * c->count : c->tag == FST_TAG_LIST || c->tag == FST_TAG_TUPLE || c->tag == FST_TAG_OBJECT ? c->count : 0;
    for (uint32_t k = 0; k < items; k++) sum += p->consts[p->words[c->first + k]].tag;
    for (uint32_t k = 0; c->tag == FST_TAG_TENSOR && k < 2 * c->count; k++) sum += (uint64_t)p->ints[c->first + k];
    if (c->tag == FST_TAG_TENSOR) sum += p->storages[c->aux].bytes;
  }
  for (uint32_t i = 0; i < p->methods_count; i++) {
    const fst_plan_method *m = &p->methods[i];
    for (uint32_t k = 0; k < m->arg_count; k++) sum += p->types[p->args[m->args + k].type].kind;
    for (uint32_t s = 0; s < m->signature_count; s++)
      for (uint32_t k = 0; k < m->arg_count; k++) sum += p->patterns[p->words[p->signatures[m->signatures + s].args + k]].tag;
  }
  return sum;
}

static void reseal(char *bytes, size_t len) {
  fst_plan_header *h = (fst_plan_header *)(void *)bytes;
  size_t covered = offsetof(fst_plan_header, bytes);
  h->crc = fst_crc32c(0, bytes + covered, len - covered);
}

static void damage_behind_a_right_checksum_is_harmless(void **state) {
  (void)state;
  size_t len;
  char *bytes = rich_plan(&len);
  int refused = 0, taken = 0;
  uint64_t sum = 0;
  static const unsigned char values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
  for (size_t at = offsetof(fst_plan_header, bytes); at < len; at++) {
    for (size_t v = 0; v < sizeof values; v++) {
      char was = bytes[at];
      if (was == (char)values[v]) continue;
      bytes[at] = (char)values[v];
      reseal(bytes, len);
      fst_plan p;
      bool ok = opens(bytes, len, &p);
      if (ok) sum += plan_walk(&p);
      refused += !ok;
      taken += ok;
      bytes[at] = was;
    }
  }
  assert_true(refused > 500 && taken > 100 && sum > 0);  // both sides of the check were exercised
  free(bytes);
}

static void tensors_outside_their_storage_are_refused(void **state) {
  (void)state;
  const struct { int64_t offset, size, stride; bool ok; } cases[] = {
    {0, 12, 1, true}, {0, 13, 1, false}, {4, 12, 1, false}, {44, 12, -1, true}, {40, 12, -1, false}, {0, 2, 11, true},
    {0, 2, 12, false}, {0, INT64_MAX, INT64_MAX, false}, {0, 3, INT64_MIN, false}, {48, 0, 1, true}, {49, 0, 1, false}, {2, 1, 1, false}, {0, -1, 1, false}, {-4, 1, 1, false},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fst_plan_tables *t = fst_plan_tables_create();
    uint32_t storage = fst_plan_storage_add(t, 0, 48);
    fst_plan_const_tensor(t, storage, cases[i].offset, FST_F32, 1, &cases[i].size, &cases[i].stride);
    static const char weights[48];
    fst_plan_weights_set(t, weights, 48);
    void *bytes;
    size_t len;
    assert_null(fst_plan_write(t, &bytes, &len));
    fst_plan_tables_destroy(t);
    fst_plan p;
    if (opens(bytes, len, &p) != cases[i].ok) fail_msg("case %zu", i);
    free(bytes);
  }
}

static void endless_nesting_is_refused(void **state) {
  (void)state;
  for (int depth = 50; depth <= 200; depth += 150) {
    fst_plan_tables *t = fst_plan_tables_create();
    uint32_t type = fst_plan_type_add(t, FST_PLAN_TY_INT, "", NULL, NULL, 0);
    for (int i = 0; i < depth; i++) type = fst_plan_type_add(t, FST_PLAN_TY_LIST, "", &type, NULL, 1);
    void *bytes;
    size_t len;
    assert_null(fst_plan_write(t, &bytes, &len));
    fst_plan_tables_destroy(t);
    fst_plan p;
    assert_int_equal(opens(bytes, len, &p), depth < 100);
    free(bytes);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_is_written_is_read),
    cmocka_unit_test(equal_plans_are_equal_bytes),
    cmocka_unit_test(every_truncation_is_refused),
    cmocka_unit_test(every_flipped_bit_is_refused),
    cmocka_unit_test(damage_behind_a_right_checksum_is_harmless),
    cmocka_unit_test(tensors_outside_their_storage_are_refused),
    cmocka_unit_test(endless_nesting_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
