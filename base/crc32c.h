// CRC-32C (Castagnoli), as artifacts use it: by the SSE4.2 instruction where the CPU has it, else by table.
#ifndef FST_BASE_CRC32C_H
#define FST_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

// The checksum of the bytes so far (`crc`, 0 at the start) continued with these. Any thread.
uint32_t fst_crc32c(uint32_t crc, const void *bytes, size_t len);
// The table form alone; the test holds it against the other.
uint32_t fst_crc32c_portable(uint32_t crc, const void *bytes, size_t len);

#endif
