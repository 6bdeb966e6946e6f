/* Firesteel's C interface: open a compiled model (model.fst, a compiled Neuropod) or a TorchScript archive,
 * call its methods, read the results.
 *
 * Failures. A function that can fail returns NULL on success, otherwise a fst_failure that the caller frees
 * with fst_failure_free. Results come through `out_` parameters, untouched on failure. Nothing here ends the
 * process, prints, or changes signal handlers.
 *
 * Threads. A fst_model may be used by any number of threads at once: calls of methods without state run in
 * parallel, calls of methods that read or write attributes take turns on that instance. fst_clone gives
 * an instance with state of its own that shares weights and code. A fst_var must not be used by two
 * threads while one of them changes it.
 *
 * Memory. Tensors go in and out without a copy where the model allows it. Results stay valid after
 * fst_close. */
#ifndef FIRESTEEL_FIRESTEEL_H
#define FIRESTEEL_FIRESTEEL_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define FST_API __attribute__((visibility("default")))
#else
#define FST_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fst_model fst_model;     /* one instance of a model */
typedef struct fst_var fst_var;         /* a value: tensor, number, string, list, dict, tuple, None, object */
typedef struct fst_failure fst_failure;

FST_API const char *fst_version(void);

/* ---- failures ---- */
enum {
  FST_FAILED_INVALID = 1,      /* an argument or option is wrong; the text says which, what was expected and found */
  FST_FAILED_NOT_FOUND = 2,    /* file, method, worker, library */
  FST_FAILED_CORRUPT = 3,      /* a file is damaged or not what it claims to be */
  FST_FAILED_UNSUPPORTED = 4,  /* something named that cannot be compiled or run here */
  FST_FAILED_IO = 5,
  FST_FAILED_RESOURCE = 6,     /* memory, time limit, disk */
  FST_FAILED_MODEL = 7,        /* the model raised an exception: see class, text and location */
  FST_FAILED_INTERNAL = 8,
};
FST_API int fst_failure_code(const fst_failure *failure);
FST_API const char *fst_failure_message(const fst_failure *failure);   /* one clear text, everything included */
FST_API const char *fst_failure_class(const fst_failure *failure);     /* MODEL: "ValueError"; else "" */
FST_API const char *fst_failure_text(const fst_failure *failure);      /* MODEL: the exception's own text; else the message */
FST_API const char *fst_failure_location(const fst_failure *failure);  /* MODEL: "code/__torch__/m.py:12 (called from ...)"; may be "" */
/* One of the caller's own, for layers above this interface. */
FST_API fst_failure *fst_failure_new(int code, const char *message);
FST_API void fst_failure_free(fst_failure *failure);                   /* NULL is allowed */

/* ---- opening ---- */
typedef struct fst_open_options {
  size_t size;                  /* sizeof(fst_open_options); fields beyond it count as zero */
  const char *target;           /* "x86-64-v3", "x86-64-v4"; NULL: the best this CPU runs */
  const char *worker;           /* path of firesteel-worker; NULL: beside this library, or FIRESTEEL_WORKER */
  const char *compile_options;  /* passed on to the compiler, "name=value" separated by blanks; NULL: none */
  const char *bridge;           /* path of libfiresteel_torch.so; NULL: beside this library */
  int copy_weights;             /* keep weights in huge pages instead of mapping the file */
  int verify_weights;           /* check the weights' checksums while opening */
  int no_compile;               /* refuse archives that are not compiled yet */
  int dynamic_shapes;           /* archives: compile with every size open from the first call on */
  int time_limit;               /* archives: seconds that reading or compiling may take each time; 0: 600 */
  const char *device;           /* "cuda" or "cuda:1": all tensors of the model live there; NULL or "cpu": the CPU */
  int graphs;                   /* with a device: calls with sizes seen before run as one CUDA graph, where the model has no state,
                                 * writes nothing and reads no values in between. Each graph (up to 16 a thread) has memory of its own */
} fst_open_options;
/* Opens compiled artifacts (.fst, compiled .neuropod as file or folder, and shared objects, whose constructors run) directly. Any other archive is
 * compiled, by a worker process, when a method is first called with arguments of a kind not seen before. */
