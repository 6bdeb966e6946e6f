// round_trip FILE [METHOD=SIGNATURE ...]: what is printed means the same, at every stage, down to the machine code.
//
// FILE is IR text or an archive. Each method (in text without objects each function) goes through all stages. At each, its text
// is parsed into a module of its own, and the parsed graph must have the same structural hash, verify, print alike, and compile
// to the same code, weights and tables, byte for byte. What cannot be compiled must fail with the same message. Prints the
// number of comparisons; fails with what differs.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "codegen/codegen.h"
#include "driver/signature.h"
#include "driver/source.h"
#include "passes/pipeline.h"

enum { MOST_METHODS = 64 };

static uint32_t compared;

// ---- to machine code -------------------------------------------------------------------------------

typedef struct { fst_text bytes, failure; } artifact;

static void artifact_deinit(artifact *a) {
  fst_text_deinit(&a->bytes);
  fst_text_deinit(&a->failure);
}

static fst_status unit_image(fst_llvm_unit *unit, artifact *out) {
  void *object = NULL, *image = NULL;
  size_t object_len, image_len;
  const char *name = "fst_entry_0";
  FST_TRY(fst_llvm_unit_object(unit, &object, &object_len));
  fst_status status = fst_link_image(object, object_len, &name, 1, &image, &image_len);
  if (!status) fst_text_append(&out->bytes, image, image_len);
  free(object);
  free(image);
  return status;
}

static fst_status emit(const fst_graph *planned, fst_blob *blob, fst_plan_tables *tables, artifact *out) {
  fst_llvm_unit *unit;
  FST_TRY(fst_llvm_unit_create(fst_target_find("x86-64-v3"), "round_trip", &unit));
  fst_status status = fst_llvm_method_emit(unit, NULL, planned, 0, blob, tables, &out->bytes);
  if (!status) status = unit_image(unit, out);
  fst_llvm_unit_destroy(unit);
  if (status) return status;
  uint64_t weight_bytes;
  const void *weights = fst_blob_data(blob, &weight_bytes);
  void *plan;
  size_t plan_len;
  fst_text_append(&out->bytes, weights, weight_bytes);
  fst_plan_weights_set(tables, weights, weight_bytes);
  FST_TRY(fst_plan_write(tables, &plan, &plan_len));
  fst_text_append(&out->bytes, plan, plan_len);
  free(plan);
  return NULL;
}

static fst_status finish(fst_graph *graph, artifact *out) {
  fst_graph *planned;
  FST_TRY(fst_pipeline_lower(graph, NULL, FST_STAGE_PLANNED, NULL, &planned));
  fst_blob *blob = fst_blob_create();
  fst_plan_tables *tables = fst_plan_tables_create();
  fst_status status = emit(planned, blob, tables, out);
  fst_plan_tables_destroy(tables);
  fst_blob_destroy(blob);
  fst_graph_destroy(planned);
  return status;
}

static void compile(fst_graph *graph, artifact *out) {
  fst_status status = finish(graph, out);
  if (status) fst_text_puts(&out->failure, status->message);
  fst_error_free(status);
}

// ---- comparing -------------------------------------------------------------------------------------

// The text of `graph` as a module; storages have the bytes of the original's.
static fst_status reparse(const fst_graph *graph, fst_module **out) {
  fst_text text = {0};
  fst_graph_print(graph, &text);
  fst_status status = fst_module_parse(text.data, text.len, "printed text", out);
  if (status) fprintf(stderr, "%s\n", fst_text_cstr(&text));
  fst_text_deinit(&text);
  const fst_module *from = graph->module;
  for (size_t i = 0; !status && i < (*out)->storages.len && i < from->storages.len; i++) (*out)->storages.data[i].data = from->storages.data[i].data;
  return status;
}

