#include "python/module.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "python/dlpack_abi.h"

typedef struct tensor_object {
  PyObject_HEAD
  fst_var *var;
  Py_ssize_t *shape;     // sizes, then strides in bytes, for buffers
} tensor_object;

typedef struct dtype_row { int dtype, size; const char *format, *name; dl_dtype dl; } dtype_row;
// Formats as the struct module's; "" has none (two bytes of bfloat16 are no type of Python's).
static const dtype_row rows[] = {
  {FST_DT_U8, 1, "B", "uint8", {DL_UINT, 8, 1}},      {FST_DT_I8, 1, "b", "int8", {DL_INT, 8, 1}},
  {FST_DT_I16, 2, "h", "int16", {DL_INT, 16, 1}},     {FST_DT_I32, 4, "i", "int32", {DL_INT, 32, 1}},
  {FST_DT_I64, 8, "q", "int64", {DL_INT, 64, 1}},     {FST_DT_F16, 2, "e", "float16", {DL_FLOAT, 16, 1}},
  {FST_DT_F32, 4, "f", "float32", {DL_FLOAT, 32, 1}}, {FST_DT_F64, 8, "d", "float64", {DL_FLOAT, 64, 1}},
  {FST_DT_C32, 4, "", "complex32", {DL_COMPLEX, 32, 1}}, {FST_DT_C64, 8, "Zf", "complex64", {DL_COMPLEX, 64, 1}},
  {FST_DT_C128, 16, "Zd", "complex128", {DL_COMPLEX, 128, 1}}, {FST_DT_BOOL, 1, "?", "bool", {DL_BOOL, 8, 1}},
  {FST_DT_BF16, 2, "", "bfloat16", {DL_BFLOAT, 16, 1}},
};

static const dtype_row *row_of(int dtype) {
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (rows[i].dtype == dtype) return &rows[i];
  return NULL;
}

PyObject *tensor_wrap(module_state *state, const fst_var *var) {
  PyTypeObject *type = (PyTypeObject *)state->tensor_type;
  tensor_object *self = (tensor_object *)PyType_GenericAlloc(type, 0);
  if (!self) return NULL;
  size_t rank = fst_var_rank(var);
  const dtype_row *row = row_of(fst_var_dtype(var));
  self->var = fst_var_ref(var);
  self->shape = malloc((2 * rank + 1) * sizeof *self->shape);
  if (!self->var || !self->shape || !row) {
    Py_DECREF(self);
    return PyErr_NoMemory();
  }
  for (size_t i = 0; i < rank; i++) {
    self->shape[i] = (Py_ssize_t)fst_var_sizes(var)[i];
    self->shape[rank + i] = (Py_ssize_t)(fst_var_strides(var)[i] * row->size);
  }
  return (PyObject *)self;
}

fst_var *tensor_unwrap(module_state *state, PyObject *object) {
  return Py_TYPE(object) == (PyTypeObject *)state->tensor_type ? ((tensor_object *)object)->var : NULL;
}

static void tensor_dealloc(PyObject *self) {
  tensor_object *t = (tensor_object *)self;
  PyTypeObject *type = Py_TYPE(self);
  fst_var_free(t->var);
  free(t->shape);
  PyObject_Free(self);
  Py_DECREF(type);
}

// ---- DLPack ----

// A consumer renames the capsule and calls the deleter itself. PyTorch's, when it refuses a tensor, calls the deleter without
// renaming: so the memory stays until the capsule and the deleter are both through with it.
typedef struct shared_tensor {
  dl_managed managed;     // first
  atomic_int users;
} shared_tensor;

static void shared_drop(shared_tensor *shared) {
  if (atomic_fetch_sub(&shared->users, 1) == 1) free(shared);
}

static void managed_free(dl_managed *managed) {
  fst_var_free(managed->context);
  free(managed->tensor.shape);
  managed->context = NULL;
  shared_drop((shared_tensor *)managed);
}

