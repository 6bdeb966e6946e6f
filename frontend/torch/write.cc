// Writes a loaded module as text of docs/ir.md. Everything reachable from the root is written: the object
// graph with its tensors, classes with all their methods, and the functions these call.
//
// Where this differs from libtorch's own printing, and why:
// - Constants stand at their uses; function constants become names of prim::CallFunction.
// - prim::fork becomes a call of its body and aten::wait disappears: running a task where it is started is one
//   of the orders PyTorch allows. So Future[T] is written as T everywhere. prim::awaitable likewise.
// - Calls that a scripted caller makes to a submodule with hooks already contain the hooks' calls. Only the
//   hooks of the root, which its caller outside would run, need help: its method "forward" is then a wrapper.
#include <ATen/core/class_type.h>
#include <ATen/core/dynamic_type.h>
#include <ATen/core/enum_type.h>
#include <ATen/core/interned_strings.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>

#include <sys/mman.h>
#include <unistd.h>

#include <charconv>
#include <cmath>
#include <deque>
#include <set>

#include "base/status.h"
#include "frontend/torch/bridge_internal.h"

namespace fst {
namespace {

using c10::IValue;
using c10::TypeKind;
using c10::TypePtr;
using torch::jit::Block;
using torch::jit::Function;
using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;
namespace attr = c10::attr;
namespace prim = c10::prim;

// ---- small texts (base/text.h's forms) ----

std::string quote(const std::string &text) {
  static const char hex[] = "0123456789abcdef";
  std::string out = "\"";
  for (unsigned char c : text) {
    switch (c) {
      case '"': out += "\\\""; continue;
      case '\\': out += "\\\\"; continue;
      case '\n': out += "\\n"; continue;
      case '\r': out += "\\r"; continue;
      case '\t': out += "\\t"; continue;
      default: break;
    }
    if (c < 0x20 || c == 0x7f) {
      out += "\\x";
      out += hex[c >> 4];
      out += hex[c & 15];
    } else {
      out += static_cast<char>(c);
    }
  }
  return out + '"';
}

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[32];
  std::string text(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

// The nodes that have no schema but a form of their own in our text, most of them with attributes.
bool is_structural(c10::Symbol kind) {
  switch (kind) {
    case prim::If: case prim::Loop: case prim::CallMethod: case prim::CallFunction: case prim::GetAttr: case prim::SetAttr: case prim::HasAttr:
    case prim::CreateObject: case prim::isinstance: case prim::TupleConstruct: case prim::TupleUnpack: case prim::ListConstruct: case prim::ListUnpack:
    case prim::DictConstruct: case prim::Enter: case prim::Exit: case prim::Print: case prim::unchecked_cast:
      return true;
    default: return false;
  }
}

bool is_task_type(const TypePtr &type) { return type->kind() == TypeKind::FutureType || type->kind() == TypeKind::AwaitType; }

// A parameter's name as an identifier that is no number.
std::string identifier(const std::string &name) {
  std::string out;
  for (char c : name) out += isalnum(static_cast<unsigned char>(c)) ? c : '_';
  if (out.empty() || isdigit(static_cast<unsigned char>(out[0]))) out.insert(0, "_");
  return out;
}

template <class T>
std::string joined(const std::vector<T> &items) {
  std::string out;
  for (const auto &item : items) out += (out.empty() ? "" : ", ") + std::string(item);
  return out;
}

const char *dtype_name(c10::ScalarType dtype) {
  switch (static_cast<int>(dtype)) {
#define X(id, number, short_name, torch_name, np_name, word, bytes, kind) \
  case number: return short_name;
    FST_DTYPES(X)
#undef X
    default: return nullptr;
  }
}

bool is_torchbind(const c10::ClassType &type) {
  return type.name() && type.name()->qualifiedName().rfind("__torch__.torch.classes.", 0) == 0;
}

// ---- the side file: bytes that the archive does not hold as they are in memory ----

class side_file {
 public:
  side_file() {
    fd_ = memfd_create("firesteel-tensors", MFD_CLOEXEC);
    if (fd_ < 0) throw failure{FST_ERR_IO, "cannot make a memory file for tensors"};
  }
  ~side_file() {
    if (fd_ >= 0) close(fd_);
  }
  side_file(const side_file &) = delete;
  side_file &operator=(const side_file &) = delete;

  uint64_t append(const char *bytes, size_t len) {
    uint64_t start = (size_ + 63) & ~uint64_t{63};  // as libtorch aligns its own
    for (size_t done = 0; done < len;) {
      ssize_t put = pwrite(fd_, bytes + done, len - done, static_cast<off_t>(start + done));
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) throw failure{FST_ERR_RESOURCE, "cannot write the memory file for tensors"};
      done += static_cast<size_t>(put);
    }
    size_ = start + len;
    return start;
  }
  int release() {
    int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  int fd_ = -1;
  uint64_t size_ = 0;
};

// ---- the module ----

class module_writer {
 public:
  module_writer(const archive_bytes &archive, std::string source) : archive_(archive), source_(std::move(source)) {}

  import_result write(torch::jit::Module &module);

  std::string type(const TypePtr &type);
  std::string literal(const IValue &value);           // a constant: lists are immutable
  std::string function_name(const Function &function) { return use_function(function); }
  std::string location(const torch::jit::SourceRange &range);
  bool is_hooked(const c10::ClassType &type) const { return hooked_ && *hooked_ == type; }
  void add_function(const std::string &text) { functions_ += "\n" + text; }

 private:
  std::string object_value(const IValue &value);      // an attribute's or an item's value: lists have identity
  std::string scalar(const IValue &value);            // what is the same in both; "" otherwise
  std::string tensor(const at::Tensor &tensor);
  size_t storage(const c10::Storage &storage);
  std::string opaque(const std::string &what);
  std::string tuple(const IValue &value, const std::vector<std::string> &items);
  std::string list(const IValue &value);
  std::string dict(const IValue &value);
  std::string object(const IValue &value);
  void use_class(const c10::NamedTypePtr &type);
  std::string use_function(const Function &function);
  void write_class(const c10::ClassType &type);
  void write_enum(const c10::EnumType &type);
  void write_hooked_forward(const c10::ClassType &type, const Function &forward);
  void write_pending();

  const archive_bytes &archive_;
  std::string source_;
  side_file side_;
  std::string classes_, data_, functions_;
  std::map<std::string, size_t> files_;
  std::vector<std::string> file_names_;
  std::set<std::string> classes_seen_, functions_seen_;
  std::deque<c10::NamedTypePtr> pending_classes_;
  std::deque<const Function *> pending_functions_;
  std::unordered_map<const void *, size_t> storages_, tensors_, lists_, dicts_, objects_;
  std::vector<IValue> held_;  // what the pointers above belong to
  c10::ClassTypePtr hooked_;  // the root's class, when it has hooks
};

// ---- types ----

std::string module_writer::type(const TypePtr &type) {
  auto list_of = [&](const auto &types) {
    std::vector<std::string> items;
    for (const auto &t : types) items.push_back(this->type(t));
    return joined(items);
  };
  switch (type->kind()) {
    case TypeKind::NoneType: return "None";
    case TypeKind::BoolType: case TypeKind::SymBoolType: return "bool";
    case TypeKind::FloatType: case TypeKind::SymFloatType: return "float";
    case TypeKind::ComplexType: return "complex";
    case TypeKind::StringType: return "str";
    case TypeKind::DeviceObjType: return "Device";
    case TypeKind::NumberType: return "Scalar";
    case TypeKind::AnyType: return "Any";
    case TypeKind::GeneratorType: return "Generator";
    case TypeKind::TensorType: return "Tensor";
    case TypeKind::IntType: case TypeKind::SymIntType: case TypeKind::ScalarTypeType: case TypeKind::LayoutType: case TypeKind::MemoryFormatType:
      return "int";
    case TypeKind::ListType: return "List[" + this->type(type->expectRef<c10::ListType>().getElementType()) + "]";
    case TypeKind::OptionalType: return "Optional[" + this->type(type->expectRef<c10::OptionalType>().getElementType()) + "]";
    case TypeKind::FutureType: return this->type(type->expectRef<c10::FutureType>().getElementType());
    case TypeKind::AwaitType: return this->type(type->expectRef<c10::AwaitType>().getElementType());
    case TypeKind::DictType: {
      const auto &dict = type->expectRef<c10::DictType>();
      return "Dict[" + this->type(dict.getKeyType()) + ", " + this->type(dict.getValueType()) + "]";
    }
    case TypeKind::UnionType: return "Union[" + list_of(type->containedTypes()) + "]";
    case TypeKind::TupleType: {
      const auto &tuple = type->expectRef<c10::TupleType>();
      if (!tuple.name() || !tuple.schema()) return "Tuple[" + list_of(tuple.elements()) + "]";
      std::vector<std::string> items{quote(tuple.name()->qualifiedName())};
      for (size_t i = 0; i < tuple.elements().size(); i++) items.push_back(tuple.schema()->arguments()[i].name() + ": " + this->type(tuple.elements()[i]));
      return "NamedTuple[" + joined(items) + "]";
    }
    case TypeKind::ClassType:
      // Its own text would tell an address.
      if (is_torchbind(type->expectRef<c10::ClassType>())) return "Opaque[" + quote(type->expectRef<c10::ClassType>().name()->qualifiedName()) + "]";
      [[fallthrough]];
    case TypeKind::EnumType: case TypeKind::InterfaceType: {
      c10::NamedTypePtr named;  // NamedType's own cast does not know enums
      if (auto cls = type->cast<c10::ClassType>()) named = cls;
      else if (auto enumeration = type->cast<c10::EnumType>()) named = enumeration;
      else named = type->expect<c10::InterfaceType>();
      use_class(named);
      return "Class[" + quote(named->name()->qualifiedName()) + "]";
    }
    default: break;
  }
  return "Opaque[" + quote(type->repr_str()) + "]";
}

void module_writer::use_class(const c10::NamedTypePtr &type) {
  if (classes_seen_.insert(type->name()->qualifiedName()).second) pending_classes_.push_back(type);
}

void module_writer::write_class(const c10::ClassType &type) {
  std::string text = "class " + quote(type.name()->qualifiedName()) + (type.is_module() ? " module {\n" : " plain {\n");
  for (size_t i = 0; i < type.numAttributes(); i++) text += "  attr " + quote(type.getAttributeName(i)) + " : " + this->type(type.getAttribute(i)) + "\n";
  for (const Function *method : type.methods()) {
    std::string name = use_function(*method);
    if (name.empty()) continue;
    if (is_hooked(type) && method->name() == "forward") {
      write_hooked_forward(type, *method);
      name += "(hooked)";
    }
    text += "  method " + quote(method->name()) + " = " + quote(name) + "\n";
  }
  classes_ += text + "}\n";
}

void module_writer::write_enum(const c10::EnumType &type) {
  classes_ += "class " + quote(type.qualifiedClassName().qualifiedName()) + " enum " + this->type(type.getValueType()) + " {\n";
  for (const auto &[name, value] : type.enumNamesValues()) classes_ += "  member " + quote(name) + " = " + literal(value) + "\n";
  classes_ += "}\n";
}

// ---- values ----

std::string module_writer::scalar(const IValue &value) {
  if (value.isNone()) return "None";
  if (value.isBool()) return value.toBool() ? "true" : "false";
  if (value.isInt()) return std::to_string(value.toInt());
  if (value.isDouble()) return float_text(value.toDouble());
  if (value.isComplexDouble()) {
    auto c = value.toComplexDouble();
    return "complex(" + float_text(c.real()) + ", " + float_text(c.imag()) + ")";
  }
  if (value.isString()) return quote(value.toStringRef());
  if (value.isDevice()) return "device(" + quote(value.toDevice().str()) + ")";
  if (value.isTensor()) return tensor(value.toTensor());
  if (value.isEnum()) {
    auto holder = value.toEnumHolder();
    use_class(holder->type());
    return "enum(" + quote(holder->qualifiedClassName()) + ", " + quote(holder->name()) + ")";
  }
  if (value.isObject()) return object(value);
  return "";
}

std::string module_writer::literal(const IValue &value) {
  std::string text = scalar(value);
  if (!text.empty()) return text;
  std::vector<std::string> items;
  if (value.isTuple()) {
    for (const IValue &item : value.toTupleRef().elements()) items.push_back(literal(item));
    return tuple(value, items);
  }
  if (value.isList()) {
    bool plain = value.toListRef().size() > 0 && value.toList().elementType()->kind() == TypeKind::IntType;
    for (const IValue &item : value.toListRef()) items.push_back(literal(item));
    return (plain ? "[" : type(value.toList().elementType()) + "[") + joined(items) + "]";
  }
  if (value.isGenericDict()) return dict(value);
  return opaque(value.type()->repr_str());
}

// A value that only libtorch can hold has no text: its type says so, and what reads it cannot be compiled.
std::string module_writer::opaque(const std::string &what) { return "uninit(Opaque[" + quote(what) + "])"; }

std::string module_writer::tuple(const IValue &value, const std::vector<std::string> &items) {
  auto known = value.toTupleRef().type<c10::TupleType>();
  bool is_named = known->name() && known->schema();
  return (is_named ? type(known) : "") + "(" + joined(items) + ")";
}

std::string module_writer::object_value(const IValue &value) {
  if (value.isList()) return list(value);
  if (value.isGenericDict()) return dict(value);
  if (!value.isTuple()) return literal(value);
  std::vector<std::string> items;
  for (const IValue &item : value.toTupleRef().elements()) items.push_back(object_value(item));
  return tuple(value, items);
}

std::string module_writer::list(const IValue &value) {
  auto [at, is_new] = lists_.try_emplace(value.internalToPointer(), lists_.size());
  std::string name = "list " + std::to_string(at->second);
  if (!is_new) return name;
  held_.push_back(value);
  std::vector<std::string> items;
  for (const IValue &item : value.toListRef()) items.push_back(object_value(item));
  data_ += name + " List[" + type(value.toList().elementType()) + "] = [" + joined(items) + "]\n";
  return name;
}

std::string module_writer::dict(const IValue &value) {
  auto [at, is_new] = dicts_.try_emplace(value.internalToPointer(), dicts_.size());
  std::string name = "dict " + std::to_string(at->second);
  if (!is_new) return name;
  held_.push_back(value);
  auto dict = value.toGenericDict();
  std::vector<std::string> items;
  for (const auto &entry : dict) items.push_back(object_value(entry.key()) + ": " + object_value(entry.value()));
  data_ += name + " Dict[" + type(dict.keyType()) + ", " + type(dict.valueType()) + "] = {" + joined(items) + "}\n";
  return name;
}

std::string module_writer::object(const IValue &value) {
  const auto object = value.toObject();
  const auto cls = object->type();
  if (is_torchbind(*cls)) return opaque(cls->name()->qualifiedName());
  auto [at, is_new] = objects_.try_emplace(object.get(), objects_.size());
  std::string name = "object " + std::to_string(at->second);
  if (!is_new) return name;
  held_.push_back(value);
  use_class(cls);
  std::string text = name + " " + quote(cls->name()->qualifiedName()) + " {\n";
  for (size_t i = 0; i < cls->numAttributes(); i++) text += "  " + quote(cls->getAttributeName(i)) + " = " + object_value(object->getSlot(i)) + "\n";
  data_ += text + "}\n";
  return name;
}

size_t module_writer::storage(const c10::Storage &storage) {
  auto [at, is_new] = storages_.try_emplace(storage.unsafeGetStorageImpl(), storages_.size());
  if (!is_new) return at->second;
  const char *bytes = static_cast<const char *>(storage.data());
  size_t len = storage.nbytes();
  uint64_t offset = 0;
  bool in_archive = len && archive_find(archive_, bytes, len, &offset);
  if (!in_archive && len) offset = side_.append(bytes, len);
  data_ += "storage " + std::to_string(at->second) + " bytes " + std::to_string(len) + (in_archive ? " archive " : " side ") + std::to_string(offset) + "\n";
  return at->second;
}

std::string module_writer::tensor(const at::Tensor &original) {
  if (!original.defined()) return "None";
  const char *dtype = dtype_name(original.scalar_type());
  if (!dtype || original.layout() != c10::kStrided || !original.device().is_cpu() || original.is_quantized() || original.is_nested() || original.dim() > 16)
    return opaque("a tensor of dtype " + std::string(c10::toString(original.scalar_type())) + " and layout " + c10::str(original.layout()) + " on " + original.device().str());
  at::Tensor tensor = original.is_conj() || original.is_neg() ? original.resolve_conj().resolve_neg() : original;
  auto [at, is_new] = tensors_.try_emplace(original.unsafeGetTensorImpl(), tensors_.size());
  std::string name = "tensor " + std::to_string(at->second);
  if (!is_new) return name;
  held_.emplace_back(original);
  held_.emplace_back(tensor);
  size_t place = storage(tensor.storage());
  std::vector<std::string> sizes, strides;
  for (int64_t n : tensor.sizes()) sizes.push_back(std::to_string(n));
  for (int64_t n : tensor.strides()) strides.push_back(std::to_string(n));
  data_ += name + " " + dtype + "[" + joined(sizes) + "]" + (sizes.empty() ? "" : "{" + joined(strides) + "}") + " storage " + std::to_string(place) +
           " offset " + std::to_string(tensor.storage_offset()) + (original.requires_grad() ? " grad\n" : "\n");
  return name;
}

// ---- locations ----

// The archive's own code/ path, else the base name: dumps must not depend on where a file lay.
std::string module_writer::location(const torch::jit::SourceRange &range) {
  auto place = range.file_line_col();
  if (!place) return "";
  const auto &[path, line, column] = *place;
  (void)column;
  size_t code = path.rfind("code/", 0) == 0 ? 0 : path.find("/code/");
  std::string name = code == 0 ? path : code != std::string::npos ? path.substr(code + 1) : path.substr(path.rfind('/') + 1);
  if (name.empty() || !line) return "";
  auto [at, is_new] = files_.try_emplace(name, files_.size());
  if (is_new) file_names_.push_back(name);
  return " @" + std::to_string(at->second) + ":" + std::to_string(line);
}

// ---- functions ----

class body_writer {
 public:
  body_writer(module_writer &module, std::string function) : module_(module), function_(std::move(function)) {}
  // The whole function; `schema` may be NULL (a fork's body).
  std::string write(Graph &graph, const c10::FunctionSchema *schema);

 private:
  std::string operand(const Value *value);
  std::string operands(const Node *node, size_t first = 0);
  std::string define(const Value *value);
  std::string results(const Node *node);
  void params(const Graph &graph, const c10::FunctionSchema *schema);
  void block(const Block *block, int depth);
  void node(const Node *node, int depth);
  void structured(const Node *node, int depth);
  void fork(const Node *node, int depth);
  std::string callee(const Node *node);
  std::string op(const Node *node);
  void line(int depth, const std::string &text) { out_ += std::string(static_cast<size_t>(depth) * 2, ' ') + text + "\n"; }

  module_writer &module_;
  std::string function_, out_;
  std::unordered_map<const Value *, std::string> names_;
  std::set<std::string> used_names_;
  size_t next_ = 0, forks_ = 0;
};

std::string body_writer::define(const Value *value) {
  std::string name = "%" + std::to_string(next_++);
  names_[value] = name;
  return name + " : " + module_.type(value->type());
}

std::string body_writer::operand(const Value *value) {
  const Node *node = value->node();
  if (node->kind() == prim::Uninitialized) return "uninit";
  if (node->kind() == prim::Constant) {
    auto constant = torch::jit::toIValue(value);
    if (constant) return module_.literal(*constant);
    throw failure{FST_ERR_UNSUPPORTED, "a constant of type " + value->type()->repr_str() + " in " + function_};
  }
  auto found = names_.find(value);
  if (found == names_.end()) throw failure{FST_ERR_INTERNAL, "a value of " + function_ + " is used before it is defined"};
  return found->second;
}

std::string body_writer::operands(const Node *node, size_t first) {
  std::vector<std::string> items;
  for (size_t i = first; i < node->inputs().size(); i++) items.push_back(operand(node->input(i)));
  return "(" + joined(items) + ")";
}

std::string body_writer::results(const Node *node) {
  std::vector<std::string> items;
  for (const Value *value : node->outputs()) items.push_back(define(value));
  return items.empty() ? "" : joined(items) + " = ";
}

void body_writer::params(const Graph &graph, const c10::FunctionSchema *schema) {
  bool is_named = schema && schema->arguments().size() == graph.inputs().size();
  std::vector<std::string> items;
  for (size_t i = 0; i < graph.inputs().size(); i++) {
    const Value *value = graph.inputs()[i];
    std::string name = identifier(is_named ? schema->arguments()[i].name() : value->debugName());
    while (!used_names_.insert(name).second) name += "_";
    names_[value] = "%" + name;
    std::string text = "%" + name + " : " + module_.type(value->type());
    if (is_named && schema->arguments()[i].default_value()) text += " = " + module_.literal(*schema->arguments()[i].default_value());
    items.push_back(text);
  }
  out_ += "(" + joined(items) + ")";
}

// The callee of prim::CallFunction is a constant of function type.
std::string body_writer::callee(const Node *node) {
  auto type = node->input(0)->type()->cast<c10::FunctionType>();
  if (!type) throw failure{FST_ERR_UNSUPPORTED, "a call of a function value in " + function_};
  return module_.function_name(*type->function());
}

std::string body_writer::op(const Node *node) {
  std::string kind = node->kind().toQualString();
  auto named = [&](const std::string &name) { return kind + "[name=" + quote(name) + "]" + operands(node); };
  switch (node->kind()) {
    case prim::GetAttr: case prim::SetAttr: case prim::HasAttr: return named(node->s(attr::name));
    case prim::CreateObject: {
      module_.type(node->output()->type());
      return named(node->output()->type()->expectRef<c10::ClassType>().name()->qualifiedName());
    }
    case prim::CallFunction: return kind + "[name=" + quote(callee(node)) + "]" + operands(node, 1);
    case prim::CallMethod: {
      const std::string &method = node->s(attr::name);
      auto cls = node->input(0)->type()->cast<c10::ClassType>();
      if (cls && method == "forward" && module_.is_hooked(*cls))  // a call inside the model runs no hooks
        return "prim::CallFunction[name=" + quote(module_.function_name(cls->getMethod(method))) + "]" + operands(node);
      return named(method);
    }
    case prim::isinstance: {
      std::vector<std::string> types;
      for (const TypePtr &t : node->tys(attr::types)) types.push_back(module_.type(t));
      return kind + "[type=Tuple[" + joined(types) + "]]" + operands(node);
    }
    default: break;
  }
  if (is_structural(node->kind())) return kind + operands(node);
  const c10::FunctionSchema *schema = node->maybeSchema();
  return "op[" + quote(schema ? c10::toString(*schema) : kind + "(...) -> ...") + "]" + operands(node);
}

void body_writer::structured(const Node *node, int depth) {
  std::string text = results(node) + node->kind().toQualString() + operands(node) + " {" + module_.location(node->sourceRange());
  for (const Block *inner : node->blocks()) {
    line(depth, text);
    if (!inner->inputs().empty()) {
      std::vector<std::string> items;
      for (const Value *value : inner->inputs()) items.push_back(define(value));
      line(depth + 1, "^(" + joined(items) + ")");
    }
    block(inner, depth + 1);
    text = "} {";
  }
  line(depth, "}");
}

void body_writer::fork(const Node *node, int depth) {
  std::string name = function_ + ".fork" + std::to_string(forks_++);
  body_writer inner(module_, name);
  module_.add_function(inner.write(*node->g(attr::Subgraph), nullptr));
  std::string call = "prim::CallFunction[name=" + quote(name) + "]" + operands(node);
  line(depth, results(node) + call + module_.location(node->sourceRange()));
}

void body_writer::node(const Node *node, int depth) {
  static const auto wait = c10::Symbol::fromQualString("aten::wait");
  bool is_wait = node->kind() == wait || node->kind() == prim::awaitable_wait;
  if (node->kind() == prim::Constant || node->kind() == prim::Uninitialized) return;
  if (node->kind() == prim::fork || node->kind() == prim::awaitable) return fork(node, depth);
  if ((is_wait && is_task_type(node->input(0)->type())) || node->kind() == prim::awaitable_nowait) {
    names_[node->output()] = operand(node->input(0));
    return;
  }
  if (!node->blocks().empty()) return structured(node, depth);
  std::string text = op(node);  // before the results take their numbers and names
  line(depth, results(node) + text + module_.location(node->sourceRange()));
}

void body_writer::block(const Block *block, int depth) {
  for (const Node *inner : block->nodes()) node(inner, depth);
  std::vector<std::string> items;
  for (const Value *value : block->outputs()) items.push_back(operand(value));
  line(depth, (block->owningNode() ? "yield " : "return ") + joined(items));
}

std::string body_writer::write(Graph &graph, const c10::FunctionSchema *schema) {
  out_ = "function " + quote(function_) + " imported ";
  params(graph, schema);
  std::vector<std::string> types;
  bool is_declared = schema && schema->returns().size() == graph.outputs().size();
  for (size_t i = 0; i < graph.outputs().size(); i++) types.push_back(module_.type(is_declared ? schema->returns()[i].type() : graph.outputs()[i]->type()));
  out_ += " -> (" + joined(types) + ") {\n";
  block(graph.block(), 1);
  return out_ + "}\n";
}

std::string module_writer::use_function(const Function &function) {
  if (!torch::jit::tryToGraphFunction(const_cast<Function &>(function))) return "";  // a native class's method
  std::string name = function.qualname().qualifiedName();
  if (functions_seen_.insert(name).second) pending_functions_.push_back(&function);
  return name;
}

// What the caller of a module with hooks runs: pre-hooks on the arguments as a tuple, forward, hooks on the
// arguments and the result; a hook that returns nothing changes nothing.
void module_writer::write_hooked_forward(const c10::ClassType &type, const Function &forward) {
  const auto &args = forward.getSchema().arguments();
  std::string name = forward.qualname().qualifiedName(), params, body;
  std::vector<std::string> values, types;
  size_t next = 0;
  for (size_t i = 0; i < args.size(); i++) {
    std::string arg = "%" + identifier(args[i].name());
    params += (i ? ", " : "") + arg + " : " + this->type(args[i].type());
    if (args[i].default_value()) params += " = " + literal(*args[i].default_value());
    if (!i) continue;
    values.push_back(arg);
    types.push_back(this->type(args[i].type()));
  }
  std::string self = "%" + identifier(args[0].name());
  auto emit = [&](const std::string &result_type, const std::string &text) {
    std::string value = "%" + std::to_string(next++);
    body += "  " + value + " : " + result_type + " = " + text + "\n";
    return value;
  };
  auto call = [&](const Function &callee, const std::string &operands) {
    return emit(this->type(callee.getSchema().returns()[0].type()), "prim::CallFunction[name=" + quote(use_function(callee)) + "](" + operands + ")");
  };
  auto tuple = [&] { return emit("Tuple[" + joined(types) + "]", "prim::TupleConstruct(" + joined(values) + ")"); };
  for (const Function *hook : type.getForwardPreHooks()) {
    TypePtr returned = hook->getSchema().returns()[0].type();
    std::string result = call(*hook, self + ", " + tuple());
    if (returned->kind() == TypeKind::NoneType) continue;
    auto items = returned->cast<c10::TupleType>();
    if (!items) {
      values = {result};
      continue;
    }
    if (items->elements().size() != values.size()) throw failure{FST_ERR_UNSUPPORTED, "the pre-hook " + hook->name() + " changes the number of arguments"};
    for (size_t i = 0; i < values.size(); i++) values[i] = emit(types[i], "op[\"prim::TupleIndex(Any tup, int i) -> Any\"](" + result + ", " + std::to_string(i) + ")");
  }
  std::string result_type = this->type(forward.getSchema().returns()[0].type());
  std::string result = call(forward, self + (values.empty() ? "" : ", ") + joined(values));
  for (const Function *hook : type.getForwardHooks()) {
    TypePtr returned = hook->getSchema().returns()[0].type();
    std::string changed = call(*hook, self + ", " + tuple() + ", " + result);
    if (returned->kind() == TypeKind::NoneType) continue;
    result = changed;
    result_type = this->type(returned);
  }
  add_function("function " + quote(name + "(hooked)") + " imported (" + params + ") -> (" + result_type + ") {\n" + body + "  return " + result + "\n}\n");
}

void module_writer::write_pending() {
  while (!pending_classes_.empty() || !pending_functions_.empty()) {
    if (!pending_classes_.empty()) {
      auto type = pending_classes_.front();
      pending_classes_.pop_front();
      if (auto cls = type->cast<c10::ClassType>()) write_class(*cls);
      else if (auto enumeration = type->cast<c10::EnumType>()) write_enum(*enumeration);
      else classes_ += "class " + quote(type->name()->qualifiedName()) + " interface {\n}\n";
      continue;
    }
    Function *function = const_cast<Function *>(pending_functions_.front());
    pending_functions_.pop_front();
    function->ensure_defined();
    body_writer body(*this, function->qualname().qualifiedName());
    std::string text = body.write(*torch::jit::toGraphFunction(*function).graph(), &function->getSchema());
    add_function(text);
  }
}

import_result module_writer::write(torch::jit::Module &module) {
  auto cls = module.type();
  if (!cls->getForwardHooks().empty() || !cls->getForwardPreHooks().empty()) hooked_ = cls;
  std::string root = object(module._ivalue());
  write_pending();
  std::string text = "firesteel.module 1\nsource " + quote(source_) + "\n";
  for (size_t i = 0; i < file_names_.size(); i++) text += "file " + std::to_string(i) + " " + quote(file_names_[i]) + "\n";
  text += "\n" + classes_ + "\n" + data_ + "root " + root + "\n" + functions_;
  return {std::move(text), side_.release()};
}

}  // namespace

import_result module_write(torch::jit::Module &module, const archive_bytes &archive, const std::string &source) {
  return module_writer(archive, source).write(module);
}

}  // namespace fst
