// The op table: one row per overload (ir/ops.def), read by the importer's parser, printer, verifier,
// inference, folding, DCE and CSE, fusion, code generation, documentation and the conformance tests.
// There is no second op list.
#ifndef FST_IR_OPS_H
#define FST_IR_OPS_H

#include "base/status.h"
#include "ir/ids.h"
#include "ir/type.h"

struct fst_graph;
struct fst_module;
struct fst_infer;
struct fst_lower;

// What running the op may do besides computing its results. Zero is "not filled in" and fails a test.
typedef enum {
  FST_EFFECT_UNSET,
  FST_PURE,        // same operands, same result; may be dropped, shared, moved
  FST_MAKES,       // a fresh mutable object each time (list, dict, object): dropped when unused, never shared
  FST_READS,       // reads mutable memory (list items, attributes, tensor data that may be written): not moved over a write
  FST_WRITES,      // writes memory (schema's `!` says which operand)
  FST_RAISES,      // pure but may raise: dropped only when PyTorch would drop it too, never moved before other effects
  FST_RANDOM,      // advances the generator
  FST_IO,          // prints, warns, raises always
  FST_CONTROL,     // If, Loop, terminators
} fst_effect;

typedef enum {
  FST_CLASS_UNSET,
  FST_CLASS_POINTWISE,    // element of the result from elements of the operands at the (broadcast) same index
  FST_CLASS_VIEW,         // result shares the operand's storage: an index map
  FST_CLASS_COPY,         // moves elements (cat, stack, pad, roll, repeat, clone)
  FST_CLASS_REDUCTION,    // over dims, incl. softmax and the norms
  FST_CLASS_CONTRACTION,  // products: linear, matmul, convolution, cells
  FST_CLASS_GATHER,       // index, embedding, take
  FST_CLASS_SCATTER,      // index_put, scatter, index_add
  FST_CLASS_SCAN,         // cumsum and its like
  FST_CLASS_SORT,         // sort, topk, argsort
  FST_CLASS_DYNAMIC,      // result size depends on data: nonzero, masked_select, unique
  FST_CLASS_CREATE,       // zeros, full, arange
  FST_CLASS_SCALAR,       // int, float, bool, complex arithmetic
  FST_CLASS_QUERY,        // size, dim, dtype, device, item
  FST_CLASS_CONTAINER,    // lists, dicts, tuples, objects
  FST_CLASS_STRING,       // str ops, format
  FST_CLASS_ATTRIBUTE,    // GetAttr, SetAttr, state
  FST_CLASS_CALL,         // CallMethod, CallFunction
  FST_CLASS_CONTROL,      // If, Loop, terminators, groups
  FST_CLASS_IO,           // Print, warn, RaiseException
  FST_CLASS_INTERNAL,     // fst:: helpers: dim, guard, assume
  FST_CLASS_OPAQUE,       // known to exist, run by the bridge only
} fst_op_class;

typedef enum {
  FST_OP_UNKNOWN,   // a schema that has no row: prints, verifies, falls back
#define OP(id, ...) FST_OP_##id,
#include "ir/ops.def"
#undef OP
  FST_OP_COUNT
} fst_op;

typedef struct fst_op_info {
  const char *schema;       // PyTorch's own text, with alias marks and defaults
  fst_effect effect;
  fst_op_class cls;
  // Result types from operand types and constants (ir/infer.h); NULL: results keep their declared type.
  int (*infer)(struct fst_infer *in);
  // Element of a result at an index, as kernel IR (ir/lower.h); NULL: no kernel of ours.
  void (*lower)(struct fst_lower *lo);
  // For what is no element by itself (SCATTER, SCAN, SORT, COMPACT): adds the statements that write the
  // node's result buffers (fst_lower_result_buffer); nodes after it load from those. `lower` is NULL then.
  void (*lower_stmt)(struct fst_lower *lo);
  // POINTWISE and SCALAR ops: the element as an expression over the operand names of the schema, e.g.
  // "add(self, mul(alpha, other))"; functions are scalar.def's and expand.kir's.
  const char *scalar;
  // POINTWISE: the dtype operands are converted to before `scalar` is evaluated. "promote" (PyTorch's
  // result_type), "float" (promote, then integers to the default float), "same" (self's), "double" (f64):
  // the result has it too. "bool": promote, and the result is bool. Operands named condition and mask are
  // bool throughout. Tensors take part in promotion but for these two and `value`; Scalars only where they
  // are named self, other, min, max or exponent. fst_pointwise_dtype (ir/infer.h) computes it.
  // SCALAR: "int" (i64), "double" (f64), "bool", or "number" (f64 if an operand is a float, else i64); the value is
  // then converted to the result's type.
  // Several results: one expression each, separated by `;`.
  const char *promote;
  const char *refuses;      // SCALAR that raises: when, as an expression like `scalar`
  const char *refusal;      // and the text
  bool single_pass;         // REDUCTION that asks for each element once: producers may be computed inside it
  const char *call;         // runtime call of runtime/calls.def that does it (containers, strings)
  const char *compose;      // the op as IR text over other ops: a graph body over the schema's names
  const char *inplace_of;   // schema name of the functional form, for `aten::add_.Tensor` and out= forms
  const char *trains;       // name of the bool argument that makes the op write its running_* arguments, which its schema hides
  const char *doc;          // one line, for docs/ops.md
} fst_op_info;

const fst_op_info *fst_op_get(fst_op op);
const char *fst_op_name(fst_op op);             // "aten::add.Tensor"
fst_op fst_op_find(const char *name, size_t len);  // by name with overload; FST_OP_UNKNOWN when there is none

// ---- schemas, parsed once from the text ----
typedef struct fst_schema_arg {
  const char *name;
  const char *type;          // text: "Tensor", "int[]", "Scalar?", "t[]"
  const char *default_text;  // literal text or NULL
  bool kwarg_only;
  char alias;                // alias set letter, '*' wildcard, 0 none
  bool is_written;
  uint32_t fixed_size;       // int[2] -> 2
} fst_schema_arg;
typedef struct fst_schema {
  const char *name;          // "aten::add.Tensor"
  uint32_t arg_count, ret_count;
  const fst_schema_arg *args, *rets;
  bool is_vararg, is_varret;
} fst_schema;
const fst_schema *fst_op_schema(fst_op op);
// Parses any schema text (an unknown op's) into `arena`.
fst_status fst_schema_parse(fst_arena *arena, const char *text, fst_schema *out);
// The schema of a node, unknown ops included. Index of an argument by name, or -1.
int fst_schema_arg_index(const fst_schema *schema, const char *name);

#endif
