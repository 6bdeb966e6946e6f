// Between the machine of pickles (driver/pickle.c) and what it may call (driver/pickle_numpy.c).
#ifndef FST_DRIVER_PICKLE_INTERNAL_H
#define FST_DRIVER_PICKLE_INTERNAL_H

#include "base/text.h"
#include "driver/pickle.h"

fst_pickle_value *fst_pickle_make(fst_arena *arena, fst_pickle_kind kind);
void fst_pickle_utf8(fst_text *out, uint32_t code_point);

typedef fst_status (*fst_pickle_call_fn)(fst_arena *arena, const fst_pickle_value *args, fst_pickle_value **out);
// What stands for the function "module name"; NULL: a pickle of data does not call it.
fst_pickle_call_fn fst_pickle_call_find(const char *name);
// `object.__setstate__(state)` of a dtype or an array.
fst_status fst_pickle_build(fst_arena *arena, fst_pickle_value *object, const fst_pickle_value *state);

#endif
