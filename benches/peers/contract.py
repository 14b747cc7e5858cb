"""The interface between `run` and a peer's script.

    peer_NAME.py FILE               correlations
    peer_NAME.py FILE QUERY OUT     a query of queries.py, whose rows it writes to the CSV file or folder OUT

Both use `WORKERS` workers and print one line of JSON: {"answer": …, "seconds": from when the engine is imported and its
session is up until the answer}. The answer of the correlations is [[truck, n, r_distance, r_speed], …]: for each truck the
number of readings, and the Pearson correlation with time of `distance_covered` and of `engine_speed`. That of a query is
null, because its rows are in OUT.
"""

import json
from math import sqrt

WORKERS = 2
# Peers count time from here, for the sake of their doubles.
ORIGIN = "2023-04-10 00:00:00"


def report(answer, seconds):
    """Prints what the driver reads."""
    print(json.dumps({"answer": answer and sorted(answer), "seconds": seconds}), flush=True)


def correlation(n, sum_x, sum_y, sum_xx, sum_xy, sum_yy):
    """Pearson's r from sums."""
    covariance = n * sum_xy - sum_x * sum_y
    variance_x, variance_y = n * sum_xx - sum_x**2, n * sum_yy - sum_y**2
    return covariance / sqrt(variance_x * variance_y)
