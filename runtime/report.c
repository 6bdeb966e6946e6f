// fst_report: what was compiled, what ran, what fell back, as JSON.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/buf.h"
#include "runtime/jit.h"
#include "runtime/match.h"
#include "runtime/model.h"

// The number after `"name":` in the flat JSON object that the compiler left in the plan; 0 when absent.
static double info_number(const fst_plan *plan, const char *name) {
  const char *text = fst_plan_text(plan, plan->header->info);
  size_t len = strlen(name);
  for (const char *at = strstr(text, name); at; at = strstr(at + 1, name)) {
    if (at == text || at[-1] != '"' || at[len] != '"') continue;
    at += len + 1;
    at += strspn(at, ": ");
    return strtod(at, NULL);
  }
  return 0;
}

// Schema "aten::foo.bar(Tensor a) -> Tensor" by its name alone; several overloads and artifacts add up.
static void fallbacks_print(fst_buf *buf, const fst_bounds *bounds) {
  fst_buf_puts(buf, "\"fallback_ops\": {");
  bool first = true;
  for (size_t i = 0; i < bounds->count; i++) {
    const fst_plan *plan = &bounds->items[i]->artifact->plan;
    for (uint32_t r = 0; r < plan->fallbacks_count; r++) {
      const char *schema = fst_plan_text(plan, plan->fallbacks[r]);
      size_t len = strcspn(schema, "(");
      uint64_t calls = 0;
      bool seen = false;
      for (size_t k = 0; k < bounds->count; k++) {
        const fst_plan *other = &bounds->items[k]->artifact->plan;
        for (uint32_t s = 0; s < other->fallbacks_count; s++) {
          const char *text = fst_plan_text(other, other->fallbacks[s]);
          if (strcspn(text, "(") != len || strncmp(text, schema, len) != 0) continue;
          if (k < i || (k == i && s < r)) seen = true;
          calls += __atomic_load_n(&bounds->items[k]->fallback_calls[s], __ATOMIC_RELAXED);
        }
      }
      if (seen || !calls) continue;   // a way not taken
      fst_buf_puts(buf, first ? "" : ", ");
      first = false;
      fst_buf_json(buf, schema, len);
      fst_buf_printf(buf, ": %" PRIu64, calls);
    }
  }
  fst_buf_putc(buf, '}');
}

static void signature_print(fst_buf *buf, const fst_bound *b, const fst_plan_method *m, uint32_t number) {
  const fst_plan *plan = &b->artifact->plan;
  const fst_plan_signature *s = &plan->signatures[number];
  fst_buf text = {0};
  for (uint32_t i = 0; i < m->arg_count; i++) {
    fst_buf_printf(&text, "%s%s: ", i ? "; " : "", fst_plan_text(plan, plan->args[m->args + i].name));
    fst_describe_pattern(&text, plan, plan->words[s->args + i]);
  }
  fst_buf_puts(buf, "{\"method\": ");
  fst_buf_json(buf, fst_plan_text(plan, m->name), fst_plan_text_len(plan, m->name));
  fst_buf_puts(buf, ", \"arguments\": ");
  fst_buf_json(buf, fst_buf_text(&text), text.len);
  fst_buf_printf(buf, ", \"calls\": %" PRIu64 "}", __atomic_load_n(&b->signature_calls[number], __ATOMIC_RELAXED));
  buf->failed |= text.failed;
  fst_buf_deinit(&text);
}

static void signatures_print(fst_buf *buf, const fst_bounds *bounds) {
  bool first = true;
  fst_buf_puts(buf, "\"signatures\": [");
  for (size_t i = 0; i < bounds->count; i++) {
    const fst_plan *plan = &bounds->items[i]->artifact->plan;
    for (uint32_t m = 0; m < plan->methods_count; m++) {
      for (uint32_t s = 0; s < plan->methods[m].signature_count; s++) {
        fst_buf_puts(buf, first ? "" : ", ");
        first = false;
        signature_print(buf, bounds->items[i], &plan->methods[m], plan->methods[m].signatures + s);
      }
    }
  }
  fst_buf_putc(buf, ']');
}

fst_failure *fst_report(fst_model *model, char **out) {
  if (!model || !out) return fst_failure_make(FST_FAILED_INVALID, "fst_report: model and out_json must be given");
  fst_program *p = model->program;
  const fst_bounds *bounds = fst_program_bounds(p);
  double kernels = 0, compile_ms = 0;
  uint64_t compiles = 0;
  const char *target = "";
  const fst_device_work *work = &model->device_work;
  for (size_t i = 0; i < bounds->count; i++) {
    const fst_artifact *a = bounds->items[i]->artifact;
    kernels += info_number(&a->plan, "kernels");
    compile_ms += info_number(&a->plan, "compile_ms");
    if (a->plan.targets_count) target = fst_plan_text(&a->plan, a->plan.targets[a->target].name);
  }
  if (p->jit) fst_jit_stats(p->jit, &compiles, &compile_ms);
  fst_buf buf = {0};
  fst_buf_putc(&buf, '{');
  fallbacks_print(&buf, bounds);
  fst_buf_puts(&buf, ", ");
  signatures_print(&buf, bounds);
  fst_buf_printf(&buf, ", \"flops\": %" PRId64 ", \"weight_bytes\": %" PRId64, __atomic_load_n(&model->flops, __ATOMIC_RELAXED), __atomic_load_n(&model->weight_bytes, __ATOMIC_RELAXED));
  fst_buf_printf(&buf, ", \"compiles\": %" PRIu64 ", \"kernels\": %.0f, \"arena_bytes\": %" PRIu64 ", \"compile_ms\": %.3f, \"target\": ",
                 compiles, kernels, __atomic_load_n(&p->arena_bytes, __ATOMIC_RELAXED), compile_ms);
  fst_buf_json(&buf, target, strlen(target));
  if (p->accel) {
    const fst_device_facts *facts = p->accel->api->facts(p->accel->device);
    fst_buf_printf(&buf, ", \"device\": \"cuda:%d\", \"device_name\": ", p->accel->index);
    fst_buf_json(&buf, facts->name, strlen(facts->name));
    fst_buf_printf(&buf, ", \"launches\": %" PRId64 ", \"copies_in\": %" PRId64 ", \"copies_out\": %" PRId64 ", \"graph\": %s", __atomic_load_n(&work->launches, __ATOMIC_RELAXED),
                   __atomic_load_n(&work->copies_in, __ATOMIC_RELAXED), __atomic_load_n(&work->copies_out, __ATOMIC_RELAXED), __atomic_load_n(&work->graphs, __ATOMIC_RELAXED) ? "true" : "false");
  }
  fst_buf_putc(&buf, '}');
  char *text = fst_buf_take(&buf);
  if (!text) return fst_failure_memory();
  *out = text;
  return NULL;
}
