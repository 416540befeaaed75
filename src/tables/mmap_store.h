// SPDX-License-Identifier: Apache-2.0
// A store over the files of a version folder, which are mapped into memory.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "tables/key_index.h"
#include "tables/manifest.h"
#include "tables/mapped_file.h"
#include "tables/store.h"

namespace penstock::tables {

// Rows in one file, one behind the other, and an index of their keys. Takes nearly no memory of its
// own: the page cache holds what is used, once for all versions and processes. Thread-safe.
class MmapStore final : public Store {
 public:
  // Opens the files of `folder`, and makes the index if there is none. Errors: those of
  // KeyIndex::OpenOrBuild; INVALID_ARGUMENT if the sizes of the files do not fit each other.
  static StatusOr<std::unique_ptr<MmapStore>> Open(const std::string& folder,
                                                   const Manifest& manifest,
                                                   const std::atomic<bool>& stop);

  const StoreInfo& info() const override { return info_; }
  bool answers_in_find() const override { return true; }
  void Find(const Lookup& lookup, absl::AnyInvocable<void(Status)> done) override;

 private:
  static constexpr size_t kChunkKeys = 256;

  Status OpenKeys(const std::string& path, const Manifest& manifest);
  Status OpenIndex(const std::string& path, const std::atomic<bool>& stop);
  // Decides how the bytes of the file are divided into rows. `keys`: there must be so many.
  Status DivideRows(const Manifest& manifest, std::optional<uint64_t> keys);
  Status DivideArray(const Manifest& manifest);
  // Finds the rows of up to kChunkKeys keys, from position `first` on.
  void FindChunk(const Lookup& lookup, size_t first, size_t count) const;
  void Copy(const Lookup& lookup, size_t first, size_t count, const uint32_t* rows) const;

  StoreInfo info_;
  MappedFile keys_file_;  // none: the keys are dense
  MappedFile rows_file_;
  KeyFile keys_;
  std::optional<KeyIndex> index_;
  size_t rows_begin_ = 0;  // the offset of the first row in the file
};

}  // namespace penstock::tables
