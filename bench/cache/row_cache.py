# SPDX-License-Identifier: Apache-2.0
"""What the row cache costs, without a network."""
import re
import subprocess

from pairs import row
from servers import BUILD

LARGE_RATIO_MAX, SMALL_MAX_US = 1.3, 5.0
LINE = re.compile(r'(.*): hash ([\d.]+) us, hit ([\d.]+) us \(.*\), run ([\d.]+) us, miss ([\d.]+) us')


def run(rounds):
    output = subprocess.run([BUILD / "bench" / "cache" / "row_cache_alone", str(rounds)], check=True, capture_output=True,
                            text=True).stdout
    for name, *figures in LINE.findall(output):
        hashed, hit, alone, miss = map(float, figures)
        is_large = '224' in name
        yield row(f"hit of one {name}, through the engine: CPU", f"{hit:.2f} us ({hit / hashed:.2f}x the hash of its bytes)",
                  f"<= {LARGE_RATIO_MAX}x the hash" if is_large else f"<= {SMALL_MAX_US} us",
                  hit <= (LARGE_RATIO_MAX * hashed if is_large else SMALL_MAX_US))
        yield row(f"the same, a miss: CPU beyond the same request without the cache ({alone:.2f} us)",
                  f"+{miss - alone:.2f} us", "none", True)
