// The extension module's parts: its state, values in both directions, the two types.
#ifndef FST_PYTHON_MODULE_H
#define FST_PYTHON_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "include/firesteel/firesteel.h"

typedef struct module_state {
  PyObject *error;         // firesteel.Error
  PyObject *tensor_type, *model_type;
  PyObject *asarray;       // numpy.asarray; NULL: not looked for yet; None: there is no numpy
  PyObject *make_object;   // called as (class, names, values) for instances and enum members; set from Python
} module_state;

// Sets the Python error from a failure, which it takes; returns NULL.
PyObject *failure_raise(module_state *state, fst_failure *failure);

// ---- values (python/convert.c) ----
typedef struct converter {
  module_state *state;
  const fst_model *model;  // for names of classes; may be NULL
  int takes_foreign;       // element types that no model takes, too: what the runtime says of them is wanted
  int saw_torch;           // a torch tensor came in, so tensors go out as torch tensors
} converter;
// A value from a Python object. `type` is the declared type's text, "" when unknown: numbers that NumPy wraps
// become numbers where no tensor is declared.
fst_var *var_from_python(converter *c, PyObject *object, const char *type);
PyObject *var_to_python(converter *c, const fst_var *var);

// ---- firesteel.Tensor (python/tensor.c): a result's memory, by DLPack and the buffer protocol ----
extern PyType_Spec tensor_spec;
PyObject *tensor_wrap(module_state *state, const fst_var *var);
fst_var *tensor_unwrap(module_state *state, PyObject *object);  // borrowed; NULL (no error set): another type
PyObject *tensor_capsule(const fst_var *var);                   // "dltensor"

// ---- _firesteel.Model (python/model.c) ----
extern PyType_Spec model_spec;

#endif
