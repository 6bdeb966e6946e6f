// The call table: what generated code may call, row by row, held against what TorchScript does.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "base/dtype.h"
#include "base/strops.h"
#include "runtime/call.h"
#include "runtime/object.h"

// Sanitizers end a program that asks for too much memory, unless told to say no as the C library does.
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "allocator_may_return_null=1"; }

static const fst_calls *const calls = &fst_calls_table;

static int make_context(void **state) {
  *state = fst_ctx_create();
  return *state == NULL;
}

static int drop_context(void **state) {
  fst_ctx_destroy(*state);
  return 0;
}

static fst_val str(fst_call *call, const char *text) {
  fst_val s = fst_val_obj(fst_str_make(text, (int64_t)strlen(text)));
  fst_ctx_keep(fst_ctx_of(call), s.p);
  return s;
}

static const char *text_of(fst_call *call, fst_val val) { return ((fst_str_obj *)calls->str_of(call, &val))->bytes; }

// Checks class and text of the recorded error and forgets it.
static void expect_raised(fst_call *call, const char *cls, const char *text) {
  fst_ctx *ctx = fst_ctx_of(call);
  assert_true(calls->failed(call));
  assert_string_equal(ctx->raised.cls, cls);
  assert_string_equal(ctx->raised.message, text);
  fst_raised_deinit(&ctx->raised);
}

static fst_list_obj *ints(fst_call *call, int64_t count, const int64_t *items) {
  fst_list_obj *list = calls->list_new(call, 0, NULL);
  for (int64_t i = 0; i < count; i++) {
    fst_val v = fst_val_int(items[i]);
    calls->list_append(call, list, &v);
  }
  return list;
}
#define INTS(...) ints(call, (int64_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__})
#define EXPECT(val, text) assert_string_equal(text_of(call, val), text)

static void lists_are_indexed_from_both_ends(void **state) {
  fst_call *call = *state;
  fst_list_obj *list = INTS(1, 2, 3);
  fst_val out, nine = fst_val_int(9);
  assert_int_equal(calls->list_get(call, list, -1, 0, &out), 0);
  assert_int_equal(out.i, 3);
  assert_int_equal(calls->list_get(call, list, 3, 0, &out), 1);
  expect_raised(call, "IndexError", "list index out of range");
  assert_int_equal(calls->list_set(call, list, -4, 0, &nine), 1);
  expect_raised(call, "IndexError", "list index out of range");
  assert_int_equal(calls->list_set(call, list, -3, 0, &nine), 0);
  calls->list_insert(call, list, 100, &nine);
  calls->list_insert(call, list, -1, &nine);
  calls->list_insert(call, list, -100, &nine);
  EXPECT(fst_val_obj(list), "[9, 9, 2, 3, 9, 9]");
  assert_int_equal(calls->list_pop(call, list, 2, 0, &out), 0);
  assert_int_equal(out.i, 2);
  assert_int_equal(calls->list_del(call, list, -1, 0), 0);
  EXPECT(fst_val_obj(list), "[9, 9, 3, 9]");
  assert_int_equal(calls->list_remove(call, list, &nine, 0), 0);
  EXPECT(fst_val_obj(list), "[9, 3, 9]");
  fst_val seven = fst_val_int(7);
  assert_int_equal(calls->list_remove(call, list, &seven, 0), 1);
  expect_raised(call, "ValueError", "list.remove(x): x not in list");
  assert_int_equal(calls->list_find(call, list, &seven), -1);
  calls->list_clear(call, list);
  assert_int_equal(calls->list_pop(call, list, -1, 0, &out), 1);
  expect_raised(call, "IndexError", "pop from empty list");
}

