#define _GNU_SOURCE
// Artifacts through the public interface: opening, calling, state, clones, threads, errors, damage. The
// artifact's entries jump to functions of this file, which use the call table as generated code does.
#include "tests/unit/runtime_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dtype.h"
#include "include/firesteel/firesteel.h"
#include "runtime/zip.h"

// ---- the model's "generated code" ----

static const char *const weight_text = "0123456789abcdef";
static float weights[16] = {1, 2, 3, 4};

// forward(x: f32[N], k: float = 2.0) -> x * k + weight[0]
static int32_t entry_scale(fst_call *call, const fst_val *args, fst_val *results) {
  const fst_tensor_obj *x = (const fst_tensor_obj *)args[0].p;
  int64_t n = x->shape[0], shape[2] = {n, 1};
  fst_storage_obj *storage = call->calls->storage_new(call, n * 4);
  if (call->calls->failed(call)) return 1;
  const float *w = (const float *)(const void *)call->weights;
  float *out = call->calls->arena(call, n * 4);
  if (!out) return 1;
  for (int64_t i = 0; i < n; i++) out[i] = ((const float *)(const void *)x->data)[i] * (float)args[1].f + w[0];
  memcpy(storage->data, out, (size_t)n * 4);
  results[0] = (fst_val){.tag = FST_TAG_TENSOR, .p = call->calls->tensor_new(call, storage, storage->data, FST_F32, 1, shape)};
  return 0;
}

// count() -> int: state slot 0 plus one; slot 1, a list, gets the count appended and is returned too
static int32_t entry_count(fst_call *call, const fst_val *args, fst_val *results) {
  (void)args;
  fst_val n = {.tag = FST_TAG_INT, .i = call->state[0].i + 1};
  call->calls->state_set(call, 0, &n);
  call->calls->list_append(call, call->state[1].p, &n);
  fst_val pair[2] = {n, call->state[1]};
  results[0] = (fst_val){.tag = FST_TAG_TUPLE, .p = call->calls->tuple_new(call, 2, pair)};
  return 0;
}

// check(x): raises ValueError after having written state
static int32_t entry_raise(fst_call *call, const fst_val *args, fst_val *results) {
  (void)results;
  fst_val n = {.tag = FST_TAG_INT, .i = 100};
  call->calls->state_set(call, 0, &n);
  fst_val message = call->consts[0];
  return call->calls->raise(call, 0, call->calls->format(call, message.p, 1, args), 2);
}

// constants() -> (str, tensor, tensor): constants leave as copies that share what they shared
static int32_t entry_constants(fst_call *call, const fst_val *args, fst_val *results) {
  (void)args;
  fst_val items[3] = {call->consts[0], call->consts[1], call->consts[2]};
  results[0] = (fst_val){.tag = FST_TAG_TUPLE, .p = call->calls->tuple_new(call, 3, items)};
  return 0;
}

// write(x): writes into its argument and returns it
static int32_t entry_write(fst_call *call, const fst_val *args, fst_val *results) {
  (void)call;
  ((float *)(void *)((fst_tensor_obj *)args[0].p)->data)[0] = 42;
  results[0] = args[0];
  return 0;
}

// gather(xs: Dict[str, List[f32[N]]]) -> the first element but one of the first list's tensor, as the code finds it
static int32_t entry_second(fst_call *call, const fst_val *args, fst_val *results) {
  (void)call;
  const fst_dict_obj *dict = (const fst_dict_obj *)args[0].p;
  const fst_list_obj *list = (const fst_list_obj *)dict->values[0].p;
  const fst_tensor_obj *t = (const fst_tensor_obj *)list->items[0].p;
  results[0] = (fst_val){.tag = FST_TAG_FLOAT, .f = ((const float *)(const void *)t->data)[1]};
  return 0;
}

static const fst_entry entries[] = {entry_scale, entry_count, entry_raise, entry_constants, entry_write, entry_second};

