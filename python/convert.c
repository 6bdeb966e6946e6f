// Python objects to values and back. Tensors share memory in both directions: whoever lent the memory is
// held until the last user lets go, which may happen on any thread.
#include "python/module.h"

#include <stdlib.h>
#include <string.h>

#include "python/dlpack_abi.h"

static fst_var *var_or_memory(fst_var *var) {
  if (!var) PyErr_NoMemory();
  return var;
}

// ---- memory that Python lends ----

typedef struct lent_buffer { Py_buffer view; } lent_buffer;

static void buffer_release(void *owner) {
  lent_buffer *lent = owner;
  PyGILState_STATE gil = PyGILState_Ensure();
  PyBuffer_Release(&lent->view);
  PyGILState_Release(gil);
  free(lent);
}

static void managed_release(void *owner) {
  dl_managed *managed = owner;
  PyGILState_STATE gil = PyGILState_Ensure();
  if (managed->deleter) managed->deleter(managed);
  PyGILState_Release(gil);
}

static void object_release(void *owner) {
  PyGILState_STATE gil = PyGILState_Ensure();
  Py_DECREF((PyObject *)owner);
  PyGILState_Release(gil);
}

// Element type of a struct-module format of `size` bytes; -1: none of ours.
static int dtype_of_format(const converter *c, const char *format, Py_ssize_t size) {
  if (!format) return size == 1 ? FST_DT_U8 : -1;
  if (*format == '@' || *format == '=' || *format == '<') format++;
  if (strcmp(format, "Zf") == 0) return FST_DT_C64;
  if (strcmp(format, "Zd") == 0) return FST_DT_C128;
  if (!format[0] || format[1]) return -1;
  switch (*format) {
    case '?': return FST_DT_BOOL;
    case 'e': return FST_DT_F16;
    case 'f': return FST_DT_F32;
    case 'd': return FST_DT_F64;
    case 'b': case 'h': case 'i': case 'l': case 'q':
      return size == 1 ? FST_DT_I8 : size == 2 ? FST_DT_I16 : size == 4 ? FST_DT_I32 : size == 8 ? FST_DT_I64 : -1;
    case 'B': return FST_DT_U8;
    case 'H': case 'I': case 'L': case 'Q':
      return !c->takes_foreign ? -1 : size == 2 ? FST_DT_U16 : size == 4 ? FST_DT_U32 : FST_DT_U64;
    default: return -1;
  }
}

enum { RANK_MAX = 64 };

static fst_var *var_from_buffer(converter *c, PyObject *object) {
  lent_buffer *lent = malloc(sizeof *lent);
  if (!lent) return var_or_memory(NULL);
  if (PyObject_GetBuffer(object, &lent->view, PyBUF_RECORDS_RO) != 0) {
    free(lent);
    return NULL;
  }
  Py_buffer *v = &lent->view;
  int64_t sizes[RANK_MAX], strides[RANK_MAX];
  int dtype = dtype_of_format(c, v->format, v->itemsize), whole = 1;
  for (int i = 0; i < v->ndim && i < RANK_MAX; i++) {
    sizes[i] = v->shape[i];
    strides[i] = v->itemsize ? v->strides[i] / v->itemsize : 0;
    if (v->itemsize && v->strides[i] % v->itemsize) whole = 0;
  }
  fst_var *var = NULL;
  if (dtype < 0) {
    PyErr_Format(c->state->error, "arrays of format '%s' are no tensors of a model", v->format ? v->format : "?");
  } else if (!whole) {
    PyErr_SetString(c->state->error, "the array's strides are no multiples of its elements");
  } else {
    fst_failure *failure = fst_var_tensor(dtype, (size_t)v->ndim, sizes, strides, v->buf, buffer_release, lent, &var);
    if (failure) failure_raise(c->state, failure);
    else if (v->readonly) fst_var_set_readonly(var);
  }
  if (!var) {
    PyBuffer_Release(v);
    free(lent);
  }
  return var;
}

