// SPDX-License-Identifier: Apache-2.0
// The folder of a DiskStore: who uses it, the secret of its keys, and the files of its database.
#pragma once

#include <string>

#include "base/status.h"
#include "cache/row_mac.h"

namespace penstock::cache {

// Three things: `lock`, which the server that uses the folder holds; `key`; and `rows`, the folder
// of the database. Only the owner may read them. Removes no file that a database does not make. One
// thread at a time.
class DiskFolder final {
 public:
  explicit DiskFolder(std::string path) : path_(std::move(path)) {}
  // Lets another server use it.
  ~DiskFolder();
  DiskFolder(const DiskFolder&) = delete;
  DiskFolder& operator=(const DiskFolder&) = delete;

  // Makes what is missing, and reads the key into `key`. If there is none, or it is damaged, no row
  // can be found any more: then the rows are removed, and `key` is written. Errors: UNAVAILABLE if
  // another server uses it; FAILED_PRECONDITION if it has foreign files; INTERNAL.
  Status Open(MacKey& key);
  // Removes the rows. Errors: FAILED_PRECONDITION if there are foreign files; INTERNAL.
  Status Clear() const;

  const std::string& path() const { return path_; }
  std::string rows() const { return path_ + "/rows"; }

 private:
  Status Lock();
  Status MakeRows() const;
  Status ReadKey(MacKey& key) const;

  const std::string path_;
  int lock_file_ = -1;
};

}  // namespace penstock::cache
