// Version ranges: which texts are ranges, and which of them hold a version that Firesteel stands for (0.0.0 to 2.13).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "driver/semver.h"

static void test_satisfied(void **state) {
  (void)state;
  static const char *const ranges[] = {
    "*", "", "x", "1", "1.x", "1.10", "1.10.2", "v1.2.3", "=1.2.3", "^1.2.3", "~1.2.3", "~1.2", "~> 1.2", ">=1.1.0", ">= 1.1.0 <2", "<=2.13.0", "<2.14", ">2.12", "2.13", "2.13.5",
    "1.2 - 1.4", "1.2.3 - 9", "9 || 1.2", "^0.0.3", "^0.2", "1.2.3-rc.1", "1.2.3+cu121", ">=1.2.3-alpha <1.3", "  1.2  ||  1.3  ", "2.x.x", "1.*",
  };
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
    bool satisfied = false;
    if (!fst_semver_range(ranges[i], &satisfied) || !satisfied) fail_msg("'%s' should hold a version up to 2.13", ranges[i]);
  }
}

static void test_beyond(void **state) {
  (void)state;
  static const char *const ranges[] = {"3", ">=2.14", ">2.13", "^3.0.0", "~2.14.1", "3 - 4", ">1 <1", "<0.0.0", "1.2 2.3", "3 || >=2.14.0"};
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
    bool satisfied = true;
    if (!fst_semver_range(ranges[i], &satisfied) || satisfied) fail_msg("'%s' should be a range beyond 2.13", ranges[i]);
  }
}

static void test_no_ranges(void **state) {
  (void)state;
  static const char *const texts[] = {"a.b.c", "1.2.3.4", "1..2", "1.", ">", ">=", "1.2 |", "1 | 2", "01.2", "1.2.-3", "^", "latest", "1.2.3-", "99999999", "1.2,1.3", "1 - "};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    bool satisfied;
    if (fst_semver_range(texts[i], &satisfied)) fail_msg("'%s' should be no range", texts[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_satisfied), cmocka_unit_test(test_beyond), cmocka_unit_test(test_no_ranges)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
