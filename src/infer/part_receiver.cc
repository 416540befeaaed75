// SPDX-License-Identifier: Apache-2.0
#include "infer/part_receiver.h"

namespace penstock {

void PartReceiver::OnAccepted(CancelToken& cancel) {
  // Usually the model does not wait: it is still making the next part, or it is done.
  if (flow_.TrySetReady()) return;
  if (pool_->Submit([self = shared_from_this()] { self->flow_.SetReady(); })) return;
  is_refused_.store(true, std::memory_order_release);
  cancel.Cancel();
}

}  // namespace penstock
