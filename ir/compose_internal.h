// Shared by the files of compositions (ir/compose*.c).
#ifndef FST_IR_COMPOSE_INTERNAL_H
#define FST_IR_COMPOSE_INTERNAL_H

#include "base/vec.h"
#include "ir/compose.h"

// ---- what a name or an expression stands for ----
typedef enum { TERM_UNKNOWN, TERM_VALUE, TERM_INT, TERM_FLOAT, TERM_BOOL, TERM_STR, TERM_NONE, TERM_LIST } term_kind;
typedef struct term {
  term_kind kind;
  fst_value_id value;        // VALUE
  fst_dim i;                 // INT
  double f;                  // FLOAT
  bool b;                    // BOOL
  const char *text;          // STR, in the arena
  uint32_t count;            // LIST
  const struct term *items;
} term;

enum { COMPOSE_NAMES = 64, COMPOSE_ITEMS = 64 };
typedef struct composer {
  fst_infer *in;
  fst_graph *graph;
  const char *start, *at;
  struct { const char *name; size_t len; term value; } names[COMPOSE_NAMES];
  int name_count;
  FST_VEC(fst_node_id) made;
  fst_block_id body;         // of the loop that is being made: where nodes go. None: before in->node
  uint32_t body_symbols;     // symbols from here on are the body's
  fst_value_id *results;
  bool builds;               // the nodes stay
  uint32_t symbols;          // of the graph; later ones are of sizes that arise on the way
  bool done;                 // returned
  int status;                // FST_INFER_OK, or why it stopped
} composer;

// ---- compose.c ----
void text_wrong(const composer *c, const char *what);
bool is_live(const composer *c);
void compose_stop(composer *c, int status, const char *message);
void skip_space(composer *c);
bool take(composer *c, const char *token);
void expect(composer *c, const char *token);
const char *take_name(composer *c, size_t *out_len);
term *name_find(composer *c, const char *name, size_t len);
void name_bind(composer *c, const char *name, size_t len, term value);
fst_node_id node_insert(composer *c, fst_op op, const fst_value_id *operands, uint32_t count, uint32_t results);
fst_value_id value_of(composer *c, const term *t);
term term_known(composer *c, const term *t);
term list_known(composer *c, const term *t);
term parse_expr(composer *c);
bool parse_cond(composer *c);
term parse_string(composer *c);
term term_default(composer *c, const fst_schema_arg *arg);
fst_node_id parse_call(composer *c);

#endif
