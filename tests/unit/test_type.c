// Types: interning, order, join, text.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ir/type.h"

typedef struct {
  fst_arena arena;
  fst_strings strings;
  fst_types *types;
  fst_dims *dims;
} fixture;

static int setup(void **state) {
  fixture *f = calloc(1, sizeof *f);
  fst_arena_init(&f->arena);
  fst_strings_init(&f->strings);
  f->types = fst_types_create(&f->arena, &f->strings);
  f->dims = fst_dims_create(&f->arena);
  *state = f;
  return 0;
}
static int teardown(void **state) {
  fixture *f = *state;
  fst_strings_deinit(&f->strings);
  fst_arena_deinit(&f->arena);
  free(f);
  return 0;
}

static fst_type type_of(fixture *f, const char *text) {
  const char *at = text;
  fst_type type = FST_NO_TYPE;
  fst_status status = fst_type_parse(f->types, f->dims, &at, &type);
  if (status) fail_msg("%s: %s", text, status->message);
  assert_string_equal(at, "");
  return type;
}

static void expect_text(fixture *f, fst_type type, const char *expected) {
  fst_text text = {0};
  fst_type_print(f->types, f->dims, type, &text);
  assert_string_equal(fst_text_cstr(&text), expected);
  fst_text_deinit(&text);
}

static void test_text(void **state) {
  fixture *f = *state;
  static const char *const texts[] = {
      "None", "int", "float", "bool", "complex", "str", "Device", "Scalar", "Any", "Generator", "Uninit", "Tensor", "Tensor@cuda1",
      "f32[...]", "?[?, 3]", "f32[8, s0]", "f32[8, s0]{s0, 1}", "bf16[]", "b8[2]{?}", "i64[s0 + 1, min(s1, 3)]@cuda0", "List[int]",
      "Dict[str, List[Tensor]]", "Dict[str, Union[Tensor, List[str]], \"a, \\\"b\": f32[?, 2], \"c\": List[str]]", "Tuple[]", "Tuple[int, Tuple[str], f32[2]{1}]", "NamedTuple[\"__torch__.P\", x: Tensor, n: int]",
      "NamedTuple[\"E\"]", "Optional[Tensor]", "Union[int, str, None]", "Future[Tensor]", "Class[\"__torch__.M\"]", "Opaque[\"t[] \\\"x\\\"\"]"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    fst_type t = type_of(f, texts[i]);
    expect_text(f, t, texts[i]);
    assert_true(fst_type_eq(t, type_of(f, texts[i])));   // interned
  }
  expect_text(f, type_of(f, "Optional[Optional[int]]"), "Optional[int]");
  expect_text(f, type_of(f, "Optional[None]"), "None");
  expect_text(f, type_of(f, "Union[int, int]"), "int");
  expect_text(f, type_of(f, " Tuple[ int ,\n # why\n str ]"), "Tuple[int, str]");
}

static void test_bad_text(void **state) {
  fixture *f = *state;
  static const char *const texts[] = {"", "Int", "List", "List[", "List[int", "f32", "f32[1", "f33[1]", "f32[1]{1, 2}", "Tensor@gpu0", "Tensor@cuda999",
                                      "Dict[int]", "Dict[int, int, \"a\": int]", "Dict[str, int, \"a\": str]", "Dict[str, int, \"a\": int, \"a\": int]", "Dict[str, int, a: int]", "NamedTuple[int]", "Class[M]", "Union[]", "f32[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    const char *at = texts[i];
    fst_type type = FST_NO_TYPE;
    fst_status status = fst_type_parse(f->types, f->dims, &at, &type);
    if (!status) fail_msg("accepted: %s", texts[i]);
    assert_int_equal(type.id, 0);
    fst_error_free(status);
  }
}

