"""Polars: a lazy query over the file in its streaming engine, with its own `corr`; rows are written by sink_csv."""

import os
import sys
import time

from contract import ORIGIN, WORKERS, report
from queries import QUERIES

os.environ["POLARS_MAX_THREADS"] = str(WORKERS)

import polars as pl

PATH, *QUERY = sys.argv[1:]
SCHEMA = {
    "timestamp": pl.String,
    "distance_covered": pl.Float64,
    "engine_speed": pl.Float64,
    "truck_id": pl.String,
}

began = time.perf_counter()
readings = pl.scan_ndjson(PATH, schema=SCHEMA).with_columns(pl.col("timestamp").str.to_datetime(time_unit="us"))
if QUERY:
    name, out = QUERY
    found = pl.SQLContext(R=readings).execute(QUERIES[name].peers["polars"])
    found.sink_csv(out, include_header=False, maintain_order=False, engine="streaming")
    rows = None
else:
    origin = pl.lit(ORIGIN).str.to_datetime(time_unit="us")
    at = (pl.col("timestamp") - origin).dt.total_microseconds().cast(pl.Float64)
    found = (
        readings.with_columns(at.alias("at"))
        .group_by("truck_id")
        .agg(pl.len(), pl.corr("distance_covered", "at").alias("distance"), pl.corr("engine_speed", "at").alias("speed"))
        .collect(engine="streaming")
    )
    rows = found.rows()
report(rows, time.perf_counter() - began)