FST_API fst_failure *fst_open(const char *path, const fst_open_options *options, fst_model **out_model);
/* A compiled artifact in memory; the bytes are not needed afterwards. */
FST_API fst_failure *fst_open_memory(const void *bytes, size_t len, const fst_open_options *options, fst_model **out_model);
/* A compiled model as part of a program, as `firesteel compile --emit obj` and `--emit so` define it. Code and weights are used where
 * they are: nothing is mapped or loaded. */
#define FST_EMBEDDED_VERSION 1
#define FST_EMBEDDED_SYMBOL "firesteel_embedded_model"  /* the name that a shared object gives to its fst_embedded */
typedef struct fst_embedded_member { const char *name; const void *bytes; size_t len; } fst_embedded_member;
typedef struct fst_embedded {
  size_t version;               /* FST_EMBEDDED_VERSION */
  const char *name;             /* for messages */
  size_t count;
  const fst_embedded_member *members;
} fst_embedded;
FST_API fst_failure *fst_open_embedded(const fst_embedded *embedded, const fst_open_options *options, fst_model **out_model);
/* An instance with a copy of the state, and what it shares kept shared. */
FST_API fst_failure *fst_clone(fst_model *model, fst_model **out_model);
FST_API void fst_close(fst_model *model);  /* NULL is allowed; no call may be running */

/* ---- what a model offers ---- */
FST_API size_t fst_method_count(const fst_model *model);
FST_API const char *fst_method_name(const fst_model *model, size_t method);
FST_API int fst_method_find(const fst_model *model, const char *name, size_t *out_method);  /* 0: no such method */
FST_API size_t fst_method_arg_count(const fst_model *model, size_t method);
FST_API const char *fst_method_arg_name(const fst_model *model, size_t method, size_t arg);
FST_API const char *fst_method_arg_type(const fst_model *model, size_t method, size_t arg);  /* "Tensor", "Optional[int]", ... */
FST_API int fst_method_arg_is_optional(const fst_model *model, size_t method, size_t arg);   /* has a default */
FST_API const char *fst_method_result_type(const fst_model *model, size_t method);
FST_API int fst_method_has_state(const fst_model *model, size_t method);

/* Neuropod's input and output specs. A dim is a size, -1 for any, or a symbol: then its name is in symbols[]. */
typedef struct fst_spec {
  const char *name;
  const char *dtype;           /* "float32", "int64", "string", ... */
  size_t rank;
  const int64_t *dims;
  const char *const *symbols;  /* NULL where the dim is not a symbol */
} fst_spec;
/* The name in the Neuropod's config; "" when the model comes from a plain archive. */
FST_API const char *fst_package_name(const fst_model *model);
FST_API size_t fst_spec_count(const fst_model *model, int outputs);
FST_API int fst_spec_get(const fst_model *model, int outputs, size_t index, fst_spec *out_spec);  /* 0: no such spec */

/* ---- calling ---- */
/* `method` NULL is "forward". Arguments in order; those left out at the end take their defaults. */
FST_API fst_failure *fst_infer(fst_model *model, const char *method, const fst_var *const *args, size_t count, fst_var **out_result);
/* The first `positional` arguments in order, the other `count - positional` by the names in `names`. */
FST_API fst_failure *fst_infer_named(fst_model *model, const char *method, size_t positional, const char *const *names, const fst_var *const *args, size_t count, fst_var **out_result);

/* Neuropod's way: tensors by name in, tensors by name out. A value is a tensor, or a list of strings (a string tensor of
 * one dimension); numbers count as tensors of one element. */
