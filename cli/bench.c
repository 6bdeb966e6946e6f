// `firesteel bench`: one thread, pinned. Every form of the model lives in a process of its own; the results are compared before
// anything is timed; then all take turns, so that a machine that slows down slows all of them down; the roof is measured in between.
#define _GNU_SOURCE  // sched_setaffinity
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/compiler.h"
#include "cli/contest.h"
#include "cli/contestant.h"
#include "cli/inputs.h"
#include "cli/tensor.h"
#include "runtime/artifact.h"
#include "runtime/zip.h"

typedef struct bench_options {
  fst_words inputs, files;
  const char *method, *against, *bridge, *archive, *target, *python, *serve, *started;
  long rounds, buffers, roof_bytes;
  bool free_cpu, json, roof;
} bench_options;

enum { DEFAULT_ROUNDS = 20 };

static const struct { fst_form form; bool is_python; const char *name; } entries[] = {
    {FST_FORM_FIRESTEEL, false, "Firesteel"},
    {FST_FORM_AS_IS, false, "PyTorch, as it is"},
    {FST_FORM_FROZEN, false, "PyTorch, frozen"},
    {FST_FORM_OPTIMIZED, false, "PyTorch, optimized"},
    {FST_FORM_FIRESTEEL, true, "Firesteel, Python"},
    {FST_FORM_AS_IS, true, "PyTorch, Python, as it is"},
    {FST_FORM_FROZEN, true, "PyTorch, Python, frozen"},
    {FST_FORM_OPTIMIZED, true, "PyTorch, Python, optimized"},
};
enum { ENTRIES = sizeof entries / sizeof *entries };

// What is prepared once for all contestants. Files made for them lie in a folder that goes at the end.
typedef struct bench {
  const bench_options *o;
  fst_text folder, program, artifact, archive, python, modules;  // paths; empty: none
  FST_VEC(char *) python_inputs;
  int64_t artifact_bytes, archive_bytes, boundary_bytes;
  fst_bench_result result;
} bench;

// ---- files -----------------------------------------------------------------------------------------

static fst_status folder_make(bench *b) {
  const char *base = getenv("TMPDIR");
  fst_text_printf(&b->folder, "%s/firesteel-bench-XXXXXX", base && *base ? base : "/tmp");
  if (mkdtemp(b->folder.data)) return NULL;
  fst_status status = fst_errno_status(errno, "cannot make a folder", b->folder.data);
  fst_text_deinit(&b->folder);
  return status;
}

static void folder_remove(bench *b) {
  if (!b->folder.len) return;
  fst_text command = {0};
  static const char *const names[] = {"model.fst", "model.pt", "results.npy"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    fst_text_printf(&command, "%s/%s", fst_text_cstr(&b->folder), names[i]);
    unlink(fst_text_cstr(&command));
    fst_text_deinit(&command);
  }
  for (size_t i = 0; i < b->python_inputs.len; i++) {
    const char *file = strstr(b->python_inputs.data[i], fst_text_cstr(&b->folder));
    if (file) unlink(file);
  }
  rmdir(fst_text_cstr(&b->folder));
}

static void file_in_folder(const bench *b, const char *name, fst_text *out) { fst_text_printf(out, "%s/%s", fst_text_cstr(&b->folder), name); }

static int64_t file_bytes(const char *path) {
  struct stat st;
  return stat(path, &st) ? 0 : (int64_t)st.st_size;
}

// ---- the model's forms -----------------------------------------------------------------------------

// Takes the archive out of a package into the folder. *out_found: whether there was one.
static fst_status archive_extract(bench *b, const char *path, bool *out_found) {
  *out_found = false;
  fst_mapping file;
  if (fst_file_is_directory(path)) {
    fst_text inside = {0};
    fst_text_printf(&inside, "%s/0/data/model.pt", path);
    *out_found = fst_file_exists(fst_text_cstr(&inside));
    if (*out_found) fst_text_puts(&b->archive, fst_text_cstr(&inside));
    fst_text_deinit(&inside);
    return NULL;
  }
  FST_TRY(fst_file_map(path, &file));
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  fst_zip zip;
  fst_zip_member member;
  fst_status status = fd < 0 ? fst_errno_status(errno, "cannot open", path) : fst_zip_open(fd, path, &zip);
  if (!status) {
    fst_status missing = fst_zip_find(&zip, "0/data/model.pt", &member);
    *out_found = !missing && member.offset <= file.size && member.bytes <= file.size - member.offset;
    fst_error_free(missing);
    fst_zip_deinit(&zip);
  }
  if (!status && *out_found) {
    file_in_folder(b, "model.pt", &b->archive);
    status = fst_file_write_atomic(fst_text_cstr(&b->archive), file.data + member.offset, member.bytes);
  }
  if (fd >= 0) close(fd);
  fst_mapping_deinit(&file);
  return status;
}

