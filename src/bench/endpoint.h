// SPDX-License-Identifier: Apache-2.0
// The address of the server that is measured.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace penstock::bench {

// A file descriptor that is closed at the end. One thread at a time.
class Socket final {
 public:
  explicit Socket(int descriptor = -1) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~Socket();
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

// A server's address, resolved once: a slow name server must not show in the figures. Immutable.
class Endpoint final {
 public:
  // Reads "HOST:PORT" or "[IPV6]:PORT", and finds the host's addresses. Blocks.
  static StatusOr<Endpoint> Resolve(std::string_view target);

  // Opens a connection that does not block from then on. UNAVAILABLE: none of the addresses
  // accepts one within `timeout`.
  StatusOr<Socket> Connect(Duration timeout) const;

  const std::string& target() const { return target_; }

 private:
  std::string target_;
  std::vector<std::pair<int, std::string>> addresses_;  // family, and the bytes of a sockaddr
};

}  // namespace penstock::bench
