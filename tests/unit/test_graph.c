// Graphs: building, use lists, copying, dominance; the verifier on graphs that no text can say; schemas and the op table.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ir/graph.h"

static void expect_ok(fst_status status) {
  if (status) fail_msg("%s", status->message);
}

static fst_module *parse(const char *text) {
  fst_module *m = NULL;
  expect_ok(fst_module_parse(text, strlen(text), "test", &m));
  return m;
}

static void expect_offence(const fst_graph *g, const char *expected) {
  fst_status status = fst_graph_verify(g);
  if (!status) fail_msg("verified, in spite of: %s", expected);
  if (!strstr(status->message, expected)) fail_msg("\"%s\" is not in \"%s\"", expected, status->message);
  fst_error_free(status);
}

static fst_value_id result(const fst_graph *g, fst_node_id n, uint32_t i) { return fst_node_get(g, n)->results[i]; }

typedef struct {
  fst_module *m;
  fst_graph *g;
  fst_type tensor;
  fst_value_id x;
  fst_node_id relu, sig, ret;
} fixture;

// x -> relu -> sigmoid -> return
static fixture small(void) {
  fixture f = {.m = fst_module_create()};
  f.g = fst_graph_create(f.m, fst_intern(&f.m->strings, "f"));
  f.tensor = fst_type_tensor_any(f.m->types);
  f.x = fst_block_add_param(f.g, f.g->entry, f.tensor, fst_intern(&f.m->strings, "x"));
  f.relu = fst_node_create(f.g, fst_op_find("aten::relu", 10), &f.x, 1, 1, FST_NO_LOC);
  fst_value_id r = result(f.g, f.relu, 0);
  f.sig = fst_node_create(f.g, fst_op_find("aten::sigmoid", 13), &r, 1, 1, FST_NO_LOC);
  fst_value_id s = result(f.g, f.sig, 0);
  f.ret = fst_node_create(f.g, FST_OP_RETURN, &s, 1, 0, FST_NO_LOC);
  fst_node_append(f.g, f.g->entry, f.relu);
  fst_node_append(f.g, f.g->entry, f.ret);
  fst_node_insert_before(f.g, f.ret, f.sig);
  fst_value_set_type(f.g, r, f.tensor);
  fst_value_set_type(f.g, s, f.tensor);
  fst_vec_push(&f.g->result_types, f.tensor);
  fst_module_add_function(f.m, f.g);
  return f;
}

static void test_building(void **state) {
  (void)state;
  fixture f = small();
  fst_graph *g = f.g;
  expect_ok(fst_graph_verify(g));
  assert_int_equal(fst_value_get(g, f.x)->uses.len, 1);
  fst_value_id r = result(g, f.relu, 0), s = result(g, f.sig, 0);
  fst_value_replace(g, s, r);
  assert_int_equal(fst_value_get(g, s)->uses.len, 0);
  assert_int_equal(fst_value_get(g, r)->uses.len, 2);
  fst_node_erase(g, f.sig);
  assert_int_equal(fst_node_get(g, f.sig)->block.id, 0);
  expect_ok(fst_graph_verify(g));
  fst_node_set_operand(g, f.ret, 0, f.x);
  assert_int_equal(fst_value_get(g, f.x)->uses.len, 2);
  fst_node_move_before(g, f.relu, f.relu);
  expect_ok(fst_graph_verify(g));
  fst_module_destroy(f.m);
}

static void test_operands(void **state) {
  (void)state;
  fixture f = small();
  fst_graph *g = f.g;
  fst_node_id list = fst_node_create(g, FST_OP_LIST_CONSTRUCT, NULL, 0, 1, FST_NO_LOC);
  fst_node_insert_after(g, f.relu, list);
  fst_value_set_type(g, result(g, list, 0), fst_type_list(f.m->types, f.tensor));
  for (int i = 0; i < 100; i++) fst_node_add_operand(g, list, i % 3 ? f.x : result(g, f.relu, 0));
  expect_ok(fst_graph_verify(g));
  for (int i = 0; i < 90; i++) fst_node_remove_operand(g, list, (uint32_t)(i * 7) % fst_node_get(g, list)->operand_count);
  assert_int_equal(fst_node_get(g, list)->operand_count, 10);
  expect_ok(fst_graph_verify(g));
  // Results move up when one before them goes.
  fst_value_id list_value = result(g, list, 0);
  fst_node_id unpack = fst_node_create(g, FST_OP_LIST_UNPACK, &list_value, 1, 0, FST_NO_LOC);
  fst_node_insert_after(g, list, unpack);
  fst_value_id a = fst_node_add_result(g, unpack, f.tensor), b = fst_node_add_result(g, unpack, f.tensor);
  fst_node_set_operand(g, f.ret, 0, b);
  fst_node_remove_result(g, unpack, 0);
  assert_int_equal(fst_value_get(g, b)->index, 0);
  assert_int_equal(fst_node_get(g, unpack)->result_count, 1);
  assert_int_equal(fst_value_get(g, a)->node.id, 0);
  expect_ok(fst_graph_verify(g));
  fst_module_destroy(f.m);
}

