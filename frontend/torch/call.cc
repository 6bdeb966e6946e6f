// One op through libtorch. Going through the JIT's own operator registry reaches ops that the dispatcher does
// not know as well as every namespace that it does.
#include <ATen/core/function_schema.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/runtime/operator.h>
#include <torch/headeronly/version.h>

#include "base/bridge_open.h"
#include "base/status.h"
#include "frontend/torch/bridge_internal.h"

static_assert(TORCH_VERSION_MAJOR == FST_TORCH_MAJOR && TORCH_VERSION_MINOR == FST_TORCH_MINOR, "the bridge is written for another libtorch");

namespace fst {

using c10::IValue;
using torch::jit::Operator;

std::shared_ptr<Operator> operator_find(const std::string &schema) {
  std::string full = schema.substr(0, schema.find('('));
  size_t dot = full.rfind('.');
  size_t colons = full.find("::");
  bool has_overload = dot != std::string::npos && colons != std::string::npos && dot > colons;
  std::string name = has_overload ? full.substr(0, dot) : full;
  std::string overload = has_overload ? full.substr(dot + 1) : "";
  if (colons == std::string::npos) throw failure{FST_ERR_INVALID, "an op's name has a namespace"};
  for (const auto &op : torch::jit::getAllOperatorsFor(c10::Symbol::fromQualString(name)))
    if (op->schema().overload_name() == overload) return op;
  throw failure{FST_ERR_UNSUPPORTED, "this libtorch has no such op; a library of custom ops may be missing"};
}

namespace {

bool writes_arguments(const c10::FunctionSchema &schema) {
  if (schema.is_vararg()) return true;
  for (const auto &arg : schema.arguments())
    if (arg.alias_info() && arg.alias_info()->isWrite()) return true;
  return false;
}

// prim::tolist(tensor, depth, element number) reads the list type it makes from its node: one is made for it.
torch::jit::Operation tolist_operation(const Operator &op, int64_t count, const fst_val *args, std::shared_ptr<torch::jit::Graph> &graph) {
  static const c10::TypePtr elements[] = {c10::IntType::get(), c10::FloatType::get(), c10::BoolType::get(), c10::ComplexType::get()};
  if (count != 3 || args[1].i < 0 || args[1].i > 16 || args[2].i < 0 || args[2].i > 3) throw failure{FST_ERR_INVALID, "bad arguments"};
  c10::TypePtr type = elements[args[2].i];
  for (int64_t i = 0; i < args[1].i; i++) type = c10::ListType::create(type);
  graph = std::make_shared<torch::jit::Graph>();
  torch::jit::Node *node = graph->create(c10::prim::tolist, {graph->addInput(), graph->addInput(), graph->addInput()});
  node->output()->setType(type);
  graph->insertNode(node);
  return op.getOperation(node);
}

// Constants of an artifact are mapped read-only: what PyTorch would do to them must not be tried.
void check_writable(const fst_val &val, const c10::Argument &arg) {
  if (val.tag != FST_TAG_TENSOR || !arg.alias_info() || !arg.alias_info()->isWrite()) return;
  const auto *tensor = reinterpret_cast<const fst_tensor_obj *>(val.p);
  if (tensor->storage->head.flags & FST_OBJ_IMMORTAL) throw failure{FST_ERR_INTERNAL, "the op would write a constant"};
}

void push_arguments(converter &convert, const c10::FunctionSchema &schema, int64_t count, const fst_val *args, torch::jit::Stack &stack) {
  const auto &wanted = schema.arguments();
  size_t given = static_cast<size_t>(count);
  if (given > wanted.size() && !schema.is_vararg()) throw failure{FST_ERR_INVALID, "more arguments than its schema has"};
  for (size_t i = 0; i < given; i++) {
    if (i < wanted.size()) check_writable(args[i], wanted[i]);
    stack.push_back(convert.to_torch(args[i], i < wanted.size() ? wanted[i].type() : c10::TypePtr()));
  }
  for (size_t i = given; i < wanted.size(); i++) {
    if (!wanted[i].default_value()) throw failure{FST_ERR_INVALID, "the argument '" + wanted[i].name() + "' is missing"};
    stack.push_back(*wanted[i].default_value());
  }
}

// A fresh tensor that is only marked as conjugate or negative is made so: nobody else sees its memory. (A view
// that is marked stays libtorch's own.)
IValue settled(const IValue &value, const c10::FunctionSchema &schema, size_t result) {
  bool is_view = schema.is_vararg() || result >= schema.returns().size() || schema.returns()[result].alias_info();
  if (is_view || !value.isTensor() || !value.toTensor().defined()) return value;
  return value.toTensor().resolve_conj().resolve_neg();
}

void call_op(const fst_bridge_host *host, const char *text, int64_t count, const fst_val *args, int64_t results, fst_val *out) {
  if (host->version != FST_BRIDGE_VERSION || host->abi_version != FST_ABI_VERSION) throw failure{FST_ERR_INTERNAL, "runtime and bridge are of different versions"};
  auto op = operator_find(text);
  std::shared_ptr<torch::jit::Graph> graph;  // lives as long as the operation
  bool is_tolist = std::string_view(text).starts_with("prim::tolist(");
  if (!op->hasOperation() && !is_tolist) throw failure{FST_ERR_UNSUPPORTED, "libtorch runs this op only inside a graph"};
  const c10::FunctionSchema &schema = op->schema();
  at::AutoGradMode no_grad(false);
  converter convert(host);
  torch::jit::Stack stack;
  push_arguments(convert, schema, count, args, stack);
  if (is_tolist) {
    tolist_operation(*op, count, args, graph)(stack);
  } else {
    if (schema.is_vararg()) stack.emplace_back(count);  // such ops find their count on top
    op->getOperation()(stack);
  }
  if (stack.size() < static_cast<size_t>(results)) throw failure{FST_ERR_INTERNAL, "fewer results than expected"};
  convert.write_back(writes_arguments(schema));
  size_t first = stack.size() - static_cast<size_t>(results);
  int64_t done = 0;
  try {
    for (; done < results; done++) out[done] = convert.from_torch(settled(stack[first + static_cast<size_t>(done)], schema, static_cast<size_t>(done)));
  } catch (...) {
    convert.drop(out, done);
    throw;
  }
}

}  // namespace
}  // namespace fst

FST_BRIDGE_EXPORT int32_t fst_torch_call(const fst_bridge_host *host, const char *schema, int64_t count, const fst_val *args, int64_t results, fst_val *out, char **out_error) {
  std::string text(schema);
  return fst::guarded(text.substr(0, text.find('(')), out_error, [&] { fst::call_op(host, schema, count, args, results, out); });
}