static fst_text artifact_make(void) {
  fst_plan_tables *t = fst_plan_tables_create();
  t->info = fst_plan_cstring_add(t, "{\"kernels\": 2, \"compile_ms\": 12.5}");
  uint32_t text = fst_plan_const_str(t, "bad size {}", 11);
  uint32_t storage = fst_plan_storage_add(t, 0, 16);
  fst_plan_const_tensor(t, storage, 0, FST_F32, 1, (int64_t[]){4}, (int64_t[]){1});
  fst_plan_const_tensor(t, storage, 8, FST_F32, 1, (int64_t[]){2}, (int64_t[]){1});
  uint32_t two = fst_plan_const_double(t, 2.0), zero = fst_plan_const_scalar(t, FST_TAG_INT, 0);
  uint32_t list = fst_plan_const_items(t, FST_TAG_LIST, NULL, 0);
  (void)text;
  uint32_t outer = fst_plan_loc_add(t, "code/__torch__/m.py", 7, 0);
  assert_int_equal(fst_plan_loc_add(t, "code/__torch__/sub.py", 12, outer), 2);
  fst_plan_exception_add(t, "builtins.ValueError");
  fst_plan_slot_add(t, "count", zero);
  fst_plan_slot_add(t, "history", list);
  fst_plan_slot_add(t, "same_history", list);
  uint32_t tensor = fst_plan_type_add(t, FST_PLAN_TY_TENSOR, "", NULL, NULL, 0), number = fst_plan_type_add(t, FST_PLAN_TY_FLOAT, "", NULL, NULL, 0);
  uint32_t any = fst_plan_type_add(t, FST_PLAN_TY_ANY, "", NULL, NULL, 0);
  int64_t n = fst_plan_dim_symbol(0);
  uint32_t row = fst_plan_pattern_tensor(t, FST_F32, 1, &n, NULL, 1), factor = fst_plan_pattern_scalar(t, FST_TAG_FLOAT);
  uint32_t counter[] = {0, fst_plan_pattern_int(t, FST_PLAN_DIM_ANY)};
  fst_plan_method_add(t, "forward", 0, &tensor, 1);
  fst_plan_arg_add(t, "x", tensor, 0, 0);
  fst_plan_arg_add(t, "k", number, two + 1, 0);
  fst_plan_signature_add(t, (uint32_t[]){row, factor}, NULL, 0, 1, 0, 1, 64);
  fst_plan_method_add(t, "count", FST_PLAN_METHOD_STATE, &any, 1);
  fst_plan_signature_add(t, NULL, counter, 1, 0, 1, 1, 0);
  fst_plan_method_add(t, "check", FST_PLAN_METHOD_STATE, &any, 1);
  fst_plan_arg_add(t, "x", any, 0, 0);
  fst_plan_signature_add(t, (uint32_t[]){fst_plan_pattern_any(t)}, counter, 1, 0, 2, 1, 0);
  fst_plan_method_add(t, "constants", 0, &any, 1);
  fst_plan_signature_add(t, NULL, NULL, 0, 0, 3, 1, 0);
  fst_plan_method_add(t, "write", 0, &tensor, 1);
  fst_plan_arg_add(t, "x", tensor, 0, FST_PLAN_ARG_WRITTEN | FST_PLAN_ARG_ALIASED);
  fst_plan_signature_add(t, &row, NULL, 0, 1, 4, 1, 0);
  fst_plan_method_add(t, "second", 0, &any, 1);
  fst_plan_arg_add(t, "xs", any, 0, 0);
  uint32_t rows = fst_plan_pattern_list(t, row, FST_PLAN_DIM_ANY), by_name = fst_plan_pattern_dict(t, fst_plan_pattern_scalar(t, FST_TAG_STR), rows);
  fst_plan_signature_add(t, &by_name, NULL, 0, 1, 5, 1, 0);
  fst_plan_method_add(t, "absent", 0, &any, 1);
  fst_plan_spec_add(t, "x", "float32", 0, (int64_t[]){-1 - (int64_t)fst_plan_cstring_add(t, "N")}, 1);
  fst_plan_spec_add(t, "out", "float32", FST_PLAN_SPEC_OUTPUT, (int64_t[]){FST_PLAN_DIM_ANY}, 1);
  return fixture_artifact(t, entries, sizeof entries / sizeof *entries, weights, sizeof weights);
}

