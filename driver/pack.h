// Writing Neuropods: config.json as Neuropod itself writes it, manifest.json, and the files, as a folder or a zip file. The same
// input gives the same bytes.
#ifndef FST_DRIVER_PACK_H
#define FST_DRIVER_PACK_H

#include "base/vec.h"
#include "driver/compiler.h"

// Fails when the output exists; leaves nothing behind on failure.
fst_status fst_pack(const fst_pack_options *options);

// A test_data.pkl of these arrays, as NumPy pickles them (protocol 2, which Python 2 reads too).
struct fst_text;
fst_status fst_pickle_write_test_data(const fst_test_array *arrays, uint32_t count, struct fst_text *out);

#endif