static void slices_follow_python(void **state) {
  fst_call *call = *state;
  fst_list_obj *list = INTS(1, 2, 3, 4, 5);
  const struct { int64_t start, end, step; const char *text; } cases[] = {
    {0, 5, 2, "[1, 3, 5]"}, {-2, 5, 1, "[4, 5]"}, {4, 0, -1, "[5, 4, 3, 2]"}, {0, INT64_MAX, 1, "[1, 2, 3, 4, 5]"},
    {INT64_MIN, INT64_MAX, -1, "[5, 4, 3, 2, 1]"}, {INT64_MIN, INT64_MAX, -2, "[5, 3, 1]"}, {3, 1, 1, "[]"}, {-100, 100, 3, "[1, 4]"},
    {1, -1, 1, "[2, 3, 4]"}, {10, -10, -1, "[5, 4, 3, 2, 1]"}, {2, INT64_MAX, INT64_MAX, "[3]"}, {2, INT64_MAX, INT64_MIN, "[3]"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    EXPECT(fst_val_obj(calls->list_slice(call, list, cases[i].start, cases[i].end, cases[i].step)), cases[i].text);
  calls->list_slice(call, list, 0, 1, 0);
  expect_raised(call, "RuntimeError", "List slice should have non-zero step");
}

static void lists_join_and_repeat(void **state) {
  fst_call *call = *state;
  fst_list_obj *a = INTS(1, 2), *b = INTS(3);
  EXPECT(fst_val_obj(calls->list_concat(call, a, b)), "[1, 2, 3]");
  EXPECT(fst_val_obj(calls->list_repeat(call, a, 3)), "[1, 2, 1, 2, 1, 2]");
  EXPECT(fst_val_obj(calls->list_repeat(call, a, -3)), "[]");
  calls->list_extend(call, a, a);
  EXPECT(fst_val_obj(a), "[1, 2, 1, 2]");
  calls->list_reverse(call, a);
  EXPECT(fst_val_obj(a), "[2, 1, 2, 1]");
}

static void sorting_is_stable(void **state) {
  fst_call *call = *state;
  fst_list_obj *list = calls->list_new(call, 0, NULL);
  for (int64_t i = 0; i < 100; i++) {  // equal as keys, told apart by type: 1 and 1.0
    fst_val v = i % 2 ? fst_val_int(i * 37 % 10) : fst_val_float((double)(i * 37 % 10));
    calls->list_append(call, list, &v);
  }
  for (int64_t reverse = 0; reverse < 2; reverse++) {
    fst_list_obj *copy = calls->list_slice(call, list, 0, INT64_MAX, 1);
    assert_int_equal(calls->list_sort(call, copy, reverse), 0);
    for (int64_t i = 1; i < 100; i++) {
      int order;
      assert_true(fst_val_compare(&copy->items[i - 1], &copy->items[i], &order));
      assert_true(reverse ? order >= 0 : order <= 0);
    }
  }
  fst_val pair[2] = {fst_val_int(1), str(call, "b")}, first[2] = {fst_val_int(1), str(call, "a")};
  fst_val tuples[2] = {fst_val_obj(calls->tuple_new(call, 2, pair)), fst_val_obj(calls->tuple_new(call, 2, first))};
  fst_list_obj *pairs = calls->list_new(call, 2, tuples);
  assert_int_equal(calls->list_sort(call, pairs, 0), 0);
  EXPECT(fst_val_obj(pairs), "[(1, a), (1, b)]");
  fst_val mixed[2] = {fst_val_int(1), str(call, "a")};
  assert_int_equal(calls->list_sort(call, calls->list_new(call, 2, mixed), 0), 1);
  expect_raised(call, "RuntimeError", "the items of this list have no order to sort by");
}

static void dicts_keep_order_and_name_missing_keys(void **state) {
  fst_call *call = *state;
  fst_val pairs[6] = {str(call, "b"), fst_val_int(1), str(call, "a"), fst_val_int(2), str(call, "b"), fst_val_int(3)}, out;
  fst_dict_obj *dict = calls->dict_new(call, 3, pairs);
  EXPECT(fst_val_obj(dict), "{b: 3, a: 2}");
  EXPECT(fst_val_obj(calls->dict_list(call, dict, 0)), "[b, a]");
  EXPECT(fst_val_obj(calls->dict_list(call, dict, 1)), "[3, 2]");
  EXPECT(fst_val_obj(calls->dict_list(call, dict, 2)), "[(b, 3), (a, 2)]");
  fst_val key = str(call, "zz");
  assert_int_equal(calls->dict_get(call, dict, &key, 0, &out), 1);
  expect_raised(call, "KeyError", "zz");
  assert_int_equal(calls->dict_del(call, dict, &key, 0), 1);
  expect_raised(call, "KeyError", "zz");
  assert_false(calls->dict_find(call, dict, &key, &out));
  assert_int_equal(out.tag, FST_TAG_NONE);
  fst_dict_obj *copy = calls->dict_copy(call, dict);
  assert_int_equal(calls->dict_del(call, dict, &pairs[0], 0), 0);
  assert_int_equal(calls->dict_set(call, dict, &pairs[0], &key), 0);
  EXPECT(fst_val_obj(dict), "{a: 2, b: zz}");
  calls->dict_update(call, copy, dict);
  EXPECT(fst_val_obj(copy), "{b: zz, a: 2}");
  calls->dict_clear(call, dict);
  EXPECT(fst_val_obj(dict), "{}");
}

static void what_is_taken_out_lives_until_the_call_ends(void **state) {
  fst_call *call = *state;
  fst_val text = fst_val_obj(fst_str_make("held", 4)), out;
  fst_list_obj *list = calls->list_new(call, 1, &text);
  fst_val_release(&text);  // only the list holds it now
  fst_val slot = fst_val_obj(list), none = fst_val_none();
  call->state = &slot;
  fst_val_retain(&slot);
  assert_int_equal(calls->list_get(call, list, 0, 0, &out), 0);
  assert_int_equal(calls->list_set(call, list, 0, 0, &none), 0);
  calls->state_set(call, 0, &none);
  assert_string_equal(((fst_str_obj *)out.p)->bytes, "held");  // the sanitizer's moment
  EXPECT(out, "held");
}

static void numbers_print_as_torchscript_prints_them(void **state) {
  fst_call *call = *state;
  const struct { double value; const char *text; } cases[] = {
    {0.1, "0.10000000000000001"}, {2.0, "2."}, {-0.0, "0."}, {1e10, "10000000000."}, {1e22, "1e+22"}, {1e-7, "9.9999999999999995e-08"},
    {123456.789, "123456.789"}, {1e16, "10000000000000000."}, {12345678901.5, "12345678901.5"}, {-3.0, "-3."}, {1.0 / 0.0, "inf"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) EXPECT(fst_val_float(cases[i].value), cases[i].text);
  EXPECT(fst_val_obj(calls->complex_new(call, 1, 2)), "1.+2.j");
  EXPECT(fst_val_bool(true), "True");
  EXPECT(fst_val_none(), "None");
  fst_val one = fst_val_int(1), nested[3] = {one, str(call, "ab"), fst_val_obj(calls->tuple_new(call, 1, &one))};
  EXPECT(fst_val_obj(calls->tuple_new(call, 3, nested)), "(1, ab, (1,))");
}

static void format_fills_braces(void **state) {
  fst_call *call = *state;
  fst_val three = fst_val_int(3), both[2] = {three, three};
  const struct { const char *form; int64_t count; const char *text; } cases[] = {{"{} {}", 2, "3 3"}, {"{}", 2, "3"}, {"{{}} {}", 2, "{3} 3"}, {"{:d}", 2, "{:d}"}, {"{0}", 1, "{0}"}, {"no", 0, "no"}, {"", 0, ""}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fst_val form = str(call, cases[i].form);
    assert_string_equal(((fst_str_obj *)calls->format(call, form.p, cases[i].count, both))->bytes, cases[i].text);
  }
  fst_val form = str(call, "{} {} {}");
  calls->format(call, form.p, 2, both);
  expect_raised(call, "RuntimeError", "Too few arguments for format string: {} {} {}");
}

static fst_val tensor(fst_call *call, int dtype, int rank, const int64_t *sizes, const void *data) {
  int64_t shape[8], n = 1;
  for (int i = rank - 1; i >= 0; i--) {
    shape[i] = sizes[i];
    shape[rank + i] = n;
    n *= sizes[i];
  }
  size_t bytes = (size_t)n * fst_dtype_size((fst_dtype)dtype);
  fst_storage_obj *storage = calls->storage_new(call, (int64_t)bytes);
  if (bytes) memcpy(storage->data, data, bytes);
  return fst_val_obj(calls->tensor_new(call, storage, storage->data, dtype, rank, shape));
}
#define SIZES(...) ((int64_t[]){__VA_ARGS__})

static void tensors_print_as_torchscript_prints_them(void **state) {
  fst_call *call = *state;
  EXPECT(tensor(call, FST_I64, 0, NULL, SIZES(3)), "3\n[ CPULongType{} ]");
  EXPECT(tensor(call, FST_F32, 0, NULL, (float[]){2.5f}), "2.5\n[ CPUFloatType{} ]");
  EXPECT(tensor(call, FST_I64, 2, SIZES(2, 3), SIZES(0, 1, 2, 3, 4, 5)), " 0  1  2\n 3  4  5\n[ CPULongType{2,3} ]");
  EXPECT(tensor(call, FST_F32, 1, SIZES(0), NULL), "[ CPUFloatType{0} ]");
  EXPECT(tensor(call, FST_F32, 2, SIZES(0, 3), NULL), "[ CPUFloatType{0,3} ]");
  EXPECT(tensor(call, FST_F32, 3, SIZES(2, 2, 2), (float[8]){0}), "(1,.,.) = \n 0  0\n  0  0\n\n(2,.,.) = \n 0  0\n  0  0\n[ CPUFloatType{2,2,2} ]");
  EXPECT(tensor(call, FST_BOOL, 1, SIZES(2), "\1"), " 1\n 0\n[ CPUBoolType{2} ]");
  EXPECT(tensor(call, FST_F32, 1, SIZES(3), ((float[]){1e10f, 1e-3f, 0.0f / 0.0f * -1})), " 1.0000e+10\n 1.0000e-03\n        nan\n[ CPUFloatType{3} ]");
  EXPECT(tensor(call, FST_F32, 1, SIZES(3), ((float[]){1.5f, 1.0f / 0.0f, -2})), " 1.5000\n    inf\n-2.0000\n[ CPUFloatType{3} ]");
  EXPECT(tensor(call, FST_F64, 1, SIZES(2), ((double[]){1000000.5, 1})), " 1.0000e+06\n 1.0000e+00\n[ CPUDoubleType{2} ]");
}

static void tolist_nests_and_checks(void **state) {
  fst_call *call = *state;
  fst_val t = tensor(call, FST_I64, 2, SIZES(2, 2), SIZES(1, 2, 3, 4)), out;
  assert_int_equal(calls->tensor_list(call, t.p, 2, FST_TAG_INT, 0, &out), 0);
  EXPECT(out, "[[1, 2], [3, 4]]");
  assert_int_equal(calls->tensor_list(call, t.p, 1, FST_TAG_INT, 0, &out), 1);
  expect_raised(call, "RuntimeError", "Output annotation list dimension and runtime tensor dimension must match for tolist()");
  assert_int_equal(calls->tensor_list(call, t.p, 2, FST_TAG_FLOAT, 0, &out), 1);
  fst_raised_deinit(&fst_ctx_of(call)->raised);
  fst_val half = tensor(call, FST_F16, 1, SIZES(3), (uint16_t[]){0x3c00, 0xc100, 0x0001});
  assert_int_equal(calls->tensor_list(call, half.p, 1, FST_TAG_FLOAT, 0, &out), 0);
  EXPECT(out, "[1., -2.5, 5.9604644775390625e-08]");
  fst_val scalar = tensor(call, FST_BOOL, 0, NULL, "\1");
  assert_int_equal(calls->tensor_list(call, scalar.p, 0, FST_TAG_BOOL, 0, &out), 0);
  EXPECT(out, "True");
}

static void numbers_are_read_from_text(void **state) {
  fst_call *call = *state;
  fst_val out;
  const struct { const char *text; bool is_int; const char *result; } cases[] = {
    {"12", true, "12"}, {"-7", true, "-7"}, {"x", true, NULL}, {" 12 ", true, NULL}, {"1.5", true, NULL}, {"1_000", true, NULL}, {"", true, NULL}, {"99999999999999999999", true, NULL},
    {"1e5", false, "100000."}, {"nan", false, "nan"}, {"x", false, NULL}, {" 1.5 ", false, NULL}, {"", false, NULL},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fst_val s = str(call, cases[i].text);
    int32_t failed = calls->to_number(call, s.p, cases[i].is_int ? FST_TAG_INT : FST_TAG_FLOAT, 0, &out);
    assert_int_equal(failed, cases[i].result == NULL);
    if (cases[i].result) EXPECT(out, cases[i].result);
    else assert_string_equal(fst_ctx_of(call)->raised.cls, "ValueError");
    fst_raised_deinit(&fst_ctx_of(call)->raised);
  }
}

static void cells_sort_stably_with_nan_last(void **state) {
  fst_call *call = *state;
  float nan = 0.0f / 0.0f, keys[8] = {2, nan, -1, 2, 0.0f, -0.0f, -3, 2};
  int64_t at[8] = {0, 1, 2, 3, 4, 5, 6, 7};
  assert_int_equal(calls->cells_sort(call, keys, at, 8, FST_F32, 0), 0);
  assert_memory_equal(at, SIZES(6, 2, 4, 5, 0, 3, 7, 1), sizeof at);
  assert_true(keys[0] == -3 && keys[6] == 2 && keys[7] != keys[7]);
  int64_t numbers[4] = {1, INT64_MIN, INT64_MAX, 1}, order[4] = {0, 1, 2, 3};
  assert_int_equal(calls->cells_sort(call, numbers, order, 4, FST_I64, 1), 0);
  assert_memory_equal(order, SIZES(2, 0, 3, 1), sizeof order);
}

static void memory_that_cannot_be_had_is_an_error(void **state) {
  fst_call *call = *state;
  fst_storage_obj *storage = calls->storage_new(call, INT64_MAX / 4);
  assert_non_null(storage);  // a stand-in, so that code may go on to where it looks
  assert_true(calls->failed(call));
  assert_true(fst_ctx_of(call)->raised.is_memory);
  fst_raised_deinit(&fst_ctx_of(call)->raised);
  assert_null(calls->arena(call, INT64_MAX / 4));
  fst_raised_deinit(&fst_ctx_of(call)->raised);
  assert_null(calls->scratch(call, -5));
  fst_raised_deinit(&fst_ctx_of(call)->raised);
  char *arena = calls->arena(call, 100), *scratch = calls->scratch(call, 100);
  assert_true((uintptr_t)arena % 64 == 0 && (uintptr_t)scratch % 64 == 0);
  memset(arena, 1, 100);
  memset(scratch, 2, 100);
  assert_int_equal(arena[99], 1);
}

static void own_errors_may_name_their_class(void **state) {
  fst_call *call = *state;
  calls->raise_text(call, 0, 0, NULL, 0);  // no plan: still an error, never a crash
  expect_raised(call, "RuntimeError", "an operation failed");
}

// ---- strings, from a table recorded from PyTorch ----

typedef struct operand { char kind; int64_t i; const char *s; const char *list[8]; } operand;
#define NONE {'n', 0, NULL, {NULL}}
#define B(x) {'b', x, NULL, {NULL}}
#define I(x) {'i', x, NULL, {NULL}}
#define S(x) {'s', 0, x, {NULL}}
#define L(...) {'l', 0, NULL, {__VA_ARGS__}}
static const struct string_row { fst_str_op op; const char *name, *result; operand args[4]; } string_rows[] = {
#define ROW(op, result, ...) {FST_STR_OP_##op, #op, result, {__VA_ARGS__}},
#include "tests/unit/runtime_strings.def"
#undef ROW
};

static fst_val operand_val(fst_call *call, const operand *o) {
  switch (o->kind) {
    case 'b': return fst_val_bool(o->i);
    case 'i': return fst_val_int(o->i);
    case 's': return str(call, o->s);
    case 'l': {
      fst_list_obj *list = calls->list_new(call, 0, NULL);
      for (int i = 0; i < 8 && o->list[i]; i++) {
        fst_val s = str(call, o->list[i]);
        calls->list_append(call, list, &s);
      }
      return fst_val_obj(list);
    }
    default: return fst_val_none();
  }
}

static void string_methods_match_the_record(void **state) {
  fst_call *call = *state;
  int wrong = 0;
  for (size_t r = 0; r < sizeof string_rows / sizeof *string_rows; r++) {
    const struct string_row *row = &string_rows[r];
    fst_val args[4], out;
    for (int i = 0; i < 4; i++) args[i] = operand_val(call, &row->args[i]);
    int32_t failed = calls->str_op(call, (int64_t)row->op, 4, args, &out);
    const char *got = failed ? NULL : text_of(call, out);
    bool same = !got == !row->result && (!got || strcmp(got, row->result) == 0);
    wrong += !same;
    if (!same) print_error("row %zu, %s('%s'): got '%s', PyTorch gives '%s'\n", r + 1, row->name, row->args[0].s, got ? got : "an exception", row->result ? row->result : "an exception");
    fst_ctx_end(fst_ctx_of(call));
  }
  assert_int_equal(wrong, 0);
}

static void percent_formats(void **state) {
  fst_call *call = *state;
  fst_val out, args[4] = {str(call, "%s=%d %% %f"), str(call, "x"), fst_val_int(3), fst_val_float(1.5)};
  assert_int_equal(calls->str_op(call, FST_STR_OP_PERCENT, 4, args, &out), 0);
  EXPECT(out, "x=3 % 1.500000");
  assert_int_equal(calls->str_op(call, FST_STR_OP_PERCENT, 3, args, &out), 1);
  expect_raised(call, "RuntimeError", "Too few arguments for format string: %s=%d %% %f");
}

// Code of an older compiler calls by position: what it may call cannot change under the same version.
static void rows_belong_to_the_version(void **state) {
  (void)state;
  static const char rows[] =
#define CALL(name, ret, params, args, doc) #name " " #ret " " args "\n"
#include "base/calls.def"
#undef CALL
#define STR_OP(id, name, operands) name " " #operands "\n"
#include "base/strops.def"
#undef STR_OP
#define CONTAINER_OP(id, kind, name) #kind " " name "\n"
#include "base/container_ops.def"
#undef CONTAINER_OP
      ;
  const uint32_t version = 7, rows_crc = 0x21a89c86;   // these two change together
  assert_int_equal(FST_ABI_VERSION, version);
  if (fst_crc32c(0, rows, sizeof rows - 1) != rows_crc)
    fail_msg("base/calls.def, strops.def or container_ops.def has changed: raise FST_ABI_VERSION, and write it and %#x here", fst_crc32c(0, rows, sizeof rows - 1));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_context, drop_context)
  const struct CMUnitTest tests[] = {
    TEST(lists_are_indexed_from_both_ends), TEST(slices_follow_python), TEST(lists_join_and_repeat), TEST(sorting_is_stable),
    TEST(dicts_keep_order_and_name_missing_keys), TEST(what_is_taken_out_lives_until_the_call_ends), TEST(numbers_print_as_torchscript_prints_them),
    TEST(format_fills_braces), TEST(tensors_print_as_torchscript_prints_them), TEST(tolist_nests_and_checks), TEST(numbers_are_read_from_text),
    TEST(cells_sort_stably_with_nan_last), TEST(memory_that_cannot_be_had_is_an_error), TEST(own_errors_may_name_their_class),
    TEST(string_methods_match_the_record), TEST(percent_formats), TEST(rows_belong_to_the_version),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
