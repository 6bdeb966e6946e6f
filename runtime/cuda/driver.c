#include "runtime/cuda/driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// Graphs that are made ready in this way came with 11.4; images of the present compilers want their own major version, which loading them says.
enum { OLDEST_DRIVER = 11040 };

typedef union symbol {
  void *at;
#define DRIVER(name, symbol, params) CUresult(*name) params;
#include "runtime/cuda/driver.def"
#undef DRIVER
} symbol;

fst_status fst_cuda_status(const fst_cuda_driver *driver, CUresult result, const char *what) {
  if (!result) return NULL;
  const char *name = NULL, *text = NULL;
  driver->GetErrorName(result, &name);
  driver->GetErrorString(result, &text);
  return FST_FAIL(result == CU_OUT_OF_MEMORY ? FST_ERR_RESOURCE : FST_ERR_IO, "%s: %s (%s)", what, text ? text : "unknown error", name ? name : "unnamed");
}

// ---- finding it ------------------------------------------------------------------------------------

// The loader's own search first; then where containers and WSL put it without telling the loader.
static const char *const places[] = {"libcuda.so.1", "/usr/lib/x86_64-linux-gnu/libcuda.so.1", "/usr/lib64/libcuda.so.1", "/usr/local/nvidia/lib64/libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"};

static fst_status library_open(void **out) {
  const char *given = getenv("FIRESTEEL_LIBCUDA");
  if (given && *given) {
    *out = dlopen(given, RTLD_NOW | RTLD_LOCAL);
    return *out ? NULL : FST_FAIL(FST_ERR_NOT_FOUND, "cannot open the CUDA driver that FIRESTEEL_LIBCUDA names: %s", dlerror());
  }
  for (size_t i = 0; i < sizeof places / sizeof *places; i++)
    if ((*out = dlopen(places[i], RTLD_NOW | RTLD_LOCAL))) return NULL;
  return FST_FAIL(FST_ERR_NOT_FOUND, "there is no CUDA driver: libcuda.so.1 was looked for where the loader looks (LD_LIBRARY_PATH, ld.so.cache) and in /usr/lib/x86_64-linux-gnu, "
                                     "/usr/lib64, /usr/local/nvidia/lib64 and /usr/lib/wsl/lib; install NVIDIA's driver, or open the model with device=\"cpu\"");
}

static fst_status driver_open(fst_cuda_driver *out) {
  void *library;
  FST_TRY(library_open(&library));
  const char *missing = NULL;
  symbol s;
#define DRIVER(name, symbol, params)               \
  s.at = dlsym(library, #symbol);                  \
  out->name = s.name;                              \
  if (!s.at && !missing) missing = #symbol;
#include "runtime/cuda/driver.def"
#undef DRIVER
  int version = 0;
  if (out->DriverGetVersion) out->DriverGetVersion(&version);
  if (missing || version < OLDEST_DRIVER) {
    Dl_info info = {0};
    s.DriverGetVersion = out->DriverGetVersion;
    const char *file = s.at && dladdr(s.at, &info) && info.dli_fname ? info.dli_fname : "libcuda.so.1";
    if (version < OLDEST_DRIVER)
      return FST_FAIL(FST_ERR_UNSUPPORTED, "the CUDA driver is too old: %s is for CUDA %d.%d, at least %d.%d is needed", file, version / 1000, version % 1000 / 10, OLDEST_DRIVER / 1000, OLDEST_DRIVER % 1000 / 10);
    return FST_FAIL(FST_ERR_UNSUPPORTED, "the CUDA driver %s has no function %s", file, missing);
  }
  return fst_cuda_status(out, out->Init(0), "the CUDA driver does not start");
}

fst_status fst_cuda_driver_get(const fst_cuda_driver **out) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static fst_cuda_driver driver;
  static int is_open;
  fst_status status = NULL;
  pthread_mutex_lock(&lock);
  if (!is_open) {   // a driver may be installed, or a device given to the container, after a failed try
    status = driver_open(&driver);
    is_open = !status;
  }
  pthread_mutex_unlock(&lock);
  if (!status) *out = &driver;
  return status;
}
