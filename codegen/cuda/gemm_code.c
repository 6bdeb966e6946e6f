// The code of a block's tile; see gemm.h.
//
// Shared memory holds two tiles of each side. For the FMA units a tile is `depth` lines of rows (or columns), so that a thread
// reads four neighbours at once. For the tensor cores it lies as it lies in memory, and ldmatrix turns it if need be.
#include "codegen/cuda/gemm.h"

enum { PAD_FMA = 4, PAD_TENSOR = 8, WARP_ROWS = 2, WARP_COLUMNS = 4 };

typedef struct coder {
  fst_cu *c;
  fst_gemm g;
} coder;

static bool by_depth(const coder *o, const fst_gemm_side *side) { return !o->g.tensor || !side->along_depth; }  // lines of one depth

static uint32_t line_of(const fst_gemm *g, const fst_gemm_side *side) {
  if (!g->tensor) return side->tile + PAD_FMA;
  return (side->along_depth ? g->depth_tile : side->tile) + PAD_TENSOR;
}

static uint32_t side_elements(const fst_gemm *g, const fst_gemm_side *side) {
  uint32_t lines = g->tensor && side->along_depth ? side->tile : g->depth_tile;
  return lines * line_of(g, side);
}

uint32_t fst_gemm_shared(const fst_gemm *g) {
  return 2 * (side_elements(g, &g->left) + side_elements(g, &g->right)) * (uint32_t)fst_dtype_size(g->left.dtype);
}

// ---- from memory to registers to shared memory ----

static uint32_t chunks_of(const coder *o, const fst_gemm_side *side) { return side->tile * o->g.depth_tile / side->vector / o->g.threads; }

// Where chunk number `s` of this thread stands in the tile: `line` across, `first` along the direction of memory.
static void chunk_place(coder *o, const fst_gemm_side *side) {
  uint32_t along = (side->along_depth ? o->g.depth_tile : side->tile) / side->vector;
  fst_cu_line(o->c, "const int chunk = (int)threadIdx.x + s * %u, first = chunk %% %u * %u, line = chunk / %u;", o->g.threads, along, side->vector, along);
}

static void chunk_scalars(coder *o, const fst_gemm_side *side, const char *next, const char *origin) {
  fst_cu *c = o->c;
  size_t scope = fst_cu_scope(c);
  const char *type = fst_cu_type(side->dtype), *name = fst_cu_name(c, "value");
  fst_cu_line(c, "#pragma unroll");
  fst_cu_open(c, "for (int e = 0; e < %u; ++e)", side->vector);
  fst_cu_line(c, "const i64 own = %s + %s, deep = k0 + %s;", origin, side->along_depth ? "line" : "first + e", side->along_depth ? "first + e" : "line");
  fst_cu_line(c, "%s %s = 0;", type, name);
  fst_cu_open(c, "if (own < %s && deep < k_end)", side->own.total);
  fst_cu_space_bind(c, &side->own, "own");
  fst_cu_space_bind(c, &side->depth, "deep");
  fst_cu_line(c, "%s = %s;", name, fst_cu_expr(c, side->value));
  fst_cu_space_unbind(c, &side->own);
  fst_cu_space_unbind(c, &side->depth);
  fst_cu_close(c);
  fst_cu_forget(c, scope);
  fst_cu_line(c, "%s[s].e[e] = %s;", next, name);
  fst_cu_close(c);
}

static void chunk_vector(coder *o, const fst_gemm_side *side, const char *next, const char *origin) {
  fst_cu *c = o->c;
  const fst_kx_data *d = fst_cu_get(c, side->wide);
  size_t scope = fst_cu_scope(c);
  const char *type = fst_cu_vector_type(c, d->index, side->vector);
  fst_cu_line(c, "const i64 own = %s + %s, deep = k0 + %s;", origin, side->along_depth ? "line" : "first", side->along_depth ? "first" : "line");
  fst_cu_line(c, "%s t = {};", type);
  fst_cu_open(c, "if (own < %s && deep < k_end)", side->own.total);
  fst_cu_space_bind(c, &side->own, "own");
  fst_cu_space_bind(c, &side->depth, "deep");
  fst_cu_line(c, "t = *(const %s *)&%s;", type, fst_cu_element(c, d->index, d->args));
  fst_cu_space_unbind(c, &side->own);
  fst_cu_space_unbind(c, &side->depth);
  fst_cu_close(c);
  fst_cu_forget(c, scope);
  fst_cu_line(c, "%s[s] = t;", next);
}