typedef struct fst_map_options {
  size_t size;                  /* sizeof(fst_map_options); fields beyond it count as zero */
  const char *method;           /* NULL: "forward" */
  int no_check;                 /* do not compare inputs and outputs with the package's specs */
  int strict_symbols;           /* a symbol stands for one size in inputs and outputs together; else in each of them */
  const char *const *outputs;   /* names of those that are wanted: no others are checked or returned */
  size_t output_count;          /* 0: all */
  fst_var *const *results;      /* NULL, or for each wanted output NULL or a tensor of its dtype and sizes, which it is
                                 * copied into and which is then the one returned */
} fst_map_options;
/* Each input is the argument of that name, or an item of the dict that is the method's only argument. Arguments without
 * an input are None, or their default. Inputs and outputs of a package are compared with its specs, by Neuropod's rules
 * and with its texts: a tensor that a spec does not name is an error, one that is left out is not. The method's result
 * is a dict, a named tuple, a tuple of dicts, or the only output. `options` may be NULL. *out_outputs is a new dict, in
 * the order in which the outputs were asked for or else made; tensors in it are row-major. */
FST_API fst_failure *fst_infer_map(fst_model *model, const char *const *names, const fst_var *const *values, size_t count, const fst_map_options *options, fst_var **out_outputs);

/* JSON: fallback_ops (calls of each), signatures, compiles, kernels, arena_bytes, compile_ms, target; and of the call that
 * ended last flops and weight_bytes: what its products and convolutions computed (a multiply-add is two) and read of
 * the weights. With a device: its name, and of that call launches of kernels and copies_in and copies_out, copies of tensors
 * and numbers between the host and the device, and graph: was it replayed as one? Free with fst_string_free. */
FST_API fst_failure *fst_report(fst_model *model, char **out_json);
/* A method's IR at a stage ("imported", "inlined", "typed", "functional", "fused", "planned", "llvm", "asm"), from
 * the compiler; archives only. Stages from "typed" on show the arguments compiled for last. */
FST_API fst_failure *fst_dump(fst_model *model, const char *method, const char *stage, char **out_text);
FST_API void fst_string_free(char *text);

/* ---- values ---- */
enum {
  FST_VAR_NONE, FST_VAR_BOOL, FST_VAR_INT, FST_VAR_FLOAT, FST_VAR_COMPLEX, FST_VAR_STR, FST_VAR_TENSOR, FST_VAR_LIST,
  FST_VAR_DICT, FST_VAR_TUPLE, FST_VAR_OBJECT, FST_VAR_DEVICE, FST_VAR_ENUM, FST_VAR_OPAQUE,
};
/* Element types, numbered as PyTorch numbers them. */
enum {
  FST_DT_U8 = 0, FST_DT_I8 = 1, FST_DT_I16 = 2, FST_DT_I32 = 3, FST_DT_I64 = 4, FST_DT_F16 = 5, FST_DT_F32 = 6,
  FST_DT_F64 = 7, FST_DT_C32 = 8, FST_DT_C64 = 9, FST_DT_C128 = 10, FST_DT_BOOL = 11, FST_DT_BF16 = 15,
  FST_DT_U16 = 27, FST_DT_U32 = 28, FST_DT_U64 = 29,  /* can be passed, and are then refused by name: no model takes them */
};

/* Making. NULL: memory is out. Containers hold references on what is put into them: the caller still frees
 * its own fst_var. */
FST_API fst_var *fst_var_none(void);
FST_API fst_var *fst_var_bool(int value);
FST_API fst_var *fst_var_int(int64_t value);
FST_API fst_var *fst_var_float(double value);
FST_API fst_var *fst_var_complex(double re, double im);
FST_API fst_var *fst_var_str(const char *bytes, size_t len);
FST_API fst_var *fst_var_list(void);
FST_API fst_var *fst_var_dict(void);
FST_API fst_var *fst_var_tuple(const fst_var *const *items, size_t count);
FST_API int fst_var_list_add(fst_var *list, const fst_var *item);                        /* 0: memory is out, or no list */
FST_API int fst_var_dict_set(fst_var *dict, const fst_var *key, const fst_var *value);   /* 0: memory is out, or no dict */
/* A tensor over the caller's memory: `data` is element 0, strides count elements (NULL: row-major).
 * `release(owner)` is called, from any thread, when nothing uses the memory any more; it may be NULL. A
 * model that writes into this argument writes into this memory. On failure `release` is not called. */
