# libfiresteel_torch.so, linked by path to the libtorch of FST_PYTHON's torch: its own CMake package may
# demand a CUDA toolkit that running models does not need.
file(GLOB torch_sources CONFIGURE_DEPENDS frontend/torch/*.cc)
if(torch_sources)
  enable_language(CXX)
  fst_python_ask(torch_dir "import importlib.util as u, os; print(os.path.dirname(u.find_spec('torch').origin))")
  if(NOT EXISTS "${torch_dir}/lib/libtorch_cpu.so")
    message(FATAL_ERROR "No torch in ${fst_python}. Run `make build`, give -DFST_PYTHON=<a python with torch>, or -DFST_TORCH=OFF to build without importing archives.")
  endif()
  # Relative where both lie in the project, so that the whole folder can move.
  set(torch_rpath ${torch_dir}/lib)
  string(FIND "${torch_dir}" "${CMAKE_SOURCE_DIR}/" at)
  if(at EQUAL 0)
    file(RELATIVE_PATH relative ${CMAKE_BINARY_DIR}/lib ${torch_dir}/lib)
    set(torch_rpath $ORIGIN/${relative})
  endif()
  # In a wheel both lie in site-packages.
  set(torch_rpath "${torch_rpath};$ORIGIN/../../torch/lib")
  add_library(firesteel_torch SHARED ${torch_sources})
  target_compile_features(firesteel_torch PRIVATE cxx_std_20)
  target_include_directories(firesteel_torch SYSTEM PRIVATE ${torch_dir}/include ${torch_dir}/include/torch/csrc/api/include)
  target_link_libraries(firesteel_torch PRIVATE fst_flags fst_base ${torch_dir}/lib/libtorch_cpu.so ${torch_dir}/lib/libc10.so)
  set_target_properties(firesteel_torch PROPERTIES CXX_VISIBILITY_PRESET hidden CXX_EXTENSIONS OFF
    BUILD_RPATH "$ORIGIN;${torch_rpath}" INSTALL_RPATH "$ORIGIN;${torch_rpath}" SKIP_BUILD_RPATH OFF BUILD_WITH_INSTALL_RPATH ON)
endif()