static fst_status archive_find(bench *b, const char *path, bool is_artifact) {
  if (!b->o->against) return NULL;
  bool found = false;
  if (b->o->archive) {
    fst_text_puts(&b->archive, b->o->archive);
    found = fst_file_exists(b->o->archive);
    if (!found) return FST_FAIL(FST_ERR_NOT_FOUND, "--archive '%s': there is no such file", b->o->archive);
  } else {
    FST_TRY(archive_extract(b, path, &found));
    if (!found && !is_artifact) fst_text_puts(&b->archive, path);
    if (!found && is_artifact) return FST_FAIL(FST_ERR_INVALID, "'%s' is compiled and does not hold its archive; give that with --archive FILE.pt", path);
  }
  b->archive_bytes = file_bytes(fst_text_cstr(&b->archive));
  return NULL;
}

static fst_status compile_for(bench *b, const char *path, const fst_inputs *inputs) {
  const fst_compiler_api *compiler;
  FST_TRY(fst_cli_compiler(&compiler));
  fst_text arguments = {0};
  fst_source *source = NULL;
  void *artifact = NULL;
  size_t len = 0;
  fst_status status = fst_inputs_signature(inputs, &arguments);
  fst_compiler_signature signature = {b->o->method ? b->o->method : "forward", fst_text_cstr(&arguments)};
  fst_compiler_open_options open = {.bridge = b->o->bridge, .archive = b->o->archive};
  fst_compiler_options options = {.signatures = &signature, .signature_count = 1, .targets = b->o->target ? b->o->target : "x86-64-v3,x86-64-v4", .strip_source = true};
  if (!status) status = compiler->open(path, &open, &source);
  if (!status) status = compiler->compile(source, &options, &artifact, &len);
  if (!status) status = fst_file_write_atomic(fst_text_cstr(&b->artifact), artifact, len);
  if (source) compiler->close(source);
  free(artifact);
  fst_text_deinit(&arguments);
  return status;
}

// The compiled form: MODEL itself, or compiled ahead of time for these very arguments.
static fst_status artifact_find(bench *b, const char *path, const fst_inputs *inputs, bool *out_is_artifact) {
  fst_artifact_options options = {.target = b->o->target};
  fst_artifact *artifact = NULL;
  fst_status status = fst_artifact_open(path, &options, &artifact);
  *out_is_artifact = !status;
  if (!status) {
    fst_text_puts(&b->artifact, path);
  } else {
    bool is_archive = status->code == FST_ERR_NOT_FOUND || status->code == FST_ERR_CORRUPT;
    if (!is_archive || !fst_file_exists(path)) return status;
    fst_error_free(status);
    file_in_folder(b, "model.fst", &b->artifact);
    FST_TRY(compile_for(b, path, inputs));
    FST_TRY(fst_artifact_open(fst_text_cstr(&b->artifact), &options, &artifact));
  }
  b->artifact_bytes = (int64_t)artifact->plan.header->bytes + (int64_t)artifact->plan.header->weights_bytes;
  for (uint32_t i = 0; i < artifact->plan.targets_count; i++) b->artifact_bytes += (int64_t)artifact->plan.targets[i].code_bytes;
  fst_artifact_release(artifact);
  return NULL;
}

// ---- the contestants -------------------------------------------------------------------------------

static void program_find(bench *b) {
  char path[4096];
  ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
  if (len > 0) fst_text_append(&b->program, path, (size_t)len);
}

