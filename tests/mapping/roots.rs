//! Where the readings of a message are, and texts within texts.

use super::{only, read};

fn rooted(root: &str, record: &str) -> String {
    only(&format!("root = {root}"), record)
}

#[track_caller]
fn rows(config: &str, rows: &[(&str, &str)]) {
    for (payload, expected) in rows {
        assert_eq!(read(config, payload), *expected, "{payload}");
    }
}

#[test]
fn a_root_without_an_object_is_one_dead_letter() {
    let config = rooted("\"/a/b\"", "v = \"number\"");
    rows(
        &config,
        &[
            (r#"{"a":{"b":{"t":0,"v":1}}}"#, "v=1"),
            (r#"{"a":{}}"#, "not_an_object"),
            (r#"{"a":{"b":null}}"#, "not_an_object"),
            (r#"{"a":{"b":7}}"#, "not_an_object"),
            (r#"{"a":5}"#, "not_an_object"),
            (r#"{"a":{"b":{"t":0}},"a":5}"#, "not_an_object"),
            (r#"{}"#, "not_an_object"),
            (r#""text""#, "not_an_object"),
            ("null", "not_an_object"),
            ("", "not_an_object"),
        ],
    );
}

#[test]
fn an_array_at_the_root_is_a_reading_for_each_element() {
    let rest = r#"v = { type = "number", path = "/1" }
                  named = { type = "number", path = "v" }"#;
    let config = only("", rest).replace("unit = \"s\"", "unit = \"s\", path = \"/0\"");
    // Without a root the whole message may be an array. An element that is an array is read by indices.
    rows(
        &config,
        &[
            ("[]", ""),
            ("[[0,5],[0,6,7]]", "v=5; v=6"),
            ("[(0,5),]", "not_an_object"),
            ("((0,5),)", "v=5"),
            (r#"[{"0":0,"v":1}]"#, "named=1"),
            ("[[0,5],null,3,[]]", "v=5; not_an_object @1 null; not_an_object @2 3; missing_field t @3 []"),
            ("[[0,5]] [[0,6]]", "v=5; v=6"),
        ],
    );
    let config =
        rooted("\"/r\"", "v = \"number\"\nid = { type = \"text\", path = \"/id\", in = \"message\" }");
    rows(
        &config,
        &[
            (r#"{"id":"a","r":[]}"#, ""),
            (r#"{"r":[{"t":0,"v":1},{"t":0,"v":2}],"id":"a"}"#, "v=1 id=a; v=2 id=a"),
            (r#"{"r":[{"t":0,"v":1}],"id":"a","r":{"t":0,"v":3}}"#, "v=3 id=a"),
            (
                r#"{"id":"a","r":[{"t":0,"v":1},{"t":0, "v":"x"},{"v":2}]}"#,
                r#"v=1 id=a; wrong_type v @1 {"t":0, "v":"x"}; missing_field t @2 {"v":2}"#,
            ),
            // What is alone in its message has the whole of it.
            (r#"{"id":"a","r":[{"t":0,"v":"x"}]}"#, "wrong_type v"),
            // Two objects in one message.
            ("{\"id\":\"a\",\"r\":{\"t\":0}}\n{\"id\":\"b\",\"r\":{\"t\":0}}", "id=a; id=b"),
        ],
    );
}

#[test]
fn a_star_in_the_root_goes_through_all_elements() {
    let config = rooted(
        "\"/units/*/gps\"",
        "v = \"number\"\nunit = { type = \"text\", from = \"root.key\" }\nat = { type = \"text\", path = \"/at\", in = \"message\" }",
    );
    rows(
        &config,
        &[
            (
                r#"{"units":{"a":{"gps":{"t":0,"v":1}},"b":{"gps":[{"t":0,"v":2},{"t":0,"v":3}]}},"at":9}"#,
                "v=1 unit=a at=9; v=2 unit=b at=9; v=3 unit=b at=9",
            ),
            (r#"{"units":[{"gps":{"t":0,"v":1}},{"gps":{"t":0}}]}"#, "v=1 unit=0; unit=1"),
            (r#"{"units":{}}"#, ""),
            (r#"{"units":[]}"#, ""),
            (r#"{"units":{"a":{"gps":[]}}}"#, ""),
            // No element is dropped silently.
            (
                r#"{"units":{"a":{"gps":{"t":0}},"b":{},"c":7}}"#,
                "unit=a; not_an_object @1 {}; not_an_object @2 7",
            ),
            (r#"{"units":{"a":{}}}"#, "not_an_object"),
            (r#"{"units":5}"#, "not_an_object"),
            (r#"{"units":null}"#, "not_an_object"),
            (r#"{}"#, "not_an_object"),
            (
                r#"{"units":{"a":{"gps":{"t":0,"v":1}},"b":{"gps":{"t":0}},"a":{"gps":{"t":0,"v":2}}}}"#,
                "unit=b; v=2 unit=a",
            ),
        ],
    );
    // A key may be used by a path, too. The last of equal keys counts for both.
    let config =
        rooted("\"/*\"", "v = \"number\"\nof_a = { type = \"number\", path = \"/a/v\", in = \"message\" }");
    rows(
        &config,
        &[
            (r#"{"a":{"t":0,"v":1},"b":{"t":0,"v":2}}"#, "v=1 of_a=1; v=2 of_a=1"),
            (r#"{"a":{"t":0,"v":1},"a":{"t":0}}"#, "nothing"),
        ],
    );
    // Without `*` in the root it is a key.
    rows(&only("", "v = { type = \"number\", path = \"/*\" }"), &[(r#"{"t":0,"*":4}"#, "v=4")]);
}

#[test]
fn each_pointer_of_a_list_is_followed_in_the_text_of_the_one_before() {
    let config = only(
        "",
        r#"v = { type = "number", path = ["/data", "/a/0", ""] }
           w = { type = "text", path = ["/data", "/b"] }"#,
    );
    rows(
        &config,
        &[
            (r#"{"t":0,"data":"{\"b\":\"x\",\"a\":[\"7.5\"]}"}"#, "v=7.5 w=x"),
            (r#"{"t":0,"data":"{'b': True}"}"#, "w=True"),
            // Base64 of {"b":1.50}
            (r#"{"t":0,"data":"eyJiIjoxLjUwfQ=="}"#, "w=1.50"),
            (r#"{"t":0,"data":"eyJiIjoxLjUwfQ"}"#, "w=1.50"),
            (r#"{"t":0,"data":{"b":"x"}}"#, "nothing"),
            (r#"{"t":0,"data":"{\"b\":\"x\""}"#, "nothing"),
            (r#"{"t":0,"data":""}"#, "nothing"),
            (r#"{"t":0,"data":null}"#, "nothing"),
            (r#"{"t":0,"data":"{\"b\":[]}"}"#, "wrong_type w"),
        ],
    );
}

#[test]
fn a_root_may_be_within_a_text() {
    let config = rooted(
        r#"["/payload", "/r"]"#,
        r#"v = "number"
           raw = { type = "text", path = "/payload", in = "message" }
           id = { type = "text", path = ["/payload", "/id"], in = "message" }
           through = { type = "text", path = "/payload/id", in = "message" }"#,
    );
    rows(
        &config,
        &[
            (r#"{"payload":"{'id':1,'r':{'t':0,'v':2}}"}"#, "v=2 raw={'id':1,'r':{'t':0,'v':2}} id=1"),
            // Base64 of {"r":[{"t":0},{"t":"x","v":1.50},null]}
            (
                r#"{"payload":"eyJyIjpbeyJ0IjowfSx7InQiOiJ4IiwidiI6MS41MH0sbnVsbF19"}"#,
                "raw=eyJyIjpbeyJ0IjowfSx7InQiOiJ4IiwidiI6MS41MH0sbnVsbF19; \
                 bad_timestamp t @1 {\"t\":\"x\",\"v\":1.50}; not_an_object @2 null",
            ),
            (r#"{"payload":{"r":{"t":0}}}"#, "not_an_object"),
            (r#"{"payload":null}"#, "not_an_object"),
            (r#"{"payload":"{\"r\":"}"#, "not_an_object"),
            (r#"{"payload":"{\"x\":1}"}"#, "not_an_object"),
            (r#"{}"#, "not_an_object"),
        ],
    );
    let config = rooted(r#"["/*", ""]"#, "v = \"number\"\nkey = { type = \"text\", from = \"root.key\" }");
    rows(
        &config,
        &[
            (
                r#"{"a":"{\"t\":0,\"v\":1}","b":5,"c":"{\"t\":0,\"v\":-Infinity}"}"#,
                r#"v=1 key=a; not_an_object @1 5; not_finite v @2 {"t":0,"v":"-Infinity"}"#,
            ),
            (r#"["{'t':0,'v':1}", "[{'t':0,'v':2}]"]"#, "v=1 key=0; v=2 key=1"),
        ],
    );
}
