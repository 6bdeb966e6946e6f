// A function body: SSA, typed, structured. Blocks hold ordered nodes; If and Loop own blocks; block
// parameters take the place of phis. Constants are values with no node (so they need no placement, no
// CSE and print inline as literals).
//
// Change a graph only through this header: it keeps use lists exact.
#ifndef FST_IR_GRAPH_H
#define FST_IR_GRAPH_H

#include "ir/ids.h"
#include "ir/module.h"
#include "ir/ops.h"

typedef enum { FST_VALUE_CONST, FST_VALUE_RESULT, FST_VALUE_PARAM } fst_value_kind;

typedef struct fst_use {
  fst_node_id user;
  uint32_t index;     // operand number
} fst_use;

typedef struct fst_value {
  fst_value_kind kind;
  fst_type type;
  fst_const constant;      // CONST
  fst_node_id node;        // RESULT
  fst_block_id block;      // PARAM
  uint32_t index;          // result or parameter number
  fst_sym name;            // debug name, or 0
  fst_dim sym;             // an int whose value is this expression, else FST_DIM_UNKNOWN
  FST_VEC(fst_use) uses;
} fst_value;

typedef struct fst_node {
  fst_op op;
  fst_block_id block;              // where it stands; none once erased
  fst_node_id prev, next;
  uint32_t operand_count, result_count, block_count;
  fst_value_id *operands;
  fst_value_id *results;
  fst_block_id *blocks;
  fst_loc loc;
  fst_sym name;                    // attribute, class, function or method name; schema text of an unknown op
  fst_type attr_type;              // prim::isinstance, prim::tolist, casts: the type(s) asked for
  int64_t attr_int;                // slot number, tuple index, ...
} fst_node;

// The last node of every block is a terminator: FST_OP_YIELD in If and Loop bodies and groups, FST_OP_RETURN in
// the entry block. A Loop's body has parameters (int i, carried...) and yields (bool go_on, carried...).
typedef struct fst_block {
  fst_node_id owner;       // none for the entry block
  fst_node_id first, last;
  FST_VEC(fst_value_id) params;
} fst_block;

typedef enum {
  FST_STAGE_IMPORTED, FST_STAGE_INLINED, FST_STAGE_TYPED, FST_STAGE_FUNCTIONAL, FST_STAGE_FUSED, FST_STAGE_PLANNED,
} fst_stage;
#define FST_STAGES(X) X(IMPORTED, "imported") X(INLINED, "inlined") X(TYPED, "typed") X(FUNCTIONAL, "functional") X(FUSED, "fused") X(PLANNED, "planned")

typedef struct fst_graph {
  fst_module *module;
  fst_sym name;
  fst_stage stage;
  fst_arena arena;
  fst_dims *dims;
  FST_VEC(fst_value *) values;   // [0] is NULL; pointers stay valid while the graph lives
  FST_VEC(fst_node *) nodes;     // [0] is NULL
  FST_VEC(fst_block *) blocks;   // [0] is NULL
  fst_block_id entry;
  fst_map const_values;          // fst_const -> value
  FST_VEC(fst_type) result_types;
  FST_VEC(fst_const) defaults;   // per parameter, id 0 when it has none (schema defaults of the method)
  void *plan;                    // memory plan once `planned` (ir/memory_plan.h), in the graph's arena
} fst_graph;

fst_graph *fst_graph_create(fst_module *module, fst_sym name);
void fst_graph_destroy(fst_graph *graph);
fst_graph *fst_graph_clone(fst_graph *graph, fst_sym name);  // same module

fst_value *fst_value_get(const fst_graph *graph, fst_value_id value);
fst_node *fst_node_get(const fst_graph *graph, fst_node_id node);
fst_block *fst_block_get(const fst_graph *graph, fst_block_id block);

// ---- constants ----
fst_value_id fst_graph_const(fst_graph *graph, fst_const c);
fst_value_id fst_graph_const_int(fst_graph *graph, int64_t value);
fst_value_id fst_graph_const_bool(fst_graph *graph, bool value);
fst_value_id fst_graph_const_float(fst_graph *graph, double value);
fst_value_id fst_graph_const_none(fst_graph *graph);
// The literal that a schema argument has when it is not given; false when it must be given.
bool fst_schema_default(fst_module *module, const fst_schema_arg *arg, fst_const *out);
const fst_const_data *fst_value_const(const fst_graph *graph, fst_value_id value);  // NULL when not a constant
bool fst_value_const_int(const fst_graph *graph, fst_value_id value, int64_t *out);
bool fst_value_const_bool(const fst_graph *graph, fst_value_id value, bool *out);
bool fst_value_const_float(const fst_graph *graph, fst_value_id value, double *out);
bool fst_value_is_none(const fst_graph *graph, fst_value_id value);  // the constant None, or of type None
// May the node write its operand? As the schema says, and where a norm trains its running statistics.
bool fst_node_writes(const fst_graph *graph, const fst_node *node, uint32_t operand);
// Is this an op whose row says that it writes nothing, and which trains all the same?
bool fst_node_trains(const fst_graph *graph, const fst_node *node);

