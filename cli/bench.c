// `firesteel bench`: one thread, pinned; the answers are compared before anything is timed; the contestants take turns,
// so that a machine that slows down slows all of them down.
#define _GNU_SOURCE  // sched_setaffinity
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/args.h"
#include "cli/commands.h"
#include "cli/inputs.h"
#include "cli/tensor.h"
#include "cli/torch.h"

typedef struct bench_options {
  fst_words inputs, files;
  const char *method, *against, *bridge, *archive;
  long rounds;
  bool free_cpu;
} bench_options;

enum { WARM_UP = 20, TURN = 50, DEFAULT_ROUNDS = 1000 };
static const struct { const char *name; fst_torch_mode mode; } forms[] = {
    {"PyTorch, as it is", FST_TORCH_AS_IS}, {"PyTorch, frozen", FST_TORCH_FROZEN}, {"PyTorch, optimized", FST_TORCH_OPTIMIZED},
};
enum { FORMS = sizeof forms / sizeof *forms, CONTESTANTS = FORMS + 1 };

typedef struct contestant {
  const char *name;
  fst_model *model;   // ours
  fst_torch *torch;   // or theirs
  fst_inputs inputs;  // of its own: a model may write into them
  double open_us, first_us;
  double *times;      // microseconds
  size_t count;
  char *refusal;      // why it does not take part, or NULL
} contestant;

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static fst_status contestant_call(contestant *c, const char *method, fst_var **out) {
  return c->model ? fst_inputs_infer(&c->inputs, c->model, method, out) : fst_torch_infer(c->torch, &c->inputs, method, out);
}

static fst_status contestant_start(const bench_options *o, contestant *c, fst_var **out_first) {
  FST_TRY(fst_inputs_read(&o->inputs, &o->files, &c->inputs));
  c->times = calloc((size_t)o->rounds + TURN, sizeof *c->times);
  if (!c->times) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  double start = now_us();
  FST_TRY(contestant_call(c, o->method, out_first));
  c->first_us = now_us() - start;
  return NULL;
}

static fst_status ours_start(const bench_options *o, const char *path, contestant *c, fst_var **out_first) {
  c->name = "Firesteel";
  fst_open_options open = {.size = sizeof open};
  double start = now_us();
  FST_TRY(fst_failure_status(fst_open(path, &open, &c->model)));
  c->open_us = now_us() - start;
  return contestant_start(o, c, out_first);
}

static fst_status theirs_start(const bench_options *o, const char *path, int form, contestant *c, const fst_var *ours) {
  c->name = forms[form].name;
  double start = now_us();
  FST_TRY(fst_torch_open(o->bridge, path, forms[form].mode, &c->torch));
  c->open_us = now_us() - start;
  fst_var *first = NULL;
  FST_TRY(contestant_start(o, c, &first));
  fst_difference difference = {0};
  fst_var_compare(ours, first, (fst_tolerance){-1, -1}, "result", &difference);
  fst_var_free(first);
  fst_status status = NULL;
  if (difference.where.len) status = FST_FAIL(FST_ERR_MODEL, "it answers differently: %s", fst_text_cstr(&difference.where));
  else printf("%-20s first answers equal; largest difference %.3g\n", c->name, difference.largest);
  fst_text_deinit(&difference.where);
  return status;
}

static fst_status turn(contestant *c, const char *method, size_t calls, bool count_it) {
  for (size_t i = 0; i < calls; i++) {
    fst_var *result = NULL;
    double start = now_us();
    FST_TRY(contestant_call(c, method, &result));
    double took = now_us() - start;
    fst_var_free(result);
    if (count_it) c->times[c->count++] = took;
  }
  return NULL;
}

