// SPDX-License-Identifier: Apache-2.0
#include "tables/push/commands.h"

#include <utility>

#include "redis/slot_map.h"

namespace penstock::tables {
namespace {

constexpr size_t kKeptBytesMax = 4096;

}  // namespace

void Commands::Add(std::string_view key, std::initializer_list<std::string_view> arguments,
                   std::string_view expected) {
  Begin(key);
  commands += redis::MakeCommand(arguments);
  End(expected);
}

void Commands::Begin(std::string_view key) {
  reads.push_back(
      {.slot = redis::SlotOf(key), .begin = static_cast<uint32_t>(commands.size()), .bytes = 0});
  names_.push_back(fmt::format("'{}'", key));
}

void Commands::End(std::string_view expected) {
  reads.back().bytes = static_cast<uint32_t>(commands.size()) - reads.back().begin;
  expected_.push_back(expected);
}

void Commands::Filter(const std::function<bool(size_t)>& is_kept) {
  size_t count = 0;
  for (size_t i = 0; i < reads.size(); ++i) {
    if (!is_kept(i)) continue;
    reads[count] = reads[i];
    expected_[count] = expected_[i];
    std::swap(names_[count++], names_[i]);
  }
  reads.resize(count);
  expected_.resize(count);
  names_.resize(count);
}

Status Commands::Run(redis::Cluster& cluster, const std::shared_ptr<Commands>& commands) {
  if (commands->reads.empty()) return OkStatus();
  commands->answers_.resize(commands->reads.size());
  std::future<Status> done = commands->done_.get_future();
  if (!cluster.Submit(commands))
    return Error(StatusCode::kUnavailable, "too many requests wait for Redis");
  return done.get();
}

bool Commands::Take(size_t read, size_t, const redis::Token& token) {
  // None of these commands has an array as its answer.
  if (token.kind == redis::TokenKind::kArray) return false;
  const bool is_bulk = token.kind == redis::TokenKind::kBulk;
  answers_[read] = {.kind = token.kind,
                    .number = token.number,
                    .text = std::string(token.text.size() <= kKeptBytesMax ? token.text : ""),
                    .is_expected = is_bulk && token.text == expected_[read]};
  return true;
}

StatusOr<Commands::Answer> RunOne(redis::Cluster& cluster, std::string_view key,
                                  std::initializer_list<std::string_view> arguments,
                                  SteadyTime deadline) {
  const auto commands = std::make_shared<Commands>();
  commands->deadline = deadline;
  commands->Add(key, arguments);
  TRY(Commands::Run(cluster, commands));
  return commands->answer(0);
}

}  // namespace penstock::tables
