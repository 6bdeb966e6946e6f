#include "driver/semver.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// A version as one number, 20 bits a part; the last of a part's range is kept for "no upper end".
enum { PART_BITS = 20, PART_MAX = (1 << PART_BITS) - 1 };
static uint64_t version(uint64_t major, uint64_t minor, uint64_t patch) { return major << 2 * PART_BITS | minor << PART_BITS | patch; }
#define NO_END UINT64_MAX

typedef struct span { uint64_t low, high; } span;           // low <= v < high
typedef struct partial { uint64_t parts[3]; int count; } partial;  // how many are numbers: the others are `x`, `*` or left out

static void skip_blanks(const char **at) {
  while (isspace((unsigned char)**at)) ++*at;
}

static bool suffix_skip(const char **at) {
  const char *start = ++*at;
  while (isalnum((unsigned char)**at) || **at == '-' || **at == '.') ++*at;
  return *at > start;
}

static bool number_read(const char **at, uint64_t *out) {
  char *end;
  unsigned long long value = strtoull(*at, &end, 10);
  if (value >= PART_MAX || (**at == '0' && end > *at + 1)) return false;
  *at = end;
  *out = value;
  return true;
}

static bool partial_read(const char **at, partial *out) {
  *out = (partial){{0}, 0};
  if (**at == 'v' || **at == '=') ++*at;
  bool is_open = false;
  for (int i = 0; i < 3; i++) {
    if (i && **at != '.') return true;
    if (i) ++*at;
    if (**at == 'x' || **at == 'X' || **at == '*') {
      ++*at;
      is_open = true;
    } else if (isdigit((unsigned char)**at)) {
      if (!number_read(at, &out->parts[i])) return false;
      if (!is_open) out->count = i + 1;
    } else {
      return false;
    }
  }
  if (**at == '-' && !suffix_skip(at)) return false;
  return **at != '+' || suffix_skip(at);
}

static uint64_t low_of(const partial *p) { return version(p->parts[0], p->count > 1 ? p->parts[1] : 0, p->count > 2 ? p->parts[2] : 0); }

// The first version after those that agree in the first `kept` parts.
static uint64_t next_of(const partial *p, int kept) {
  if (kept == 0) return NO_END;
  if (kept == 1) return version(p->parts[0] + 1, 0, 0);
  return kept == 2 ? version(p->parts[0], p->parts[1] + 1, 0) : low_of(p) + 1;
}

static span caret(const partial *p) {
  int kept = 1;
  while (kept < p->count && !p->parts[kept - 1]) kept++;
  return (span){low_of(p), next_of(p, p->count ? kept : 0)};
}

static bool simple_read(const char **at, span *out) {
  static const char *const ops[] = {"<=", ">=", "<", ">", "~>", "~", "^", "="};
  size_t op = 0, count = sizeof ops / sizeof *ops;
  while (op < count && strncmp(*at, ops[op], strlen(ops[op])) != 0) op++;
  if (op < count) *at += strlen(ops[op]);
  skip_blanks(at);
  partial p;
  if (!partial_read(at, &p)) return false;
  switch (op) {
    case 0: *out = (span){0, next_of(&p, p.count)}; break;
    case 1: *out = (span){low_of(&p), NO_END}; break;
    case 2: *out = (span){0, low_of(&p)}; break;
    case 3: *out = (span){next_of(&p, p.count), NO_END}; break;
    case 4: case 5: *out = (span){low_of(&p), next_of(&p, p.count > 2 ? 2 : p.count)}; break;
    case 6: *out = caret(&p); break;
    default: *out = (span){low_of(&p), next_of(&p, p.count)};
  }
  return true;
}

// Comparators that all must hold, or `a - b`.
static bool set_read(const char **at, span *out) {
  *out = (span){0, NO_END};
  for (skip_blanks(at); **at && **at != '|'; skip_blanks(at)) {
    span s;
    const char *start = *at;
    if (!simple_read(at, &s)) return false;
    const char *after = *at;
    skip_blanks(&after);
    if (isdigit((unsigned char)*start) && after > *at && after[0] == '-' && isspace((unsigned char)after[1])) {
      partial last;
      *at = after + 1;
      skip_blanks(at);
      if (!partial_read(at, &last)) return false;
      s.high = next_of(&last, last.count);
    }
    if (**at && **at != '|' && !isspace((unsigned char)**at)) return false;
    if (s.low > out->low) out->low = s.low;
    if (s.high < out->high) out->high = s.high;
  }
  return true;
}

bool fst_semver_range(const char *text, bool *out_satisfied) {
  const char *at = FST_CLAIMED_TORCH;
  partial claimed;
  if (!partial_read(&at, &claimed)) return false;
  *out_satisfied = false;
  for (at = text;;) {
    span s;
    if (!set_read(&at, &s)) return false;
    *out_satisfied |= s.low < s.high && s.low < next_of(&claimed, claimed.count);
    if (!*at) return true;
    if (at[0] != '|' || at[1] != '|') return false;
    at += 2;
  }
}
