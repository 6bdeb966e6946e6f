// Neuropod's C API on real packages, which test_bindings.py makes: every function of it, what it promises and what it refuses.
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "neuropod/bindings/c/c_api.h"

#undef NDEBUG
#define CHECK(cond) ((cond) ? (void)0 : (fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #cond, NP_GetMessage(status)), exit(1)))

static NP_Status *status;
static int deleted;

static void count_delete(void *data, void *arg) {
  free(data);
  *(int *)arg += 1;
}

static NP_Neuropod *load(const char *path, bool ope) {
  NP_RuntimeOptions options = NP_DefaultRuntimeOptions();
  NP_Neuropod *model = NULL;
  options.use_ope = ope;
  NP_LoadNeuropodWithOpts(path, &options, &model, status);
  CHECK(NP_GetCode(status) == NEUROPOD_OK && model && !*NP_GetMessage(status));
  return model;
}

static void test_addition(const char *path, bool ope) {
  NP_Neuropod *model = load(path, ope);
  CHECK(!strcmp(NP_GetName(model), "addition") && !strcmp(NP_GetPlatform(model), "torchscript"));
  CHECK(NP_GetNumInputs(model) == 2 && NP_GetNumOutputs(model) == 1);
  NP_TensorSpec *x = NP_GetInputSpec(model, 0), *out = NP_GetOutputSpec(model, 0);
  CHECK(!strcmp(x->name, "x") && x->type == FLOAT_TENSOR && x->num_dims == 1 && x->dims[0].value == -2 && !strcmp(x->dims[0].symbol, "N"));
  CHECK(!strcmp(out->name, "out") && out->dims[0].value == -1 && !out->dims[0].symbol);
  CHECK(!NP_GetInputSpec(model, 2) && !NP_GetOutputSpec(model, 1));
  NP_FreeTensorSpec(x);
  NP_FreeTensorSpec(out);

  NP_TensorAllocator *allocator = NP_GetAllocator(model), *generic = NP_GetGenericAllocator();
  int64_t dims[] = {4};
  NP_NeuropodTensor *a = NP_AllocateTensor(allocator, 1, dims, FLOAT_TENSOR);
  float *memory = aligned_alloc(64, 64);
  for (int i = 0; i < 4; i++) ((float *)NP_GetData(a))[i] = (float)i, memory[i] = 10.0f * (float)i;
  NP_NeuropodTensor *b = NP_TensorFromMemory(generic, 1, dims, FLOAT_TENSOR, memory, count_delete, &deleted);
  CHECK(NP_GetData(b) == memory && NP_GetDataReadOnly(b) == memory && NP_GetType(b) == FLOAT_TENSOR && NP_GetNumElements(b) == 4);
  size_t rank;
  const int64_t *sizes;
  NP_GetDims(a, &rank, &sizes);
  CHECK(rank == 1 && sizes[0] == 4);

  NP_NeuropodValueMap *inputs = NP_NewValueMap(), *outputs = NULL;
  NP_InsertTensor(inputs, "x", b);
  NP_InsertTensor(inputs, "x", a);  // instead of the other
  NP_InsertTensor(inputs, "y", b);
  NP_InsertTensor(inputs, "gone", b);
  NP_RemoveTensor(inputs, "gone");
  NP_RemoveTensor(inputs, "never there");
  CHECK(!NP_GetTensor(inputs, "gone"));
  NP_FreeTensor(a);
  NP_FreeTensor(b);
  NP_Infer(model, inputs, &outputs, status);
  CHECK(NP_GetCode(status) == NEUROPOD_OK);
  NP_TensorNameList *names = NP_GetTensorNames(outputs);
  CHECK(names->num_tensors == 1 && !strcmp(names->tensor_names[0], "out"));
  NP_FreeTensorNameList(names);
  NP_NeuropodTensor *result = NP_GetTensor(outputs, "out");
  NP_FreeValueMap(outputs);  // the tensor stays
  for (int i = 0; i < 4; i++) CHECK(((const float *)NP_GetDataReadOnly(result))[i] == 11.0f * (float)i);
  NP_FreeTensor(result);

  const char *wanted[] = {"out", "bogus"};
  NP_InferWithRequestedOutputs(model, inputs, 1, wanted, &outputs, status);
  CHECK(NP_GetCode(status) == NEUROPOD_OK);
  NP_FreeValueMap(outputs);
  NP_InferWithRequestedOutputs(model, inputs, 2, wanted, &outputs, status);
  CHECK(NP_GetCode(status) == NEUROPOD_ERROR && !strcmp(NP_GetMessage(status), "Neuropod Error: Tried to request a tensor that does not exist: bogus"));
  names = NP_GetTensorNames(outputs);  // a map also after a failure
  CHECK(names && names->num_tensors == 0);
  NP_FreeTensorNameList(names);
  NP_FreeValueMap(outputs);
  NP_ClearStatus(status);
  CHECK(NP_GetCode(status) == NEUROPOD_OK);

  NP_NeuropodTensor *wrong = NP_AllocateTensor(allocator, 1, dims, UINT32_TENSOR);
  NP_InsertTensor(inputs, "x", wrong);
  NP_FreeTensor(wrong);
  NP_Infer(model, inputs, &outputs, status);
  CHECK(!strcmp(NP_GetMessage(status), "Neuropod Error: Tensor 'x' in the input spec is expected to be of type FLOAT_TENSOR, but was of type UINT32_TENSOR"));
  NP_FreeValueMap(outputs);

  CHECK(deleted == 0);
  NP_FreeValueMap(inputs);
  CHECK(deleted == 1);
  deleted = 0;
  NP_FreeAllocator(allocator);
  NP_FreeAllocator(generic);
  NP_FreeNeuropod(model);
}

