#include "python/module.h"

#include <stdlib.h>
#include <string.h>

typedef struct model_object {
  PyObject_HEAD
  fst_model *model;
  module_state *state;   // lives as long as the module, which the type holds
} model_object;

static void model_dealloc(PyObject *self) {
  model_object *m = (model_object *)self;
  PyTypeObject *type = Py_TYPE(self);
  // Closing may end a worker process and release lent memory: not under the lock of the interpreter.
  fst_model *model = m->model;
  Py_BEGIN_ALLOW_THREADS
  fst_close(model);
  Py_END_ALLOW_THREADS
  PyObject_Free(self);
  Py_DECREF(type);
}

static PyObject *model_wrap(module_state *state, fst_model *model) {
  PyTypeObject *type = (PyTypeObject *)state->model_type;
  model_object *self = (model_object *)PyType_GenericAlloc(type, 0);
  if (!self) {
    fst_close(model);
    return NULL;
  }
  self->model = model;
  self->state = state;
  return (PyObject *)self;
}

static PyObject *model_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  static char *names[] = {"path", "target", "worker", "compile_options", "bridge", "copy_weights", "verify_weights", "no_compile", "dynamic_shapes", "time_limit", "device", "graphs", NULL};
  fst_open_options o = {.size = sizeof o};
  PyObject *path_bytes = NULL;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&|zzzzppppizp", names, PyUnicode_FSConverter, &path_bytes, &o.target, &o.worker, &o.compile_options,
                                   &o.bridge, &o.copy_weights, &o.verify_weights, &o.no_compile, &o.dynamic_shapes, &o.time_limit, &o.device, &o.graphs))
    return NULL;
  module_state *state = PyType_GetModuleState(type);
  const char *path = PyBytes_AsString(path_bytes);
  fst_model *model = NULL;
  fst_failure *failure;
  Py_BEGIN_ALLOW_THREADS
  failure = fst_open(path, &o, &model);
  Py_END_ALLOW_THREADS
  Py_DECREF(path_bytes);
  return failure ? failure_raise(state, failure) : model_wrap(state, model);
}

// ---- calling ----

void call_values_free(call_values *v) {
  for (size_t i = 0; v->vars && i < v->count; i++) fst_var_free(v->vars[i]);
  free(v->vars);
  free(v->names);
  free(v->objects);
}

static const char *declared_type(const fst_model *model, int has_method, size_t method, size_t position, const char *name) {
  if (!has_method) return "";
  if (!name) return fst_method_arg_type(model, method, position);
  for (size_t i = 0; i < fst_method_arg_count(model, method); i++)
    if (strcmp(fst_method_arg_name(model, method, i), name) == 0) return fst_method_arg_type(model, method, i);
  return "";
}

// Says which argument could not be passed, in front of why.
static int argument_refused(module_state *state, const char *method, const char *name, Py_ssize_t position) {
  PyObject *type, *value, *trace;
  if (!PyErr_ExceptionMatches(state->error)) return 0;
  PyErr_Fetch(&type, &value, &trace);
  PyObject *why = value ? PyObject_Str(value) : NULL;
  if (!why) PyErr_Restore(type, value, trace);
  else if (*name) PyErr_Format(state->error, "%s(): argument '%s': %U", method, name, why);
  else PyErr_Format(state->error, "%s(): argument %zd: %U", method, position, why);
  if (!why) return 0;
  Py_DECREF(why);
  Py_XDECREF(type);
  Py_XDECREF(value);
  Py_XDECREF(trace);
  return 0;
}

int call_values_fill(converter *c, const char *method_name, PyObject *args, PyObject *kwargs, call_values *v) {
  v->positional = (size_t)PyTuple_Size(args);
  v->count = v->positional + (kwargs ? (size_t)PyDict_Size(kwargs) : 0);
  v->vars = calloc(v->count + 1, sizeof *v->vars);
  v->names = calloc(v->count + 1, sizeof *v->names);
  v->objects = calloc(v->count + 1, sizeof *v->objects);
  if (!v->vars || !v->names || !v->objects) {
    PyErr_NoMemory();
    return 0;
  }
  size_t method = 0, at = 0;
  int known = c->model && !c->takes_foreign && fst_method_find(c->model, method_name, &method);
  for (; at < v->positional; at++) {
    v->objects[at] = PyTuple_GetItem(args, (Py_ssize_t)at);
    v->vars[at] = var_from_python(c, v->objects[at], declared_type(c->model, known, method, at, NULL));
    if (!v->vars[at]) return argument_refused(c->state, method_name, known ? fst_method_arg_name(c->model, method, at) : "", (Py_ssize_t)at);
  }
  PyObject *key, *value;
  for (Py_ssize_t cursor = 0; kwargs && PyDict_Next(kwargs, &cursor, &key, &value); at++) {
    const char *name = PyUnicode_AsUTF8AndSize(key, NULL);
    if (!name) return 0;
    v->names[at - v->positional] = name;
    v->objects[at] = value;
    v->vars[at] = var_from_python(c, value, declared_type(c->model, known, method, 0, name));
    if (!v->vars[at]) return argument_refused(c->state, method_name, name, (Py_ssize_t)at);
  }
  return 1;
}

