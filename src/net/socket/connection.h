// SPDX-License-Identifier: Apache-2.0
// One accepted socket. It moves bytes between the kernel and a session, with or without TLS.
#pragma once

#include <array>
#include <boost/asio/generic/stream_protocol.hpp>
#include <memory>
#include <string>

#include "access/access_control.h"
#include "net/http/session.h"
#include "net/socket/event_loop.h"

namespace penstock::net {

class TlsFilter;

// An accepted connection: reads, decrypts, picks the protocol, writes, and closes.
//
// Its life: Start begins to read. The first bytes (or ALPN) decide which Session it makes (Detect).
// From then on bytes go to Session::OnBytes, and output comes from Session::Fill. At its end it
// flushes, lingers until the peer closes too, and then goes to EventLoop::Retire, which destroys
// it. See connection.cc. Owned by loop.
class Connection final : public LoopConnection, public SessionHost, private FlushTarget {
 public:
  // Owns `socket`, and makes it non-blocking. `endpoint` must outlive the calls. `peer` is the
  // client's address as logs show it.
  Connection(EventLoop& loop, int socket, const Endpoint& endpoint, std::string peer);
  ~Connection() override;
  // The functions of LoopConnection and SessionHost: event_loop.h and session.h say what they do.
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void Start() override;
  void StartDrain() override;
  void CutOff(CutCalls& cut) override;
  void OnTick(SteadyTime now) override;
  void Continue() override;
  void Abort() override;

  void ScheduleFlush() override;
  void PauseReading() override { paused_ = true; }
  void ResumeReading() override;
  void Yield() override;
  void CloseAfterFlush() override;
  Loop& loop() override { return loop_.loop(); }
  ServerState& server() override { return loop_.loop().server(); }
  std::string_view peer() const override { return peer_; }
  const Endpoint& endpoint() const override { return endpoint_; }
  access::CallerMemo* callers() override { return callers_.get(); }

 private:
  // The result of a read: kAll: the socket is empty. kMore: there may be more. kEnd: the peer has
  // closed its side.
  enum class Read { kAll, kMore, kEnd };

  // Reading. A turn begins with OnFirstRead or Continue, and ends with EndTurn. Asks Asio for the
  // next bytes, unless a read is under way or the connection must not read now.
  void StartRead();
  void OnFirstRead(const boost::system::error_code& error, size_t bytes);
  // Handles the `first_bytes` bytes in first_bytes_, and reads on if there were none or the buffer
  // was full. Returns what the last read found.
  Read ReadRest(size_t first_bytes);
  // Reads without waiting until the socket is empty, or the turn has had its bytes or its time.
  void ReadMore(Read& read);
  bool ReadsInPlace() const;
  // Shows the session the bytes that come next, if it wants that. Returns how many of them to read
  // by themselves; 0 if that is not clear.
  size_t ShowNextBytes();
  // Flushes, then waits for the next turn or for the next bytes.
  void EndTurn(Read read);
  void WaitForTurn();
  // True while Asio or the loop holds `this`. A closed connection is retired only when it is false.
  bool HasOperation() const { return reading_ || waiting_writable_ || waits_for_turn_; }
  // Lets the session use the input that it kept when it yielded.
  void UseKeptInput();
  // One recv() without waiting. Returns how many bytes came.
  size_t Receive(std::span<std::byte> to, Read& read);
  // Closes if a recv() has failed for another reason than "no data".
  void CloseIfBroken();
  void OnEndOfInput();

  // From the socket's bytes to the session: decrypted if there is TLS, then by the protocol that
  // the first bytes show.
  void OnWireBytes(std::span<const std::byte> bytes);
  void Decrypt();
  void OnPlainBytes(std::span<const std::byte> bytes);
  template <typename Handle>
  void HandleInput(Handle handle);
  // Collects bytes until it is clear which protocol they begin, then makes the session.
  void Detect(std::span<const std::byte> bytes);
  // Makes the session for the protocol of ALPN, or else of the first bytes. False: they are too
  // few.
  bool StartSession(std::span<const std::byte> bytes);

