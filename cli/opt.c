#include <stdlib.h>
#include <string.h>
#include <stdio.h>

#include "base/file.h"
#include "base/text.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/compiler.h"

typedef struct opt_options {
  const char *passes, *output;
  bool round_trip, list, rules;
  long limit;
  fst_compiler_passes how;
} opt_options;

static fst_status input_read(const char *path, char **out_text, size_t *out_len) {
  return fst_file_read(strcmp(path, "-") ? path : "/dev/stdin", out_text, out_len);
}

static fst_status names_list(bool rules) {
  const fst_compiler_api *compiler;
  FST_TRY(fst_cli_compiler(&compiler));
  const char *name, *doc;
  for (uint32_t i = 0; (rules ? compiler->rule_info : compiler->pass_info)(i, &name, &doc); i++) printf("  %-20s %s\n", name, doc);
  return NULL;
}

static fst_status opt_run(const opt_options *o, const char *path) {
  const fst_compiler_api *compiler;
  char *text, *printed = NULL;
  size_t len;
  FST_TRY(fst_cli_compiler(&compiler));
  FST_TRY(input_read(path, &text, &len));
  fst_status status = compiler->opt(text, len, fst_path_base(path), o->passes, &o->how, o->round_trip, &printed);
  free(text);
  if (!status && o->output) status = fst_file_write_atomic(o->output, printed, strlen(printed));
  else if (!status) fputs(printed, stdout);
  free(printed);
  return status;
}

int fst_command_opt(int argc, char **argv) {
  opt_options o = {0};
  fst_words words = {0};
  const fst_option options[] = {
      FST_TEXT("--passes", "A,B,C", "the passes, in this order", &o.passes),
      FST_TEXT("-o", "FILE", "write there instead of to standard output", &o.output),
      FST_FLAG("--round-trip", "fail unless what is printed parses back to the same", &o.round_trip),
      FST_FLAG("--verify-each", "verify after every pass", &o.how.verify_each),
      FST_TEXT("--dump-after", "A,B|all", "print to standard error after these passes", &o.how.dump_after),
      FST_TEXT("--stop-after", "PASS", "run no further", &o.how.stop_after),
      FST_TEXT("--limit-pass", "PASS", "let this pass make only --limit changes", &o.how.limit_pass),
      FST_NUMBER("--limit", "N", "how many changes --limit-pass may make", &o.limit),
      FST_FLAG("--time", "how long each pass took", &o.how.time),
      FST_FLAG("--stats", "how much each pass changed", &o.how.stats),
      FST_FLAG("--list", "name all passes", &o.list),
      FST_FLAG("--rules", "name all rules of the pass canonicalize", &o.rules),
  };
  const fst_command *command = fst_command_find("opt");
  int code = fst_args_parse(command, argc, argv, options, sizeof options / sizeof *options, 0, 1, &words);
  o.how.limit = o.limit;
  if (code < 0 && (o.list || o.rules)) code = fst_report_status(names_list(o.rules));
  else if (code < 0 && !words.len) code = fst_args_parse(command, 0, NULL, options, 0, 1, 1, &words);
  else if (code < 0) code = fst_report_status(opt_run(&o, words.data[0]));
  fst_vec_free(&words);
  return code;
}