static int same_tensor(const fst_var *a, const fst_var *b) {
  size_t bytes = fst_var_rank(a) * sizeof(int64_t);
  return fst_var_storage(a) == fst_var_storage(b) && fst_var_data(a) == fst_var_data(b) && fst_var_dtype(a) == fst_var_dtype(b) &&
         fst_var_rank(a) == fst_var_rank(b) && memcmp(fst_var_sizes(a), fst_var_sizes(b), bytes) == 0 && memcmp(fst_var_strides(a), fst_var_strides(b), bytes) == 0;
}

// A tensor that went in and comes out as it is, is the caller's own object.
static PyObject *same_as_argument(const call_values *v, const fst_var *result) {
  for (size_t i = 0; fst_var_kind(result) == FST_VAR_TENSOR && i < v->count; i++)
    if (fst_var_kind(v->vars[i]) == FST_VAR_TENSOR && same_tensor(v->vars[i], result)) return Py_NewRef(v->objects[i]);
  return NULL;
}

static PyObject *model_infer(PyObject *self, PyObject *arguments) {
  model_object *m = (model_object *)self;
  const char *method;
  PyObject *args, *kwargs;
  if (!PyArg_ParseTuple(arguments, "sO!O!", &method, &PyTuple_Type, &args, &PyDict_Type, &kwargs)) return NULL;
  converter c = {.state = m->state, .model = m->model};
  call_values v = {0};
  PyObject *out = NULL;
  if (call_values_fill(&c, method, args, kwargs, &v)) {
    fst_var *result = NULL;
    fst_failure *failure;
    Py_BEGIN_ALLOW_THREADS
    failure = fst_infer_named(m->model, method, v.positional, v.names, (const fst_var *const *)v.vars, v.count, &result);
    Py_END_ALLOW_THREADS
    if (failure) {
      failure_raise(m->state, failure);
    } else {
      out = same_as_argument(&v, result);
      if (!out) out = var_to_python(&c, result);
      fst_var_free(result);
    }
  }
  call_values_free(&v);
  return out;
}

// The texts of a list, which hold on to them; NULL with an error.
const char **texts_read(PyObject *list, Py_ssize_t count) {
  const char **texts = malloc(((size_t)count + 1) * sizeof *texts);
  for (Py_ssize_t i = 0; texts && i < count; i++) {
    texts[i] = PyUnicode_AsUTF8AndSize(PyList_GetItem(list, i), NULL);
    if (!texts[i]) {
      free(texts);
      return NULL;
    }
  }
  if (!texts) PyErr_NoMemory();
  return texts;
}

static PyObject *model_infer_map(PyObject *self, PyObject *arguments) {
  model_object *m = (model_object *)self;
  fst_map_options o = {.size = sizeof o};
  PyObject *inputs, *wanted, *nothing = PyTuple_New(0), *out = NULL;
  if (!nothing || !PyArg_ParseTuple(arguments, "sO!O!pp", &o.method, &PyDict_Type, &inputs, &PyList_Type, &wanted, &o.no_check, &o.strict_symbols)) {
    Py_XDECREF(nothing);
    return NULL;
  }
  converter c = {.state = m->state, .model = m->model, .takes_foreign = 1};
  call_values v = {0};
  o.output_count = (size_t)PyList_Size(wanted);
  const char **names = texts_read(wanted, PyList_Size(wanted));
  o.outputs = names;
  if (names && call_values_fill(&c, o.method, nothing, inputs, &v)) {
    fst_var *result = NULL;
    fst_failure *failure;
    Py_BEGIN_ALLOW_THREADS
    failure = fst_infer_map(m->model, v.names, (const fst_var *const *)v.vars, v.count, &o, &result);
    Py_END_ALLOW_THREADS
    if (failure) {
      failure_raise(m->state, failure);
    } else {
      out = var_to_python(&c, result);
      fst_var_free(result);
    }
  }
  call_values_free(&v);
  free(names);
  Py_DECREF(nothing);
  return out;
}

static PyObject *model_name(PyObject *self, PyObject *unused) {
  (void)unused;
  return PyUnicode_FromString(fst_package_name(((model_object *)self)->model));
}

static PyObject *model_clone(PyObject *self, PyObject *unused) {
  (void)unused;
  model_object *m = (model_object *)self;
  fst_model *copy = NULL;
  fst_failure *failure;
  Py_BEGIN_ALLOW_THREADS
  failure = fst_clone(m->model, &copy);
  Py_END_ALLOW_THREADS
  return failure ? failure_raise(m->state, failure) : model_wrap(m->state, copy);
}

// ---- asking ----