typedef void (*chunk_reader)(coder *o, const fst_gemm_side *side, const char *next, const char *origin);

static void chunks_read(coder *o, const fst_gemm_side *side, const char *next, const char *origin, chunk_reader reader) {
  fst_cu_line(o->c, "#pragma unroll");
  fst_cu_open(o->c, "for (int s = 0; s < %u; ++s)", chunks_of(o, side));
  chunk_place(o, side);
  reader(o, side, next, origin);
  fst_cu_close(o->c);
}

// The choice stands around the chunks, so that all of their reads are on their way before the first is waited for.
static void side_read(coder *o, const fst_gemm_side *side, const char *next, const char *origin, const char *is_wide) {
  fst_cu *c = o->c;
  if (!side->wide.id) {
    chunks_read(o, side, next, origin, chunk_scalars);
    return;
  }
  fst_cu_open(c, "if (%s)", is_wide);
  chunks_read(o, side, next, origin, chunk_vector);
  c->depth--;
  fst_cu_open(c, "} else");
  chunks_read(o, side, next, origin, chunk_scalars);
  fst_cu_close(c);
}

static void side_write(coder *o, const fst_gemm_side *side, const char *next, const char *tile, const char *buffer) {
  fst_cu *c = o->c;
  uint32_t line = line_of(&o->g, side);
  fst_cu_line(c, "#pragma unroll");
  fst_cu_open(c, "for (int s = 0; s < %u; ++s)", chunks_of(o, side));
  chunk_place(o, side);
  const char *start = fst_cu_format(c, "%s + %s * %u", tile, buffer, side_elements(&o->g, side));
  // A chunk lies along the lines, or across them.
  if (by_depth(o, side) && side->along_depth) {
    for (uint32_t e = 0; e < side->vector; e++) fst_cu_line(c, "(%s)[(first + %u) * %u + line] = %s[s].e[%u];", start, e, line, next, e);
  } else {
    fst_cu_line(c, "*(fst_vec<%s, %u> *)((%s) + line * %u + first) = %s[s];", fst_cu_type(side->dtype), side->vector, start, line, next);
  }
  fst_cu_close(c);
}

// ---- the FMA units: a thread has `reach` by `reach` sums, in groups of four neighbours ----

static uint32_t reach_of(const coder *o) { return o->g.left.tile / 16; }

static const char *place_fma(coder *o, const char *index, const char *thread) {
  uint32_t groups = reach_of(o) / 4;
  return fst_cu_format(o->c, "%s / 4 * %u + %s * 4 + %s %% 4", index, o->g.left.tile / groups, thread, index);
}

static void operands_fma(coder *o, const char *into, const char *tile, const fst_gemm_side *side, const char *thread) {
  uint32_t groups = reach_of(o) / 4, apart = side->tile / groups;
  const char *type = fst_cu_type(o->g.dtype);
  for (uint32_t i = 0; i < groups; i++)
    fst_cu_line(o->c, "%s[%u] = *(const fst_vec<%s, 4> *)(%s + now * %u + kk * %u + %u + %s * 4);", into, i, type, tile, side_elements(&o->g, side), line_of(&o->g, side), i * apart, thread);
}

static void multiply_fma(coder *o) {
  fst_cu *c = o->c;
  uint32_t reach = reach_of(o);
  fst_cu_line(c, "#pragma unroll");
  fst_cu_open(c, "for (int kk = 0; kk < %u; ++kk)", o->g.depth_tile);
  fst_cu_line(c, "fst_vec<%s, 4> a[%u], b[%u];", fst_cu_type(o->g.dtype), reach / 4, reach / 4);
  operands_fma(o, "a", "left", &o->g.left, "ty");
  operands_fma(o, "b", "right", &o->g.right, "tx");
  fst_cu_line(c, "#pragma unroll");
  fst_cu_open(c, "for (int i = 0; i < %u; ++i)", reach);
  fst_cu_line(c, "#pragma unroll");
  fst_cu_line(c, "for (int j = 0; j < %u; ++j) acc[i][j] = fst_fma(a[i / 4].e[i %% 4], b[j / 4].e[j %% 4], acc[i][j]);", reach);
  fst_cu_close(c);
  fst_cu_close(c);
}

// ---- the tensor cores: a warp has 16 by 8 tiles of sums ----

static uint32_t tensor_rows(const coder *o) { return o->g.left.tile / WARP_ROWS / 16; }
static uint32_t tensor_columns(const coder *o) { return o->g.right.tile / WARP_COLUMNS / 8; }

