// A translation unit of CUDA C being filled: kernels shared by structure, their launches, the text.
#include <stdlib.h>
#include <string.h>

#include "codegen/cuda/schedule.h"
#include "codegen/key.h"

extern const char fst_cuda_prelude[];   // generated from codegen/cuda/prelude.cu
extern const unsigned fst_cuda_prelude_len;

typedef struct emitted {
  uint64_t hash;
  const void *key;
  size_t key_len;
  fst_cuda_kernel *kernel;
} emitted;

struct fst_cuda_unit {
  fst_arena arena;
  FST_VEC(emitted) kernels;
  fst_text text;
};

fst_cuda_unit *fst_cuda_unit_create(void) {
  fst_cuda_unit *unit = calloc(1, sizeof *unit);
  FST_ASSERT(unit, "out of memory");
  fst_arena_init(&unit->arena);
  return unit;
}

void fst_cuda_unit_destroy(fst_cuda_unit *unit) {
  if (!unit) return;
  for (size_t i = 0; i < unit->kernels.len; i++) {
    fst_cuda_kernel *kernel = unit->kernels.data[i].kernel;
    fst_kernel_destroy((fst_kernel *)(uintptr_t)kernel->sizes);
    fst_vec_free(&kernel->constant_offset);
  }
  fst_vec_free(&unit->kernels);
  fst_text_deinit(&unit->text);
  fst_arena_deinit(&unit->arena);
  free(unit);
}

uint32_t fst_cuda_unit_kernels(const fst_cuda_unit *unit) { return (uint32_t)unit->kernels.len; }

void fst_cuda_unit_source(const fst_cuda_unit *unit, fst_text *out) {
  fst_text_append(out, fst_cuda_prelude, fst_cuda_prelude_len);
  fst_text_puts(out, fst_text_cstr(&unit->text));
}

// ---- sizes for the host ----

static fst_kx param_of(const fst_kernel *k, uint32_t number) {
  for (uint32_t id = 1; id < k->exprs.len; id++)
    if (k->exprs.data[id].kind == FST_KX_PARAM && k->exprs.data[id].index == number) return (fst_kx){id};
  FST_UNREACHABLE("kernel %s has no parameter %u", k->name, number);
}

fst_kx fst_cu_size(const fst_cu_kernel *m, fst_kx x) {
  const fst_kx_data *d = fst_kx_get(m->k, x);
  int64_t divisor;
  if (d->dtype != FST_I64) return FST_NO_KX;
  if (d->kind == FST_KX_CONST) return fst_kx_int(m->sizes, (int64_t)d->bits);
  if (d->kind == FST_KX_PARAM) return param_of(m->sizes, d->index);
  if (d->kind != FST_KX_PRIM || d->arg_count != 2) return FST_NO_KX;
  fst_kx a = fst_cu_size(m, d->args[0]), b = fst_cu_size(m, d->args[1]);
  if (!a.id || !b.id) return FST_NO_KX;
  switch (d->prim) {
    case FST_PRIM_DIV:
      if (!fst_kx_is_int(m->sizes, b, &divisor) || divisor < 1) return FST_NO_KX;
      return fst_kx_prim2(m->sizes, d->prim, a, b);
    case FST_PRIM_ADD:
    case FST_PRIM_SUB:
    case FST_PRIM_MUL:
    case FST_PRIM_MIN:
    case FST_PRIM_MAX: return fst_kx_prim2(m->sizes, d->prim, a, b);
    default: return FST_NO_KX;
  }
}

void fst_cu_scratch(fst_cu_kernel *m, fst_kx bytes) {
  m->scratch_bytes = m->scratch_bytes.id ? fst_kx_prim2(m->sizes, FST_PRIM_MAX, m->scratch_bytes, bytes) : bytes;
}

// ---- launches ----

