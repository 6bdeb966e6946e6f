// Values between base/abi.h's objects and libtorch's, for one call.
//
// Storages. A storage of ours becomes one of libtorch's whose deleter drops a reference on it; a storage of
// libtorch's becomes one of ours that owns a handle on it. Either kind is recognised when it comes back, so
// values that pass to and fro keep sharing one memory and no chain of wrappers grows. Storages that we hold
// are made fixed in size: descriptors point into them.
#include <ATen/core/Tensor.h>
#include <ATen/core/custom_class.h>
#include <ATen/core/jit_type.h>
#include <c10/core/TensorImpl.h>
#include <torch/custom_class.h>

#include "base/status.h"
#include "frontend/torch/bridge_internal.h"

namespace fst {

bool is_our_dtype(c10::ScalarType dtype) {
  switch (static_cast<int>(dtype)) {
#define X(id, number, short_name, torch_name, np_name, word, bytes, kind) case number:
    FST_DTYPES(X)
#undef X
      return true;
    default: return false;
  }
}

namespace {

using c10::IValue;
using c10::TypeKind;
using c10::TypePtr;

enum { MAX_RANK = 16 };

bool is_obj(uint32_t tag) { return (tag >= FST_TAG_COMPLEX && tag <= FST_TAG_OBJECT) || tag == FST_TAG_OPAQUE; }

fst_val none_val() { return fst_val{FST_TAG_NONE, 0, {0}}; }
fst_val int_val(uint32_t tag, int64_t i) { return fst_val{tag, 0, {i}}; }
fst_val float_val(double f) {
  fst_val val = int_val(FST_TAG_FLOAT, 0);
  val.f = f;
  return val;
}
fst_val obj_val(fst_obj *obj) {
  fst_val val = int_val(obj->tag, 0);
  val.p = obj;
  return val;
}

// Fresh objects come with one reference, or not at all.
template <class T>
fst_obj *made(T *obj) {
  if (!obj) throw std::bad_alloc();
  return &obj->head;
}

// References that are dropped whatever happens.
class val_vector {
 public:
  explicit val_vector(const fst_bridge_host *host) : host_(host) {}
  ~val_vector() {
    for (const fst_val &val : items)
      if (is_obj(val.tag)) host_->release(val.p);
  }
  val_vector(const val_vector &) = delete;
  val_vector &operator=(const val_vector &) = delete;
  int64_t count() const { return static_cast<int64_t>(items.size()); }
  std::vector<fst_val> items;

 private:
  const fst_bridge_host *host_;
};

// ---- storages ----

struct host_storage {
  fst_obj *obj;
  void (*release)(fst_obj *obj);
};

void drop_host_storage(void *context) {
  auto *held = static_cast<host_storage *>(context);
  held->release(held->obj);
  delete held;
}

void drop_torch_storage(fst_storage_obj *self) { delete static_cast<c10::Storage *>(self->owner); }

// A value of ours that libtorch can only carry about: user objects, enum members.
struct host_box : torch::CustomClassHolder {
  host_box(const fst_bridge_host *host, const fst_val &v) : val(v), release(host->release) {
    if (is_obj(val.tag)) host->retain(val.p);
  }
  ~host_box() override {
    if (is_obj(val.tag)) release(val.p);
  }
  host_box(const host_box &) = delete;
  host_box &operator=(const host_box &) = delete;
  fst_val val;
  void (*release)(fst_obj *obj);
};

IValue boxed(const fst_bridge_host *host, const fst_val &val) {
  return IValue::make_capsule(c10::make_intrusive<host_box>(host, val));
}

// The other way round.
void drop_opaque(void *handle) { delete static_cast<IValue *>(handle); }

c10::Device device_of(int kind, int index) {
  return kind == 1 ? c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index)) : c10::Device(c10::kCPU);
}

// Does a strided descriptor say all there is to the tensor?
bool is_plain(const at::Tensor &t) {
  return t.layout() == c10::kStrided && (t.device().is_cpu() || t.device().is_cuda()) && !t.is_quantized() && !t.is_nested() && !t.is_conj() && !t.is_neg() &&
         t.dim() <= MAX_RANK && is_our_dtype(t.scalar_type()) && t.has_storage();
}

