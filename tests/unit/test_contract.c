// Products with tiles: matrix products, convolutions and cells against the interpreter, at sizes around the tile; and
// what the code of their inner loops looks like.
#include <ctype.h>
#include <unistd.h>

#include "kernel_runner.h"

#include "contract_cases.h"

// ---- the code ----

typedef struct loop_facts { int fmas, stack, instructions, all; } loop_facts;

// Of the loop with most fused multiply-adds: label to backward jump, in the assembly text. `all`: instructions of the whole text.
static loop_facts densest_loop(const char *text) {
  loop_facts best = {0}, now = {0};
  int all = 0;
  char label[64] = "";
  for (const char *line = text; *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : line + strlen(line)) {
    const char *end = strchr(line, '\n');
    size_t len = end ? (size_t)(end - line) : strlen(line);
    char copy[256];
    snprintf(copy, sizeof copy, "%.*s", (int)(len < 255 ? len : 255), line);
    if (copy[0] == '.' && strchr(copy, ':')) {
      snprintf(label, sizeof label, "%.*s", (int)(strcspn(copy, ":") < 63 ? strcspn(copy, ":") : 63), copy);
      now = (loop_facts){0};
    }
    if (copy[0] != '\t' || copy[1] == '.') continue;
    now.instructions++;
    all++;
    now.fmas += strstr(copy, "vfmadd") && strstr(copy, "ps") != NULL;
    now.stack += strstr(copy, "(%rsp") != NULL;
    if (copy[1] == 'j' && label[0] && strstr(copy, label) && now.fmas > best.fmas) best = now;
  }
  best.all = all;
  return best;
}

static loop_facts facts_of(maker *m, const char *target) {
  runner_code code = {.blob = fst_blob_create()};
  const void *constants[RUNNER_MAX_BUFFERS] = {0};
  for (size_t i = 0; i < m->k->buffers.len; i++) constants[i] = m->c.constant[i] ? m->c.initial[i] : NULL;
  runner_check(fst_llvm_unit_create(fst_target_find(target), "test", &code.unit));
  runner_check(fst_llvm_kernel_emit(code.unit, m->k, constants, code.blob, &code.kernel));
  LLVMSetLinkage(fst_llvm_kernel_function(code.kernel), LLVMExternalLinkage);
  fst_text text = {0};
  runner_check(fst_llvm_unit_text(code.unit, true, &text));
  if (getenv("FST_TEST_DUMP")) fprintf(stderr, "%s\n", fst_text_cstr(&text));
  loop_facts facts = densest_loop(fst_text_cstr(&text));
  fst_text_deinit(&text);
  fst_llvm_unit_destroy(code.unit);
  fst_blob_destroy(code.blob);
  for (size_t i = 0; i < m->k->buffers.len; i++) free((void *)(uintptr_t)m->c.initial[i]);
  fst_kernel_destroy(m->k);
  return facts;
}

typedef struct guard {
  const char *name;
  conv c;
  int fmas[2];      // at least, on x86-64-v3 and v4
  double overhead;  // other instructions for each multiply-add, at most
} guard;

// Each form that a convolution can take: its innermost loop keeps every accumulator in a register.
static void test_loops_of_convolutions(void **state) {
  (void)state;
  const char *targets[] = {"x86-64-v3", "x86-64-v4"};
  const guard guards[] = {
      {"pixels in the lanes, 1x1", {1, 64, 96, 32, 32, 1, 1, 1, 0, 1, 1, true}, {10, 24}, 1},
      {"pixels in the lanes, a panel brought together", {1, 512, 96, 14, 14, 1, 1, 1, 0, 1, 1, true}, {10, 18}, 1},
      {"channels in the lanes, padded", {1, 64, 64, 20, 24, 3, 3, 1, 1, 1, 1, true}, {10, 24}, 1},
      {"channels in the lanes, few pixels", {1, 256, 192, 7, 7, 1, 1, 1, 0, 1, 1, true}, {10, 18}, 1},
      {"a split copy", {1, 3, 32, 64, 128, 3, 3, 2, 1, 1, 1, true}, {24, 36}, 1},
      {"depthwise, stride", {1, 8, 8, 57, 57, 3, 3, 2, 1, 1, 8, true}, {36, 63}, 2},
  };
  for (size_t i = 0; i < sizeof guards / sizeof *guards; i++)
    for (int t = 0; t < 2; t++) {
      maker m = maker_begin("conv");
      conv_make(&m, &guards[i].c, false);
      loop_facts facts = facts_of(&m, targets[t]);
      if (facts.stack || facts.fmas < guards[i].fmas[t] || facts.instructions - facts.fmas > guards[i].overhead * facts.fmas + 6 || facts.all > 4000)
        fail_msg("%s on %s: %d multiply-adds, %d other instructions, %d stack accesses in the innermost loop; %d instructions in all", guards[i].name, targets[t],
                 facts.fmas, facts.instructions - facts.fmas, facts.stack, facts.all);
    }
}

static void test_inner_loops(void **state) {
  (void)state;
  const char *targets[] = {"x86-64-v3", "x86-64-v4"};
  const int accumulators[] = {10, 24};  // at least
  for (int t = 0; t < 2; t++) {
    maker m = maker_begin("matmul");
    matmul_make(&m, FST_F32, FST_F32, 36, 192, 100, CONSTANT_TRANSPOSED_B);
    loop_facts facts = facts_of(&m, targets[t]);
    assert_int_equal(facts.stack, 0);
    assert_true(facts.fmas >= accumulators[t]);
    assert_true(facts.instructions <= 2 * facts.fmas + 6);
    m = maker_begin("conv");
    conv c = {1, 64, 64, 20, 24, 3, 3, 1, 1, 1, 1, true};
    conv_make(&m, &c, false);
    facts = facts_of(&m, targets[t]);
    assert_int_equal(facts.stack, 0);
    assert_true(facts.fmas >= accumulators[t]);
    m = maker_begin("cell");
    cell_make(&m, 1, 128, 128, true);
    facts = facts_of(&m, targets[t]);
    assert_int_equal(facts.stack, 0);
    assert_true(facts.fmas >= 8);
  }
}

int main(void) {
  if (!fst_target_runs_here(fst_target_find("x86-64-v3"))) return 77;  // skipped
#define TEST(name) cmocka_unit_test(name),
  const struct CMUnitTest tests[] = {
      CONTRACT_CASES(TEST) TEST(test_inner_loops) TEST(test_loops_of_convolutions)
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