// Written buffers that nothing reads are distinct from all others (the caller promises it); buffers that are only read may be
// the same memory as each other, which `restrict` allows, but not where one of the kernel is both read and written.
static void function_begin(fst_cu_kernel *m, const char *name, uint32_t threads, uint32_t resident, fst_text *out) {
  const fst_kernel *k = m->k;
  bool updates = false;
  const char *comma = "";
  for (size_t i = 0; i < m->arguments; i++) updates |= k->buffers.data[i].is_read && k->buffers.data[i].is_written;
  fst_text_printf(out, "\nextern \"C\" __global__ void __launch_bounds__(%u", threads);
  if (resident) fst_text_printf(out, ", %u", resident);
  fst_text_printf(out, ") %s(", name);
  for (size_t i = 0; i < m->arguments; i++) {
    const fst_kbuf *b = &k->buffers.data[i];
    bool alone = b->is_written ? !b->is_read : !updates;
    fst_text_printf(out, "%s%s%s *%sb%zu", comma, b->is_written ? "" : "const ", fst_cu_memory_type(b->dtype), alone ? "__restrict__ " : "", i);
    comma = ", ";
  }
  for (size_t i = 0; i < k->params.len; i++) {
    fst_text_printf(out, "%s%s p%zu", comma, fst_cu_type(k->params.data[i]), i);
    comma = ", ";
  }
  if (m->has_scratch) fst_text_printf(out, "%sunsigned char *__restrict__ scratch", comma);
  fst_text_puts(out, ") {\n");
}

// ---- buffers in scratch memory ----

enum { STAGED_ALIGNMENT = 256 };

static void staged_measure(fst_cu_kernel *m) {
  m->staged_bytes = fst_kx_int(m->sizes, 0);
  for (size_t i = m->arguments; i < m->k->buffers.len; i++) {
    const fst_kbuf *b = &m->k->buffers.data[i];
    fst_kx bytes = fst_kx_prim2(m->sizes, FST_PRIM_MUL, fst_cu_points(m, b->sizes, b->rank), fst_kx_int(m->sizes, (int64_t)fst_dtype_size(b->dtype)));
    bytes = fst_kx_prim2(m->sizes, FST_PRIM_MUL, fst_cu_ceil_div(m, bytes, STAGED_ALIGNMENT), fst_kx_int(m->sizes, STAGED_ALIGNMENT));
    m->staged_bytes = fst_kx_prim2(m->sizes, FST_PRIM_ADD, m->staged_bytes, bytes);
  }
}

// Schedules see the scratch memory behind them.
static void staged_declare(fst_cu *c, const fst_cu_kernel *m) {
  for (size_t i = m->arguments; i < m->k->buffers.len; i++) {
    const fst_kbuf *b = &m->k->buffers.data[i];
    const char *type = fst_cu_memory_type(b->dtype), *points = "1ll";
    for (uint32_t d = 0; d < b->rank; d++) points = fst_cu_format(c, "%s * fst_max(%s, 0ll)", points, fst_cu_expr(c, b->sizes[d]));
    fst_cu_line(c, "%s *const b%zu = (%s *)scratch;", type, i, type);
    fst_cu_line(c, "scratch += (%s * %zu + %d) / %d * %d;", points, fst_dtype_size(b->dtype), STAGED_ALIGNMENT - 1, STAGED_ALIGNMENT, STAGED_ALIGNMENT);
  }
}

void fst_cu_launch_add(fst_cu_kernel *m, uint32_t threads, uint32_t resident, const fst_kx grid[3], uint32_t shared_bytes, fst_cu_body body, const void *context) {
  fst_text text = {0};
  fst_arena arena;
  fst_arena_init(&arena);
  fst_cuda_launch launch = {.threads = {threads, 1, 1}, .grid = {grid[0], grid[1], grid[2]}, .shared_bytes = shared_bytes};
  launch.entry = fst_arena_printf(&m->unit->arena, "%s_%zu", m->symbol, m->launches.len);
  function_begin(m, launch.entry, threads, resident, &m->unit->text);
  fst_cu c = {.k = m->k, .arena = &arena, .out = &text, .depth = 1};
  fst_cu_begin(&c);
  staged_declare(&c, m);
  body(&c, context);
  fst_cu_end(&c);
  fst_text_puts(&m->unit->text, fst_text_cstr(&text));
  fst_text_puts(&m->unit->text, "}\n");
  fst_vec_push(&m->launches, launch);
  fst_text_deinit(&text);
  fst_arena_deinit(&arena);
}

