// SHA-256 (FIPS 180-4), for what files say of themselves.
#ifndef FST_BASE_SHA256_H
#define FST_BASE_SHA256_H

#include <stddef.h>

enum { FST_SHA256_HEX = 65 };
// 64 lower-case hexadecimal digits and a NUL.
void fst_sha256_hex(const void *bytes, size_t len, char out[FST_SHA256_HEX]);

#endif
