// SPDX-License-Identifier: Apache-2.0
// grpc.testing.TestService: what gRPC's interoperability clients expect of a server.
#pragma once

#include "net/router.h"

namespace penstock {

// Adds the methods of the service.
void AddTestService(net::Router& router);

}  // namespace penstock
