//! Keys, values and definitions that no job takes.

use crate::session::Session;

#[test]
fn keys_and_values_of_the_file() {
    let mut wrong = Session::new();
    wrong.file("r.jsonl", "");
    for text in [
        "brokrs = \"x\"",
        "[kafka]\nbroker = \"x\"",
        "workers = \"two\"",
        "workers = 1.5",
        "workers = -1",
        "workers = 0",
        "workers = 257",
        "workers = ",
        "workers = 1\nworkers = 2",
        "job = \"a b\"",
        "job = \"\"",
        "mode = \"delete\"",
        "embedded = true",
        "embedded = true\ninput = \"r.jsonl\"\nmode = \"upsert\"",
        "commit_interval = \"soon\"",
        "commit_interval = \"2h\"",
        "key_separator = \"\"",
        "on_data_loss = \"ignore\"",
        "processes = 2",
        "processes = 0",
        "process = 1",
        "processes = 2\nprocess = 2\nhosts = \"hosts\"",
        "processes = 2\nhosts = \"hosts\"\nembedded = true\ninput = \"r.jsonl\"",
        "[limits]\nepoch_records = 0",
        "[limits]\nbytes_in_flight = 0",
        "[limits]\nepochs_in_flight = 1",
        "[limits]\nmax_ahead = \"never\"",
        "[csv]\nmax_records = 0",
        "[csv]\nviews = [\"nope\"]",
        "[tables]\nviews = [\"nope\"]",
        "[parameters]\nabove_speed = \"fast\"",
        "[parameters]\nspeed_factor = \"fast\"",
        "[parameters]\nwindow = \"0s\"",
        "[parameters]\njoin_limit = 0",
        "[parameters]\ncorrelation_tables = \"all\"",
        "[kafka]\ntopic = 5",
        "[kafka]\ntopic = []",
        "[kafka]\ntopic = [\"Truck-Data\", \"^fleet-(\"]",
        "dead_letters.topic = \"b\"\n[kafka]\ntopic = [\"a\", \"b\"]",
        "mode = \"upsert\"\n[kafka]\ntopic = \"^fleet-\"",
        "input = \"r.jsonl\"\nembedded = true\n[kafka]\ntopic = \"a, b\"",
        "[kafka]\nstart = 7",
        "[kafka]\nstart = \"yesterday\"",
        "[kafka]\nstart = 2024-05-01T00:00:00",
        "[kafka]\nstart = \"-7\"",
        "input = \"r.jsonl\"\n[kafka]\nstart = \"latest\"",
        "[kafka.properties]\nsasl.password = \"a\"\n[kafka.property_files]\nsasl.password = \"secret\"",
        "[orientation]\ntopic = \"Mobile-Device-Data\"",
        "views = \"missing.sql\"",
        "views = [\"transformed\"]",
        "[[views]]\nname = \"v\"\ncolumns = [\"truck_id\"]",
        "builtin_views = [\"nope\"]",
        "builtin_views = \"nope\"",
        "builtin_views = 7",
    ] {
        wrong.configured(text);
    }
    wrong.is_page("configuration");
}

#[test]
fn values_of_flags_and_variables() {
    let mut wrong = Session::new();
    wrong.file("job.toml", "workers = 2\n");
    for line in [
        "explain --config missing.toml",
        "explain --config .",
        "explain --workers 0",
        "explain --views transformed",
        "explain --builtin-views nope,transformed",
        "explain --sql missing.sql",
        "explain --sql .",
        "explain --processes 2",
        "explain --process 1",
        "explain --embedded",
        "explain --commit-interval 1",
        "explain --set brokrs=x",
        "explain --set workers=two",
        "explain --set workers.all=2",
        "explain --set views=7",
        "explain --set builtin_views=7",
        "explain --config job.toml --set parameters.window=now",
        "explain --topic ^fleet-[",
        "explain --topic Truck-Data,",
        "explain --set kafka.start=-20y",
    ] {
        wrong.run(line);
    }
    for variable in [
        ("TRUCKFLOW_WORKERS", "two"),
        ("TRUCKFLOW_WORKER", "2"),
        ("TRUCKFLOW_KAFKA__BROKER", "x"),
        ("TRUCKFLOW_CONFIG", "missing.toml"),
        ("TRUCKFLOW_VIEWS", "missing.sql"),
        ("TRUCKFLOW_BUILTIN_VIEWS", "nope"),
        ("TRUCKFLOW_KAFKA__PROPERTIES", "x"),
        ("TRUCKFLOW_LOG_FORMAT", "xml"),
    ] {
        wrong.run_with(&[variable], "explain");
    }
    wrong.is_page("flags_and_variables");
}

