//! truckflow: exact correlations of truck telemetry, from Kafka to SQL and CSV, exactly once.
