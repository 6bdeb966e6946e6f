#include "ir/rows_core.h"

#include "ir/infer.h"
#include "ir/lower.h"

int fst_infer_write(struct fst_infer *in) {
  in->results[0] = fst_value_type(in->graph, fst_infer_arg(in, 0));
  in->is_view = true;
  in->view_offset = 0;
  return FST_INFER_OK;
}

void fst_lower_write(struct fst_lower *lo) { lo->value = fst_lower_load(lo, 1, lo->index); }
