// The pass manager: order, limits for bisecting, dumps, stopping, what it refuses.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "passes/pass.h"

static const char text[] =
    "firesteel.module 1\nfunction \"f\" imported (%n : int) -> (int) {\n"
    "  %a : int = aten::add.int(1, 2)\n"
    "  %b : int = aten::mul.int(%a, 2)\n"
    "  %c : int = aten::add.int(%b, %n)\n"
    "  %d : int = aten::add.int(%b, %n)\n"
    "  %e : int = aten::sub.int(%c, %d)\n"
    "  return %c\n}\n";

typedef struct {
  char names[256];
  int with_sub;   // dumps in which the dead subtraction still stands
} dumps;

static void note_dump(void *context, const char *pass, const char *dump) {
  dumps *d = context;
  strcat(d->names, pass);
  strcat(d->names, ";");
  d->with_sub += strstr(dump, "aten::sub.int") != NULL;
}

static int nodes_after(const char *passes, fst_pipeline_options *options) {
  fst_module *m = NULL;
  fst_status status = fst_module_parse(text, strlen(text), "t", &m);
  if (status) fail_msg("%s", status->message);
  fst_graph *g = m->functions.data[0];
  status = fst_passes_run(g, passes, options);
  if (status) fail_msg("%s", status->message);
  int count = 0;
  for (FST_EACH_NODE(g, g->entry, n)) count++;
  fst_module_destroy(m);
  return count;
}

static void test_order_and_dumps(void **state) {
  (void)state;
  dumps d = {{0}, 0};
  fst_pipeline_options o = {.verify_each = true, .dump_after = "cse,dce", .limit = -1, .dump = note_dump, .dump_context = &d};
  assert_int_equal(nodes_after("canonicalize,cse,dce", &o), 2);   // add and return
  assert_string_equal(d.names, "cse;dce;");
  assert_int_equal(d.with_sub, 1);
  assert_int_equal(nodes_after("", &o), 6);
  assert_int_equal(nodes_after("canonicalize", NULL), 4);
}

static void test_limit(void **state) {
  (void)state;
  fst_pipeline_options o = {.verify_each = true, .limit_pass = "canonicalize"};
  for (int limit = 0; limit < 3; limit++) {   // each change removes one node
    o.limit = limit;
    assert_int_equal(nodes_after("canonicalize", &o), 6 - limit);
  }
  o.limit = 0;
  assert_int_equal(nodes_after("dce", &o), 4);   // another pass is not limited: what only %e used goes with it
}

static void test_stop(void **state) {
  (void)state;
  fst_pipeline_options o = {.limit = -1, .stop_after = "canonicalize"};
  assert_int_equal(nodes_after("canonicalize,cse,dce", &o), 4);
  o.stop_after = "imported";   // a stage that is reached after the first pass
  assert_int_equal(nodes_after("canonicalize,cse,dce", &o), 4);
  o.stop_after = "typed";
  assert_int_equal(nodes_after("canonicalize,cse,dce", &o), 2);
}

static void test_refusals(void **state) {
  (void)state;
  static const struct { const char *passes, *message; } cases[] = {
      {"canonicalize,nonsense", "no pass is called 'nonsense'"}, {"specialize", "needs a graph of stage inlined"}, {"plan", "needs a graph of stage fused"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fst_module *m = NULL;
    assert_null(fst_module_parse(text, strlen(text), "t", &m));
    fst_status status = fst_passes_run(m->functions.data[0], cases[i].passes, NULL);
    assert_non_null(status);
    if (!strstr(status->message, cases[i].message)) fail_msg("%s", status->message);
    fst_error_free(status);
    fst_module_destroy(m);
  }
}

static void test_table(void **state) {
  (void)state;
  for (uint32_t i = 0; i < fst_pass_count(); i++) {
    const fst_pass *pass = fst_pass_at(i);
    assert_ptr_equal(fst_pass_find(pass->name), pass);
    assert_true(pass->doc[0] && pass->run && pass->to >= pass->from);
  }
  assert_null(fst_pass_at(fst_pass_count()));
  assert_null(fst_pass_find("nonsense"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_order_and_dumps), cmocka_unit_test(test_limit), cmocka_unit_test(test_stop), cmocka_unit_test(test_refusals), cmocka_unit_test(test_table),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
