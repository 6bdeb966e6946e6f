// Constant operands of products, stored in the order in which tiles read them.
#ifndef FST_CODEGEN_CONTRACT_PACK_H
#define FST_CODEGEN_CONTRACT_PACK_H

#include <stdint.h>

// One operand in the order in which a tile reads it: panels of neighbouring columns, in each all summed indices in loop
// order, in each the panel's columns; columns past the end are zero. The width of a panel does not follow from the tile: a tile
// may take a part of a panel, or parts of several, and one packing serves all feature levels of an artifact. Numbers only, so
// that the same kernel with other weights packs them the same way.
enum { FST_PACK_MAX_DIMS = 8 };
typedef struct fst_pack {
  uint32_t buffer;
  uint64_t offset;                      // bytes from the start of the packed buffer
  uint32_t element_bytes;
  int64_t base;                         // element read at all indices zero
  int64_t columns, column_step, panel;  // columns in all, elements between two, columns of a panel
  uint32_t depth_count;
  int64_t depth[FST_PACK_MAX_DIMS], depth_step[FST_PACK_MAX_DIMS];  // summed indices, outermost first
  uint32_t batch_count;                 // outer indices with a packed matrix each
  int64_t batch[FST_PACK_MAX_DIMS], batch_step[FST_PACK_MAX_DIMS];
} fst_pack;
int64_t fst_pack_matrix_elements(const fst_pack *pack);  // of one batch
int64_t fst_pack_elements(const fst_pack *pack);
void fst_pack_run(const fst_pack *pack, const void *from, void *to);

#endif
