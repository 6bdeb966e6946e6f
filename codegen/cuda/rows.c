// Which reductions a MAP has, in which phases they are done, and which team does a row; see rows.h.
#include "codegen/cuda/rows.h"

#include <string.h>

enum { SHORT_SUM = 32, MANY_POINTS = 1 << 17, VECTOR_BYTES = 16, MOST_VECTOR = 8, MOST_SLOTS = 32, WARP = 32, SMALL_BLOCK = 256, LARGE_BLOCK = 1024, LONG_ROW = 1 << 16, PART = 1 << 14, MOST_PARTS = 256, FEW_ROWS = 128, MANY_ROWS = 1 << 14, FEWEST_LANES = 4 };

// ---- finding the reductions ----

typedef struct finder { fst_kernel *k; fst_rows *r; const bool *may_fault; fst_map seen; bool ok; } finder;

static bool depends_on_any(const fst_kernel *k, fst_kx x, const uint32_t *vars, uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    if (fst_kx_depends(k, x, vars[i])) return true;
  return false;
}

// The reductions around an expression, innermost first.
typedef struct enclosing { const fst_kx_data *reduce; const struct enclosing *around; } enclosing;

// What a side of a SELECT asks for is done whether it is chosen or not, where that cannot fault.
// Reductions inside reductions count as phases of their own where they do not depend on the variables of any around them.
static void find(finder *f, fst_kx x, bool lazy, const enclosing *inside) {
  const fst_kx_data d = *fst_kx_get(f->k, x);
  uint64_t known;
  if (d.kind < FST_KX_PRIM || !f->ok || fst_map_get(&f->seen, (uint64_t)x.id << 1 | lazy, &known)) return;
  fst_map_set(&f->seen, (uint64_t)x.id << 1 | lazy, 1);
  bool is_select = d.kind == FST_KX_PRIM && d.prim == FST_PRIM_SELECT;
  bool own = d.kind == FST_KX_REDUCE;
  for (const enclosing *e = inside; e && own; e = e->around) own = !depends_on_any(f->k, x, e->reduce->vars, e->reduce->var_count);
  const enclosing here = {&d, inside};
  for (uint32_t i = 0; i < d.var_count; i++) find(f, d.extents[i], lazy, inside);
  for (uint32_t i = 0; i < d.arg_count; i++) find(f, d.args[i], (lazy || (is_select && i > 0)) && !own, d.kind == FST_KX_REDUCE ? &here : inside);
  if (!own) return;
  for (uint32_t i = 0; i < f->r->reduce_count; i++)
    if (fst_kx_eq(f->r->reduces[i].reduce, x)) return;
  f->ok = f->r->reduce_count < FST_ROWS_REDUCES && !(lazy && f->may_fault[x.id]) && d.var_count;
  if (f->ok) f->r->reduces[f->r->reduce_count++] = (fst_row_reduce){.reduce = x};   // what it needs was found before
}

static bool extents_equal(const fst_kx *a, const fst_kx *b, uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    if (!fst_kx_eq(a[i], b[i])) return false;
  return true;
}

static bool needs(const fst_kernel *k, fst_kx x, fst_kx what, fst_map *seen) {
  const fst_kx_data *d = fst_kx_get(k, x);
  uint64_t known;
  if (fst_kx_eq(x, what)) return true;
  if (d->kind < FST_KX_PRIM || fst_map_get(seen, x.id, &known)) return false;
  fst_map_set(seen, x.id, 1);
  for (uint32_t i = 0; i < d->var_count; i++)
    if (needs(k, d->extents[i], what, seen)) return true;
  for (uint32_t i = 0; i < d->arg_count; i++)
    if (needs(k, d->args[i], what, seen)) return true;
  return false;
}