// A Python with torch and numpy: --python, an active environment's, or the project's own.
static void python_find(bench *b) {
  const char *active = getenv("VIRTUAL_ENV");
  size_t bin = b->program.len - strlen(fst_path_base(fst_text_cstr(&b->program)));
  fst_text_printf(&b->modules, "%.*s../python", (int)bin, fst_text_cstr(&b->program));
  if (b->o->python) fst_text_puts(&b->python, b->o->python);
  else if (active && *active) fst_text_printf(&b->python, "%s/bin/python", active);
  else fst_text_printf(&b->python, "%.*s../../.venv/bin/python", (int)bin, fst_text_cstr(&b->program));
  if (!fst_file_exists(fst_text_cstr(&b->python)) || !fst_file_exists(fst_text_cstr(&b->modules))) fst_text_deinit(&b->python);
}

// Tensors go to Python as files, everything else as the text it was given as.
static fst_status python_inputs_write(bench *b, const fst_inputs *inputs) {
  for (size_t i = 0; i < inputs->values.len; i++) {
    const fst_var *v = inputs->values.data[i];
    fst_text word = {0}, bytes = {0};
    if (i >= inputs->positional) fst_text_printf(&word, "%s=", inputs->names.data[i - inputs->positional]);
    fst_status status = NULL;
    if (fst_var_kind(v) == FST_VAR_TENSOR) {
      size_t at = word.len, len = 0;
      fst_text_printf(&word, "%s/input%zu.npy", fst_text_cstr(&b->folder), i);
      void *data = fst_tensor_bytes(v, &len);
      status = data ? fst_npy_print((fst_dtype)fst_var_dtype(v), fst_var_rank(v), fst_var_sizes(v), data, len, &bytes) : FST_FAIL(FST_ERR_RESOURCE, "out of memory");
      if (!status) status = fst_file_write_atomic(word.data + at, fst_text_cstr(&bytes), bytes.len);
      free(data);
    } else {
      const char *text = b->o->inputs.data[i], *mark = strchr(text, '=');
      fst_text_puts(&word, i >= inputs->positional && mark ? mark + 1 : text);
    }
    fst_text_deinit(&bytes);
    if (status) {
      fst_text_deinit(&word);
      return status;
    }
    fst_vec_push(&b->python_inputs, word.data);
  }
  return NULL;
}

static fst_status rival_begin(bench *b, fst_rival *r, fst_form form) {
  const char *path = fst_text_cstr(form == FST_FORM_FIRESTEEL ? &b->artifact : &b->archive);
  char buffers[32];
  snprintf(buffers, sizeof buffers, "%ld", b->o->buffers);
  fst_words words = {0};
  if (r->is_python) {
    const char *head[] = {fst_text_cstr(&b->python), "-c", fst_contestant_py, path, fst_form_words[form], fst_text_cstr(&b->modules), b->o->method ? b->o->method : "forward", buffers};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++) fst_vec_push(&words, head[i]);
    for (size_t i = 0; i < b->python_inputs.len; i++) fst_vec_push(&words, b->python_inputs.data[i]);
  } else {
    const char *head[] = {fst_text_cstr(&b->program), "bench", path, "--serve", fst_form_words[form], "--buffers", buffers};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++) fst_vec_push(&words, head[i]);
    const struct { const char *option, *value; } given[] = {{"--method", b->o->method}, {"--target", b->o->target}, {"--bridge", b->o->bridge}};
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
      if (!given[i].value) continue;
      fst_vec_push(&words, given[i].option);
      fst_vec_push(&words, given[i].value);
    }
    for (size_t i = 0; i < b->o->inputs.len; i++) {
      fst_vec_push(&words, "--input");
      fst_vec_push(&words, b->o->inputs.data[i]);
    }
    for (size_t i = 0; i < b->o->files.len; i++) {
      fst_vec_push(&words, "--inputs");
      fst_vec_push(&words, b->o->files.data[i]);
    }
  }
  fst_status status = fst_rival_start(r, &words);
  fst_vec_free(&words);
  return status;
}

