// plan.bin: everything about an artifact but its code and its weights, as one flat little-endian file
// that is used where it lies. No offset is a pointer, no record has padding that is not named.
//
//   header            magic, version, crc32c, section table
//   sections          arrays of the fixed records below, each starting at a multiple of 8
//
// Records name each other by index. Lists of indices are slices of WORDS, lists of 64-bit numbers slices of
// INTS. Where a record holds records of its own section (constants, types, patterns), those have smaller
// indices, so nothing in a plan is cyclic and one forward walk can check or build everything. The reader
// (runtime/plan.c) checks every index once; after that the records are trusted.
//
// Written by base/plan_write.c from what code generation collected (fst_plan_tables).
#ifndef FST_BASE_PLAN_H
#define FST_BASE_PLAN_H

#include <stdint.h>

#define FST_PLAN_MAGIC 0x314e4c50545346ull  // "FSTPLN1"
#define FST_PLAN_VERSION 3
#define FST_PLAN_CRC_BLOCK 1048576u  // weights.bin is checked in pieces of this size

// Sizes and int values in patterns: a number, a symbol of the signature, or anything.
#define FST_PLAN_DIM_ANY INT64_MIN
static inline int64_t fst_plan_dim_symbol(uint32_t symbol) { return -1 - (int64_t)symbol; }

typedef struct fst_plan_string { uint32_t offset, len; } fst_plan_string;  // into BYTES; a NUL follows

// [0] is "no location".
typedef struct fst_plan_loc { uint32_t file, line, caller; } fst_plan_loc;  // file: string; caller: an earlier loc or 0

typedef enum { FST_PLAN_CLASS_PLAIN, FST_PLAN_CLASS_ENUM } fst_plan_class_kind;
typedef struct fst_plan_class {
  uint32_t name;          // string
  uint32_t kind;
  uint32_t first, count;  // WORDS: strings, the attribute or member names
  uint32_t values;        // ENUM: WORDS: constants, the member values
} fst_plan_class;

typedef enum {
  FST_PLAN_TY_ANY, FST_PLAN_TY_NONE, FST_PLAN_TY_INT, FST_PLAN_TY_FLOAT, FST_PLAN_TY_BOOL, FST_PLAN_TY_COMPLEX,
  FST_PLAN_TY_NUMBER, FST_PLAN_TY_STR, FST_PLAN_TY_DEVICE, FST_PLAN_TY_TENSOR,
  FST_PLAN_TY_LIST, FST_PLAN_TY_DICT, FST_PLAN_TY_TUPLE, FST_PLAN_TY_OPTIONAL, FST_PLAN_TY_UNION,
  FST_PLAN_TY_CLASS, FST_PLAN_TY_OPAQUE,
  FST_PLAN_TY_COUNT
} fst_plan_type_kind;
// A declared type, as the archive says it: how callers' values convert and how results are shown.
typedef struct fst_plan_type {
  uint32_t kind;
  uint32_t name;          // string: CLASS, OPAQUE, NamedTuple; "" otherwise
  uint32_t first, count;  // WORDS: item types (DICT: key, value)
  uint32_t fields;        // WORDS: strings, `count` names of a NamedTuple; meaningful when `name` is not ""
} fst_plan_type;

// A piece of weights.bin that tensors share.
typedef struct fst_plan_storage { uint64_t offset, bytes; } fst_plan_storage;

typedef struct fst_plan_const {
  uint32_t tag;           // fst_tag
  uint32_t aux;           // STR: string; TENSOR: storage; OBJECT: class
  int64_t bits;           // BOOL, INT, FLOAT, DEVICE, ENUM: the value; TENSOR: byte offset of element 0 in its storage
  uint32_t first, count;  // LIST, TUPLE, OBJECT: items in WORDS. DICT: `count` keys then `count` values in WORDS.
                          // TENSOR: rank; sizes then strides in INTS. COMPLEX: two doubles as bits in INTS, count 2
  uint32_t dtype;         // TENSOR
  uint32_t pad;
} fst_plan_const;

// An attribute that calls may write. Two slots naming one constant start out sharing one object, and tensor
// constants of one storage start out sharing memory.
typedef struct fst_plan_slot { uint32_t path, initial; } fst_plan_slot;  // string; constant

enum {
  FST_PLAN_ARG_WRITTEN = 1,  // a call may write into it
  FST_PLAN_ARG_ALIASED = 2,  // a result or state may share its memory
  FST_PLAN_ARG_KEYWORD = 4,  // by name only
};
typedef struct fst_plan_arg {
  uint32_t name, type;   // string; type
  uint32_t initial;      // constant + 1 that stands in for an absent argument; 0: it must be given
  uint32_t flags;
} fst_plan_arg;

enum {
  FST_PLAN_METHOD_STATE = 1,  // reads or writes a slot: one call at a time on an instance
};
typedef struct fst_plan_method {
  uint32_t name;
  uint32_t flags;
  uint32_t args, arg_count;                  // ARGS
  uint32_t results, result_count;            // WORDS: types
  uint32_t signatures, signature_count;      // SIGNATURES, tried in this order
} fst_plan_method;

