// Sixteen threads on one instance and on clones of it, from the first call on, which compiles. Under -DFST_SANITIZE=thread
// this is what shows races of the runtime.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "include/firesteel/firesteel.h"

enum { THREADS = 16, ROUNDS = 24 };

// forward has no state; tick counts, adds to a tensor in place, and returns its count as a number and as text; check raises
// for negative numbers.
static const char source[] =
    "firesteel.module 1\nsource \"threads\"\n"
    "class \"M\" module {\n  attr \"count\" : int\n  attr \"sum\" : Tensor\n  method \"forward\" = \"M.forward\"\n  method \"tick\" = \"M.tick\"\n  method \"check\" = \"M.check\"\n}\n"
    "storage 0 bytes 8 hex 0000000000000000\ntensor 0 f32[2]{1} storage 0 offset 0\n"
    "object 0 \"M\" {\n  \"count\" = 0\n  \"sum\" = tensor 0\n}\nroot object 0\n"
    "function \"M.forward\" imported (%self : Class[\"M\"], %x : Tensor) -> (Tensor) {\n"
    "  %0 : Tensor = aten::mul.Tensor(%x, %x)\n  %1 : Tensor = aten::add.Scalar(%0, 1, 1)\n  return %1\n}\n"
    "function \"M.tick\" imported (%self : Class[\"M\"], %x : Tensor) -> (Tuple[int, str, Tensor]) {\n"
    "  %0 : int = prim::GetAttr[name=\"count\"](%self)\n  %1 : int = aten::add.int(%0, 1)\n  prim::SetAttr[name=\"count\"](%self, %1)\n"
    "  %2 : Tensor = prim::GetAttr[name=\"sum\"](%self)\n  %3 : Tensor = aten::add_.Tensor(%2, %x, 1)\n"
    "  %4 : str = aten::str(%1)\n  %5 : Tensor = aten::clone(%2, None)\n"
    "  %6 : Tuple[int, str, Tensor] = prim::TupleConstruct(%1, %4, %5)\n  return %6\n}\n"
    "function \"M.check\" imported (%self : Class[\"M\"], %n : int) -> (int) {\n"
    "  %0 : bool = aten::lt.int(%n, 0)\n  prim::If(%0) {\n    prim::RaiseException(\"negative\", \"builtins.ValueError\")\n    yield\n  } {\n    yield\n  }\n  return %n\n}\n";

static fst_model *model;
static pthread_barrier_t start;

// What goes wrong in a thread is told by the main one: cmocka's failures belong to it.
typedef struct { int number; char wrong[256]; } worker;
#define WRONG(w, ...) (snprintf((w)->wrong, sizeof (w)->wrong, __VA_ARGS__), false)

static bool failed(worker *w, const char *what, fst_failure *failure) {
  if (!failure) return false;
  snprintf(w->wrong, sizeof w->wrong, "%s: %s", what, fst_failure_message(failure));
  fst_failure_free(failure);
  return true;
}

static bool forward(worker *w, fst_model *m, int dtype, int64_t size) {
  fst_var *x, *y = NULL;
  if (failed(w, "tensor", fst_var_tensor_new(dtype, 1, &size, &x))) return false;
  for (int64_t i = 0; i < size; i++) {
    if (dtype == FST_DT_F32) ((float *)fst_var_data(x))[i] = (float)(i + w->number);
    else ((double *)fst_var_data(x))[i] = (double)(i + w->number);
  }
  const fst_var *args[] = {x};
  bool ok = !failed(w, "forward", fst_infer(m, NULL, args, 1, &y));
  for (int64_t i = 0; ok && i < size; i++) {
    double got = dtype == FST_DT_F32 ? (double)((float *)fst_var_data(y))[i] : ((double *)fst_var_data(y))[i];
    double in = (double)(i + w->number);
    if (got != in * in + 1) ok = WRONG(w, "forward gives %g for %g", got, in);
  }
  fst_var_free(x);
  fst_var_free(y);
  return ok;
}

