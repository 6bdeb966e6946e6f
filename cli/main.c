// firesteel: the command line. Commands that only run models need the runtime alone; the compiler is a library
// that is opened when something must be compiled.
#include <stdio.h>
#include <string.h>

#include "cli/args.h"
#include "cli/commands.h"
#include "firesteel/firesteel.h"

const fst_command fst_commands[] = {
    {"run", "MODEL", "Run a model and print what it returns.", FST_RUN_DETAILS, fst_command_run},
    {"compile", "MODEL -o FILE", "Compile an archive or a Neuropod ahead of time.", FST_COMPILE_DETAILS, fst_command_compile},
    {"bench", "MODEL", "Measure a model, alone or beside PyTorch.", FST_BENCH_DETAILS, fst_command_bench},
    {"check", "MODEL OTHER", "Run two models on the same inputs and compare the results.", FST_CHECK_DETAILS, fst_command_check},
    {"dump", "MODEL", "Print a model's IR at any stage of compilation.", FST_DUMP_DETAILS, fst_command_dump},
    {"pack", "[MODEL] -o PACKAGE", "Make a Neuropod from an archive.", FST_PACK_DETAILS, fst_command_pack},
    {"test", "PACKAGE", "Run the test data that a Neuropod holds.", FST_TEST_DETAILS, fst_command_test},
    {"inspect", "FILE.fst", "Print what a compiled file holds, and verify its checksums.", NULL, fst_command_inspect},
    {"opt", "FILE.ir", "Run passes over IR text.", FST_OPT_DETAILS, fst_command_opt},
};
const size_t fst_command_count = sizeof fst_commands / sizeof *fst_commands;

static void usage_print(FILE *to) {
  fprintf(to, "firesteel %s: compiles TorchScript archives to native code\n\n", fst_version());
  for (size_t i = 0; i < fst_command_count; i++) fprintf(to, "  firesteel %-8s %-16s %s\n", fst_commands[i].name, fst_commands[i].arguments, fst_commands[i].doc);
  fprintf(to, "\n`firesteel COMMAND --help` says more about each. Exit codes: 0 done, 1 failed, 2 wrong usage.\n");
}

int main(int argc, char **argv) {
  const char *name = argc > 1 ? argv[1] : "--help";
  if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
    usage_print(stdout);
    return argc > 1 ? FST_EXIT_OK : FST_EXIT_USAGE;
  }
  if (!strcmp(name, "--version")) {
    printf("%s\n", fst_version());
    return FST_EXIT_OK;
  }
  const fst_command *command = fst_command_find(name);
  if (!command) {
    fprintf(stderr, "firesteel: unknown command '%s'; see `firesteel --help`\n", name);
    return FST_EXIT_USAGE;
  }
  int code = command->run(argc - 2, argv + 2);
  // Output that could not be written (a full disk behind a redirection) is a failure too.
  if (fflush(stdout) != 0 || ferror(stdout)) {
    fprintf(stderr, "firesteel: cannot write the output\n");
    return code ? code : FST_EXIT_FAILED;
  }
  return code;
}
