// SPDX-License-Identifier: Apache-2.0
// Checks that a downloaded file is equal to the server's object, and hashes files.
#pragma once

#include <atomic>
#include <string>

#include "base/status.h"
#include "s3/http_client.h"
#include "s3/s3_listing.h"

namespace penstock {

// Compares the file with the size of the object, with its ETag if that is an MD5, and with the
// checksums of the whole object in `head` (x-amz-checksum-sha256, -crc32, -crc32c). DATA_LOSS if
// one differs; INTERNAL if the file cannot be read.
Status CheckFile(const std::string& path, const S3Object& object, const HttpHead& head);

// Returns the SHA-256 of a file's contents, as hexadecimal digits. INTERNAL if it cannot be read;
// CANCELLED.
StatusOr<std::string> Sha256OfFile(const std::string& path, const std::atomic<bool>& is_cancelled);

}  // namespace penstock
