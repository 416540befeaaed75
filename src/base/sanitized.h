// SPDX-License-Identifier: Apache-2.0
// Tells whether a sanitizer watches this program's memory or threads.
#pragma once

namespace penstock {

// AddressSanitizer and ThreadSanitizer replace the allocator.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)  // gcc
inline constexpr bool kIsSanitized = true;
#elif defined(__has_feature)  // clang
inline constexpr bool kIsSanitized =
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
inline constexpr bool kIsSanitized = false;
#endif

}  // namespace penstock