#define FST_PLAN_ANY UINT32_MAX
enum {
  FST_PLAN_PAT_CONTIGUOUS = 1,  // TENSOR: row-major
  FST_PLAN_PAT_STRIDED = 2,     // TENSOR: strides follow the sizes in INTS
  FST_PLAN_PAT_KEYS = 4,        // DICT: exactly these keys
  FST_PLAN_PAT_VALUE = 8,       // BOOL, FLOAT, STR: equal to constant `aux`
};
enum { FST_PLAN_RANK_ANY = 255 };
typedef struct fst_plan_pattern {
  uint32_t tag;            // fst_tag, or FST_PLAN_ANY
  uint8_t dtype;           // TENSOR: FST_DTYPE_UNKNOWN for any
  uint8_t rank;            // TENSOR: FST_PLAN_RANK_ANY for any
  uint16_t flags;
  uint32_t first, count;   // TENSOR: sizes (then strides) in INTS. TUPLE, OBJECT: item patterns in WORDS. LIST: one item pattern.
                           // DICT: key and value pattern (count 2); with KEYS `count` key constants then `count` patterns
  uint32_t aux;            // OBJECT: class; VALUE: constant
  uint32_t pad;
  int64_t number;          // INT: its value; LIST: its length; as a dim
} fst_plan_pattern;

enum {
  FST_PLAN_SIGNATURE_REPEATS = 1,  // same arguments, same work and same results: no state, nothing that outlives the call
};
typedef struct fst_plan_signature {
  uint32_t args;                 // WORDS: one pattern per argument of the method
  uint32_t state, state_count;   // WORDS: slot, pattern; slot, pattern; ...
  uint32_t symbol_count;
  uint32_t entry;                // number in fst_code_header.entries, the same for every target
  uint32_t result_count;         // how many values the entry fills
  uint32_t flags, pad;
  uint64_t arena_bytes;          // a hint; UINT64_MAX when known only at run time
} fst_plan_signature;

enum { FST_PLAN_SPEC_OUTPUT = 1 };
// Neuropod's input_spec and output_spec. The dtype is a string, Neuropod's word for it. Dims in INTS: a size, FST_PLAN_DIM_ANY, or -(1 + string) for a symbol.
typedef struct fst_plan_spec { uint32_t name, dtype, flags, first, count; } fst_plan_spec;

typedef struct fst_plan_target {
  uint32_t name;        // string; the code is member 0/compiled/<name>/code.bin
  uint32_t code_crc;
  uint64_t code_bytes;
} fst_plan_target;

// A target named FST_PLAN_DEVICE_TARGET holds code of the host that launches kernels on a device: each of these, in images,
// one an architecture. The code launches by number.
#define FST_PLAN_DEVICE_TARGET "cuda"
enum { FST_PLAN_MAX_KERNEL_ARGS = 1024 };
typedef struct fst_plan_kernel {
  uint32_t name;        // string: the symbol in the images
  uint32_t arg_count;
  uint32_t threads[3];  // of a block
  uint32_t shared_bytes;
} fst_plan_kernel;
typedef struct fst_plan_image {
  uint32_t name;        // string: "sm_90.cubin"; the bytes are member 0/compiled/cuda/<name>
  uint32_t crc;
  uint64_t bytes;
} fst_plan_image;

#define FST_PLAN_SECTIONS(X)                                                                                    \
  X(BYTES, bytes, uint8_t) X(STRINGS, strings, fst_plan_string) X(WORDS, words, uint32_t) X(INTS, ints, int64_t) \
  X(LOCS, locs, fst_plan_loc)                                                                                   \
  X(EXCEPTIONS, exceptions, uint32_t)          /* strings: exception class names */                             \
  X(MESSAGES, messages, uint32_t)              /* strings: our own error texts, with `{}` */                    \
  X(CLASSES, classes, fst_plan_class) X(TYPES, types, fst_plan_type) X(STORAGES, storages, fst_plan_storage)    \
  X(CONSTS, consts, fst_plan_const) X(SLOTS, slots, fst_plan_slot) X(METHODS, methods, fst_plan_method)         \
  X(ARGS, args, fst_plan_arg) X(PATTERNS, patterns, fst_plan_pattern)                                           \
  X(SIGNATURES, signatures, fst_plan_signature)                                                                 \
  X(FALLBACKS, fallbacks, uint32_t)            /* strings: schemas of ops run by the bridge */                  \
  X(SPECS, specs, fst_plan_spec) X(TARGETS, targets, fst_plan_target)                                           \
  X(KERNELS, kernels, fst_plan_kernel) X(IMAGES, images, fst_plan_image)                                        \
  X(CRCS, crcs, uint32_t)                      /* of each MB of weights.bin */

typedef enum {
#define X(id, field, type) FST_PLAN_##id,
  FST_PLAN_SECTIONS(X)
#undef X
  FST_PLAN_SECTION_COUNT
} fst_plan_section;

enum {
  FST_PLAN_FLAG_BRIDGE = 1,  // some op runs through libtorch
};
typedef struct fst_plan_header {
  uint64_t magic;
  uint32_t version;
  uint32_t crc;              // crc32c of all that follows this field
  uint64_t bytes;            // of the whole file
  uint32_t abi_version;
  uint32_t flags;
  uint64_t weights_bytes;
  uint64_t source_hash;      // of the archive's module
  uint32_t source;           // string: base name of the archive
  uint32_t info;             // string: JSON object with what report() adds (kernels, compile_ms, compiler version)
  uint32_t package;          // string: the Neuropod's name; "" when it is none
  uint32_t pad;
  struct { uint32_t offset, count; } sections[FST_PLAN_SECTION_COUNT];  // offset from the start of the file
} fst_plan_header;

#endif
