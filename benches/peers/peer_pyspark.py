"""PySpark: DataFrames in `local[2]`, as a batch or as a stream that ends when all is read."""

import sys
import tempfile
import time
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql.functions import col, corr, count

from contract import WORKERS, report

path, form = Path(sys.argv[1]), sys.argv[2]

with tempfile.TemporaryDirectory() as scratch:
    spark = (
        SparkSession.builder.master(f"local[{WORKERS}]")
        .config("spark.driver.memory", "4g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", WORKERS)
        .config("spark.sql.files.maxPartitionBytes", "32m")
        .config("spark.local.dir", scratch)
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    began = time.perf_counter()
    schema = "timestamp TIMESTAMP, distance_covered DOUBLE, engine_speed DOUBLE, truck_id STRING"
    reader = spark.read if form == "batch" else spark.readStream
    # A stream reads a folder, which contains nothing else.
    readings = reader.schema(schema).json(str(path if form == "batch" else path.parent))
    seconds = col("timestamp").cast("double")
    answer = readings.groupBy("truck_id").agg(
        count("*"), corr("distance_covered", seconds), corr("engine_speed", seconds)
    )
    if form == "stream":
        query = (
            answer.writeStream.outputMode("complete").format("memory").queryName("answer")
            .option("checkpointLocation", f"{scratch}/checkpoint").trigger(availableNow=True).start()
        )
        query.awaitTermination()
        answer = spark.table("answer")
    rows = [tuple(row) for row in answer.collect()]
    report(rows, time.perf_counter() - began)
    spark.stop()
