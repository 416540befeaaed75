// SPDX-License-Identifier: Apache-2.0
// The connection to one node of a cluster, and the commands that it has to answer.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/clock.h"
#include "base/status.h"
#include "redis/batch.h"
#include "redis/connection.h"
#include "redis/options.h"
#include "redis/resp.h"
#include "redis/slot_map.h"

namespace penstock::redis {

using ValueCallback = absl::AnyInvocable<void(StatusOr<Value>)>;

// Commands that were sent to a node together: reads of a batch, or one other command.
struct Flight {
  std::shared_ptr<Batch> batch;  // the nodes and the cluster share it; null: another command
  std::vector<uint32_t> reads;
  bool asks = false;  // an ASKING, which has an answer of its own, is before each read

  // The answer that comes next.
  size_t next = 0;
  size_t index = 0;  // tokens of it that have come
  bool is_good = true;
  bool has_asked = false;
  bool is_hedged = false;
  SteadyTime sent;
  ValueBuilder value;
  ValueCallback done;  // of another command
};

class Node;

// What a node tells its cluster. Owned by loop of the cluster.
class NodeOwner {
 public:
  virtual ~NodeOwner() = default;
  virtual void OnReady(Node& node) = 0;
  // The connection is gone; these commands have no answer.
  virtual void OnLost(Node& node, std::deque<Flight> flights) = 0;
  // The answer to a read was complete. `error` is set if it was an error of Redis.
  virtual void OnAnswer(Node& node, Flight& flight, uint32_t read, std::string_view error) = 0;
  // All reads of the flight are answered.
  virtual void OnFlightEnd(Node& node, const Flight& flight) = 0;
  // The node has output. Flush must be called at the end of the event.
  virtual void ScheduleFlush(Node& node) = 0;
  // Called at the end of each event.
  virtual void EndEvent() = 0;
  virtual SteadyTime now() const = 0;
};

// A node as its cluster sees it: connects, sends, and tells what comes back. Owned by loop of the
// cluster.
class Node final {
 public:
  enum class State { kIdle, kResolving, kConnecting, kGreeting, kReady, kDown };

  // All references must outlive it.
  Node(boost::asio::io_context& io, SSL_CTX* tls, const ClusterOptions& options, Address address,
       NodeOwner& owner);

  const Address& address() const { return address_; }
  bool is_ready() const { return state_ == State::kReady; }
  // It owes answers, and sends nothing.
  bool is_stalled() const { return is_stalled_; }
  bool is_connecting() const {
    return state_ == State::kResolving || state_ == State::kConnecting ||
           state_ == State::kGreeting;
  }
  // Whether the connection is kept: the slot map names the node.
  bool is_wanted = true;
  // Another node has named this one in a redirect. The slot map names no node that has no slots
  // yet, and an old map may lack a new node: so the connection is kept for a while.
  void NoteRedirect() { redirected_at_ = owner_.now(); }
  bool flush_scheduled = false;
  Status last_problem;           // why the last connection failed
  std::vector<uint32_t> staged;  // reads that are about to be sent here

  // Connects, unless it does so already, or has failed a moment ago.
  void Connect();
  // REQUIRES: is_ready()
  void Send(Flight flight);
  void SendCommand(std::string_view command, ValueCallback done);
  void Flush();
  // Checks the times. Hedges are the owner's: it asks for the flights.
  void OnTick();
  // Closes the connection.
  void Fail(Status reason);
  std::deque<Flight>& flights() { return flights_; }
  SteadyTime last_input() const { return last_input_; }

 private:
  void OnResolved(const boost::system::error_code& error,
                  const boost::asio::ip::tcp::resolver::results_type& results);
  void OpenNext();
  bool IsNeeded(SteadyTime now) const;
  void ContinueConnect();
  void Greet();
  void Disconnect();
  void WaitToRead();
  void WaitToWrite();
  void OnReadable();
  // These return false if the connection was closed.
  bool TakeInput();
  bool TakeToken(const Token& token);
  bool TakeGreeting(const Token& token);
  void TakeCommandToken(Flight& flight, const Token& token);
  void TakeReadToken(Flight& flight, const Token& token);

  const ClusterOptions& options_;
  const Address address_;
  NodeOwner& owner_;
  Connection connection_;
  boost::asio::ip::tcp::resolver resolver_;
  RespReader reader_;
  State state_ = State::kIdle;
  uint64_t epoch_ = 0;  // of the connection: events of an earlier one are ignored
  SteadyTime since_;    // the state
  SteadyTime retry_at_;
  std::optional<SteadyTime> redirected_at_;
  Duration retry_after_;
  SteadyTime last_input_;
  Duration silence_max_;
  bool is_stalled_ = false;
  bool waits_to_write_ = false;
  int greetings_left_ = 0;
  std::vector<boost::asio::ip::tcp::endpoint> endpoints_;
  size_t next_endpoint_ = 0;
  std::string output_;
  size_t written_ = 0;
  std::deque<Flight> flights_;
};

}  // namespace penstock::redis