// A reduction stands in the phase after the last of those that it needs.
static bool plan_phases(const fst_kernel *k, fst_rows *r) {
  for (uint32_t i = 0; i < r->reduce_count; i++) {
    for (uint32_t j = 0; j < i; j++) {
      fst_map seen = {0};
      if (needs(k, fst_kx_get(k, r->reduces[i].reduce)->args[0], r->reduces[j].reduce, &seen) && r->reduces[i].phase <= r->reduces[j].phase)
        r->reduces[i].phase = r->reduces[j].phase + 1;
      fst_map_deinit(&seen);
    }
    if (r->reduces[i].phase + 1 > r->phase_count) r->phase_count = r->reduces[i].phase + 1;
  }
  return r->phase_count <= FST_ROWS_PHASES;
}

// ---- spaces ----

static void team_or_rest(fst_kernel *k, fst_rows *r) {
  const fst_kstmt *stmt = r->stmt;
  for (uint32_t i = 0; i < stmt->var_count; i++) {
    bool used = false;
    for (uint32_t j = 0; j < r->reduce_count && !used; j++) used = fst_kx_depends(k, r->reduces[j].reduce, stmt->vars[i]);
    fst_cu_space *to = used ? &r->teams : &r->rest;
    to->vars[to->count] = stmt->vars[i];
    to->extents[to->count++] = stmt->extents[i];
  }
  r->spread = r->rest.count > 0;
}

// Reductions over boxes of the same extents share one space; no variable of the statement may change an extent.
static bool plan_spaces(fst_kernel *k, fst_rows *r) {
  team_or_rest(k, r);
  for (uint32_t i = 0; i < r->reduce_count; i++) {
    const fst_kx_data d = *fst_kx_get(k, r->reduces[i].reduce);
    uint32_t s = 0;
    while (s < r->space_count && !(r->spaces[s].count == d.var_count && extents_equal(r->spaces[s].extents, d.extents, d.var_count))) s++;
    if (s == FST_ROWS_SPACES) return false;
    if (s == r->space_count) r->spaces[r->space_count++] = fst_cu_space_of(d.vars, d.extents, d.var_count);
    r->reduces[i].space = s;
    for (uint32_t v = 0; v < d.var_count; v++)
      if (depends_on_any(k, d.extents[v], r->stmt->vars, r->stmt->var_count)) return false;
  }
  // The stores' own space comes first, in their variables.
  for (uint32_t s = 0; s < r->space_count && r->spread && !r->shares_space; s++) {
    if (r->spaces[s].count != r->rest.count || !extents_equal(r->spaces[s].extents, r->rest.extents, r->rest.count)) continue;
    r->shares_space = true;
    r->spaces[s] = r->spaces[0];
    r->spaces[0] = r->rest;
    for (uint32_t i = 0; i < r->reduce_count; i++) r->reduces[i].space = r->reduces[i].space == s ? 0 : r->reduces[i].space == 0 ? s : r->reduces[i].space;
  }
  return true;
}

static void plan_bodies(fst_kernel *k, fst_rows *r) {
  fst_kx by[FST_KERNEL_MAX_DIMS];
  for (uint32_t i = 0; i < r->reduce_count; i++) {
    const fst_kx_data d = *fst_kx_get(k, r->reduces[i].reduce);
    const fst_cu_space *space = &r->spaces[r->reduces[i].space];
    for (uint32_t v = 0; v < space->count; v++)
      for (uint32_t id = 1; id < k->exprs.len; id++)
        if (k->exprs.data[id].kind == FST_KX_VAR && k->exprs.data[id].index == space->vars[v]) by[v] = (fst_kx){id};
    r->reduces[i].body = fst_kx_substitute(k, d.args[0], d.vars, by, d.var_count);
  }
}

// ---- what is read ----

static bool has_coefficient_one(fst_kernel *k, const fst_cu_accesses *loads, uint32_t var) {
  fst_kx coefficient;
  int64_t value;
  for (size_t i = 0; i < loads->len; i++)
    if (fst_cu_coefficient(k, loads->data[i].buffer, loads->data[i].indices, var, &coefficient) && fst_kx_is_int(k, coefficient, &value) && value == 1) return true;
  return false;
}