static void test_order(void **state) {
  fixture *f = *state;
  static const struct { const char *sub, *super; bool holds; } cases[] = {
      {"int", "int", true}, {"int", "Scalar", true}, {"str", "Scalar", false}, {"int", "Any", true}, {"Any", "int", false},
      {"None", "Optional[int]", true}, {"int", "Optional[int]", true}, {"Optional[int]", "int", false},
      {"Optional[f32[2]]", "Optional[Tensor]", true}, {"int", "Union[int, str]", true}, {"Union[int, str]", "Union[str, int, None]", true},
      {"Optional[int]", "Union[int, None]", true}, {"Optional[int]", "Union[int, str]", false}, {"Union[int, float]", "Scalar", true},
      {"f32[8, s0]{s0, 1}", "f32[8, s0]", true}, {"f32[8, s0]", "f32[8, s0]{s0, 1}", false}, {"f32[8, s0]", "f32[8, ?]", true},
      {"f32[8, ?]", "f32[8, s0]", false}, {"f32[8]", "f32[...]", true}, {"f32[8]", "?[8]", true}, {"f32[8]", "i64[8]", false},
      {"f32[8]", "Tensor", true}, {"Tensor", "f32[8]", false}, {"f32[2]@cuda0", "f32[2]", false}, {"f32[2]@cuda0", "?[2]", true},
      {"List[f32[2]]", "List[Tensor]", true}, {"List[int]", "List[Scalar]", false}, {"List[int]", "List[Optional[int]]", false},
      {"Dict[str, f32[2]]", "Dict[str, Tensor]", true}, {"Dict[str, Any, \"a\": int]", "Dict[str, Any]", true}, {"Dict[str, Any]", "Dict[str, Any, \"a\": int]", false},
      {"Dict[str, Any, \"a\": f32[2]]", "Dict[str, Any, \"a\": Tensor]", true}, {"Dict[str, Any, \"a\": int]", "Dict[str, Any, \"b\": int]", false},
      {"Dict[str, Any, \"a\": int, \"b\": int]", "Dict[str, Any, \"a\": int]", false}, {"Tuple[int, f32[2]]", "Tuple[Scalar, Tensor]", true},
      {"Tuple[int]", "Tuple[int, int]", false}, {"NamedTuple[\"P\", x: int]", "Tuple[int]", true}, {"Tuple[int]", "NamedTuple[\"P\", x: int]", false},
      {"Class[\"A\"]", "Class[\"B\"]", false}, {"Uninit", "List[int]", true}, {"Future[f32[1]]", "Future[Tensor]", true}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (fst_type_is_subtype(f->types, type_of(f, cases[i].sub), type_of(f, cases[i].super)) != cases[i].holds)
      fail_msg("%s <= %s", cases[i].sub, cases[i].super);
}

static void test_join(void **state) {
  fixture *f = *state;
  static const struct { const char *a, *b, *join; } cases[] = {
      {"int", "int", "int"}, {"int", "float", "Scalar"}, {"int", "str", NULL}, {"int", "None", "Optional[int]"},
      {"Optional[int]", "float", "Optional[Scalar]"}, {"None", "None", "None"}, {"Uninit", "List[int]", "List[int]"},
      {"f32[8, s0]{s0, 1}", "f32[8, s1]{s1, 1}", "f32[8, ?]"}, {"f32[8, s0]{s0, 1}", "f32[9, s0]{s0, 1}", "f32[?, s0]{s0, 1}"},
      {"f32[8]", "f32[8, 1]", "f32[...]"}, {"f32[8]", "i64[8]", "?[8]"}, {"f32[8]", "i64[8, 1]", "Tensor"},
      {"List[f32[2]]", "List[f32[3]]", "List[f32[?]]"}, {"List[int]", "List[str]", NULL}, {"Tuple[int, None]", "Tuple[int, f32[2]]", "Tuple[int, Optional[f32[2]]]"},
      {"Tuple[int]", "Tuple[int, int]", NULL}, {"NamedTuple[\"P\", x: f32[1]]", "NamedTuple[\"P\", x: f32[2]]", "NamedTuple[\"P\", x: f32[?]]"},
      {"Dict[str, f32[2]]", "Dict[str, i64[2]]", "Dict[str, ?[2]]"},
      {"Dict[str, Any, \"a\": int]", "Dict[str, Any, \"a\": str]", "Dict[str, Any]"}, {"int", "Any", "Any"}, {"Union[int, str]", "int", "Union[int, str]"},
      {"Class[\"A\"]", "Class[\"B\"]", NULL}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fst_type a = type_of(f, cases[i].a), b = type_of(f, cases[i].b);
    fst_type join = fst_type_join(f->types, a, b), other = fst_type_join(f->types, b, a);
    assert_true(fst_type_eq(join, other));
    if (!cases[i].join) {
      assert_int_equal(join.id, 0);
      continue;
    }
    expect_text(f, join, cases[i].join);
    assert_true(fst_type_is_subtype(f->types, a, join) && fst_type_is_subtype(f->types, b, join));
  }
}

static void test_rest(void **state) {
  fixture *f = *state;
  expect_text(f, fst_type_erase(f->types, type_of(f, "Tuple[List[f32[2]], Dict[str, Optional[i64[s0]]], int]")), "Tuple[List[Tensor], Dict[str, Optional[Tensor]], int]");
  expect_text(f, fst_type_erase(f->types, type_of(f, "Dict[str, Any, \"a\": f32[2]]")), "Dict[str, Any]");
  assert_true(fst_type_has_tensor(f->types, type_of(f, "Dict[str, Tuple[int, Optional[Tensor]]]")));
  assert_false(fst_type_has_tensor(f->types, type_of(f, "Dict[str, List[int]]")));
  static const struct { const char *type; bool contiguous; } cases[] = {
      {"f32[2, 3]{3, 1}", true}, {"f32[2, 3]{1, 2}", false}, {"f32[2, 3]", false}, {"f32[s0, s1]{s1, 1}", true}, {"f32[s0, s1]{s0, 1}", false},
      {"f32[1, 3]{99, 1}", true}, {"f32[0, 3]{7, 7}", true}, {"f32[]", true}, {"f32[s0, 2, 3]{6, 3, 1}", true}, {"Tensor", false}, {"int", false}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (fst_type_is_contiguous(f->dims, f->types, type_of(f, cases[i].type)) != cases[i].contiguous) fail_msg("%s", cases[i].type);
  static const struct { const char *type, *bytes; } sized[] = {
      {"f32[2, 3]{3, 1}", "24"}, {"f32[2, 3]{1, 2}", "24"}, {"i64[]", "8"}, {"f32[0, 3]{7, 7}", "0"}, {"f32[2, 3]{16, 1}", "76"}, {"f32[4, 3]{0, 1}", "12"},
      {"f32[s0, 3]{3, 1}", "12*s0"}, {"f32[s0, 12]{16, 1}", "4*max(16*s0 - 4, 0)"}, {"f32[3, s0]{1, 3}", "12*s0"}, {"f32[2, 3]", "24"}};
  for (size_t i = 0; i < sizeof sized / sizeof *sized; i++) {
    fst_text text = {0};
    fst_dim_print(f->dims, fst_type_bytes(f->dims, f->types, type_of(f, sized[i].type)), &text);
    if (strcmp(fst_text_cstr(&text), sized[i].bytes)) fail_msg("%s takes %s", sized[i].type, fst_text_cstr(&text));
    fst_text_deinit(&text);
  }
  fst_dim sizes[3] = {2, 0, 3}, strides[3];
  fst_contiguous_strides(f->dims, 3, sizes, strides);
  assert_true(strides[0] == 3 && strides[1] == 3 && strides[2] == 1);   // as torch.empty(2, 0, 3).stride()
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_text, setup, teardown), cmocka_unit_test_setup_teardown(test_bad_text, setup, teardown),
      cmocka_unit_test_setup_teardown(test_order, setup, teardown), cmocka_unit_test_setup_teardown(test_join, setup, teardown),
      cmocka_unit_test_setup_teardown(test_rest, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