static void test_constants(void **state) {
  (void)state;
  fst_module *m = fst_module_create();
  fst_graph *g = fst_graph_create(m, 0), *h = fst_graph_create(m, 0);
  assert_true(fst_value_eq(fst_graph_const_int(g, 3), fst_graph_const_int(g, 3)));
  assert_false(fst_value_eq(fst_graph_const_int(g, 1), fst_graph_const_bool(g, true)));
  assert_false(fst_value_eq(fst_graph_const_float(g, 0.0), fst_graph_const_float(g, -0.0)));
  assert_true(fst_value_eq(fst_graph_const_float(g, 0.0 / 0.0), fst_graph_const_float(g, 0.0 / 0.0)));
  int64_t i = 0;
  bool b = false;
  double d = 0;
  assert_true(fst_value_const_int(g, fst_graph_const_int(g, -7), &i) && i == -7);
  assert_true(fst_value_const_bool(g, fst_graph_const_bool(g, true), &b) && b);
  assert_true(fst_value_const_float(g, fst_graph_const_float(g, 2.5), &d) && d == 2.5);
  assert_false(fst_value_const_int(g, fst_graph_const_float(g, 2.5), &i));
  assert_true(fst_value_is_none(g, fst_graph_const_none(g)));
  assert_true(fst_dim_is_const(g->dims, fst_value_get(g, fst_graph_const_int(g, -7))->sym, &i) && i == -7);
  fst_type ints = fst_type_list(m->types, fst_type_simple(m->types, FST_TY_INT));
  fst_const items[2] = {fst_const_int(m, 1), fst_const_int(m, 2)};
  fst_const one = fst_const_tuple(m, ints, items, 2);
  items[1] = fst_const_int(m, 3);   // the constant has a copy
  assert_int_equal(fst_const_get(m, one)->items[1].id, fst_const_int(m, 2).id);
  assert_true(fst_const_tuple(m, ints, items, 2).id != one.id);
  int64_t sizes[2] = {2, 3};
  void *data;
  uint32_t tensor = fst_module_new_tensor(m, FST_F32, 2, sizes, &data);
  ((float *)data)[5] = 1.5f;
  assert_true(((const float *)fst_module_tensor_data(m, tensor))[5] == 1.5f);
  assert_int_equal((uintptr_t)data % 64, 0);
  expect_ok(fst_module_map(m, NULL, 0, NULL, 0));
  fst_graph_destroy(g);
  fst_graph_destroy(h);
  fst_module_destroy(m);
}

static void test_map_checks_bounds(void **state) {
  (void)state;
  static const struct { const char *text, *error; } cases[] = {
      {"storage 0 bytes 16 archive 0\ntensor 0 f32[4]{1} storage 0 offset 0", NULL},
      {"storage 0 bytes 16 archive 64\ntensor 0 f32[4]{1} storage 0 offset 0", "outside the archive"},
      {"storage 0 bytes 16 archive 18446744073709551610\n", "outside the archive"},
      {"storage 0 bytes 16 archive 0\ntensor 0 f32[4]{1} storage 0 offset 1", "reaches outside"},
      {"storage 0 bytes 16 archive 0\ntensor 0 f32[2, 2]{3, 1} storage 0 offset 0", "reaches outside"},
      {"storage 0 bytes 16 archive 0\ntensor 0 f32[2, 0]{9, 9} storage 0 offset 0", NULL},
      {"storage 0 bytes 16 archive 0\ntensor 0 f32[4]{4611686018427387904} storage 0 offset 0", "reaches outside"},
      {"storage 0 bytes 16 archive 0\ntensor 0 f32[4]{0} storage 0 offset 3", NULL},
  };
  static const char bytes[64];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fst_text text = {0};
    fst_text_printf(&text, "firesteel.module 1\n%s", cases[i].text);
    fst_module *m = parse(text.data);
    fst_status status = fst_module_map(m, bytes, sizeof bytes, NULL, 0);
    if (!cases[i].error) expect_ok(status);
    else if (!status || !strstr(status->message, cases[i].error)) fail_msg("%s: %s", cases[i].text, status ? status->message : "accepted");
    fst_error_free(status);
    fst_module_destroy(m);
    fst_text_deinit(&text);
  }
}