// The team variable along which rows lie side by side, -1: none, or the rows themselves are contiguous.
static int side_by_side(fst_kernel *k, const fst_rows *r, const fst_cu_accesses *loads) {
  int64_t extent;
  for (uint32_t s = 0; s < r->space_count; s++)
    if (has_coefficient_one(k, loads, r->spaces[s].vars[r->spaces[s].count - 1])) return -1;
  for (uint32_t i = r->teams.count; i-- > 0;)
    if (!(fst_kx_is_int(k, r->teams.extents[i], &extent) && extent < 8) && has_coefficient_one(k, loads, r->teams.vars[i])) return (int)i;
  return -1;
}

static void teams_move_last(fst_rows *r, uint32_t position) {
  uint32_t var = r->teams.vars[position];
  fst_kx extent = r->teams.extents[position];
  for (uint32_t i = position; i + 1 < r->teams.count; i++) {
    r->teams.vars[i] = r->teams.vars[i + 1];
    r->teams.extents[i] = r->teams.extents[i + 1];
  }
  r->teams.vars[r->teams.count - 1] = var;
  r->teams.extents[r->teams.count - 1] = extent;
}

// Passes that need a load: each phase, and the stores where they count through the same space.
static uint32_t passes_of(const fst_kernel *k, const fst_rows *r, fst_kx load) {
  uint32_t passes = 0;
  for (uint32_t phase = 0; phase < r->phase_count; phase++) {
    bool used = false;
    for (uint32_t i = 0; i < r->reduce_count && !used; i++) {
      fst_map seen = {0};
      used = r->reduces[i].phase == phase && !r->reduces[i].space && needs(k, r->reduces[i].body, load, &seen);
      fst_map_deinit(&seen);
    }
    passes += used;
  }
  bool stored = false;
  for (uint32_t i = 0; i < r->store_count && r->shares_space && !stored; i++) {
    fst_map seen = {0};
    stored = needs(k, r->stores[i].value, load, &seen);
    fst_map_deinit(&seen);
  }
  return passes + stored;
}

static fst_kx *row_roots(fst_kernel *k, const fst_rows *r, uint32_t *out_count) {
  fst_kx *roots = FST_NEW_ARRAY(&k->arena, fst_kx, r->reduce_count + r->store_count + 1);
  *out_count = 0;
  for (uint32_t i = 0; i < r->reduce_count; i++) roots[(*out_count)++] = r->reduces[i].body;
  for (uint32_t i = 0; i < r->store_count && r->shares_space; i++) roots[(*out_count)++] = r->stores[i].value;
  return roots;
}

static bool moves_along(const fst_kernel *k, const fst_rows *r, fst_kx load) {
  for (uint32_t s = 0; s < r->space_count; s++)
    if (fst_kx_depends(k, load, r->spaces[s].vars[r->spaces[s].count - 1])) return true;
  return false;
}

static bool space_has(const fst_cu_space *s, uint32_t var) {
  for (uint32_t i = 0; i < s->count; i++)
    if (s->vars[i] == var) return true;
  return false;
}

// Whether a pass over the space binds all that a load depends on: a reduction that is done in one thread binds more.
static bool is_of(const fst_kernel *k, const fst_rows *r, uint32_t space, fst_kx load) {
  for (uint32_t var = 0; var < k->vars.len; var++)
    if (!space_has(&r->teams, var) && !space_has(&r->spaces[space], var) && fst_kx_depends(k, load, var)) return false;
  return true;
}

static bool is_wide_somewhere(fst_kernel *k, fst_rows *r, const fst_cu_access *a) {
  for (uint32_t s = 0; s < r->space_count; s++) {
    const fst_cu_space *spaces[] = {&r->teams, &r->spaces[s]};
    if (is_of(k, r, s, a->load) && fst_cu_is_wide(k, spaces, 2, a, r->vector, &r->multiples)) return true;
  }
  return false;
}

