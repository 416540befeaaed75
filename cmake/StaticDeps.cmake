# SPDX-License-Identifier: Apache-2.0
# The libraries from Debian. Those whose symbols an inference runtime exports too are linked as static archives, by
# name, since their CMake configurations would pick the shared ones (docs/decisions/0002-static-linking.md).
find_package(Threads REQUIRED)
set(LIBRARY_FOLDER /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE})

function(penstock_static_dep name)
  foreach(archive ${ARGN})
    if(NOT EXISTS ${LIBRARY_FOLDER}/${archive})
      message(FATAL_ERROR "${LIBRARY_FOLDER}/${archive} is missing: run 'make setup' (Debian packages in tools/setup/apt-packages)")
    endif()
    list(APPEND archives ${LIBRARY_FOLDER}/${archive})
  endforeach()
  add_library(${name} INTERFACE)
  target_link_libraries(${name} INTERFACE ${archives})
endfunction()

file(GLOB absl_archives RELATIVE ${LIBRARY_FOLDER} ${LIBRARY_FOLDER}/libabsl_*.a)
list(FILTER absl_archives EXCLUDE REGEX "libabsl_(flags|log_main|scoped_mock|exception_safety|test)")
penstock_static_dep(dep_absl ${absl_archives})
target_link_libraries(dep_absl INTERFACE Threads::Threads)
if(CMAKE_CXX_FLAGS MATCHES "-fsanitize=thread")
  target_link_libraries(dep_absl INTERFACE absl_status_tsan)
  target_link_options(dep_absl INTERFACE -Wl,--wrap=_ZN4absl7debian36Status15UnrefNonInlinedEm)
endif()

penstock_static_dep(dep_zlib libz.a)
penstock_static_dep(dep_zstd libzstd.a)
penstock_static_dep(dep_protobuf libprotobuf.a)
target_link_libraries(dep_protobuf INTERFACE dep_zlib Threads::Threads)
penstock_static_dep(dep_nghttp2 libnghttp2.a)
penstock_static_dep(dep_cares libcares.a)
penstock_static_dep(dep_rocksdb librocksdb.a libsnappy.a liblz4.a libbz2.a)
target_link_libraries(dep_rocksdb INTERFACE dep_zstd dep_zlib ${CMAKE_DL_LIBS} Threads::Threads)
penstock_static_dep(dep_pugixml libpugixml.a)
penstock_static_dep(dep_openssl libssl.a libcrypto.a)
target_link_libraries(dep_openssl INTERFACE ${CMAKE_DL_LIBS} Threads::Threads)

# No runtime exports these, so they may stay shared; fmt and spdlog are used as headers.
add_library(dep_simdjson INTERFACE)
target_link_libraries(dep_simdjson INTERFACE simdjson)
add_library(dep_fmt INTERFACE)
target_compile_definitions(dep_fmt INTERFACE FMT_HEADER_ONLY=1)

# Asio and Beast are compiled once, in src/base/asio/asio_impl.cc.
add_library(dep_boost INTERFACE)
target_compile_definitions(dep_boost INTERFACE BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION
  BOOST_ASIO_NO_DEPRECATED BOOST_ERROR_CODE_HEADER_ONLY)

find_package(GTest REQUIRED)
add_library(dep_gtest INTERFACE)
target_link_libraries(dep_gtest INTERFACE GTest::gmock GTest::gtest GTest::gtest_main)