static void test_locations(void **state) {
  (void)state;
  fst_module *m = fst_module_create();
  fst_vec_push(&m->files, fst_intern(&m->strings, "code/a.py"));
  fst_vec_push(&m->files, fst_intern(&m->strings, "code/b.py"));
  fst_loc inner = fst_loc_make(m, 0, 12, FST_NO_LOC), outer = fst_loc_make(m, 1, 34, FST_NO_LOC), top = fst_loc_make(m, 1, 56, FST_NO_LOC);
  fst_loc once = fst_loc_inline(m, inner, outer), twice = fst_loc_inline(m, once, top);
  assert_true(fst_loc_inline(m, inner, outer).id == once.id);
  assert_true(fst_loc_inline(m, FST_NO_LOC, outer).id == outer.id);
  fst_text text = {0};
  fst_loc_print(m, twice, &text);
  assert_string_equal(fst_text_cstr(&text), "code/a.py:12 (called from code/b.py:34) (called from code/b.py:56)");
  fst_text_deinit(&text);
  fst_module_destroy(m);
}

static const char loop_text[] =
    "firesteel.module 1\n"
    "function \"f\" imported (%n : int, %x : Tensor, %c : bool) -> (Tensor) {\n"
    "  %y : Tensor = aten::relu(%x)\n"
    "  %z : Tensor = prim::Loop(%n, true, %y) {\n"
    "    ^(%i : int, %a : Tensor)\n"
    "    %b : Tensor = prim::If(%c) {\n"
    "      %d : Tensor = aten::mul.Tensor(%a, %y)\n"
    "      yield %d\n"
    "    } {\n"
    "      yield %a\n"
    "    }\n"
    "    yield true, %b\n"
    "  }\n"
    "  return %z\n"
    "}\n";

static void test_dominance(void **state) {
  (void)state;
  fst_module *m = parse(loop_text);
  fst_graph *g = m->functions.data[0];
  fst_node_id relu = fst_block_get(g, g->entry)->first, loop = fst_node_get(g, relu)->next;
  const fst_block *body = fst_block_get(g, fst_node_get(g, loop)->blocks[0]);
  fst_node_id branch = body->first, mul = fst_block_get(g, fst_node_get(g, branch)->blocks[0])->first;
  fst_value_id y = result(g, relu, 0), b = result(g, branch, 0), d = result(g, mul, 0), a = body->params.data[1];
  assert_true(fst_value_dominates(g, y, mul));
  assert_true(fst_value_dominates(g, a, mul));
  assert_false(fst_value_dominates(g, b, mul));
  assert_true(fst_value_dominates(g, b, body->last));
  assert_false(fst_value_dominates(g, d, body->last));
  assert_false(fst_value_dominates(g, a, fst_node_get(g, loop)->next));
  assert_false(fst_value_dominates(g, y, relu));
  assert_true(fst_value_dominates(g, fst_graph_const_int(g, 1), relu));
  assert_true(fst_block_contains(g, g->entry, mul));
  assert_false(fst_block_contains(g, fst_node_get(g, branch)->blocks[1], mul));
  fst_module_destroy(m);
}

static void test_clone_node(void **state) {
  (void)state;
  fst_module *m = parse(loop_text);
  fst_graph *g = m->functions.data[0];
  fst_node_id loop = fst_node_get(g, fst_block_get(g, g->entry)->first)->next, ret = fst_node_get(g, loop)->next;
  fst_map map = {0};
  fst_node_id copy = fst_node_clone(g, g->entry, ret, g, loop, &map);
  fst_node_set_operand(g, ret, 0, result(g, copy, 0));
  expect_ok(fst_graph_verify(g));
  assert_int_equal(fst_value_get(g, result(g, loop, 0))->uses.len, 0);
  fst_node_erase(g, loop);   // with its blocks
  expect_ok(fst_graph_verify(g));
  fst_map_deinit(&map);
  fst_module *again = parse(loop_text);
  assert_true(fst_graph_hash(g) == fst_graph_hash(again->functions.data[0]));
  fst_module_destroy(again);
  fst_module_destroy(m);
}

