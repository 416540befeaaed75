// SPDX-License-Identifier: Apache-2.0
// The commands of one request, and what becomes of their answers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/status.h"
#include "redis/resp.h"

namespace penstock::redis {

// A command about one key.
struct Read {
  uint16_t slot = 0;
  uint32_t begin = 0;  // its bytes in Batch::commands
  uint32_t bytes = 0;

  // Of the cluster.
  uint16_t tries = 0;
  uint8_t flights = 0;  // how many nodes are about to answer it
  bool prefers_replica = false;
  bool is_done = false;
};

// Commands that are answered together. The maker fills in the public members; then the cluster
// owns it, and calls it on its own thread. One thread at a time.
class Batch {
 public:
  virtual ~Batch() = default;

  // Takes one token of the answer to a read; `index` counts them. A read may be answered by several
  // nodes, also interleaved. False: this answer is none, so ask again. Not called after Done.
  virtual bool Take(size_t read, size_t index, const Token& token) = 0;
  // Names the key of a read, for messages.
  virtual std::string NameOf(size_t read) const = 0;
  // Asked before a read is sent again because its answer was none. False: the batch ends at once,
  // with UNAVAILABLE and what the answer lacked.
  virtual bool GoesOn() { return true; }
  // Called once, as the last call: all reads are answered, or the status says why not.
  virtual void Done(Status status) = 0;

  std::string commands;
  std::vector<Read> reads;
  SteadyTime deadline = kNoDeadline;
  CancelToken* cancel = nullptr;
  // Commands that write. They go to masters alone, and each may run more than once.
  bool writes = false;

 private:
  friend class Cluster;
  friend class Node;
  // A read that is sent again, or for the first time, at a later time.
  struct Waiting {
    uint32_t read;
    SteadyTime at;
  };
  std::vector<Waiting> waiting_;
  SteadyTime ends_at_;
  size_t left_ = 0;  // reads that are not done
  bool is_closed_ = false;
  Status problem_;  // the last one
};

}  // namespace penstock::redis