// Four 8 by 8 matrices: each lane gives the address of one line of one of them.
static void fragment(coder *o, const fst_gemm_side *side, const char *into, const char *tile, const char *origin, bool is_left) {
  uint32_t line = line_of(&o->g, side);
  // Rows: matrices 1 and 3 lie 8 rows on, 2 and 3 lie 8 deeper; columns the other way round.
  const char *own_step = is_left ? "(lane / 8 % 2 * 8)" : "(lane / 16 * 8)", *deep_step = is_left ? "(lane / 16 * 8)" : "(lane / 8 % 2 * 8)";
  const char *start = fst_cu_format(o->c, "%s + now * %u", tile, side_elements(&o->g, side));
  if (side->along_depth)
    fst_cu_line(o->c, "fst_ldmatrix(%s, %s + (%s + %s + lane %% 8) * %u + kk + %s);", into, start, origin, own_step, line, deep_step);
  else
    fst_cu_line(o->c, "fst_ldmatrix_turned(%s, %s + (kk + %s + lane %% 8) * %u + %s + %s);", into, start, deep_step, line, origin, own_step);
}

static void multiply_tensor(coder *o) {
  fst_cu *c = o->c;
  uint32_t rows = tensor_rows(o), columns = tensor_columns(o);
  fst_cu_line(c, "#pragma unroll");
  fst_cu_open(c, "for (int kk = 0; kk < %u; kk += 16)", o->g.depth_tile);
  fst_cu_line(c, "u32 a[%u][4], b[%u][4];", rows, columns / 2);
  fst_cu_line(c, "#pragma unroll");
  fst_cu_open(c, "for (int i = 0; i < %u; ++i)", rows);
  fragment(o, &o->g.left, "a[i]", "left", fst_cu_format(c, "ty * %u + i * 16", rows * 16), true);
  fst_cu_close(c);
  fst_cu_line(c, "#pragma unroll");
  fst_cu_open(c, "for (int j = 0; j < %u; ++j)", columns / 2);
  fragment(o, &o->g.right, "b[j]", "right", fst_cu_format(c, "tx * %u + j * 16", columns * 8), false);
  fst_cu_close(c);
  fst_cu_line(c, "#pragma unroll");
  fst_cu_open(c, "for (int i = 0; i < %u; ++i)", rows);
  fst_cu_line(c, "#pragma unroll");
  fst_cu_line(c, "for (int j = 0; j < %u; ++j) fst_mma_%s(acc[i][j], a[i], b[j / 2] + j %% 2 * 2);", columns, fst_dtype_name(o->g.left.dtype));
  fst_cu_close(c);
  fst_cu_close(c);
}

// ---- what happens with the sums ----

static const char *partial(coder *o, const char *part) {
  const char *rows = o->g.left.own.total, *columns = o->g.right.own.total;
  return fst_cu_format(o->c, "((%s *)scratch)[(((%u + %s) * (%s) + batch) * (%s) + m) * (%s) + n]", fst_cu_type(o->g.dtype), o->g.first_part, part, o->g.batch.total, rows, columns);
}

// The stores of a point whose sums are remembered.
static void stores(coder *o) {
  fst_cu *c = o->c;
  const fst_kstmt *stmt = o->g.stmt;
  const char **values = FST_NEW_ARRAY(c->arena, const char *, stmt->store_count + 1);
  fst_cu_space_bind(c, &o->g.right.own, "n");
  for (uint32_t i = 0; i < stmt->store_count; i++) values[i] = fst_cu_expr(c, stmt->stores[i].value);
  for (uint32_t i = 0; i < stmt->store_count; i++) fst_cu_store(c, stmt->stores[i].buffer, stmt->stores[i].indices, values[i]);
  fst_cu_space_unbind(c, &o->g.right.own);
}

static void point(coder *o, const char *sum) {
  if (o->g.leaves) {
    fst_cu_line(o->c, "%s = %s;", partial(o, "part"), sum);
    return;
  }
  size_t scope = fst_cu_scope(o->c);
  fst_cu_remember(o->c, o->g.sum, sum);
  stores(o);
  fst_cu_forget(o->c, scope);
}