// ---- kernels ----

static const char *symbol_name(fst_cuda_unit *unit, const fst_kernel *k) {
  char *name = fst_arena_printf(&unit->arena, "fst_%zu_%s", unit->kernels.len, k->name ? k->name : "");
  for (char *c = name; *c; c++)
    if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9'))) *c = '_';
  return name;
}

static fst_kernel *sizes_create(const fst_kernel *k) {
  fst_kernel *sizes = fst_kernel_create(k->name);
  for (size_t i = 0; i < k->params.len; i++) fst_kernel_param(sizes, k->params.data[i]);
  return sizes;
}

static void statements_emit(fst_cu_kernel *m) {
  for (size_t i = 0; i < m->k->stmts.len; i++) fst_cu_statement(m, &m->k->stmts.data[i]);
}

// Whether a kernel wants scratch memory shows while it is scheduled; one that does is printed again with the argument for it.
static fst_cuda_kernel *kernel_emit_new(fst_cuda_unit *unit, const fst_kernel *kernel) {
  fst_cu_kernel m = {.unit = unit, .k = fst_cu_normal(kernel), .sizes = sizes_create(kernel), .symbol = symbol_name(unit, kernel)};
  size_t before = unit->text.len;
  m.arguments = kernel->buffers.len;
  fst_cu_stage(&m);
  staged_measure(&m);
  m.has_scratch = m.k->buffers.len > m.arguments;
  statements_emit(&m);
  if (m.scratch_bytes.id && !m.has_scratch) {
    unit->text.len = before;
    unit->text.data[before] = 0;
    m.launches.len = 0;
    m.has_scratch = true;
    statements_emit(&m);
  }
  fst_cuda_kernel *out = FST_NEW(&unit->arena, fst_cuda_kernel);
  out->sizes = m.sizes;
  if (m.has_scratch) out->scratch_bytes = m.scratch_bytes.id ? fst_kx_prim2(m.sizes, FST_PRIM_ADD, m.staged_bytes, m.scratch_bytes) : m.staged_bytes;
  out->launch_count = (uint32_t)m.launches.len;
  out->launches = fst_arena_memdup(&unit->arena, m.launches.data, m.launches.len * sizeof *m.launches.data);
  for (size_t i = 0; i < kernel->buffers.len; i++) fst_vec_push(&out->constant_offset, -1);
  fst_vec_free(&m.launches);
  fst_kernel_destroy(m.k);
  return out;
}

static fst_cuda_kernel *kernel_find(const fst_cuda_unit *unit, uint64_t hash, const fst_text *key) {
  for (size_t i = 0; i < unit->kernels.len; i++) {
    const emitted *e = &unit->kernels.data[i];
    if (e->hash == hash && e->key_len == key->len && !memcmp(e->key, key->data, key->len)) return e->kernel;
  }
  return NULL;
}

fst_status fst_cuda_kernel_emit(fst_cuda_unit *unit, const fst_kernel *kernel, const void *const *constants, fst_blob *blob, const fst_cuda_kernel **out) {
  (void)blob;
  FST_TRY(fst_kernel_check_dtypes(kernel));
  fst_text key = {0};
  fst_kernel_key(kernel, constants, &key);
  uint64_t hash = fst_hash_bytes(key.data, key.len, 0);
  fst_cuda_kernel *found = kernel_find(unit, hash, &key);
  if (!found) {
    found = kernel_emit_new(unit, kernel);
    emitted e = {hash, fst_arena_memdup(&unit->arena, key.data, key.len), key.len, found};
    fst_vec_push(&unit->kernels, e);
  }
  fst_text_deinit(&key);
  *out = found;
  return NULL;
}
