# SPDX-License-Identifier: Apache-2.0
"""Adds up JUnit files and prints one closing line: N passed, N failed, N skipped."""
import sys
import xml.etree.ElementTree as ElementTree

passed = failed = skipped = 0
for path in sys.argv[1:]:
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            skipped += 1
        else:
            passed += 1
print(f"\n{passed} passed, {failed} failed, {skipped} skipped")
