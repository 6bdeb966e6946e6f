// The members of the artifact go into a C file by the assembler's .incbin: code into the text section, the rest into constants, so
// that the loader maps them like the program itself. Beside them stand a table of them (fst_embedded) and functions with
// the types of the first signature of each method.
#define _GNU_SOURCE  // mkdtemp, environ
#include "cli/emit.h"

#include <ctype.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/abi.h"
#include "base/dtype.h"
#include "base/file.h"
#include "base/text.h"
#include "firesteel/firesteel.h"
#include "runtime/plan.h"
#include "runtime/zip.h"

typedef struct emission {
  const char *artifact, *path;
  bool shared;
  char *name;         // "model" of build/model.o, as a word of C
  char *folder;       // for what lies between
  fst_plan plan;
  fst_text code, header;
} emission;

// ---- members ---------------------------------------------------------------------------------------

static fst_status member_emit(emission *e, const fst_zip *zip, const char *member, int number, const char *section, int align) {
  fst_zip_member m;
  FST_TRY(fst_zip_find(zip, member, &m));
  fst_text file = {0};
  fst_text_printf(&file, "%s/%d.bin", e->folder, number);
  fst_status status = fst_file_write_atomic(fst_text_cstr(&file), e->artifact + m.offset, m.bytes);
  fst_text_printf(&e->code, "__asm__(\".pushsection %s\\n.balign %d\\nfiresteel_%s_%d:\\n.incbin \\\"%d.bin\\\"\\n.byte 0\\n.popsection\\n\");\nextern const char firesteel_%s_%d[] __attribute__((visibility(\"hidden\")));\n",
                  section, align, e->name, number, number, e->name, number);
  fst_text_deinit(&file);
  return status;
}

static fst_status members_emit(emission *e, const fst_zip *zip) {
  static const char text[] = ".text.firesteel, \\\"ax\\\", @progbits", data[] = ".rodata.firesteel, \\\"a\\\", @progbits";
  fst_text rows = {0}, member = {0};
  fst_zip_member m;
  int number = 0;
  fst_status status = NULL;
  uint32_t count = e->plan.targets_count + 2;
  for (uint32_t i = 0; !status && i < count; i++) {
    bool is_code = i < e->plan.targets_count;
    member.len = 0;
    if (is_code) fst_text_printf(&member, "0/compiled/%s/code.bin", fst_plan_text(&e->plan, e->plan.targets[i].name));
    else fst_text_puts(&member, i + 2 == count ? "0/compiled/plan.bin" : "0/compiled/weights.bin");
    status = fst_zip_find(zip, fst_text_cstr(&member), &m);
    if (!status) status = member_emit(e, zip, fst_text_cstr(&member), number, is_code ? text : data, is_code ? 4096 : 64);
    if (!status) fst_text_printf(&rows, "  {\"%s\", firesteel_%s_%d, %" PRIu64 "},\n", fst_text_cstr(&member), e->name, number, m.bytes);
    number++;
  }
  fst_text_printf(&e->code, "static const fst_embedded_member members[] = {\n%s};\n", fst_text_cstr(&rows));
  fst_text_deinit(&rows);
  fst_text_deinit(&member);
  return status;
}

// ---- functions -------------------------------------------------------------------------------------

static const char *c_type(fst_dtype dtype) {
  switch (dtype) {
    case FST_U8: return "uint8_t";
    case FST_I8: return "int8_t";
    case FST_I16: return "int16_t";
    case FST_I32: return "int32_t";
    case FST_I64: return "int64_t";
    case FST_F32: return "float";
    case FST_F64: return "double";
    default: return "void";
  }
}

// A tensor becomes a pointer and, where the signature leaves sizes open, an array of them; numbers become numbers; all else a value.
static void parameter_print(const emission *e, const char *name, const fst_plan_pattern *p, fst_text *parameters, fst_text *make) {
  const int64_t *dims = e->plan.ints + p->first;
  bool is_open = false;
  switch (p->tag) {
    case FST_TAG_INT: fst_text_printf(parameters, "int64_t %s, ", name), fst_text_printf(make, "fst_var_int(%s)", name); return;
    case FST_TAG_FLOAT: fst_text_printf(parameters, "double %s, ", name), fst_text_printf(make, "fst_var_float(%s)", name); return;
    case FST_TAG_BOOL: fst_text_printf(parameters, "int %s, ", name), fst_text_printf(make, "fst_var_bool(%s)", name); return;
    case FST_TAG_STR: fst_text_printf(parameters, "const char *%s, ", name), fst_text_printf(make, "fst_var_str(%s, __builtin_strlen(%s))", name, name); return;
    default: break;
  }
  if (p->tag != FST_TAG_TENSOR || p->rank == FST_PLAN_RANK_ANY || p->dtype == FST_DTYPE_UNKNOWN) {
    fst_text_printf(parameters, "const fst_var *%s, ", name), fst_text_printf(make, "fst_var_ref(%s)", name);
    return;
  }
  for (int d = 0; d < p->rank; d++) is_open |= dims[d] < 0;
  fst_text_printf(parameters, "const %s *%s, ", c_type((fst_dtype)p->dtype), name);
  if (is_open) fst_text_printf(parameters, "const int64_t %s_sizes[%d], ", name, p->rank);
  fst_text_printf(make, "tensor(%d, %d, ", p->dtype, p->rank);
  if (is_open) fst_text_printf(make, "%s_sizes", name);
  else if (!p->rank) fst_text_puts(make, "0");
  else fst_text_puts(make, "(const int64_t[]){");
  for (int d = 0; !is_open && d < p->rank; d++) fst_text_printf(make, "%s%" PRId64, d ? ", " : "", dims[d]);
  fst_text_printf(make, "%s, %s)", is_open || !p->rank ? "" : "}", name);
}