static fst_status same_text(const fst_graph *a, const fst_graph *b) {
  fst_text x = {0}, y = {0};
  fst_graph_print(a, &x);
  fst_graph_print(b, &y);
  const char *s = fst_text_cstr(&x), *t = fst_text_cstr(&y);
  fst_status status = NULL;
  while (*s && !status) {   // places are comments, which a parsed graph has none of
    size_t m = strcspn(s, "\n"), n = strcspn(t, "\n");
    const char *comment = memmem(s, m, "  # ", 4);
    if (comment && a->stage == FST_STAGE_PLANNED) m = (size_t)(comment - s);
    if (m != n || memcmp(s, t, n)) status = FST_FAIL(FST_ERR_INTERNAL, "prints differently after parsing:\n%.*s\n%.*s", (int)m, s, (int)n, t);
    s += strcspn(s, "\n");
    t += n;
    s += *s == '\n';
    t += *t == '\n';
  }
  fst_text_deinit(&x);
  fst_text_deinit(&y);
  return status;
}

static fst_status same_artifact(fst_graph *graph, const artifact *want) {
  artifact got = {0};
  compile(graph, &got);
  bool same = got.bytes.len == want->bytes.len && (!got.bytes.len || !memcmp(got.bytes.data, want->bytes.data, got.bytes.len));
  fst_status status = NULL;
  if (strcmp(fst_text_cstr(&got.failure), fst_text_cstr((fst_text *)&want->failure)) != 0)
    status = FST_FAIL(FST_ERR_INTERNAL, "fails with '%s', the original with '%s'", fst_text_cstr(&got.failure), fst_text_cstr((fst_text *)&want->failure));
  else if (!same && !got.failure.len) status = FST_FAIL(FST_ERR_INTERNAL, "compiles to other bytes (%zu, the original %zu)", got.bytes.len, want->bytes.len);
  artifact_deinit(&got);
  return status;
}

// `want` NULL: not compared, since the graph needs its module.
static fst_status check(const fst_graph *graph, const artifact *want) {
  fst_module *again;
  fst_status status = reparse(graph, &again);
  if (!status) {
    fst_graph *parsed = fst_module_find_function(again, fst_intern(&again->strings, fst_sym_text(&graph->module->strings, graph->name)));
    if (!parsed) status = FST_FAIL(FST_ERR_INTERNAL, "the function is not in its text");
    else if (fst_graph_hash(parsed) != fst_graph_hash(graph)) status = FST_FAIL(FST_ERR_INTERNAL, "has another hash after parsing");
    else status = same_text(graph, parsed);
    if (!status) status = fst_graph_verify(parsed);
    if (!status && want) status = same_artifact(parsed, want);
    fst_module_destroy(again);
  }
  compared++;
  return status ? fst_error_prefix(status, "%s, stage %s", fst_sym_text(&graph->module->strings, graph->name), fst_stage_name(graph->stage)) : NULL;
}

// ---- roads -----------------------------------------------------------------------------------------

// From `inlined` on, or the stage that the text has.
static fst_status follow(fst_graph *graph) {
  artifact want = {0};
  compile(graph, &want);
  fst_status status = check(graph, &want);
  fst_graph *at = graph;
  for (int stage = graph->stage + 1; stage <= FST_STAGE_PLANNED && !status; stage++) {
    fst_graph *next;
    fst_status stuck = stage < FST_STAGE_TYPED ? NULL : fst_pipeline_lower(at, NULL, (fst_stage)stage, NULL, &next);
    if (stage < FST_STAGE_TYPED) continue;
    if (stuck) {   // compile() said so, too
      if (!want.failure.len) status = stuck;
      else fst_error_free(stuck);
      break;
    }
    if (at != graph) fst_graph_destroy(at);
    at = next;
    status = check(at, &want);
  }
  if (at != graph) fst_graph_destroy(at);
  artifact_deinit(&want);
  return status;
}

// State has the types that were saved.
static void type_state(fst_graph *g, const fst_state_layout *layout) {
  for (size_t i = 1; i < g->nodes.len; i++) {
    const fst_node *n = g->nodes.data[i];
    if (n->op != FST_OP_STATE_GET || !n->result_count || (size_t)n->attr_int >= layout->slots.len) continue;
    const fst_const_data *saved = fst_const_get(g->module, layout->slots.data[n->attr_int].initial);
    if (saved->kind == FST_CONST_TENSOR) fst_value_set_type(g, n->results[0], g->module->tensors.data[saved->index].type);
  }
}

