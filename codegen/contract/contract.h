// Products: matrix multiplication, convolution, recurrent cells, attention.
//
// A MAP whose stored values contain sums of products gets tiles: some rows times some vectors of the space, every
// sum of every point of the tile in a register while the innermost loop runs over the summed index. What the
// stores do with the sums (bias, activation, a cell's gates) happens on the registers.
#ifndef FST_CODEGEN_CONTRACT_CONTRACT_H
#define FST_CODEGEN_CONTRACT_CONTRACT_H

#include "codegen/llvm/emit.h"

// Emits the statement with tiles, or returns false and emits nothing.
bool fst_contract_emit(fst_emit *e, const fst_kstmt *stmt);

#endif