const TypePtr &without_optional(const TypePtr &type) {
  if (type && type->kind() == TypeKind::OptionalType) return type->expectRef<c10::OptionalType>().getElementType();
  return type;
}

// Element types that say nothing of what an item is.
bool is_vague(const TypePtr &type) { return !type || type->kind() == TypeKind::VarType || type->kind() == TypeKind::AnyType; }

TypePtr type_of_items(const std::vector<IValue> &items) {
  if (items.empty()) return c10::TensorType::get();
  TypePtr first = items[0].isTensor() ? TypePtr(c10::TensorType::get()) : items[0].type();
  for (const IValue &item : items)
    if (item.tagKind() != items[0].tagKind()) return c10::AnyType::get();
  return first;
}

}  // namespace

converter::~converter() {
  for (fst_obj *obj : held_) host_->release(obj);
}

void converter::drop(const fst_val *vals, int64_t count) {
  for (int64_t i = 0; i < count; i++)
    if (is_obj(vals[i].tag)) host_->release(vals[i].p);
}

// ---- to libtorch ----

IValue converter::to_torch(const fst_val &val, const TypePtr &type) {
  switch (val.tag) {
    case FST_TAG_NONE: return IValue();
    case FST_TAG_BOOL: return IValue(val.i != 0);
    case FST_TAG_INT:
      if (without_optional(type) && without_optional(type)->kind() == TypeKind::FloatType) return IValue(static_cast<double>(val.i));
      return IValue(val.i);
    case FST_TAG_FLOAT: return IValue(val.f);
    case FST_TAG_DEVICE: return IValue(device_of(static_cast<int>(val.i & 255), static_cast<int8_t>(val.i >> 8)));
    case FST_TAG_ENUM: return boxed(host_, val);
    default: return obj_to_torch(val.p, without_optional(type));
  }
}

IValue converter::obj_to_torch(fst_obj *obj, const TypePtr &type) {
  auto found = by_obj_.find(obj);
  if (found != by_obj_.end()) return arguments_[found->second].value;
  IValue value;
  const void *key = nullptr;
  switch (obj->tag) {
    case FST_TAG_COMPLEX: {
      auto *c = reinterpret_cast<fst_complex_obj *>(obj);
      return IValue(c10::complex<double>(c->re, c->im));
    }
    case FST_TAG_STR: {
      auto *s = reinterpret_cast<fst_str_obj *>(obj);
      return IValue(std::string(s->bytes, static_cast<size_t>(s->len)));
    }
    case FST_TAG_TUPLE: return tuple_to_torch(reinterpret_cast<fst_tuple_obj *>(obj), type);
    case FST_TAG_TENSOR: {
      at::Tensor tensor = tensor_to_torch(reinterpret_cast<fst_tensor_obj *>(obj));
      key = tensor.unsafeGetTensorImpl();
      value = std::move(tensor);
      break;
    }
    case FST_TAG_LIST: value = list_to_torch(reinterpret_cast<fst_list_obj *>(obj), type); break;
    case FST_TAG_DICT: value = dict_to_torch(reinterpret_cast<fst_dict_obj *>(obj), type); break;
    case FST_TAG_OPAQUE: {
      auto *opaque = reinterpret_cast<fst_opaque_obj *>(obj);
      if (opaque->drop != drop_opaque) throw failure{FST_ERR_INTERNAL, "an opaque object that libtorch did not make"};
      value = *static_cast<IValue *>(opaque->handle);
      if (!value.isPtrType()) return value;
      break;
    }
    default: return boxed(host_, obj_val(obj));
  }
  if (!key) key = value.isTensor() ? static_cast<const void *>(value.toTensor().unsafeGetTensorImpl()) : value.internalToPointer();
  host_->retain(obj);
  held_.push_back(obj);
  by_obj_[obj] = arguments_.size();
  by_value_[key] = obj;
  arguments_.push_back({obj, value});
  return value;
}

