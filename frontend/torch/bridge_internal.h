// What the bridge's own files share.
#ifndef FST_FRONTEND_TORCH_BRIDGE_INTERNAL_H
#define FST_FRONTEND_TORCH_BRIDGE_INTERNAL_H

#include <ATen/core/ivalue.h>
#include <c10/core/ScalarType.h>
#include <c10/core/Storage.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"  // C's flexible array members
#include "base/dtype.h"
#include "frontend/torch/bridge.h"
#pragma GCC diagnostic pop

#define FST_BRIDGE_EXPORT extern "C" __attribute__((visibility("default")))

namespace at {
class Tensor;
}
namespace torch::jit {
struct Module;
struct Operator;
}

namespace fst {

// Runs `body`; whatever it throws becomes a code and a text that starts with `what`.
int32_t guarded(const std::string &what, char **out_error, const std::function<void()> &body);
// A failure that is not libtorch's.
struct failure {
  int32_t code;  // fst_code
  std::string message;
};

// "ns::name.overload(...) -> ..." or just the name.
std::shared_ptr<torch::jit::Operator> operator_find(const std::string &schema);

void load_libraries(const fst_torch_import_options *options);

// ---- where bytes lie ----
// The archive file, mapped, and what was read from where while it was loaded.
class archive_bytes;
std::shared_ptr<archive_bytes> archive_open(const std::string &path);
torch::jit::Module archive_load(const std::shared_ptr<archive_bytes> &archive);
// Is [data, data + len) in the archive as it is? A buffer may have been reused or changed since it was filled,
// so the bytes are compared.
bool archive_find(const archive_bytes &archive, const void *data, size_t len, uint64_t *out_offset);

// ---- text ----
struct import_result {
  std::string text;
  int side_fd;
};
import_result module_write(torch::jit::Module &module, const archive_bytes &archive, const std::string &source);

// ---- values between us and libtorch ----
bool is_our_dtype(c10::ScalarType dtype);
// One call's worth of conversions: what is the same object on one side is the same on the other. Tensors are
// not copied: each side's storage holds a reference on the other's.
class converter {
 public:
  explicit converter(const fst_bridge_host *host) : host_(host) {}
  ~converter();
  converter(const converter &) = delete;
  converter &operator=(const converter &) = delete;

  // `type` is what the schema or the method asks for; NULL where nothing is known.
  c10::IValue to_torch(const fst_val &val, const c10::TypePtr &type);
  fst_val from_torch(const c10::IValue &value);  // with a reference for the caller
  void drop(const fst_val *vals, int64_t count);  // references that from_torch gave
  // After the call: sizes and strides of tensors that changed in place, and items of lists and dicts if
  // `containers` (the op may have written some).
  void write_back(bool containers);

 private:
  struct argument {
    fst_obj *obj;         // held
    c10::IValue value;
  };

  c10::IValue obj_to_torch(fst_obj *obj, const c10::TypePtr &type);
  c10::IValue list_to_torch(const fst_list_obj *list, const c10::TypePtr &type);
  c10::IValue dict_to_torch(const fst_dict_obj *dict, const c10::TypePtr &type);
  c10::IValue tuple_to_torch(const fst_tuple_obj *tuple, const c10::TypePtr &type);
  at::Tensor tensor_to_torch(const fst_tensor_obj *tensor);
  c10::Storage storage_to_torch(fst_storage_obj *storage, c10::Device device);
  fst_val obj_from_torch(const c10::IValue &value);
  fst_val tensor_from_torch(const at::Tensor &tensor);
  fst_storage_obj *storage_from_torch(const c10::Storage &storage);
  fst_val list_from_torch(const c10::IValue &value);
  fst_val tuple_from_torch(const c10::IValue &value);
  fst_val dict_from_torch(const c10::IValue &value);
  fst_val opaque_from_torch(const c10::IValue &value);
  void check_unchanged(const fst_tensor_obj *obj, const at::Tensor &tensor);
  void write_back_list(fst_list_obj *obj, const c10::IValue &value);
  void write_back_dict(fst_dict_obj *obj, const c10::IValue &value);

  const fst_bridge_host *host_;
  std::vector<argument> arguments_;                        // in the order they were met
  std::unordered_map<const void *, size_t> by_obj_;        // -> arguments_
  std::unordered_map<const void *, fst_obj *> by_value_;   // libtorch's object -> ours
  std::vector<c10::IValue> results_;                       // keeps the keys of by_value_ from being reused
  std::vector<fst_obj *> held_;
  std::unordered_map<fst_storage_obj *, c10::Storage> storages_;
  std::unordered_map<const void *, fst_storage_obj *> storage_objs_;
};

}  // namespace fst

#endif