static void plan_vector(fst_kernel *k, fst_rows *r, const fst_cu_accesses *loads) {
  const fst_cu_space *spaces[] = {&r->teams, &r->spaces[0]};
  size_t widest = 1;
  for (size_t i = 0; i < loads->len; i++) {
    size_t size = fst_dtype_size(k->buffers.data[loads->data[i].buffer].dtype);
    if (size > widest && moves_along(k, r, loads->data[i].load)) widest = size;
  }
  r->vector = (uint32_t)(VECTOR_BYTES / widest) < MOST_VECTOR ? (uint32_t)(VECTOR_BYTES / widest) : MOST_VECTOR;
  for (size_t i = 0; i < loads->len; i++)
    if (!loads->data[i].is_lazy && is_wide_somewhere(k, r, &loads->data[i])) fst_vec_push(&r->wide, loads->data[i].load);
  r->store_is_wide = FST_NEW_ARRAY(&k->arena, bool, r->store_count + 1);
  for (uint32_t i = 0; i < r->store_count && r->shares_space; i++) {
    fst_cu_access store = {r->stores[i].buffer, r->stores[i].indices, FST_NO_KX, false};
    r->store_is_wide[i] = fst_cu_is_wide(k, spaces, 2, &store, r->vector, &r->multiples);
  }
  if (!r->wide.len) r->vector = 1;
}

static void plan_kept(fst_kernel *k, fst_rows *r, const fst_cu_accesses *loads) {
  for (size_t i = 0; i < loads->len; i++) {
    bool moves = depends_on_any(k, loads->data[i].load, r->spaces[0].vars, r->spaces[0].count);
    bool computed = false;   // an index that needs a phase's result is not known when the row is read
    for (uint32_t d = 0; d < k->buffers.data[loads->data[i].buffer].rank; d++) computed |= fst_cu_reduces(k, loads->data[i].indices[d]);
    if (moves && !computed && is_of(k, r, 0, loads->data[i].load) && !loads->data[i].is_lazy && passes_of(k, r, loads->data[i].load) > 1) fst_vec_push(&r->kept, loads->data[i].load);
  }
}

// ---- launches ----

static void launch(fst_cu_kernel *m, fst_rows *r, fst_team team, uint32_t threads, uint32_t slots, fst_kx teams, fst_kx flag) {
  fst_kx one = fst_kx_int(m->sizes, 1), blocks = teams;
  r->team = team;
  r->threads = threads;
  r->slots = slots;
  if (team == FST_TEAM_WARP) blocks = fst_cu_ceil_div(m, teams, threads / r->lanes);
  if (team == FST_TEAM_COLUMN) blocks = fst_cu_ceil_div(m, teams, WARP);
  fst_kx grid[] = {flag.id ? fst_kx_prim2(m->sizes, FST_PRIM_MUL, blocks, flag) : blocks, one, one};
  fst_cu_launch_add(m, threads, 0, grid, fst_rows_shared(r), fst_rows_body, r);
}

// Rows that are long and few are cut. Only where there is one pass and one result: its parts can be combined.
static bool launch_parts(fst_cu_kernel *m, fst_rows *r, fst_kx teams, fst_kx length) {
  int64_t rows, known;
  if (r->phase_count > 1 || r->space_count > 1 || r->spread || !fst_kx_is_int(m->sizes, length, &known) || !fst_kx_is_int(m->sizes, teams, &rows)) return false;
  if (known < LONG_ROW || rows > FEW_ROWS) return false;
  r->parts = (uint32_t)(known / PART < MOST_PARTS ? known / PART : MOST_PARTS);
  fst_cu_scratch(m, fst_kx_int(m->sizes, rows * r->parts * r->reduce_count * FST_ROWS_PART_BYTES));
  launch(m, r, FST_TEAM_BLOCK, SMALL_BLOCK, 0, fst_kx_int(m->sizes, rows * r->parts), FST_NO_KX);
  r->joins = true;
  r->lanes = WARP;
  launch(m, r, FST_TEAM_WARP, SMALL_BLOCK, 0, teams, FST_NO_KX);
  return true;
}

