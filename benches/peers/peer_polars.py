"""Polars: a lazy query over the file in its streaming engine, with its own `corr`."""

import os
import sys
import time

from contract import ORIGIN, WORKERS, report

os.environ["POLARS_MAX_THREADS"] = str(WORKERS)

import polars as pl

SCHEMA = {
    "timestamp": pl.String,
    "distance_covered": pl.Float64,
    "engine_speed": pl.Float64,
    "truck_id": pl.String,
}

began = time.perf_counter()
origin = pl.lit(ORIGIN).str.to_datetime(time_unit="us")
at = (pl.col("timestamp").str.to_datetime(time_unit="us") - origin).dt.total_microseconds().cast(pl.Float64)
readings = pl.scan_ndjson(sys.argv[1], schema=SCHEMA)
found = (
    readings.with_columns(at.alias("at"))
    .group_by("truck_id")
    .agg(pl.len(), pl.corr("distance_covered", "at").alias("distance"), pl.corr("engine_speed", "at").alias("speed"))
    .collect(engine="streaming")
)
report(found.rows(), time.perf_counter() - began)
