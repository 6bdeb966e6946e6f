// Whole archives in libtorch: the yardstick of `check` and `bench`, and the last resort.
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/jit/api/module.h>

#include "base/status.h"
#include "frontend/torch/bridge_internal.h"

struct fst_torch_model {
  torch::jit::Module module;
};

namespace fst {
namespace {

using torch::jit::IValue;

torch::jit::Module prepared(torch::jit::Module module, fst_torch_mode mode) {
  if (mode == FST_TORCH_AS_IS) return module;
  module.eval();
  // Every method stays callable, not only forward.
  std::vector<std::string> others;
  for (const auto &method : module.get_methods())
    if (method.name() != "forward") others.push_back(method.name());
  module = torch::jit::freeze(module, others);
  return mode == FST_TORCH_OPTIMIZED ? torch::jit::optimize_for_inference(module, others) : module;
}

const c10::Argument &argument_find(const c10::FunctionSchema &schema, const char *name) {
  for (size_t i = 1; i < schema.arguments().size(); i++)
    if (schema.arguments()[i].name() == name) return schema.arguments()[i];
  throw failure{FST_ERR_INVALID, std::string("there is no argument named '") + name + "'"};
}

// The arguments in schema order, without self, defaults filled in.
std::vector<IValue> arguments(converter &convert, const c10::FunctionSchema &schema, int64_t count, const fst_val *args, const char *const *names) {
  const auto &wanted = schema.arguments();
  std::vector<IValue> positional;
  std::unordered_map<std::string, IValue> named;
  for (int64_t i = 0; i < count; i++) {
    if (names && names[i]) {
      named[names[i]] = convert.to_torch(args[i], argument_find(schema, names[i]).type());
      continue;
    }
    size_t at = positional.size() + 1;
    if (at >= wanted.size()) throw failure{FST_ERR_INVALID, "it takes " + std::to_string(wanted.size() - 1) + " arguments"};
    positional.push_back(convert.to_torch(args[i], wanted[at].type()));
  }
  for (size_t i = positional.size() + 1; i < wanted.size(); i++) {
    auto found = named.find(wanted[i].name());
    if (found != named.end()) {
      positional.push_back(found->second);
      named.erase(found);
    } else if (wanted[i].default_value()) {
      positional.push_back(*wanted[i].default_value());
    } else {
      throw failure{FST_ERR_INVALID, "the argument '" + wanted[i].name() + "' is missing"};
    }
  }
  if (!named.empty()) throw failure{FST_ERR_INVALID, "the argument '" + named.begin()->first + "' is given twice"};
  return positional;
}

fst_val call_method(torch::jit::Module &module, const fst_bridge_host *host, const char *name, int64_t count, const fst_val *args, const char *const *names) {
  auto method = module.find_method(name);
  if (!method) throw failure{FST_ERR_NOT_FOUND, "the archive has no such method"};
  c10::InferenceMode inference;
  converter convert(host);
  std::vector<IValue> inputs = arguments(convert, method->function().getSchema(), count, args, names);
  bool is_hooked = !module.type()->getForwardHooks().empty() || !module.type()->getForwardPreHooks().empty();
  IValue result = is_hooked && method->name() == "forward" ? module(std::move(inputs)) : (*method)(std::move(inputs));
  convert.write_back(true);
  return convert.from_torch(result);
}

}  // namespace
}  // namespace fst

FST_BRIDGE_EXPORT int32_t fst_torch_model_open(const char *archive_path, fst_torch_mode mode, const fst_torch_import_options *options, fst_torch_model **out, char **out_error) {
  std::string path(archive_path);
  return fst::guarded("libtorch cannot load " + path.substr(path.rfind('/') + 1), out_error, [&] {
    fst::load_libraries(options);
    torch::jit::Module module = fst::archive_load(fst::archive_open(path));
    if (options && options->eval) module.eval();
    *out = new fst_torch_model{fst::prepared(std::move(module), mode)};
  });
}

FST_BRIDGE_EXPORT void fst_torch_model_close(fst_torch_model *model) { delete model; }

FST_BRIDGE_EXPORT int32_t fst_torch_call_method(fst_torch_model *model, const fst_bridge_host *host, const char *method, int64_t count, const fst_val *args, const char *const *names, fst_val *out, char **out_error) {
  return fst::guarded(std::string("libtorch cannot run ") + method, out_error, [&] { *out = fst::call_method(model->module, host, method, count, args, names); });
}

FST_BRIDGE_EXPORT void fst_torch_set_threads(int threads) { at::set_num_threads(threads); }
