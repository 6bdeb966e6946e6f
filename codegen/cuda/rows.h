// MAPs with reductions, a team of threads for each row: the plan, and the launches made from it. Private to codegen/cuda/.
//
// The statement's variables that reductions depend on number the teams; the others, and the reductions' own, are counted
// through by a team's threads together. Reductions that need each other's results are done in phases, one pass each. What
// several passes read is kept in registers where a row is short enough for that.
#ifndef FST_CODEGEN_CUDA_ROWS_H
#define FST_CODEGEN_CUDA_ROWS_H

#include "codegen/cuda/schedule.h"

enum { FST_ROWS_PHASES = 8, FST_ROWS_REDUCES = 24, FST_ROWS_SPACES = 4, FST_ROWS_PART_BYTES = 16 };

// A warp (or a part of one that is a power of two, where rows are short) takes a row, a block takes a row, or a block takes 32 neighbouring rows that lie side by side in memory, so that
// a warp reads one element of each.
typedef enum { FST_TEAM_WARP, FST_TEAM_BLOCK, FST_TEAM_COLUMN } fst_team;

typedef struct fst_row_reduce {
  fst_kx reduce;        // as the statement's expressions ask for it
  fst_kx body;          // in the variables of its space
  uint32_t phase, space;
} fst_row_reduce;

typedef struct fst_rows {
  const fst_kstmt *stmt;
  fst_cu_space teams;
  fst_cu_space spaces[FST_ROWS_SPACES];  // what reductions run over
  uint32_t space_count;
  fst_cu_space rest;                   // of the stores, where it is another
  bool spread, shares_space;           // stores are many for a row; they count through spaces[0]
  fst_kstore *stores;                  // in the variables of the spaces
  uint32_t store_count;
  fst_row_reduce reduces[FST_ROWS_REDUCES];
  uint32_t reduce_count, phase_count;
  fst_cu_list kept;                    // loads that several passes over spaces[0] share
  fst_cu_list wide;                    // loads that may be done as vectors
  bool *store_is_wide;
  fst_cu_list multiples;
  uint32_t vector;
  // Of one launch.
  fst_team team;
  uint32_t threads;
  uint32_t lanes;                      // of a warp's team
  uint32_t slots;                      // elements of a row that a thread keeps of each load; 0: none, rows of any length
  // Few long rows are cut into parts: blocks leave the parts' results in scratch memory, a second launch combines them, always
  // in the same order. 0: whole rows.
  uint32_t parts;
  bool joins;                          // this is the second launch
} fst_rows;

void fst_rows_body(fst_cu *c, const void *context);   // rows_code.c
uint32_t fst_rows_shared(const fst_rows *r);           // bytes of shared memory

#endif
