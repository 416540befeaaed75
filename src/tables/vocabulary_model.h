// SPDX-License-Identifier: Apache-2.0
// A list of words as a model: the number of a word, and the word of a number.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "base/status.h"
#include "infer/model.h"
#include "tables/key_index.h"
#include "tables/manifest.h"
#include "tables/mapped_file.h"
#include "tables/residence.h"
#include "tables/table_model.h"

namespace penstock::tables {

// Gives "ids" for "keys", which are strings, and "keys" for "ids" (signature "strings"). The id of
// a word is the number of its line, from 0 on. The words stay in their file, which is mapped into
// memory. Thread-safe.
class VocabularyModel final : public Model {
 public:
  // Opens the file of words in `folder`, and makes the index if there is none. Errors: those of
  // KeyIndex::OpenOrBuild, and INVALID_ARGUMENT for a default row that is no id.
  static StatusOr<std::unique_ptr<Model>> Open(const std::string& folder, const Manifest& manifest,
                                               TableModelOptions options,
                                               const std::atomic<bool>& stop);

  const ModelInfo& info() const override { return info_; }
  void Run(const InferRequest& request, ResponseCallback done) override;
  void SetBrokenCallback(core::BrokenCallback callback) override EXCLUDES(mutex_);

 private:
  explicit VocabularyModel(TableModelOptions options);

  Status FindIds(const InferRequest& request, RequestMemory& memory, InferResponse& response);
  Status FindWords(const InferRequest& request, RequestMemory& memory, InferResponse& response);
  // Returns the error, and reports it, if a file cannot be read any more.
  Status CheckFiles() EXCLUDES(mutex_);

  const TableModelOptions options_;
  const std::unique_ptr<const TableMetrics> metrics_;
  // Fixed once it is open.
  int64_t default_id_ = -1;
  bool has_default_ = false;
  MappedFile words_;
  KeyFile keys_;
  KeyIndex index_;
  ModelInfo info_;
  Residence residence_;
  Mutex mutex_;
  bool is_broken_ GUARDED_BY(mutex_) = false;
  core::BrokenCallback broken_callback_ GUARDED_BY(mutex_);
};

}  // namespace penstock::tables