static bool is_word(const char *name) {
  if (!isalpha((unsigned char)*name) && *name != '_') return false;
  for (; *name; name++)
    if (!isalnum((unsigned char)*name) && *name != '_') return false;
  return true;
}

static void method_print(emission *e, const fst_plan_method *m) {
  const char *method = fst_plan_text(&e->plan, m->name);
  if (!m->signature_count || !is_word(method)) return;
  const fst_plan_signature *s = &e->plan.signatures[m->signatures];
  fst_text parameters = {0}, makes = {0};
  for (uint32_t i = 0; i < m->arg_count; i++) {
    fst_text name = {0};
    const char *own = fst_plan_text(&e->plan, e->plan.args[m->args + i].name);
    if (is_word(own)) fst_text_puts(&name, own);
    else fst_text_printf(&name, "argument_%u", i);
    fst_text_puts(&makes, i ? ",\n    " : "");
    parameter_print(e, fst_text_cstr(&name), &e->plan.patterns[e->plan.words[s->args + i]], &parameters, &makes);
    fst_text_deinit(&name);
  }
  bool is_forward = !strcmp(method, "forward");
  fst_text prototype = {0};
  fst_text_printf(&prototype, "fst_failure *%s_%s(%sfst_var **out_result)", e->name, is_forward ? "infer" : method, fst_text_cstr(&parameters));
  fst_text_printf(&e->header, "FST_API %s;\n", fst_text_cstr(&prototype));
  fst_text_printf(&e->code, "FST_API %s;\n%s {\n  const fst_var *args[%u] = {\n    %s};\n  return call(\"%s\", args, %u, out_result);\n}\n\n", fst_text_cstr(&prototype), fst_text_cstr(&prototype), m->arg_count ? m->arg_count : 1,
                  m->arg_count ? fst_text_cstr(&makes) : "0", method, m->arg_count);
  fst_text_deinit(&prototype);
  fst_text_deinit(&parameters);
  fst_text_deinit(&makes);
}

// What the C file needs of firesteel.h, which may not be installed where models are compiled.
static const char preamble[] =
  "#include <stddef.h>\n#include <stdint.h>\n"
  "#define FST_API __attribute__((visibility(\"default\")))\n"
  "typedef struct fst_failure fst_failure;\ntypedef struct fst_model fst_model;\ntypedef struct fst_var fst_var;\n"
  "typedef struct fst_embedded_member { const char *name; const void *bytes; size_t len; } fst_embedded_member;\n"
  "typedef struct fst_embedded { size_t version; const char *name; size_t count; const fst_embedded_member *members; } fst_embedded;\n"
  "fst_failure *fst_open_embedded(const fst_embedded *, const void *, fst_model **);\n"
  "fst_failure *fst_infer(fst_model *, const char *, const fst_var *const *, size_t, fst_var **);\n"
  "fst_failure *fst_failure_new(int, const char *);\n"
  "fst_failure *fst_var_tensor(int, size_t, const int64_t *, const int64_t *, void *, void (*)(void *), void *, fst_var **);\n"
  "void fst_failure_free(fst_failure *);\nvoid fst_close(fst_model *);\nvoid fst_var_free(fst_var *);\nvoid fst_var_set_readonly(fst_var *);\n"
  "fst_var *fst_var_int(int64_t);\nfst_var *fst_var_float(double);\nfst_var *fst_var_bool(int);\nfst_var *fst_var_str(const char *, size_t);\nfst_var *fst_var_ref(const fst_var *);\n";

