-- The built-in views, without `dead_letters`. A job has them if it has no views of its own, or if `builtin_views` names
-- them.
-- $names are values of [parameters]; these are their defaults:
--
--   above_speed = 80                  km/h
--   speed_factor = 1.2
--   correlation_tables = "history"    or "latest": one row per truck
--   window = "5m"
--   window_idle = "5m"
--   window_retention = "24h"
--   join_retention = "10m"
--   join_limit = 10000                readings of a truck with the same timestamp

-- Every reading.
CREATE MATERIALIZED VIEW parameter_map WITH (table = 'TRUCK_PARAMETER_MAP', numbers = 'double') AS
SELECT timestamp, distance_covered, engine_speed, fuel_consumed, truck_id
FROM readings;

-- r of distance and time of each truck.
CREATE MATERIALIZED VIEW distance_correlation
WITH (table = 'TRUCK_DISTANCE_CORRELATION', keep = $correlation_tables, numbers = 'double') AS
SELECT LAST_VALUE(distance_covered) AS distance_covered, MAX(timestamp) - MIN(timestamp) AS time_elapsed,
       CORR(distance_covered, timestamp) AS correlation, truck_id, COUNT(*) AS samples,
       MAX(timestamp) AS timestamp
FROM readings
WHERE distance_covered IS NOT NULL
GROUP BY truck_id;

-- r of engine speed and time of each truck.
CREATE MATERIALIZED VIEW engine_speed_correlation
WITH (table = 'TRUCK_ENGINE_SPEED_CORRELATION', keep = $correlation_tables, numbers = 'double') AS
SELECT LAST_VALUE(engine_speed) AS engine_speed, MAX(timestamp) - MIN(timestamp) AS time_elapsed,
       CORR(engine_speed, timestamp) AS correlation, truck_id, COUNT(*) AS samples,
       MAX(timestamp) AS timestamp
FROM readings
WHERE engine_speed IS NOT NULL
GROUP BY truck_id;

-- Every reading, with two derived measures. A ratio to an engine speed of 0 is NULL.
CREATE MATERIALIZED VIEW transformed WITH (table = 'SPARK_TABLE_TRANSFORMED', numbers = 'double') AS
SELECT timestamp, distance_covered, engine_speed, fuel_consumed,
       CAST(engine_speed * $speed_factor AS DOUBLE) AS engine_speed_scaled,
       distance_covered / engine_speed AS distance_engine_ratio, truck_id
FROM readings;

-- The derived measures, one a row.
CREATE MATERIALIZED VIEW derived_metrics WITH (table = 'TRUCK_DERIVED_METRICS') AS
SELECT timestamp, 'engine_speed_scaled' AS metric, CAST(engine_speed * $speed_factor AS DOUBLE) AS value, truck_id
FROM readings
UNION ALL
SELECT timestamp, 'distance_engine_ratio' AS metric, distance_covered / engine_speed AS value, truck_id
FROM readings;

-- Readings with an engine speed strictly above a threshold.
CREATE MATERIALIZED VIEW above_speed WITH (table = 'TRUCK_ABOVE_SPEED', numbers = 'double') AS
SELECT timestamp, distance_covered, engine_speed, truck_id
FROM readings
WHERE engine_speed > $above_speed;

-- Readings above the threshold, joined with every reading of the truck with the same timestamp.
CREATE MATERIALIZED VIEW filtered_join
WITH (table = 'TRUCK_FILTERED_JOIN', numbers = 'double', grace = $join_retention, idle = $window_idle,
      join_limit = $join_limit) AS
SELECT fast.timestamp, fast.distance_covered, other.engine_speed, fast.truck_id
FROM above_speed AS fast
JOIN readings AS other
  ON fast.truck_id = other.truck_id AND other.timestamp BETWEEN fast.timestamp AND fast.timestamp;

-- Averages and correlations of each truck in windows of event time.
CREATE MATERIALIZED VIEW window_averages
WITH (table = 'TRUCK_WINDOW_AVERAGES', grace = $window_retention, idle = $window_idle) AS
SELECT truck_id, window_start, window_end, COUNT(*) AS samples,
       AVG(distance_covered) AS average_distance_covered, AVG(engine_speed) AS average_engine_speed,
       AVG(fuel_consumed) AS average_fuel_consumed, CORR(distance_covered, timestamp) AS distance_correlation,
       CORR(engine_speed, timestamp) AS engine_speed_correlation
FROM TUMBLE(readings, timestamp, INTERVAL $window)
GROUP BY truck_id, window_start, window_end;

-- Every reading of a phone (`message.preset = "orientation"`).
CREATE MATERIALIZED VIEW orientation WITH (table = 'INGESTED_TABLE_1') AS
SELECT time, CAST(seconds_elapsed AS DOUBLE) AS seconds_elapsed, CAST(qz AS DOUBLE) AS qz, CAST(qy AS DOUBLE) AS qy,
       CAST(qx AS DOUBLE) AS qx, CAST(qw AS DOUBLE) AS qw, CAST(roll AS DOUBLE) AS roll,
       CAST(pitch AS DOUBLE) AS pitch, CAST(yaw AS DOUBLE) AS yaw
FROM readings;
