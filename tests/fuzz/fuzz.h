// One entry for libFuzzer and for our own driver (tests/fuzz/driver.c): reads bytes that anybody may have written.
#ifndef FST_TESTS_FUZZ_H
#define FST_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#endif
