// SPDX-License-Identifier: Apache-2.0
// Decides when the files of a version are complete.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "sources/directory/folder_stamp.h"

namespace penstock {

struct SettlingOptions {
  Duration settle_time = std::chrono::seconds(1);  // 0: what is there is complete
  // How long files that are open for writing are waited for if nothing changes; their writer may
  // keep them open without an end.
  Duration open_time_max = std::chrono::minutes(1);
  // Times on a network file system are by another clock, and prove nothing unless they are long
  // ago.
  Duration network_clock_error = std::chrono::minutes(1);
};

// What one look at the files of a version found.
struct FilesSeen {
  FolderStamp stamp;
  bool is_placed = false;   // the folder was renamed into its place since the last look
  bool has_writer = false;  // a file was seen to be opened for writing, and not yet to be closed
  bool is_on_network = false;
  SteadyTime now;
  std::chrono::system_clock::time_point wall_now;
};

// Follows the files of one version: they are complete when the folder was renamed into its place,
// or when nothing has changed for the settle time, be it by the times of the files or because that
// was watched. Never while files are missing that every version has. One thread at a time.
class Settling final {
 public:
  explicit Settling(SettlingOptions options) : options_(options) {}

  void Look(const FilesSeen& seen);

  // The hash of the last complete state; none yet: the version must wait. Stays when files change
  // later, until they are complete again.
  std::optional<uint64_t> complete() const { return complete_; }
  // When to look again although nothing tells of a change; none if the last state is complete, or
  // has been given up because files are missing.
  std::optional<SteadyTime> next_look() const { return next_look_; }
  // True if it only waits for a writer.
  bool waits_for_writer() const { return waits_for_writer_; }
  // What is missing in the last state, if nothing more seems to come; else empty.
  const std::string& missing() const { return missing_; }

 private:
  const SettlingOptions options_;
  std::optional<uint64_t> last_;
  SteadyTime last_since_;
  std::optional<uint64_t> complete_;
  std::optional<SteadyTime> next_look_;
  bool waits_for_writer_ = false;
  std::string missing_;
};

}  // namespace penstock
