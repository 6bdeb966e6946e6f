// The functions behind base/calls.def, one per row: fst_call_<name>.
#ifndef FST_RUNTIME_CALLS_H
#define FST_RUNTIME_CALLS_H

#include "base/abi.h"

#define CALL(name, ret, params, args, doc) FST_C_##ret fst_call_##name params;
#include "base/calls.def"
#undef CALL

#endif
