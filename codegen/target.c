// The CPUs that code is made for. A target is a feature level, not a model of CPU: vector width, register
// count and cache sizes are what schedules may depend on.
#include <string.h>

#include "codegen/codegen.h"

// Cache sizes are those of the smallest common part of a level: a tile that fits there fits everywhere.
static const fst_target targets[] = {
    {"x86-64-v3", "x86-64-v3", "", 32, 16, 32 << 10, 256 << 10},
    {"x86-64-v4", "x86-64-v4", "-prefer-256-bit", 64, 32, 32 << 10, 1024 << 10},
};

// "native" is the widest level that this CPU runs, tuned for it: codegen/llvm asks LLVM for its name and
// features. Two rows, because the vector width is a property of the row.
static const fst_target native_v3 = {"native", "native", "", 32, 16, 32 << 10, 256 << 10};
static const fst_target native_v4 = {"native", "native", "-prefer-256-bit", 64, 32, 32 << 10, 1024 << 10};

#if defined(__x86_64__)
static bool host_has_v3(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("lzcnt");
}

static bool host_has_v4(void) {
  return host_has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}
#else
static bool host_has_v3(void) { return false; }
static bool host_has_v4(void) { return false; }
#endif

const fst_target *fst_target_find(const char *name) {
  if (!strcmp(name, "native")) return host_has_v4() ? &native_v4 : host_has_v3() ? &native_v3 : NULL;
  for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
    if (!strcmp(name, targets[i].name)) return &targets[i];
  return NULL;
}

bool fst_target_runs_here(const fst_target *target) {
  return target->vector_bytes == 64 ? host_has_v4() : host_has_v3();
}
