// SPDX-License-Identifier: Apache-2.0
#include "calls/net_call.h"

namespace penstock {

CallInfo InfoOf(net::Call& call, size_t body_bytes) {
  return {.start = call.start(),
          .deadline = call.deadline(),
          .cancel = &call.cancel(),
          .record = &call.record(),
          .request_id = call.request_id(),
          .body_bytes = body_bytes,
          .caller = call.head().caller.get()};
}

}  // namespace penstock
