#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/compiler.h"
#include "cli/emit.h"
#include "cli/page.h"
#include "cli/signature.h"

// Options that `compile` and `dump` share.
typedef struct source_options {
  fst_words inputs, examples, methods, libraries;  // the first three only so that they are known: see signature.h
  const char *bridge, *target, *archive;
  bool eval, allow_fallback, verify_each, time, stats;
  const char *dump_after;
  long time_limit;
} source_options;

#define SOURCE_OPTIONS(o)                                                                              \
  FST_LIST("--input", "'NAME: TYPE'", "type of an argument, see above", &(o).inputs),                  \
  FST_LIST("--example", "FILE.npz", "arrays like the arguments", &(o).examples),                       \
  FST_LIST("--method", "NAME", "the method that the following inputs are for", &(o).methods),          \
  FST_TEXT("--target", "A,B", "CPUs: x86-64-v3, x86-64-v4, native (compile's default: the first two in one file); cuda, or cuda:sm_90 for one GPU architecture", &(o).target),                            \
  FST_FLAG("--eval", "switch the model to evaluation mode first", &(o).eval),                          \
  FST_FLAG("--allow-fallback", "run ops without native code through libtorch", &(o).allow_fallback),   \
  FST_LIST("--library", "FILE.so", "custom ops of the archive", &(o).libraries),                       \
  FST_TEXT("--archive", "FILE.pt", "for IR text: the archive that holds its tensors", &(o).archive),   \
  FST_NUMBER("--time-limit", "SECONDS", "give up after so long (default: never)", &(o).time_limit),           \
  FST_TEXT("--bridge", "FILE.so", "libfiresteel_torch.so, if it is not beside the compiler", &(o).bridge), \
  FST_FLAG("--verify-each", "verify after every pass", &(o).verify_each),                              \
  FST_TEXT("--dump-after", "A,B|all", "print to standard error after these passes", &(o).dump_after),  \
  FST_FLAG("--time", "print to standard error how long each pass took", &(o).time),                                            \
  FST_FLAG("--stats", "print to standard error how much each pass changed", &(o).stats)

static void source_options_deinit(source_options *o) {
  fst_vec_free(&o->inputs);
  fst_vec_free(&o->examples);
  fst_vec_free(&o->methods);
  fst_vec_free(&o->libraries);
}

static fst_compiler_options compiler_options(const source_options *o, const fst_signatures *signatures) {
  return (fst_compiler_options){
      .signatures = signatures->items.data,
      .signature_count = (uint32_t)signatures->items.len,
      .targets = o->target,
      .allow_fallback = o->allow_fallback,
      .passes = {.verify_each = o->verify_each, .time = o->time, .stats = o->stats, .dump_after = o->dump_after},
  };
}

static fst_status source_open(const source_options *o, const char *path, const fst_compiler_api **out_compiler, fst_source **out) {
  fst_compiler_open_options open = {o->bridge, o->eval, o->libraries.data, (uint32_t)o->libraries.len, o->archive};
  FST_TRY(fst_cli_compiler(out_compiler));
  fst_cli_time_limit(o->time_limit);
  return (*out_compiler)->open(path, &open, out);
}

// ---- compile ---------------------------------------------------------------------------------------

typedef struct compile_options {
  source_options source;
  const char *output, *emit;
  bool force, strip_source, quiet;
} compile_options;

// Asked before the work, which may take minutes.
static fst_status output_check(const compile_options *o) {
  if (fst_file_is_directory(o->output)) return FST_FAIL(FST_ERR_INVALID, "cannot write '%s': it is a directory", o->output);
  if (o->force || !fst_file_exists(o->output) || !strncmp(o->output, "/dev/", 5)) return NULL;
  return FST_FAIL(FST_ERR_INVALID, "'%s' exists; --force replaces it", o->output);
}

static fst_status compile_source(const compile_options *o, int argc, char **argv, const char *path) {
  if (o->emit && strcmp(o->emit, "fst") != 0 && strcmp(o->emit, "so") != 0 && strcmp(o->emit, "obj") != 0)
    return FST_FAIL(FST_ERR_INVALID, "--emit is fst, so or obj, not '%s'", o->emit);
  FST_TRY(output_check(o));
  fst_signatures signatures;
  FST_TRY(fst_signatures_read(argc, argv, &signatures));
  fst_compiler_options options = compiler_options(&o->source, &signatures);
  if (!options.targets) options.targets = "x86-64-v3,x86-64-v4";
  options.strip_source = o->strip_source;
  const fst_compiler_api *compiler = NULL;
  fst_source *source = NULL;
  void *artifact = NULL;
  size_t len = 0;
  fst_status status = source_open(&o->source, path, &compiler, &source);
  if (!status) status = compiler->compile(source, &options, &artifact, &len);
  fst_cli_time_limit(0);
  if (!status && (!o->emit || !strcmp(o->emit, "fst"))) status = fst_file_write_atomic(o->output, artifact, len);
  else if (!status) status = fst_emit(artifact, len, o->output, !strcmp(o->emit, "so"));
  free(artifact);
  if (source) compiler->close(source);
  fst_signatures_deinit(&signatures);
  if (!status && !o->quiet && isatty(STDERR_FILENO)) fprintf(stderr, "%s: %zu bytes\n", o->output, len);
  return status;
}