// Teams by the length of rows: as few threads as keep a row in registers.
static void launch_rows(fst_cu_kernel *m, fst_rows *r, fst_kx teams, fst_kx length) {
  int64_t known = -1, below = -1;
  bool is_known = length.id && fst_kx_is_int(m->sizes, length, &known);
  // A row shorter than a warp's vectors: a warp takes several if there are many, else vectors are smaller, so that all lanes
  // have some of it.
  int64_t rows;
  r->lanes = WARP;
  bool many = fst_kx_is_int(m->sizes, teams, &rows) && rows >= MANY_ROWS;
  while (is_known && many && r->lanes > FEWEST_LANES && known <= (int64_t)r->lanes / 2 * r->vector) r->lanes /= 2;
  while (is_known && r->vector > 1 && known < (int64_t)r->lanes * r->vector) r->vector /= 2;
  // The large block has 64 registers for each thread, so it keeps half as much.
  const struct { fst_team team; uint32_t threads, lanes, part; } sizes[] = {
      {FST_TEAM_WARP, SMALL_BLOCK, r->lanes, 1}, {FST_TEAM_BLOCK, SMALL_BLOCK, SMALL_BLOCK, 1}, {FST_TEAM_BLOCK, LARGE_BLOCK, LARGE_BLOCK, 2}};
  uint32_t slots = r->kept.len ? MOST_SLOTS / (uint32_t)r->kept.len : MOST_SLOTS;
  if (slots < 8) r->kept.len = 0;
  if (slots < 8) slots = MOST_SLOTS;
  slots = (slots + 15) / 16 * 16;
  if (length.id && launch_parts(m, r, teams, length)) return;
  if (!length.id) {
    launch(m, r, FST_TEAM_BLOCK, SMALL_BLOCK, 0, teams, FST_NO_KX);
    return;
  }
  for (int i = 0; i < 3; i++) {
    uint32_t needed = slots / sizes[i].part;
    int64_t most = (int64_t)sizes[i].lanes * needed;
    fst_kx flag = FST_NO_KX;
    if (is_known && (known > most || known <= below)) continue;
    if (!is_known) {
      flag = fst_cu_at_most(m, length, most);
      if (below >= 0) flag = fst_kx_prim2(m->sizes, FST_PRIM_SUB, flag, fst_cu_at_most(m, length, below));
    }
    if (is_known) needed = (uint32_t)((known + sizes[i].lanes * r->vector - 1) / (sizes[i].lanes * r->vector) * r->vector);
    launch(m, r, sizes[i].team, sizes[i].threads, r->kept.len ? needed ? needed : r->vector : 0, teams, flag);
    below = most;
    if (is_known) return;
  }
  if (is_known && known <= below) return;
  fst_kx flag = is_known ? FST_NO_KX : fst_kx_prim2(m->sizes, FST_PRIM_SUB, fst_kx_int(m->sizes, 1), fst_cu_at_most(m, length, below));
  launch(m, r, FST_TEAM_BLOCK, LARGE_BLOCK, 0, teams, flag);
}

static bool known_points(const fst_kernel *k, const fst_cu_space *s, int64_t *points) {
  int64_t extent;
  *points = 1;
  for (uint32_t i = 0; i < s->count; i++) {
    if (!fst_kx_is_int(k, s->extents[i], &extent)) return false;
    *points *= extent;
  }
  return true;
}

static bool is_worth_it(const fst_kernel *k, const fst_rows *r) {
  int64_t length = 0, points, own;
  bool known = true, points_known = known_points(k, &r->teams, &points);
  for (uint32_t s = 0; s < r->space_count; s++) {
    known &= known_points(k, &r->spaces[s], &own);
    if (known) length += own;
  }
  if (known && length <= (r->spread ? 4 : SHORT_SUM)) return false;
  return r->spread || !points_known || points < MANY_POINTS || !known || length > 4096;
}