// ---- helpers ----

static fst_model *model_open(void) {
  fst_text bytes = artifact_make();
  fst_model *model = NULL;
  fst_failure *failure = fst_open_memory(bytes.data, bytes.len, NULL, &model);
  if (failure) fail_msg("%s", fst_failure_message(failure));
  fst_text_deinit(&bytes);
  return model;
}

static fst_var *tensor_of(float *data, int64_t n, int64_t stride) {
  fst_var *var = NULL;
  assert_null(fst_var_tensor(FST_DT_F32, 1, &n, &stride, data, NULL, NULL, &var));
  return var;
}

static void expect_failure(fst_failure *failure, int code, const char *text) {
  assert_non_null(failure);
  if (!strstr(fst_failure_message(failure), text)) fail_msg("'%s' lacks '%s'", fst_failure_message(failure), text);
  assert_int_equal(fst_failure_code(failure), code);
  fst_failure_free(failure);
}

static int64_t count_call(fst_model *model) {
  fst_var *result = NULL;
  assert_null(fst_infer(model, "count", NULL, 0, &result));
  fst_var *n = fst_var_item(result, 0), *history = fst_var_item(result, 1);
  int64_t count = fst_var_as_int(n);
  assert_int_equal(fst_var_count(history), (size_t)count);
  fst_var_free(n);
  fst_var_free(history);
  fst_var_free(result);
  return count;
}

// ---- tests ----

static void calls_bind_by_position_name_and_default(void **state) {
  (void)state;
  fst_model *model = model_open();
  float data[3] = {1, 2, 3};
  fst_var *x = tensor_of(data, 3, 1), *k = fst_var_int(10), *y = NULL;
  assert_null(fst_infer(model, NULL, (const fst_var *[]){x}, 1, &y));
  assert_memory_equal(fst_var_data(y), ((float[]){3, 5, 7}), 12);
  assert_int_equal(fst_var_sizes(y)[0], 3);
  fst_var_free(y);
  // An int is taken where a float is declared.
  assert_null(fst_infer_named(model, "forward", 0, (const char *[]){"k", "x"}, (const fst_var *[]){k, x}, 2, &y));
  assert_memory_equal(fst_var_data(y), ((float[]){11, 21, 31}), 12);
  fst_close(model);
  assert_memory_equal(fst_var_data(y), ((float[]){11, 21, 31}), 12);  // results outlive the model
  fst_var_free(y);
  fst_var_free(x);
  fst_var_free(k);
}

static void wrong_arguments_are_named(void **state) {
  (void)state;
  fst_model *model = model_open();
  float data[4] = {1, 2, 3, 4};
  int64_t two[2] = {2, 2};
  fst_var *x = tensor_of(data, 4, 1), *matrix = NULL, *text = fst_var_str("s", 1), *y = NULL;
  assert_null(fst_var_tensor(FST_DT_F32, 2, two, NULL, data, NULL, NULL, &matrix));
  expect_failure(fst_infer(model, "forward", (const fst_var *[]){matrix}, 1, &y), FST_FAILED_INVALID, "argument 'x': expected f32[s0], found f32[2, 2]");
  expect_failure(fst_infer(model, "forward", (const fst_var *[]){x, text}, 2, &y), FST_FAILED_INVALID, "argument 'k': expected float, found str");
  expect_failure(fst_infer(model, "forward", NULL, 0, &y), FST_FAILED_INVALID, "argument 'x' is missing");
  expect_failure(fst_infer(model, "forward", (const fst_var *[]){x, text, text}, 3, &y), FST_FAILED_INVALID, "takes 2 arguments");
  expect_failure(fst_infer_named(model, NULL, 1, (const char *[]){"z"}, (const fst_var *[]){x, text}, 2, &y), FST_FAILED_INVALID, "no argument 'z'; it takes (x, k)");
  expect_failure(fst_infer_named(model, NULL, 1, (const char *[]){"x"}, (const fst_var *[]){x, x}, 2, &y), FST_FAILED_INVALID, "given twice");
  expect_failure(fst_infer(model, "nothing", NULL, 0, &y), FST_FAILED_NOT_FOUND, "no method 'nothing'");
  expect_failure(fst_infer(model, "absent", NULL, 0, &y), FST_FAILED_UNSUPPORTED, "--method absent");
  assert_null(y);
  fst_var_free(x);
  fst_var_free(matrix);
  fst_var_free(text);
  fst_close(model);
}

