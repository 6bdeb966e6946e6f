// Loading an archive, remembering where in the file its tensors' bytes lie, and the entry point of import.
#include <caffe2/serialize/read_adapter_interface.h>
#include <torch/csrc/jit/runtime/jit_exception.h>
#include <torch/csrc/jit/serialization/import.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <mutex>

#include "base/status.h"
#include "frontend/torch/bridge_internal.h"

namespace fst {

// ---- errors ----

// libtorch's messages go on with a C++ stack and notes for its developers; the user needs what comes before.
static std::string first_lines(const std::string &text) {
  std::string out;
  size_t lines = 0;
  for (size_t at = 0; at < text.size() && lines < 12;) {
    size_t end = text.find('\n', at);
    if (end == std::string::npos) end = text.size();
    std::string line = text.substr(at, end - at);
    if (line.rfind("Exception raised from ", 0) == 0 || line.rfind("frame #", 0) == 0) break;
    if (line.find_first_not_of(" \t") != std::string::npos) {
      if (lines++) out += '\n';
      out += line;
    }
    at = end + 1;
  }
  return out;
}

static std::string raised_text(const torch::jit::JITException &e) {
  std::string name = e.getPythonClassName().value_or("RuntimeError");
  size_t dot = name.rfind('.');
  if (dot != std::string::npos) name = name.substr(dot + 1);
  std::string text = e.getOriginalMsg().value_or(std::string());
  if (text.empty()) {  // what() is the traceback; its last line is "Class: message"
    text = e.what();
    size_t mark = text.rfind(name + ": ");
    if (mark != std::string::npos) text = text.substr(mark + name.size() + 2);
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return name + ": " + text;
}

// What the interpreter makes of an exception that is not the model's own: a traceback that ends in
// "RuntimeError: text".
static bool is_interpreter_text(const std::string &what, std::string *out_text) {
  static const std::string start = "The following operation failed in the TorchScript interpreter", mark = "RuntimeError: ";
  if (what.rfind(start, 0) != 0) return false;
  size_t at = what.find("\n" + mark);
  *out_text = mark + first_lines(at == std::string::npos ? what : what.substr(at + 1 + mark.size()));
  return true;
}

static int32_t report(char **out_error, int32_t code, const std::string &what, const std::string &message) {
  std::string text = what.empty() ? message : what + ": " + message;
  if (out_error) *out_error = strdup(text.c_str());
  return code;
}

int32_t guarded(const std::string &what, char **out_error, const std::function<void()> &body) {
  try {
    body();
    return FST_OK;
  } catch (const failure &e) {
    return report(out_error, e.code, what, e.message);
  } catch (const torch::jit::JITException &e) {
    return report(out_error, FST_ERR_MODEL, "", raised_text(e));
  } catch (const std::bad_alloc &) {
    return report(out_error, FST_ERR_RESOURCE, what, "out of memory");
  } catch (const c10::Error &e) {
    return report(out_error, FST_ERR_UNSUPPORTED, what, first_lines(e.what_without_backtrace()));
  } catch (const std::exception &e) {
    std::string text;
    if (is_interpreter_text(e.what(), &text)) return report(out_error, FST_ERR_MODEL, "", text);
    return report(out_error, FST_ERR_UNSUPPORTED, what, first_lines(e.what()));
  } catch (...) {
    return report(out_error, FST_ERR_UNSUPPORTED, what, "an exception of unknown type");
  }
}

static void load_library(const char *path) {
  if (!dlopen(path, RTLD_NOW | RTLD_GLOBAL)) throw failure{FST_ERR_NOT_FOUND, std::string("cannot open the op library: ") + dlerror()};
}

void load_libraries(const fst_torch_import_options *options) {
  if (!options) return;
  for (uint32_t i = 0; i < options->library_count; i++) load_library(options->libraries[i]);
}

// ---- where bytes lie ----

class archive_bytes : public caffe2::serialize::ReadAdapterInterface {
 public:
  explicit archive_bytes(const std::string &path) {
    fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd_ < 0 || fstat(fd_, &info)) throw failure{FST_ERR_IO, strerror(errno)};
    size_ = static_cast<size_t>(info.st_size);
    if (!size_) return;
    void *map = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd_, 0);
    if (map == MAP_FAILED) throw failure{FST_ERR_IO, strerror(errno)};
    map_ = static_cast<const char *>(map);
  }
  ~archive_bytes() override {
    if (map_) munmap(const_cast<char *>(map_), size_);
    if (fd_ >= 0) close(fd_);
  }
  archive_bytes(const archive_bytes &) = delete;
  archive_bytes &operator=(const archive_bytes &) = delete;

