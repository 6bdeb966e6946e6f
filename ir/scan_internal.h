// Reading the IR's text: blanks, words, numbers and strings. Shared by the parsers of types and modules.
// The text must end in a NUL; a NUL inside it ends it.
#ifndef FST_IR_SCAN_INTERNAL_H
#define FST_IR_SCAN_INTERNAL_H

#include "base/map.h"
#include "base/status.h"
#include "base/text.h"

enum { FST_SCAN_DEPTH = 100 };   // of nested types, literals and blocks

void fst_scan_blanks(const char **at);                       // blanks, line ends and # comments
bool fst_scan_char(const char **at, char c);                 // skips blanks, then takes c if it is next
fst_status fst_scan_expect(const char **at, const char *text);
// A word of letters, digits, '_' and '.', after blanks: its length, 0 when there is none (cursor unmoved).
size_t fst_scan_word(const char **at, const char **out_word);
bool fst_scan_is_word(const char **at, const char *word);    // takes the word if it is next
fst_status fst_scan_u64(const char **at, uint64_t *out);
fst_status fst_scan_string(const char **at, fst_text *out);  // "..." as fst_text_quote writes it, appended
fst_status fst_scan_sym(const char **at, fst_strings *strings, fst_sym *out);

#endif
