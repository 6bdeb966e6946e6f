// AOTInductor's package without Python, as a contestant (cli/contestant.h): aoti_runner PACKAGE INPUT.npy... --started NS
#include <ATen/Parallel.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/torch.h>

#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iostream>
#include <sstream>

static int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static const struct { const char *code; c10::ScalarType type; } types[] = {{"<f4", torch::kFloat}, {"<f8", torch::kDouble}, {"<i8", torch::kLong}, {"<i4", torch::kInt}, {"|b1", torch::kBool}};

static at::Tensor npy_read(const std::string &path) {
  std::ifstream f(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(f)), {});
  if (bytes.size() < 12 || bytes.compare(1, 5, "NUMPY")) throw std::runtime_error(path + " is not a numpy array file");
  size_t header = (unsigned char)bytes[8] | (size_t)(unsigned char)bytes[9] << 8;
  std::string text = bytes.substr(10, header);
  std::vector<int64_t> sizes;
  std::stringstream shape(text.substr(text.find("'shape': (") + 10));
  for (int64_t size; shape >> size;) {
    sizes.push_back(size);
    if (shape.get() != ',') break;
  }
  for (auto &t : types) {
    if (text.find(t.code) == std::string::npos) continue;
    auto tensor = torch::empty(sizes, t.type);
    std::memcpy(tensor.data_ptr(), bytes.data() + 10 + header, tensor.nbytes());
    return tensor;
  }
  throw std::runtime_error(path + " holds elements of another type");
}

static void npy_write(std::ofstream &f, const at::Tensor &result) {
  auto tensor = result.contiguous();
  const char *code = nullptr;
  for (auto &t : types)
    if (t.type == tensor.scalar_type()) code = t.code;
  if (!code) throw std::runtime_error("a result has elements of another type");
  std::string header = std::string("{'descr': '") + code + "', 'fortran_order': False, 'shape': (";
  for (int64_t size : tensor.sizes()) header += std::to_string(size) + ",";
  header += "), }";
  while ((10 + header.size() + 1) % 64) header += ' ';
  header += '\n';
  f.write("\x93NUMPY\1\0", 8);
  f.put((char)(header.size() & 255)).put((char)(header.size() >> 8));
  f << header;
  f.write((const char *)tensor.data_ptr(), (std::streamsize)tensor.nbytes());
}

static long peak_kb() {
  std::ifstream f("/proc/self/status");
  for (std::string s; std::getline(f, s);)
    if (!s.rfind("VmHWM:", 0)) return atol(s.c_str() + 6);
  return 0;
}

int main(int argc, char **argv) try {
  int64_t started = argc > 3 ? atoll(argv[argc - 1]) : now_ns();
  at::set_num_threads(1);
  c10::InferenceMode guard;
  std::vector<at::Tensor> inputs;
  for (int i = 2; i < argc && std::strcmp(argv[i], "--started"); i++) inputs.push_back(npy_read(argv[i]));
  int64_t opening = now_ns();
  torch::inductor::AOTIModelPackageLoader model(argv[1], "model", false, 1, -1);
  int64_t ready = now_ns();
  auto first = model.run(inputs);
  int64_t done = now_ns();
  printf("{\"open_us\": %.1f, \"first_us\": %.1f, \"start_us\": %.1f}\n", (double)(ready - opening) / 1e3, (double)(done - ready) / 1e3, (double)(done - started) / 1e3);
  fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    if (!line.rfind("results ", 0)) {
      std::ofstream f(line.substr(8), std::ios::binary);
      for (auto &tensor : first) npy_write(f, tensor);
      printf("{}\n");
    } else if (!line.rfind("time ", 0)) {
      std::vector<int64_t> took;
      for (long n = atol(line.c_str() + 5); n > 0; n--) {
        int64_t start = now_ns();
        model.run(inputs);
        took.push_back(now_ns() - start);
      }
      printf("{\"ns\": [");
      for (size_t i = 0; i < took.size(); i++) printf("%s%lld", i ? ", " : "", (long long)took[i]);
      printf("]}\n");
    } else {
      printf("{\"peak_kb\": %ld, \"runtime_bytes\": 0}\n", peak_kb());
    }
    fflush(stdout);
  }
  _exit(0);
} catch (const std::exception &e) {
  std::string text = e.what();
  for (char &c : text)
    if (c == '"' || c == '\\' || (unsigned char)c < ' ') c = ' ';
  printf("{\"error\": \"%.300s\"}\n", text.c_str());
  fflush(stdout);
  _exit(1);
}
