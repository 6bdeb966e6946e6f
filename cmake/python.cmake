# build/python/firesteel: the extension (limited API, one file for CPython 3.11 and later) and its .py files.
file(GLOB python_sources CONFIGURE_DEPENDS python/*.c)
if(python_sources)
  fst_python_ask(python_include "import sysconfig; print(sysconfig.get_path('include'))")
  if(NOT EXISTS "${python_include}/Python.h")
    message(FATAL_ERROR "No Python.h in '${python_include}' (of ${fst_python}). Install python3-dev.")
  endif()
  add_library(firesteel_python MODULE ${python_sources})
  target_compile_definitions(firesteel_python PRIVATE Py_LIMITED_API=0x030b0000)
  target_include_directories(firesteel_python SYSTEM PRIVATE ${python_include})
  target_link_libraries(firesteel_python PRIVATE fst_flags fst_neuropod firesteel_rt dl)
  set_target_properties(firesteel_python PROPERTIES PREFIX "" OUTPUT_NAME _firesteel SUFFIX .abi3.so
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/python/firesteel
    BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN/lib;$ORIGIN/../../lib")
endif()
file(GLOB_RECURSE python_files CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}/python python/firesteel/*.py python/neuropod/*.py)
set(python_copies)
foreach(file ${python_files})
  add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/python/${file}
    COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_SOURCE_DIR}/python/${file} ${CMAKE_BINARY_DIR}/python/${file}
    DEPENDS ${CMAKE_SOURCE_DIR}/python/${file} VERBATIM)
  list(APPEND python_copies ${CMAKE_BINARY_DIR}/python/${file})
endforeach()
add_custom_target(firesteel_python_files ALL DEPENDS ${python_copies})
