// SPDX-License-Identifier: Apache-2.0
// TLS with OpenSSL, in memory: encrypted bytes on one side, plain bytes on the other.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "access/access_table.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "net/options.h"

struct ssl_st;
struct ssl_ctx_st;

namespace penstock::net {

// The TLS of one connection. It does no I/O: the connection feeds it the bytes from the wire, and
// sends what Encrypt returns.
//
//   filter.Feed(wire_bytes);
//   while (filter.Read(scratch, bytes) == TlsFilter::Result::kOk) session.OnBytes(...);
//   Send(filter.Encrypt(answers));  // also when `answers` is empty: the handshake has output too
//
// Each Encrypt makes records of at most 16 KiB (RFC 8446, section 5.1). A peer that asks for new
// keys too often is an error. Owned by loop.
class TlsFilter final {
 public:
  enum class Result {
    kOk,      // bytes were read, and there may be more
    kMore,    // needs more bytes from the wire
    kEnd,     // the peer has closed its side
    kFailed,  // The handshake or a record is wrong. The output of Encrypt may hold an alert.
  };

  enum class Side { kServer, kClient };

  // Takes over one reference to `ssl`. A client calls StartHandshake first.
  explicit TlsFilter(ssl_st* ssl, Side side = Side::kServer);
  ~TlsFilter();
  TlsFilter(const TlsFilter&) = delete;
  TlsFilter& operator=(const TlsFilter&) = delete;

  // Begins the handshake of a client: Encrypt then has its first message.
  void StartHandshake();
  // Adds a copy of bytes from the wire.
  void Feed(std::span<const std::byte> bytes);
  // False until the first Feed. Only the first bytes may be clear text (AnswerToClearText).
  bool was_fed() const { return was_fed_; }
  // Decrypts fed bytes to `to`, and sets `bytes` to how many it wrote; 0 unless the result is kOk.
  // Also does the handshake. Call Encrypt afterwards, since it may have output.
  Result Read(std::span<std::byte> to, size_t& bytes);
  // Why Read has failed; for logs.
  std::string_view failure() const { return failure_; }
  // Encrypts `plain`. Returns it behind the protocol's own output, such as handshake messages.
  ByteChain Encrypt(const ByteChain& plain);
  // Queues a close_notify, once. Returns true if there is now something to send.
  bool StartClose();

  // True once the handshake is over.
  bool is_established() const;
  // The negotiated protocol, "h2" or "http/1.1". Empty if there is none.
  std::string_view alpn() const;
  // The names in the client's certificate, once the handshake is over.
  access::CertificateNames client_names() const;

 private:
  ssl_st* const ssl_;
  bool was_fed_ = false;
  uint64_t bytes_fed_ = 0;
  uint64_t key_updates_ = 0;  // received from the peer
  bool close_started_ = false;
  std::string_view failure_;  // static storage
};

// Returns the answer for a client that speaks HTTP/1.1 without TLS: a 400 with the reason, to be
// sent unencrypted. Empty if `first_bytes` are anything else. HTTP/2 clients get no answer, because
// gRPC clients reconnect without a delay if a connection began well.
std::string_view AnswerToClearText(std::span<const std::byte> first_bytes);

// The certificates and rules for all connections: TLS 1.2 and 1.3, ciphers with forward secrecy
// only, ALPN for h2 and http/1.1. It checks for changed files when a connection comes, at most once
// each reload interval, so that an idle server sleeps. Changed files that do not fit together are
// logged, and the old certificates stay. Thread-safe.
class TlsContext final {
 public:
  // Errors: INVALID_ARGUMENT. The message names the file and says what is wrong with it.
  static StatusOr<std::unique_ptr<TlsContext>> Load(const TlsOptions& options);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  // For a new connection. It keeps its certificates when the files change.
  std::unique_ptr<TlsFilter> NewFilter() EXCLUDES(mutex_);

 private:
  using Stamps = std::vector<std::string>;  // one for each file; differs after a change

  TlsContext(const TlsOptions& options, ssl_ctx_st* context, Stamps stamps);
  static Stamps StampsOf(const TlsOptions& options);
  // Reads files under the lock. The other loops wait for it, but only when a connection comes to
  // them, and at most once each interval.
  void ReloadIfChanged() REQUIRES(mutex_);

  const TlsOptions options_;
  Mutex mutex_;
  ssl_ctx_st* context_ GUARDED_BY(mutex_);
  Stamps stamps_ GUARDED_BY(mutex_);
  SteadyTime next_check_ GUARDED_BY(mutex_);
};

}  // namespace penstock::net
