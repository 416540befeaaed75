// SPDX-License-Identifier: Apache-2.0
// Until the HTTP/2 session is there, its preface is refused like any unknown request.
#include "net/session.h"

namespace penstock::net {

__attribute__((weak)) std::unique_ptr<Session> MakeHttp2Session(SessionHost& host) {
  return MakeHttp1Session(host);
}

}  // namespace penstock::net