// Began once before, so that the files of the second time are warm; then compared with ours.
static fst_status rival_enter(bench *b, size_t entry) {
  fst_rival r = {.name = entries[entry].name, .is_python = entries[entry].is_python, .is_ours = entries[entry].form == FST_FORM_FIRESTEEL};
  r.artifact_bytes = r.is_ours ? b->artifact_bytes : b->archive_bytes;
  fst_vec_push(&b->result.rivals, r);
  fst_rival *rival = &fst_vec_last(&b->result.rivals);
  FST_TRY(rival_begin(b, rival, entries[entry].form));
  if (rival->pid) {
    fst_rival_dismiss(rival);
    FST_TRY(rival_begin(b, rival, entries[entry].form));
  }
  fst_text results = {0};
  file_in_folder(b, "results.npy", &results);
  fst_status status = rival->pid ? fst_rival_results(rival, fst_text_cstr(&results)) : NULL;
  fst_text_deinit(&results);
  if (!status && !rival->is_ours) status = fst_rival_compare(rival, &b->result.rivals.data[0]);
  if (!status && rival->refusal && !entry) status = FST_FAIL(FST_ERR_MODEL, "%s", rival->refusal);
  return status;
}

static bool takes_part(const bench *b, size_t entry) {
  if (entries[entry].form != FST_FORM_FIRESTEEL && !b->o->against) return false;
  return !entries[entry].is_python || (b->o->against && b->python.len);
}

static int64_t inputs_bytes(const fst_inputs *inputs) {
  int64_t bytes = 0;
  for (size_t i = 0; i < inputs->values.len; i++)
    if (fst_var_kind(inputs->values.data[i]) == FST_VAR_TENSOR)
      bytes += fst_tensor_count(inputs->values.data[i]) * (int64_t)fst_dtype_size((fst_dtype)fst_var_dtype(inputs->values.data[i]));
  return bytes;
}

static fst_status contest(bench *b) {
  fst_bench_result *result = &b->result;
  for (size_t i = 0; i < ENTRIES; i++)
    if (takes_part(b, i)) FST_TRY(rival_enter(b, i));
  fst_rival *ours = &result->rivals.data[0];
  fst_rival_memory(ours);
  result->flops = ours->flops;
  result->bytes = ours->weight_bytes + b->boundary_bytes;
  for (size_t i = 0; i < ours->results.len; i++) result->bytes += ours->results.data[i].bytes;
  // What a call reads decides which level of the caches bounds it.
  FST_TRY(fst_roof_measure(ours->target, result->bytes, &result->roof));
  FST_TRY(fst_rivals_time(&result->rivals, result->rounds));
  FST_TRY(fst_roof_measure(ours->target, result->bytes, &result->roof));
  for (size_t i = 0; i < result->rivals.len; i++) {
    fst_rival_memory(&result->rivals.data[i]);
    fst_rival_dismiss(&result->rivals.data[i]);
  }
  return NULL;
}

static fst_status prepare(bench *b, const char *path) {
  fst_inputs inputs;
  FST_TRY(fst_inputs_read(&b->o->inputs, &b->o->files, 0, &inputs));
  bool is_artifact = false;
  b->boundary_bytes = inputs_bytes(&inputs);
  fst_status status = folder_make(b);
  if (!status) status = artifact_find(b, path, &inputs, &is_artifact);
  if (!status) status = archive_find(b, path, is_artifact);
  program_find(b);
  python_find(b);
  if (!status && b->python.len) status = python_inputs_write(b, &inputs);
  fst_inputs_deinit(&inputs);
  return status;
}

// ---- the command -----------------------------------------------------------------------------------

static int pin_to_one_cpu(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return -1;
  int last = -1;
  for (int i = 0; i < CPU_SETSIZE; i++)
    if (CPU_ISSET(i, &set)) last = i;
  if (last < 0) return -1;
  CPU_ZERO(&set);
  CPU_SET(last, &set);
  return sched_setaffinity(0, sizeof set, &set) ? -1 : last;
}

static void bench_deinit(bench *b) {
  folder_remove(b);
  fst_rivals_deinit(&b->result.rivals);
  for (size_t i = 0; i < b->python_inputs.len; i++) free(b->python_inputs.data[i]);
  fst_vec_free(&b->python_inputs);
  fst_text *texts[] = {&b->folder, &b->program, &b->artifact, &b->archive, &b->python, &b->modules};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) fst_text_deinit(texts[i]);
}