at::Tensor converter::tensor_to_torch(const fst_tensor_obj *t) {
  if (!t->storage) throw failure{FST_ERR_INTERNAL, "a tensor without a storage"};
  c10::Device device = device_of(t->device_kind, t->device_index);
  c10::Storage storage = storage_to_torch(t->storage, device);
  auto dtype = c10::scalarTypeToTypeMeta(static_cast<c10::ScalarType>(t->dtype));
  auto key = device.is_cuda() ? c10::DispatchKey::CUDA : c10::DispatchKey::CPU;
  int64_t offset = (t->data - t->storage->data) / static_cast<int64_t>(dtype.itemsize());
  at::Tensor tensor = at::detail::make_tensor<c10::TensorImpl>(std::move(storage), c10::DispatchKeySet(key), dtype);
  tensor.unsafeGetTensorImpl()->set_sizes_and_strides({t->shape, t->rank}, {t->shape + t->rank, t->rank}, offset);
  return tensor;
}

c10::Storage converter::storage_to_torch(fst_storage_obj *storage, c10::Device device) {
  auto found = storages_.find(storage);
  if (found != storages_.end()) return found->second;
  c10::Storage made;
  if (storage->drop == drop_torch_storage) {
    made = *static_cast<c10::Storage *>(storage->owner);
  } else {
    auto *held = new host_storage{&storage->head, host_->release};
    host_->retain(held->obj);
    made = c10::Storage(c10::Storage::use_byte_size_t(), static_cast<size_t>(storage->bytes), c10::DataPtr(storage->data, held, drop_host_storage, device), nullptr, false);
  }
  storages_.emplace(storage, made);
  storage_objs_[made.unsafeGetStorageImpl()] = storage;
  return made;
}

IValue converter::list_to_torch(const fst_list_obj *list, const TypePtr &type) {
  TypePtr elem = type && type->kind() == TypeKind::ListType ? type->expectRef<c10::ListType>().getElementType() : TypePtr();
  std::vector<IValue> items;
  for (int64_t i = 0; i < list->len; i++) items.push_back(to_torch(list->items[i], elem));
  if (is_vague(elem)) elem = type_of_items(items);
  c10::impl::GenericList out(elem);
  out.reserve(items.size());
  for (IValue &item : items) out.push_back(std::move(item));
  return IValue(std::move(out));
}

IValue converter::dict_to_torch(const fst_dict_obj *dict, const TypePtr &type) {
  TypePtr key_type, elem;
  if (type && type->kind() == TypeKind::DictType) {
    key_type = type->expectRef<c10::DictType>().getKeyType();
    elem = type->expectRef<c10::DictType>().getValueType();
  }
  std::vector<IValue> keys, values;
  for (int64_t i = 0; i < dict->used; i++) {
    if (dict->keys[i].tag == UINT32_MAX) continue;
    keys.push_back(to_torch(dict->keys[i], key_type));
    values.push_back(to_torch(dict->values[i], elem));
  }
  if (is_vague(key_type)) key_type = keys.empty() ? TypePtr(c10::StringType::get()) : type_of_items(keys);
  if (is_vague(elem)) elem = type_of_items(values);
  c10::impl::GenericDict out(key_type, elem);
  for (size_t i = 0; i < keys.size(); i++) out.insert_or_assign(keys[i], values[i]);
  return IValue(std::move(out));
}

IValue converter::tuple_to_torch(const fst_tuple_obj *tuple, const TypePtr &type) {
  auto known = type ? type->cast<c10::TupleType>() : c10::TupleTypePtr();
  bool fits = known && known->elements().size() == static_cast<size_t>(tuple->len);
  std::vector<IValue> items;
  for (int64_t i = 0; i < tuple->len; i++) items.push_back(to_torch(tuple->items[i], fits ? known->elements()[static_cast<size_t>(i)] : TypePtr()));
  return fits ? c10::ivalue::Tuple::createNamed(std::move(items), known) : c10::ivalue::Tuple::create(std::move(items));
}

// ---- from libtorch ----

