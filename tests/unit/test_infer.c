// What inference functions share: broadcasting of symbolic sizes against arithmetic, promotion, list operands.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ir/infer.h"

static fst_module *parse(const char *text) {
  fst_module *m = NULL;
  fst_status status = fst_module_parse(text, strlen(text), "test", &m);
  if (status) fail_msg("%s", status->message);
  return m;
}

// A reader of the last node before the return of the only function.
static fst_infer reader(fst_module *m, fst_arena *arena) {
  fst_graph *g = m->functions.data[0];
  fst_node_id node = fst_node_get(g, fst_block_terminator(g, g->entry))->prev;
  fst_infer in = {.graph = g, .node = node, .dims = g->dims, .types = m->types, .arena = arena};
  in.results = FST_NEW_ARRAY(arena, fst_type, 4);
  return in;
}

static const char plain[] = "firesteel.module 1\nfunction \"f\" typed (%x : f32[s0, s1]{s1, 1}) -> (f32[s0, s1]) {\n"
                            "  %y : f32[s0, s1]{s1, 1} = aten::relu(%x)\n  return %y\n}\n";

static void check_point(fst_infer *in, fst_dim out, int64_t a, int64_t b) {
  int64_t symbols[2] = {a, b}, value, x, y;
  bool fits = a == b || a == 1 || b == 1, guarded = true;
  for (size_t i = 0; i < in->guards.len; i++) {
    if (!fst_dim_evaluate(in->dims, in->guards.data[i].a, symbols, 2, &x) || !fst_dim_evaluate(in->dims, in->guards.data[i].b, symbols, 2, &y)) fail();
    guarded = guarded && x == y;
  }
  assert_int_equal(guarded, fits);
  if (!fits) return;
  assert_true(fst_dim_evaluate(in->dims, out, symbols, 2, &value));
  assert_int_equal(value, a == 1 ? b : a);
}

static void test_broadcast(void **state) {
  (void)state;
  fst_arena arena;
  fst_arena_init(&arena);
  fst_module *m = parse(plain);
  fst_infer in = reader(m, &arena);
  fst_dim s0 = fst_dim_symbol(in.dims, 0, false), s1 = fst_dim_symbol(in.dims, 1, false), out[FST_MAX_RANK];
  int rank;
  static const int64_t values[] = {0, 1, 2, 5};
  assert_true(fst_infer_broadcast(&in, &s0, 1, &s1, 1, out, &rank));
  assert_int_equal(rank, 1);
  for (size_t i = 0; i < 4; i++)
    for (size_t k = 0; k < 4; k++) check_point(&in, out[0], values[i], values[k]);
  in.guards.len = 0;
  fst_dim five = 5;
  assert_true(fst_infer_broadcast(&in, &s0, 1, &five, 1, out, &rank));   // 1 or 5
  assert_int_equal(out[0], 5);
  int64_t x, y;
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(in.guards.len, 1);
    assert_true(fst_dim_evaluate(in.dims, in.guards.data[0].a, &values[i], 1, &x) && fst_dim_evaluate(in.dims, in.guards.data[0].b, &values[i], 1, &y));
    assert_int_equal(x == y, values[i] == 1 || values[i] == 5);
  }
  in.guards.len = 0;
  // A size that cannot be 1 must be the other's.
  fst_dim large = fst_dim_add(in.dims, s1, 2);
  assert_true(fst_infer_broadcast(&in, &large, 1, &five, 1, out, &rank));
  assert_true(in.guards.len == 1 && out[0] == 5 && in.guards.data[0].a == large);
  in.guards.len = 0;
  // Right-aligned; 1 gives way; equal expressions need no guard; the result may overwrite an operand.
  fst_dim a[3] = {4, 1, s0}, b[2] = {s1, s0};
  assert_true(fst_infer_broadcast(&in, a, 3, b, 2, a, &rank));
  assert_int_equal(rank, 3);
  assert_true(a[0] == 4 && a[1] == s1 && a[2] == s0 && in.guards.len == 0);
  fst_dim two = 2, three = 3;
  assert_false(fst_infer_broadcast(&in, &two, 1, &three, 1, out, &rank));
  assert_string_equal(in.message, "The size of tensor a (2) must match the size of tensor b (3) at non-singleton dimension 0");
  fst_vec_free(&in.guards);
  fst_module_destroy(m);
  fst_arena_deinit(&arena);
}

static void test_wrap_dim(void **state) {
  (void)state;
  fst_arena arena;
  fst_arena_init(&arena);
  fst_infer in = {.arena = &arena};
  assert_int_equal(fst_infer_wrap_dim(&in, -1, 3), 2);
  assert_int_equal(fst_infer_wrap_dim(&in, 2, 3), 2);
  assert_int_equal(fst_infer_wrap_dim(&in, -1, 0), 0);
  assert_int_equal(fst_infer_wrap_dim(&in, 3, 3), -1);
  assert_string_equal(in.message, "Dimension out of range (expected to be in range of [-3, 2], but got 3)");
  fst_arena_deinit(&arena);
}