static void strided_arguments_are_copied_unless_written(void **state) {
  (void)state;
  fst_model *model = model_open();
  float data[6] = {1, -1, 2, -1, 3, -1};
  fst_var *x = tensor_of(data, 3, 2), *row = tensor_of(data, 6, 1), *y = NULL;
  assert_null(fst_infer(model, NULL, (const fst_var *[]){x}, 1, &y));
  assert_memory_equal(fst_var_data(y), ((float[]){3, 5, 7}), 12);
  fst_var_free(y);
  y = NULL;
  expect_failure(fst_infer(model, "write", (const fst_var *[]){x}, 1, &y), FST_FAILED_INVALID, "with strides {2}");
  assert_null(fst_infer(model, "write", (const fst_var *[]){row}, 1, &y));
  assert_true(data[0] == 42);
  assert_ptr_equal(fst_var_data(y), data);
  assert_ptr_equal(fst_var_storage(y), fst_var_storage(row));
  fst_var_free(y);
  fst_var_free(x);
  fst_var_free(row);
  fst_close(model);
}

static void strided_tensors_inside_containers_are_copied_too(void **state) {
  (void)state;
  fst_model *model = model_open();
  float data[4] = {1, -1, 2, -1};
  fst_var *x = tensor_of(data, 2, 2), *list = fst_var_list(), *dict = fst_var_dict(), *key = fst_var_str("k", 1), *y = NULL;
  assert_true(fst_var_list_add(list, x) && fst_var_dict_set(dict, key, list));
  assert_null(fst_infer(model, "second", (const fst_var *[]){dict}, 1, &y));
  assert_true(fst_var_as_float(y) == 2);
  fst_var *still = fst_var_item(list, 0);
  assert_ptr_equal(fst_var_data(still), data);  // the caller's list is untouched
  fst_var *all[] = {x, list, dict, key, y, still};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) fst_var_free(all[i]);
  fst_close(model);
}

static void exceptions_carry_class_text_and_line(void **state) {
  (void)state;
  fst_model *model = model_open();
  fst_var *x = fst_var_int(5), *y = NULL;
  fst_failure *failure = fst_infer(model, "check", (const fst_var *[]){x}, 1, &y);
  assert_non_null(failure);
  assert_int_equal(fst_failure_code(failure), FST_FAILED_MODEL);
  assert_string_equal(fst_failure_class(failure), "ValueError");
  assert_string_equal(fst_failure_text(failure), "bad size 5");
  assert_string_equal(fst_failure_location(failure), "code/__torch__/sub.py:12 (called from code/__torch__/m.py:7)");
  assert_string_equal(fst_failure_message(failure), "ValueError: bad size 5\n  at code/__torch__/sub.py:12 (called from code/__torch__/m.py:7)");
  fst_failure_free(failure);
  // What was written before the exception stays.
  fst_var *result = NULL;
  assert_null(fst_infer(model, "count", NULL, 0, &result));
  fst_var *n = fst_var_item(result, 0);
  assert_int_equal(fst_var_as_int(n), 101);
  fst_var_free(n);
  fst_var_free(result);
  fst_var_free(x);
  fst_close(model);
}

