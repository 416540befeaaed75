// SPDX-License-Identifier: Apache-2.0
#include "frontends/tfs_rest/message_builder.h"

#include <algorithm>

namespace penstock::tfs_rest {

bool MessageBuilder::Grow(size_t bytes) {
  constexpr size_t kBytesMin = 512;
  const size_t size = Size();
  const size_t wanted = std::max({kBytesMin, 2 * size, size + bytes});
  if (wanted > memory_.bytes_left() || wanted > tfs::kLengthMax) {
    status_ = Error(StatusCode::kResourceExhausted,
                    "the Examples take more than {} bytes, the limit for the tensors of a request",
                    std::min<uint64_t>(memory_.bytes_left(), tfs::kLengthMax));
    return false;
  }
  StatusOr<BufferRef> buffer = memory_.Allocate(wanted);
  if (!buffer.ok()) {
    status_ = buffer.status();
    return false;
  }
  memory_.Take(wanted);
  if (size > 0) std::memcpy((*buffer)->data(), buffer_->data(), size);
  if (buffer_) memory_.GiveBack(buffer_->size());
  buffer_ = *std::move(buffer);
  end_ = buffer_->data() + size;
  limit_ = buffer_->data() + wanted;
  return true;
}

}  // namespace penstock::tfs_rest
