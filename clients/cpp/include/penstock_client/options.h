// SPDX-License-Identifier: Apache-2.0
// How a client calls its server. Plain data.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace penstock_client {

// When a call is sent again. It is, if the server answered 503 (it has not run the model), and
// once, if a connection that was kept from an earlier call ends before a line of the answer. Never
// after a part of another answer.
struct Retry {
  // All tries of a call; 1 for none again.
  int attempts_max = 4;
  // The wait after a 503 without Retry-After; it doubles.
  std::chrono::milliseconds delay{100};
  // A server that asks to wait longer is not waited for.
  std::chrono::milliseconds delay_max{10'000};
  // Tries again that all calls of a client have together; each answered call adds `budget_refill`.
  // So an overloaded server gets little more.
  double budget = 10;
  double budget_refill = 0.1;
};

struct ClientOptions {
  // Sent as a bearer token.
  std::string token = {};
  // PEM files, for https. Without `ca_file` the system's authorities are trusted.
  std::string ca_file = {};
  std::string certificate_file = {};
  std::string key_file = {};
  // The path of a unix socket, which is used in place of the host and port of the URL.
  std::string unix_socket = {};
  // For a connection, with the look-up of the host's name and the TLS handshake.
  std::chrono::milliseconds connect_timeout{5'000};
  // For a whole call: waits, tries again, the last byte of the answer. None: no end.
  // Times longer than 24 days are 24 days.
  std::optional<std::chrono::milliseconds> timeout = std::chrono::milliseconds(60'000);
  // Calls at the same time; others wait.
  size_t connections_max = 8;
  // A kept connection is closed if it was not used for so long.
  std::chrono::seconds idle_max{60};
  // Larger answers are refused: before memory is taken, if their length is told.
  uint64_t answer_bytes_max = (uint64_t{1} << 31) - 1;
  Retry retry = {};
  // Sent with each request.
  std::vector<std::pair<std::string, std::string>> headers = {};
};

// Which version of a model, and which signature. At most one of version and label.
struct ModelOptions {
  std::optional<int64_t> version = std::nullopt;
  std::string label = {};
  std::string signature = {};
};

struct InferOptions {
  // The outputs that are wanted, in this order. Empty: all, in the order of the metadata.
  std::vector<std::string> outputs = {};
  // A text for the model's backend.
  std::string config = {};
  // In place of ClientOptions::timeout.
  std::optional<std::chrono::milliseconds> timeout = std::nullopt;
};

}  // namespace penstock_client
