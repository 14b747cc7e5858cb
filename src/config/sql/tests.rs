//! Results of valid texts, and errors of invalid ones.

use dataflows::batch::{Batch, BatchBuilder, NANO, Record};
use dataflows::rows::NULL;
use dataflows::schema::FieldType;

use dataflows::relation::{PlannedView, Relation};
use dataflows::views::Settings;

use super::builtin::Builtin;
use super::parameters::Parameters;
use super::script::Script;
use super::*;
use crate::render;
use crate::text::time;

fn settings() -> Settings {
    let schema = Schema::trucks().with("driver", FieldType::Text).with("oil", FieldType::Number);
    Settings { schema, ..Settings::default() }
}

/// The views of a file.
fn views(text: &str) -> Result<Vec<PlannedView>, String> {
    let script = Script::parse("views.sql", text, &Parameters::new()).map_err(|error| error.to_string())?;
    compile(&script, &none()).map(|own| own.views).map_err(|error| error.to_string())
}

/// No built-in views.
fn none() -> Builtin {
    let mut built_in = builtin(&[]).unwrap();
    built_in.retain(|_| false);
    built_in
}

/// The built-in views, with these values of parameters.
fn builtin(parameters: &[(&str, &str)]) -> Result<Builtin, String> {
    let mut all = parameters::defaults();
    all.extend(
        parameters.iter().map(|(name, value)| ((*name).to_owned(), toml::Value::String((*value).into()))),
    );
    let compiled = builtin::script(&all).and_then(|script| Builtin::compile(&script, &settings()));
    compiled.map_err(|error| error.to_string())
}

#[test]
fn the_built_in_views_are_sql_whose_parameters_are_named_in_errors() {
    let built_in = builtin(&[("window", "90s"), ("correlation_tables", "latest")]).unwrap();
    let missing: Vec<&str> = built_in.missing.iter().map(|missing| &*missing.view).collect();
    assert_eq!((built_in.views.len(), missing), (8, vec!["orientation"]));
    let windows = built_in.views.iter().find(|view| view.name == "window_averages").unwrap();
    assert_eq!(windows.relation.slide(), Some(90_000_000));
    for (name, value, said) in [
        ("window", "0s", "TUMBLE takes an INTERVAL above 0"),
        ("window", "soon", "`INTERVAL 'soon'` is not supported"),
        ("correlation_tables", "all", "`keep` takes 'latest' or 'history'"),
        ("above_speed", "fast", "number"),
        ("join_retention", "3ns", "`grace` takes a duration in quotes"),
        ("join_limit", "many", "`join_limit` takes a number of rows above 0"),
    ] {
        let error = builtin(&[(name, value)]).err().unwrap();
        assert!(error.contains("the built-in views line ") && error.contains(said), "{error}");
        let (_, reads) = error.split_once("; it reads ").unwrap();
        assert!(reads.split(" and ").any(|read| read == format!("parameters.{name}")), "{error}");
    }
    // The comment says all of them.
    for (name, value) in parameters::defaults() {
        assert!(builtin::TEXT.contains(&format!("--   {name} = {value}")), "{name}");
    }
}

#[test]
fn plans_are_shown_as_lines() {
    let built_in = builtin(&[]).unwrap();
    let lines = |view: &PlannedView| view.relation.lines(&settings().schema);
    let of = |name: &str| lines(built_in.views.iter().find(|view| view.name == name).unwrap());
    assert_eq!(
        of("distance_correlation"),
        [
            "SELECT LAST_VALUE(distance_covered), MAX(timestamp) - MIN(timestamp), \
             CORR(distance_covered, timestamp), truck_id, COUNT(*), MAX(timestamp)",
            "  AGGREGATE LAST_VALUE(distance_covered), MAX(timestamp), MIN(timestamp), \
             CORR(distance_covered, timestamp), COUNT(*) WHERE distance_covered IS NOT NULL GROUP BY truck_id",
            "    readings",
        ]
    );
    assert!(
        of("window_averages")[0]
            .ends_with("GROUP BY truck_id IN windows of 5m by timestamp (grace 1d, idle 5m)")
    );
    let joined = views(
        "CREATE MATERIALIZED VIEW pairs WITH (join_limit = 5) AS
         SELECT a.truck_id, a.oil / 2 AS half FROM readings a JOIN (SELECT DISTINCT driver, timestamp FROM readings) b
         ON a.driver = b.driver AND b.timestamp BETWEEN a.timestamp - INTERVAL '90 seconds' AND a.timestamp
         WHERE NOT (a.oil > 1.5 OR a.driver LIKE 'A%')",
    );
    let joined = lines(&joined.unwrap()[0]).join("\n");
    for part in
        ["JOIN ON driver = driver AND timestamp - timestamp FROM -90s TO 0us", "at most 5 rows", "  DISTINCT"]
    {
        assert!(joined.contains(part), "{joined}");
    }
    let first = "SELECT truck_id, oil / 2 WHERE NOT ((oil > 1.5) OR driver LIKE 'A%')\n  JOIN ON ";
    assert!(joined.starts_with(first), "{joined}");
}