int fst_command_compile(int argc, char **argv) {
  compile_options o = {0};
  fst_words words = {0};
  const fst_option options[] = {
      FST_TEXT("-o", "FILE", "the compiled file", &o.output),
      FST_TEXT("--emit", "fst|so|obj", "an artifact (the default), a shared object, or an object to link with libfiresteel_rt.a; both with FILE's header FILE.h", &o.emit),
      FST_FLAG("--force", "replace FILE if it exists", &o.force),
      FST_FLAG("--strip-source", "leave the Neuropod's own model out: the result opens with Firesteel only", &o.strip_source),
      FST_FLAG("--quiet", "say nothing", &o.quiet),
      SOURCE_OPTIONS(o.source),
  };
  const fst_command *command = fst_command_find("compile");
  int code = fst_args_parse(command, argc, argv, options, sizeof options / sizeof *options, 1, 1, &words);
  if (code < 0 && !o.output) {
    fprintf(stderr, "firesteel compile: missing -o FILE; see `firesteel compile --help`\n");
    code = FST_EXIT_USAGE;
  }
  if (code < 0) code = fst_report_status(compile_source(&o, argc, argv, words.data[0]));
  fst_vec_free(&words);
  source_options_deinit(&o.source);
  return code;
}

// ---- dump ------------------------------------------------------------------------------------------

typedef struct dump_options {
  source_options source;
  const char *stage, *output;
  bool html;
} dump_options;

static fst_status dump_write(const dump_options *o, const char *text) {
  if (o->output) return fst_file_write_atomic(o->output, text, strlen(text));
  fputs(text, stdout);
  return NULL;
}

// The model's name and the stage are what a page is called.
static fst_status dump_page(const dump_options *o, const char *path, const char *stage, const char *ir) {
  const char *slash = strrchr(path, '/');
  fst_text title = {0}, page = {0};
  fst_text_printf(&title, "%s, %s", slash ? slash + 1 : path, stage);
  fst_page_print(fst_text_cstr(&title), ir, &page);
  fst_status status = dump_write(o, fst_text_cstr(&page));
  fst_text_deinit(&title);
  fst_text_deinit(&page);
  return status;
}

static fst_status dump_source(const dump_options *o, int argc, char **argv, const char *path) {
  fst_signatures signatures;
  FST_TRY(fst_signatures_read(argc, argv, &signatures));
  fst_compiler_options options = compiler_options(&o->source, &signatures);
  options.allow_fallback = true;
  const char *method = o->source.methods.len ? fst_vec_last(&o->source.methods) : NULL;
  const fst_compiler_api *compiler = NULL;
  fst_source *source = NULL;
  char *text = NULL;
  const char *stage = o->stage ? o->stage : "imported";
  fst_status status = source_open(&o->source, path, &compiler, &source);
  if (!status) status = compiler->dump(source, &options, method, stage, &text);
  fst_cli_time_limit(0);
  if (!status) status = o->html ? dump_page(o, path, stage, text) : dump_write(o, text);
  free(text);
  if (source) compiler->close(source);
  fst_signatures_deinit(&signatures);
  return status;
}

int fst_command_dump(int argc, char **argv) {
  dump_options o = {0};
  fst_words words = {0};
  const fst_option options[] = {
      FST_TEXT("--stage", "NAME", "which stage, see above (default: imported)", &o.stage),
      FST_TEXT("-o", "FILE", "write there instead of to standard output", &o.output),
      FST_FLAG("--html", "a page to look at: regions fold, values point to their definitions", &o.html),
      SOURCE_OPTIONS(o.source),
  };
  int code = fst_args_parse(fst_command_find("dump"), argc, argv, options, sizeof options / sizeof *options, 1, 1, &words);
  if (code < 0 && o.html && o.stage && (strcmp(o.stage, "llvm") == 0 || strcmp(o.stage, "asm") == 0)) {
    fprintf(stderr, "firesteel dump: --html shows the IR, from imported to planned; '%s' is text only\n", o.stage);
    code = FST_EXIT_USAGE;
  }
  if (code < 0) code = fst_report_status(dump_source(&o, argc, argv, words.data[0]));
  fst_vec_free(&words);
  source_options_deinit(&o.source);
  return code;
}