static void capsule_free(PyObject *capsule) {
  shared_tensor *shared = PyCapsule_GetContext(capsule);
  if (PyCapsule_IsValid(capsule, "dltensor") && shared->managed.context) managed_free(&shared->managed);
  shared_drop(shared);
}

PyObject *tensor_capsule(const fst_var *var) {
  size_t rank = fst_var_rank(var);
  const dtype_row *row = row_of(fst_var_dtype(var));
  shared_tensor *m = calloc(1, sizeof *m);
  int64_t *shape = malloc((2 * rank + 1) * sizeof *shape);
  fst_var *held = fst_var_ref(var);
  PyObject *capsule = NULL;
  if (m && shape && held && row) {
    for (size_t i = 0; i < rank; i++) {
      shape[i] = fst_var_sizes(var)[i];
      shape[rank + i] = fst_var_strides(var)[i];
    }
    int device = fst_var_device(var);
    m->managed.tensor = (dl_tensor){fst_var_data(var), device < 0 ? (dl_device){DL_CPU, 0} : (dl_device){DL_CUDA, device}, (int32_t)rank, row->dl, shape, shape + rank, 0};
    m->managed.context = held;
    m->managed.deleter = managed_free;
    atomic_init(&m->users, 2);
    capsule = PyCapsule_New(&m->managed, "dltensor", NULL);
    if (capsule) PyCapsule_SetContext(capsule, m), PyCapsule_SetDestructor(capsule, capsule_free);
  } else {
    PyErr_NoMemory();
  }
  if (!capsule) {
    free(m);
    free(shape);
    fst_var_free(held);
  }
  return capsule;
}

static PyObject *tensor_dlpack(PyObject *self, PyObject *args, PyObject *kwargs) {
  (void)args;  // stream, max_version, dl_device, copy: all mean "as it is": what made the memory is done, on a device too
  PyObject *copy = kwargs ? PyDict_GetItemString(kwargs, "copy") : NULL;
  if (copy && copy != Py_None && PyObject_IsTrue(copy)) {
    PyErr_SetString(PyExc_BufferError, "this tensor is handed out without a copy; copy it afterwards");
    return NULL;
  }
  return tensor_capsule(((tensor_object *)self)->var);
}

static PyObject *tensor_dlpack_device(PyObject *self, PyObject *unused) {
  (void)unused;
  int device = fst_var_device(((tensor_object *)self)->var);
  return device < 0 ? Py_BuildValue("(ii)", DL_CPU, 0) : Py_BuildValue("(ii)", DL_CUDA, device);
}

// ---- buffers ----

static int tensor_getbuffer(PyObject *self, Py_buffer *view, int flags) {
  tensor_object *t = (tensor_object *)self;
  const dtype_row *row = row_of(fst_var_dtype(t->var));
  size_t rank = fst_var_rank(t->var);
  view->obj = NULL;
  if (fst_var_device(t->var) >= 0) {
    PyErr_SetString(PyExc_BufferError, "the tensor lies on a CUDA device; cpu() gives a copy that the host can read");
    return -1;
  }
  if (!*row->format) {
    PyErr_Format(PyExc_BufferError, "%s has no buffer format; use __dlpack__", row->name);
    return -1;
  }
  if ((flags & PyBUF_WRITABLE) && fst_var_is_readonly(t->var)) {
    PyErr_SetString(PyExc_BufferError, "the tensor's memory is read-only");
    return -1;
  }
  Py_ssize_t numel = 1, expected = row->size;
  int contiguous = 1;
  for (size_t i = rank; i-- > 0; expected *= t->shape[i]) {
    numel *= t->shape[i];
    if (t->shape[i] != 1 && t->shape[rank + i] != expected) contiguous = 0;
  }
  if (!contiguous && numel && (flags & PyBUF_STRIDES) != PyBUF_STRIDES) {
    PyErr_SetString(PyExc_BufferError, "the tensor is not contiguous");
    return -1;
  }
  static char nothing[16];  // NumPy forgets the strides of what lies nowhere
  *view = (Py_buffer){
    .buf = fst_var_data(t->var) ? fst_var_data(t->var) : nothing, .len = numel * row->size, .itemsize = row->size, .readonly = fst_var_is_readonly(t->var), .ndim = (int)rank,
    .format = flags & PyBUF_FORMAT ? (char *)(uintptr_t)row->format : NULL, .shape = flags & PyBUF_ND ? t->shape : NULL,
    .strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? t->shape + rank : NULL,
  };
  view->obj = Py_NewRef(self);
  return 0;
}

