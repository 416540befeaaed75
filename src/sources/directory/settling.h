// SPDX-License-Identifier: Apache-2.0
// Decides when the files of a version are complete.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "sources/directory/folder_stamp.h"

namespace penstock {

// How long a version must be quiet. A longer time delays each new version; a shorter one may load
// half a copy.
struct SettlingOptions {
  Duration settle_time = std::chrono::seconds(1);  // 0: all files count as complete at once
  // How long to wait for files that are open for writing if nothing changes. Without this limit a
  // program that never closes them would block the version forever.
  Duration open_time_max = std::chrono::minutes(1);
  // Times on a network file system come from another clock. They prove that nothing changes only if
  // they are this much older.
  Duration network_clock_error = std::chrono::minutes(1);
};

// The result of one scan of a version's files.
struct FilesSeen {
  FolderStamp stamp;
  bool was_renamed = false;  // the folder was renamed into its place since the last scan
  bool has_writer = false;   // a file was opened for writing, and not closed yet
  bool is_on_network = false;
  SteadyTime now;
  std::chrono::system_clock::time_point wall_now;
};

// Decides when the files of one version are complete: when the folder was renamed into its place,
// or when nothing has changed for the settle time. The file times can show that, or repeated scans.
// A version is never complete while files are missing that every version has. It reads no clock and
// no files, so its test is a table of states:
//
//   settling.Scan({.stamp = StampFolder(path, {}), .now = now, .wall_now = wall_now});
//   if (settling.complete()) Load(); else ScanAgainAt(settling.next_scan());
//
// One thread at a time.
class Settling final {
 public:
  explicit Settling(SettlingOptions options) : options_(options) {}

  void Scan(const FilesSeen& seen);

  // The hash of the last complete state; none: the version was never complete. It stays while files
  // change later, until they are complete again.
  std::optional<uint64_t> complete() const { return complete_; }
  // When to scan again although no change is reported. None if the last state is complete, or if
  // files are missing and no longer expected.
  std::optional<SteadyTime> next_scan() const { return next_scan_; }
  // True if it waits only for a program that holds files open for writing.
  bool waits_for_writer() const { return waits_for_writer_; }
  // The files that the last state lacks, if no more files seem to come; else empty.
  const std::string& missing() const { return missing_; }

 private:
  const SettlingOptions options_;
  std::optional<uint64_t> last_;
  SteadyTime last_since_;
  std::optional<uint64_t> complete_;
  std::optional<SteadyTime> next_scan_;
  bool waits_for_writer_ = false;
  std::string missing_;
};

}  // namespace penstock
