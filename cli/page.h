// IR text as a page to look at: the same text, its regions as boxes that fold, and values that point to their definitions.
#ifndef FST_CLI_PAGE_H
#define FST_CLI_PAGE_H

#include "base/text.h"

// Appends one self-contained HTML document. Any text will do; what is no IR is shown as it is.
void fst_page_print(const char *title, const char *ir, fst_text *out);

#endif