#[test]
fn definitions_of_views_and_fields() {
    let mut wrong = Session::new();
    for text in [
        "[record]\n\"oil pressure\" = \"number\"",
        "[record]\noil = \"float\"",
        "[record]\nengine_speed = \"text\"",
        "[record]\noil = \"number\"\nOil = \"number\"",
    ] {
        wrong.configured(text);
    }
    for text in [
        "",
        "CREATE MATERIALIZED VIEW v",
        "CREATE MATERIALIZED VIEW v AS SELECT FROM readings",
        "CREATE MATERIALIZED VIEW v WITH (table = 'a b') AS SELECT truck_id FROM readings",
        "CREATE MATERIALIZED VIEW v WITH (table = 'truckflow_v') AS SELECT truck_id FROM readings",
        "CREATE MATERIALIZED VIEW v WITH (table = 7) AS SELECT truck_id FROM readings",
        "CREATE MATERIALIZED VIEW v WITH (csv = 'no') AS SELECT truck_id FROM readings",
        "CREATE MATERIALIZED VIEW v WITH (backfill = 1) AS SELECT truck_id FROM readings",
        "CREATE MATERIALIZED VIEW v WITH (tabel = 'V') AS SELECT truck_id FROM readings",
        "CREATE VIEW v WITH (csv = false) AS SELECT truck_id FROM readings",
        "CREATE MATERIALIZED VIEW v AS SELECT truck_id, timestamp AS Truck_Id FROM readings",
        "CREATE MATERIALIZED VIEW \"a b\" AS SELECT truck_id FROM readings",
        "CREATE MATERIALIZED VIEW a.v AS SELECT truck_id FROM readings",
        "CREATE MATERIALIZED VIEW transformed AS SELECT truck_id FROM readings",
        "CREATE MATERIALIZED VIEW readings AS SELECT truck_id FROM readings",
        "CREATE VIEW v AS SELECT truck_id FROM readings;\nCREATE MATERIALIZED VIEW V AS SELECT truck_id FROM readings",
        "CREATE MATERIALIZED VIEW v AS SELECT truck_id FROM w;\nCREATE VIEW w AS SELECT truck_id FROM readings",
        "CREATE OR REPLACE VIEW v AS SELECT truck_id FROM readings",
        "CREATE TABLE v (truck_id TEXT)",
        "SELECT truck_id FROM readings",
    ] {
        wrong.viewed(text, "");
    }
    let spark = "CREATE MATERIALIZED VIEW v WITH (table = 'SPARK_TABLE_TRANSFORMED') AS SELECT truck_id FROM readings";
    wrong.viewed(spark, "--builtin-views transformed");
    let step = "CREATE VIEW above_speed AS SELECT truck_id FROM readings";
    wrong.viewed(step, "--builtin-views above_speed");
    wrong.is_page("definitions");
}