static void epilogue(coder *o, uint32_t rows, const char *row, uint32_t columns, const char *column, const char *sum) {
  fst_cu *c = o->c;
  size_t scope = fst_cu_scope(c);
  fst_cu_line(c, "#pragma unroll");
  fst_cu_open(c, "for (int i = 0; i < %u; ++i)", rows);
  fst_cu_line(c, "const i64 m = m0 + %s;", row);
  fst_cu_open(c, "if (m < %s)", o->g.left.own.total);
  fst_cu_space_bind(c, &o->g.left.own, "m");
  fst_cu_line(c, "#pragma unroll");
  fst_cu_open(c, "for (int j = 0; j < %u; ++j)", columns);
  fst_cu_line(c, "const i64 n = n0 + %s;", column);
  fst_cu_open(c, "if (n < %s)", o->g.right.own.total);
  point(o, sum);
  fst_cu_close(c);
  fst_cu_close(c);
  fst_cu_space_unbind(c, &o->g.left.own);
  fst_cu_close(c);
  fst_cu_close(c);
  fst_cu_forget(c, scope);
}

// ---- the whole ----

static bool is_cut(const coder *o) { return o->g.parts > 1; }

static void place_block(coder *o) {
  fst_cu *c = o->c;
  fst_cu_line(c, "FST_SHARED(shared);");
  fst_cu_line(c, "%s *const left = (%s *)shared, *const right = left + %u;", fst_cu_type(o->g.left.dtype), fst_cu_type(o->g.left.dtype), 2 * side_elements(&o->g, &o->g.left));
  fst_cu_line(c, "const i64 tiles_m = (%s + %u) / %u, tiles_n = (%s + %u) / %u;", o->g.left.own.total, o->g.left.tile - 1, o->g.left.tile, o->g.right.own.total, o->g.right.tile - 1, o->g.right.tile);
  fst_cu_line(c, "const i64 block = blockIdx.x%s, above = fst_quotient(block, tiles_n), batch = fst_quotient(above, tiles_m);", is_cut(o) ? fst_cu_format(c, " / %u", o->g.parts) : "");
  fst_cu_line(c, "const i64 n0 = (block - above * tiles_n) * %u, m0 = (above - batch * tiles_m) * %u;", o->g.right.tile, o->g.left.tile);
  if (is_cut(o)) {
    fst_cu_line(c, "const i64 part = blockIdx.x %% %u, length = (%s + %u) / %u * %u;", o->g.parts, o->g.depth.total, o->g.parts * o->g.depth_tile - 1, o->g.parts * o->g.depth_tile, o->g.depth_tile);
    fst_cu_line(c, "const i64 k_begin = part * length, k_end = fst_min(k_begin + length, %s);", o->g.depth.total);
  } else {
    fst_cu_line(c, "const i64 k_begin = 0, k_end = %s;", o->g.depth.total);
    if (o->g.leaves) fst_cu_line(c, "const int part = 0;");
  }
  fst_cu_space_bind(c, &o->g.batch, "batch");
  if (!o->g.tensor) fst_cu_line(c, "const int tx = threadIdx.x %% 16, ty = threadIdx.x / 16;");
  else fst_cu_line(c, "const int lane = threadIdx.x %% 32, tx = threadIdx.x / 32 %% %d, ty = threadIdx.x / 32 / %d;", WARP_COLUMNS, WARP_COLUMNS);
}

static const char *wide_flag(coder *o, const fst_gemm_side *side, const char *name) {
  fst_cu *c = o->c;
  if (!side->wide.id) return "false";
  bool *buffers = FST_NEW_ARRAY(c->arena, bool, c->k->buffers.len + 1);
  buffers[fst_cu_get(c, side->wide)->index] = true;
  const fst_cu_space *along = side->along_depth ? &side->depth : &side->own;
  fst_cu_line(c, "const bool %s = %s && %s %% %u == 0;", name, fst_cu_wide_condition(c, &side->multiples, buffers, side->vector), along->sizes[along->count - 1], side->vector);
  return name;
}

static void declare_registers(coder *o) {
  fst_cu *c = o->c;
  const char *type = fst_cu_type(o->g.dtype);
  if (o->g.tensor) fst_cu_line(c, "float acc[%u][%u][4] = {};", tensor_rows(o), tensor_columns(o));
  else fst_cu_line(c, "%s acc[%u][%u] = {};", type, reach_of(o), reach_of(o));
  const char *element = fst_cu_type(o->g.left.dtype);
  fst_cu_line(c, "fst_vec<%s, %u> next_left[%u];", element, o->g.left.vector, chunks_of(o, &o->g.left));
  fst_cu_line(c, "fst_vec<%s, %u> next_right[%u];", element, o->g.right.vector, chunks_of(o, &o->g.right));
}