static void clones_have_state_of_their_own(void **state) {
  (void)state;
  fst_model *model = model_open(), *twin = NULL;
  assert_int_equal(count_call(model), 1);
  assert_int_equal(count_call(model), 2);
  assert_null(fst_clone(model, &twin));
  assert_int_equal(count_call(model), 3);
  assert_int_equal(count_call(twin), 3);
  fst_close(model);
  assert_int_equal(count_call(twin), 4);
  fst_close(twin);
}

static void constants_leave_as_copies(void **state) {
  (void)state;
  fst_model *model = model_open();
  fst_var *result = NULL;
  assert_null(fst_infer(model, "constants", NULL, 0, &result));
  fst_close(model);
  fst_var *text = fst_var_item(result, 0), *whole = fst_var_item(result, 1), *part = fst_var_item(result, 2);
  assert_string_equal(fst_var_as_str(text, NULL), "bad size {}");
  assert_memory_equal(fst_var_data(whole), ((float[]){1, 2, 3, 4}), 16);
  ((float *)fst_var_data(whole))[2] = 30;  // the caller's own memory by now
  assert_true(((float *)fst_var_data(part))[0] == 30);
  fst_var_free(text);
  fst_var_free(whole);
  fst_var_free(part);
  fst_var_free(result);
}

static int released;
static void release_memory(void *owner) {
  __atomic_fetch_add(&released, 1, __ATOMIC_RELAXED);
  free(owner);
}

static void callers_memory_is_released_once(void **state) {
  (void)state;
  released = 0;
  fst_model *model = model_open();
  float *data = calloc(8, sizeof *data);
  int64_t n = 8;
  fst_var *x = NULL, *y = NULL;
  assert_null(fst_var_tensor(FST_DT_F32, 1, &n, NULL, data, release_memory, data, &x));
  assert_ptr_equal(fst_var_owner(x, release_memory), data);
  assert_null(fst_infer(model, "write", (const fst_var *[]){x}, 1, &y));
  fst_var_free(x);
  assert_int_equal(released, 0);
  assert_true(((float *)fst_var_data(y))[0] == 42);
  fst_var_free(y);
  assert_int_equal(released, 1);
  fst_close(model);
}

static void impossible_tensors_are_refused(void **state) {
  (void)state;
  fst_var *x = NULL;
  float data[4];
  int64_t negative = -1, big = INT64_MAX, four = 4;
  expect_failure(fst_var_tensor(FST_DT_F32, 1, &negative, NULL, data, NULL, NULL, &x), FST_FAILED_INVALID, "negative");
  expect_failure(fst_var_tensor(FST_DT_F32, 1, &big, NULL, data, NULL, NULL, &x), FST_FAILED_INVALID, "too large");
  expect_failure(fst_var_tensor(FST_DT_F32, 1, &four, &big, data, NULL, NULL, &x), FST_FAILED_INVALID, "too large");
  expect_failure(fst_var_tensor(99, 1, &four, NULL, data, NULL, NULL, &x), FST_FAILED_INVALID, "element type");
  expect_failure(fst_var_tensor(FST_DT_F32, 1, &four, NULL, NULL, NULL, NULL, &x), FST_FAILED_INVALID, "needs data");
  expect_failure(fst_var_tensor(FST_DT_F32, 1, &four, NULL, (char *)data + 1, NULL, NULL, &x), FST_FAILED_INVALID, "aligned");
  assert_null(x);
}

