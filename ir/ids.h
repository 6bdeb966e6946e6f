// Typed 32-bit ids: the compiler rejects mixing them. Id 0 is "none" everywhere.
#ifndef FST_IR_IDS_H
#define FST_IR_IDS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct { uint32_t id; } fst_type;      // interned: equality is ==, see fst_type_eq
typedef struct { uint32_t id; } fst_value_id;
typedef struct { uint32_t id; } fst_node_id;
typedef struct { uint32_t id; } fst_block_id;
typedef struct { uint32_t id; } fst_const;     // a literal in the module's constant table
typedef struct { uint32_t id; } fst_class_id;
typedef struct { uint32_t id; } fst_loc;       // source location, with the chain of calls it was inlined through

static inline bool fst_type_eq(fst_type a, fst_type b) { return a.id == b.id; }
static inline bool fst_value_eq(fst_value_id a, fst_value_id b) { return a.id == b.id; }
static inline bool fst_node_eq(fst_node_id a, fst_node_id b) { return a.id == b.id; }
static inline bool fst_block_eq(fst_block_id a, fst_block_id b) { return a.id == b.id; }
#define FST_NO_VALUE ((fst_value_id){0})
#define FST_NO_NODE ((fst_node_id){0})
#define FST_NO_BLOCK ((fst_block_id){0})
#define FST_NO_TYPE ((fst_type){0})
#define FST_NO_LOC ((fst_loc){0})

#endif
