// What `firesteel bench` measured, as a table and as JSON.
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "cli/contest.h"
#include "runtime/buf.h"

double fst_bench_floor(const fst_bench_result *r, bool *out_is_memory) {
  if (!r->flops || r->roof.gflops <= 0 || r->roof.read_gbs <= 0) return 0;
  double arithmetic = (double)r->flops / r->roof.gflops / 1e3, memory = (double)r->bytes / r->roof.read_gbs / 1e3;
  *out_is_memory = memory > arithmetic;
  return *out_is_memory ? memory : arithmetic;
}

static double megabytes(int64_t bytes) { return (double)bytes / 1e6; }

// ---- the table -------------------------------------------------------------------------------------

static void row_print(const fst_bench_result *result, const fst_rival *r) {
  if (r->refusal) {
    printf("%-27s %s\n", r->name, r->refusal);
    return;
  }
  bool is_memory;
  double floor = fst_bench_floor(result, &is_memory);
  printf("%-27s %10.2f %10.2f %10.2f %9.2f %9.2f %9.3f %9.2f %9.2f ", r->name, r->min, r->p50, r->p99, r->open_us / 1e3, r->start_us / 1e3, (double)r->peak_kb / 1024, megabytes(r->artifact_bytes),
         megabytes(r->runtime_bytes));
  if (floor > 0) printf("%6.1f %%\n", 100 * floor / r->p50);
  else printf("%8s\n", "");
}

static void ratio_print(const fst_rival *ours, const fst_rival *theirs, const char *from) {
  if (!theirs || ours->refusal) return;
  fst_ratio p50 = fst_rival_ratio(ours, theirs);
  printf("%s: p50 %.3f of PyTorch's best (%s), %.3f to %.3f over the rounds%s", from, p50.median, theirs->name, p50.low, p50.high, p50.is_tie ? ": a tie" : "");
  printf("; start to first result %.3f of it\n", ours->start_us / theirs->start_us);
}

static void roof_print(const fst_bench_result *r) {
  if (r->roof.gflops > 0) printf("This CPU%s: %.1f GFLOP/s (%s), %.1f GB/s reading %.2f MB", r->cpu < 0 ? "" : ", one pinned", r->roof.gflops, r->roof.level, r->roof.read_gbs, megabytes(r->roof.read_bytes));
  else printf("This CPU: %.1f GB/s reading %.2f MB", r->roof.read_gbs, megabytes(r->roof.read_bytes));
  bool is_memory = false;
  double floor = fst_bench_floor(r, &is_memory);
  if (floor > 0)
    printf(".\nOne call: %.3f MFLOP in products and convolutions, %.3f MB of weights, arguments and results; not under %.2f us, for %s.\n", (double)r->flops / 1e6, megabytes(r->bytes), floor,
           is_memory ? "memory" : "arithmetic");
  else printf(".\n");
}

void fst_bench_print(const fst_bench_result *result) {
  const fst_rivals *rivals = &result->rivals;
  const fst_rival *ours = &rivals->data[0], *ours_python = NULL;
  for (size_t i = 1; i < rivals->len; i++) {
    const fst_rival *r = &rivals->data[i];
    if (r->is_ours) ours_python = r;
    if (!r->refusal) printf("%s: first results equal, largest difference %.3g\n", r->name, r->difference);
  }
  printf("%s%-27s %10s %10s %10s %9s %9s %9s %9s %9s %8s\n", rivals->len > 1 ? "\n" : "", result->method, "min us", "p50 us", "p99 us", "open ms", "start ms", "peak MB", "file MB", "library MB", "of roof");
  for (size_t i = 0; i < rivals->len; i++) row_print(result, &rivals->data[i]);
  printf("\nopen: opening alone; start: from the start of the process to the first result; peak: resident memory; library: what is loaded beside the system's.\n");
  roof_print(result);
  ratio_print(ours, fst_rivals_best_torch(rivals, false), "From C");
  if (ours_python) ratio_print(ours_python, fst_rivals_best_torch(rivals, true), "From Python");
}

// ---- JSON ------------------------------------------------------------------------------------------

static void json_text(fst_text *out, const char *key, const char *text) {
  fst_buf buf = {0};
  fst_buf_json(&buf, text, strlen(text));
  fst_text_printf(out, "\"%s\": %s", key, fst_buf_text(&buf));
  fst_buf_deinit(&buf);
}