static fst_status measure(const bench_options *o, contestant *all, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (!all[i].refusal) FST_TRY(turn(&all[i], o->method, WARM_UP, false));
  for (long done = 0; done < o->rounds; done += TURN)
    for (size_t i = 0; i < count; i++)
      if (!all[i].refusal) FST_TRY(turn(&all[i], o->method, TURN, true));
  return NULL;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void results_print(contestant *all, size_t count) {
  double ours = 0, best = 0;
  printf("\n%-20s %10s %10s %10s %10s %10s\n", "", "open ms", "first us", "min us", "p50 us", "p99 us");
  for (size_t i = 0; i < count; i++) {
    contestant *c = &all[i];
    if (c->refusal) {
      printf("%-20s %s\n", c->name, c->refusal);
      continue;
    }
    qsort(c->times, c->count, sizeof *c->times, by_size);
    double p50 = c->times[c->count / 2];
    printf("%-20s %10.2f %10.1f %10.2f %10.2f %10.2f\n", c->name, c->open_us / 1e3, c->first_us, c->times[0], p50, c->times[c->count * 99 / 100]);
    if (!i) ours = p50;
    else if (best == 0 || p50 < best) best = p50;
  }
  if (best > 0) printf("\np50: %.3f of PyTorch's best\n", ours / best);
}

static fst_status contest(const bench_options *o, const char *path, contestant *all) {
  fst_var *answer = NULL;
  size_t count = 1;
  fst_status status = ours_start(o, path, &all[0], &answer);
  for (int form = 0; form < FORMS && !status && o->against; form++) {
    contestant *c = &all[count++];
    fst_status refusal = theirs_start(o, o->archive ? o->archive : path, form, c, answer);
    if (!refusal) continue;
    // A wrong answer is a failure of the whole comparison; not being able to freeze a model is only a line.
    if (refusal->code == FST_ERR_MODEL && c->torch && c->times) status = refusal;
    else {
      c->refusal = strdup(refusal->message);
      fst_error_free(refusal);
    }
  }
  fst_var_free(answer);
  if (!status) status = measure(o, all, count);
  if (!status) results_print(all, count);
  return status;
}

static void pin_to_one_cpu(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return;
  int last = -1;
  for (int i = 0; i < CPU_SETSIZE; i++)
    if (CPU_ISSET(i, &set)) last = i;
  if (last < 0) return;
  CPU_ZERO(&set);
  CPU_SET(last, &set);
  (void)sched_setaffinity(0, sizeof set, &set);
}

static fst_status bench(bench_options *o, const char *path) {
  if (o->against && strcmp(o->against, "torch") != 0) return FST_FAIL(FST_ERR_INVALID, "--vs '%s': expected torch", o->against);
  if (o->rounds <= 0) o->rounds = DEFAULT_ROUNDS;
  if (!o->free_cpu) pin_to_one_cpu();
  contestant all[CONTESTANTS] = {0};
  fst_status status = contest(o, path, all);
  for (int i = 0; i < CONTESTANTS; i++) {
    fst_close(all[i].model);
    fst_torch_close(all[i].torch);
    fst_inputs_deinit(&all[i].inputs);
    free(all[i].times);
    free(all[i].refusal);
  }
  return status;
}

int fst_command_bench(int argc, char **argv) {
  bench_options o = {0};
  fst_words words = {0};
  const fst_option options[] = {
      FST_LIST("--input", "NAME=VALUE", "an argument, see above", &o.inputs),
      FST_LIST("--inputs", "FILE.npz", "arguments by name", &o.files),
      FST_TEXT("--method", "NAME", "what to call; forward", &o.method),
      FST_NUMBER("--rounds", "N", "calls to time; 1000", &o.rounds),
      FST_TEXT("--vs", "torch", "also through libtorch: as it is, frozen, optimized for inference", &o.against),
      FST_TEXT("--archive", "FILE.pt", "what libtorch runs, when MODEL is compiled", &o.archive),
      FST_TEXT("--bridge", "FILE.so", "libfiresteel_torch.so, if it is not beside the runtime", &o.bridge),
      FST_FLAG("--no-pin", "let the system choose the CPU", &o.free_cpu),
  };
  int code = fst_args_parse(fst_command_find("bench"), argc, argv, options, sizeof options / sizeof *options, 1, 1, &words);
  if (code < 0) code = fst_report_status(bench(&o, words.data[0]));
  fst_vec_free(&words);
  fst_vec_free(&o.inputs);
  fst_vec_free(&o.files);
  return code;
}