static void models_describe_themselves(void **state) {
  (void)state;
  fst_model *model = model_open();
  size_t forward;
  assert_true(fst_method_find(model, "forward", &forward));
  assert_false(fst_method_find(model, "forwards", &forward));
  assert_int_equal(fst_method_count(model), 7);
  assert_int_equal(fst_method_arg_count(model, forward), 2);
  assert_string_equal(fst_method_arg_name(model, forward, 1), "k");
  assert_string_equal(fst_method_arg_type(model, forward, 1), "float");
  assert_string_equal(fst_method_result_type(model, forward), "Tensor");
  assert_true(fst_method_arg_is_optional(model, forward, 1) && !fst_method_arg_is_optional(model, forward, 0));
  fst_spec spec;
  assert_int_equal(fst_spec_count(model, 0), 1);
  assert_true(fst_spec_get(model, 0, 0, &spec));
  assert_string_equal(spec.name, "x");
  assert_string_equal(spec.dtype, "float32");
  assert_string_equal(spec.symbols[0], "N");
  assert_false(fst_spec_get(model, 1, 1, &spec));
  count_call(model);
  char *report = NULL;
  assert_null(fst_report(model, &report));
  assert_non_null(strstr(report, "\"fallback_ops\": {}"));
  assert_non_null(strstr(report, "\"kernels\": 2, "));
  assert_non_null(strstr(report, "{\"method\": \"forward\", \"arguments\": \"x: f32[s0]; k: float\", \"calls\": 0}"));
  assert_non_null(strstr(report, "{\"method\": \"count\", \"arguments\": \"\", \"calls\": 1}"));
  fst_string_free(report);
  fst_close(model);
}

static void *call_many(void *argument) {
  fst_model *model = argument;
  float data[64];
  for (int i = 0; i < 64; i++) data[i] = (float)i;
  fst_var *x = tensor_of(data, 64, 1);
  int bad = 0;
  for (int i = 0; i < 200; i++) {
    fst_var *y = NULL, *c = NULL;
    bad += fst_infer(model, NULL, (const fst_var *[]){x}, 1, &y) != NULL;
    bad += !y || ((float *)fst_var_data(y))[63] != 127;
    bad += fst_infer(model, "count", NULL, 0, &c) != NULL;
    fst_var_free(y);
    fst_var_free(c);
  }
  fst_var_free(x);
  return bad ? "bad" : NULL;
}

static void sixteen_threads_share_one_instance(void **state) {
  (void)state;
  fst_model *model = model_open();
  pthread_t threads[16];
  for (int i = 0; i < 16; i++) assert_int_equal(pthread_create(&threads[i], NULL, call_many, model), 0);
  for (int i = 0; i < 16; i++) {
    void *bad;
    pthread_join(threads[i], &bad);
    assert_null(bad);
  }
  assert_int_equal(count_call(model), 16 * 200 + 1);
  fst_close(model);
}

static void threads_run_clones(void **state) {
  (void)state;
  fst_model *model = model_open(), *clones[8];
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) {
    assert_null(fst_clone(model, &clones[i]));
    assert_int_equal(pthread_create(&threads[i], NULL, call_many, clones[i]), 0);
  }
  fst_close(model);
  for (int i = 0; i < 8; i++) {
    void *bad;
    pthread_join(threads[i], &bad);
    assert_null(bad);
    assert_int_equal(count_call(clones[i]), 201);
    fst_close(clones[i]);
  }
}

static void truncated_artifacts_are_refused(void **state) {
  (void)state;
  fst_text bytes = artifact_make();
  for (size_t cut = 0; cut < bytes.len; cut += cut < bytes.len - 1200 && cut > 1200 ? 997 : 1) {
    fst_model *model = NULL;
    fst_failure *failure = fst_open_memory(bytes.data, cut, NULL, &model);
    assert_non_null(failure);
    assert_null(model);
    fst_failure_free(failure);
  }
  fst_text_deinit(&bytes);
}

