#include <string.h>

#include "ir/scan_internal.h"

void fst_scan_blanks(const char **at) {
  for (;; ++*at) {
    if (**at == '#')
      while (**at && **at != '\n') ++*at;
    if (**at != ' ' && **at != '\t' && **at != '\n' && **at != '\r') return;
  }
}

bool fst_scan_char(const char **at, char c) {
  fst_scan_blanks(at);
  if (**at != c || !c) return false;
  ++*at;
  return true;
}

fst_status fst_scan_expect(const char **at, const char *text) {
  fst_scan_blanks(at);
  size_t len = strlen(text);
  if (strncmp(*at, text, len)) return FST_FAIL(FST_ERR_CORRUPT, "expected '%s'", text);
  *at += len;
  return NULL;
}

static bool is_word_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

size_t fst_scan_word(const char **at, const char **out_word) {
  fst_scan_blanks(at);
  *out_word = *at;
  while (is_word_char(**at)) ++*at;
  return (size_t)(*at - *out_word);
}

bool fst_scan_is_word(const char **at, const char *word) {
  const char *start = *at, *found;
  size_t len = fst_scan_word(at, &found);
  if (len == strlen(word) && !memcmp(found, word, len)) return true;
  *at = start;
  return false;
}

fst_status fst_scan_u64(const char **at, uint64_t *out) {
  fst_scan_blanks(at);
  if (**at < '0' || **at > '9') return FST_FAIL(FST_ERR_CORRUPT, "expected a number");
  uint64_t value = 0;
  for (; **at >= '0' && **at <= '9'; ++*at)
    if (__builtin_mul_overflow(value, 10u, &value) || __builtin_add_overflow(value, (uint64_t)(**at - '0'), &value))
      return FST_FAIL(FST_ERR_CORRUPT, "a number that does not fit 64 bits");
  *out = value;
  return NULL;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static fst_status scan_escape(const char **at, fst_text *out) {
  static const char letters[] = "\"\\nrt", meant[] = "\"\\\n\r\t";
  char c = **at;
  const char *found = c ? strchr(letters, c) : NULL;
  if (found) {
    fst_text_putc(out, meant[found - letters]);
    ++*at;
    return NULL;
  }
  if (c == 'x' && hex_digit((*at)[1]) >= 0 && hex_digit((*at)[2]) >= 0) {
    fst_text_putc(out, (char)(hex_digit((*at)[1]) * 16 + hex_digit((*at)[2])));
    *at += 3;
    return NULL;
  }
  return FST_FAIL(FST_ERR_CORRUPT, "an escape in a string is one of \\\" \\\\ \\n \\r \\t \\xHH");
}

fst_status fst_scan_string(const char **at, fst_text *out) {
  fst_scan_blanks(at);
  if (**at != '"') return FST_FAIL(FST_ERR_CORRUPT, "expected a string in double quotes");
  for (++*at; **at != '"';) {
    const char *run = *at;
    while (**at && **at != '"' && **at != '\\' && **at != '\n') ++*at;
    fst_text_append(out, run, (size_t)(*at - run));
    if (**at == '"') break;
    if (**at != '\\') return FST_FAIL(FST_ERR_CORRUPT, "a string without its closing quote");
    ++*at;
    FST_TRY(scan_escape(at, out));
  }
  ++*at;
  return NULL;
}

fst_status fst_scan_sym(const char **at, fst_strings *strings, fst_sym *out) {
  fst_text text = {0};
  fst_status status = fst_scan_string(at, &text);
  if (!status) *out = fst_intern_n(strings, fst_text_cstr(&text), text.len);
  fst_text_deinit(&text);
  return status;
}