fst_val converter::from_torch(const IValue &value) {
  if (value.isNone()) return none_val();
  if (value.isBool()) return int_val(FST_TAG_BOOL, value.toBool());
  if (value.isInt()) return int_val(FST_TAG_INT, value.toInt());
  if (value.isDouble()) return float_val(value.toDouble());
  if (value.isString()) return obj_val(made(host_->str_make(value.toStringRef().data(), static_cast<int64_t>(value.toStringRef().size()))));
  if (value.isComplexDouble()) {
    auto c = value.toComplexDouble();
    return obj_val(made(host_->complex_make(c.real(), c.imag())));
  }
  if (value.isDevice() && (value.toDevice().is_cpu() || value.toDevice().is_cuda())) {
    auto device = value.toDevice();
    return int_val(FST_TAG_DEVICE, (device.is_cuda() ? 1 : 0) | (static_cast<int64_t>(device.index()) & 255) << 8);
  }
  if (value.isTensor() && !value.toTensor().defined()) return none_val();
  if (value.isTuple()) return tuple_from_torch(value);
  if (!value.isPtrType()) return opaque_from_torch(value);
  return obj_from_torch(value);
}

fst_val converter::obj_from_torch(const IValue &value) {
  const void *key = value.isTensor() ? static_cast<const void *>(value.toTensor().unsafeGetTensorImpl()) : value.internalToPointer();
  auto found = by_value_.find(key);
  if (found != by_value_.end()) {
    host_->retain(found->second);
    return obj_val(found->second);
  }
  if (value.isCapsule()) {
    auto holder = value.toCapsule();
    if (auto *box = dynamic_cast<host_box *>(holder.get())) {
      if (is_obj(box->val.tag)) host_->retain(box->val.p);
      return box->val;
    }
  }
  fst_val val = value.isTensor() && is_plain(value.toTensor()) ? tensor_from_torch(value.toTensor())
                : value.isList()                               ? list_from_torch(value)
                : value.isGenericDict()                        ? dict_from_torch(value)
                                                               : opaque_from_torch(value);
  host_->retain(val.p);
  held_.push_back(val.p);
  results_.push_back(value);
  by_value_[key] = val.p;
  return val;
}

fst_val converter::tensor_from_torch(const at::Tensor &tensor) {
  int64_t shape[2 * MAX_RANK];
  size_t rank = static_cast<size_t>(tensor.dim());
  for (size_t i = 0; i < rank; i++) {
    shape[i] = tensor.sizes()[i];
    shape[rank + i] = tensor.strides()[i];
  }
  fst_storage_obj *storage = storage_from_torch(tensor.storage());
  char *data = storage->data + tensor.storage_offset() * static_cast<int64_t>(tensor.itemsize());
  fst_tensor_obj *obj = host_->tensor_make(storage, data, static_cast<int>(tensor.scalar_type()), static_cast<int>(rank), shape);
  host_->release(&storage->head);  // the tensor holds it
  fst_val val = obj_val(made(obj));
  obj->device_kind = tensor.device().is_cuda() ? 1 : 0;
  obj->device_index = tensor.device().is_cuda() ? static_cast<uint8_t>(tensor.device().index()) : 0;
  return val;
}

// With a reference for the caller.
fst_storage_obj *converter::storage_from_torch(const c10::Storage &storage) {
  fst_storage_obj *known = nullptr;
  auto found = storage_objs_.find(storage.unsafeGetStorageImpl());
  if (found != storage_objs_.end()) known = found->second;
  else if (storage.data_ptr().get_deleter() == drop_host_storage)
    known = reinterpret_cast<fst_storage_obj *>(static_cast<host_storage *>(storage.data_ptr().get_context())->obj);
  if (known) {
    host_->retain(&known->head);
    return known;
  }
  storage.unsafeGetStorageImpl()->set_resizable(false);
  auto owner = std::make_unique<c10::Storage>(storage);
  void *data = const_cast<void *>(storage.data());
  fst_storage_obj *made_storage = host_->storage_wrap(data, static_cast<int64_t>(storage.nbytes()), drop_torch_storage, owner.get());
  made(made_storage);
  owner.release();
  host_->retain(&made_storage->head);  // for storage_objs_
  held_.push_back(&made_storage->head);
  storage_objs_[storage.unsafeGetStorageImpl()] = made_storage;
  storages_.emplace(made_storage, storage);
  return made_storage;
}

