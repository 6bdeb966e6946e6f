// Sums of products in tiles: matrix products, and convolutions as products of matrices that are never made (every element
// of a tile is read where the index maps say). Private to codegen/cuda/.
//
// The statement's variables are columns (the stores move with the last of them), rows (only the left side of the product
// depends on them), and batches (both sides do). The summed variables are the depth. A block computes one tile; its threads
// keep the sums in registers while tiles of both sides pass through shared memory, the next ones being read meanwhile. What
// the stores do with the sums happens on the registers.
#ifndef FST_CODEGEN_CUDA_GEMM_H
#define FST_CODEGEN_CUDA_GEMM_H

#include "codegen/cuda/schedule.h"

typedef struct fst_gemm_side {
  fst_kx value;          // in the variables of batch, own and depth
  fst_dtype dtype;       // of its elements in shared memory
  fst_cu_space own;      // rows or columns
  fst_cu_space depth;    // the summed variables, merged as this side's memory allows
  bool along_depth;      // neighbours in memory are neighbours in depth, else in `own`
  uint32_t vector;       // elements that a thread reads together
  fst_kx wide;           // the load that may be done as a vector; none: element by element
  fst_cu_list multiples;
  uint32_t tile;         // rows or columns of a block's tile
} fst_gemm_side;

typedef struct fst_gemm {
  const fst_kstmt *stmt;
  fst_kx sum;
  fst_dtype dtype;       // of the sums
  bool tensor;           // 16-bit operands on the tensor cores
  fst_cu_space batch, depth;
  fst_gemm_side left, right;
  uint32_t threads, depth_tile;
  // Few tiles with long sums are cut along the depth into so many parts; 1: whole sums. Where there are several parts, or several
  // sums in the statement, blocks leave their sums in scratch memory, from `first_part` on, and a last launch adds the parts, always
  // in the same order, and does the rest.
  uint32_t parts, first_part;
  bool leaves;
} fst_gemm;

enum { FST_GEMM_JOIN_THREADS = 256, FST_GEMM_SUMS = 4 };
typedef struct fst_gemms {
  fst_gemm items[FST_GEMM_SUMS];   // of the same batches, rows and columns
  uint32_t count;
} fst_gemms;

void fst_gemm_body(fst_cu *c, const void *context);   // gemm_code.c; context: a fst_gemm
void fst_gemm_join(fst_cu *c, const void *context);   // context: fst_gemms
uint32_t fst_gemm_shared(const fst_gemm *g);

#endif