static bool plan(fst_cu_kernel *m, fst_rows *r) {
  fst_arena arena;
  fst_arena_init(&arena);
  fst_cu facts = {.k = m->k, .arena = &arena};
  fst_cu_begin(&facts);
  finder f = {.k = m->k, .r = r, .may_fault = facts.may_fault, .ok = true};
  for (uint32_t i = 0; i < r->store_count; i++) find(&f, r->stores[i].value, false, NULL);
  fst_map_deinit(&f.seen);
  fst_cu_end(&facts);
  fst_arena_deinit(&arena);
  if (!f.ok || !r->reduce_count || !plan_phases(m->k, r) || !plan_spaces(m->k, r) || !is_worth_it(m->k, r)) return false;
  plan_bodies(m->k, r);
  return true;
}

static void plan_merge(fst_kernel *k, fst_rows *r) {
  fst_kx *roots = FST_NEW_ARRAY(&k->arena, fst_kx, r->reduce_count + r->store_count + 1);
  for (uint32_t s = 0; s < r->space_count; s++) {
    uint32_t count = 0, stores = !s && r->shares_space ? r->store_count : 0;
    for (uint32_t i = 0; i < r->reduce_count; i++)
      if (r->reduces[i].space == s) roots[count++] = r->reduces[i].body;
    for (uint32_t i = 0; i < stores; i++) roots[count++] = r->stores[i].value;
    fst_cu_collapse(k, r->spaces[s].vars, r->spaces[s].extents, r->spaces[s].count, roots, count, r->stores, stores, r->spaces[s].merged);
  }
}

// The longest of the spaces: what the size of a team goes by. None where the host cannot know.
static fst_kx row_length(fst_cu_kernel *m, const fst_rows *r) {
  fst_kx longest = FST_NO_KX;
  for (uint32_t s = 0; s < r->space_count; s++) {
    fst_kx points = fst_cu_points(m, r->spaces[s].extents, r->spaces[s].count);
    if (!points.id) return FST_NO_KX;
    longest = longest.id ? fst_kx_prim2(m->sizes, FST_PRIM_MAX, longest, points) : points;
  }
  return longest;
}

static void schedule(fst_cu_kernel *m, fst_rows *r, fst_kx teams) {
  fst_cu_accesses loads = {0};
  uint32_t root_count;
  fst_kx *roots = row_roots(m->k, r, &root_count);
  plan_merge(m->k, r);
  fst_cu_loads(m->k, roots, root_count, &loads);
  plan_kept(m->k, r, &loads);
  int beside = side_by_side(m->k, r, &loads);
  if (beside >= 0) {
    teams_move_last(r, (uint32_t)beside);
    r->vector = 1;
    r->store_is_wide = FST_NEW_ARRAY(&m->k->arena, bool, r->store_count + 1);
    launch(m, r, FST_TEAM_COLUMN, SMALL_BLOCK, 0, teams, FST_NO_KX);
  } else {
    plan_vector(m->k, r, &loads);
    launch_rows(m, r, teams, row_length(m, r));
  }
  fst_vec_free(&loads);
}

bool fst_cu_rows(fst_cu_kernel *m, const fst_kstmt *stmt) {
  fst_rows r = {.stmt = stmt, .stores = stmt->stores, .store_count = stmt->store_count};
  if (stmt->kind != FST_KSTMT_MAP || fst_cu_box(m->k, stmt, stmt->var_count) < stmt->var_count || !plan(m, &r)) return false;
  fst_kx teams = fst_cu_points(m, r.teams.extents, r.teams.count), rest = fst_cu_points(m, r.rest.extents, r.rest.count);
  if (!teams.id || !rest.id) return false;
  schedule(m, &r, teams);
  fst_vec_free(&r.kept);
  fst_vec_free(&r.wide);
  fst_vec_free(&r.multiples);
  return true;
}
