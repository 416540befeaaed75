// SPDX-License-Identifier: Apache-2.0
// ThreadSanitizer does not see into Debian's absl library, where the last of several threads frees
// an error that they share: it takes that for a race. The linker puts this function, which the
// sanitizer does see, in place of the library's (cmake/StaticDeps.cmake).
#include <atomic>
#include <cstdint>

#include "absl/status/internal/status_internal.h"

// absl::Status::UnrefNonInlined; the lowest bit of `rep` says that the rest is a pointer.
extern "C" void __wrap__ZN4absl7debian36Status15UnrefNonInlinedEm(uintptr_t rep) {
  auto* error = reinterpret_cast<absl::status_internal::StatusRep*>(rep - 1);
  if (error->ref.fetch_sub(1, std::memory_order_acq_rel) == 1) delete error;
}