// *out_count: what tick says. The sum's first element counts the same ticks.
static bool tick(worker *w, fst_model *m, int64_t *out_count) {
  int64_t size = 2;
  fst_var *x, *result = NULL;
  if (failed(w, "tensor", fst_var_tensor_new(FST_DT_F32, 1, &size, &x))) return false;
  ((float *)fst_var_data(x))[0] = 1;
  const fst_var *args[] = {x};
  bool ok = !failed(w, "tick", fst_infer(m, "tick", args, 1, &result));
  if (ok) {
    fst_var *count = fst_var_item(result, 0), *text = fst_var_item(result, 1), *sum = fst_var_item(result, 2);
    char expected[32];
    *out_count = fst_var_as_int(count);
    snprintf(expected, sizeof expected, "%lld", (long long)*out_count);
    if (strcmp(fst_var_as_str(text, NULL), expected) != 0) ok = WRONG(w, "the text is '%s', not '%s'", fst_var_as_str(text, NULL), expected);
    if (((float *)fst_var_data(sum))[0] != (float)*out_count) ok = WRONG(w, "the sum is %g after %s ticks", (double)((float *)fst_var_data(sum))[0], expected);
    fst_var_free(count);
    fst_var_free(text);
    fst_var_free(sum);
  }
  fst_var_free(x);
  fst_var_free(result);
  return ok;
}

static bool raises(worker *w, fst_model *m) {
  fst_var *n = fst_var_int(-1), *result = NULL;
  const fst_var *args[] = {n};
  fst_failure *failure = fst_infer(m, "check", args, 1, &result);
  bool ok = failure && fst_failure_code(failure) == FST_FAILED_MODEL && !strcmp(fst_failure_text(failure), "negative");
  if (!ok) ok = WRONG(w, "check(-1): %s", failure ? fst_failure_message(failure) : "no error");
  fst_failure_free(failure);
  fst_var_free(result);
  fst_var_free(n);
  return ok;
}

// A clone has the state of the moment it was made; from then on it counts for itself alone.
static bool clone_counts(worker *w) {
  fst_model *own;
  int64_t first, next;
  if (failed(w, "clone", fst_clone(model, &own))) return false;
  bool ok = tick(w, own, &first);
  for (int i = 1; ok && i < 4; i++) {
    ok = tick(w, own, &next);
    if (ok && next != first + i) ok = WRONG(w, "a clone counts %lld after %lld", (long long)next, (long long)first + i - 1);
  }
  ok = ok && forward(w, own, FST_DT_F32, 3);
  fst_close(own);
  return ok;
}

static void *work(void *argument) {
  worker *w = argument;
  int64_t last = 0, count;
  pthread_barrier_wait(&start);
  for (int round = 0; round < ROUNDS; round++) {
    if (!forward(w, model, (w->number + round) % 2 ? FST_DT_F32 : FST_DT_F64, (w->number * 7 + round) % 9)) return NULL;
    if (!tick(w, model, &count)) return NULL;
    if (count <= last) {
      snprintf(w->wrong, sizeof w->wrong, "the count went from %lld to %lld", (long long)last, (long long)count);
      return NULL;
    }
    last = count;
    if (round % 6 == 2 && !clone_counts(w)) return NULL;
    if (round % 6 == 4 && !raises(w, model)) return NULL;
    if (round % 8 == 5) {
      char *json = NULL;
      if (failed(w, "report", fst_report(model, &json))) return NULL;
      fst_string_free(json);
    }
  }
  return NULL;
}

static void test_threads(void **state) {
  (void)state;
  char path[] = "/tmp/fst_threads_XXXXXX.ir";
  int fd = mkstemps(path, 3);
  assert_true(fd >= 0 && write(fd, source, sizeof source - 1) == (ssize_t)sizeof source - 1);
  close(fd);
  // A sanitized runtime may use the worker of another build, which compiles faster.
  const char *other = getenv("FST_WORKER");
  fst_open_options options = {.size = sizeof options, .worker = other ? other : FST_WORKER};
  fst_failure *failure = fst_open(path, &options, &model);
  if (failure) fail_msg("%s", fst_failure_message(failure));
  pthread_t threads[THREADS];
  static worker workers[THREADS];
  pthread_barrier_init(&start, NULL, THREADS);
  for (int i = 0; i < THREADS; i++) {
    workers[i].number = i;
    assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
  }
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  for (int i = 0; i < THREADS; i++)
    if (workers[i].wrong[0]) fail_msg("thread %d: %s", i, workers[i].wrong);
  worker last = {0};
  int64_t count = 0;
  if (!tick(&last, model, &count)) fail_msg("%s", last.wrong);
  assert_int_equal(count, THREADS * ROUNDS + 1);
  fst_close(model);
  pthread_barrier_destroy(&start);
  unlink(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