// ---- looking at it ----

static PyObject *tensor_shape(PyObject *self, void *closure) {
  (void)closure;
  const fst_var *var = ((tensor_object *)self)->var;
  PyObject *shape = PyTuple_New((Py_ssize_t)fst_var_rank(var));
  for (size_t i = 0; shape && i < fst_var_rank(var); i++) {
    PyObject *size = PyLong_FromLongLong(fst_var_sizes(var)[i]);
    if (!size || PyTuple_SetItem(shape, (Py_ssize_t)i, size) != 0) Py_CLEAR(shape);
  }
  return shape;
}

static PyObject *tensor_dtype(PyObject *self, void *closure) {
  (void)closure;
  return PyUnicode_FromString(row_of(fst_var_dtype(((tensor_object *)self)->var))->name);
}

static PyObject *tensor_repr(PyObject *self) {
  char *text = fst_var_format(((tensor_object *)self)->var);
  if (!text) return PyErr_NoMemory();
  PyObject *repr = PyUnicode_FromFormat("firesteel.Tensor(\n%s)", text);
  fst_string_free(text);
  return repr;
}

static PyObject *tensor_cpu(PyObject *self, PyObject *unused) {
  (void)unused;
  module_state *state = PyType_GetModuleState(Py_TYPE(self));
  fst_var *host = NULL;
  fst_failure *failure;
  Py_BEGIN_ALLOW_THREADS
  failure = fst_var_host(((tensor_object *)self)->var, &host);
  Py_END_ALLOW_THREADS
  if (failure) return failure_raise(state, failure);
  PyObject *out = tensor_wrap(state, host);
  fst_var_free(host);
  return out;
}

static PyMethodDef tensor_methods[] = {
  {"__dlpack__", (PyCFunction)(void (*)(void))tensor_dlpack, METH_VARARGS | METH_KEYWORDS, "The tensor as a DLPack capsule, sharing memory."},
  {"__dlpack_device__", tensor_dlpack_device, METH_NOARGS, "Where the tensor lies: (1, 0) on the CPU, (2, n) on CUDA device n."},
  {"cpu", tensor_cpu, METH_NOARGS, "The tensor where the host can read it: itself, or a copy."},
  {NULL, NULL, 0, NULL},
};
static PyGetSetDef tensor_getset[] = {
  {"shape", tensor_shape, NULL, "Sizes.", NULL},
  {"dtype", tensor_dtype, NULL, "Name of the element type.", NULL},
  {NULL, NULL, NULL, NULL, NULL},
};
static PyType_Slot tensor_slots[] = {
  {Py_tp_dealloc, (void *)(uintptr_t)tensor_dealloc},
  {Py_tp_repr, (void *)(uintptr_t)tensor_repr},
  {Py_tp_methods, tensor_methods},
  {Py_tp_getset, tensor_getset},
  {Py_bf_getbuffer, (void *)(uintptr_t)tensor_getbuffer},
  {Py_tp_doc, "A tensor of a model, for np.asarray(), torch.from_dlpack() and their like; no copy is made."},
  {0, NULL},
};
PyType_Spec tensor_spec = {"firesteel.Tensor", sizeof(tensor_object), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, tensor_slots};
