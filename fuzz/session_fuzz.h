// SPDX-License-Identifier: Apache-2.0
// What the fuzz targets of the HTTP sessions share.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "net/http/call.h"
#include "net/router.h"

namespace penstock::net {

// Calls that handlers have not answered yet, of one kind. One thread.
template <typename CallRef>
struct Held {
  std::vector<CallRef> late;  // to be answered after the read
  std::vector<CallRef> kept;  // never to be answered

  static Held& Calls() {
    static Held held;
    return held;
  }
  static void HoldLate(CallRef call) { Calls().late.push_back(std::move(call)); }
  static void HoldForEver(CallRef call) { Calls().kept.push_back(std::move(call)); }
};

inline void EchoHttp(HttpCallRef call) {
  HttpResponse response;
  response.body.Append(call->body());
  call->Respond(std::move(response));
}

// An answer that takes several flushes.
inline void AnswerLong(HttpCallRef call) {
  constexpr size_t kBytes = 5000;
  HttpResponse response;
  response.body.AppendCopy(std::string(kBytes, 'x'));
  call->Respond(std::move(response));
}

}  // namespace penstock::net
