// Sizes and strides as symbolic integer expressions, hash-consed, so that equality is ==.
//
// A fst_dim is a constant (>= 0), FST_DIM_UNKNOWN, or a reference into a fst_dims table. Expressions
// are kept in one canonical form: a sum of (coefficient x product of atoms) plus a constant, where an
// atom is a symbol or a floordiv/mod/min/max of two expressions. Two sizes that are equal as
// polynomials therefore compare equal, and `is it a multiple of 64` is a walk over coefficients.
// Symbols are sizes (>= 0) unless made signed; both kinds share one numbering. Text: `s0`, `s0 + 64`,
// `4*s0*s1 - 1`, `s0 // 2`, `min(s0, 3)`, and `i1` for a signed symbol.
#ifndef FST_IR_DIM_H
#define FST_IR_DIM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/map.h"
#include "base/text.h"

typedef int64_t fst_dim;  // >= 0: constant; FST_DIM_UNKNOWN; other negatives: -(1 + expression index)
#define FST_DIM_UNKNOWN INT64_MIN

typedef enum { FST_DIM_CONST, FST_DIM_SUM, FST_DIM_SYMBOL, FST_DIM_PRODUCT, FST_DIM_FLOORDIV, FST_DIM_MOD, FST_DIM_MIN, FST_DIM_MAX } fst_dim_kind;

typedef struct fst_dims fst_dims;  // owned by a graph
fst_dims *fst_dims_create(fst_arena *arena);

fst_dim fst_dim_const(fst_dims *dims, int64_t value);   // negative constants live in the table
bool fst_dim_is_const(const fst_dims *dims, fst_dim d, int64_t *out_value);
bool fst_dim_is_known(fst_dim d);                        // constant or expression, not unknown
fst_dim fst_dim_symbol(fst_dims *dims, uint32_t index, bool is_signed);  // s<index>
fst_dim fst_dim_fresh(fst_dims *dims, bool is_signed);                    // a symbol not used so far
uint32_t fst_dims_symbol_count(const fst_dims *dims);    // one above the highest symbol index in use
bool fst_dim_is_symbol(const fst_dims *dims, fst_dim d, uint32_t *out_index);

// Any operand unknown gives unknown. Division by a constant 0 gives unknown. floordiv and mod follow Python.
fst_dim fst_dim_add(fst_dims *dims, fst_dim a, fst_dim b);
fst_dim fst_dim_sub(fst_dims *dims, fst_dim a, fst_dim b);
fst_dim fst_dim_mul(fst_dims *dims, fst_dim a, fst_dim b);
fst_dim fst_dim_floordiv(fst_dims *dims, fst_dim a, fst_dim b);
fst_dim fst_dim_mod(fst_dims *dims, fst_dim a, fst_dim b);
fst_dim fst_dim_min(fst_dims *dims, fst_dim a, fst_dim b);
fst_dim fst_dim_max(fst_dims *dims, fst_dim a, fst_dim b);

// Proven bounds (inclusive); INT64_MIN / INT64_MAX when nothing is known.
void fst_dim_bounds(const fst_dims *dims, fst_dim d, int64_t *out_low, int64_t *out_high);
// 1: proven equal, 0: proven different, -1: unknown.
int fst_dim_equal(fst_dims *dims, fst_dim a, fst_dim b);
int fst_dim_less(fst_dims *dims, fst_dim a, fst_dim b);  // a < b
// Largest constant proven to divide d (0 for the constant 0).
int64_t fst_dim_divisor(const fst_dims *dims, fst_dim d);
// Replaces symbols: map[i] for s<i>, FST_DIM_UNKNOWN keeps it.
fst_dim fst_dim_substitute(fst_dims *dims, fst_dim d, const fst_dim *map, uint32_t count);
// Copies an expression into another table, mapping symbols through `map` (as above).
fst_dim fst_dim_import(fst_dims *to, const fst_dims *from, fst_dim d, const fst_dim *map, uint32_t count);
bool fst_dim_evaluate(const fst_dims *dims, fst_dim d, const int64_t *symbols, uint32_t count, int64_t *out_value);

// Walking an expression (code generation). A SUM has `count` operands each scaled by its coefficient,
// plus `constant`; a PRODUCT has `count` operands; the others have two.
typedef struct fst_dim_view {
  fst_dim_kind kind;
  int64_t constant;   // CONST, SUM
  uint32_t symbol;    // SYMBOL
  bool is_signed;     // SYMBOL
  uint32_t count;
  const fst_dim *operands;
  const int64_t *coefficients;  // SUM
} fst_dim_view;
fst_dim_view fst_dim_open(const fst_dims *dims, fst_dim d);

void fst_dim_print(const fst_dims *dims, fst_dim d, fst_text *out);  // "?" for unknown
// Parses one expression at *cursor and advances it; an error names what was expected.
fst_status fst_dim_parse(fst_dims *dims, const char **cursor, fst_dim *out);

#endif
