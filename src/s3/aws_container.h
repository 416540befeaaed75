// SPDX-License-Identifier: Apache-2.0
// Gets keys over HTTP from the host of a container: Amazon ECS, EKS Pod Identity.
#pragma once

#include <atomic>
#include <chrono>
#include <string>

#include "base/status.h"
#include "s3/aws_keys.h"
#include "s3/http_client.h"

namespace penstock {

// Where the container's host gives keys. The values are those of the environment variables,
// unchanged; CheckContainer says whether they can be right. Immutable.
struct AwsContainer {
  std::string relative_uri = {};  // AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, of ECS's host
  std::string full_uri = {};      // AWS_CONTAINER_CREDENTIALS_FULL_URI, if there is no relative one
  std::string token_file = {};    // AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE
  std::string token = {};         // AWS_CONTAINER_AUTHORIZATION_TOKEN, if there is no such file
  std::string ca_file = {};       // AWS_CA_BUNDLE
  HttpEndpoint ecs = {.host = "169.254.170.2", .port = "80", .tls = false};
  HttpClientOptions http = {std::chrono::seconds(2), std::chrono::seconds(5)};

  bool IsSet() const { return !relative_uri.empty() || !full_uri.empty(); }
};

// Checks the variables without a request. INVALID_ARGUMENT names the variable.
Status CheckContainer(const AwsContainer& container);

// Requests keys. Errors name the variable with the address. They quote nothing of the answer except
// an error text. INVALID_ARGUMENT: a variable or the token file is wrong. UNAVAILABLE and
// DEADLINE_EXCEEDED: no answer, or none now. UNAUTHENTICATED: refused. INTERNAL: the answer has no
// keys, or none that are valid at `now`. CANCELLED.
StatusOr<AwsKeys> AskContainer(const AwsContainer& container,
                               std::chrono::system_clock::time_point now,
                               const std::atomic<bool>& is_cancelled);

}  // namespace penstock