fst_val converter::list_from_torch(const IValue &value) {
  val_vector items(host_);
  for (const IValue &item : value.toListRef()) items.items.push_back(from_torch(item));
  return obj_val(made(host_->list_make(items.count(), items.items.data())));
}

fst_val converter::tuple_from_torch(const IValue &value) {
  val_vector items(host_);
  for (const IValue &item : value.toTupleRef().elements()) items.items.push_back(from_torch(item));
  return obj_val(made(host_->tuple_make(items.count(), items.items.data())));
}

fst_val converter::dict_from_torch(const IValue &value) {
  fst_dict_obj *dict = host_->dict_make();
  fst_val out = obj_val(made(dict));
  val_vector parts(host_);
  parts.items.push_back(out);  // dropped when a part fails
  for (const auto &entry : value.toGenericDict()) {
    parts.items.push_back(from_torch(entry.key()));
    parts.items.push_back(from_torch(entry.value()));
    if (host_->dict_put(dict, &parts.items[parts.items.size() - 2], &parts.items.back())) throw std::bad_alloc();
  }
  host_->retain(out.p);
  return out;
}

fst_val converter::opaque_from_torch(const IValue &value) {
  auto handle = std::make_unique<IValue>(value);
  fst_obj *obj = made(host_->opaque_make(handle.get(), drop_opaque));
  handle.release();
  return obj_val(obj);
}

// ---- writing back ----

// Generated code and the caller go by the sizes that the tensor came with.
void converter::check_unchanged(const fst_tensor_obj *obj, const at::Tensor &tensor) {
  bool same = is_plain(tensor) && tensor.dim() == obj->rank && static_cast<int>(tensor.scalar_type()) == obj->dtype && storage_objs_[tensor.storage().unsafeGetStorageImpl()] == obj->storage &&
              obj->data == obj->storage->data + tensor.storage_offset() * static_cast<int64_t>(tensor.itemsize());
  for (size_t i = 0; same && i < obj->rank; i++) same = obj->shape[i] == tensor.sizes()[i] && obj->shape[obj->rank + i] == tensor.strides()[i];
  if (!same) throw failure{FST_ERR_UNSUPPORTED, "the op gave one of its arguments other sizes, strides, dtype or memory in place; use the form that returns a new tensor"};
}

void converter::write_back_list(fst_list_obj *obj, const IValue &value) {
  val_vector items(host_);
  for (const IValue &item : value.toListRef()) items.items.push_back(from_torch(item));
  if (host_->list_assign(obj, items.count(), items.items.data())) throw std::bad_alloc();
}

void converter::write_back_dict(fst_dict_obj *obj, const IValue &value) {
  val_vector keys(host_), vals(host_);
  for (const auto &entry : value.toGenericDict()) {
    keys.items.push_back(from_torch(entry.key()));
    vals.items.push_back(from_torch(entry.value()));
  }
  if (host_->dict_assign) {
    if (host_->dict_assign(obj, keys.count(), keys.items.data(), vals.items.data())) throw std::bad_alloc();
    return;
  }
  for (size_t i = 0; i < keys.items.size(); i++)
    if (host_->dict_put(obj, &keys.items[i], &vals.items[i])) throw std::bad_alloc();
  if (obj->len != keys.count()) throw failure{FST_ERR_UNSUPPORTED, "the op removed keys of a dict"};
}

void converter::write_back(bool containers) {
  for (size_t i = 0; i < arguments_.size(); i++) {
    const IValue value = arguments_[i].value;
    fst_obj *obj = arguments_[i].obj;
    if (obj->tag == FST_TAG_TENSOR) {
      // Immortal descriptors are the artifact's constants: nothing may change them in place.
      if (!(obj->flags & FST_OBJ_IMMORTAL)) check_unchanged(reinterpret_cast<fst_tensor_obj *>(obj), value.toTensor());
    } else if (containers && !(obj->flags & FST_OBJ_IMMORTAL)) {
      if (obj->tag == FST_TAG_LIST) write_back_list(reinterpret_cast<fst_list_obj *>(obj), value);
      if (obj->tag == FST_TAG_DICT) write_back_dict(reinterpret_cast<fst_dict_obj *>(obj), value);
    }
  }
}

}  // namespace fst
