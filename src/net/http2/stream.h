// SPDX-License-Identifier: Apache-2.0
// One stream of an HTTP/2 connection. It collects the head of the request, decides whether it is
// gRPC or plain HTTP, and holds the answer until nghttp2 has framed it.
#pragma once

#include <nghttp2/nghttp2.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/container/inlined_vector.h"
#include "net/grpc/call.h"
#include "net/grpc/wire.h"
#include "net/http/call.h"
#include "net/http2/fields.h"
#include "net/http2/output.h"
#include "net/http2/stream_host.h"

namespace penstock::net {

// One stream at a time; objects are pooled. See stream.cc. Owned by loop.
class Http2Stream final : public HttpCallOwner,
                          public GrpcStream,
                          public BegunRequest,
                          public LinkedItem<Http2Stream> {
 public:
  void Open(StreamHost& session, int32_t id);
  // nghttp2 has closed the stream, or the connection is gone. Cancels the call if it is not
  // answered, and frees all memory.
  void Close();

  // --- input
  // A field of the head or of the trailers. False: the head is far over the limit, so end the
  // connection.
  [[nodiscard]] bool OnHeader(const FieldMemo::Field& field);
  // The head is complete; `has_ended`: nothing follows it. Makes the call, or resets the stream if
  // the head is malformed.
  void OnHead(bool has_ended);
  // Trailers are ignored, but they must end the request.
  void OnTrailers(bool has_ended);
  // Bytes of the body. The client gets window for new ones as the call uses them.
  void OnData(std::span<const std::byte> bytes);
  void OnEnd();
  // Checks timeouts. Called about once a second.
  void OnTick(SteadyTime now);
  // The server drains. Ends streaming calls that do not count as requests.
  void OnDrain();
  // Resets a request of which a part is still to come, because others need its place or memory.
  void DropIncomplete();
  // Answers such a request with an error, because there are too many of them.
  void RefuseIncomplete() override;

  // --- output, for the call
  void SendHead(Compression compression, OwnedHeaders metadata) override;
  void SendTrailersOnly(OwnedHeaders trailers) override;
  void AppendMessage(bool is_compressed, ByteChain&& message) override;
  void EndWith(OwnedHeaders trailers) override;
  void EndOk(const OkTrailers& trailers) override;
  void Consume(size_t bytes) override;
  void AskForRoom() override;
  void BeginReceiving() override;
  [[nodiscard]] bool BeginRequest() override;
  [[nodiscard]] bool BeginUncounted() override;
  void DetachCall() override;

  // --- for nghttp2's callbacks
  // ReadBody returns how many bytes the next DATA frame has, or NGHTTP2_ERR_DEFERRED. WriteBody
  // then writes that many.
  ssize_t ReadBody(size_t bytes_max, uint32_t* flags);
  void WriteBody(Http2Output& output, size_t bytes);
  // Of a gRPC answer that succeeds: the block of the trailers, which the session writes itself.
  // Empty for all others.
  std::string_view ok_block() const { return ok_block_; }
  // nghttp2 has framed the last frame of the answer.
  void OnEndSent();
  // Tells the call that it may send more; see StreamHost::NotifyRoom.
  void OnRoom();

  void OnAnswer(HttpCallImpl& call) override;
  void OnBodyPart(HttpCallImpl& call, ByteChain&& part) override;
  void OnBodyEnd(HttpCallImpl& call, bool is_complete) override;
  void OnHeadUnused(HttpCallImpl& call) override;

  int32_t id() const { return id_; }
  // A part of the request is still to come.
  bool is_receiving() const { return is_receiving_; }
  bool has_answer() const { return is_submitted_; }
  StreamHost& session() { return *session_; }

 private:
  bool has_ended_early() const { return is_ended_ && !has_received_end_; }

  // A part of the answer's body: a slice, and the gRPC prefix if a message begins here.
  struct Segment {
    std::array<std::byte, kGrpcPrefixBytes> prefix;
    uint8_t prefix_bytes = 0;
    Slice slice;
  };
  // The position of a field's value in the head storage.
  struct Position {
    size_t at, size;
  };

  static constexpr uint64_t kUnknown = ~uint64_t{0};

  std::string_view View(FieldKind kind) const { return View(kind, head_storage_); }
  std::string_view View(FieldKind kind, const HeadStorage& storage) const;
  std::string_view Path() const;  // without the query
  // False: the field is there, but is no number.
  bool ReadContentLength();
  bool ChargeHead(size_t bytes);
  void GiveHeadCharge();
  template <typename Call>
  void FreeHead(Call& call);
  void RefuseHead(bool is_grpc);
  void OnMalformed();
  // Sets all of `head`. Its views point to head_storage_, which must then move to the call.
  void FillHead(RequestHead& head);
  void MakeGrpcCall();
  void StartGrpc();
  // Submits the head of the answer. The views must live as long as the stream. If `has_body`,
  // EndWith or EndOk must follow.
  void SubmitHead(std::span<const nghttp2_nv> fields, bool has_body);
  void SubmitKept(Compression compression, bool has_body);
  void StartHttp(int refused_status, std::string_view why);
  void AppendSegment(Segment&& segment);
  // Lets nghttp2 ask again after a DEFERRED.
  void Resume();
  void SubmitTrailers(uint32_t* flags);
  void OnFirstOutput();
  void EndReceiving(bool is_complete);
  // The answer of a call is complete.
  void NoteAnswered(const CallRecord& record);
  // The answer is written, or nobody wants it any more.
  void NoteWritten();

  StreamHost* session_ = nullptr;
  int32_t id_ = 0;

  GrpcCallImpl* grpc_ = nullptr;        // from the end of the head until the call has ended
  HttpCallImpl* http_ = nullptr;        // until the stream closes
  CallRef<GrpcCallImpl> written_call_;  // has ended, but its answer is not written
  Histogram* write_times_ = nullptr;    // of the record of the call, once it is answered
  SteadyTime answered_ = {};
  bool counts_ = false;        // gRPC: the call counts as a request in flight
  bool is_receiving_ = false;  // see BeginReceiving
  bool is_uncounted_ = false;  // counted by the session

  // the request
  HeadStorage head_storage_;  // until the head is complete; then the call has it
  FieldOrder fields_;
  std::array<Position, kKeptFieldKinds> positions_;  // valid for the fields in fields_
  size_t head_bytes_ = 0;
  size_t head_charge_ = 0;       // bytes of the head that the budget for bodies counts
  bool is_over_budget_ = false;  // the budget had no memory for the head
  uint64_t content_length_ = kUnknown;
  uint64_t body_bytes_ = 0;  // bytes received
  bool is_head_complete_ = false;
  bool is_malformed_ = false;  // or dropped within its head; and is being reset
  bool has_received_end_ = false;
  uint64_t unreported_ = 0;   // consumed, but not yet given back to the client's window
  uint64_t unconsumed_ = 0;   // received bytes that still occupy the connection's window
  SteadyTime last_received_;  // see StreamHost::now

  // the answer
  absl::InlinedVector<Segment, 4> segments_;
  size_t segments_used_ = 0;
  size_t queued_bytes_ = 0;
  size_t pending_cost_ = 0;     // bytes that the session counts until the body is framed
  uint32_t pending_flush_ = 0;  // see StreamHost::AddPending
  bool is_submitted_ = false;
  bool is_deferred_ = false;  // nghttp2 waits for Resume
  bool is_ended_ = false;
  // The answer ends before the request, so the stream must be reset after it.
  bool early_end_ = false;
  bool wants_room_ = false;
  OwnedHeaders kept_headers_;  // storage for fields that SubmitHead points to
  OwnedHeaders trailers_;
  std::string ok_block_;
  SteadyTime last_sent_;  // see StreamHost::now
};

}  // namespace penstock::net
