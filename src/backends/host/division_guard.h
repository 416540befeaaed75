// SPDX-License-Identifier: Apache-2.0
// Keeps an integer division of a runtime from ending the process.
#pragma once

namespace penstock {

// On x86-64 the division of the smallest integer by -1, and a division by zero, raise SIGFPE, which
// ends the process. A client can send such numbers to a model. After this call, a division in a
// shared library gives what it gives on ARM64, which does not trap: the smallest integer and the
// remainder 0; or, by zero, 0 and the dividend as the remainder. The same trap in the executable
// itself, and every other SIGFPE, ends the process as before.
//
// Sets the process's handler of SIGFPE, the first time it is called. Thread-safe. Does nothing on
// other processors.
void GuardDivisions();

}  // namespace penstock
