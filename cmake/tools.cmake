# What is found on the machine: LLVM, libzip, cJSON, a Python.
find_package(PkgConfig REQUIRED)
pkg_check_modules(libzip REQUIRED IMPORTED_TARGET libzip)
pkg_check_modules(cjson REQUIRED IMPORTED_TARGET libcjson)

find_program(FST_LLVM_CONFIG NAMES llvm-config-19 llvm-config-20 llvm-config-21 llvm-config-22 llvm-config REQUIRED)
function(fst_llvm_ask out)
  execute_process(COMMAND ${FST_LLVM_CONFIG} ${ARGN} OUTPUT_VARIABLE answer OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  string(STRIP "${answer}" answer)
  set(${out} "${answer}" PARENT_SCOPE)
endfunction()
fst_llvm_ask(llvm_version --version)
if(llvm_version VERSION_LESS 19)
  message(FATAL_ERROR "LLVM 19 or newer is needed; ${FST_LLVM_CONFIG} is ${llvm_version}")
endif()
fst_llvm_ask(llvm_include --includedir)
fst_llvm_ask(llvm_libdir --libdir)
fst_llvm_ask(llvm_bindir --bindir)
fst_llvm_ask(llvm_libs --link-shared --libs)
add_library(fst_llvm INTERFACE)
target_include_directories(fst_llvm SYSTEM INTERFACE ${llvm_include})
set(FST_LLVM_VERSION ${llvm_version})
target_link_libraries(fst_llvm INTERFACE -L${llvm_libdir} ${llvm_libs})

if(NOT FST_PYTHON)
  if(EXISTS ${CMAKE_SOURCE_DIR}/.venv/bin/python)
    set(FST_PYTHON ${CMAKE_SOURCE_DIR}/.venv/bin/python CACHE FILEPATH "" FORCE)
  else()
    find_program(python3_program python3 REQUIRED)
    set(FST_PYTHON ${python3_program} CACHE FILEPATH "" FORCE)
  endif()
endif()
# A virtual environment's python is a link: absolute, but not resolved.
get_filename_component(fst_python "${FST_PYTHON}" ABSOLUTE BASE_DIR ${CMAKE_SOURCE_DIR})

function(fst_python_ask out code)
  execute_process(COMMAND ${fst_python} -c "${code}" OUTPUT_VARIABLE answer OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  set(${out} "${answer}" PARENT_SCOPE)
endfunction()

# `const char NAME[]` and `const unsigned NAME_len` holding a file of the source tree.
function(fst_embed file name)
  set(out ${CMAKE_BINARY_DIR}/generated/${name}.c)
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DIN=${CMAKE_SOURCE_DIR}/${file} -DOUT=${out} -DNAME=${name} -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${CMAKE_SOURCE_DIR}/${file} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake VERBATIM)
endfunction()
