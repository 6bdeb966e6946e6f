// Reading plan.bin where it lies. fst_plan_open checks everything once: sizes, the checksum, every index,
// every slice, every tensor against its storage. What it accepts can be used without further checks,
// whoever wrote it.
#ifndef FST_RUNTIME_PLAN_H
#define FST_RUNTIME_PLAN_H

#include <stddef.h>

#include "base/plan.h"
#include "base/status.h"

typedef struct fst_plan {
  const fst_plan_header *header;
#define X(id, field, type) const type *field; uint32_t field##_count;
  FST_PLAN_SECTIONS(X)
#undef X
} fst_plan;

// Nesting of patterns and types that is still accepted, so that walking them may recurse.
enum { FST_PLAN_MAX_DEPTH = 100, FST_PLAN_MAX_SYMBOLS = 4096, FST_PLAN_MAX_RANK = 64 };

// `bytes` must be 8-aligned and outlive the plan. `name` is for messages.
fst_status fst_plan_open(const char *name, const void *bytes, size_t len, fst_plan *out);

static inline const char *fst_plan_text(const fst_plan *plan, uint32_t string) {
  return (const char *)plan->bytes + plan->strings[string].offset;
}
static inline uint32_t fst_plan_text_len(const fst_plan *plan, uint32_t string) { return plan->strings[string].len; }

#endif
