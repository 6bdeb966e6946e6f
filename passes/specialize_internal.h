// Shared by the files of the specializer (passes/specialize*.c).
#ifndef FST_PASSES_SPECIALIZE_INTERNAL_H
#define FST_PASSES_SPECIALIZE_INTERNAL_H

#include <string.h>

#include "base/vec.h"
#include "ir/infer.h"
#include "passes/specialize.h"

// What a value of the old graph is, in one world.
typedef enum {
  BOUND_NOT,     // no binding yet
  BOUND_VALUE,   // a value of the new graph
  BOUND_TUPLE,   // a tuple that exists only here
  BOUND_HEAP,    // a list or object that exists only here, with identity: index into world->heap
} bound_kind;

struct tuple;
typedef struct binding {
  bound_kind kind;
  union {
    fst_value_id value;
    const struct tuple *tuple;
    uint32_t heap;
  };
} binding;

typedef struct tuple {
  fst_type type;
  uint32_t count;
  const binding *items;
} tuple;

// A list or object not yet made. Items are copied on write, so worlds can share them.
typedef struct heap_cell {
  fst_type type;          // List[T] or Class[...], as the old graph says
  uint32_t site;          // where it was made: node id in the old graph
  uint32_t count;
  const binding *items;   // list items, or one per attribute of the class
  fst_value_id made;      // once it exists in the new graph, that value; items no longer count
} heap_cell;

// Types that grow from round to round, of loops and of lists, are followed size by size for so many rounds.
enum { WIDEN_ROUNDS = 4 };

// A symbol that is known to be one of a few numbers.
enum { MOST_CHOICES = 8 };
typedef struct choice {
  fst_dim symbol;
  uint32_t count;
  int64_t numbers[MOST_CHOICES];
} choice;

// Worlds are values that come and go on every path: what they hold grows in the specializer's arena, and none has to be freed.
#define WORLD_PUSH(sp, v, item)                                                             \
  do {                                                                                      \
    if ((v)->len == (v)->cap) {                                                             \
      size_t cap_ = (v)->cap ? 2 * (v)->cap : 8;                                            \
      void *grown_ = fst_arena_alloc(&(sp)->arena, cap_ * sizeof *(v)->data);               \
      if ((v)->len) memcpy(grown_, (v)->data, (v)->len * sizeof *(v)->data);                \
      (v)->data = grown_;                                                                   \
      (v)->cap = cap_;                                                                      \
    }                                                                                       \
    (v)->data[(v)->len++] = (item);                                                         \
  } while (0)

typedef struct world {
  binding *bound;                // by value id of the old graph
  FST_VEC(heap_cell) heap;
  binding *state;                // by slot; BOUND_NOT: must be loaded
  fst_type *state_type;          // by slot: what a load gives
  fst_const *state_value;        // by slot: the literal that a load gives, or id 0
  FST_VEC(fst_dim) facts;        // by symbol: what it is known to equal, or FST_DIM_UNKNOWN
  FST_VEC(choice) choices;
  fst_block_id block;            // of the new graph, where nodes go
  bool dead;                     // a raise was emitted: nothing after it runs
  bool noted;                    // the forms of the state at the return are noted already, path by path
} world;

typedef struct specializer {
  fst_graph *src, *out;
  fst_arena arena;
  fst_arena scratch;             // inference, reset per node
  uint32_t slots;
  fst_state_forms *state;
  const fst_meta_trial *trial;
  uint32_t *position;            // by node id of the old graph: place in its block
  FST_VEC(fst_block_id) symbol_block;   // by symbol of the new graph: block that defines it
  FST_VEC(fst_block_id) block_moved;    // by block id of the new graph: where its nodes were spliced to
  fst_type *site_elem;           // by node id of the old graph, by parameter: joined element type of lists made there; then by class and attribute
  FST_VEC(uint32_t) made_site;   // by value id of the new graph: site + 1 of a made list or dict
  FST_VEC(fst_node_id) open_lists;      // of the new graph: fst::open_list nodes, which go when it is complete
  uint32_t first_local_symbol;   // symbols below are the signature's
  bool again;                    // a site's type grew: walk once more
  int round;                     // of walking
  uint32_t emitted, budget;
  char *error;
} specializer;

// ---- bindings (specialize.c) ----
binding bind_value(fst_value_id value);
binding world_get(specializer *sp, world *w, fst_value_id old);       // with the world's facts applied
void world_set(world *w, fst_value_id old, binding b);
fst_value_id residual(specializer *sp, world *w, binding b, fst_loc loc);   // a value of the new graph, made if needed
fst_value_id residual_of(specializer *sp, world *w, fst_value_id old, fst_loc loc);
world world_clone(specializer *sp, const world *w);
// A tuple that comes from outside or out of a container is taken apart at once, so that its items' types are not forgotten.
binding open_tuple(specializer *sp, world *w, fst_value_id value);
fst_value_id emit(specializer *sp, world *w, fst_op op, const fst_value_id *operands, uint32_t count, fst_type type, fst_loc loc);
fst_node_id emit_node(specializer *sp, world *w, fst_op op, const fst_value_id *operands, uint32_t count, uint32_t results, fst_loc loc);
// A SCALAR op on two numbers: a literal, or with its expression, where they are known.
fst_value_id emit_scalar(specializer *sp, world *w, fst_op op, fst_value_id a, fst_value_id b, fst_type type, fst_loc loc);
void note_exit(specializer *sp, const world *w);   // the call may end here: remember the state's types
fst_value_id emit_dim(specializer *sp, world *w, fst_dim d, fst_loc loc);  // an int with this value
fst_status eval_block(specializer *sp, world *w, fst_block_id block, uint32_t from, uint32_t to);
fst_status eval_generic(specializer *sp, world *w, fst_node_id node);
fst_status eval_as(specializer *sp, world *w, fst_node_id node, fst_op op);   // the node as if it were `op`
fst_dim int_value(specializer *sp, const world *w, binding b);        // an int's expression, or unknown
bool const_bool(specializer *sp, binding b, bool *out);

