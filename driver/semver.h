// Version ranges as npm writes them (https://docs.npmjs.com/misc/semver#ranges): `*`, `1.10`, `^1.2.3`, `>=1.1.0 <2`,
// `1.2 - 1.4`, alternatives with `||`.
//
// A package's range gates the framework that runs it. Firesteel compiles what every PyTorch up to FST_CLAIMED_TORCH has written, so
// it stands for all of them: a range is satisfied when it holds any version from 0.0.0 up to that one.
#ifndef FST_DRIVER_SEMVER_H
#define FST_DRIVER_SEMVER_H

#include <stdbool.h>

#define FST_CLAIMED_TORCH "2.13"

// False: the text is no range. Pre-release and build suffixes are read and ignored.
bool fst_semver_range(const char *text, bool *out_satisfied);

#endif
