#define _GNU_SOURCE  // getline, pipe2
#include "cli/contest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/contestant.h"
#include "cli/tensor.h"

extern char **environ;

enum { WARM_CALLS = 20, TURN_MAX = 1000 };
static const double warm_us = 200e3, turn_us = 25e3;

// ---- the conversation ------------------------------------------------------------------------------

// The number after `"key": `; NAN when it is not there.
static double answer_number(const char *line, const char *key) {
  fst_text mark = {0};
  fst_text_printf(&mark, "\"%s\": ", key);
  const char *at = strstr(line, fst_text_cstr(&mark));
  double value = at ? strtod(at + mark.len, NULL) : NAN;
  fst_text_deinit(&mark);
  return value;
}

// The text after `"key": "`, as it is written there.
static char *answer_text(const char *line, const char *key) {
  fst_text mark = {0}, text = {0};
  fst_text_printf(&mark, "\"%s\": \"", key);
  const char *at = strstr(line, fst_text_cstr(&mark));
  for (at = at ? at + mark.len : ""; *at && *at != '"'; at++) {
    char c = *at;
    if (c == '\\' && at[1]) c = *++at == 'n' ? ' ' : *at == 't' ? ' ' : *at;
    fst_text_putc(&text, c);
  }
  char *copy = strdup(fst_text_cstr(&text));
  fst_text_deinit(&mark);
  fst_text_deinit(&text);
  return copy;
}

static void rival_end(fst_rival *r) {
  if (!r->pid) return;
  if (r->ask) fclose(r->ask);
  if (r->hear) fclose(r->hear);
  r->ask = r->hear = NULL;
  int code;
  while (waitpid(r->pid, &code, 0) < 0 && errno == EINTR) {}
  r->pid = 0;
}

static void refuse(fst_rival *r, const char *why) {
  free(r->refusal);
  r->refusal = strdup(why);
  rival_end(r);
}

// One line of its answer, to be freed. NULL: it has no answer, and is out of the contest.
static char *rival_hear(fst_rival *r) {
  char *line = NULL;
  size_t cap = 0;
  ssize_t len = getline(&line, &cap, r->hear);
  while (len > 0 && *line != '{') len = getline(&line, &cap, r->hear);  // what libraries print is not for us
  if (len > 0 && strncmp(line, "{\"error\": ", 10) != 0) return line;
  char *why = len > 0 ? answer_text(line, "error") : strdup("its process ended without an answer");
  free(line);
  refuse(r, why ? why : "out of memory");
  free(why);
  return NULL;
}

static char *rival_ask(fst_rival *r, const char *question) {
  if (!r->pid) return NULL;
  fprintf(r->ask, "%s\n", question);
  fflush(r->ask);
  return rival_hear(r);
}

// ---- beginning -------------------------------------------------------------------------------------

static fst_status spawn(fst_rival *r, char **argv, int in, int out) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  int error = posix_spawn(&r->pid, argv[0], &actions, NULL, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error) r->pid = 0;
  return error ? fst_errno_status(error, "cannot run", argv[0]) : NULL;
}

static fst_status begin(fst_rival *r, char **argv) {
  int to[2], from[2];
  if (pipe2(to, O_CLOEXEC)) return fst_errno_status(errno, "cannot make a pipe for", argv[0]);
  if (pipe2(from, O_CLOEXEC)) {
    close(to[0]), close(to[1]);
    return fst_errno_status(errno, "cannot make a pipe for", argv[0]);
  }
  fst_status status = spawn(r, argv, to[0], from[1]);
  close(to[0]), close(from[1]);
  r->ask = fdopen(to[1], "w");
  r->hear = fdopen(from[0], "r");
  if (!status && (!r->ask || !r->hear)) status = FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  return status;
}

