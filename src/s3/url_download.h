// SPDX-License-Identifier: Apache-2.0
// Downloads a file from a web server.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"
#include "s3/http_client.h"

namespace penstock {

// What one download may cost. Plain data.
struct DownloadLimits {
  uint64_t bytes_max = uint64_t{8} << 30;
  Duration time_max = std::chrono::minutes(10);  // of the whole download, redirects included
  int redirects_max = 5;
  HttpClientOptions http = {};
};

// What was downloaded. Plain data.
struct DownloadedFile {
  uint64_t bytes = 0;
  std::array<uint8_t, 32> sha256{};  // of the content
};

// True if `text` begins as the address of a web server does.
bool IsWebUrl(std::string_view text);

// Returns the path of a URL, without what follows "?" or "#"; "/" if there is none.
std::string_view PathOfUrl(std::string_view url);

// Returns what may be shown of a URL: no user name, no password, and not what follows "?" or "#",
// which may be a secret.
std::string UrlForLogs(std::string_view url);

// Downloads `url` (http or https) to the file `path`, and follows redirects, but not from https to
// http. Blocks. After an error the file is removed. Errors name the URL: INVALID_ARGUMENT (it is
// none), NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED (too large, or the disk is full),
// DEADLINE_EXCEEDED, UNAVAILABLE (no connection, or another answer than the file), CANCELLED.
StatusOr<DownloadedFile> DownloadUrl(const std::string& url, const std::string& path,
                                     const DownloadLimits& limits,
                                     const std::atomic<bool>& is_cancelled);

}  // namespace penstock