static void read_both(coder *o, const char *wide_left, const char *wide_right) {
  side_read(o, &o->g.left, "next_left", "m0", wide_left);
  side_read(o, &o->g.right, "next_right", "n0", wide_right);
}

static void write_both(coder *o, const char *buffer) {
  side_write(o, &o->g.left, "next_left", "left", buffer);
  side_write(o, &o->g.right, "next_right", "right", buffer);
}

void fst_gemm_body(fst_cu *c, const void *context) {
  coder o = {.c = c, .g = *(const fst_gemm *)context};
  fst_cu_space_declare(c, &o.g.batch);
  fst_cu_space_declare(c, &o.g.left.own);
  fst_cu_space_declare(c, &o.g.right.own);
  fst_cu_space_declare(c, &o.g.depth);
  fst_cu_space_declare(c, &o.g.left.depth);
  fst_cu_space_declare(c, &o.g.right.depth);
  place_block(&o);
  const char *wide_left = wide_flag(&o, &o.g.left, "wide_left"), *wide_right = wide_flag(&o, &o.g.right, "wide_right");
  declare_registers(&o);
  fst_cu_line(c, "int now = 0;");
  fst_cu_line(c, "i64 k0 = k_begin;");
  read_both(&o, wide_left, wide_right);
  write_both(&o, "0");
  fst_cu_line(c, "__syncthreads();");
  fst_cu_open(c, "while (k0 < k_end)");
  fst_cu_line(c, "k0 += %u;", o.g.depth_tile);
  fst_cu_line(c, "const bool more = k0 < k_end;");
  fst_cu_open(c, "if (more)");
  read_both(&o, wide_left, wide_right);
  fst_cu_close(c);
  if (o.g.tensor) multiply_tensor(&o);
  else multiply_fma(&o);
  fst_cu_open(c, "if (more)");
  write_both(&o, "(1 - now)");
  fst_cu_close(c);
  fst_cu_line(c, "__syncthreads();");
  fst_cu_line(c, "now = 1 - now;");
  fst_cu_close(c);
  if (o.g.tensor) {
    epilogue(&o, 2 * tensor_rows(&o), fst_cu_format(c, "ty * %u + i / 2 * 16 + i %% 2 * 8 + lane / 4", tensor_rows(&o) * 16), 2 * tensor_columns(&o),
             fst_cu_format(c, "tx * %u + j / 2 * 8 + lane %% 4 * 2 + j %% 2", tensor_columns(&o) * 8), "acc[i / 2][j / 2][i % 2 * 2 + j % 2]");
  } else {
    epilogue(&o, reach_of(&o), place_fma(&o, "i", "ty"), reach_of(&o), place_fma(&o, "j", "tx"), "acc[i][j]");
  }
  fst_cu_space_unbind(c, &o.g.batch);
}

void fst_gemm_join(fst_cu *c, const void *context) {
  const fst_gemms *all = context;
  coder o = {.c = c, .g = all->items[0]};
  fst_cu_space_declare(c, &o.g.batch);
  fst_cu_space_declare(c, &o.g.left.own);
  fst_cu_space_declare(c, &o.g.right.own);
  const char *rows = o.g.left.own.total, *columns = o.g.right.own.total;
  fst_cu_line(c, "const i64 at = (i64)blockIdx.x * %d + threadIdx.x;", FST_GEMM_JOIN_THREADS);
  size_t scope = fst_cu_scope(c);
  fst_cu_open(c, "if (at < %s * %s * %s)", o.g.batch.total, rows, columns);
  fst_cu_line(c, "const i64 row = fst_quotient(at, %s), n = at - row * %s, batch = fst_quotient(row, %s), m = row - batch * %s;", columns, columns, rows, rows);
  for (uint32_t i = 0; i < all->count; i++) {
    const char *sum = fst_cu_name(c, "sum");
    o.g.first_part = all->items[i].first_part;
    fst_cu_line(c, "%s %s = 0;", fst_cu_type(o.g.dtype), sum);
    fst_cu_line(c, "#pragma unroll");
    fst_cu_line(c, "for (int part = 0; part < %u; ++part) %s = %s + %s;", all->items[i].parts, sum, sum, partial(&o, "part"));
    fst_cu_remember(c, all->items[i].sum, sum);
  }
  fst_cu_space_bind(c, &o.g.batch, "batch");
  fst_cu_space_bind(c, &o.g.left.own, "m");
  stores(&o);
  fst_cu_space_unbind(c, &o.g.left.own);
  fst_cu_space_unbind(c, &o.g.batch);
  fst_cu_close(c);
  fst_cu_forget(c, scope);
}