static NP_NeuropodTensor *texts(const char *first, const char *second) {
  int64_t dims[] = {2};
  NP_NeuropodTensor *t = NP_AllocateTensor(NULL, 1, dims, STRING_TENSOR);
  NP_SetStringElement(t, 0, first, status);
  NP_SetStringElement(t, 1, second, status);
  CHECK(NP_GetCode(status) == NEUROPOD_OK);
  return t;
}

static void test_strings(const char *path, bool ope) {
  NP_Neuropod *model = load(path, ope);
  NP_NeuropodTensor *x = texts("a", "\xe2\x82\xac"), *y = texts("", "z");
  NP_NeuropodValueMap *inputs = NP_NewValueMap(), *outputs;
  NP_InsertTensor(inputs, "x", x);
  NP_InsertTensor(inputs, "y", y);
  CHECK(!NP_GetData(x) && !NP_GetDataReadOnly(x) && NP_GetType(x) == STRING_TENSOR);
  NP_Infer(model, inputs, &outputs, status);
  CHECK(NP_GetCode(status) == NEUROPOD_OK);
  NP_NeuropodTensor *out = NP_GetTensor(outputs, "out");
  char buffer[16];
  size_t size = 0;
  NP_GetStringElementSize(out, 1, &size, status);
  CHECK(size == 6);
  NP_GetStringElement(out, 1, buffer, size, status);
  CHECK(NP_GetCode(status) == NEUROPOD_OK && !memcmp(buffer, "\xe2\x82\xac z", 6));
  NP_GetStringElement(out, 1, buffer, size - 1, status);
  CHECK(NP_GetCode(status) == NEUROPOD_ERROR);
  NP_GetStringElementSize(out, 2, &size, status);
  CHECK(!strcmp(NP_GetMessage(status), "Neuropod Error: Element 2 was asked for, but the tensor has 2"));
  int64_t none[1] = {1};
  NP_NeuropodTensor *number = NP_AllocateTensor(NULL, 0, none, INT8_TENSOR), *grid = NP_AllocateTensor(NULL, 2, (int64_t[]){1, 1}, STRING_TENSOR);
  CHECK(NP_GetNumElements(number) == 1);
  NP_SetStringElement(number, 0, "x", status);
  CHECK(!strcmp(NP_GetMessage(status), "Neuropod Error: Expected a string tensor"));
  NP_InsertTensor(inputs, "x", grid);
  NP_FreeValueMap(outputs);
  NP_Infer(model, inputs, &outputs, status);
  CHECK(!strncmp(NP_GetMessage(status), "Neuropod Error: Only 1D TorchScript string tensors are supported", 62));
  NP_FreeTensor(grid);
  NP_FreeTensor(number);
  NP_FreeTensor(out);
  NP_FreeTensor(x);
  NP_FreeTensor(y);
  NP_FreeValueMap(inputs);
  NP_FreeValueMap(outputs);
  NP_FreeNeuropod(model);
}

static void test_dict_of_union(const char *path, bool ope) {
  NP_Neuropod *model = load(path, ope);
  NP_NeuropodTensor *a = texts("one", "two"), *b = NP_AllocateTensor(NULL, 2, (int64_t[]){2, 1}, FLOAT_TENSOR);
  NP_NeuropodValueMap *inputs = NP_NewValueMap(), *outputs;
  memcpy(NP_GetData(b), (float[]){3, 4}, 2 * sizeof(float));
  NP_InsertTensor(inputs, "a", a);
  NP_InsertTensor(inputs, "b", b);
  NP_Infer(model, inputs, &outputs, status);
  CHECK(NP_GetCode(status) == NEUROPOD_OK);
  NP_NeuropodTensor *c = NP_GetTensor(outputs, "c"), *d = NP_GetTensor(outputs, "d");
  char buffer[8];
  CHECK(c && d && NP_GetNumElements(c) == 4 && !memcmp(NP_GetDataReadOnly(c), (float[]){3, 6, 4, 8}, 4 * sizeof(float)));
  NP_GetStringElement(d, 1, buffer, sizeof buffer, status);
  CHECK(NP_GetCode(status) == NEUROPOD_OK && NP_GetNumElements(d) == 2 && !memcmp(buffer, "two!", 4));
  NP_FreeTensor(c);
  NP_FreeTensor(d);
  NP_FreeTensor(a);
  NP_FreeTensor(b);
  NP_FreeValueMap(inputs);
  NP_FreeValueMap(outputs);
  NP_FreeNeuropod(model);
}

