# SPDX-License-Identifier: Apache-2.0
"""Adds up JUnit files: prints the failed unit tests with what they wrote, and a closing line: N passed, N failed, N skipped."""
import sys
import xml.etree.ElementTree as ElementTree

LINES_MAX = 100  # of each test: the last ones


def print_failure(path, case):
    """Only what ctest ran, which wrote it to the file alone; pytest has shown its own."""
    output = case.find("system-out")
    if output is None or case.find("failure") is None:
        return
    lines = (output.text or "").rstrip().splitlines()
    print(f"\n== failed: {case.get('name')} ({path})")
    if len(lines) > LINES_MAX:
        print(f"[{len(lines) - LINES_MAX} lines are in {path}]")
    print("\n".join(lines[-LINES_MAX:]))


passed = failed = skipped = 0
for path in sys.argv[1:]:
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
            print_failure(path, case)
        elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            skipped += 1
        else:
            passed += 1
print(f"\n{passed} passed, {failed} failed, {skipped} skipped")