#[test]
fn mappings_of_messages() {
    let mut wrong = Session::new();
    for text in [
        "[message]\nformat = \"xml\"",
        "[message]\npreset = \"phone\"",
        "[message]\nroot = \"/a~2\"",
        "[message]\nroot = []",
        "[message]\nformat = \"csv\"\nroot = \"/a\"",
        "[message]\ntime = \"when\"",
        "[message]\ntime = \"engine_speed\"",
        "[message]\npreset = \"none\"",
        "[message]\nkey = \"imei\"",
        "[message]\nonly = \"speed > 1\"",
        "[message]\ncolumns = [\"timestamp\"]",
        "[message]\nformat = \"csv\"\nseparator = \"::\"",
        "key_separator = \"|\"\n[message]\nformat = \"csv\"",
        "mode = \"upsert\"\n[message]\nroot = \"/*\"",
        "[message]\nregistry = \"http://127.0.0.1:8081\"",
        "[record]\noil = { path = \"/oil\" }",
        "[record]\noil = { type = \"number\", unit = \"ms\" }",
        "[record]\noil = { type = \"number\", from = \"kafka.size\" }",
        "[record]\noil = { type = \"number\", from = \"root.key\" }",
        "[record]\noil = { type = \"number\", sql = \"engine_speed > 1\" }",
        "[record]\noil = { type = \"number\", optional = false, bad = \"null\" }",
        "[record]\ntimestamp = { optional = true }",
        "[record]\ntimestamp = { unit = \"ms\", zone = \"Europe/Berlin\" }",
        "[record]\ntimestamp = { zone = \"Berlin\" }",
        "[record]\ntimestamp = { format = \"%H:%M\" }",
    ] {
        wrong.configured(text);
    }
    wrong.is_page("mappings");
}

#[test]
fn texts_of_user_defined_views() {
    let mut wrong = Session::new();
    for text in [
        "",
        "engine_speed >",
        "engine_speed > 80 driver",
        "(engine_speed > 80",
        "'a",
        "engine_speed",
        "engine_speed > fuel",
        "engine_speed > 'fast'",
        "timestamp > 'yesterday'",
        "truck_id LIKE engine_speed",
        "truck_id RLIKE 'a'",
        "truck_id LIKE 'a' ESCAPE 'bc'",
        "NOT engine_speed",
        "engine_speed & 1 = 1",
        "engine_speed > 1e99",
        "engine_speed > AVG(engine_speed)",
        "engine_speed > SQRT(2)",
        "engine_speed > ROUND(1, 30)",
        "engine_speed > IF(1)",
        "engine_speed > CAST(truck_id AS INT)",
        "engine_speed > (SELECT 1)",
        "engine_speed > 80 AS fast",
        "t.engine_speed > 80",
        "X'00' = truck_id",
    ] {
        wrong
            .viewed(&format!("CREATE MATERIALIZED VIEW v AS SELECT truck_id FROM readings WHERE {text}"), "");
    }
    for column in [
        "engine_speed + 1",
        "engine_speed AS `a b`",
        "engine_speed AS row_key",
        "NULL AS nothing",
        "truck_id + 1 AS sum",
        "CASE WHEN engine_speed THEN 1 END AS c",
        "COALESCE(engine_speed, 'none') AS c",
        "'truck' AS `c`, \"truck\" AS d",
    ] {
        wrong.viewed(&format!("CREATE MATERIALIZED VIEW v AS SELECT {column} FROM readings"), "");
    }
    for query in [
        "SELECT truck_id FROM readings GROUP BY truck_id",
        "SELECT truck_id, COUNT(*) AS readings FROM readings",
        "SELECT AVG(engine_speed) AS mean FROM readings",
        "SELECT SUM(engine_speed) OVER (PARTITION BY truck_id) AS sum FROM readings",
        "SELECT DISTINCT truck_id FROM readings",
        "SELECT truck_id FROM readings HAVING engine_speed > 80",
        "SELECT a.truck_id FROM readings AS a JOIN readings AS b ON a.truck_id = b.truck_id",
        "SELECT truck_id FROM readings, readings",
        "SELECT truck_id FROM readings UNION SELECT truck_id FROM readings",
        "SELECT truck_id FROM readings ORDER BY truck_id",
        "SELECT truck_id FROM readings LIMIT 1",
        "WITH r AS (SELECT truck_id FROM readings) SELECT truck_id FROM r",
        "SELECT truck_id FROM TUMBLE(readings, timestamp, INTERVAL '5' MINUTE)",
        "SELECT engine_speed FROM (SELECT truck_id FROM readings) AS r",
        "SELECT 1 AS one",
    ] {
        wrong.viewed(&format!("CREATE MATERIALIZED VIEW v AS\n{query}"), "");
    }
    wrong.is_page("sql");
}
