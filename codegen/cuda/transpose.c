// MAPs that write along one variable and read along another: a block reads a square through shared memory, along the lines of
// what is read, and computes and writes along the lines of what is written.
#include "codegen/cuda/schedule.h"

enum { SIDE = 32, THREADS = 256, STEP = THREADS / SIDE, PITCH = SIDE + 1, MOST_TURNED = 4, SHORT = 16 };

typedef struct transpose {
  const fst_kstmt *stmt;
  fst_cu_space outer, across, along;   // across: the reads' variable; along: the stores'
  fst_kx turned[MOST_TURNED];          // loads that go through shared memory
  uint32_t count;
} transpose;

static bool steps_by_one(fst_kernel *k, uint32_t buffer, const fst_kx *indices, uint32_t var) {
  fst_kx coefficient;
  int64_t value;
  return fst_cu_coefficient(k, buffer, indices, var, &coefficient) && fst_kx_is_int(k, coefficient, &value) && value == 1;
}

static bool is_short(const fst_kernel *k, fst_kx extent) {
  int64_t value;
  return fst_kx_is_int(k, extent, &value) && value < SHORT;
}

static int stores_along(fst_kernel *k, const fst_kstmt *stmt) {
  for (uint32_t v = stmt->var_count; v-- > 0;) {
    bool all = !is_short(k, stmt->extents[v]);
    for (uint32_t i = 0; i < stmt->store_count && all; i++) all = steps_by_one(k, stmt->stores[i].buffer, stmt->stores[i].indices, stmt->vars[v]);
    if (all) return (int)v;
  }
  return -1;
}

// The loads that walk memory with `across`, one element a step, and with `along` in some other way.
static void find_turned(fst_kernel *k, transpose *t, const fst_cu_accesses *loads, uint32_t across, uint32_t along) {
  t->count = 0;
  for (size_t i = 0; i < loads->len && t->count < MOST_TURNED; i++) {
    const fst_cu_access *a = &loads->data[i];
    bool moves = fst_kx_depends(k, a->load, along) && !steps_by_one(k, a->buffer, a->indices, along);
    if (!a->is_lazy && moves && steps_by_one(k, a->buffer, a->indices, across)) t->turned[t->count++] = a->load;
  }
}

static bool plan(fst_kernel *k, transpose *t) {
  const fst_kstmt *stmt = t->stmt;
  fst_cu_accesses loads = {0};
  int along = stores_along(k, stmt);
  if (along < 0) return false;
  for (uint32_t i = 0; i < stmt->store_count; i++) fst_cu_loads(k, &stmt->stores[i].value, 1, &loads);
  for (uint32_t v = 0; v < stmt->var_count && !t->count; v++) {
    if ((int)v == along || is_short(k, stmt->extents[v])) continue;
    find_turned(k, t, &loads, stmt->vars[v], stmt->vars[along]);
    if (!t->count) continue;
    t->across = fst_cu_space_of(&stmt->vars[v], &stmt->extents[v], 1);
    t->along = fst_cu_space_of(&stmt->vars[along], &stmt->extents[along], 1);
    for (uint32_t o = 0; o < stmt->var_count; o++) {
      if (o == v || (int)o == along) continue;
      t->outer.vars[t->outer.count] = stmt->vars[o];
      t->outer.extents[t->outer.count++] = stmt->extents[o];
    }
  }
  fst_vec_free(&loads);
  return t->count > 0;
}

// `for` over a thread's points of the square, fast along `fast`; `line` counts lines, `place` places in one.
static void points_open(fst_cu *c, const transpose *t, bool writes) {
  fst_cu_line(c, "#pragma unroll");
  fst_cu_open(c, "for (int line = (int)threadIdx.x / %d; line < %d; line += %d)", SIDE, SIDE, STEP);
  fst_cu_line(c, "const int place = threadIdx.x %% %d;", SIDE);
  fst_cu_line(c, "const i64 x = x0 + %s, y = y0 + %s;", writes ? "line" : "place", writes ? "place" : "line");
  fst_cu_open(c, "if (x < %s && y < %s)", t->across.total, t->along.total);
  fst_cu_space_bind(c, &t->across, "x");
  fst_cu_space_bind(c, &t->along, "y");
}