static fst_status bench_run(const bench_options *o, const char *path) {
  if (o->against && strcmp(o->against, "torch") != 0) return FST_FAIL(FST_ERR_INVALID, "--vs '%s': expected torch", o->against);
  bench b = {.o = o, .result = {.path = path, .method = o->method ? o->method : "forward", .cpu = -1, .rounds = o->rounds > 0 ? o->rounds : DEFAULT_ROUNDS, .buffers = o->buffers}};
  fst_status status = prepare(&b, path);
  if (!o->free_cpu) b.result.cpu = pin_to_one_cpu();
  if (!status) status = contest(&b);
  if (!status && o->json) {
    fst_text json = {0};
    fst_bench_json(&b.result, &json);
    fputs(fst_text_cstr(&json), stdout);
    fst_text_deinit(&json);
  } else if (!status) {
    fst_bench_print(&b.result);
  }
  bench_deinit(&b);
  return status;
}

static fst_status roof_print(const bench_options *o) {
  fst_roof roof = {0};
  if (!o->free_cpu) pin_to_one_cpu();
  FST_TRY(fst_roof_measure(o->target, o->roof_bytes > 0 ? o->roof_bytes : 1 << 20, &roof));
  printf("{\"level\": \"%s\", \"gflops\": %.1f, \"read_gbs\": %.1f, \"read_bytes\": %lld}\n", roof.level, roof.gflops, roof.read_gbs, (long long)roof.read_bytes);
  return NULL;
}

static fst_status bench_words(const bench_options *o, const fst_words *words) {
  if (o->roof) return roof_print(o);
  if (!words->len) return FST_FAIL(FST_ERR_INVALID, "bench needs a MODEL; see `firesteel bench --help`");
  if (!o->serve) return bench_run(o, words->data[0]);
  fst_contestant_options c = {words->data[0], o->serve, o->method, o->target, o->bridge, &o->inputs, &o->files, o->buffers, o->started};
  return fst_contestant_serve(&c);
}

int fst_command_bench(int argc, char **argv) {
  bench_options o = {0};
  fst_words words = {0};
  const fst_option options[] = {
      FST_LIST("--input", "NAME=VALUE", "an argument, see above", &o.inputs),
      FST_LIST("--inputs", "FILE.npz", "arguments by name", &o.files),
      FST_TEXT("--method", "NAME", "what to call (default: forward)", &o.method),
      FST_TEXT("--vs", "torch", "also through libtorch: as it is, frozen, optimized for inference", &o.against),
      FST_TEXT("--archive", "FILE.pt", "the archive for libtorch, when MODEL is compiled and does not hold it", &o.archive),
      FST_TEXT("--target", "NAME", "x86-64-v3 or x86-64-v4 (default: the best this CPU runs)", &o.target),
      FST_NUMBER("--rounds", "N", "rounds in which every form has a turn of about 25 ms (default: 20)", &o.rounds),
      FST_NUMBER("--buffers", "N", "call with N sets of inputs in turn, so that none stays in a cache (default: 1)", &o.buffers),
      FST_FLAG("--json", "print one JSON object instead of the table", &o.json),
      FST_FLAG("--roof", "only measure what this machine can do, and print that as JSON", &o.roof),
      FST_NUMBER("--roof-bytes", "N", "with --roof: bytes of the buffer whose reading is timed (default: 1048576)", &o.roof_bytes),
      FST_TEXT("--python", "FILE", "a Python with torch, for the rows called from there (default: $VIRTUAL_ENV's, or .venv's)", &o.python),
      FST_TEXT("--bridge", "FILE.so", "libfiresteel_torch.so, if it is not beside the runtime", &o.bridge),
      FST_FLAG("--no-pin", "let the system choose the CPU", &o.free_cpu),
      FST_TEXT("--serve", "FORM", "be one contestant: answer on standard input, as cli/contestant.h says", &o.serve),
      FST_TEXT("--started", "NS", "with --serve: when the process was begun, CLOCK_MONOTONIC", &o.started),
  };
  int code = fst_args_parse(fst_command_find("bench"), argc, argv, options, sizeof options / sizeof *options, 0, 1, &words);
  if (code < 0) code = fst_report_status(bench_words(&o, &words));
  fst_vec_free(&words);
  fst_vec_free(&o.inputs);
  fst_vec_free(&o.files);
  return code;
}
