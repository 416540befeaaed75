# SPDX-License-Identifier: Apache-2.0
# How a folder becomes a library and its tests: one call each, so that a new file needs no edit here.
include(CheckCXXCompilerFlag)

add_library(penstock_flags INTERFACE)
target_compile_options(penstock_flags INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Werror
  -fvisibility=hidden)
target_include_directories(penstock_flags INTERFACE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(penstock_flags INTERFACE -Wthread-safety)
else()
  # g++ 12 reports overlaps that are none in std::string's inlined code.
  target_compile_options(penstock_flags INTERFACE -Wno-restrict)
  if(PENSTOCK_UNITY)
    # It takes files in a file for headers, and reports what abseil's inlined vectors never read.
    target_compile_options(penstock_flags INTERFACE -Wno-subobject-linkage -Wno-maybe-uninitialized)
  endif()
endif()
add_link_options(-fuse-ld=mold)

# The paths that tests ask for (src/base/os/test_paths.h).
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/test_paths.cc CONTENT [[
namespace penstock {
extern const char kSourceFolder[] = "@CMAKE_SOURCE_DIR@";
extern const char kBuildFolder[] = "@CMAKE_BINARY_DIR@";
}  // namespace penstock
]] @ONLY)
add_library(penstock_test_paths STATIC ${CMAKE_BINARY_DIR}/test_paths.cc)

# penstock_unite(<variable> <name>): with PENSTOCK_UNITY, replaces the sources below src/ that the variable lists by files that
# include eight of them each (docs/decisions/0018-unity-builds.md). CMake's own unity files name absolute
# paths, and ccache would not find them from another check-out.
function(penstock_unite variable name)
  if(NOT PENSTOCK_UNITY OR NOT ${variable})
    return()
  endif()
  list(LENGTH ${variable} count)
  math(EXPR last "${count} - 1")
  foreach(first RANGE 0 ${last} 8)
    list(SUBLIST ${variable} ${first} 8 batch)
    list(TRANSFORM batch REPLACE "^${CMAKE_SOURCE_DIR}/src/(.*)$" "#include \"\\1\"\n")
    list(JOIN batch "" text)
    set(file ${CMAKE_CURRENT_BINARY_DIR}/${name}_${first}.cc)
    file(CONFIGURE OUTPUT ${file} CONTENT "${text}" @ONLY)
    list(APPEND files ${file})
  endforeach()
  set(${variable} ${files} PARENT_SCOPE)
endfunction()

# penstock_library(<name> DEPS <targets...>): all .cc files of this folder but the tests and the program's own
# main*.cc and interposed_*.cc; target penstock_<name>.
function(penstock_library name)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *.cc)
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "/(main|interposed)[a-z_]*\\.cc$")
  penstock_unite(sources ${name})
  if(sources)
    add_library(penstock_${name} STATIC ${sources})
    target_link_libraries(penstock_${name} PUBLIC penstock_flags ${ARG_DEPS})
  else()
    add_library(penstock_${name} INTERFACE)
    target_link_libraries(penstock_${name} INTERFACE penstock_flags ${ARG_DEPS})
  endif()
  file(GLOB tests CONFIGURE_DEPENDS *_test.cc)
  penstock_unite(tests ${name}_test)
  if(tests)
    penstock_test(${name}_test SOURCES ${tests} DEPS penstock_${name})
  endif()
endfunction()

# penstock_leaf(<name> DEPS <targets...>): a penstock_library that the program links because src/app/builtins.cc names it.
macro(penstock_leaf name)
  penstock_library(${name} ${ARGN})
  set_property(GLOBAL APPEND PROPERTY penstock_leaves penstock_${name})
endmacro()

# penstock_test(<name> SOURCES <files> DEPS <targets> [TIMEOUT <seconds>]): a GoogleTest program; each case is a ctest case,
# or, with PENSTOCK_WHOLE_TESTS, the whole program is one.
function(penstock_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE penstock_flags ${ARG_DEPS} penstock_test_paths dep_gtest)
  penstock_hide_static_symbols(${name})
  if(PENSTOCK_WHOLE_TESTS)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT 600 LABELS unit)
  else()
    gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS unit)
  endif()
endfunction()
include(GoogleTest)

# Keeps what static libraries define out of the executable's dynamic symbols: an inference runtime opened by it would
# be bound to them (docs/decisions/0002-static-linking.md).
function(penstock_hide_static_symbols name)
  if(PENSTOCK_EXCLUDE_LIBS)
    target_link_options(${name} PRIVATE -Wl,--exclude-libs,ALL)
  endif()
endfunction()

# Where the inference libraries are: the site-packages folder that 'make setup' fills. The backends built here look there
# unless an option or an environment variable names another place (docs/add-a-backend.md).
if(DEFINED ENV{XDG_CACHE_HOME})
  set(penstock_cache $ENV{XDG_CACHE_HOME})
else()
  set(penstock_cache $ENV{HOME}/.cache)
endif()
set(PENSTOCK_RUNTIMES_DIR ${penstock_cache}/penstock/python/lib/python3.11/site-packages CACHE PATH
  "Folder of the Python packages tensorflow and onnxruntime")
add_custom_target(backends)

# penstock_backend(<name> SOURCES <files> [INCLUDES <folders>] [RUNTIME <folder below PENSTOCK_RUNTIMES_DIR>]):
# a backend's shared object, build/<preset>/backends/<name>/penstock_<name>.so, and beside it models.txt of the source
# folder and library.path, which says where the runtime's library is.
function(penstock_backend name)
  cmake_parse_arguments(ARG "" "RUNTIME" "SOURCES;INCLUDES" ${ARGN})
  set(folder ${CMAKE_BINARY_DIR}/backends/${name})
  add_library(penstock_backend_${name} MODULE ${ARG_SOURCES})
  target_link_libraries(penstock_backend_${name} PRIVATE penstock_flags ${CMAKE_DL_LIBS})
  target_include_directories(penstock_backend_${name} SYSTEM PRIVATE ${ARG_INCLUDES})
  target_link_options(penstock_backend_${name} PRIVATE -Wl,--exclude-libs,ALL -Wl,--no-undefined)
  set_target_properties(penstock_backend_${name} PROPERTIES PREFIX "" OUTPUT_NAME penstock_${name}
    LIBRARY_OUTPUT_DIRECTORY ${folder})
  configure_file(${CMAKE_CURRENT_SOURCE_DIR}/models.txt ${folder}/models.txt COPYONLY)
  if(ARG_RUNTIME)
    if(NOT IS_DIRECTORY ${PENSTOCK_RUNTIMES_DIR}/${ARG_RUNTIME})
      message(FATAL_ERROR "${PENSTOCK_RUNTIMES_DIR}/${ARG_RUNTIME} is missing: run 'make setup', or set PENSTOCK_RUNTIMES_DIR")
    endif()
    file(GENERATE OUTPUT ${folder}/library.path CONTENT "${PENSTOCK_RUNTIMES_DIR}/${ARG_RUNTIME}\n")
  endif()
  add_dependencies(backends penstock_backend_${name})
endfunction()
