//! CSV.

use super::{Reader, job, message, read};
use truckflow::decode::Decode;

const RECORD: &str = "preset = \"none\"\ntime = \"t\"\n[record]\nt = { type = \"timestamp\", unit = \"s\" }\nv = \"number\"\nnote = { type = \"text\", path = \"note, free\" }";

#[test]
fn a_message_has_lines_of_named_columns() {
    let config = format!("[message]\nformat = \"csv\"\ncolumns = [\"t\", \"v\", \"note, free\"]\n{RECORD}");
    for (payload, expected) in [
        ("0,1.5,x", "v=1.5 note=x"),
        ("0,1.5,x\n", "v=1.5 note=x"),
        ("\u{feff}0,1.5,x\r\n", "v=1.5 note=x"),
        ("0,,", "nothing"),
        ("0,\"\",\"\"", "nothing"),
        ("0, 1.5 , x ", "v=1.5 note= x "),
        ("0,1,\"a, \"\"b\"\"\nc\"", "v=1 note=a, \"b\"\nc"),
        ("0,1,a\n\n0,2,b\n", "v=1 note=a; v=2 note=b"),
        (",1,a", "missing_field t"),
        ("0,fast,a", "wrong_type v"),
        ("0,NaN,a", "not_finite v"),
        ("0,1", "not_an_object"),
        ("0,1,a,b", "not_an_object"),
        ("", "not_an_object"),
        ("0,1,a\n0,x,b\n0", "v=1 note=a; wrong_type v @1 0,x,b; not_an_object @2 0"),
    ] {
        assert_eq!(read(&config, payload), expected, "{payload}");
    }
}

#[test]
fn without_names_the_first_line_has_them() {
    let config = format!("[message]\nformat = \"csv\"\nseparator = \";\"\n{RECORD}");
    for (payload, expected) in [
        ("t;v;\"note, free\"\n0;1;x\n0;2;y\n", "v=1 note=x; v=2 note=y"),
        ("\u{feff} t ; v\n0;1", "v=1"),
        ("v;t;other;v\n1;0;z;2", "v=2"),
        ("V;t\n1;0", "nothing"),
        ("t;v\n", ""),
        ("t;v\n0;1;2", "not_an_object"),
    ] {
        assert_eq!(read(&config, payload), expected, "{payload}");
    }
    // The header of a file counts for all its lines.
    let job = job(&config);
    let mut reader = Reader::new(&job);
    reader.decoder.header("\u{feff}v; t \r\n".as_bytes());
    assert_eq!(reader.read(&message(b"1;0")), "v=1");
    assert_eq!(reader.read(&message(b"2;0\n")), "v=2");
    assert_eq!(reader.read(&message(b"2")), "not_an_object");
    reader.decoder.header(b"t;v;x");
    assert_eq!(reader.read(&message(b"0;3;")), "v=3");
}

#[test]
fn a_value_may_contain_json_and_null_texts_are_listed() {
    let config = "[message]\nformat = \"csv\"\nseparator = \"\\t\"\ncolumns = [\"t\", \"json\"]\nnull = [\"-\"]\npreset = \"none\"\ntime = \"t\"\n[record]\nt = { type = \"timestamp\", unit = \"s\" }\njson = \"text\"\nrpm = { type = \"integer\", path = [\"json\", \"/rpm\"] }";
    assert_eq!(read(config, "0\t-"), "nothing");
    assert_eq!(read(config, "0\t{\"\"rpm\"\": 7}"), "json={\"\"rpm\"\": 7}");
    assert_eq!(read(config, "0\t\"{\"\"rpm\"\": 7}\""), "json={\"rpm\": 7} rpm=7");
}
