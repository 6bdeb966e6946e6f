// firesteel._firesteel: the runtime's C interface for python/firesteel/. One binary for CPython 3.11 and later.
#include "python/module.h"

// The exception's attributes: code (int), kind (the model's exception class), text, location.
PyObject *failure_raise(module_state *state, fst_failure *failure) {
  PyObject *error = PyObject_CallFunction(state->error, "s", fst_failure_message(failure));
  PyObject *fields = error ? Py_BuildValue("{s:i,s:s,s:s,s:s}", "code", fst_failure_code(failure), "kind", fst_failure_class(failure),
                                           "text", fst_failure_text(failure), "location", fst_failure_location(failure)) : NULL;
  PyObject *key, *value;
  for (Py_ssize_t at = 0; fields && PyDict_Next(fields, &at, &key, &value);)
    if (PyObject_SetAttr(error, key, value) != 0) PyErr_Clear();
  if (fields) PyErr_SetObject(state->error, error);
  Py_XDECREF(fields);
  Py_XDECREF(error);
  fst_failure_free(failure);
  return NULL;
}

static PyObject *set_make_object(PyObject *module, PyObject *function) {
  module_state *state = PyModule_GetState(module);
  Py_XDECREF(state->make_object);
  state->make_object = Py_NewRef(function);
  return Py_NewRef(Py_None);
}

static PyObject *version(PyObject *module, PyObject *unused) {
  (void)module;
  (void)unused;
  return PyUnicode_FromString(fst_version());
}

static int module_exec(PyObject *module) {
  module_state *state = PyModule_GetState(module);
  // What the module itself refuses has these; what the runtime refuses sets its own.
  PyObject *fields = Py_BuildValue("{s:i,s:s,s:s,s:s}", "code", FST_FAILED_INVALID, "kind", "", "text", "", "location", "");
  state->error = fields ? PyErr_NewExceptionWithDoc("firesteel.Error", "Every refusal and failure. Attributes: code, kind (the class of a model's own exception), text, location.", PyExc_RuntimeError, fields) : NULL;
  Py_XDECREF(fields);
  state->tensor_type = PyType_FromModuleAndSpec(module, &tensor_spec, NULL);
  state->model_type = PyType_FromModuleAndSpec(module, &model_spec, NULL);
  state->pod_type = PyType_FromModuleAndSpec(module, &pod_spec, NULL);
  state->make_object = Py_NewRef(Py_None);
  if (!state->error || !state->tensor_type || !state->model_type || !state->pod_type) return -1;
  if (PyModule_AddObjectRef(module, "Pod", state->pod_type) != 0) return -1;
  if (PyModule_AddObjectRef(module, "Error", state->error) != 0) return -1;
  if (PyModule_AddObjectRef(module, "Tensor", state->tensor_type) != 0) return -1;
  return PyModule_AddObjectRef(module, "Model", state->model_type);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg) {
  module_state *state = PyModule_GetState(module);
  Py_VISIT(state->error);
  Py_VISIT(state->tensor_type);
  Py_VISIT(state->model_type);
  Py_VISIT(state->pod_type);
  Py_VISIT(state->asarray);
  Py_VISIT(state->make_object);
  return 0;
}

static int module_clear(PyObject *module) {
  module_state *state = PyModule_GetState(module);
  Py_CLEAR(state->error);
  Py_CLEAR(state->tensor_type);
  Py_CLEAR(state->model_type);
  Py_CLEAR(state->pod_type);
  Py_CLEAR(state->asarray);
  Py_CLEAR(state->make_object);
  return 0;
}

static PyMethodDef functions[] = {
  {"set_make_object", set_make_object, METH_O, "The function that makes results of a model's own classes."},
  {"version", version, METH_NOARGS, "The runtime's version."},
  {NULL, NULL, 0, NULL},
};
static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)(uintptr_t)module_exec}, {0, NULL}};
static PyModuleDef definition = {
  PyModuleDef_HEAD_INIT, .m_name = "_firesteel", .m_doc = "The Firesteel runtime.", .m_size = sizeof(module_state),
  .m_methods = functions, .m_slots = slots, .m_traverse = module_traverse, .m_clear = module_clear,
};

PyMODINIT_FUNC PyInit__firesteel(void);
PyMODINIT_FUNC PyInit__firesteel(void) { return PyModuleDef_Init(&definition); }
