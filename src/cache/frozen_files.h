// SPDX-License-Identifier: Apache-2.0
// Files that stay as they are once a change of one has failed.
#pragma once

#include <rocksdb/env.h>

#include <functional>
#include <memory>

#include "base/status.h"

namespace penstock::cache {

// The files of a database on a disk that may become full. RocksDB ends the process if it writes to
// a file after a write has failed, where it is built with assertions, as in Debian. So it never
// hears of a failure: from the first one on, all changes of all files do nothing, and succeed.
// What is on disk then is what a kill at that moment would have left, and can be opened again.
// Thread-safe.
class FrozenFiles final {
 public:
  // `on_failure` is called once, on the thread of a write. It must only take note.
  explicit FrozenFiles(std::function<void()> on_failure);
  ~FrozenFiles();

  // What RocksDB is given. It lives as long as this.
  rocksdb::Env* env() const;
  // The first failure. OK: none.
  Status failure() const;

 private:
  class Files;
  const std::shared_ptr<Files> files_;
  const std::unique_ptr<rocksdb::Env> env_;
};

}  // namespace penstock::cache