// ---- building ----
fst_value_id fst_block_add_param(fst_graph *graph, fst_block_id block, fst_type type, fst_sym name);
void fst_block_remove_param(fst_graph *graph, fst_block_id block, uint32_t index);  // must have no uses
// A node with `results` results of no type yet (set them with fst_value_set_type), placed nowhere.
fst_node_id fst_node_create(fst_graph *graph, fst_op op, const fst_value_id *operands, uint32_t operand_count, uint32_t results, fst_loc loc);
fst_block_id fst_node_add_block(fst_graph *graph, fst_node_id node);
void fst_node_append(fst_graph *graph, fst_block_id block, fst_node_id node);
// An int of this value, which must be known, as an operand of nodes at `at`: a literal, or a new fst::dim before it.
fst_value_id fst_graph_dim_before(fst_graph *graph, fst_node_id at, fst_dim d);
void fst_node_insert_before(fst_graph *graph, fst_node_id at, fst_node_id node);
void fst_node_insert_after(fst_graph *graph, fst_node_id at, fst_node_id node);
void fst_node_move_before(fst_graph *graph, fst_node_id at, fst_node_id node);
void fst_node_set_operand(fst_graph *graph, fst_node_id node, uint32_t index, fst_value_id value);
void fst_node_add_operand(fst_graph *graph, fst_node_id node, fst_value_id value);
void fst_node_remove_operand(fst_graph *graph, fst_node_id node, uint32_t index);
fst_value_id fst_node_add_result(fst_graph *graph, fst_node_id node, fst_type type);
void fst_node_remove_result(fst_graph *graph, fst_node_id node, uint32_t index);  // must have no uses
void fst_node_erase(fst_graph *graph, fst_node_id node);   // results must have no uses; erases its blocks
void fst_value_set_type(fst_graph *graph, fst_value_id value, fst_type type);
void fst_value_replace(fst_graph *graph, fst_value_id from, fst_value_id to);  // all uses
// May it, as far as types say? From `typed` on a value may define symbols that other types are written in, so only
// one of the same type and expression can take its place; before, one of a subtype.
bool fst_value_may_replace(const fst_graph *graph, fst_value_id from, fst_value_id to);
// Deep copy of a node (with blocks) before `at` (or at the end of `block` when `at` is none); operands are
// looked up in `map` (old value id -> new value id), which also receives the new results and parameters.
fst_node_id fst_node_clone(fst_graph *graph, fst_block_id block, fst_node_id at, const fst_graph *from, fst_node_id node, fst_map *map);

// ---- asking ----
static inline fst_value_id fst_node_operand(const fst_node *n, uint32_t i) { return n->operands[i]; }
static inline fst_value_id fst_node_result(const fst_node *n, uint32_t i) { return n->results[i]; }
fst_type fst_value_type(const fst_graph *graph, fst_value_id value);
const fst_type_data *fst_value_type_data(const fst_graph *graph, fst_value_id value);
// The node that defines a value, or none for constants and parameters.
fst_node_id fst_value_def(const fst_graph *graph, fst_value_id value);
fst_node_id fst_block_terminator(const fst_graph *graph, fst_block_id block);
bool fst_block_contains(const fst_graph *graph, fst_block_id outer, fst_node_id node);  // at any depth
// Does the definition of `value` reach `at` (same block before it, or an enclosing block)?
bool fst_value_dominates(const fst_graph *graph, fst_value_id value, fst_node_id at);

// for (FST_EACH_NODE(g, block, n)): n is a fst_node_id; the body may erase n or insert after it.
#define FST_EACH_NODE(graph, blk, n)                                                                        \
  fst_node_id n = fst_block_get(graph, blk)->first, n##_next = n.id ? fst_node_get(graph, n)->next : n;      \
  n.id; n = n##_next, n##_next = n.id ? fst_node_get(graph, n)->next : n

// ---- structure ----
uint64_t fst_graph_hash(const fst_graph *graph);   // names and ids do not count; types, literals, order do
uint64_t fst_module_hash(const fst_module *module);
// Checks the graph against the laws above and its stage (ir/ops.def says what is legal where). The status
// lists every offence, one a line, naming the node.
fst_status fst_graph_verify(const fst_graph *graph);
fst_status fst_module_verify(const fst_module *module);

// ---- text (docs/ir.md) ----
void fst_graph_print(const fst_graph *graph, fst_text *out);
void fst_module_print(const fst_module *module, fst_text *out);
void fst_const_print(const fst_module *module, fst_const c, fst_text *out);
fst_status fst_module_parse(const char *text, size_t len, const char *file_name, fst_module **out_module);
bool fst_stage_from_name(const char *name, fst_stage *out);
const char *fst_stage_name(fst_stage stage);

#endif
