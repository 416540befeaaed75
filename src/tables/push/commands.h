// SPDX-License-Identifier: Apache-2.0
// Commands to a cluster that are sent together, and waited for.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "redis/batch.h"
#include "redis/cluster.h"

namespace penstock::tables {

// Commands about keys whose answers are single values. They go to masters only: replicas may be
// behind. One thread at a time.
//
//   auto commands = std::make_shared<Commands>();
//   commands->Add("t:1:0", {"STRLEN", "t:1:0"});
//   TRY(Commands::Run(cluster, commands));
//   ... commands->answer(0).number
class Commands final : public redis::Batch {
 public:
  struct Answer {
    redis::TokenKind kind = redis::TokenKind::kNil;
    int64_t number = 0;
    std::string text;          // of a bulk that is not too long to be kept
    bool is_expected = false;  // the bulk is the text that was expected
  };

  Commands() { writes = true; }

  // `expected` must outlive the run.
  void Add(std::string_view key, std::initializer_list<std::string_view> arguments,
           std::string_view expected = {});
  // The same, for a command whose arguments the caller appends to `commands` before End.
  void Begin(std::string_view key);
  void End(std::string_view expected = {});

  // Leaves only the commands that `is_kept` takes, by their numbers.
  void Filter(const std::function<bool(size_t)>& is_kept);

  // Sends all, and waits. The cluster and the caller share it. Errors: UNAVAILABLE if a node does
  // not answer in time; FAILED_PRECONDITION with an error of Redis.
  static Status Run(redis::Cluster& cluster, const std::shared_ptr<Commands>& commands);

  const Answer& answer(size_t number) const { return answers_[number]; }

  bool Take(size_t read, size_t index, const redis::Token& token) override;
  std::string NameOf(size_t read) const override { return names_[read]; }
  void Done(Status status) override { done_.set_value(std::move(status)); }

 private:
  std::vector<std::string> names_;  // of the keys, for messages
  std::vector<std::string_view> expected_;
  std::vector<Answer> answers_;
  std::promise<Status> done_;
};

// Sends one command, and returns its answer. Errors: those of Commands::Run.
StatusOr<Commands::Answer> RunOne(redis::Cluster& cluster, std::string_view key,
                                  std::initializer_list<std::string_view> arguments,
                                  SteadyTime deadline = kNoDeadline);

}  // namespace penstock::tables
