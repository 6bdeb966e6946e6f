// The rules of the canonicaliser as data, for reports and tests.
#ifndef FST_PASSES_CANONICALIZE_H
#define FST_PASSES_CANONICALIZE_H

#include <stdint.h>

uint32_t fst_rule_count(void);
const char *fst_rule_name(uint32_t rule);
const char *fst_rule_doc(uint32_t rule);

#endif
