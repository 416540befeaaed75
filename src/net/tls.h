// SPDX-License-Identifier: Apache-2.0
// TLS through OpenSSL, in memory: bytes of the wire on one side, plain bytes on the other.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "net/server.h"

struct ssl_st;
struct ssl_ctx_st;

namespace penstock::net {

// One connection's TLS. Owned by loop.
class TlsFilter final {
 public:
  enum class Result {
    kOk,      // `bytes` were read, there may be more
    kMore,    // needs more from the wire
    kEnd,     // the peer has closed its side
    kFailed,  // handshake or record is wrong; an alert may be in Encrypt's output
  };

  // Takes over one reference of `ssl`.
  explicit TlsFilter(ssl_st* ssl);
  ~TlsFilter();
  TlsFilter(const TlsFilter&) = delete;
  TlsFilter& operator=(const TlsFilter&) = delete;

  // Bytes from the wire.
  void Feed(std::span<const std::byte> bytes);
  bool was_fed() const { return was_fed_; }
  // Plain bytes of what was fed; also does the handshake.
  Result Read(std::span<std::byte> to, size_t& bytes);
  // What is to be sent: `plain` encrypted, behind what the protocol itself has to say.
  ByteChain Encrypt(const ByteChain& plain);
  // Queues a close_notify, once; true if there is now something to send.
  bool StartClose();

  bool is_established() const;
  // The protocol agreed on, "h2" or "http/1.1"; empty if none.
  std::string_view alpn() const;

 private:
  ssl_st* const ssl_;
  bool was_fed_ = false;
  uint64_t bytes_fed_ = 0;
  uint64_t key_updates_ = 0;  // that the peer has sent
  bool close_started_ = false;
};

// What to send, as it is, to a client whose `first_bytes` are HTTP/1.1 and not TLS: 400, and why.
// Empty if they are anything else; so are clients of HTTP/2, as gRPC ones do not wait before they
// come again if a connection began well.
std::string_view AnswerToClearText(std::span<const std::byte> first_bytes);

// Certificates and rules for all connections. Looks for changed files when a connection comes, at
// most once each reload interval, so that an idle server sleeps. Thread-safe.
class TlsContext final {
 public:
  // Errors: INVALID_ARGUMENT with the file and what is wrong with it.
  static StatusOr<std::unique_ptr<TlsContext>> Load(const TlsOptions& options);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  std::unique_ptr<TlsFilter> NewFilter() EXCLUDES(mutex_);

 private:
  using Stamps = std::vector<std::string>;  // what tells that a file has changed

  TlsContext(const TlsOptions& options, ssl_ctx_st* context, Stamps stamps);
  static Stamps StampsOf(const TlsOptions& options);
  void ReloadIfChanged() REQUIRES(mutex_);

  const TlsOptions options_;
  Mutex mutex_;
  ssl_ctx_st* context_ GUARDED_BY(mutex_);
  Stamps stamps_ GUARDED_BY(mutex_);
  SteadyTime next_look_ GUARDED_BY(mutex_);
};

}  // namespace penstock::net