// torch.promote_types, as PyTorch prints it; symmetric.
static void test_promote(void **state) {
  (void)state;
  static const fst_dtype order[] = {FST_BOOL, FST_U8, FST_I8, FST_I16, FST_I32, FST_I64, FST_F16, FST_BF16, FST_F32, FST_F64, FST_C32, FST_C64, FST_C128};
  static const char *const expected[] = {
      "b8", "u8 u8", "i8 i16 i8", "i16 i16 i16 i16", "i32 i32 i32 i32 i32", "i64 i64 i64 i64 i64 i64", "f16 f16 f16 f16 f16 f16 f16",
      "bf16 bf16 bf16 bf16 bf16 bf16 f32 bf16", "f32 f32 f32 f32 f32 f32 f32 f32 f32", "f64 f64 f64 f64 f64 f64 f64 f64 f64 f64",
      "c32 c32 c32 c32 c32 c32 c32 c64 c64 c128 c32", "c64 c64 c64 c64 c64 c64 c64 c64 c64 c128 c64 c64",
      "c128 c128 c128 c128 c128 c128 c128 c128 c128 c128 c128 c128 c128"};
  for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
    fst_text text = {0};
    for (size_t k = 0; k <= i; k++) {
      fst_dtype joined = fst_dtype_promote(order[i], order[k]);
      assert_int_equal(joined, fst_dtype_promote(order[k], order[i]));
      fst_text_printf(&text, k ? " %s" : "%s", fst_dtype_name(joined));
    }
    assert_string_equal(text.data, expected[i]);
    fst_text_deinit(&text);
  }
}

// torch.result_type over tensors with dims, 0-d tensors and numbers.
static void test_result_type(void **state) {
  (void)state;
  static const struct { const char *a, *b; fst_dtype result; } cases[] = {
      {"f32[2]{1}", "f64[2]{1}", FST_F64}, {"f32[2]{1}", "f64[]", FST_F32}, {"i64[2]{1}", "f64[]", FST_F64}, {"i32[2]{1}", "i64[]", FST_I32},
      {"b8[2]{1}", "i64[]", FST_I64}, {"f16[2]{1}", "f32[2]{1}", FST_F32}, {"f16[2]{1}", "float", FST_F16}, {"i64[2]{1}", "float", FST_F32},
      {"i32[]", "int", FST_I32}, {"b8[2]{1}", "int", FST_I64}, {"u8[2]{1}", "bool", FST_U8}, {"i64[2]{1}", "complex", FST_C64}, {"f64[2]{1}", "complex", FST_C128},
      {"i64[2]{1}", "Scalar", FST_DTYPE_UNKNOWN}, {"f32[2]{1}", "f32[...]", FST_DTYPE_UNKNOWN}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fst_arena arena;
    fst_arena_init(&arena);
    char *text = fst_arena_printf(&arena, "firesteel.module 1\nfunction \"f\" imported (%%a : %s, %%b : %s) -> () {\n  prim::Print(%%a, %%b)\n  return\n}\n", cases[i].a, cases[i].b);
    fst_module *m = parse(text);
    fst_infer in = reader(m, &arena);
    uint32_t args[2] = {0, 1}, swapped[2] = {1, 0};
    if (fst_infer_result_type(&in, args, 2) != cases[i].result || fst_infer_result_type(&in, swapped, 2) != cases[i].result)
      fail_msg("%s with %s is %s", cases[i].a, cases[i].b, fst_dtype_name(fst_infer_result_type(&in, args, 2)));
    fst_module_destroy(m);
    fst_arena_deinit(&arena);
  }
}

static int list_length(const char *body, fst_dim *out) {
  fst_arena arena;
  fst_arena_init(&arena);
  char *text = fst_arena_printf(&arena, "firesteel.module 1\nfunction \"f\" imported (%%x : Tensor, %%n : int(i0), %%o : List[int]) -> () {\n%s  return\n}\n", body);
  fst_module *m = parse(text);
  fst_infer in = reader(m, &arena);
  int count = fst_infer_int_list(&in, 1, out, 8);
  fst_module_destroy(m);
  fst_arena_deinit(&arena);
  return count;
}

// Items are known only where nothing writes or keeps the list.
static void test_int_list(void **state) {
  (void)state;
  fst_dim d[8];
  assert_int_equal(list_length("  %1 : Tensor = aten::view(%x, [2, -1])\n", d), 2);
  assert_int_equal(d[0], 2);
  assert_int_equal(list_length("  %l : List[int] = prim::ListConstruct(%n, 3)\n  %1 : Tensor = aten::view(%x, %l)\n", d), 2);
  assert_int_equal(d[1], 3);
  assert_true(fst_dim_is_known(d[0]));
  assert_int_equal(list_length("  %1 : Tensor = aten::view(%x, %o)\n", d), -1);
  assert_int_equal(list_length("  %l : List[int] = prim::ListConstruct(%n, 3)\n  %a : List[int] = aten::append.t(%l, 4)\n  %1 : Tensor = aten::view(%x, %l)\n", d), -1);
  assert_int_equal(list_length("  %l : List[int] = prim::ListConstruct(%n, 3)\n  %t : Tuple[List[int]] = prim::TupleConstruct(%l)\n  %1 : Tensor = aten::view(%x, %l)\n", d), -1);
  assert_int_equal(list_length("  %l : List[int] = prim::ListConstruct(%n, 3)\n  %k : int = aten::len.t(%l)\n  %1 : Tensor = aten::view(%x, %l)\n", d), 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_broadcast), cmocka_unit_test(test_wrap_dim), cmocka_unit_test(test_promote), cmocka_unit_test(test_result_type), cmocka_unit_test(test_int_list),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
