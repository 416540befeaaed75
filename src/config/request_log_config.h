// SPDX-License-Identifier: Apache-2.0
// Reads how the requests of a model are logged from its configuration.
#pragma once

#include <string>

#include "base/status.h"
#include "request_log/request_log_options.h"

namespace tensorflow::serving {
class LoggingConfig;
}

namespace penstock {

// Reads the logging_config of `model`. Errors: INVALID_ARGUMENT; the message continues a sentence
// that starts with the model's name.
StatusOr<RequestLogOptions> ReadRequestLog(const tensorflow::serving::LoggingConfig& config,
                                           const std::string& model);

}  // namespace penstock