static const char support[] =
  "static fst_model *shared;\n\n"
  "// The model that all threads share, opened by the first call.\n"
  "static fst_failure *opened(fst_model **out) {\n"
  "  fst_model *model = __atomic_load_n(&shared, __ATOMIC_ACQUIRE), *none = 0;\n"
  "  fst_failure *failure = model ? 0 : fst_open_embedded(&embedded, 0, &model);\n"
  "  if (failure) return failure;\n"
  "  if (model != shared && !__atomic_compare_exchange_n(&shared, &none, model, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {\n"
  "    fst_close(model);\n"
  "    model = none;\n"
  "  }\n"
  "  *out = model;\n"
  "  return 0;\n"
  "}\n\n"
  "static __attribute__((unused)) fst_var *tensor(int dtype, size_t rank, const int64_t *sizes, const void *data) {\n"
  "  fst_var *out = 0;\n"
  "  fst_failure_free(fst_var_tensor(dtype, rank, sizes, 0, (void *)(uintptr_t)data, 0, 0, &out));\n"
  "  if (out) fst_var_set_readonly(out);\n"
  "  return out;\n"
  "}\n\n"
  "static __attribute__((unused)) fst_failure *call(const char *method, const fst_var **args, size_t count, fst_var **out) {\n"
  "  fst_model *model;\n"
  "  fst_failure *failure = opened(&model);\n"
  "  for (size_t i = 0; !failure && i < count; i++)\n"
  "    if (!args[i]) failure = fst_failure_new(1, \"an argument is no tensor: its data is missing or misaligned, or its sizes are wrong\");\n"
  "  if (!failure) failure = fst_infer(model, method, args, count, out);\n"
  "  for (size_t i = 0; i < count; i++) fst_var_free((fst_var *)(uintptr_t)args[i]);\n"
  "  return failure;\n"
  "}\n\n";

