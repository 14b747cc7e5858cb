//! `docs/errors.md` lists every error and every log message of the sources: what a user may be told, in one place.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Says what to do with the page: `write` makes it what the code says.
const VARIABLE: &str = "TRUCKFLOW_MESSAGES";
const COMMAND: &str = "TRUCKFLOW_MESSAGES=write cargo test --locked --release --test messages";

/// One message.
struct Message {
    /// The error, as `StoreError::Away`, or the level of a log message.
    kind: String,
    text: String,
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().unwrap() == "tests" {
            continue;
        }
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// The first string literal of a text, as it is printed, and what follows it.
fn literal(text: &str) -> Option<(String, &str)> {
    let mut rest = &text[text.find('"')? + 1..];
    let mut read = String::new();
    loop {
        let at = rest.find(['"', '\\'])?;
        read.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        if rest[at..].starts_with('"') {
            return Some((read, behind));
        }
        let char = behind.chars().next()?;
        rest = &behind[char.len_utf8()..];
        match char {
            '\n' => rest = rest.trim_start(),
            'n' => read.push(' '),
            char => read.push(char),
        }
    }
}

/// The name that a definition begins with, behind attributes and comments.
fn name(text: &str) -> Option<&str> {
    let is_code = |line: &&str| !line.is_empty() && !line.starts_with(['#', '/']);
    let line = text.lines().map(str::trim).find(is_code)?;
    let line = line.trim_start_matches("pub ").trim_start_matches("struct ");
    line.split(|char: char| !char.is_alphanumeric() && char != '_').next()
}

/// The errors that a file defines.
fn errors(code: &str) -> Vec<Message> {
    const ATTRIBUTE: &str = "#[error(";
    let attribute = |(at, _): (usize, &str)| {
        let text = &code[at + ATTRIBUTE.len()..];
        if text.starts_with("transparent") {
            return None;
        }
        let (text, behind) = literal(text)?;
        let definition = &behind[behind.find(")]")? + 2..];
        let before = &code[..at];
        let of = before.rfind("pub enum ").map(|at| &before[at + 9..]);
        let is_variant = code[..at].lines().last().is_some_and(|line| line.starts_with(' '));
        let kind = match (is_variant, of) {
            (true, Some(of)) => format!("{}::{}", name(of)?, name(definition)?),
            _ => name(definition)?.to_owned(),
        };
        Some(Message { kind, text })
    };
    code.match_indices(ATTRIBUTE).filter_map(attribute).collect()
}

/// What a file writes to the log, less details for developers.
fn logged(code: &str) -> Vec<Message> {
    let mut found = Vec::new();
    for level in ["error", "warn", "info"] {
        let begin = format!("tracing::{level}!(");
        for (at, _) in code.match_indices(&begin) {
            // Its last literal: fields may have texts as well.
            let text = &code[at + begin.len()..];
            let mut rest = &text[..text.find(");").unwrap_or(text.len())];
            let mut last = None;
            while let Some((text, behind)) = literal(rest) {
                (last, rest) = (Some(text), behind);
            }
            let is_message =
                |text: &String| text.contains(|char: char| char.is_alphabetic()) && text != "{said}";
            found.extend(last.filter(is_message).map(|text| Message { kind: level.to_owned(), text }));
        }
    }
    found
}

/// The files under `src/` in the order of their paths, each with its code up to its tests.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found.sort();
    let with_code = |path| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned())
    };
    found.into_iter().map(with_code).collect()
}

/// The page.
fn page() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut errors_of, mut logs_of) = (String::new(), String::new());
    for (path, code) in sources() {
        let shown = path.strip_prefix(root).unwrap().display().to_string();
        for (messages, page) in [(errors(&code), &mut errors_of), (logged(&code), &mut logs_of)] {
            if messages.is_empty() {
                continue;
            }
            _ = write!(page, "\n`{shown}`\n\n");
            for Message { kind, text } in messages {
                _ = writeln!(page, "- `{kind}`: {text}");
            }
        }
    }
    format!(
        "# Errors and log messages\n\nMade from the code by `tests/messages.rs`. `{{…}}` stands for a value. A command that fails writes \
         one line, `truckflow: ` and the error, to standard error; its exit status is 1, or 2 for wrong usage or \
         configuration. With `--log-format json` it is a line of the log. \
         `tests/cli_snapshots/snapshots/` has the complete output for many kinds of wrong use.\n\n## Errors\n{errors_of}\n## Log messages\n{logs_of}"
    )
}

#[test]
fn the_page_of_messages_says_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
    if std::env::var(VARIABLE).is_ok_and(|value| value == "write") {
        fs::write(path, page()).unwrap();
    } else {
        let written = fs::read_to_string(path).unwrap_or_default();
        assert!(written == page(), "update docs/errors.md with `{COMMAND}`");
    }
}

#[test]
fn an_error_and_a_log_message_are_read() {
    let code = "pub enum E {\n    /// A.\n    #[error(\n        \"a `{0}`; \\\n         b \\\"c\\\"\"\n    )]\n    A(String),\n    #[error(transparent)]\n    B(F),\n}\n\
                fn f() { tracing::warn!(at = \"x\", \"d {e}\"); }\n";
    let [error] = &errors(code)[..] else { panic!() };
    assert_eq!((&*error.kind, &*error.text), ("E::A", "a `{0}`; b \"c\""));
    let [log] = &logged(code)[..] else { panic!() };
    assert_eq!((&*log.kind, &*log.text), ("warn", "d {e}"));
}

#[test]
fn messages_are_one_sentence_in_the_field_s_words() {
    // Words that a user of Kafka and MySQL would stumble over.
    const OTHERS: [&str; 6] = ["mend ", "anew", "doubled", "look whether", "the seed", "nobody"];
    for (path, code) in sources() {
        for Message { kind, text } in errors(&code).into_iter().chain(logged(&code)) {
            let other = OTHERS.iter().find(|word| text.contains(**word));
            assert!(other.is_none() && !text.ends_with('.'), "{}: {kind}: {text}", path.display());
        }
    }
}