  // Writing. Flush sends until the session has no more output or the socket is full.
  void Flush() override;
  // Gets the next output of the session into unsent_, encrypted if there is TLS. False: there is
  // none.
  bool FillUnsent();
  // Writes as much of unsent_ as the kernel takes with one system call. Returns false if the socket
  // is full or closed.
  bool Send();
  // Makes Asio call Flush when the socket has space again.
  void WaitWritable();
  // The end. See the top of connection.cc for why a connection lingers. True if the kernel still
  // holds output that the peer has not acknowledged.
  bool HasUnacknowledged();
  // True if no request was open when the drain began, and none has come since.
  bool AwaitsNothing() const;
  // Reads what has arrived, so that these requests are answered, then announces the drain to the
  // peer.
  void DrainNow();
  // Shuts down the sending side and waits for the peer to close, or closes at once where that is
  // safe.
  void Linger();
  // Closes the socket. The object lives on until no operation holds it.
  void Close();
  // Answers what is open with errors; the connection ends when that is sent. See Session::CutOff.
  void CutOffSession(std::string_view why, CutCalls& cut);
  // The time that the connection may last is over, or the time to end afterwards.
  void OnOldAge(SteadyTime now);
  // True if the peer has begun a TLS handshake or a head, and nothing else.
  bool HasOnlyBegunHead() const;
  // False: a timeout has passed, so close.
  bool CheckTimeouts(SteadyTime now);

  EventLoop& loop_;
  boost::asio::generic::stream_protocol::socket socket_;
  const Endpoint& endpoint_;
  const std::string peer_;
  std::unique_ptr<TlsFilter> tls_;
  std::unique_ptr<access::CallerMemo> callers_;  // null without a token file
  std::unique_ptr<Session> session_;
  std::string prefix_;  // The first bytes, kept until they show which protocol it is.

  // Output of Session::Fill that the kernel has not taken yet. The rest begins at offset `sent_` of
  // slice `next_slice_`.
  ByteChain unsent_;
  size_t next_slice_ = 0;
  size_t sent_ = 0;

  // How much is read into the loop's scratch memory at a time. It grows while the session handles
  // the bytes quickly.
  size_t piece_bytes_max_ = 16 * 1024;

  bool reading_ = false;  // a read operation is under way
  bool waiting_writable_ = false;
  bool waits_for_turn_ = false;  // the loop will call Continue
  bool has_yielded_ = false;     // the session has kept input
  bool flush_scheduled_ = false;
  bool paused_ = false;       // the session has asked for it
  bool input_ended_ = false;  // the peer has closed its side
  bool close_after_flush_ = false;
  bool lingering_ = false;             // all is sent; waits for the peer to close
  bool closes_when_received_ = false;  // lingers only until the peer has received all
  bool closed_ = false;
  bool drain_awaits_read_ = false;  // StartDrain has cancelled a read
  bool draining_ = false;
  bool is_cut_off_ = false;
  bool is_old_ = false;         // the session has asked the peer to reconnect
  bool owed_at_drain_ = false;  // The peer had not yet received all answers when the drain began.

  // Since the last tick.
  bool received_any_ = true;
  bool sent_any_ = true;
  SteadyTime last_received_ = kNoDeadline;
  SteadyTime last_sent_ = kNoDeadline;
  SteadyTime busy_since_ = kNoDeadline;
  SteadyTime lingering_since_ = kNoDeadline;
  uint64_t lingering_bytes_ = 0;  // received since then, and dropped
  SteadyTime draining_since_ = kNoDeadline;
  SteadyTime old_at_;  // then OnOldAge is called

  // Small, so that idle connections cost little memory. Longer input goes to the loop's scratch
  // memory.
  std::array<std::byte, 2048> first_bytes_;
};

}  // namespace penstock::net