static fst_status texts_make(emission *e, const fst_zip *zip) {
  fst_text_puts(&e->code, preamble);
  FST_TRY(members_emit(e, zip));
  fst_text_printf(&e->code, "FST_API extern const fst_embedded %s_model;\nconst fst_embedded %s_model = {%d, \"%s\", sizeof members / sizeof *members, members};\n#define embedded %s_model\n", e->name, e->name, FST_EMBEDDED_VERSION,
                  e->name, e->name);
  if (e->shared) fst_text_printf(&e->code, "extern __attribute__((visibility(\"default\"), alias(\"%s_model\"))) const fst_embedded %s;\n", e->name, FST_EMBEDDED_SYMBOL);
  fst_text_puts(&e->code, support);
  fst_text_printf(&e->header, "// A compiled model. Its methods open it when they are first called; all threads share it. Tensors are row-major and only read; results and\n"
                  "// failures are firesteel.h's. `fst_open_embedded(&%s_model, NULL, &model)` makes an instance of its own.\n"
                  "#ifndef FIRESTEEL_MODEL_%s_H\n#define FIRESTEEL_MODEL_%s_H\n\n#include <firesteel/firesteel.h>\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\nFST_API extern const fst_embedded %s_model;\n", e->name, e->name, e->name, e->name);
  for (uint32_t i = 0; i < e->plan.methods_count; i++) method_print(e, &e->plan.methods[i]);
  fst_text_puts(&e->header, "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
  return NULL;
}

// ---- the compiler ----------------------------------------------------------------------------------

extern char **environ;

// In the folder, so that the same model gives the same bytes wherever the folder is.
static fst_status cc_run(const emission *e, char **argv) {
  posix_spawn_file_actions_t files;
  pid_t child;
  int how = 0;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addchdir_np(&files, e->folder);
  int error = posix_spawnp(&child, argv[0], &files, NULL, argv, environ);
  posix_spawn_file_actions_destroy(&files);
  if (error) return FST_FAIL(FST_ERR_NOT_FOUND, "--emit needs a C compiler: cannot run '%s': %s (set CC to one)", argv[0], strerror(error));
  while (waitpid(child, &how, 0) < 0) {}
  return WIFEXITED(how) && WEXITSTATUS(how) == 0 ? NULL : FST_FAIL(FST_ERR_INTERNAL, "the C compiler '%s' failed", argv[0]);
}

// The runtime to put into a shared object: beside the runtime library.
static fst_status runtime_path(fst_text *out) {
  Dl_info info;
  union { const char *(*call)(void); void *at; } here = {.call = fst_version};
  const char *library = dladdr(here.at, &info) && info.dli_fname ? info.dli_fname : "", *slash = strrchr(library, '/');
  char *full = NULL;
  fst_text_printf(out, "%.*s/libfiresteel_rt.a", slash ? (int)(slash - library) : 1, slash ? library : ".");
  full = realpath(out->data, NULL);
  if (!full) return FST_FAIL(FST_ERR_NOT_FOUND, "--emit so needs %s, which is not there", out->data);
  out->len = 0;
  fst_text_puts(out, full);
  free(full);
  return NULL;
}

static fst_status compiled(emission *e) {
  const char *cc = getenv("CC") && *getenv("CC") ? getenv("CC") : "cc";
  fst_text runtime = {0};
  fst_status status = e->shared ? runtime_path(&runtime) : NULL;
  char *object[] = {(char *)(uintptr_t)cc, "-O2", "-fPIC", "-fvisibility=hidden", "-Wa,--noexecstack", "-c", "model.c", "-o", "model.out", NULL};
  char *library[] = {(char *)(uintptr_t)cc, "-O2", "-fPIC", "-fvisibility=hidden", "-Wa,--noexecstack", "-shared", "-Wl,-Bsymbolic", "-Wl,--build-id=none", "-Wl,-z,defs", "-s", "model.c", "-Wl,--whole-archive",
                     (char *)(uintptr_t)fst_text_cstr(&runtime), "-Wl,--no-whole-archive", "-lm", "-ldl", "-lpthread", "-o", "model.out", NULL};
  if (!status) status = cc_run(e, e->shared ? library : object);
  fst_text_deinit(&runtime);
  return status;
}

static fst_status file_move(const emission *e, const char *from, const char *to) {
  fst_text path = {0};
  char *bytes;
  size_t len;
  fst_text_printf(&path, "%s/%s", e->folder, from);
  fst_status status = fst_file_read(fst_text_cstr(&path), &bytes, &len);
  fst_text_deinit(&path);
  FST_TRY(status);
  status = fst_file_write_atomic(to, bytes, len);
  free(bytes);
  return status;
}

static fst_status written(emission *e) {
  fst_text path = {0};
  fst_text_printf(&path, "%s/model.c", e->folder);
  fst_status status = fst_file_write_atomic(fst_text_cstr(&path), e->code.data, e->code.len);
  if (!status) status = compiled(e);
  if (!status) status = file_move(e, "model.out", e->path);
  const char *base = fst_path_base(e->path), *dot = strrchr(base, '.');
  path.len = 0;
  fst_text_printf(&path, "%.*s.h", dot ? (int)(dot - e->path) : (int)strlen(e->path), e->path);
  if (!status) status = fst_file_write_atomic(fst_text_cstr(&path), e->header.data, e->header.len);
  fst_text_deinit(&path);
  return status;
}

static fst_status emit(emission *e, size_t len) {
  fst_text artifact = {0};
  fst_zip_member m;
  void *plan = NULL;
  fst_text_printf(&artifact, "%s/artifact", e->folder);
  fst_status status = fst_file_write_atomic(fst_text_cstr(&artifact), e->artifact, len);
  int fd = status ? -1 : open(fst_text_cstr(&artifact), O_RDONLY | O_CLOEXEC);
  fst_text_deinit(&artifact);
  FST_TRY(status);
  fst_zip zip;
  status = fst_zip_open(fd, "artifact", &zip);
  if (!status) {
    status = fst_zip_find(&zip, "0/compiled/plan.bin", &m);
    plan = status ? NULL : malloc(m.bytes + 1);
    if (plan) memcpy(plan, e->artifact + m.offset, m.bytes);
    if (!status) status = plan ? fst_plan_open("artifact", plan, m.bytes, &e->plan) : FST_FAIL(FST_ERR_RESOURCE, "out of memory");
    if (!status) status = texts_make(e, &zip);
    if (!status) status = written(e);
    free(plan);
    fst_zip_deinit(&zip);
  }
  close(fd);
  return status;
}

fst_status fst_emit(const void *artifact, size_t len, const char *path, bool shared) {
  emission e = {.artifact = artifact, .path = path, .shared = shared};
  const char *temporary = getenv("TMPDIR");
  if (!temporary || !*temporary) temporary = "/tmp";
  fst_text folder = {0};
  fst_text_printf(&folder, "%s/firesteel-XXXXXX", temporary);
  e.folder = folder.data;
  e.name = strdup(fst_path_base(path));
  if (!e.name) {
    fst_text_deinit(&folder);
    return FST_FAIL(FST_ERR_RESOURCE, "out of memory");
  }
  e.name[strcspn(e.name, ".")] = 0;
  for (char *c = e.name; *c; c++)
    if (!isalnum((unsigned char)*c)) *c = '_';
  fst_status status = is_word(e.name) ? NULL : FST_FAIL(FST_ERR_INVALID, "--emit names functions after the file, and '%s' is no word of C", fst_path_base(path));
  if (!status && !mkdtemp(e.folder)) status = FST_FAIL(FST_ERR_IO, "cannot make a folder in %s, where TMPDIR says temporary files go", temporary);
  if (!status) {
    status = emit(&e, len);
    fst_file_remove_tree(e.folder);
  }
  fst_text_deinit(&e.code);
  fst_text_deinit(&e.header);
  fst_text_deinit(&folder);
  free(e.name);
  return status;
}