fst_status fst_rival_start(fst_rival *r, const fst_words *words) {
  fst_words argv = {0};
  for (size_t i = 0; i < words->len; i++) fst_vec_push(&argv, words->data[i]);
  char started[32];
  struct timespec t;
  fst_vec_push(&argv, "--started");
  fst_vec_push(&argv, started);
  fst_vec_push(&argv, NULL);
  clock_gettime(CLOCK_MONOTONIC, &t);
  snprintf(started, sizeof started, "%lld", (long long)t.tv_sec * 1000000000 + t.tv_nsec);
  fst_status status = begin(r, (char **)argv.data);
  fst_vec_free(&argv);
  if (status) return status;
  char *line = rival_hear(r);
  if (!line) return NULL;
  r->open_us = answer_number(line, "open_us");
  r->first_us = answer_number(line, "first_us");
  r->start_us = answer_number(line, "start_us");
  free(line);
  return NULL;
}

// ---- results ---------------------------------------------------------------------------------------

fst_status fst_rival_results(fst_rival *r, const char *path) {
  fst_text question = {0};
  fst_text_printf(&question, "results %s", path);
  char *line = rival_ask(r, fst_text_cstr(&question));
  fst_text_deinit(&question);
  if (!line) return NULL;
  free(line);
  return fst_npy_sequence_read(path, &r->results);
}

static fst_status array_var(const fst_npy *array, fst_var **out) {
  fst_failure *failure = fst_var_tensor((int)array->dtype, (size_t)array->rank, array->sizes, array->strides, array->data, NULL, NULL, out);
  if (!failure) return NULL;
  fst_status status = FST_FAIL((fst_code)fst_failure_code(failure), "%s", fst_failure_message(failure));
  fst_failure_free(failure);
  return status;
}

static fst_status arrays_compare(const fst_npy *a, const fst_npy *b, size_t number, fst_difference *out) {
  fst_var *x = NULL, *y = NULL;
  char name[32];
  snprintf(name, sizeof name, "result[%zu]", number);
  fst_status status = array_var(a, &x);
  if (!status) status = array_var(b, &y);
  if (!status) fst_var_compare(x, y, (fst_tolerance){-1, -1}, name, out);
  fst_var_free(x);
  fst_var_free(y);
  return status;
}

fst_status fst_rival_compare(fst_rival *r, const fst_rival *reference) {
  if (!r->pid || !reference->results.len) return NULL;
  if (r->results.len != reference->results.len)
    return FST_FAIL(FST_ERR_MODEL, "%s returns %zu values, %s %zu", r->name, r->results.len, reference->name, reference->results.len);
  fst_difference difference = {0};
  fst_status status = NULL;
  for (size_t i = 0; i < r->results.len && !status; i++) status = arrays_compare(&reference->results.data[i], &r->results.data[i], i, &difference);
  r->difference = difference.largest;
  if (!status && difference.where.len) status = FST_FAIL(FST_ERR_MODEL, "%s and %s answer differently: %s", reference->name, r->name, fst_text_cstr(&difference.where));
  fst_text_deinit(&difference.where);
  return status;
}

// ---- timing ----------------------------------------------------------------------------------------

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double quantile(const double *sorted, size_t count, double q) {
  if (!count) return NAN;
  size_t at = (size_t)(q * (double)count);
  return sorted[at < count ? at : count - 1];
}

// So many calls, microseconds each, at the end of `times`. false: it is out.
static bool turn(fst_rival *r, long calls) {
  char question[32];
  snprintf(question, sizeof question, "time %ld", calls);
  char *line = rival_ask(r, question);
  if (!line) return false;
  const char *at = strchr(line, '[');
  for (at = at ? at + 1 : ""; *at && *at != ']';) {
    char *end;
    double ns = strtod(at, &end);
    if (end == at) break;
    fst_vec_push(&r->times, ns / 1e3);
    at = end + strspn(end, ", ");
  }
  free(line);
  return true;
}

// Until it is warm; from the last calls follows how many make a turn.
static void warm_up(fst_rival *r) {
  double spent = 0, last = r->first_us;
  for (int calls = 0; spent < warm_us * 10 && (calls < WARM_CALLS || spent < warm_us);) {
    long count = last > 50e3 ? 1 : 5;
    if (!turn(r, count)) return;
    qsort(r->times.data, r->times.len, sizeof *r->times.data, by_size);
    last = quantile(r->times.data, r->times.len, 0.5);
    for (size_t i = 0; i < r->times.len; i++) spent += r->times.data[i];
    calls += (int)r->times.len;
    fst_vec_clear(&r->times);
  }
  r->turn = (long)(turn_us / (last > 0 ? last : 1));
  if (r->turn < 1) r->turn = 1;
  if (r->turn > TURN_MAX) r->turn = TURN_MAX;
}

