// Forms of a state slot: which hold of all that another holds of, and what is left when sizes are forgotten.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "driver/slot_form.h"

static fst_graph *home;

static int setup(void **state) {
  fst_module *module = fst_module_create();
  home = fst_graph_create(module, fst_intern(&module->strings, "home"));
  *state = module;
  return 0;
}
static int teardown(void **state) {
  fst_graph_destroy(home);
  fst_module_destroy(*state);
  return 0;
}

static fst_slot_form form(const char *text) {
  fst_slot_form out = {0};
  fst_status status = fst_type_parse(home->module->types, home->dims, &text, &out.type);
  if (status) fail_msg("%s", status->message);
  return out;
}
static fst_slot_form int_form(int64_t value) {
  fst_slot_form out = form("int");
  out.value = fst_const_int(home->module, value);
  return out;
}
static bool covers(const char *general, const char *special) { return fst_slot_form_covers(home, form(general), form(special)); }

static void sizes(void **state) {
  (void)state;
  assert_true(covers("f32[2, ?]", "f32[2, 3]"));
  assert_true(covers("f32[2, ?]", "f32[2, ?]"));
  assert_false(covers("f32[2, ?]", "f32[3, 3]"));
  assert_false(covers("f32[2, 3]", "f32[2, ?]"));
  assert_false(covers("f32[?]", "f32[2, 3]"));
  assert_false(covers("f32[?]", "f64[2]"));
  assert_false(covers("f32[?]", "int"));
  assert_true(covers("int", "int"));
  assert_false(covers("Tensor", "f32[2]"));   // true, but the general one has no native code
}

static void strides(void **state) {
  (void)state;
  assert_true(covers("f32[?, 4]{?, 1}", "f32[3, 4]{9, 1}"));
  assert_true(covers("f32[?, 4]{?, 1}", "f32[3, 4]{4, 1}"));
  assert_true(covers("f32[?, 4]", "f32[3, 4]{9, 2}"));
  assert_false(covers("f32[?, 4]{?, 1}", "f32[3, 4]{9, 2}"));
  assert_false(covers("f32[?, 4]{?, 1}", "f32[3, 4]"));
  assert_true(covers("f32[?, 4]{?, ?}", "f32[3, 4]{4, 1}"));    // row-major, both
  assert_false(covers("f32[?, 4]{?, ?}", "f32[3, 4]{9, 1}"));
  assert_false(covers("f32[?, 1]{?, 1}", "f32[3, 1]{1, 1}"));   // row-major: where the size is 1 any stride
  assert_false(covers("f32[?, 4]{?, 1}", "f32[0, 4]{4, 1}"));   // and when it is empty
}

static void values(void **state) {
  (void)state;
  assert_true(fst_slot_form_covers(home, form("int"), int_form(1)));
  assert_true(fst_slot_form_covers(home, int_form(1), int_form(1)));
  assert_false(fst_slot_form_covers(home, int_form(2), int_form(1)));
  assert_false(fst_slot_form_covers(home, int_form(1), form("int")));
}

static void forgetting(void **state) {
  (void)state;
  assert_int_equal(fst_slot_form_loosen(home, int_form(1)).value.id, 0);
  assert_int_equal(fst_slot_form_loosen(home, form("f32[2, 3]{3, 1}")).type.id, form("f32[?, ?]{?, ?}").type.id);
  assert_int_equal(fst_slot_form_loosen(home, form("f32[2, 3]{9, 1}")).type.id, form("f32[?, ?]").type.id);   // not row-major: it must not become so
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(sizes), cmocka_unit_test(strides), cmocka_unit_test(values), cmocka_unit_test(forgetting)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
