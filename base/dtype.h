// Element types, numbered as PyTorch numbers its ScalarType, because models carry those numbers as ints.
#ifndef FST_BASE_DTYPE_H
#define FST_BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

//        id, number, short name (IR text), torch name, numpy/Neuropod name, word of PyTorch's messages, bytes, kind
#define FST_DTYPES(X)                                                                   \
  X(U8, 0, "u8", "torch.uint8", "uint8", "Byte", 1, FST_KIND_UINT)                      \
  X(I8, 1, "i8", "torch.int8", "int8", "Char", 1, FST_KIND_INT)                         \
  X(I16, 2, "i16", "torch.int16", "int16", "Short", 2, FST_KIND_INT)                    \
  X(I32, 3, "i32", "torch.int32", "int32", "Int", 4, FST_KIND_INT)                      \
  X(I64, 4, "i64", "torch.int64", "int64", "Long", 8, FST_KIND_INT)                     \
  X(F16, 5, "f16", "torch.float16", "float16", "Half", 2, FST_KIND_FLOAT)               \
  X(F32, 6, "f32", "torch.float32", "float32", "Float", 4, FST_KIND_FLOAT)              \
  X(F64, 7, "f64", "torch.float64", "float64", "Double", 8, FST_KIND_FLOAT)             \
  X(C32, 8, "c32", "torch.complex32", "complex32", "ComplexHalf", 4, FST_KIND_COMPLEX)  \
  X(C64, 9, "c64", "torch.complex64", "complex64", "ComplexFloat", 8, FST_KIND_COMPLEX) \
  X(C128, 10, "c128", "torch.complex128", "complex128", "ComplexDouble", 16, FST_KIND_COMPLEX) \
  X(BOOL, 11, "b8", "torch.bool", "bool", "Bool", 1, FST_KIND_BOOL)                     \
  X(BF16, 15, "bf16", "torch.bfloat16", "bfloat16", "BFloat16", 2, FST_KIND_FLOAT)

// Types that no model computes with, but that callers' tensors may have, to be refused by name. They have a size and names; no
// name stands for them in a type's text.
#define FST_FOREIGN_DTYPES(X)                                    \
  X(U16, 27, "u16", "torch.uint16", "uint16", "UInt16", 2, FST_KIND_NONE) \
  X(U32, 28, "u32", "torch.uint32", "uint32", "UInt32", 4, FST_KIND_NONE) \
  X(U64, 29, "u64", "torch.uint64", "uint64", "UInt64", 8, FST_KIND_NONE)

typedef enum {
  FST_KIND_NONE,
  FST_KIND_BOOL,
  FST_KIND_UINT,
  FST_KIND_INT,
  FST_KIND_FLOAT,
  FST_KIND_COMPLEX,
} fst_dtype_kind;

typedef enum {
#define X(id, number, short_name, torch_name, np_name, word, bytes, kind) FST_##id = number,
  FST_DTYPES(X) FST_FOREIGN_DTYPES(X)
#undef X
  FST_DTYPE_UNKNOWN = 127,
} fst_dtype;

size_t fst_dtype_size(fst_dtype dtype);              // bytes; 0 for unknown
fst_dtype_kind fst_dtype_kind_of(fst_dtype dtype);
const char *fst_dtype_name(fst_dtype dtype);         // "f32"; "?" for unknown
const char *fst_dtype_torch_name(fst_dtype dtype);   // "torch.float32"
const char *fst_dtype_np_name(fst_dtype dtype);      // "float32"
const char *fst_dtype_word(fst_dtype dtype);         // "Float"; "Unknown" for unknown
fst_dtype fst_dtype_from_name(const char *name, size_t len);  // any of the names but the word; else unknown
bool fst_dtype_is_float(fst_dtype dtype);
bool fst_dtype_is_integral(fst_dtype dtype, bool with_bool);
bool fst_dtype_is_complex(fst_dtype dtype);
fst_dtype fst_dtype_part(fst_dtype dtype);           // of the two floats of a complex element; any other dtype itself

#endif
