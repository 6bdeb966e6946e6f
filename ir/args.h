// Reading a node's arguments by schema name. Families with many overloads of one idea (convolutions, pools,
// resizing) describe a node once, for inference and for lowering, by asking for names.
#ifndef FST_IR_ARGS_H
#define FST_IR_ARGS_H

#include "ir/infer.h"
#include "ir/lower.h"

// A reader without results: what inference asks of a node, for lowerings.
fst_infer fst_infer_reader(const fst_lower *lo);
// Schema number of an argument, or -1.
int fst_args_find(const fst_infer *in, const char *name);
// Is there such an argument, and is it not None?
bool fst_args_has(const fst_infer *in, const char *name);
bool fst_args_bool(const fst_infer *in, const char *name, bool otherwise, bool *out);  // false: not known
bool fst_args_int(const fst_infer *in, const char *name, int64_t otherwise, int64_t *out);
bool fst_args_float(const fst_infer *in, const char *name, double otherwise, double *out);
const char *fst_args_str(const fst_infer *in, const char *name);   // NULL: absent or not known
fst_dim fst_args_dim(const fst_infer *in, const char *name, fst_dim otherwise);
// An int[] of `count` entries; one entry stands for all, an absent or empty list for `otherwise` each.
bool fst_args_dims(const fst_infer *in, const char *name, int count, fst_dim otherwise, fst_dim *out);
// Constant dims of an int[] wrapped into [0, rank); -1 when not known or out of range (in->message is set).
int fst_args_axes(fst_infer *in, const char *name, int rank, int *out);
// A float[] of constants: its length, or -1.
int fst_args_floats(const fst_infer *in, const char *name, double *out, int max);
// Items of a list operand that nothing writes: values, None included; -1 when its items are not known.
int fst_args_items(const fst_infer *in, uint32_t arg, fst_value_id *out, int max);

// Sets result `r` to these sizes in the memory format (ir/layout.h).
void fst_infer_set_format(fst_infer *in, uint32_t r, fst_dtype dtype, int rank, const fst_dim *dims, int format);
int fst_infer_format(fst_infer *in, const fst_type_data *type);   // PyTorch's suggest_memory_format
// A type like operand `arg`'s, with its strides kept as empty_like does.
void fst_infer_set_like(fst_infer *in, uint32_t r, fst_dtype dtype, const fst_type_data *like);

#endif