// Copies into another graph bring their sizes into its table.
static void test_clone_keeps_sizes(void **state) {
  (void)state;
  fst_module *m = parse("firesteel.module 1\nfunction \"f\" typed (%x : f32[s0, s1 + 1]{s1 + 1, 1}, %n : int(i2), %m : int(s1)) -> (f32[s1 + 1, s0]) {\n"
                        "  %y : f32[s1 + 1, s0]{1, s1 + 1} = aten::t(%x)\n  return %y\n}\n");
  fst_graph *g = m->functions.data[0], *copy = fst_graph_clone(g, fst_intern(&m->strings, "g"));
  assert_true(fst_graph_hash(g) == fst_graph_hash(copy));
  assert_int_equal(fst_dims_symbol_count(copy->dims), 3);
  expect_ok(fst_graph_verify(copy));
  fst_graph_destroy(copy);
  fst_module_destroy(m);
}

static void test_verifier(void **state) {
  (void)state;
  fixture f = small();
  fst_value_set_type(f.g, result(f.g, f.relu, 0), FST_NO_TYPE);
  expect_offence(f.g, "has no type");
  fst_module_destroy(f.m);

  f = small();
  fst_node_move_before(f.g, f.relu, f.sig);
  expect_offence(f.g, "aten::sigmoid: operand 0 (value 2) is not defined before it");
  fst_module_destroy(f.m);

  f = small();
  fst_node_get(f.g, f.sig)->operands[0] = f.x;   // past the header
  expect_offence(f.g, "are not listed exactly");
  fst_module_destroy(f.m);

  f = small();
  fst_node_create(f.g, FST_OP_PRINT, &f.x, 1, 0, FST_NO_LOC);   // made and forgotten
  expect_offence(f.g, "are not listed exactly");
  fst_module_destroy(f.m);

  f = small();
  fst_node_erase(f.g, f.ret);
  expect_offence(f.g, "a block ends in yield or return");
  fst_module_destroy(f.m);

  f = small();
  fst_node_get(f.g, f.relu)->results[0] = result(f.g, f.sig, 0);
  expect_offence(f.g, "does not know where it is defined");
  fst_node_get(f.g, f.relu)->results[0].id = 12345;
  expect_offence(f.g, "a value that does not exist");
  fst_module_destroy(f.m);
}

// ---- schemas and the table -------------------------------------------------------------------------

static void test_schemas(void **state) {
  (void)state;
  fst_arena arena;
  fst_arena_init(&arena);
  fst_schema s;
  expect_ok(fst_schema_parse(&arena, "aten::conv.x(Tensor(a!) self, SymInt[2] stride=[1, 1], *, Scalar? alpha=None, str mode=\"a, (b\") -> (Tensor(a!) out, Dict(str, t)(b|c)[] rest)", &s));
  assert_string_equal(s.name, "aten::conv.x");
  assert_int_equal(s.arg_count, 4);
  assert_string_equal(s.args[0].type, "Tensor");
  assert_true(s.args[0].alias == 'a' && s.args[0].is_written && !s.args[0].kwarg_only);
  assert_string_equal(s.args[1].type, "int[]");
  assert_int_equal(s.args[1].fixed_size, 2);
  assert_string_equal(s.args[1].default_text, "[1, 1]");
  assert_string_equal(s.args[2].type, "Scalar?");
  assert_true(s.args[2].kwarg_only && s.args[2].alias == 0);
  assert_string_equal(s.args[3].default_text, "\"a, (b\"");
  assert_int_equal(s.ret_count, 2);
  assert_string_equal(s.rets[0].name, "out");
  assert_string_equal(s.rets[1].type, "Dict(str, t)[]");
  assert_true(s.rets[1].alias == 'b');
  assert_int_equal(fst_schema_arg_index(&s, "alpha"), 2);
  assert_int_equal(fst_schema_arg_index(&s, "beta"), -1);
  expect_ok(fst_schema_parse(&arena, "prim::X(...) -> ...", &s));
  assert_true(s.is_vararg && s.is_varret && s.arg_count == 0 && s.ret_count == 0);
  expect_ok(fst_schema_parse(&arena, "aten::append.t(t[](a!) self, t(c -> *) el) -> t[](a!)", &s));
  assert_string_equal(s.args[0].type, "t[]");
  assert_string_equal(s.args[1].type, "t");
  assert_true(s.args[0].is_written && !s.args[1].is_written && s.args[1].alias == 'c');
  expect_ok(fst_schema_parse(&arena, "aten::items.str(Dict(str, t) self) -> ((str, t)[])", &s));
  assert_int_equal(s.ret_count, 1);
  assert_string_equal(s.rets[0].type, "(str, t)[]");
  expect_ok(fst_schema_parse(&arena, "a::b(Future(t) x, Tensor(*) y) -> ()", &s));
  assert_string_equal(s.args[0].type, "Future(t)");
  assert_true(s.args[1].alias == '*' && s.ret_count == 0);
  static const char *const bad[] = {"", "x", "x(", "x()", "x() -> ", "x(Tensor) -> ()", "(Tensor a) -> ()", "x(=3 a) -> ()", "x y(int a) -> ()"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    fst_status status = fst_schema_parse(&arena, bad[i], &s);
    if (!status) fail_msg("accepted: %s", bad[i]);
    fst_error_free(status);
  }
  fst_arena_deinit(&arena);
}

