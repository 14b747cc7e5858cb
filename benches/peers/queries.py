"""The queries whose rows are written to CSV: what truckflow runs, and the same in the words of each peer.

truckflow and PyFlink call the input `readings`, the others `R`. Flink has no CORR, so its query computes the sums of it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Query:
    title: str
    # The view of truckflow, and the query of each peer.
    truckflow: str
    peers: dict
    # The column, counted from 0, whose sum must be equal.
    checked: int
    # The number of key columns at the start of a row: truckflow's file has a line at each change of a group, of which the
    # last one counts. None: each line counts.
    keys: int | None = None


FILTER = "SELECT timestamp, truck_id, engine_speed * 1.2 AS scaled FROM {} WHERE engine_speed > 80"
GROUP_BY = (
    "SELECT truck_id, COUNT(*) AS n, SUM(distance_covered) AS d, AVG(engine_speed) AS a, MIN(fuel_consumed) AS lo, "
    "MAX(fuel_consumed) AS hi FROM {} GROUP BY truck_id"
)
SUMS = "SUM({x}), SUM({y}), SUM({x} * {x}), SUM({x} * {y}), SUM({y} * {y})"
SUMS = SUMS.format(x="engine_speed", y="distance_covered")

QUERIES = {
    "filter": Query(
        "filter to CSV",
        FILTER.format("readings"),
        {
            "duckdb": FILTER.format("R"),
            "chdb": FILTER.format("R"),
            "polars": FILTER.format("R"),
            "pyflink": FILTER.format("readings").replace("timestamp", "`timestamp`"),
        },
        checked=2,
    ),
    "group_by": Query(
        "GROUP BY truck, five aggregates",
        GROUP_BY.format("readings"),
        {"duckdb": GROUP_BY.format("R"), "pyflink": GROUP_BY.format("readings")},
        checked=1,
        keys=1,
    ),
    "tumble": Query(
        "windows: TUMBLE of 5 minutes, AVG and CORR",
        "SELECT truck_id, window_start, AVG(engine_speed) AS a, CORR(engine_speed, distance_covered) AS c "
        "FROM TUMBLE(readings, timestamp, INTERVAL '5 minutes') GROUP BY truck_id, window_start, window_end",
        {
            "duckdb": "SELECT truck_id, time_bucket(INTERVAL '5 minutes', timestamp) AS w, AVG(engine_speed) AS a, "
            "CORR(engine_speed, distance_covered) AS c FROM R GROUP BY ALL",
            "pyflink": f"SELECT truck_id, window_start, AVG(engine_speed), COUNT(*), {SUMS} FROM TABLE(TUMBLE("
            "TABLE readings, DESCRIPTOR(`timestamp`), INTERVAL '5' MINUTES)) GROUP BY truck_id, window_start, window_end",
        },
        checked=2,
        keys=2,
    ),
    "hop": Query(
        "windows: HOP of 30 minutes every minute, COUNT and CORR",
        "SELECT truck_id, window_start, COUNT(*) AS n, CORR(engine_speed, distance_covered) AS c "
        "FROM HOP(readings, timestamp, INTERVAL '1 minute', INTERVAL '30 minutes') "
        "GROUP BY truck_id, window_start, window_end",
        {
            "duckdb": "SELECT truck_id, time_bucket(INTERVAL '1 minute', timestamp) - k * INTERVAL '1 minute' AS w, "
            "COUNT(*) AS n, CORR(engine_speed, distance_covered) AS c FROM R, range(30) AS t(k) GROUP BY ALL",
            "pyflink": f"SELECT truck_id, window_start, COUNT(*), {SUMS} FROM TABLE(HOP(TABLE readings, "
            "DESCRIPTOR(`timestamp`), INTERVAL '1' MINUTES, INTERVAL '30' MINUTES)) "
            "GROUP BY truck_id, window_start, window_end",
        },
        checked=2,
        keys=2,
    ),
}