static void json_number(fst_text *out, const char *key, double value) {
  if (isfinite(value)) fst_text_printf(out, ", \"%s\": %.6g", key, value);
  else fst_text_printf(out, ", \"%s\": null", key);
}

static void json_whole(fst_text *out, const char *key, int64_t value) { fst_text_printf(out, ", \"%s\": %" PRId64, key, value); }

static void rival_json(const fst_bench_result *result, const fst_rival *r, fst_text *out) {
  bool is_memory;
  double floor = fst_bench_floor(result, &is_memory);
  fst_text_puts(out, "    {");
  json_text(out, "name", r->name);
  fst_text_printf(out, ", \"python\": %s", r->is_python ? "true" : "false");
  if (r->refusal) {
    fst_text_puts(out, ", ");
    json_text(out, "refusal", r->refusal);
    fst_text_putc(out, '}');
    return;
  }
  json_number(out, "min_us", r->min);
  json_number(out, "p50_us", r->p50);
  json_number(out, "p99_us", r->p99);
  json_whole(out, "calls", (int64_t)r->times.len);
  json_number(out, "open_us", r->open_us);
  json_number(out, "first_us", r->first_us);
  json_number(out, "start_us", r->start_us);
  json_number(out, "peak_mb", (double)r->peak_kb / 1024);
  json_whole(out, "artifact_bytes", r->artifact_bytes);
  json_whole(out, "runtime_bytes", r->runtime_bytes);
  json_number(out, "largest_difference", r->difference);
  json_number(out, "percent_of_roof", floor > 0 ? 100 * floor / r->p50 : NAN);
  json_number(out, "gflops", r->p50 > 0 ? (double)result->flops / r->p50 / 1e3 : NAN);
  fst_text_puts(out, ", \"turn_medians_us\": [");
  for (size_t i = 0; i < r->medians.len; i++) fst_text_printf(out, "%s%.6g", i ? ", " : "", r->medians.data[i]);
  fst_text_puts(out, "]}");
}

static void ratio_json(const fst_rival *ours, const fst_rival *theirs, const char *key, fst_text *out) {
  if (!theirs || ours->refusal) return;
  fst_ratio ratio = fst_rival_ratio(ours, theirs);
  fst_text_printf(out, ",\n  \"%s\": {", key);
  json_text(out, "to", theirs->name);
  json_number(out, "p50", ratio.median);
  json_number(out, "low", ratio.low);
  json_number(out, "high", ratio.high);
  fst_text_printf(out, ", \"tie\": %s", ratio.is_tie ? "true" : "false");
  json_number(out, "start", ours->start_us / theirs->start_us);
  fst_text_putc(out, '}');
}

void fst_bench_json(const fst_bench_result *result, fst_text *out) {
  const fst_rivals *rivals = &result->rivals;
  bool is_memory = false;
  double floor = fst_bench_floor(result, &is_memory);
  fst_text_puts(out, "{\n  ");
  json_text(out, "model", result->path);
  fst_text_puts(out, ", ");
  json_text(out, "method", result->method);
  json_whole(out, "pinned_to", result->cpu);
  json_whole(out, "rounds", result->rounds);
  json_whole(out, "buffers", result->buffers > 1 ? result->buffers : 1);
  fst_text_puts(out, ",\n  \"roof\": {");
  json_text(out, "level", result->roof.level);
  json_number(out, "gflops", result->roof.gflops);
  json_number(out, "read_gbs", result->roof.read_gbs);
  json_whole(out, "read_bytes", result->roof.read_bytes);
  fst_text_puts(out, "},\n  \"call\": {");
  fst_text_printf(out, "\"flops\": %" PRId64, result->flops);
  json_whole(out, "bytes", result->bytes);
  json_number(out, "floor_us", floor > 0 ? floor : NAN);
  fst_text_puts(out, "},\n  \"contestants\": [\n");
  const fst_rival *ours_python = NULL;
  for (size_t i = 0; i < rivals->len; i++) {
    rival_json(result, &rivals->data[i], out);
    fst_text_puts(out, i + 1 < rivals->len ? ",\n" : "\n");
    if (i && rivals->data[i].is_ours) ours_python = &rivals->data[i];
  }
  fst_text_puts(out, "  ]");
  ratio_json(&rivals->data[0], fst_rivals_best_torch(rivals, false), "ratio", out);
  if (ours_python) ratio_json(ours_python, fst_rivals_best_torch(rivals, true), "ratio_python", out);
  fst_text_puts(out, "\n}\n");
}
