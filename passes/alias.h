// Which tensor values of a typed graph may share memory, and what happens to that memory.
#ifndef FST_PASSES_ALIAS_H
#define FST_PASSES_ALIAS_H

#include "ir/graph.h"

typedef struct fst_alias_class {
  bool written;    // some node writes it in place
  bool escapes;    // a list, dict, object, state, result or unknown op may keep it beyond the node that uses it
  bool external;   // came from outside this call or out of a container: parameters, state, items
  bool constant;   // a literal of the archive
} fst_alias_class;

typedef struct fst_alias {
  uint32_t *parent;            // union-find by value id
  fst_alias_class *classes;    // by representative
  uint32_t count;
} fst_alias;

// Flow-insensitive: two values are in one class when any path makes one a view of the other, or joins
// them at an If, a Loop or a container. Allocates from `arena`.
void fst_alias_compute(const fst_graph *graph, fst_arena *arena, fst_alias *out);
uint32_t fst_alias_of(const fst_alias *alias, fst_value_id value);           // class representative
const fst_alias_class *fst_alias_info(const fst_alias *alias, fst_value_id value);
// Does `node` (with its blocks) write memory that `value` may read?
bool fst_alias_writes(const fst_graph *graph, const fst_alias *alias, const fst_node *node, fst_value_id value);
// Is a result of the node memory of operand 0 for the types at hand (a view, or an in-place write)?
bool fst_result_is_view(const fst_graph *graph, const fst_node *node, uint32_t result);

#endif