#[test]
fn what_a_plan_has_twice_is_shown_once() {
    let twice = views(
        "CREATE VIEW counts AS SELECT driver, COUNT(*) AS n FROM readings GROUP BY driver;
         CREATE MATERIALIZED VIEW twice AS SELECT a.driver, b.n FROM counts a JOIN counts b ON a.n = b.n;",
    );
    let lines = twice.unwrap()[0].relation.lines(&settings().schema);
    let of_aggregates: Vec<&str> =
        lines.iter().filter(|line| line.contains("AGGREGATE")).map(|line| line.trim()).collect();
    let first = "AGGREGATE COUNT(*) GROUP BY driver";
    assert_eq!(of_aggregates, [first, &format!("{first} (the one above)")]);
    assert_eq!(lines.iter().filter(|line| line.trim() == "readings").count(), 1, "{lines:#?}");
}

#[test]
fn queries_of_a_union_behind_the_first_need_no_names() {
    for others in [
        "driver, 0 FROM readings",
        "driver, COUNT(*) FROM readings GROUP BY driver",
        "driver, oil, oil FROM readings",
    ] {
        let width = if others.contains("oil, oil") { "oil AS n, oil AS m" } else { "oil AS n" };
        for union in ["UNION ALL", "UNION"] {
            let text = format!(
                "CREATE MATERIALIZED VIEW all_of_it AS SELECT driver, {width} FROM readings {union} SELECT {others}"
            );
            let names = views(&text).unwrap_or_else(|error| panic!("{error}"))[0].names.clone();
            assert_eq!(names[..2], ["driver", "n"], "{text}");
        }
    }
}

/// The view `hot`.
fn view(filter: Option<&str>, columns: &[&str]) -> PlannedView {
    let filter = filter.map(|filter| format!("WHERE {filter}")).unwrap_or_default();
    let columns = columns.join(", ");
    let text = format!("CREATE MATERIALIZED VIEW hot AS SELECT {columns} FROM readings {filter}");
    views(&text).unwrap_or_else(|error| panic!("{error}\n{text}")).remove(0)
}

fn batch() -> Batch {
    let mut builder = BatchBuilder::new(&settings().schema);
    let time = time::parse("2023-04-10 01:00:00").unwrap();
    builder.push_record(Record {
        entity: "a".into(),
        time,
        units: vec![100 * NANO, 82 * NANO + NANO / 2, 12 * NANO, 3 * NANO + NANO / 4],
        texts: vec![Some("Ann".into())],
    });
    builder.push_record(Record {
        entity: "truck_2".into(),
        time: time + 1_500_000,
        units: vec![0, 0, NANO / 10, NULL],
        texts: vec![None],
    });
    builder.take()
}

/// The CSV lines of the view `hot` for two readings.
fn lines(filter: Option<&str>, columns: &[&str]) -> String {
    lines_of(&view(filter, columns))
}

