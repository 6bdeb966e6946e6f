// Is a file a TorchScript archive? Asked before libtorch sees it, whose own answers are for its developers.
#ifndef FST_FRONTEND_ARCHIVE_H
#define FST_FRONTEND_ARCHIVE_H

#include "base/status.h"

// OK when `path` is a whole zip with the members of a TorchScript archive; otherwise one clear message.
fst_status fst_archive_check(const char *path);

#endif
