"""What the driver and a peer's script agree on.

    peer_NAME.py FILE       answers the question about FILE with `WORKERS` workers, prints one line of JSON

The question: of each truck, how many readings it has, and the Pearson correlation with time of
`distance_covered` and of `engine_speed`. The line: {"answer": [[truck, n, r_distance, r_speed], …],
"seconds": from where the engine is imported and its session is up, to the answer}.
"""

import json
from math import sqrt

WORKERS = 2
# Peers that sum squares themselves count time from here, for the sake of their doubles.
ORIGIN = "2023-04-10 00:00:00"


def report(answer, seconds):
    """Prints what the driver reads."""
    print(json.dumps({"answer": sorted(answer), "seconds": seconds}), flush=True)


def correlation(n, sum_x, sum_y, sum_xx, sum_xy, sum_yy):
    """Pearson's r from sums."""
    covariance = n * sum_xy - sum_x * sum_y
    variance_x, variance_y = n * sum_xx - sum_x**2, n * sum_yy - sum_y**2
    return covariance / sqrt(variance_x * variance_y)