FST_API fst_failure *fst_var_tensor(int dtype, size_t rank, const int64_t *sizes, const int64_t *strides, void *data, void (*release)(void *owner), void *owner, fst_var **out_var);
/* The same over memory of CUDA device number `device`, for a model that is open there. Work that others have put into the
 * device's default stream before a call is waited for; what is in other streams must be done. When an argument is such a
 * tensor, results stay on the device, too; else they are copied to the host. */
FST_API fst_failure *fst_var_tensor_cuda(int device, int dtype, size_t rank, const int64_t *sizes, const int64_t *strides, void *data, void (*release)(void *owner), void *owner, fst_var **out_var);
FST_API int fst_var_device(const fst_var *var);  /* number of the CUDA device where a tensor's memory is; -1: the host */
/* The tensor in the host's memory: itself, or a copy. */
FST_API fst_failure *fst_var_host(const fst_var *var, fst_var **out_var);
/* Says that the memory of a tensor must not be written: a call that would write into it fails instead. */
FST_API void fst_var_set_readonly(fst_var *tensor);
FST_API int fst_var_is_readonly(const fst_var *tensor);
/* A tensor with memory of its own, row-major, zeroed. */
FST_API fst_failure *fst_var_tensor_new(int dtype, size_t rank, const int64_t *sizes, fst_var **out_var);
FST_API fst_var *fst_var_ref(const fst_var *var);  /* another handle to the same value */
FST_API void fst_var_free(fst_var *var);           /* NULL is allowed */

/* Reading. Asking for what the value is not gives 0, "" or NULL. */
FST_API int fst_var_kind(const fst_var *var);
FST_API int fst_var_as_bool(const fst_var *var);
FST_API int64_t fst_var_as_int(const fst_var *var);    /* BOOL, INT, DEVICE, ENUM (class << 32 | member) */
FST_API double fst_var_as_float(const fst_var *var);   /* FLOAT, INT; real part of COMPLEX */
FST_API double fst_var_imag(const fst_var *var);
FST_API const char *fst_var_as_str(const fst_var *var, size_t *out_len);
FST_API size_t fst_var_count(const fst_var *var);      /* LIST, TUPLE, DICT, OBJECT */
FST_API fst_var *fst_var_item(const fst_var *var, size_t index);  /* a new handle; for a DICT the value of entry `index` */
FST_API fst_var *fst_var_key(const fst_var *var, size_t index);   /* a new handle; DICT */
FST_API fst_var *fst_var_get(const fst_var *dict, const char *key);  /* a new handle, or NULL when absent */
FST_API int fst_var_dtype(const fst_var *var);         /* TENSOR; -1 otherwise */
FST_API size_t fst_var_rank(const fst_var *var);
FST_API const int64_t *fst_var_sizes(const fst_var *var);
FST_API const int64_t *fst_var_strides(const fst_var *var);  /* in elements */
FST_API void *fst_var_data(const fst_var *var);        /* element 0; of a tensor on a device its address there */
/* Two tensors that share memory have the same storage address. */
FST_API const void *fst_var_storage(const fst_var *var);
/* Equal for two handles to one object (a result that is an argument itself); NULL for plain numbers and None. */
FST_API const void *fst_var_identity(const fst_var *var);
/* The release-owner given to fst_var_tensor when the value is such a tensor and `release` matches; else NULL. */
FST_API void *fst_var_owner(const fst_var *var, void (*release)(void *owner));
/* As TorchScript prints it. Free with fst_string_free; NULL: memory is out. */
FST_API char *fst_var_format(const fst_var *var);
/* Name of an enum's class and member, or of an object's class and attribute `index`; "" when unknown. */
FST_API const char *fst_model_class_name(const fst_model *model, const fst_var *var);
FST_API const char *fst_model_member_name(const fst_model *model, const fst_var *var, size_t index);

#ifdef __cplusplus
}
#endif

#endif
