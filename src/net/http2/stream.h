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

// One stream of a connection: one request and its answer.
//
// Its life: Open; OnHeader for each field; OnHead makes a GrpcCallImpl or an HttpCallImpl and gives
// it the head; OnData and OnEnd pass on the body; the call gives the answer through the functions
// of GrpcStream or HttpCallOwner; nghttp2 asks for its bytes by ReadBody and WriteBody; Close, when
// nghttp2 has closed the stream. Then the object goes back to the loop's pool. See stream.cc.
//
// Owned by loop.
class Http2Stream final : public HttpCallOwner,
                          public GrpcStream,
                          public BegunRequest,
                          public LinkedItem<Http2Stream> {
 public:
  // Begins a new request. The object is fresh, or as Close left it. `session` outlives the stream.
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
  // The client has half-closed. Malformed if the body is shorter than its content-length.
  void OnEnd();
  // Checks timeouts. Called about once a second.
  void OnTick(SteadyTime now);
  // The server drains. Ends streaming calls that do not count as requests.
  void OnAnnounce(const char* reason);
  // See Session::CutOff.
  void CutOff(std::string_view why, CutCalls& cut);
  // Resets a request of which a part is still to come, because others need its place or memory.
  void DropIncomplete();
  // Answers such a request with an error, because there are too many of them.
  void RefuseIncomplete() override;

  // The functions of GrpcStream: net/grpc/call.h says what they do.
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
  // For a gRPC answer that succeeds: the block of the trailers, which the session writes itself.
  // Empty for all others.
  std::string_view ok_block() const { return ok_block_; }
  // nghttp2 has framed the last frame of the answer.
  void OnEndSent();
  // Tells the call that it may send more; see StreamHost::NotifyRoom.
  void OnRoom();

  // The functions of HttpCallOwner: net/http/call.h says what they do.
  void OnAnswer(HttpCallImpl& call) override;
  void OnBodyPart(HttpCallImpl& call, ByteChain&& part) override;
  void OnBodyEnd(HttpCallImpl& call, bool is_complete) override;
  void OnHeadUnused(HttpCallImpl& call) override;

  int32_t id() const { return id_; }
  // A part of the request is still to come.
  bool is_receiving() const { return is_receiving_; }
  bool is_head_complete() const { return is_head_complete_; }
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

  // The value of a field that the server uses, empty if it is absent. Before the head is complete,
  // the bytes may still move.
  std::string_view View(FieldKind kind) const { return View(kind, head_storage_); }
  std::string_view View(FieldKind kind, const HeadStorage& storage) const;
  std::string_view Path() const;  // without the query
  // Sets content_length_. False: the field is there, but is no number.
  bool ReadContentLength();
  // Counts a head of this many bytes in the budget. False: the budget is full; the head is dropped.
  bool ChargeHead(size_t bytes);
  void GiveHeadCharge();
  // Frees the head that the call has taken over, and its charge.
  template <typename Call>
  void FreeHead(Call& call);
  // Answers that the head is too large, or that there is no memory for it.
  void RefuseHead(bool is_grpc);
  // Resets the stream with PROTOCOL_ERROR, once (RFC 9113, section 8.1.1).
  void OnMalformed();
  // Sets all of `head`. Its views point to head_storage_, which must then move to the call.
  void FillHead(RequestHead& head);
  // Takes a call from the pool and gives it the head.
  void MakeGrpcCall();
  // The request is gRPC: makes its call, which may run its handler or answer before this returns.
  void StartGrpc();
  // Submits the head of the answer. The views must live as long as the stream. If `has_body`,
  // EndWith or EndOk must follow.
  void SubmitHead(std::span<const nghttp2_nv> fields, bool has_body);
  // As SubmitHead, for the head of a gRPC answer with the metadata in kept_headers_.
  void SubmitKept(Compression compression, bool has_body);
  // The request is plain HTTP. If `refused_status` is not 0, it is answered with that error at
  // once.
  void StartHttp(int refused_status, std::string_view why);
  // Asks the client not to send the rest of a request that has its answer.
  void StopReceiving();
  // Queues a part of the body. Resume must follow if nghttp2 waits.
  void AppendSegment(Segment&& segment);
  // Lets nghttp2 ask again after a DEFERRED.
  void Resume();
  // nghttp2 frames the last bytes of the body: gives it the trailers, if it has to write them.
  void SubmitTrailers(uint32_t* flags);
  // nghttp2 asks for the body the first time: the answer no longer counts as pending.
  void OnFirstOutput();
  // The request no longer counts as incomplete. Does nothing if it does not count.
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
  bool is_plain_ = false;    // the answer is one of plain HTTP
  bool drops_rest_ = false;  // the answer was sent, and the rest of the request is received
  bool wants_room_ = false;
  OwnedHeaders kept_headers_;  // storage for fields that SubmitHead points to
  OwnedHeaders trailers_;
  std::string ok_block_;
  SteadyTime last_sent_;  // see StreamHost::now
};

}  // namespace penstock::net
