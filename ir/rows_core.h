// Infer and lower functions of the control family (ir/ops/control.def).
#ifndef FST_IR_ROWS_CORE_H
#define FST_IR_ROWS_CORE_H

struct fst_infer;
struct fst_lower;

int fst_infer_write(struct fst_infer *in);
void fst_lower_write(struct fst_lower *lo);

#endif