// Flips in headers, directory, plan and code are refused; in padding, names of other members and weights
// they change nothing that is run.
static void flipped_bits_are_refused_or_harmless(void **state) {
  (void)state;
  fst_text bytes = artifact_make();
  int refused = 0, taken = 0;
  for (size_t at = 0; at < bytes.len; at++) {
    if (bytes.data[at] == 0 && at % 61) continue;  // most of the file is padding
    char was = bytes.data[at];
    bytes.data[at] ^= (char)(1 << at % 8);
    fst_model *model = NULL;
    fst_failure *failure = fst_open_memory(bytes.data, bytes.len, &(fst_open_options){.size = sizeof(fst_open_options), .no_compile = 1}, &model);
    bytes.data[at] = was;
    refused += failure != NULL;
    taken += failure == NULL;
    fst_failure_free(failure);
    if (!model) continue;
    float data[2] = {1, 2};
    fst_var *x = tensor_of(data, 2, 1), *y = NULL;
    assert_null(fst_infer(model, NULL, (const fst_var *[]){x}, 1, &y));
    assert_int_equal(fst_var_sizes(y)[0], 2);
    fst_var_free(x);
    fst_var_free(y);
    fst_close(model);
  }
  if (refused < 500 || taken < 500) fail_msg("%d refused, %d taken", refused, taken);
  fst_text_deinit(&bytes);
}

static void damaged_weights_are_found_on_request(void **state) {
  (void)state;
  fst_text bytes = artifact_make();
  size_t at = 65536;
  assert_memory_equal(bytes.data + at, weights, sizeof weights);
  bytes.data[at + 3] ^= 1;
  fst_model *model = NULL;
  assert_null(fst_open_memory(bytes.data, bytes.len, NULL, &model));
  fst_close(model);
  fst_open_options options = {.size = sizeof options, .verify_weights = 1};
  expect_failure(fst_open_memory(bytes.data, bytes.len, &options, &model), FST_FAILED_CORRUPT, "weights are damaged in megabyte 0");
  fst_text_deinit(&bytes);
}

static void what_is_no_artifact_is_refused_by_name(void **state) {
  (void)state;
  fst_model *model = NULL;
  fst_open_options options = {.size = sizeof options, .no_compile = 1};
  expect_failure(fst_open("/nowhere/m.fst", &options, &model), FST_FAILED_INVALID, "/nowhere/m.fst: no such file");
  expect_failure(fst_open_memory(weight_text, 16, NULL, &model), FST_FAILED_CORRUPT, "not a zip file");
  fixture_zip z = {0};
  fixture_zip_add(&z, "archive/data.pkl", "x", 1, 1);
  fixture_zip_end(&z);
  expect_failure(fst_open_memory(z.file.data, z.file.len, &options, &model), FST_FAILED_NOT_FOUND, "no member 0/compiled/plan.bin");
  fst_text_deinit(&z.file);
  fst_text bytes = artifact_make();
  options.target = "x86-64-v9";
  expect_failure(fst_open_memory(bytes.data, bytes.len, &options, &model), FST_FAILED_UNSUPPORTED, "no code for target x86-64-v9 (it has x86-64-v3)");
  fst_text_deinit(&bytes);
  expect_failure(fst_open_memory(weight_text, 16, &(fst_open_options){.size = 0}, &model), FST_FAILED_INVALID, "size is not set");
}

static void expect_runs(fst_model *model) {
  float data[2] = {1, 2};
  fst_var *x = tensor_of(data, 2, 1), *y = NULL;
  fst_failure *failure = fst_infer(model, NULL, (const fst_var *[]){x}, 1, &y);
  if (failure) fail_msg("%s", fst_failure_message(failure));
  assert_memory_equal(fst_var_data(y), ((float[]){3, 5}), 8);
  fst_var_free(x);
  fst_var_free(y);
}

static void weights_may_be_copied(void **state) {
  (void)state;
  fst_text bytes = artifact_make();
  fst_model *model = NULL;
  fst_open_options options = {.size = sizeof options, .copy_weights = 1, .verify_weights = 1, .target = "x86-64-v3"};
  assert_null(fst_open_memory(bytes.data, bytes.len, &options, &model));
  expect_runs(model);
  fst_close(model);
  fst_text_deinit(&bytes);
}

