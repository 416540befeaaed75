// SPDX-License-Identifier: Apache-2.0
// `penstock graphpipe`: serves one model in place of graphpipe-tf or graphpipe-onnx.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "app/builtins.h"
#include "app/commands.h"
#include "app/staged_model.h"
#include "options/graphpipe_flags.h"
#include "s3/url_download.h"

namespace penstock {
namespace {

GraphPipeVariables GraphPipeEnvironment() {
  GraphPipeVariables environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = text.substr(0, equals);
    if (name == "HOME" || name.starts_with("GP_"))
      environment.emplace(name, text.substr(equals + 1));
  }
  return environment;
}

std::string TemporaryFolder() {
  const char* const folder = std::getenv("TMPDIR");
  return folder != nullptr && *folder != '\0' ? folder : "/tmp";
}

// Notes a signal to stop in place of its default, which would leave half a download behind. The
// signals stay blocked afterwards: the server takes those that come then. Make it before any other
// thread. One thread at a time.
class StopNote final {
 public:
  StopNote() {
    sigemptyset(&set_);
    for (const int each : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set_, each);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    try {
      thread_ = std::thread([this] { Wait(); });
    } catch (const std::system_error&) {
      pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
    }
  }
  ~StopNote() { End(); }
  StopNote(const StopNote&) = delete;
  StopNote& operator=(const StopNote&) = delete;

  const std::atomic<bool>& is_stopped() const { return is_stopped_; }

  // Takes no more signals. If one has come, the process ends by it.
  void End() {
    is_over_ = true;
    if (thread_.joinable()) thread_.join();
  }
  void DieIfStopped() const {
    if (!is_stopped_) return;
    pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
    raise(signal_);
  }

 private:
  void Wait() {
    constexpr timespec kSlice{.tv_sec = 0, .tv_nsec = 20'000'000};
    while (!is_over_ && !is_stopped_) {
      signal_ = sigtimedwait(&set_, nullptr, &kSlice);
      if (signal_ > 0) is_stopped_ = true;
    }
  }

  sigset_t set_{};
  std::thread thread_;  // not joinable: signals have their default
  std::atomic<bool> is_over_ = false, is_stopped_ = false;
  int signal_ = 0;  // set before is_stopped_
};

// Links the model's files, or downloads them.
StatusOr<std::unique_ptr<StagedModel>> Stage(const GraphPipeFlags& flags) {
  static const std::atomic<bool> kNeverStopped = false;
  const bool has_url = IsWebUrl(flags.model) || IsWebUrl(flags.init_net) ||
                       IsWebUrl(flags.predict_net) || IsWebUrl(flags.value_inputs);
  if (!has_url) return StagedModel::Make(flags, TemporaryFolder(), kNeverStopped);
  StopNote note;
  StatusOr<std::unique_ptr<StagedModel>> model =
      StagedModel::Make(flags, TemporaryFolder(), note.is_stopped());
  note.End();
  if (note.is_stopped()) {
    model = absl::CancelledError();  // removes its folder
    note.DieIfStopped();
  }
  return model;
}

int FailGraphPipe(const Status& status) {
  fmt::print(stderr, "penstock graphpipe: {}\n", MessageOf(status));
  return 1;
}

}  // namespace

int GraphPipeCommand(std::span<const std::string> arguments) {
  const StatusOr<GraphPipeFlags> flags =
      ParseGraphPipeFlags(arguments, GraphPipeEnvironment(), AllOptions());
  if (!flags.ok()) return FailGraphPipe(flags.status());
  if (flags->help) {
    fmt::print("{}", GraphPipeUsage());
    return 0;
  }
  if (flags->version) return VersionCommand({});
  // Before a download, which may take long.
  if (const auto checked = ServeFlagsFor(*flags, ""); !checked.ok())
    return FailGraphPipe(checked.status());
  const StatusOr<std::unique_ptr<StagedModel>> model = Stage(*flags);
  if (!model.ok()) return FailGraphPipe(model.status());
  const StatusOr<std::vector<std::string>> serve = ServeFlagsFor(*flags, (*model)->config_file());
  if (!serve.ok()) return FailGraphPipe(serve.status());
  std::vector<std::string> warnings = flags->warnings;
  warnings.insert(warnings.end(), (*model)->warnings().begin(), (*model)->warnings().end());
  return ServeWithWarnings(*serve, std::move(warnings));
}

}  // namespace penstock