static int dtype_of_dl(dl_dtype d) {
  if (d.lanes != 1) return -1;
  switch (d.code) {
    case DL_INT: return d.bits == 8 ? FST_DT_I8 : d.bits == 16 ? FST_DT_I16 : d.bits == 32 ? FST_DT_I32 : d.bits == 64 ? FST_DT_I64 : -1;
    case DL_UINT: return d.bits == 8 ? FST_DT_U8 : -1;
    case DL_FLOAT: return d.bits == 16 ? FST_DT_F16 : d.bits == 32 ? FST_DT_F32 : d.bits == 64 ? FST_DT_F64 : -1;
    case DL_BFLOAT: return d.bits == 16 ? FST_DT_BF16 : -1;
    case DL_COMPLEX: return d.bits == 32 ? FST_DT_C32 : d.bits == 64 ? FST_DT_C64 : d.bits == 128 ? FST_DT_C128 : -1;
    case DL_BOOL: return d.bits == 8 ? FST_DT_BOOL : -1;
    default: return -1;
  }
}

// What another library says about its own object becomes an Error with the same text.
static fst_var *refused_elsewhere(converter *c) {
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  PyObject *text = value ? PyObject_Str(value) : NULL;
  if (text) PyErr_Format(c->state->error, "this value cannot be passed to a model: %U", text);
  else PyErr_SetString(c->state->error, "this value cannot be passed to a model");
  Py_XDECREF(text);
  Py_XDECREF(type);
  Py_XDECREF(value);
  Py_XDECREF(trace);
  return NULL;
}

// Takes the capsule.
static fst_var *var_from_capsule(converter *c, PyObject *capsule) {
  if (!capsule) return refused_elsewhere(c);
  dl_managed *managed = PyCapsule_IsValid(capsule, "dltensor") ? PyCapsule_GetPointer(capsule, "dltensor") : NULL;
  fst_var *var = NULL;
  if (!managed) {
    PyErr_SetString(c->state->error, "__dlpack__() gave no DLPack capsule");
  } else if (managed->tensor.device.type != DL_CPU && managed->tensor.device.type != DL_CUDA_HOST && managed->tensor.device.type != DL_CUDA) {
    PyErr_SetString(c->state->error, "a tensor lies on a device that is neither the CPU nor a CUDA device: pass tensor.cpu()");
  } else if (dtype_of_dl(managed->tensor.dtype) < 0) {
    PyErr_Format(c->state->error, "tensors of DLPack type (%d, %d bits) are no tensors of a model", managed->tensor.dtype.code, managed->tensor.dtype.bits);
  } else {
    const dl_tensor *t = &managed->tensor;
    void *data = t->data ? (char *)t->data + t->byte_offset : NULL;
    fst_failure *failure = t->device.type == DL_CUDA ? fst_var_tensor_cuda(t->device.id, dtype_of_dl(t->dtype), (size_t)t->ndim, t->shape, t->strides, data, managed_release, managed, &var)
                                                     : fst_var_tensor(dtype_of_dl(t->dtype), (size_t)t->ndim, t->shape, t->strides, data, managed_release, managed, &var);
    if (failure) failure_raise(c->state, failure);
    else PyCapsule_SetName(capsule, "used_dltensor");  // ours to delete from now on
  }
  Py_DECREF(capsule);
  return var;
}

// A tensor on a CUDA device is ready where the device's default stream is, which calls wait for (1 is its number).
static PyObject *capsule_of(PyObject *object) {
  enum { DEFAULT_STREAM = 1 };
  PyObject *device = PyObject_CallMethod(object, "__dlpack_device__", NULL), *capsule = NULL;
  PyObject *kind = device && PyTuple_Check(device) && PyTuple_Size(device) == 2 ? PyTuple_GetItem(device, 0) : NULL;
  PyObject *number = kind ? PyNumber_Long(kind) : NULL;   // an enum's member, in some libraries
  int on_cuda = number && PyLong_AsLong(number) == DL_CUDA;
  if (!number) PyErr_Clear();   // an old exporter: without the method, it is the CPU
  PyObject *method = PyObject_GetAttrString(object, "__dlpack__"), *args = PyTuple_New(0), *kwargs = on_cuda ? Py_BuildValue("{s:i}", "stream", DEFAULT_STREAM) : NULL;
  if (method && args && (kwargs || !on_cuda)) capsule = PyObject_Call(method, args, kwargs);
  Py_XDECREF(device);
  Py_XDECREF(number);
  Py_XDECREF(method);
  Py_XDECREF(args);
  Py_XDECREF(kwargs);
  return capsule;
}

