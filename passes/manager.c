// Running passes: by name, each given what it requires, timed, counted, verified and dumped as asked.
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "passes/canonicalize.h"
#include "passes/pass.h"

enum { ALIAS = FST_HOLDS_ALIAS, LIVE = FST_HOLDS_LIVE };

#define PASS(id, name, fn, from, to, requires, preserves, doc) fst_status fn(fst_pass_ctx *pc, fst_graph *graph);
#include "passes/passes.def"
#undef PASS

static const fst_pass table[] = {
#define PASS(id, name, fn, from, to, requires, preserves, doc) {name, doc, fn, FST_STAGE_##from, FST_STAGE_##to, requires, preserves},
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

// One list of passes on one graph: what holds between them.
typedef struct {
  fst_graph *graph;
  const fst_pipeline_options *o;   // or NULL
  fst_arena scratch, kept;         // `kept` has what the properties are about
  fst_alias alias;
  uint32_t holds;
} session;

static fst_status run_one(session *s, const fst_pass *pass);

static const char live_pass[] = "dce";   // brings LIVE about

static fst_status establish(session *s, uint32_t properties) {
  uint32_t missing = properties & ~s->holds;
  if (missing & LIVE) FST_TRY(run_one(s, fst_pass_find(live_pass)));
  if (missing & ALIAS && s->graph->stage >= FST_STAGE_TYPED) {
    fst_arena_reset(&s->kept);
    fst_alias_compute(s->graph, &s->kept, &s->alias);
    s->holds |= ALIAS;
  }
  return NULL;
}

static void report(const session *s, const fst_pass *pass, const fst_pass_ctx *pc, double took) {
  const char *name = fst_sym_text(&s->graph->module->strings, s->graph->name);
  if (!s->o || !(s->o->time || s->o->stats)) return;
  fprintf(stderr, "%-16s %8.3f ms %6llu changes  %s\n", pass->name, took * 1e3, (unsigned long long)pc->changes, name);
  for (uint32_t r = 0; s->o->stats && r < fst_rule_count(); r++)
    if (pc->rule_counts[r]) fprintf(stderr, "  rule %-22s %6u changes  %s\n", fst_rule_name(r), pc->rule_counts[r], name);
}

static fst_status run_one(session *s, const fst_pass *pass) {
  fst_graph *graph = s->graph;
  const fst_pipeline_options *o = s->o;
  if (graph->stage < pass->from)
    return FST_FAIL(FST_ERR_INVALID, "pass %s needs a graph of stage %s; %s is %s", pass->name, fst_stage_name(pass->from), fst_sym_text(&graph->module->strings, graph->name), fst_stage_name(graph->stage));
  FST_TRY(establish(s, pass->requires));
  bool limited = o && o->limit_pass && !strcmp(o->limit_pass, pass->name);
  fst_pass_ctx pc = {.arena = &s->scratch, .target = o ? o->target : NULL, .limit = limited ? o->limit : -1};
  if (pass->requires & s->holds & ALIAS) pc.alias = &s->alias;
  pc.rule_counts = FST_NEW_ARRAY(&s->scratch, uint32_t, fst_rule_count());
  double start = seconds();
  fst_status status = pass->run(&pc, graph);
  s->holds &= pass->preserves;
  if (!strcmp(pass->name, live_pass) && !limited) s->holds |= LIVE;
  if (!status) report(s, pass, &pc, seconds() - start);
  fst_arena_reset(&s->scratch);
  if (status) return fst_error_prefix(status, "pass %s", pass->name);
  if (graph->stage < pass->to) graph->stage = pass->to;
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
  session s = {.graph = graph, .o = options};
  fst_status status = NULL;
  fst_arena_init(&s.scratch);
  fst_arena_init(&s.kept);
  for (const char *at = names; *at && !status;) {
    size_t len = strcspn(at, ",");
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)len, at);
    const fst_pass *pass = fst_pass_find(name);
    status = pass ? run_one(&s, pass) : FST_FAIL(FST_ERR_NOT_FOUND, "no pass is called '%s'", name);
    if (!status && stops_after(graph, name, options)) break;
    at += len + (at[len] == ',');
  }
  fst_arena_deinit(&s.scratch);
  fst_arena_deinit(&s.kept);
  return status;
}
