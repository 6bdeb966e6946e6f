#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "runtime/buf.h"
#include "runtime/match.h"
#include "runtime/names.h"
#include "runtime/plan.h"

// With the checksum made right, or nothing but that would ever be tested. What is accepted is described, as `inspect` does.
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
  fst_plan plan;
  fst_plan_header *copy = malloc(len + sizeof *copy);
  memcpy(copy, bytes, len);
  size_t after = offsetof(fst_plan_header, crc) + sizeof copy->crc;
  if (len >= sizeof *copy) {
    copy->bytes = len;
    copy->crc = fst_crc32c(0, (const char *)copy + after, len - after);
  }
  fst_status status = fst_plan_open("fuzz", copy, len, &plan);
  fst_names *names = NULL;
  if (!status) status = fst_names_create(&plan, &names);
  fst_buf buf = {0};
  for (uint32_t i = 0; !status && i < plan.patterns_count && buf.len < 1 << 20; i++) fst_describe_pattern(&buf, &plan, i);
  fst_buf_deinit(&buf);
  fst_names_destroy(names);
  fst_error_free(status);
  free(copy);
  return 0;
}
