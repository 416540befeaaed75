// SPDX-License-Identifier: Apache-2.0
// Keeps an integer division in a runtime from ending the process.
#pragma once

namespace penstock {

// On x86-64 two integer divisions raise SIGFPE, which ends the process: by zero, and the smallest
// integer by -1. A client can send such numbers to a model. After this call, a division in a shared
// library gives the results of ARM64, which does not trap. For the smallest integer by -1: the
// smallest integer, remainder 0. By zero: 0, and the dividend as the remainder. The same trap in
// the executable itself, and every other SIGFPE, still ends the process. The first call sets the
// process's handler of SIGFPE. Thread-safe. Does nothing on other processors.
void GuardDivisions();

}  // namespace penstock
