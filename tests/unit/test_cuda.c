// Kernels as CUDA C, run on the CPU against the interpreter.
#include "cuda_runner.h"

#include "contract_cases.h"
#include "cuda_cases.h"
#include "kernel_cases.h"

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, runner_flush),
  const struct CMUnitTest tests[] = {
      KERNEL_CASES(TEST) CONTRACT_CASES(TEST) CUDA_CASES(TEST)
  };
  if (getenv("FST_TEST_FILTER")) cmocka_set_test_filter(getenv("FST_TEST_FILTER"));
  return cmocka_run_group_tests(tests, NULL, NULL);
}
