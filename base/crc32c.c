#include "base/crc32c.h"

#include <string.h>

// The reflected Castagnoli polynomial, for one nibble at a time: sixteen words need no start-up code and
// the fallback need not be fast.
static const uint32_t nibble_table[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t fst_crc32c_portable(uint32_t crc, const void *bytes, size_t len) {
  const uint8_t *at = bytes;
  crc = ~crc;
  for (size_t i = 0; i < len; i++) {
    crc ^= at[i];
    crc = (crc >> 4) ^ nibble_table[crc & 15];
    crc = (crc >> 4) ^ nibble_table[crc & 15];
  }
  return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

// Multiplies a checksum register by x^(8 * 2^k) mod P, by squaring: how a block's checksum is moved past the
// blocks that follow it.
static uint32_t crc_multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = 0x80000000u; bit; bit >>= 1) {
    if (a & bit) product ^= b;
    b = (b >> 1) ^ (b & 1 ? 0x82f63b78u : 0);
  }
  return product;
}

static uint32_t crc_shift_factor(size_t bytes) {
  uint32_t result = 0x80000000u;  // x^0 in reflected order
  uint32_t power = 0x00800000u;   // x^8
  for (; bytes; bytes >>= 1) {
    if (bytes & 1) result = crc_multiply(result, power);
    power = crc_multiply(power, power);
  }
  return result;
}

enum { LANE_BYTES = 8192 };

__attribute__((target("sse4.2"))) static uint32_t crc_serial(uint32_t crc, const uint8_t *at, size_t len) {
  uint64_t wide = crc;
  for (; len >= 8; len -= 8, at += 8) {
    uint64_t word;
    memcpy(&word, at, 8);
    wide = _mm_crc32_u64(wide, word);
  }
  crc = (uint32_t)wide;
  for (; len; len--, at++) crc = _mm_crc32_u8(crc, *at);
  return crc;
}

// The instruction has a latency of three and a throughput of one: three lanes side by side keep it busy.
__attribute__((target("sse4.2"))) static uint32_t crc_hardware(uint32_t crc, const uint8_t *at, size_t len) {
  crc = ~crc;
  if (len >= 3 * LANE_BYTES) {
    uint32_t past_two = crc_shift_factor(2 * LANE_BYTES), past_one = crc_shift_factor(LANE_BYTES);
    for (; len >= 3 * LANE_BYTES; len -= 3 * LANE_BYTES, at += 3 * LANE_BYTES) {
      uint64_t a = crc, b = 0, c = 0;
      for (size_t i = 0; i < LANE_BYTES; i += 8) {
        uint64_t x, y, z;
        memcpy(&x, at + i, 8);
        memcpy(&y, at + LANE_BYTES + i, 8);
        memcpy(&z, at + 2 * LANE_BYTES + i, 8);
        a = _mm_crc32_u64(a, x);
        b = _mm_crc32_u64(b, y);
        c = _mm_crc32_u64(c, z);
      }
      crc = crc_multiply((uint32_t)a, past_two) ^ crc_multiply((uint32_t)b, past_one) ^ (uint32_t)c;
    }
  }
  return ~crc_serial(crc, at, len);
}
#endif

uint32_t fst_crc32c(uint32_t crc, const void *bytes, size_t len) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return crc_hardware(crc, bytes, len);
#endif
  return fst_crc32c_portable(crc, bytes, len);
}