fn lines_of(view: &PlannedView) -> String {
    let mut out = Vec::new();
    render::csv(&view.queries().unwrap()[0].rows(&batch()), false, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_view_shows_columns_of_the_readings_that_meet_its_condition() {
    let columns = ["timestamp", "truck_id", "distance_covered / engine_speed AS ratio"];
    let expected = format!("2023-04-10 01:00:00.000000,a,{}\n", 100.0 / 82.5);
    assert_eq!(lines(Some("engine_speed > 82 AND fuel_consumed > 10"), &columns), expected);
    assert_eq!(lines(Some("engine_speed > 82.5"), &columns), "");
    let own = view(Some("engine_speed>82 -- fast"), &["Truck_ID", "`oil`", "oil   AS pressure"]);
    let definition = "SELECT Truck_ID, `oil`, oil AS pressure FROM readings WHERE engine_speed > 82";
    assert_eq!(own.definition, definition);
    assert_eq!(own.table, "HOT");
    let names: Vec<_> = own.columns().into_iter().map(|column| column.name).collect();
    assert_eq!(names, ["truck_id", "oil", "pressure"]);
}

#[test]
fn a_view_reads_views_above_it_and_subqueries() {
    let text = "
        -- A step without sinks.
        CREATE VIEW Fast AS SELECT *, engine_speed * 2 AS twice FROM readings WHERE engine_speed >= 0;
        CREATE MATERIALIZED VIEW faster WITH (table = 'F', csv = false, backfill = true) AS
        SELECT f.truck_id, twice + 1 AS more FROM fast f WHERE TWICE > 100;
        CREATE MATERIALIZED VIEW fastest AS
        SELECT x.* FROM (SELECT more FROM faster WHERE more > 165) AS x;;";
    let script = Script::parse("views.sql", text, &Parameters::new()).unwrap();
    let made: Vec<_> = script.views().map(|view| (&*view.name, view.table.as_deref(), view.csv)).collect();
    assert_eq!(made, [("faster", Some("F"), false), ("fastest", Some("FASTEST"), true)]);
    let views = views(text).unwrap();
    assert_eq!(views.iter().map(lines_of).collect::<Vec<_>>(), ["a,166\n", "166\n"]);
    assert_eq!(
        views[1].definition,
        "SELECT x.* FROM (SELECT more FROM faster WHERE more > 165) AS x; subquery = (SELECT more FROM faster WHERE more > 165; \
         faster = (SELECT f.truck_id, twice + 1 AS more FROM fast f WHERE TWICE > 100; fast = (SELECT *, engine_speed * 2 AS twice \
         FROM readings WHERE engine_speed >= 0; * = timestamp, distance_covered, engine_speed, fuel_consumed, truck_id, driver, \
         oil))); * = more"
    );
    let without = "CREATE MATERIALIZED VIEW hot WITH (table = FALSE) AS SELECT readings.* FROM READINGS";
    assert_eq!(
        Script::parse("views.sql", without, &Parameters::new()).unwrap().views().next().unwrap().table,
        None
    );
}

#[test]
fn expressions_have_the_results_of_sql() {
    for (text, first, second) in [
        ("oil", "3.25", ""),
        ("driver", "Ann", ""),
        ("-engine_speed", "-82.5", "0"),
        ("+engine_speed * 2 - 1", "164", "-1"),
        ("1.2 * engine_speed", "99", "0"),
        ("1e-3 * engine_speed", "0.0825", "0"),
        ("engine_speed % 80", "2.5", "0"),
        ("distance_covered % engine_speed", "17.5", ""),
        ("distance_covered / 0", "", ""),
        ("fuel_consumed = 0.1", "0", "1"),
        ("fuel_consumed * 3 = 0.3", "0", "1"), // not so in doubles
        ("engine_speed / 3 * 3 <> 82.5", "0", "1"),
        ("oil = NULL", "", ""),
        ("oil IS NULL", "0", "1"),
        ("oil IS NOT NULL", "1", "0"),
        ("(oil > 3) IS TRUE", "1", "0"),
        ("(oil > 3) IS NOT FALSE", "1", "1"),
        ("oil > 3 AND engine_speed > 0", "1", "0"),
        ("oil > 3 OR engine_speed > 0", "1", ""),
        ("NOT oil > 3", "0", ""),
        ("oil BETWEEN 3.25 AND 4", "1", ""),
        ("engine_speed NOT BETWEEN 1 AND 100", "0", "1"),
        ("engine_speed IN (0, 82.50)", "1", "1"),
        ("engine_speed NOT IN (0, NULL)", "", "0"),
        ("truck_id LIKE 'truck\\_%'", "0", "1"),
        ("truck_id LIKE 'truck!_%' ESCAPE '!'", "0", "1"),
        ("driver NOT LIKE 'A%'", "0", ""),
        ("truck_id >= 'b'", "0", "1"),
        ("\"truck_id\" = 'a'", "1", "0"),
        ("driver = 'A\\nn'", "0", ""), // a backslash is a character like any other
        ("CASE WHEN engine_speed > 80 THEN 'fast' WHEN engine_speed > 0 THEN 'slow' END", "fast", ""),
        ("CASE truck_id WHEN 'a' THEN 1 ELSE fuel_consumed END", "1", "0.1"),
        ("IF(engine_speed = 0, truck_id, driver)", "Ann", "truck_2"),
        ("COALESCE(driver, 'nobody')", "Ann", "nobody"),
        ("IFNULL(oil, 0)", "3.25", "0"),
        ("NULLIF(engine_speed, 0)", "82.5", ""),
        ("ABS(0 - engine_speed)", "82.5", "0"),
        ("GREATEST(engine_speed, distance_covered, 50)", "100", "50"),
        ("LEAST(oil, 1)", "1", ""),
        ("ROUND(oil, 1)", "3.3", ""),
        ("ROUND(distance_covered / engine_speed, 2)", "1.21", ""),
        ("ROUND(engine_speed)", "83", "0"),
        ("FLOOR(-engine_speed)", "-83", "0"),
        ("CEIL(oil)", "4", ""),
        ("CEILING(oil)", "4", ""),
        ("MOD(oil, 2)", "1.25", ""),
        ("CAST(fuel_consumed AS DOUBLE) = 0.1", "0", "0"), // the nearest double is not a tenth
        ("CAST(oil AS DOUBLE)", "3.25", ""),
        ("timestamp > '2023-04-10 01:00:00'", "0", "1"),
        ("timestamp = '2023-04-10 01:00:01.5'", "0", "1"),
        ("'2023-04-10' < timestamp", "1", "1"),
        ("timestamp BETWEEN '2023-04-10 00:00:00' AND '2023-04-10 01:00:00'", "1", "0"),
        ("timestamp IN ('2023-04-10 01:00:00')", "1", "0"),
        ("timestamp < TIMESTAMP '2023-04-10 01:00:01'", "1", "0"),
        ("timestamp - '2023-04-10 00:59:59.5'", "0.5", "2"),
        ("timestamp - INTERVAL '1 hour' = '2023-04-10'", "1", "0"),
        (
            "INTERVAL '1 day 30 minutes' + timestamp",
            "2023-04-11 01:30:00.000000",
            "2023-04-11 01:30:01.500000",
        ),
        (
            "CASE WHEN engine_speed > 0 THEN timestamp ELSE '1970-01-01' END",
            "2023-04-10 01:00:00.000000",
            "1970-01-01 00:00:00.000000",
        ),
        ("TRUE", "1", "1"),
        ("'x'", "x", "x"),
    ] {
        // A double is printed with a decimal point, a decimal without.
        let shown = lines(None, &[&format!("{text} AS c")]);
        let is = |line: &str, expected: &str| match expected.parse::<f64>() {
            Ok(number) => line.parse() == Ok(number),
            // A line is not empty.
            Err(_) => line.trim_matches('"') == expected,
        };
        let fits: Vec<bool> = shown.lines().zip([first, second]).map(|(a, b)| is(a, b)).collect();
        assert_eq!(fits, [true, true], "{text}: {shown:?}");
    }
}

#[test]
fn errors_have_a_position() {
    let of_filter =
        |text: &str| condition("message.only", text, &settings().schema).map(drop).unwrap_err().to_string();
    for (text, said) in [
        (
            "engine_speed > fuel",
            "configuration: message.only, column 16: unknown field `fuel`; expected one of timestamp, distance_covered, \
             engine_speed, fuel_consumed, truck_id, driver, oil, or a field declared in [record]",
        ),
        ("t.engine_speed > 1", "column 1: unknown field `t.engine_speed`"),
        ("engine_speed > 'x'", "column 16: a text cannot be compared with a number"),
        ("'x' < engine_speed", "column 7: a number cannot be compared with a text"),
        ("truck_id + 1 > 2", "column 1: `+` takes numbers, not a text"),
        ("1 + truck_id > 2", "column 5: `+` takes numbers, not a text"),
        ("engine_speed", "column 1: a number is not a condition; compare it with a value"),
        ("NULL", "column 1: NULL is not a condition"),
        ("engine_speed AND TRUE", "column 1: AND takes a condition, not a number"),
        ("TRUE AND TRUE AND 5", "column 19: AND takes a condition, not a number"),
        ("engine_speed > 1 AND AVG(oil) > 2", "column 22: AVG aggregates rows, and has no place here"),
        ("SQRT(oil) > 2", "column 1: unknown function SQRT; expected one of ABS"),
        ("ABS(oil, 1) > 2", "column 1: ABS takes one number, not 2 arguments"),
        ("ABS(truck_id) > 2", "column 5: ABS takes numbers, not a text"),
        ("ROUND(oil, -1) > 2", "column 13: ROUND takes 0 to 22 decimal places"),
        ("oil IN (SELECT 1)", "subqueries in expressions are not supported"),
        ("oil = (SELECT 1)", "subqueries in expressions are not supported"),
        ("EXISTS (SELECT 1)", "subqueries in expressions are not supported"),
        ("oil >", "column 6: the text ends too early; expected an expression"),
        ("(oil > 1", "column 9: the text ends too early; expected )"),
        ("oil > > 1", "column 7: unexpected `>`; expected an expression"),
        ("oil > 1 oil", "column 9: unexpected `oil`"),
        ("oil > 1;", "column 8: unexpected `;`"),
        ("oil > 1 AS x", "column 9: unexpected `AS`; expected an operator"),
        ("truck_id = \"a\"", "column 12: unknown field `\"a\"`"),
        ("driver = 'x", "column 10: unterminated string literal"),
        ("  ", "the text is empty"),
        ("oil >\n  fuel", "line 2, column 3: unknown field `fuel`"),
        ("oil IN (1, 'x')", "column 12: a text cannot be compared with a number"),
        ("oil BETWEEN 1 AND 'x'", "column 19: a text cannot be compared with a number"),
        ("oil LIKE '3%'", "column 1: LIKE takes a text, not a number"),
        ("driver LIKE truck_id", "column 13: LIKE takes a pattern in quotes"),
        ("driver LIKE 'a' ESCAPE 'bc'", "column 24: ESCAPE takes one character"),
        ("CASE WHEN oil THEN TRUE END", "column 11: WHEN takes a condition, not a number"),
        ("CASE WHEN TRUE THEN 1 ELSE 'x' END = 1", "column 28: a text cannot be combined with a number"),
        ("CASE oil WHEN 'x' THEN TRUE END", "column 15: a text cannot be compared with a number"),
        (
            "CASE oil WHEN 1 THEN 1 WHEN 2 THEN 'x' END = 1",
            "column 36: a text cannot be combined with a number",
        ),
        ("timestamp > 'soon'", "column 13: 'soon' is not a time; give 'YYYY-MM-DD'"),
        ("timestamp > '2023-02-30 00:00:00'", "column 13: '2023-02-30 00:00:00' is not a time"),
        ("timestamp > 5", "column 13: a number cannot be compared with a timestamp"),
        ("timestamp + 5 > 1", "column 1: `+` takes numbers, not a timestamp"),
        ("timestamp - 'soon' > 1", "column 13: 'soon' is not a time"),
        ("timestamp + INTERVAL '1 year' > '2023-01-01'", "give a number and one of microsecond"),
        (
            "oil > 1234567890123456789012345678901234567890",
            "column 7: 1234567890123456789012345678901234567890 is out of range",
        ),
        ("oil > 1e-39", "column 7: 1e-39 is out of range"),
        ("oil > 1e39", "column 7: 1e39 is out of range"),
        ("oil > x'ff'", "column 7: unsupported literal `X'ff'`"),
        ("oil || 'x' = 'y'", "column 1: unknown operator `||`; expected one of +"),
        ("CAST(oil AS CHAR) = '1'", "CAST to CHAR is not supported; use CAST(… AS DOUBLE)"),
        ("driver RLIKE 'x'", "column 1: RLIKE and REGEXP are not supported"),
        ("driver SIMILAR TO 'x'", "column 1: `driver SIMILAR TO 'x'` is not supported; expected one of +"),
        ("oil > ?", "column 7"),
        ("NOW() > timestamp", "column 1: unknown function NOW"),
    ] {
        let error = of_filter(text);
        assert!(error.contains(said) && !error.contains('\n'), "{text}\n  {error}");
        assert!(error.starts_with("configuration: message.only, "), "{error}");
    }
}

#[test]
fn errors_of_columns_and_relations_have_a_position() {
    let fields = "timestamp, distance_covered, engine_speed, fuel_consumed, truck_id, driver, oil";
    for (query, said) in [
        (
            "SELECT truck_id, oil * 2 FROM readings",
            "line 2, column 18: an expression needs a name; add AS and",
        ),
        ("SELECT oil AS 1a FROM readings", "line 2, column 15: "),
        ("SELECT oil AS `a b` FROM readings", "line 2, column 15: `a b` is not a valid column name"),
        ("SELECT oil AS Row_Key FROM readings", "column 15: every table already has a column `Row_Key`"),
        ("SELECT oil, truck_id AS OIL FROM readings", "column 25: another column has the name `OIL`"),
        ("SELECT *, oil FROM readings", "column 11: another column has the name `oil`"),
        ("SELECT NULL AS x FROM readings", "column 8: it is always NULL"),
        (
            "SELECT oil AS id, oil AS Row_ID FROM readings",
            "column 26: a table with a column `id` has a column",
        ),
        (
            "SELECT x FROM readings",
            &format!(
                "line 2, column 8: unknown field `x`; expected one of {fields}, or a field declared in [record]"
            ),
        ),
        ("SELECT x FROM (SELECT oil FROM readings) y", "column 8: unknown column `x`; expected one of oil"),
        ("SELECT z.oil FROM readings y", "column 8: unknown field `z.oil`"),
        ("SELECT y.* FROM readings", "column 8: unknown relation `y`; expected `readings`"),
        (
            "SELECT oil FROM nope",
            "column 17: unknown relation `nope`; expected one of readings: a view sees those above it",
        ),
        ("SELECT oil FROM hot", "column 17: unknown relation `hot`"),
        ("SELECT oil FROM a.b", "column 17: `a.b` is not a name"),
        ("SELECT 1 AS x", "line 2, column 1: it reads nothing; add FROM readings"),
        ("SELECT oil FROM readings WHERE oil", "column 32: a number is not a condition"),
        (
            "SELECT oil FROM readings WHERE AVG(oil) > 1",
            "column 32: AVG aggregates rows, and has no place here",
        ),
        (
            "SELECT oil FROM readings ORDER BY oil",
            "ORDER BY is not supported; leave it out, as a view has no order",
        ),
        ("SELECT oil FROM readings LIMIT 5", "LIMIT is not supported; leave it out"),
        ("SELECT DISTINCT ON (oil) oil FROM readings", "DISTINCT ON is not supported"),
        ("SELECT oil FROM readings GROUP BY ALL", "GROUP BY ALL or WITH ROLLUP is not supported"),
        (
            "SELECT oil FROM readings HAVING oil > 1",
            "column 8: `oil` differs within a group; add it to GROUP BY",
        ),
        ("SELECT oil, COUNT(*) AS n FROM readings", "column 8: `oil` differs within a group"),
        (
            "SELECT driver, COUNT(*) AS n FROM readings GROUP BY 1",
            "column 53: `1` is a number; GROUP BY takes",
        ),
        (
            "SELECT driver, COUNT(*) AS n FROM readings GROUP BY driver HAVING n > 1",
            "column 67: `n` is a name that SELECT gives; write what it stands for: `COUNT(*)`",
        ),
        (
            "SELECT COUNT(*) AS n FROM TUMBLE((SELECT timestamp, oil AS window_end FROM readings), timestamp, INTERVAL '1 hour') GROUP BY window_start",
            "`window_end` is a column of what TUMBLE reads, and would be one of its windows",
        ),
        ("SELECT * FROM readings GROUP BY driver", "`*` differs within a group"),
        ("SELECT COUNT(*) FROM readings", "column 8: an expression needs a name; add AS and a name"),
        ("SELECT SUM(driver) AS s FROM readings", "column 12: SUM takes numbers, not a text"),
        ("SELECT SUM(oil, oil) AS s FROM readings", "column 8: SUM takes one expression, not 2 arguments"),
        (
            "SELECT SUM(COUNT(*)) AS s FROM readings",
            "column 12: COUNT aggregates rows, and has no place here",
        ),
        ("SELECT CORR(oil) AS s FROM readings", "CORR takes two expressions, not 1 argument"),
        ("SELECT MEDIAN(oil) AS s FROM readings", "MEDIAN keeps all values of a group, so it needs a window"),
        ("SELECT AVG(oil) OVER () AS s FROM readings", "AVG with OVER is not supported; use GROUP BY"),
        ("SELECT VARIANCE(oil) AS s FROM readings", "VARIANCE is not supported; expected one of COUNT, SUM"),
        (
            "SELECT PERCENTILE_CONT(2) WITHIN GROUP (ORDER BY oil) AS s FROM TUMBLE(readings, timestamp, INTERVAL '1 hour') GROUP BY window_start",
            "column 24: PERCENTILE_CONT takes a number from 0 to 1",
        ),
        ("SELECT oil FROM readings, readings", "more than one relation in FROM is not supported; use JOIN"),
        ("SELECT oil FROM readings JOIN readings b ON TRUE", "JOIN needs an equality of columns"),
        ("SELECT b.oil FROM readings JOIN readings ON oil = oil", "both relations have the name `readings`"),
        (
            "SELECT oil FROM readings a JOIN readings b ON a.oil = b.oil",
            "column 8: `oil` may be a.oil or b.oil; write which one",
        ),
        ("SELECT a.oil FROM readings a LEFT JOIN readings b ON a.oil = b.oil", "LEFT JOIN is not supported"),
        (
            "SELECT FIRST_VALUE(a.oil) AS f FROM readings a JOIN readings b ON a.driver = b.driver GROUP BY a.driver",
            "column 8: FIRST_VALUE goes by event time, which these rows do not have",
        ),
        (
            "SELECT oil FROM readings UNION ALL SELECT driver FROM readings",
            "column `oil` of the UNION: a text cannot be combined with a number",
        ),
        (
            "SELECT oil FROM readings UNION ALL SELECT oil, driver FROM readings",
            "a UNION have 1 and 2 columns",
        ),
        ("SELECT oil FROM readings EXCEPT SELECT oil FROM readings", "EXCEPT is not supported"),
        ("WITH x AS (SELECT 1) SELECT oil FROM readings", "WITH is not supported; give each of its queries"),
        ("SELECT oil FROM TUMBLE(readings, 5)", "TUMBLE is written TUMBLE(relation, time, INTERVAL"),
        (
            "SELECT oil FROM TUMBLE(readings, oil, INTERVAL '1 hour')",
            "TUMBLE takes a time as its second argument",
        ),
        (
            "SELECT oil FROM TUMBLE(readings, timestamp, INTERVAL '1 month')",
            "give a number and one of microsecond",
        ),
        (
            "SELECT oil FROM TUMBLE(readings, timestamp, INTERVAL '0 hours')",
            "TUMBLE takes an INTERVAL above 0",
        ),
        ("SELECT oil FROM GROW(readings, 5)", "unknown function GROW in FROM; expected one of TUMBLE, HOP"),
        ("SELECT oil FROM TUMBLE(readings, timestamp, INTERVAL '1 hour')", "a window in FROM needs GROUP BY"),
        (
            "SELECT COUNT(*) AS n FROM TUMBLE(readings, timestamp, INTERVAL '1 hour') GROUP BY driver",
            "a window in FROM needs GROUP BY with window_start",
        ),
        (
            "SELECT COUNT(*) AS n FROM SESSION(readings, timestamp, INTERVAL '1 hour') WHERE oil > 1 GROUP BY window_start",
            "WHERE behind SESSION is not supported",
        ),
        (
            "SELECT COUNT(*) AS n FROM TUMBLE(readings, timestamp, INTERVAL '1 hour') WHERE window_start > timestamp GROUP BY window_start",
            "`window_start` can only be in GROUP BY",
        ),
        ("SELECT timestamp + oil AS x FROM readings", "column 8: `+` takes numbers, not a timestamp"),
        ("SELECT oil + INTERVAL '1 hour' AS x FROM readings", "column 8: an INTERVAL is added to a time"),
        (
            "SELECT oil FROM readings FOR UPDATE",
            "a part of this query is not supported; what is supported of it is",
        ),
        ("SELECT oil INTO x FROM readings", "a part of this query is not supported"),
        ("VALUES (1)", "this statement is not supported; give a SELECT"),
        (
            "SELECT oil FROM readings; SELECT 1",
            "line 2, column 27: `SELECT` is not supported here; give CREATE VIEW",
        ),
        ("SELECT oil FROM readings nonsense more", "unexpected `more`; expected `;` and the next statement"),
    ] {
        let error = views(&format!("CREATE MATERIALIZED VIEW hot AS\n{query}")).map(drop).unwrap_err();
        assert!(error.contains(said) && !error.contains('\n'), "{query}\n  {error}");
        assert!(error.starts_with("configuration views.sql line "), "{error}");
    }
    let long = "x".repeat(61);
    let text = format!("CREATE VIEW hot AS SELECT oil AS {long} FROM readings");
    assert!(views(&text).map(drop).unwrap_err().contains("at most 60"));
    let many: Vec<String> = (0..1001).map(|n| format!("oil AS c{n}")).collect();
    let text = format!("CREATE VIEW hot AS SELECT {} FROM readings", many.join(", "));
    let error = views(&text).map(drop).unwrap_err();
    assert!(error.contains("tokens") || error.contains("at most 1000"), "{error}");
}

#[test]
fn views_of_views_are_bounded() {
    let chain = |count: usize, step: &str| {
        let mut text =
            String::from("CREATE VIEW v0 AS SELECT oil AS x FROM readings WHERE oil IS NOT NULL;\n");
        for view in 1..=count {
            text += &format!("CREATE VIEW v{view} AS SELECT {step} AS x FROM v{};\n", view - 1);
        }
        text + &format!("CREATE MATERIALIZED VIEW last AS SELECT x FROM v{count}")
    };
    // Each level is a subtraction and what makes its operands alike.
    let deep = views(&chain(250, "0 - x")).unwrap();
    assert_eq!(lines_of(&deep[0]), "3.25\n");
    for (count, step) in [(1_000, "0 - x"), (64, "x + x"), (64, "CASE WHEN x > 0 THEN x ELSE x END")] {
        let error = views(&chain(count, step)).map(drop).unwrap_err();
        assert!(error.contains("with the views that it reads it has "), "{error}");
    }
    let columns = |count: usize, step: &str| {
        (0..count).map(|column| format!("{step} AS c{column}")).collect::<Vec<_>>().join(", ")
    };
    let wide = format!("CREATE VIEW w AS SELECT {} FROM readings;\n", columns(150, "oil + 1 - 2"));
    let all = (0..150).map(|column| format!("c{column}")).collect::<Vec<_>>().join(", ");
    let text = format!(
        "{wide}CREATE MATERIALIZED VIEW v AS SELECT {} FROM (SELECT COALESCE({all}) AS s FROM w)",
        columns(150, "s")
    );
    let error = views(&text).map(drop).unwrap_err();
    assert!(error.contains("the view has ") && error.contains("at most 100000 are supported"), "{error}");
    let many: String = (0..2_000).map(|view| format!("CREATE VIEW v{view} AS SELECT * FROM w;\n")).collect();
    let error = views(&format!("{wide}{many}")).map(drop).unwrap_err();
    assert!(error.contains("the views up to here have "), "{error}");
}

#[test]
fn an_error_shows_its_place_in_the_text() {
    let excerpt = |text: &str| match Script::parse("v", text, &Parameters::new())
        .and_then(|script| compile(&script, &none()))
    {
        Err(ConfigError::Views { excerpt, .. }) => excerpt.unwrap_or_default(),
        other => panic!("{other:?}"),
    };
    let text = "CREATE VIEW a AS\nSELECT\toil,\tnope FROM readings";
    assert_eq!(excerpt(text), "    SELECT oil, nope FROM readings\n                ^");
    let long = format!("CREATE VIEW a AS SELECT {}nope FROM readings", "oil + ".repeat(50));
    let shown = excerpt(&long);
    let (line, caret) = shown.split_once('\n').unwrap();
    assert_eq!((line.len(), &line[caret.len() - 1..][..4]), (4 + 60 + 18, "nope"), "{shown}");
    assert_eq!(excerpt("CREATE VIEW"), "    CREATE VIEW\n               ^");
}

#[test]
fn errors_of_statements_have_a_position() {
    let select = "SELECT oil FROM readings";
    for (text, said) in [
        (String::new(), "line 1, column 1: it has no view"),
        (" -- nothing\n;".into(), "line 1, column 1: it has no view"),
        ("DROP VIEW x".into(), "line 1, column 1: `DROP` is not supported here"),
        ("CREATE TABLE x (a INT)".into(), "`CREATE` is not supported here; give CREATE VIEW"),
        (format!("CREATE VIEW readings AS {select}"), "column 13: `readings` is the record"),
        (
            format!("CREATE VIEW a AS {select};\nCREATE VIEW A AS {select}"),
            "line 2, column 13: another view has the name `a`",
        ),
        (
            format!("CREATE OR ALTER VIEW a AS {select}"),
            "CREATE OR ALTER is not supported; write CREATE OR REPLACE",
        ),
        (format!("CREATE VIEW a (b) AS {select}"), "a list of columns behind the name is not supported"),
        (format!("CREATE VIEW IF NOT EXISTS a AS {select}"), "IF NOT EXISTS or TEMPORARY is not supported"),
        (format!("CREATE VIEW a.b AS {select}"), "`a.b` is not a name"),
        (format!("CREATE VIEW a WITH (csv = false) AS {select}"), "only a view with sinks has options"),
        (
            format!("CREATE MATERIALIZED VIEW a WITH (colour = 'red') AS {select}"),
            "unknown option `colour`; expected one of table, csv, keep, emit, grace",
        ),
        (
            format!("CREATE MATERIALIZED VIEW a WITH (csv = 'no') AS {select}"),
            "`csv` takes true or false, not `'no'`",
        ),
        (
            format!("CREATE MATERIALIZED VIEW a WITH (table = true) AS {select}"),
            "`table` takes the name of a table in quotes, or false",
        ),
        ("CREATE VIEW a AS".into(), "the text ends too early"),
    ] {
        let error = views(&text).map(drop).unwrap_err();
        assert!(error.contains(said) && !error.contains('\n'), "{text}\n  {error}");
        assert!(error.starts_with("configuration views.sql line "), "{error}");
    }
}

#[test]
fn a_step_waits_as_long_as_the_view_that_reads_it() {
    let text = "
        CREATE VIEW hours AS SELECT truck_id, window_start AS hour, COUNT(*) AS n
        FROM TUMBLE(readings, timestamp, INTERVAL '1 hour') GROUP BY truck_id, window_start;
        CREATE MATERIALIZED VIEW usual AS SELECT truck_id, SUM(n) AS n FROM hours GROUP BY truck_id;
        CREATE MATERIALIZED VIEW patient WITH (grace = '48h', idle = '1m') AS
        SELECT truck_id, MAX(n) AS n FROM hours GROUP BY truck_id;
        CREATE MATERIALIZED VIEW reader WITH (grace = '1h') AS SELECT truck_id, n FROM usual WHERE n > 1;";
    let hour = 3_600_000_000;
    let waits = views(text).unwrap().into_iter().map(|view| {
        let grace = std::cell::Cell::new(0);
        view.relation.any(&|one| {
            if let Relation::Aggregate(aggregate) = one
                && let Some(window) = &aggregate.window
            {
                grace.set(window.patience.grace / hour);
            }
            false
        });
        grace.get()
    });
    assert_eq!(waits.collect::<Vec<_>>(), [24, 48, 24]);
}

#[test]
fn group_by_takes_a_name_that_select_gives_to_a_bound_of_the_window() {
    let of = |keys: &str| {
        let text = format!(
            "CREATE MATERIALIZED VIEW v AS SELECT truck_id, window_start AS hour, COUNT(*) AS n
             FROM TUMBLE(readings, timestamp, INTERVAL '1 hour') GROUP BY truck_id, {keys}"
        );
        views(&text).unwrap().remove(0).relation
    };
    assert_eq!(of("hour"), of("window_start"));
}

#[test]
fn parameters_stand_for_their_values() {
    let parameters: Parameters =
        toml::from_str("limit = 82\nleast = -0.5\nname = \"a\"\ngap = \"5 minutes\"\non = true\nlist = []")
            .unwrap();
    let made = |text: &str| {
        let script = Script::parse("views.sql", text, &parameters)?;
        compile(&script, &none()).map(|own| own.views)
    };
    let text = "CREATE MATERIALIZED VIEW v WITH (table = $name, csv = $on) AS
        SELECT truck_id, engine_speed + $least AS x FROM readings WHERE engine_speed > $limit AND truck_id = $name;
        CREATE MATERIALIZED VIEW w WITH (keep = 'latest') AS
        SELECT COUNT(*) AS n FROM TUMBLE(readings, timestamp, INTERVAL $gap) GROUP BY window_start";
    let views = made(text).unwrap();
    assert_eq!((&*views[0].table, lines_of(&views[0])), ("a", "a,82\n".to_owned()));
    // With another value it is another view.
    assert!(views[0].definition.contains("engine_speed > 82 AND truck_id = 'a'"), "{}", views[0].definition);
    assert!(views[1].definition.contains("INTERVAL '5 minutes'"), "{}", views[1].definition);
    for (text, said) in [
        (
            "CREATE VIEW v AS SELECT $limits AS x FROM readings",
            "column 25: `$limits` is no parameter; set `limits` in",
        ),
        (
            "CREATE VIEW v AS SELECT $list AS x FROM readings",
            "column 25: parameter `list` has to be a number, a text",
        ),
    ] {
        let error = made(text).map(drop).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_text_that_is_too_deep_is_an_error() {
    for text in [
        "(".repeat(100_000),
        format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("{}1{} > 0", "(".repeat(900), ")".repeat(900)),
        format!("{}TRUE", "NOT ".repeat(1_900)),
        format!("{}1 > 0", "- ".repeat(1_900)),
        format!("1{} > 0", " + 1".repeat(900)),
        format!("1{} > 0", " + 1".repeat(100_000)),
        format!("{}1{} > 0", "ABS(".repeat(600), ")".repeat(600)),
        format!("{}1{} > 0", "CASE WHEN TRUE THEN ".repeat(300), " END".repeat(300)),
        format!("TRUE{}", " = TRUE".repeat(900)),
        format!("TRUE{}", " IS TRUE".repeat(900)),
        format!("oil{}", " IN (1)".repeat(400)),
        format!("oil{} > 0", "[1]".repeat(600)),
        format!("'{}'", "x".repeat(100_000)),
    ] {
        let error = condition("only", &text, &settings().schema).map(drop).unwrap_err().to_string();
        assert!(error.len() < 400 && !error.contains('\n'), "{error}");
        let text = format!("CREATE VIEW x AS SELECT oil FROM readings WHERE {text}");
        let error = views(&text).map(drop).unwrap_err();
        assert!(error.len() < 400 && !error.contains('\n'), "{error}");
    }
    // Realistic texts are far below the limits.
    let many = vec!["engine_speed = 1"; 400].join(" OR ");
    view(Some(&many), &["truck_id"]);
    let nested = format!("{}oil{} > 0", "(".repeat(30), ")".repeat(30));
    view(Some(&nested), &["truck_id"]);
}