static void take_turn(fst_rival *r) {
  size_t before = r->times.len;
  if (!r->pid || !turn(r, r->turn)) return;
  size_t count = r->times.len - before;
  double *sorted = malloc((count + 1) * sizeof *sorted);
  if (!sorted) return;
  memcpy(sorted, r->times.data + before, count * sizeof *sorted);
  qsort(sorted, count, sizeof *sorted, by_size);
  fst_vec_push(&r->medians, quantile(sorted, count, 0.5));
  free(sorted);
}

fst_status fst_rivals_time(fst_rivals *rivals, long rounds) {
  for (size_t i = 0; i < rivals->len; i++)
    if (rivals->data[i].pid) warm_up(&rivals->data[i]);
  for (long round = 0; round < rounds; round++)
    for (size_t i = 0; i < rivals->len; i++) take_turn(&rivals->data[i]);
  for (size_t i = 0; i < rivals->len; i++) {
    fst_rival *r = &rivals->data[i];
    if (!r->pid) continue;
    if (!r->times.len) return FST_FAIL(FST_ERR_INTERNAL, "%s gave no times", r->name);
    qsort(r->times.data, r->times.len, sizeof *r->times.data, by_size);
    r->min = r->times.data[0];
    r->p50 = quantile(r->times.data, r->times.len, 0.5);
    r->p99 = quantile(r->times.data, r->times.len, 0.99);
  }
  return NULL;
}

// ---- the end ---------------------------------------------------------------------------------------

void fst_rival_dismiss(fst_rival *r) { rival_end(r); }

void fst_rival_memory(fst_rival *r) {
  char *line = rival_ask(r, "memory");
  if (!line) return;
  r->peak_kb = (long)answer_number(line, "peak_kb");
  r->runtime_bytes = (int64_t)answer_number(line, "runtime_bytes");
  double flops = answer_number(line, "flops"), weights = answer_number(line, "weight_bytes");
  if (flops > 0) r->flops = (int64_t)flops;
  if (weights > 0) r->weight_bytes = (int64_t)weights;
  char *target = answer_text(line, "target");
  if (target) snprintf(r->target, sizeof r->target, "%s", target);
  free(target);
  free(line);
}

void fst_rivals_deinit(fst_rivals *rivals) {
  for (size_t i = 0; i < rivals->len; i++) {
    fst_rival *r = &rivals->data[i];
    rival_end(r);
    free(r->refusal);
    fst_npy_list_deinit(&r->results);
    fst_vec_free(&r->times);
    fst_vec_free(&r->medians);
  }
  fst_vec_free(rivals);
}

fst_ratio fst_rival_ratio(const fst_rival *a, const fst_rival *b) {
  size_t count = a->medians.len < b->medians.len ? a->medians.len : b->medians.len;
  double *ratios = calloc(count + 1, sizeof *ratios);
  if (!ratios || !count) {
    free(ratios);
    return (fst_ratio){NAN, NAN, NAN, false};
  }
  for (size_t i = 0; i < count; i++) ratios[i] = a->medians.data[i] / b->medians.data[i];
  qsort(ratios, count, sizeof *ratios, by_size);
  fst_ratio ratio = {quantile(ratios, count, 0.5), quantile(ratios, count, 0.1), quantile(ratios, count, 0.9), false};
  ratio.is_tie = ratio.low <= 1 && ratio.high >= 1;
  free(ratios);
  return ratio;
}

const fst_rival *fst_rivals_best_torch(const fst_rivals *rivals, bool is_python) {
  const fst_rival *best = NULL;
  for (size_t i = 0; i < rivals->len; i++) {
    const fst_rival *r = &rivals->data[i];
    if (r->is_ours || r->is_python != is_python || r->refusal || !r->times.len) continue;
    if (!best || r->p50 < best->p50) best = r;
  }
  return best;
}