static void points_close(fst_cu *c, const transpose *t) {
  fst_cu_space_unbind(c, &t->across);
  fst_cu_space_unbind(c, &t->along);
  fst_cu_close(c);
  fst_cu_close(c);
}

static const char *tile(fst_cu *c, const transpose *t, uint32_t i, const char *line, const char *place) {
  const char *type = fst_cu_memory_type(fst_cu_get(c, t->turned[i])->dtype);
  return fst_cu_format(c, "((%s *)(shared + %u))[%s * %d + %s]", type, i * SIDE * PITCH * 8, line, PITCH, place);
}

static void transpose_body(fst_cu *c, const void *context) {
  transpose t = *(const transpose *)context;
  const fst_kstmt *stmt = t.stmt;
  const char **values = FST_NEW_ARRAY(c->arena, const char *, stmt->store_count + 1);
  fst_cu_line(c, "FST_SHARED(shared);");
  fst_cu_space_declare(c, &t.outer);
  fst_cu_space_declare(c, &t.across);
  fst_cu_space_declare(c, &t.along);
  fst_cu_line(c, "const i64 wide = (%s + %d) / %d, high = (%s + %d) / %d;", t.across.total, SIDE - 1, SIDE, t.along.total, SIDE - 1, SIDE);
  fst_cu_line(c, "const i64 row = fst_quotient(blockIdx.x, wide), outer = fst_quotient(row, high);");
  fst_cu_line(c, "const i64 x0 = (blockIdx.x - row * wide) * %d, y0 = (row - outer * high) * %d;", SIDE, SIDE);
  fst_cu_space_bind(c, &t.outer, "outer");
  size_t scope = fst_cu_scope(c);
  points_open(c, &t, false);
  for (uint32_t i = 0; i < t.count; i++) {
    const fst_kx_data *d = fst_cu_get(c, t.turned[i]);
    fst_cu_line(c, "%s = %s;", tile(c, &t, i, "line", "place"), fst_cu_element(c, d->index, d->args));
  }
  points_close(c, &t);
  fst_cu_forget(c, scope);
  fst_cu_line(c, "__syncthreads();");
  points_open(c, &t, true);
  for (uint32_t i = 0; i < t.count; i++) {
    const char *element = tile(c, &t, i, "place", "line");
    fst_cu_remember(c, t.turned[i], fst_cu_get(c, t.turned[i])->dtype == FST_BOOL ? fst_cu_format(c, "(%s != 0)", element) : element);
  }
  for (uint32_t i = 0; i < stmt->store_count; i++) values[i] = fst_cu_expr(c, stmt->stores[i].value);
  for (uint32_t i = 0; i < stmt->store_count; i++) fst_cu_store(c, stmt->stores[i].buffer, stmt->stores[i].indices, values[i]);
  points_close(c, &t);
  fst_cu_forget(c, scope);
  fst_cu_space_unbind(c, &t.outer);
}

bool fst_cu_transpose(fst_cu_kernel *m, const fst_kstmt *stmt) {
  transpose t = {.stmt = stmt};
  if (stmt->kind != FST_KSTMT_MAP || stmt->var_count < 2 || fst_cu_box(m->k, stmt, stmt->var_count) < stmt->var_count || fst_cu_reads_its_stores(m->k, stmt)) return false;
  for (uint32_t i = 0; i < stmt->store_count; i++)
    if (fst_cu_reduces(m->k, stmt->stores[i].value)) return false;
  if (!plan(m->k, &t)) return false;
  fst_kx outer = fst_cu_points(m, t.outer.extents, t.outer.count), across = fst_cu_points(m, t.across.extents, 1), along = fst_cu_points(m, t.along.extents, 1);
  if (!outer.id || !across.id || !along.id) return false;
  fst_kernel *s = m->sizes;
  fst_kx one = fst_kx_int(s, 1), squares = fst_kx_prim2(s, FST_PRIM_MUL, fst_cu_ceil_div(m, across, SIDE), fst_cu_ceil_div(m, along, SIDE));
  fst_kx grid[] = {fst_kx_prim2(s, FST_PRIM_MUL, squares, outer), one, one};
  fst_cu_launch_add(m, THREADS, 0, grid, t.count * SIDE * PITCH * 8, transpose_body, &t);
  return true;
}
