// What an op would give: it runs on meta tensors, which have dtypes and sizes and no memory. libtorch has ops that cannot do
// so without Python; these run on small tensors of zeros, which tell dtypes and ranks.
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/empty_strided.h>
#include <torch/csrc/jit/runtime/operator.h>

#include "base/status.h"
#include "frontend/torch/bridge_internal.h"

namespace fst {
namespace {

using c10::IValue;
using c10::TypeKind;

enum { MOST_ELEMENTS = 1 << 20 };   // of an argument that is computed with

at::Tensor tensor_from_meta(const fst_meta_val &val, c10::Device device) {
  auto options = at::TensorOptions().dtype(static_cast<c10::ScalarType>(val.dtype)).device(device);
  at::Tensor made = at::empty_strided(c10::IntArrayRef(val.sizes, val.count), c10::IntArrayRef(val.strides, val.count), options.device(c10::kMeta));
  if (device.is_meta()) return made;
  if (made.numel() > MOST_ELEMENTS) throw failure{FST_ERR_UNSUPPORTED, "an argument is too large to be tried"};
  return at::empty_like(made, options).zero_();
}

IValue from_meta(const fst_meta_val &val, const c10::TypePtr &type, c10::Device device) {
  const c10::TypePtr &asked = type->kind() == TypeKind::OptionalType ? type->expectRef<c10::OptionalType>().getElementType() : type;
  switch (val.tag) {
    case FST_TAG_NONE: return IValue();
    case FST_TAG_BOOL: return val.i != 0;
    case FST_TAG_INT: return asked->kind() == TypeKind::FloatType ? IValue(static_cast<double>(val.i)) : IValue(val.i);
    case FST_TAG_FLOAT: return val.f;
    case FST_TAG_STR: return std::string(val.text);
    case FST_TAG_DEVICE: return device;
    case FST_TAG_TENSOR: return tensor_from_meta(val, device);
    case FST_TAG_LIST: {
      if (asked->kind() != TypeKind::ListType) break;
      const c10::TypePtr &elem = asked->expectRef<c10::ListType>().getElementType();
      c10::impl::GenericList list(elem);
      for (uint32_t i = 0; i < val.count; i++) list.push_back(from_meta(val.items[i], elem, device));
      return list;
    }
    default: break;
  }
  throw failure{FST_ERR_UNSUPPORTED, "an argument cannot be tried"};
}

// What comes instead of a plain tensor will be as plain. Sizes may follow from data.
fst_meta_val to_meta(const IValue &value, c10::Device device) {
  fst_meta_val out = {};
  if (!value.isTensor() || !value.toTensor().defined()) return out;
  const at::Tensor &t = value.toTensor();
  if (t.device() != device || t.layout() != c10::kStrided || t.is_quantized() || t.is_nested() || t.dim() > FST_META_RANK || !is_our_dtype(t.scalar_type())) return out;
  out.tag = FST_TAG_TENSOR;
  out.count = static_cast<uint32_t>(t.dim());
  out.dtype = static_cast<int32_t>(t.scalar_type());
  for (int64_t i = 0; i < t.dim(); i++) {
    out.sizes[i] = device.is_meta() ? t.size(i) : -1;
    out.strides[i] = device.is_meta() ? t.stride(i) : -1;
  }
  return out;
}

// Kernels that are written for all devices may look at memory, of which a meta tensor has none: libtorch's own do not.
void check_tryable(const torch::jit::Operator &op) {
  auto handle = c10::Dispatcher::singleton().findSchema(op.schema().operator_name());
  bool is_own = op.schema().name().starts_with("aten::");
  if (!handle || !(is_own || handle->hasKernelForDispatchKey(c10::DispatchKey::Meta))) throw failure{FST_ERR_UNSUPPORTED, "the op cannot be tried"};
}

void try_on(const torch::jit::Operator &op, const fst_meta_val *args, uint32_t results, fst_meta_val *out, c10::Device device) {
  const auto &wanted = op.schema().arguments();
  torch::jit::Stack stack;
  for (size_t i = 0; i < wanted.size(); i++) stack.push_back(from_meta(args[i], wanted[i].type(), device));
  const_cast<torch::jit::Operator &>(op).getOperation()(stack);
  for (uint32_t r = 0; r < results; r++) out[r] = to_meta(stack[stack.size() - results + r], device);
}

void try_op(const char *text, uint32_t count, const fst_meta_val *args, uint32_t results, fst_meta_val *out) {
  auto op = operator_find(text);
  check_tryable(*op);
  if (count != op->schema().arguments().size() || op->schema().is_vararg() || op->schema().returns().size() != results) throw failure{FST_ERR_UNSUPPORTED, "the op cannot be tried"};
  at::AutoGradMode no_grad(false);
  try {
    try_on(*op, args, results, out, c10::kMeta);
  } catch (const c10::NotImplementedError &) {
    if (!op->schema().name().starts_with("aten::")) throw;
    try_on(*op, args, results, out, c10::kCPU);
  }
}

}  // namespace
}  // namespace fst

FST_BRIDGE_EXPORT int32_t fst_torch_try(const char *schema, uint32_t count, const fst_meta_val *args, uint32_t results, fst_meta_val *out, char **out_error) {
  return fst::guarded("", out_error, [&] { fst::try_op(schema, count, args, results, out); });
}