  size_t size() const override { return size_; }

  size_t read(uint64_t pos, void *buf, size_t n, const char *) const override {
    if (pos >= size_) return 0;
    n = std::min(n, size_ - static_cast<size_t>(pos));
    size_t done = 0;
    while (done < n) {
      ssize_t got = pread(fd_, static_cast<char *>(buf) + done, n - done, static_cast<off_t>(pos + done));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      done += static_cast<size_t>(got);
    }
    std::lock_guard<std::mutex> lock(mutex_);
    reads_[static_cast<const char *>(buf)] = {pos, done};
    return done;
  }

  bool find(const char *data, size_t len, uint64_t *out_offset) const {
    auto after = reads_.upper_bound(data);
    if (after == reads_.begin()) return false;
    const auto &[start, place] = *std::prev(after);
    size_t skip = static_cast<size_t>(data - start);
    if (skip > place.len || len > place.len - skip) return false;
    uint64_t offset = place.pos + skip;
    if (memcmp(map_ + offset, data, len)) return false;
    *out_offset = offset;
    return true;
  }

 private:
  struct place {
    uint64_t pos;
    size_t len;
  };
  int fd_ = -1;
  const char *map_ = nullptr;
  size_t size_ = 0;
  mutable std::mutex mutex_;  // libtorch may read large records with several threads
  mutable std::map<const char *, place> reads_;
};

std::shared_ptr<archive_bytes> archive_open(const std::string &path) { return std::make_shared<archive_bytes>(path); }

bool archive_find(const archive_bytes &archive, const void *data, size_t len, uint64_t *out_offset) {
  return archive.find(static_cast<const char *>(data), len, out_offset);
}

torch::jit::Module archive_load(const std::shared_ptr<archive_bytes> &archive) {
  auto unit = std::make_shared<torch::jit::CompilationUnit>();
  torch::jit::ExtraFilesMap no_extra_files;
  // Without the debug files, ranges are those of the archive's own code/, which is what locations name.
  return torch::jit::import_ir_module(unit, archive, c10::Device(c10::kCPU), no_extra_files, /*load_debug_files=*/false);
}

}  // namespace fst

static std::string base_name(const std::string &path) { return path.substr(path.rfind('/') + 1); }

FST_BRIDGE_EXPORT int32_t fst_torch_load_library(const char *path, char **out_error) {
  return fst::guarded("", out_error, [&] { fst::load_library(path); });
}

FST_BRIDGE_EXPORT int32_t fst_torch_import(const char *archive_path, const fst_torch_import_options *options, char **out_text, size_t *out_len, int *out_side_fd, char **out_error) {
  std::string source = base_name(archive_path);
  return fst::guarded("libtorch cannot import " + source, out_error, [&] {
    fst::load_libraries(options);
    auto archive = fst::archive_open(archive_path);
    torch::jit::Module module = fst::archive_load(archive);
    if (options && options->eval) module.eval();
    fst::import_result result = fst::module_write(module, *archive, source);
    char *text = static_cast<char *>(malloc(result.text.size() + 1));
    if (!text) {
      close(result.side_fd);
      throw std::bad_alloc();
    }
    memcpy(text, result.text.c_str(), result.text.size() + 1);
    *out_text = text;
    *out_len = result.text.size();
    *out_side_fd = result.side_fd;
  });
}
