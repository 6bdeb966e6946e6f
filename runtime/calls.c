#include "runtime/calls.h"

#include "runtime/call.h"

const fst_calls fst_calls_table = {
  .version = FST_ABI_VERSION,
#define CALL(name, ret, params, args, doc) .name = fst_call_##name,
#include "base/calls.def"
#undef CALL
};
