// SPDX-License-Identifier: Apache-2.0
// The non-template parts of Asio's TLS, compiled once: see dep_boost in cmake/StaticDeps.cmake.
#include <boost/asio/ssl/impl/src.hpp>
