// How a statement with sums of products is tiled. A plan is made from the kernel alone; nothing is emitted.
//
// Roles of the statement's variables. The lane variable runs over columns: vectors of neighbouring columns make
// a panel. Each product is split by it into a right side (all factors that depend on it, read as vectors) and a left
// side (the others, read as scalars and spread). The row variable is one that no right side depends on, so that
// a panel's vectors serve several rows. Variables that right sides do depend on run outside the panels, the
// others between panels and rows. Merged variables stand at 0 (see fst_emit_collapse).
#ifndef FST_CODEGEN_CONTRACT_PLAN_H
#define FST_CODEGEN_CONTRACT_PLAN_H

#include "codegen/llvm/emit.h"

enum { FST_PLAN_PRODUCTS = 24, FST_PLAN_FACTORS = 6, FST_PLAN_LEAVES = 6, FST_PLAN_DEPTH = 6 };

// Columns of a packed panel, and the part of the second cache that the next one may take.
enum { FST_PACK_PANEL = 64 };
#define FST_AHEAD_SHARE 0.375

typedef enum { FST_LEAF_MEMORY, FST_LEAF_PACKED, FST_LEAF_COPY, FST_LEAF_STAGED } fst_leaf_kind;

// An expression of an operand that is read by walking a pointer.
typedef struct fst_leaf {
  fst_leaf_kind kind;
  fst_kx expr;           // a LOAD; none where the whole side was computed beforehand (COPY, STAGED)
  uint32_t number;       // PACKED: in fst_emit's packs; COPY: in the plan's copies
} fst_leaf;

// Operand of one side: the product of its factors, 0 where the mask does not hold.
typedef struct fst_side {
  fst_kx factors[FST_PLAN_FACTORS];
  uint32_t count;
  fst_kx mask;           // none: always
  fst_leaf leaves[FST_PLAN_LEAVES];
  uint32_t leaf_count;
} fst_side;

typedef struct fst_depth { uint32_t var; int64_t count; fst_kx extent; } fst_depth;  // count -1: ask extent

typedef struct fst_product {
  fst_kx sum;
  fst_dtype dtype;
  fst_side left, right;
  fst_depth depth[FST_PLAN_DEPTH];  // summed variables, outermost first
  uint32_t depth_count;
  uint32_t still[FST_PLAN_DEPTH], still_count;  // summed variables that stand at 0
  uint32_t group;                   // products of one group share their loops
  uint32_t head;                    // the product whose accumulators this one adds to: itself, or one that it is only added to
  uint64_t staged;                  // where in scratch a STAGED right side has its panel
} fst_product;

// A side computed once into scratch memory, for all values that its indices take. Each index moves by whole numbers with
// some of the variables that run inside the copy's place, so that the copy is addressed by the same numbers. In the copy of a right
// side the lane variable moves by single elements: where it moves its index by more, say 2, what it reaches lies in one part and what
// lies between in another (`split` parts, `part` elements each).
enum { FST_COPY_DIMS = 8, FST_COPY_MOVERS = 16, FST_SPLIT_TAPS = 8 };
typedef struct fst_copy_mover { uint32_t var; int64_t extent; int64_t step[FST_COPY_DIMS]; int64_t pitch; } fst_copy_mover;
typedef struct fst_copy {
  uint32_t product;       // whose side
  bool right;
  uint32_t level;         // how many of the outer variables' loops it stands in
  fst_dtype dtype;
  uint32_t dim_count;
  fst_kx index[FST_COPY_DIMS];
  uint32_t driver[FST_COPY_DIMS];   // the mover that alone takes the index through all its values
  int64_t size[FST_COPY_DIMS], pitch[FST_COPY_DIMS];  // values, and elements of the copy between two
  int64_t split, part;    // of the last dim; 1: not split
  uint32_t mover_count;
  fst_copy_mover movers[FST_COPY_MOVERS];
  int64_t elements;
  uint64_t offset;        // bytes from the start of scratch
} fst_copy;

typedef struct fst_plan {
  const fst_kstmt *stmt;
  const fst_target *target;      // what it is planned for
  const fst_kx *roots;
  uint32_t root_count;
  bool merged[FST_KERNEL_MAX_DIMS];
  int lane, row;                 // positions in the statement's variables; row -1: none
  // A second row variable, -1: none. Rows are then counted through both, `row_extent` of the first to one of it: a
  // short row variable alone would leave most tiles incomplete.
  int row2;
  int64_t row_extent;
  bool window;                   // right sides slide along with the rows (window.c)
  uint32_t outer[FST_KERNEL_MAX_DIMS], outer_count, inner[FST_KERNEL_MAX_DIMS], inner_count;
  fst_product products[FST_PLAN_PRODUCTS];
  uint32_t product_count, group_count, group_size;  // products of the largest group
  uint32_t lefts, rights;        // sides that differ among these
  uint32_t group_heads;          // most that have accumulators of their own in one group
  uint32_t within;               // how many of the outer variables, the last ones, run inside copies of right sides
  fst_copy copies[2 * FST_PLAN_PRODUCTS];
  uint32_t copy_count;
  int64_t columns, rows;         // -1: known at run time
  uint32_t lanes, vectors, tile_rows;
  bool packed;                   // a right side is constant, and the second cache holds two of its panels
  bool far_constants;            // what finishes the sums reads its constants from memory
  bool conditional;              // some extent may be zero
} fst_plan;