static void test_defaults(void **state) {
  (void)state;
  fst_module *m = fst_module_create();
  static const struct { const char *arg, *text; } cases[] = {
      {"int a=3", "3"}, {"float a=3", "3.0"}, {"float a=1.0000000000000001e-05", "1e-05"}, {"Scalar a=1", "1"}, {"bool a=True", "true"},
      {"Tensor? a=None", "None"}, {"str a=\"mean\"", "\"mean\""}, {"str a=\" \\n\\t\\f\\v\"", "\" \\n\\t\\x0c\\x0b\""}, {"int[2] a=1", "[1, 1]"},
      {"int[] a=[]", "int[]"}, {"int[1] a=[0]", "[0]"}, {"float[] a=[1.5]", "float[1.5]"}, {"int[2]? a=None", "None"}, {"bool[3] a=[True, False, True]", "bool[true, false, true]"},
      {"int a=-1", "-1"}};
  fst_arena arena;
  fst_arena_init(&arena);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fst_schema s;
    fst_const c;
    fst_text text = {0};
    expect_ok(fst_schema_parse(&arena, fst_arena_printf(&arena, "x(%s) -> ()", cases[i].arg), &s));
    assert_true(fst_schema_default(m, &s.args[0], &c));
    fst_const_print(m, c, &text);
    assert_string_equal(fst_text_cstr(&text), cases[i].text);
    fst_text_deinit(&text);
  }
  fst_arena_deinit(&arena);
  fst_module_destroy(m);
}

// Every row says what it does and how its class is treated; every name finds its row; in-place forms name a row.
// (requires_grad_ and its like write what no model computes with: they are views.)
static void test_op_table(void **state) {
  (void)state;
  for (uint32_t op = 1; op < FST_OP_COUNT; op++) {
    const fst_op_info *row = fst_op_get((fst_op)op);
    const fst_schema *s = fst_op_schema((fst_op)op);
    if (row->effect == FST_EFFECT_UNSET || row->cls == FST_CLASS_UNSET) fail_msg("%s: effect and class must be stated", s->name);
    assert_int_equal(fst_op_find(s->name, strlen(s->name)), op);
    if (row->inplace_of && fst_op_find(row->inplace_of, strlen(row->inplace_of)) == FST_OP_UNKNOWN) fail_msg("%s: no row for %s", s->name, row->inplace_of);
    bool writes = false;
    for (uint32_t i = 0; i < s->arg_count; i++) writes = writes || s->args[i].is_written;
    if (writes && row->cls != FST_CLASS_VIEW && row->effect != FST_WRITES && row->effect != FST_RANDOM && row->effect != FST_IO) fail_msg("%s writes an operand, and its row does not say so", s->name);
    if (row->cls == FST_CLASS_SCALAR && (!row->scalar || !row->promote)) fail_msg("%s: a scalar op needs its expression and the type it is computed in", s->name);
    if (row->compose && strstr(row->compose, "{}")) fail_msg("%s: a {} in the composition names no number or tensor", s->name);
    fst_arena arena;   // every default is one we can read
    fst_arena_init(&arena);
    fst_module *m = fst_module_create();
    fst_const c;
    for (uint32_t i = 0; i < s->arg_count; i++)
      if (s->args[i].default_text && !fst_schema_default(m, &s->args[i], &c)) fail_msg("%s: default of %s: %s", s->name, s->args[i].name, s->args[i].default_text);
    fst_module_destroy(m);
    fst_arena_deinit(&arena);
  }
  assert_int_equal(fst_op_find("aten::nonsense", 14), FST_OP_UNKNOWN);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_building), cmocka_unit_test(test_operands), cmocka_unit_test(test_constants), cmocka_unit_test(test_map_checks_bounds),
      cmocka_unit_test(test_locations), cmocka_unit_test(test_dominance), cmocka_unit_test(test_clone_node), cmocka_unit_test(test_clone_keeps_sizes),
      cmocka_unit_test(test_verifier), cmocka_unit_test(test_schemas), cmocka_unit_test(test_defaults), cmocka_unit_test(test_op_table),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
