#include "runtime/names.h"

#include <stdlib.h>

#include "runtime/buf.h"
#include "runtime/match.h"

static char *type_text(const fst_plan *plan, uint32_t type) {
  fst_buf buf = {0};
  fst_describe_type(&buf, plan, type);
  return fst_buf_take(&buf);
}

// One result as its type; none as None; several as the tuple that the caller gets.
static char *result_text(const fst_plan *plan, const fst_plan_method *m) {
  const uint32_t *types = plan->words + m->results;
  if (m->result_count == 1) return type_text(plan, types[0]);
  fst_buf buf = {0};
  fst_buf_puts(&buf, m->result_count ? "Tuple[" : "None");
  for (uint32_t i = 0; i < m->result_count; i++) {
    if (i) fst_buf_puts(&buf, ", ");
    fst_describe_type(&buf, plan, types[i]);
  }
  if (m->result_count) fst_buf_putc(&buf, ']');
  return fst_buf_take(&buf);
}

static void specs_fill(const fst_plan *plan, fst_names *n) {
  size_t at = 0;
  for (uint32_t i = 0; i < plan->specs_count; i++) {
    const fst_plan_spec *s = &plan->specs[i];
    n->specs[i] = (fst_spec){fst_plan_text(plan, s->name), fst_plan_text(plan, s->dtype), s->count, n->dims + at, n->symbols + at};
    for (uint32_t d = 0; d < s->count; d++, at++) {
      int64_t dim = plan->ints[s->first + d];
      bool is_symbol = dim < 0 && dim != FST_PLAN_DIM_ANY;
      n->dims[at] = dim < 0 ? -1 : dim;
      n->symbols[at] = is_symbol ? fst_plan_text(plan, (uint32_t)(-1 - dim)) : NULL;
    }
  }
}

fst_status fst_names_create(const fst_plan *plan, fst_names **out) {
  fst_names *n = calloc(1, sizeof *n);
  if (!n) return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  size_t dims = 0;
  for (uint32_t i = 0; i < plan->specs_count; i++) dims += plan->specs[i].count;
  n->arg_count = plan->args_count;
  n->method_count = plan->methods_count;
  n->spec_count = plan->specs_count;
  n->arg_types = calloc(n->arg_count + 1, sizeof *n->arg_types);
  n->result_types = calloc(n->method_count + 1, sizeof *n->result_types);
  n->specs = calloc(n->spec_count + 1, sizeof *n->specs);
  n->dims = calloc(dims + 1, sizeof *n->dims);
  n->symbols = calloc(dims + 1, sizeof *n->symbols);
  bool ok = n->arg_types && n->result_types && n->specs && n->dims && n->symbols;
  for (size_t i = 0; ok && i < n->arg_count; i++) ok = (n->arg_types[i] = type_text(plan, plan->args[i].type)) != NULL;
  for (size_t i = 0; ok && i < n->method_count; i++) ok = (n->result_types[i] = result_text(plan, &plan->methods[i])) != NULL;
  if (!ok) {
    fst_names_destroy(n);
    return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  }
  specs_fill(plan, n);
  *out = n;
  return NULL;
}

void fst_names_destroy(fst_names *n) {
  if (!n) return;
  for (size_t i = 0; n->arg_types && i < n->arg_count; i++) free(n->arg_types[i]);
  for (size_t i = 0; n->result_types && i < n->method_count; i++) free(n->result_types[i]);
  free(n->arg_types);
  free(n->result_types);
  free(n->specs);
  free(n->dims);
  free(n->symbols);
  free(n);
}