// ---- what PyTorch refuses (specialize_guard.c) ----
void emit_guards(specializer *sp, world *w, const fst_infer *in, fst_node_id node);   // before the node
void emit_raise(specializer *sp, world *w, fst_node_id node, const char *text);       // in the node's place

// ---- types and sizes (specialize_type.c) ----
fst_type import_type(specializer *sp, fst_type type);                 // old graph's table to the new one's
fst_type apply_facts(specializer *sp, const world *w, fst_type type);
fst_dim dim_facts(specializer *sp, const world *w, fst_dim d);
void learn_equal(specializer *sp, world *w, fst_dim a, fst_dim b);
fst_type instantiate(specializer *sp, const world *w, fst_type type); // fresh symbols for what is not known
// Results of inference bring symbols of their own: they are defined where the node stands, in `block`.
void adopt_symbols(specializer *sp, fst_block_id block);
fst_dim fresh_symbol(specializer *sp, const world *w, bool is_signed);
bool symbol_visible(specializer *sp, fst_dim d, fst_block_id block);  // every symbol of d
fst_type generalize(specializer *sp, fst_type type);                  // forget symbols made on the way
fst_type lasting_type(specializer *sp, fst_type type);                // what holds beyond this call: constant sizes
fst_type open_sizes(specializer *sp, fst_type type);                  // forget all sizes
// What holds of both; sizes that differ, or that `block` does not see, become unknown.
fst_type join_types(specializer *sp, fst_type a, fst_type b, fst_block_id block);

// ---- control flow (specialize_flow.c) ----
// Walks an If and as many of the nodes after it (up to position `to`) as must be walked on both paths;
// *out_next is the position to go on from.
fst_status eval_if(specializer *sp, world *w, fst_node_id node, uint32_t to, uint32_t *out_next);
fst_status eval_loop(specializer *sp, world *w, fst_node_id node);

// ---- containers and objects (specialize_data.c) ----
// *out_done is false when the node is none of its business.
fst_status eval_data(specializer *sp, world *w, fst_node_id node, bool *out_done);
bool known_items(specializer *sp, world *w, binding b, const binding **out, uint32_t *out_count);
binding new_list(specializer *sp, world *w, fst_type type, uint32_t site, const binding *items, uint32_t count);
binding new_tuple(specializer *sp, fst_type type, const binding *items, uint32_t count);
fst_value_id make_heap(specializer *sp, world *w, uint32_t heap, fst_loc loc);
// The list that an operand of a pure op sees: a fresh ListConstruct that only that op uses.
fst_value_id operand_list(specializer *sp, world *w, binding b, fst_loc loc);
uint32_t site_of(specializer *sp, fst_value_id made);                 // 0: none
void site_store(specializer *sp, uint32_t site, fst_type elem);
fst_type site_load(specializer *sp, const world *w, uint32_t site, fst_type otherwise);
void note_site(specializer *sp, fst_value_id made, uint32_t site);
// The type of an item that is taken out: what is known of all of them, as far as that lasts and is of the declared type.
fst_type taken_type(specializer *sp, const world *w, fst_type elem, fst_type declared);
binding *copy_items(specializer *sp, const binding *items, uint32_t count, uint32_t room);
void set_items(world *w, uint32_t heap, const binding *items, uint32_t count);

// ---- objects (specialize_object.c) ----
bool eval_object(specializer *sp, world *w, const fst_node *n);   // false: none of its business
// What an attribute of a class may hold is found as what a list may hold, and has a site too. 0: objects of the class come
// from outside of this call as well, and may hold anything.
uint32_t attr_site(specializer *sp, fst_sym class_name, fst_sym attr_name);
// The attribute holds this value from now on.
void attr_store(specializer *sp, const world *w, uint32_t site, fst_value_id value);

// ---- tensors that change their sizes (specialize_reshape.c) ----
// *out_done is false, with nothing changed, when the tensor may be known by other names.
fst_status eval_reshape(specializer *sp, world *w, fst_node_id node, bool *out_done);

// ---- ops that libtorch runs (specialize_trial.c) ----
// Types of the node's tensors, as far as trying the op tells.
void try_results(specializer *sp, fst_node_id node);

// ---- integers as expressions (specialize_int.c) ----
// Value of a SCALAR op on ints as an expression, its truth if it is a comparison, or unknown.
fst_dim int_expression(specializer *sp, const fst_node *node, const fst_dim *operands);
int int_truth(specializer *sp, const fst_node *node, const fst_dim *operands);   // 1, 0, -1 unknown
// What the truth or falsehood of condition `cond` (a value of the new graph) says about sizes.
void learn_condition(specializer *sp, world *w, fst_value_id cond, bool truth);

#endif