// The class `name` of module `module_name` if that module is loaded: nothing is imported for a look.
static int is_instance_of(PyObject *object, const char *module_name, const char *name) {
  PyObject *modules = PyImport_GetModuleDict(), *module = PyDict_GetItemString(modules, module_name);
  PyObject *type = module ? PyObject_GetAttrString(module, name) : NULL;
  int is = type ? PyObject_IsInstance(object, type) : 0;
  Py_XDECREF(type);
  if (is < 0 || PyErr_Occurred()) PyErr_Clear();
  return is > 0;
}

static fst_var *var_from_torch(converter *c, PyObject *tensor) {
  c->saw_torch = 1;
  // Exporting refuses what autograd tracks, and lazily conjugated memory: settle both first.
  PyObject *plain = PyObject_CallMethod(tensor, "detach", NULL);
  for (int i = 0; plain && i < 2; i++) {
    PyObject *next = PyObject_CallMethod(plain, i ? "resolve_neg" : "resolve_conj", NULL);
    Py_DECREF(plain);
    plain = next;
  }
  PyObject *capsule = plain ? capsule_of(plain) : NULL;
  Py_XDECREF(plain);
  return var_from_capsule(c, capsule);
}

// ---- __array_interface__: a dict with typestr, shape, data and strides ----

