// The extension module's parts: its state, values in both directions, the two types.
#ifndef FST_PYTHON_MODULE_H
#define FST_PYTHON_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "include/firesteel/firesteel.h"

typedef struct module_state {
  PyObject *error;         // firesteel.Error
  PyObject *tensor_type, *model_type, *pod_type;
  PyObject *asarray;       // numpy.asarray; NULL: not looked for yet; None: there is no numpy
  PyObject *make_object;   // called as (class, names, values) for instances and enum members; set from Python
} module_state;

// Sets the Python error from a failure, which it takes; returns NULL.
PyObject *failure_raise(module_state *state, fst_failure *failure);

// ---- values (python/convert.c) ----
typedef struct converter {
  module_state *state;
  const fst_model *model;  // for names of classes; may be NULL
  int takes_foreign;       // for fst_infer_map, which says itself what of dtypes and numbers does not fit: arrays stay arrays
  int saw_torch;           // a torch tensor came in, so tensors go out as torch tensors
} converter;
// A value from a Python object. `type` is the declared type's text, "" when unknown: numbers that NumPy wraps
// become numbers where no tensor is declared.
fst_var *var_from_python(converter *c, PyObject *object, const char *type);
PyObject *var_to_python(converter *c, const fst_var *var);

// ---- arguments (python/model.c) ----
typedef struct call_values {
  size_t positional, count;
  const char **names;
  fst_var **vars;
  PyObject **objects;    // borrowed from args and kwargs
} call_values;

int call_values_fill(converter *c, const char *method_name, PyObject *args, PyObject *kwargs, call_values *v);  // 0: an error is set; free them anyway
void call_values_free(call_values *v);
// The texts of a list, which holds on to them; NULL with an error. free() the array.
const char **texts_read(PyObject *list, Py_ssize_t count);
// [(name, dtype, (dims: int, symbol's name, or None), ...)]
PyObject *specs_list(const void *of, int outputs, int (*get)(const void *of, int outputs, size_t index, fst_spec *out));

// ---- firesteel.Tensor (python/tensor.c): a result's memory, by DLPack and the buffer protocol ----
extern PyType_Spec tensor_spec;
PyObject *tensor_wrap(module_state *state, const fst_var *var);
fst_var *tensor_unwrap(module_state *state, PyObject *object);  // borrowed; NULL (no error set): another type
PyObject *tensor_capsule(const fst_var *var);                   // "dltensor"

// ---- _firesteel.Model (python/model.c) ----
extern PyType_Spec model_spec;

// ---- _firesteel.Pod (python/pod.c) ----
extern PyType_Spec pod_spec;

#endif
