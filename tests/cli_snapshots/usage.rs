//! Arguments that no command takes.

use crate::session::Session;

#[test]
fn arguments_that_are_missing_unknown_or_exclude_each_other() {
    let mut wrong = Session::new();
    for line in [
        "",
        "rnu",
        "run --brokrs x",
        "run --workers",
        "run --workers many",
        "run --workers -1",
        "run --log-format xml",
        "run --json --summary",
        "run --set workers",
        "run extra",
        "config",
        "config init --force",
        "state",
        "state export",
        "explain --format svg",
        "explain --format dot --json",
        "completions csh",
        "man",
        "bench --runs 0",
        "bench --records 0",
        "bench --seconds 86401",
    ] {
        wrong.run(line);
    }
    wrong.is_page("arguments");
}

#[test]
fn values_that_a_flag_does_not_take() {
    let mut wrong = Session::new();
    for line in [
        "simulate --trucks 0",
        "simulate --records -5",
        "simulate --rate fast",
        "simulate --rate 0",
        "simulate --start yesterday",
        "simulate --records 1 --to topic --topic ^fleet-",
        "simulate --truck-prefix a\"b",
        "simulate --format xml",
        "simulate --resume-password-file secret",
        "simulate --to topic --property compression.type",
        "replay",
        "replay file --rate -1",
        "replay file --property-file sasl.password",
        "replay file --property-file sasl.password=missing",
        "top --sort size",
        "top https://jobs.example/",
        "top a:b:c",
    ] {
        wrong.run(line);
    }
    wrong.is_page("values_of_flags");
}