static const char *signature_of(const char *method, int argc, char **argv) {
  size_t len = strlen(method);
  for (int i = 2; i < argc; i++)
    if (!strncmp(argv[i], method, len) && argv[i][len] == '=') return argv[i] + len + 1;
  return NULL;
}

static fst_status methods_of(fst_source *source, fst_graph **out, const char **names, uint32_t *count) {
  fst_module *m = source->import.module;
  const fst_class *cls = m->root == UINT32_MAX ? NULL : &m->classes.data[m->objects.data[m->root].cls.id];
  *count = 0;
  for (uint32_t i = 0; i < (cls ? cls->method_count : m->functions.len) && *count < MOST_METHODS; i++) {
    fst_graph *g = cls ? fst_class_method(m, cls, cls->method_names[i]) : m->functions.data[i];
    FST_TRY(check(g, NULL));
    names[*count] = fst_sym_text(&m->strings, cls ? cls->method_names[i] : g->name);
    out[*count] = fst_graph_clone(g, g->name);
    fst_status status = fst_pipeline_inline(out[*count], NULL);
    if (!status) (*count)++;
    else fst_graph_destroy(out[*count]);
    fst_error_free(status);   // what cannot be inlined is no road
  }
  return NULL;
}

static fst_status run(fst_source *source, int argc, char **argv) {
  fst_graph *graphs[MOST_METHODS];
  const char *names[MOST_METHODS];
  uint32_t count;
  FST_TRY(methods_of(source, graphs, names, &count));
  fst_state_layout layout;
  fst_map trained = {0};
  fst_status status = fst_state_layout_init(&layout, graphs, count, &trained);
  for (uint32_t i = 0; i < count && !status; i++) {
    fst_status frozen = fst_pipeline_freeze(graphs[i], &layout, NULL);
    // Where the signature does not say enough, tensors stay as dynamic as they are declared.
    if (!frozen && graphs[i]->stage == FST_STAGE_INLINED) fst_error_free(fst_signature_apply(graphs[i], signature_of(names[i], argc, argv)));
    if (!frozen) {
      type_state(graphs[i], &layout);
      status = follow(graphs[i]);
    }
    fst_error_free(frozen);
  }
  fst_state_layout_deinit(&layout);
  for (uint32_t i = 0; i < count; i++) fst_graph_destroy(graphs[i]);
  return status;
}

// Text whose tensors lie in an archive that is not there gets zeros: nothing runs.
static fst_status open_text(const char *path, fst_source *out) {
  char *text;
  size_t len;
  FST_TRY(fst_file_read(path, &text, &len));
  fst_status status = fst_module_parse(text, len, path, &out->import.module);
  free(text);
  if (!status) status = fst_module_verify(out->import.module);
  fst_arena_init(&out->arena);
  out->model_fd = -1;
  for (size_t i = 0; !status && i < out->import.module->storages.len; i++) {
    fst_storage_info *s = &out->import.module->storages.data[i];
    if (!s->data) s->data = fst_arena_alloc(&out->arena, s->bytes + 1);
  }
  return status;
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  fst_source source = {0};
  fst_source_options options = {.bridge = getenv("FST_BRIDGE")};
  size_t len = strlen(argv[1]);
  bool is_text = len > 3 && !strcmp(argv[1] + len - 3, ".ir");
  fst_status status = is_text ? open_text(argv[1], &source) : fst_source_open(argv[1], &options, &source);
  if (!status) status = run(&source, argc, argv);
  fst_source_deinit(&source);
  if (!status) {
    printf("%u\n", compared);
    return 0;
  }
  fprintf(stderr, "%s: %s\n", argv[1], status->message);
  fst_error_free(status);
  return 1;
}
