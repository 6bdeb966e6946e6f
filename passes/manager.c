// Running passes: by name, each timed, counted, verified and dumped as asked.
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "passes/pass.h"

#define PASS(id, name, fn, from, to, doc) fst_status fn(fst_pass_ctx *pc, fst_graph *graph);
#include "passes/passes.def"
#undef PASS

static const fst_pass table[] = {
#define PASS(id, name, fn, from, to, doc) {name, doc, fn, FST_STAGE_##from, FST_STAGE_##to},
#include "passes/passes.def"
#undef PASS
};

uint32_t fst_pass_count(void) { return sizeof table / sizeof *table; }
const fst_pass *fst_pass_at(uint32_t index) { return index < fst_pass_count() ? &table[index] : NULL; }

const fst_pass *fst_pass_find(const char *name) {
  for (uint32_t i = 0; i < fst_pass_count(); i++)
    if (!strcmp(table[i].name, name)) return &table[i];
  return NULL;
}

bool fst_pass_allow(fst_pass_ctx *pc) {
  if (pc->limit >= 0 && pc->changes >= (uint64_t)pc->limit) return false;
  pc->changes++;
  return true;
}

// Is `name` one of the comma-separated `list`, or the list "all"?
static bool listed(const char *list, const char *name) {
  size_t len = strlen(name);
  if (!list) return false;
  if (!strcmp(list, "all")) return true;
  for (const char *at = list; *at; at += strcspn(at, ",") + (at[strcspn(at, ",")] == ','))
    if (strcspn(at, ",") == len && !memcmp(at, name, len)) return true;
  return false;
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void dump(const fst_graph *graph, const char *pass, const fst_pipeline_options *o) {
  fst_text text = {0};
  fst_graph_print(graph, &text);
  if (o->dump) o->dump(o->dump_context, pass, fst_text_cstr(&text));
  else fprintf(stderr, "# after %s\n%s\n", pass, fst_text_cstr(&text));
  fst_text_deinit(&text);
}

static fst_status run_one(fst_graph *graph, const fst_pass *pass, const fst_pipeline_options *o, fst_arena *arena) {
  if (graph->stage < pass->from)
    return FST_FAIL(FST_ERR_INVALID, "pass %s needs a graph of stage %s; %s is %s", pass->name, fst_stage_name(pass->from), fst_sym_text(&graph->module->strings, graph->name), fst_stage_name(graph->stage));
  bool limited = o && o->limit_pass && !strcmp(o->limit_pass, pass->name);
  fst_pass_ctx pc = {.arena = arena, .target = o ? o->target : NULL, .limit = limited ? o->limit : -1};
  double start = seconds();
  fst_status status = pass->run(&pc, graph);
  fst_arena_reset(arena);
  if (status) return fst_error_prefix(status, "pass %s", pass->name);
  if (graph->stage < pass->to) graph->stage = pass->to;
  if (o && (o->time || o->stats)) fprintf(stderr, "%-16s %8.3f ms %6llu changes  %s\n", pass->name, (seconds() - start) * 1e3, (unsigned long long)pc.changes, fst_sym_text(&graph->module->strings, graph->name));
  if (o && o->verify_each) {
    status = fst_graph_verify(graph);
    if (status) return fst_error_prefix(status, "after pass %s", pass->name);
  }
  if (o && listed(o->dump_after, pass->name)) dump(graph, pass->name, o);
  return NULL;
}

// Was that the last pass wanted? `stop_after` names it, or the stage it reaches.
static bool stops_after(const fst_graph *graph, const char *name, const fst_pipeline_options *o) {
  fst_stage stage;
  if (!o || !o->stop_after) return false;
  return !strcmp(o->stop_after, name) || (fst_stage_from_name(o->stop_after, &stage) && graph->stage >= stage);
}

fst_status fst_passes_run(fst_graph *graph, const char *names, const fst_pipeline_options *options) {
  fst_arena arena;
  fst_status status = NULL;
  fst_arena_init(&arena);
  for (const char *at = names; *at && !status;) {
    size_t len = strcspn(at, ",");
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)len, at);
    const fst_pass *pass = fst_pass_find(name);
    status = pass ? run_one(graph, pass, options, &arena) : FST_FAIL(FST_ERR_NOT_FOUND, "no pass is called '%s'", name);
    if (!status && stops_after(graph, name, options)) break;
    at += len + (at[len] == ',');
  }
  fst_arena_deinit(&arena);
  return status;
}
