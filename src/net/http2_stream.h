// SPDX-License-Identifier: Apache-2.0
// One stream of an HTTP/2 connection: gathers the request's head, finds out whether it is gRPC or
// plain HTTP, and holds the answer until nghttp2 has framed it.
#pragma once

#include <nghttp2/nghttp2.h>

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "absl/container/inlined_vector.h"
#include "net/grpc_call.h"
#include "net/grpc_wire.h"
#include "net/http2_fields.h"
#include "net/http2_output.h"
#include "net/http_call.h"

namespace penstock::net {

class Http2Session;

// Reused for one stream after the other. Owned by loop.
class Http2Stream final : public HttpCallOwner {
 public:
  void Open(Http2Session& session, int32_t id);
  // nghttp2 has closed the stream, or the connection is gone: cancels what is not answered, lets go
  // of all memory.
  void Close();

  // --- what arrives
  // One field of the head, or of the trailers. False: the head is far over the limit.
  [[nodiscard]] bool OnHeader(const FieldMemo::Field& field);
  void OnHead(bool has_ended);
  void OnTrailers(bool has_ended);
  void OnData(std::span<const std::byte> bytes);
  void OnEnd();
  // About once a second.
  void OnTick(SteadyTime now);
  // The server drains.
  void OnDrain();

  // --- what the call sends
  // The head of the answer. The views must live as long as the stream. `has_body`: Append and End
  // follow.
  void SubmitHead(std::span<const nghttp2_nv> fields, bool has_body);
  // A message with its prefix.
  void AppendMessage(bool is_compressed, ByteChain&& message);
  // No more will be appended; `trailers` (maybe none) go last. Empty for plain HTTP.
  void EndWith(OwnedHeaders trailers);
  // The same for a gRPC call without an error.
  void EndOk();
  // Fields that SubmitHead may point to.
  OwnedHeaders& kept_headers() { return kept_headers_; }
  // Bytes of the body that arrived were used up: the client may send more.
  void Consume(size_t bytes);
  // Has OnRoom called when there is room for another message.
  void AskForRoom();
  // As in Http2Session.
  [[nodiscard]] bool BeginReceiving();
  [[nodiscard]] bool BeginUncounted();
  // The call has ended: what still arrives is dropped.
  void DetachCall();

  // --- for nghttp2
  ssize_t ReadBody(size_t bytes_max, uint32_t* flags);
  void WriteBody(Http2Output& output, size_t bytes);
  // The answer's last frame has been framed.
  void OnEndSent();

  void OnAnswer(HttpCallImpl& call) override;

  int32_t id() const { return id_; }
  Http2Session& session() { return *session_; }

 private:
  bool has_ended_early() const { return is_ended_ && !has_received_end_; }
  friend class StreamList;

  // A part of the body: the prefix of a message, if it begins one, and a slice.
  struct Segment {
    std::array<std::byte, kGrpcPrefixBytes> prefix;
    uint8_t prefix_bytes = 0;
    Slice slice;
  };
  // Where a field's value lies in the head storage.
  struct Place {
    size_t at, size;
  };

  static constexpr uint64_t kUnknown = ~uint64_t{0};

  std::string_view View(FieldKind kind) const;
  bool ReadContentLength();
  bool ChargeHead(size_t bytes);
  void RefuseHead(bool is_grpc);
  void OnMalformed();
  void FillHead();
  void StartGrpc();
  void StartHttp(int refused_status, std::string_view why);
  void AppendSegment(Segment&& segment);
  void Resume();
  void SubmitTrailers(uint32_t* flags);
  void OnFirstOutput();
  void EndReceiving();

  Http2Session* session_ = nullptr;
  int32_t id_ = 0;
  Http2Stream* previous_ = nullptr;
  Http2Stream* next_ = nullptr;

  GrpcCallImpl* grpc_ = nullptr;  // until it has ended
  HttpCallImpl* http_ = nullptr;  // until the stream closes
  bool counts_ = false;           // as a request in flight, for gRPC
  bool is_receiving_ = false;     // counted by the session
  bool is_uncounted_ = false;     // counted by the session
  friend class GrpcCallImpl;

  // the request
  FieldOrder fields_;
  std::array<Place, kKeptFieldKinds> places_;  // of the fields that have come
  size_t head_bytes_ = 0;
  size_t head_charge_ = 0;       // taken from the budget for bodies
  bool is_over_budget_ = false;  // of which nothing was left
  uint64_t content_length_ = kUnknown;
  uint64_t body_bytes_ = 0;  // received
  bool is_head_complete_ = false;
  bool is_malformed_ = false;  // and is being reset
  bool has_received_end_ = false;
  uint64_t unreported_ = 0;   // consumed, but the client has not been told
  uint64_t unconsumed_ = 0;   // of the connection's window
  SteadyTime last_received_;  // to the second

  // the answer
  absl::InlinedVector<Segment, 4> segments_;
  size_t segments_used_ = 0;
  size_t queued_bytes_ = 0;
  size_t pending_cost_ = 0;     // what the session counts until the head is framed
  uint32_t pending_flush_ = 0;  // see Http2Session::AddPending
  bool is_submitted_ = false;
  bool is_deferred_ = false;  // nghttp2 waits for Resume
  bool is_ended_ = false;
  bool early_end_ = false;  // the answer ends before the request: reset the stream after it
  bool has_grpc_ok_ = false;
  bool wants_room_ = false;
  OwnedHeaders kept_headers_;
  OwnedHeaders trailers_;
  SteadyTime last_sent_;  // to the second
};

}  // namespace penstock::net