// Members that lie at no page's start are copied instead of mapped.
static void misaligned_members_still_run(void **state) {
  (void)state;
  fst_text bytes = artifact_make();
  char *moved = calloc(1, bytes.len + 8);
  memcpy(moved + 8, bytes.data, bytes.len);
  // Eight bytes in front: every offset in the directory and its end grows by as much.
  char *end = moved + 8 + bytes.len - 22;
  uint32_t directory, offset;
  memcpy(&directory, end + 16, 4);
  directory += 8;
  memcpy(end + 16, &directory, 4);
  for (char *entry = moved + directory; entry < end;) {
    uint16_t name_len;
    memcpy(&name_len, entry + 28, 2);
    memcpy(&offset, entry + 42, 4);
    offset += 8;
    memcpy(entry + 42, &offset, 4);
    entry += 46 + name_len;
  }
  fst_model *model = NULL;
  fst_failure *failure = fst_open_memory(moved, bytes.len + 8, NULL, &model);
  if (failure) fail_msg("%s", fst_failure_message(failure));
  expect_runs(model);
  fst_close(model);
  free(moved);
  fst_text_deinit(&bytes);
}

static void unpacked_folders_open_too(void **state) {
  (void)state;
  static const char *const members[] = {"0/compiled/plan.bin", "0/compiled/x86-64-v3/code.bin", "0/compiled/weights.bin"};
  char folder[] = "/tmp/firesteel-test-XXXXXX", path[256];
  assert_non_null(mkdtemp(folder));
  const char *const inside[] = {"0", "0/compiled", "0/compiled/x86-64-v3"};
  for (int i = 0; i < 3; i++) {
    snprintf(path, sizeof path, "%s/%s", folder, inside[i]);
    assert_int_equal(mkdir(path, 0700), 0);
  }
  fst_text bytes = artifact_make();
  int fd = memfd_create("test", 0);
  assert_int_equal(write(fd, bytes.data, bytes.len), (ssize_t)bytes.len);
  fst_zip zip;
  assert_null(fst_zip_open(fd, "test", &zip));
  for (int i = 0; i < 3; i++) {
    fst_zip_member member;
    assert_null(fst_zip_find(&zip, members[i], &member));
    snprintf(path, sizeof path, "%s/%s", folder, members[i]);
    FILE *file = fopen(path, "wb");
    assert_int_equal(fwrite(bytes.data + member.offset, 1, member.bytes, file), member.bytes);
    fclose(file);
  }
  fst_model *model = NULL;
  fst_failure *failure = fst_open(folder, NULL, &model);
  if (failure) fail_msg("%s", fst_failure_message(failure));
  expect_runs(model);
  fst_close(model);
  for (int i = 0; i < 3; i++) {
    snprintf(path, sizeof path, "%s/%s", folder, members[i]);
    unlink(path);
  }
  for (int i = 3; i-- > 0;) {
    snprintf(path, sizeof path, "%s/%s", folder, inside[i]);
    rmdir(path);
  }
  rmdir(folder);
  fst_zip_deinit(&zip);
  close(fd);
  fst_text_deinit(&bytes);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(calls_bind_by_position_name_and_default),
    cmocka_unit_test(wrong_arguments_are_named),
    cmocka_unit_test(strided_arguments_are_copied_unless_written),
    cmocka_unit_test(strided_tensors_inside_containers_are_copied_too),
    cmocka_unit_test(exceptions_carry_class_text_and_line),
    cmocka_unit_test(clones_have_state_of_their_own),
    cmocka_unit_test(constants_leave_as_copies),
    cmocka_unit_test(callers_memory_is_released_once),
    cmocka_unit_test(impossible_tensors_are_refused),
    cmocka_unit_test(models_describe_themselves),
    cmocka_unit_test(sixteen_threads_share_one_instance),
    cmocka_unit_test(threads_run_clones),
    cmocka_unit_test(truncated_artifacts_are_refused),
    cmocka_unit_test(flipped_bits_are_refused_or_harmless),
    cmocka_unit_test(damaged_weights_are_found_on_request),
    cmocka_unit_test(what_is_no_artifact_is_refused_by_name),
    cmocka_unit_test(weights_may_be_copied),
    cmocka_unit_test(misaligned_members_still_run),
    cmocka_unit_test(unpacked_folders_open_too),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
