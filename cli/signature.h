// `--input 'x: f32[N, 3]'` and `--example inputs.npz` as the compiler's signatures.
#ifndef FST_CLI_SIGNATURE_H
#define FST_CLI_SIGNATURE_H

#include "cli/args.h"
#include "driver/compiler.h"

// Owns the texts. With several `--method NAME` each begins a new signature, so the command line is walked again.
typedef struct fst_signatures {
  FST_VEC(fst_compiler_signature) items;
  FST_VEC(char *) texts;
} fst_signatures;
fst_status fst_signatures_read(int argc, char **argv, fst_signatures *out);
void fst_signatures_deinit(fst_signatures *signatures);

#endif