static int dtype_of_typestr(const char *text) {
  static const struct { const char *text; int dtype; } table[] = {
    {"|b1", FST_DT_BOOL}, {"|u1", FST_DT_U8}, {"|i1", FST_DT_I8}, {"<i2", FST_DT_I16}, {"<i4", FST_DT_I32}, {"<i8", FST_DT_I64},
    {"<f2", FST_DT_F16}, {"<f4", FST_DT_F32}, {"<f8", FST_DT_F64}, {"<c8", FST_DT_C64}, {"<c16", FST_DT_C128},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (strcmp(table[i].text, text) == 0) return table[i].dtype;
  return -1;
}

static int longs_read(PyObject *tuple, int64_t *out, int64_t divide, Py_ssize_t *out_count) {
  Py_ssize_t count = PyTuple_Check(tuple) ? PyTuple_Size(tuple) : -1;
  if (count < 0 || count > RANK_MAX) return 0;
  for (Py_ssize_t i = 0; i < count; i++) {
    out[i] = PyLong_AsLongLong(PyTuple_GetItem(tuple, i));
    if (out[i] == -1 && PyErr_Occurred()) return 0;
    if (out[i] % divide) return 0;
    out[i] /= divide;
  }
  *out_count = count;
  return 1;
}

static fst_var *var_from_interface(converter *c, PyObject *object, PyObject *interface) {
  PyObject *typestr = PyDict_GetItemString(interface, "typestr"), *shape = PyDict_GetItemString(interface, "shape");
  PyObject *data = PyDict_GetItemString(interface, "data"), *steps = PyDict_GetItemString(interface, "strides");
  int64_t sizes[RANK_MAX], strides[RANK_MAX];
  Py_ssize_t rank = 0, stride_count = 0;
  PyObject *bytes = typestr && PyUnicode_Check(typestr) ? PyUnicode_AsUTF8String(typestr) : NULL;
  const char *text = bytes ? PyBytes_AsString(bytes) : "";
  int dtype = dtype_of_typestr(text);
  int64_t elem = dtype < 0 ? 1 : atoi(text + 2);
  int has_steps = steps && steps != Py_None;
  int ok = dtype >= 0 && shape && longs_read(shape, sizes, 1, &rank) && data && PyTuple_Check(data) && PyTuple_Size(data) == 2;
  if (ok && has_steps) ok = longs_read(steps, strides, elem, &stride_count) && stride_count == rank;
  void *address = ok ? PyLong_AsVoidPtr(PyTuple_GetItem(data, 0)) : NULL;
  Py_XDECREF(bytes);
  if (!ok || PyErr_Occurred()) {
    PyErr_Clear();
    PyErr_SetString(c->state->error, "an object's __array_interface__ describes no tensor of a model");
    return NULL;
  }
  fst_var *var = NULL;
  fst_failure *failure = fst_var_tensor(dtype, (size_t)rank, sizes, has_steps ? strides : NULL, address, object_release, object, &var);
  if (failure) {
    failure_raise(c->state, failure);
    return NULL;
  }
  Py_INCREF(object);
  if (PyObject_IsTrue(PyTuple_GetItem(data, 1))) fst_var_set_readonly(var);
  return var;
}

// ---- numbers, text, containers ----

static fst_var *var_from_text(PyObject *object) {
  PyObject *bytes = PyUnicode_AsEncodedString(object, "utf-8", "surrogateescape");
  char *text;
  Py_ssize_t len;
  fst_var *var = NULL;
  if (bytes && PyBytes_AsStringAndSize(bytes, &text, &len) == 0) var = var_or_memory(fst_var_str(text, (size_t)len));
  Py_XDECREF(bytes);
  return var;
}

static fst_var *var_from_int(converter *c, PyObject *object) {
  long long value = PyLong_AsLongLong(object);
  if (value == -1 && PyErr_Occurred()) return refused_elsewhere(c);
  return var_or_memory(fst_var_int(value));
}

static fst_var *var_from_complex(PyObject *object) {
  return var_or_memory(fst_var_complex(PyComplex_RealAsDouble(object), PyComplex_ImagAsDouble(object)));
}

// The text of item type number `item` inside "List[...]", "Dict[..., ...]", "Tuple[...]", "Optional[...]", or "".
static void inner_type(const char *type, int item, char *out, size_t room) {
  *out = '\0';
  const char *at = strchr(type, '[');
  int depth = 0, number = 0;
  size_t len = 0;
  for (at = at ? at + 1 : ""; *at; at++) {
    if (*at == '[' || *at == '(') depth++;
    if (*at == ']' || *at == ')') depth--;
    if (depth < 0) break;
    if (*at == ',' && depth == 0) {
      number++;
      while (at[1] == ' ') at++;
      continue;
    }
    if (number == item && len + 1 < room) out[len++] = *at;
  }
  out[len] = '\0';
}

enum { TYPE_ROOM = 512 };

static fst_var *var_from_sequence(converter *c, PyObject *object, const char *type, int is_tuple) {
  char item_type[TYPE_ROOM] = "";
  Py_ssize_t count = PySequence_Size(object);
  if (count < 0) return NULL;
  fst_var *list = is_tuple ? NULL : var_or_memory(fst_var_list());
  fst_var **items = is_tuple ? calloc((size_t)count + 1, sizeof *items) : NULL;
  int ok = list || items;
  if (!is_tuple) inner_type(type, 0, item_type, sizeof item_type);
  for (Py_ssize_t i = 0; ok && i < count; i++) {
    if (is_tuple) inner_type(type, (int)i, item_type, sizeof item_type);
    PyObject *item = PySequence_GetItem(object, i);
    fst_var *var = item ? var_from_python(c, item, item_type) : NULL;
    Py_XDECREF(item);
    ok = var != NULL;
    if (is_tuple) {
      items[i] = var;
      continue;
    }
    if (ok && !fst_var_list_add(list, var)) ok = var_or_memory(NULL) != NULL;
    fst_var_free(var);
  }
  fst_var *out = !ok ? NULL : is_tuple ? var_or_memory(fst_var_tuple((const fst_var *const *)items, (size_t)count)) : list;
  if (!ok) fst_var_free(list);
  for (Py_ssize_t i = 0; items && i < count; i++) fst_var_free(items[i]);
  free(items);
  return out;
}

static int key_is_hashable(const fst_var *key) {
  int kind = fst_var_kind(key);
  return kind == FST_VAR_STR || kind == FST_VAR_INT || kind == FST_VAR_FLOAT || kind == FST_VAR_BOOL || kind == FST_VAR_COMPLEX || kind == FST_VAR_TENSOR;
}

static fst_var *var_from_dict(converter *c, PyObject *object, const char *type) {
  char key_type[TYPE_ROOM], value_type[TYPE_ROOM];
  inner_type(type, 0, key_type, sizeof key_type);
  inner_type(type, 1, value_type, sizeof value_type);
  fst_var *dict = var_or_memory(fst_var_dict());
  PyObject *items = dict ? PyMapping_Items(object) : NULL;
  Py_ssize_t count = items ? PyList_Size(items) : 0;
  int ok = items != NULL;
  for (Py_ssize_t i = 0; ok && i < count; i++) {
    PyObject *pair = PyList_GetItem(items, i);
    fst_var *key = var_from_python(c, PyTuple_GetItem(pair, 0), key_type);
    fst_var *value = key ? var_from_python(c, PyTuple_GetItem(pair, 1), value_type) : NULL;
    ok = value != NULL;
    if (ok && !key_is_hashable(key)) {
      PyErr_SetString(c->state->error, "keys of a dict must be str, int, float, bool, complex or tensors");
      ok = 0;
    } else if (ok && !fst_var_dict_set(dict, key, value)) {
      ok = var_or_memory(NULL) != NULL;
    }
    fst_var_free(key);
    fst_var_free(value);
  }
  Py_XDECREF(items);
  if (ok) return dict;
  fst_var_free(dict);
  return NULL;
}

// torch.float32 and its like are ints in an archive.
static fst_var *var_from_torch_dtype(converter *c, PyObject *object) {
  static const struct { const char *name; int number; } names[] = {
    {"torch.uint8", 0}, {"torch.int8", 1}, {"torch.int16", 2}, {"torch.int32", 3}, {"torch.int64", 4}, {"torch.float16", 5},
    {"torch.float32", 6}, {"torch.float64", 7}, {"torch.complex32", 8}, {"torch.complex64", 9}, {"torch.complex128", 10}, {"torch.bool", 11}, {"torch.bfloat16", 15},
  };
  PyObject *text = PyObject_Str(object), *bytes = text ? PyUnicode_AsUTF8String(text) : NULL;
  int number = -1;
  for (size_t i = 0; bytes && i < sizeof names / sizeof *names; i++)
    if (strcmp(names[i].name, PyBytes_AsString(bytes)) == 0) number = names[i].number;
  if (bytes && number < 0) PyErr_Format(c->state->error, "%U is no element type of a model", text);
  Py_XDECREF(text);
  Py_XDECREF(bytes);
  return number < 0 ? NULL : var_or_memory(fst_var_int(number));
}

static fst_var *var_from_number_like(converter *c, PyObject *object, const char *type) {
  // NumPy's scalars where the model takes numbers.
  if (strstr(type, "bool") && !strstr(type, "int")) {
    int is = PyObject_IsTrue(object);
    return is < 0 ? NULL : var_or_memory(fst_var_bool(is));
  }
  if (PyIndex_Check(object) && !strstr(type, "float")) {
    PyObject *index = PyNumber_Index(object);
    fst_var *var = index ? var_from_int(c, index) : NULL;
    Py_XDECREF(index);
    return var;
  }
  PyObject *real = PyNumber_Float(object);
  fst_var *var = real ? var_or_memory(fst_var_float(PyFloat_AsDouble(real))) : NULL;
  Py_XDECREF(real);
  return var;
}

static int wants_number(const char *type) {
  return !strstr(type, "Tensor") && !strchr(type, '[') && (strstr(type, "int") || strstr(type, "float") || strstr(type, "bool") || strstr(type, "Scalar"));
}

// The tensor-like kinds, and the error for everything else.
static fst_var *var_from_array(converter *c, PyObject *object, const char *type) {
  fst_var *own = tensor_unwrap(c->state, object);
  if (own) return var_or_memory(fst_var_ref(own));
  if (is_instance_of(object, "torch", "Tensor")) return var_from_torch(c, object);
  if (is_instance_of(object, "torch", "dtype")) return var_from_torch_dtype(c, object);
  if (wants_number(type) || strncmp(type, "Optional[int", 12) == 0 || strncmp(type, "Optional[float", 14) == 0) {
    if (PyObject_HasAttrString(object, "__float__") || PyIndex_Check(object)) return var_from_number_like(c, object, type);
  }
  if (strncmp(type, "List[str]", 9) == 0 && PyObject_HasAttrString(object, "tolist")) {  // an array of text
    PyObject *list = PyObject_CallMethod(object, "tolist", NULL);
    fst_var *var = list && PyList_Check(list) ? var_from_sequence(c, list, type, 0) : NULL;
    if (list && !var && !PyErr_Occurred()) PyErr_SetString(c->state->error, "expected an array of text");
    Py_XDECREF(list);
    return var;
  }
  if (PyObject_CheckBuffer(object)) return var_from_buffer(c, object);
  if (PyObject_HasAttrString(object, "__dlpack__")) return var_from_capsule(c, capsule_of(object));
  PyObject *interface = PyObject_GetAttrString(object, "__array_interface__");
  if (interface && PyDict_Check(interface)) {
    fst_var *var = var_from_interface(c, object, interface);
    Py_DECREF(interface);
    return var;
  }
  PyErr_Clear();
  Py_XDECREF(interface);
  PyObject *name = PyObject_GetAttrString((PyObject *)Py_TYPE(object), "__name__");
  PyErr_Format(c->state->error, "a value of type %U cannot be passed to a model", name);
  Py_XDECREF(name);
  return NULL;
}

static fst_var *convert(converter *c, PyObject *object, const char *type) {
  if (object == Py_None) return var_or_memory(fst_var_none());
  if (PyBool_Check(object)) return var_or_memory(fst_var_bool(object == Py_True));
  if (PyLong_Check(object)) return strcmp(type, "float") == 0 ? var_or_memory(fst_var_float(PyLong_AsDouble(object))) : var_from_int(c, object);
  if (PyFloat_Check(object)) return var_or_memory(fst_var_float(PyFloat_AsDouble(object)));
  if (PyComplex_Check(object)) return var_from_complex(object);
  if (PyUnicode_Check(object)) return var_from_text(object);
  if (PyTuple_Check(object)) return var_from_sequence(c, object, type, strncmp(type, "List[", 5) != 0);
  if (PyList_Check(object)) return var_from_sequence(c, object, type, 0);
  if (PyDict_Check(object)) return var_from_dict(c, object, type);
  return var_from_array(c, object, type);
}

fst_var *var_from_python(converter *c, PyObject *object, const char *type) {
  char inner[TYPE_ROOM];
  while (strncmp(type, "Optional[", 9) == 0) {
    inner_type(type, 0, inner, sizeof inner);
    return var_from_python(c, object, inner);
  }
  if (Py_EnterRecursiveCall(" while passing a value to a model")) return NULL;
  fst_var *var = convert(c, object, type);
  Py_LeaveRecursiveCall();
  return var;
}

// ---- back ----

static PyObject *text_to_python(const fst_var *var) {
  size_t len;
  const char *text = fst_var_as_str(var, &len);
  return PyUnicode_DecodeUTF8(text, (Py_ssize_t)len, "surrogateescape");  // a model may cut text anywhere
}

static PyObject *asarray_get(module_state *state) {
  if (state->asarray) return state->asarray;
  PyObject *numpy = PyImport_ImportModule("numpy");
  state->asarray = numpy ? PyObject_GetAttrString(numpy, "asarray") : NULL;
  Py_XDECREF(numpy);
  if (!state->asarray) {
    PyErr_Clear();
    state->asarray = Py_NewRef(Py_None);
  }
  return state->asarray;
}

static PyObject *tensor_to_python(converter *c, const fst_var *var) {
  if (c->saw_torch) {
    PyObject *module = PyImport_ImportModule("torch.utils.dlpack"), *capsule = module ? tensor_capsule(var) : NULL;
    PyObject *tensor = capsule ? PyObject_CallMethod(module, "from_dlpack", "O", capsule) : NULL;
    Py_XDECREF(capsule);
    Py_XDECREF(module);
    return tensor;
  }
  PyObject *tensor = tensor_wrap(c->state, var);
  int dtype = fst_var_dtype(var);
  if (!tensor || dtype == FST_DT_BF16 || dtype == FST_DT_C32 || fst_var_device(var) >= 0) return tensor;  // NumPy has no such type, or no access
  PyObject *asarray = asarray_get(c->state);
  if (asarray == Py_None) return tensor;
  PyObject *array = PyObject_CallFunctionObjArgs(asarray, tensor, NULL);
  Py_DECREF(tensor);
  return array;
}

static PyObject *item_to_python(converter *c, fst_var *item) {
  PyObject *object = item ? var_to_python(c, item) : PyErr_NoMemory();
  fst_var_free(item);
  return object;
}

static PyObject *items_to_python(converter *c, const fst_var *var, int is_tuple) {
  Py_ssize_t count = (Py_ssize_t)fst_var_count(var);
  PyObject *out = is_tuple ? PyTuple_New(count) : PyList_New(count);
  for (Py_ssize_t i = 0; out && i < count; i++) {
    PyObject *item = item_to_python(c, fst_var_item(var, (size_t)i));
    if (!item || (is_tuple ? PyTuple_SetItem(out, i, item) : PyList_SetItem(out, i, item)) != 0) Py_CLEAR(out);
  }
  return out;
}

static PyObject *dict_to_python(converter *c, const fst_var *var) {
  PyObject *out = PyDict_New();
  for (size_t i = 0; out && i < fst_var_count(var); i++) {
    PyObject *key = item_to_python(c, fst_var_key(var, i)), *value = key ? item_to_python(c, fst_var_item(var, i)) : NULL;
    if (!value || PyDict_SetItem(out, key, value) != 0) Py_CLEAR(out);
    Py_XDECREF(key);
    Py_XDECREF(value);
  }
  return out;
}

// (class name, attribute names, values) for an instance; (class name, member name, None) for an enum member.
static PyObject *object_to_python(converter *c, const fst_var *var) {
  const char *cls = c->model ? fst_model_class_name(c->model, var) : "";
  int is_enum = fst_var_kind(var) == FST_VAR_ENUM;
  PyObject *names, *values;
  if (is_enum) {
    names = PyUnicode_FromString(c->model ? fst_model_member_name(c->model, var, 0) : "");
    values = Py_NewRef(Py_None);
  } else {
    Py_ssize_t count = (Py_ssize_t)fst_var_count(var);
    names = PyTuple_New(count);
    for (Py_ssize_t i = 0; names && i < count; i++) {
      PyObject *name = PyUnicode_FromString(c->model ? fst_model_member_name(c->model, var, (size_t)i) : "");
      if (!name || PyTuple_SetItem(names, i, name) != 0) Py_CLEAR(names);
    }
    values = names ? items_to_python(c, var, 1) : NULL;
  }
  PyObject *out = names && values ? PyObject_CallFunction(c->state->make_object, "sOO", cls, names, values) : NULL;
  Py_XDECREF(names);
  Py_XDECREF(values);
  return out;
}

static PyObject *convert_back(converter *c, const fst_var *var) {
  switch (fst_var_kind(var)) {
    case FST_VAR_NONE: return Py_NewRef(Py_None);
    case FST_VAR_BOOL: return PyBool_FromLong(fst_var_as_bool(var));
    case FST_VAR_INT: return PyLong_FromLongLong(fst_var_as_int(var));
    case FST_VAR_FLOAT: return PyFloat_FromDouble(fst_var_as_float(var));
    case FST_VAR_COMPLEX: return PyComplex_FromDoubles(fst_var_as_float(var), fst_var_imag(var));
    case FST_VAR_STR: return text_to_python(var);
    case FST_VAR_TENSOR: return tensor_to_python(c, var);
    case FST_VAR_LIST: return items_to_python(c, var, 0);
    case FST_VAR_TUPLE: return items_to_python(c, var, 1);
    case FST_VAR_DICT: return dict_to_python(c, var);
    case FST_VAR_OBJECT: case FST_VAR_ENUM: return object_to_python(c, var);
    case FST_VAR_DEVICE: {
      char *text = fst_var_format(var);
      PyObject *object = text ? PyUnicode_FromString(text) : PyErr_NoMemory();
      fst_string_free(text);
      return object;
    }
    default:
      PyErr_SetString(c->state->error, "the model returned a value that only libtorch understands");
      return NULL;
  }
}

PyObject *var_to_python(converter *c, const fst_var *var) {
  if (Py_EnterRecursiveCall(" while reading a result of a model")) return NULL;
  PyObject *object = convert_back(c, var);
  Py_LeaveRecursiveCall();
  return object;
}
