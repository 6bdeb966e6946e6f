// _firesteel.Pod: a Neuropod in a process of its own.
#include <stdlib.h>

#include "firesteel/pod.h"
#include "python/module.h"

typedef struct pod_object {
  PyObject_HEAD
  fst_pod *pod;
  module_state *state;
} pod_object;

static void pod_dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  fst_pod *pod = ((pod_object *)self)->pod;
  Py_BEGIN_ALLOW_THREADS
  fst_pod_close(pod);
  Py_END_ALLOW_THREADS
  PyObject_Free(self);
  Py_DECREF(type);
}

static PyObject *pod_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  static char *names[] = {"path", "target", "worker", "compile_options", "copy_weights", "verify_weights", "no_compile", "dynamic_shapes", "time_limit", "no_check", "strict_symbols", "host", NULL};
  fst_open_options open = {.size = sizeof open};
  fst_pod_options o = {.size = sizeof o, .open = &open, .isolate = 1};
  PyObject *path = NULL;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&|zzzppppippz", names, PyUnicode_FSConverter, &path, &open.target, &open.worker, &open.compile_options, &open.copy_weights,
                                   &open.verify_weights, &open.no_compile, &open.dynamic_shapes, &open.time_limit, &o.no_check, &o.strict_symbols, &o.host))
    return NULL;
  module_state *state = PyType_GetModuleState(type);
  const char *text = PyBytes_AsString(path);
  fst_pod *pod = NULL;
  fst_failure *failure;
  Py_BEGIN_ALLOW_THREADS
  failure = fst_pod_open(text, &o, &pod);
  Py_END_ALLOW_THREADS
  Py_DECREF(path);
  if (failure) return failure_raise(state, failure);
  pod_object *self = (pod_object *)PyType_GenericAlloc(type, 0);
  if (!self) {
    fst_pod_close(pod);
    return NULL;
  }
  self->pod = pod;
  self->state = state;
  return (PyObject *)self;
}

static PyObject *pod_infer(PyObject *self, PyObject *arguments) {
  pod_object *p = (pod_object *)self;
  PyObject *inputs, *wanted, *nothing = PyTuple_New(0), *out = NULL;
  if (!nothing || !PyArg_ParseTuple(arguments, "O!O!", &PyDict_Type, &inputs, &PyList_Type, &wanted)) {
    Py_XDECREF(nothing);
    return NULL;
  }
  converter c = {.state = p->state, .takes_foreign = 1};
  call_values v = {0};
  const char **names = texts_read(wanted, PyList_Size(wanted));
  size_t count = (size_t)PyList_Size(wanted);
  if (names && call_values_fill(&c, "infer", nothing, inputs, &v)) {
    fst_var *result = NULL;
    fst_failure *failure;
    Py_BEGIN_ALLOW_THREADS
    failure = fst_pod_infer(p->pod, v.names, (const fst_var *const *)v.vars, v.count, names, count, &result);
    Py_END_ALLOW_THREADS
    if (failure) failure_raise(p->state, failure);
    else out = var_to_python(&c, result);
    fst_var_free(result);
  }
  call_values_free(&v);
  free(names);
  Py_DECREF(nothing);
  return out;
}

static int pod_spec_get(const void *pod, int outputs, size_t index, fst_spec *out) { return fst_pod_spec_get(pod, outputs, index, out); }

static PyObject *pod_specs(PyObject *self, PyObject *outputs) {
  int is_output = PyObject_IsTrue(outputs);
  return is_output < 0 ? NULL : specs_list(((pod_object *)self)->pod, is_output, pod_spec_get);
}

static PyObject *pod_name(PyObject *self, PyObject *unused) {
  (void)unused;
  return PyUnicode_FromString(fst_pod_name(((pod_object *)self)->pod));
}

static PyMethodDef pod_methods[] = {
  {"infer", pod_infer, METH_VARARGS, "infer(inputs, outputs) -> outputs by name"},
  {"specs", pod_specs, METH_O, "specs(outputs) -> [(name, dtype, dims)]"},
  {"package_name", pod_name, METH_NOARGS, "The name in the config."},
  {NULL, NULL, 0, NULL},
};
static PyType_Slot pod_slots[] = {
  {Py_tp_new, (void *)(uintptr_t)pod_new},
  {Py_tp_dealloc, (void *)(uintptr_t)pod_dealloc},
  {Py_tp_methods, pod_methods},
  {Py_tp_doc, "A Neuropod in a process of its own."},
  {0, NULL},
};
PyType_Spec pod_spec = {"firesteel._firesteel.Pod", sizeof(pod_object), 0, Py_TPFLAGS_DEFAULT, pod_slots};
