// The parser of IR text: records (ir/parse.c), literals (ir/parse_literal.c), functions (ir/parse_function.c).
// Every function leaves `at` where it stopped; on failure that is where the error is reported.
#ifndef FST_IR_PARSE_INTERNAL_H
#define FST_IR_PARSE_INTERNAL_H

#include "ir/graph.h"
#include "ir/scan_internal.h"

typedef struct fst_parser {
  fst_module *m;
  const char *text, *at;
  uint32_t depth, block_depth;
  fst_dims *dims;        // for types: the function's, or a table that must stay empty
  fst_graph *g;          // the function being read, or NULL
  fst_map names;         // name of a visible value -> value id
  FST_VEC(fst_sym) scope;
} fst_parser;

#define FST_BAD(...) FST_FAIL(FST_ERR_CORRUPT, __VA_ARGS__)

fst_status fst_parse_type(fst_parser *p, fst_type *out);      // outside functions: without symbols
fst_status fst_parse_i64(fst_parser *p, int64_t *out);
fst_status fst_parse_u32(fst_parser *p, uint32_t limit, const char *what, uint32_t *out);   // below limit
fst_status fst_parse_sym(fst_parser *p, fst_sym *out);
fst_status fst_parse_literal(fst_parser *p, fst_const *out);
// A literal that may stand where `type` is wanted.
fst_status fst_parse_literal_of(fst_parser *p, fst_type type, fst_const *out);
fst_status fst_parse_function(fst_parser *p);                 // after the word `function`

#endif