typedef struct fst_panel {
  uint32_t vectors;
  LLVMValueRef column, number;   // its first column, and which panel it is
  LLVMValueRef left_columns;     // columns from there to the end where the last vector is not whole, else NULL
} fst_panel;

bool fst_plan_make(fst_emit *e, const fst_kstmt *stmt, fst_plan *out);
// Extent of a statement variable with those merged into it, -1 when not constant.
int64_t fst_plan_extent(const fst_emit *e, const fst_plan *p, uint32_t position);
// Whether some right (or left) side depends on a variable.
bool fst_plan_depends(const fst_emit *e, const fst_plan *p, bool right, uint32_t var);
// Products of one group share their loops; those that their operands' forms have parted get loops of their own.
void fst_plan_regroup(fst_plan *p);
// One operand, up to the names of the variables summed over.
bool fst_plan_same_side(const fst_emit *e, const fst_product *a, const fst_product *b, bool right);
double fst_plan_steps(const fst_product *product);  // of its sum, guessed where known at run time only
// cost.c: chooses tile and groups of products for a plan whose roles are settled; the cycles of its loops over the sums.
// Whether the right side is a constant, packed for the lanes.
bool fst_plan_packs_right(const fst_emit *e, const fst_plan *p);
double fst_tile_choose(const fst_emit *e, fst_plan *p);
double fst_plan_other_cycles(fst_emit *e, const fst_plan *p);  // of operands and results
// operand.c: decides how each operand is read; may add to e->packs. False: not in a way that tiles gain from.
bool fst_plan_operands(fst_emit *e, fst_plan *p);
// copy.c: copies of the sides of a product, if their forms allow one. The outer variables that move a copy of a right
// side run inside it: fst_copy_outer sets them apart, once, before any copy is made.
void fst_copy_outer(const fst_emit *e, fst_plan *p);
bool fst_copy_make(fst_emit *e, fst_plan *p, uint32_t product, bool right);
// Whether an index that the lanes or the sum move is moved by `var` as well: a row of an image, and not the image.
bool fst_copy_shares_index(const fst_emit *e, const fst_plan *p, const fst_product *product, uint32_t var);
const fst_side *fst_copy_side(const fst_plan *p, const fst_copy *copy);
void fst_copy_emit(fst_emit *e, const fst_plan *p, const fst_copy *copy);  // copy_code.c
// The variable of a product that reads the copy which stands for one of its owner's.
uint32_t fst_copy_var(const fst_plan *p, const fst_copy *copy, const fst_product *reader, uint32_t var);
// Elements that the copy's address moves by when `var` grows by one; a split copy's innermost summed variable has no such number.
int64_t fst_copy_step(const fst_copy *copy, uint32_t var);
// Elements from the copy's place at 0 of the innermost summed variable to that at `at`.
int64_t fst_copy_tap(const fst_copy *copy, uint32_t var, int64_t at);
// Where the copy stands for the values that its variables have where we are, as `reader` reads it.
LLVMValueRef fst_copy_pointer(fst_emit *e, const fst_plan *p, const fst_copy *copy, const fst_product *reader);
// window.c: a plan without rows gets an outer variable as one along which its right side slides, if there is one; false: as it
// was. The cycles of a tap; whether the operand has the form; and the sums of a tile, one accumulator a row.
bool fst_window_plan(const fst_emit *e, fst_plan *p);
double fst_window_tile(fst_plan *p);
bool fst_window_operand(const fst_emit *e, const fst_plan *p);
void fst_window_run(fst_emit *e, const fst_plan *p, const fst_panel *panel, uint32_t rows, LLVMValueRef *acc);
// Panels whose columns lie apart are brought together in scratch memory, one at a time.
bool fst_stage_make(fst_emit *e, const fst_plan *p, fst_product *product);
void fst_stage_emit(fst_emit *e, const fst_plan *p, const fst_product *product, const fst_panel *panel);
// fetch.c: `bind` makes a row of the tile the one where we are.
void fst_fetch_results(fst_emit *e, const fst_plan *p, const fst_panel *panel, uint32_t rows, void (*bind)(fst_emit *e, const void *tile, uint32_t row), void (*unbind)(fst_emit *e, const void *tile), const void *tile);
// tile.c
void fst_lanes_enter(fst_emit *e, const fst_plan *p, LLVMValueRef base, LLVMValueRef mask);
void fst_lanes_leave(fst_emit *e, const fst_plan *p);
LLVMValueRef fst_panel_mask(fst_emit *e, const fst_plan *p, const fst_panel *panel, uint32_t vector);  // NULL: whole
LLVMValueRef fst_side_value(fst_emit *e, const fst_side *side);

#endif