PyObject *specs_list(const void *of, int outputs, int (*get)(const void *of, int outputs, size_t index, fst_spec *out)) {
  PyObject *out = PyList_New(0);
  fst_spec spec;
  for (size_t i = 0; out && get(of, outputs, i, &spec); i++) {
    PyObject *dims = PyTuple_New((Py_ssize_t)spec.rank);
    for (size_t d = 0; dims && d < spec.rank; d++) {
      PyObject *dim = spec.symbols[d] ? PyUnicode_FromString(spec.symbols[d]) : spec.dims[d] < 0 ? Py_NewRef(Py_None) : PyLong_FromLongLong(spec.dims[d]);
      if (!dim || PyTuple_SetItem(dims, (Py_ssize_t)d, dim) != 0) Py_CLEAR(dims);
    }
    PyObject *row = dims ? Py_BuildValue("(ssN)", spec.name, spec.dtype, dims) : NULL;
    if (!row || PyList_Append(out, row) != 0) Py_CLEAR(out);
    Py_XDECREF(row);
  }
  return out;
}

static PyObject *text_take(module_state *state, fst_failure *failure, char *text) {
  if (failure) return failure_raise(state, failure);
  PyObject *out = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
  fst_string_free(text);
  return out;
}

static PyObject *model_report(PyObject *self, PyObject *unused) {
  (void)unused;
  model_object *m = (model_object *)self;
  char *text = NULL;
  fst_failure *failure = fst_report(m->model, &text);
  return text_take(m->state, failure, text);
}

static PyObject *model_dump(PyObject *self, PyObject *args) {
  model_object *m = (model_object *)self;
  const char *method, *stage;
  if (!PyArg_ParseTuple(args, "ss", &method, &stage)) return NULL;
  char *text = NULL;
  fst_failure *failure;
  Py_BEGIN_ALLOW_THREADS
  failure = fst_dump(m->model, method, stage, &text);
  Py_END_ALLOW_THREADS
  return text_take(m->state, failure, text);
}

// [(name, [(argument, type, is optional), ...], result type, has state), ...]
static PyObject *model_methods(PyObject *self, PyObject *unused) {
  (void)unused;
  const fst_model *model = ((model_object *)self)->model;
  PyObject *out = PyList_New(0);
  for (size_t i = 0; out && i < fst_method_count(model); i++) {
    PyObject *args = PyList_New(0);
    for (size_t a = 0; args && a < fst_method_arg_count(model, i); a++) {
      PyObject *arg = Py_BuildValue("(ssO)", fst_method_arg_name(model, i, a), fst_method_arg_type(model, i, a), fst_method_arg_is_optional(model, i, a) ? Py_True : Py_False);
      if (!arg || PyList_Append(args, arg) != 0) Py_CLEAR(args);
      Py_XDECREF(arg);
    }
    PyObject *row = args ? Py_BuildValue("(sNsO)", fst_method_name(model, i), args, fst_method_result_type(model, i), fst_method_has_state(model, i) ? Py_True : Py_False) : NULL;
    if (!row || PyList_Append(out, row) != 0) Py_CLEAR(out);
    Py_XDECREF(row);
  }
  return out;
}

static int model_spec_get(const void *model, int outputs, size_t index, fst_spec *out) { return fst_spec_get(model, outputs, index, out); }

static PyObject *model_specs(PyObject *self, PyObject *outputs) {
  int is_output = PyObject_IsTrue(outputs);
  return is_output < 0 ? NULL : specs_list(((model_object *)self)->model, is_output, model_spec_get);
}

static PyMethodDef model_method_table[] = {
  {"infer", model_infer, METH_VARARGS, "infer(method, args, kwargs)"},
  {"infer_map", model_infer_map, METH_VARARGS, "infer_map(method, inputs, outputs, no_check, strict_symbols) -> outputs by name"},
  {"package_name", model_name, METH_NOARGS, "The name in a Neuropod's config, or ''."},
  {"clone", model_clone, METH_NOARGS, "An instance with state of its own."},
  {"report", model_report, METH_NOARGS, "JSON text."},
  {"dump", model_dump, METH_VARARGS, "dump(method, stage)"},
  {"methods", model_methods, METH_NOARGS, "[(name, [(argument, type, is optional)], result type, has state)]"},
  {"specs", model_specs, METH_O, "specs(outputs) -> [(name, dtype, dims)]"},
  {NULL, NULL, 0, NULL},
};
static PyType_Slot model_slots[] = {
  {Py_tp_new, (void *)(uintptr_t)model_new},
  {Py_tp_dealloc, (void *)(uintptr_t)model_dealloc},
  {Py_tp_methods, model_method_table},
  {Py_tp_doc, "One instance of a model."},
  {0, NULL},
};
PyType_Spec model_spec = {"firesteel._firesteel.Model", sizeof(model_object), 0, Py_TPFLAGS_DEFAULT, model_slots};