static void test_refusals(const char *path) {
  NP_Neuropod *model = NULL;
  NP_NeuropodValueMap *outputs = NULL, *inputs = NP_NewValueMap();
  NP_LoadNeuropod("/no/such/package", &model, status);
  CHECK(!strcmp(NP_GetMessage(status), "Neuropod Error: Error loading Neuropod. No file or directory at '/no/such/package'"));
  CHECK(model && !*NP_GetName(model) && !*NP_GetPlatform(model) && NP_GetNumInputs(model) == 0 && NP_GetNumOutputs(model) == 0 && !NP_GetInputSpec(model, 0));
  NP_Infer(model, inputs, &outputs, status);
  CHECK(NP_GetCode(status) == NEUROPOD_ERROR && outputs);
  NP_FreeValueMap(outputs);
  NP_FreeNeuropod(model);

  NP_RuntimeOptions options = NP_DefaultRuntimeOptions();
  CHECK(!options.use_ope && options.visible_device == GPU0 && options.load_model_at_construction && !options.disable_shape_and_type_checking && options.ope_options.free_memory_every_cycle);
  options.load_model_at_construction = false;
  NP_LoadNeuropodWithOpts(path, &options, &model, status);  // there is no call to load later: the first inference does
  CHECK(NP_GetCode(status) == NEUROPOD_OK && NP_GetNumInputs(model) == 2);
  options.disable_shape_and_type_checking = true;
  NP_FreeNeuropod(model);
  NP_LoadNeuropodWithOpts(path, &options, &model, status);
  int64_t dims[] = {2, 2};
  NP_NeuropodTensor *wide = NP_AllocateTensor(NULL, 2, dims, DOUBLE_TENSOR);
  NP_InsertTensor(inputs, "x", wide);
  NP_InsertTensor(inputs, "y", wide);
  NP_Infer(model, inputs, &outputs, status);  // passes without the check, where it can still be compiled
  CHECK(NP_GetCode(status) == NEUROPOD_OK || strstr(NP_GetMessage(status), "was not compiled for these arguments"));
  NP_FreeTensor(wide);
  NP_FreeValueMap(outputs);
  NP_FreeNeuropod(model);
  options.use_ope = true;
  strcpy(options.ope_options.control_queue_name, "queue");
  NP_LoadNeuropodWithOpts(path, &options, &model, status);
  CHECK(NP_GetCode(status) == NEUROPOD_ERROR);
  NP_FreeNeuropod(model);
  NP_FreeValueMap(inputs);

  int64_t bad[] = {-1}, huge[] = {INT64_MAX, INT64_MAX};
  CHECK(!NP_AllocateTensor(NULL, 1, bad, INT8_TENSOR) && !NP_AllocateTensor(NULL, 2, huge, INT8_TENSOR) && !NP_AllocateTensor(NULL, 2, huge, STRING_TENSOR));
  CHECK(!NP_TensorFromMemory(NULL, 1, dims, STRING_TENSOR, dims, count_delete, &deleted) && !NP_AllocateTensor(NULL, 1, dims, (NP_TensorType)99));
  CHECK(!NP_TensorFromMemory(NULL, 1, dims, INT64_TENSOR, (char *)dims + 1, count_delete, &deleted) && deleted == 0);
  NP_FreeTensor(NULL);
  NP_FreeValueMap(NULL);
  NP_FreeNeuropod(NULL);
  NP_DeleteStatus(NULL);
  NP_LoadNeuropod("/no/such/package", &model, NULL);
  NP_FreeNeuropod(model);
}

int main(int argc, char **argv) {
  status = NP_NewStatus();
  CHECK(argc == 4 && NP_GetCode(status) == NEUROPOD_OK);
  for (int ope = 0; ope < 2; ope++) {
    test_addition(argv[1], ope);
    test_strings(argv[2], ope);
    test_dict_of_union(argv[3], ope);
  }
  test_refusals(argv[1]);
  NP_DeleteStatus(status);
  printf("ok\n");
  return 0;
}
