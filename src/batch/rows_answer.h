// SPDX-License-Identifier: Apache-2.0
// The answer to a request that runs in parts.
#pragma once

#include <cstdint>
#include <vector>

#include "base/buffer.h"
#include "base/mutex.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "infer/batcher.h"
#include "infer/request.h"
#include "infer/signature.h"

namespace penstock::batch {

// Keeps one tensor for each output, with the rows of all parts. Thread-safe.
class RowsAnswer final : public PartedAnswer {
 public:
  // The request has `rows` rows. Outputs get their names from `signature`, which must outlive this.
  RowsAnswer(const Signature& signature, int64_t rows) : signature_(signature), rows_(rows) {}

  Status Add(int64_t first, int64_t rows, const NamedTensors& outputs,
             RequestMemory& memory) override EXCLUDES(mutex_);
  NamedTensors Take() override EXCLUDES(mutex_);

 private:
  // Makes room for the outputs of all rows, which are like those of a part of `rows` rows.
  Status Allocate(int64_t rows, const NamedTensors& outputs, RequestMemory& memory)
      REQUIRES(mutex_);

  const Signature& signature_;
  const int64_t rows_;
  Mutex mutex_;
  NamedTensors outputs_ GUARDED_BY(mutex_);  // the parts write to them without the lock
  bool has_outputs_ GUARDED_BY(mutex_) = false;
  std::vector<BufferRef> characters_ GUARDED_BY(mutex_);  // of the strings of each part
};

}  // namespace penstock::batch
