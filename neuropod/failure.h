// Between the library's failures and statuses.
#ifndef FST_NEUROPOD_FAILURE_H
#define FST_NEUROPOD_FAILURE_H

#include "base/status.h"
#include "firesteel/firesteel.h"

static inline fst_failure *fst_failure_from(fst_status status) {
  if (!status) return NULL;
  fst_failure *failure = fst_failure_new((int)status->code, status->message);
  fst_error_free(status);
  return failure;
}

#endif
