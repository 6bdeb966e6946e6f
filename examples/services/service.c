// A service in C: lines "a b c" on standard input are vectors, what the model makes of each is written to standard output.
// Opens a compiled package with the runtime alone and is ready with the first line.
//   cc service.c $(pkg-config --cflags --libs firesteel_rt) -o service && ./service model.neuropod x < vectors.txt
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <firesteel/firesteel.h>

enum { SIZE_MAX_OF_A_LINE = 4096 };

static int failed(fst_failure *failure) {
  fprintf(stderr, "%s\n", fst_failure_message(failure));
  fst_failure_free(failure);
  return 1;
}

static int64_t line_read(char *line, float *out) {
  int64_t count = 0;
  for (char *end; count < SIZE_MAX_OF_A_LINE; line = end, count++) {
    out[count] = strtof(line, &end);
    if (end == line) break;
  }
  return count;
}

static void values_print(const fst_var *outputs) {
  fst_var *value = fst_var_item(outputs, 0);
  const float *data = fst_var_data(value);
  for (int64_t i = 0; i < (fst_var_rank(value) ? fst_var_sizes(value)[0] : 1); i++) printf("%s%g", i ? " " : "", data[i]);
  printf("\n");
  fflush(stdout);
  fst_var_free(value);
}

int main(int argc, char **argv) {
  fst_open_options options = {.size = sizeof options, .no_compile = 1};
  static float numbers[SIZE_MAX_OF_A_LINE];
  char line[65536];
  fst_model *model;
  if (argc < 3) return fprintf(stderr, "usage: service MODEL INPUT...\n"), 2;
  fst_failure *failure = fst_open(argv[1], &options, &model);
  if (failure) return failed(failure);
  while (fgets(line, sizeof line, stdin)) {
    int64_t count = line_read(line, numbers);
    fst_var *x, *values[8], *outputs;
    if ((failure = fst_var_tensor(FST_DT_F32, 1, &count, NULL, numbers, NULL, NULL, &x))) return failed(failure);
    for (int i = 0; i < 8; i++) values[i] = x;  // the same vector for every input
    failure = fst_infer_map(model, (const char *const *)&argv[2], (const fst_var *const *)values, argc - 2 < 8 ? (size_t)argc - 2 : 8, NULL, &outputs);
    fst_var_free(x);
    if (failure) return failed(failure);
    values_print(outputs);
    fst_var_free(outputs);
  }
  fst_close(model);
  return 0;
}
