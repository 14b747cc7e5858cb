//! A folder in which commands run one after another, and the transcript of them.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A line of an input.
pub const READING: &str = "{\"timestamp\": \"2023-04-10 01:02:27\", \"distance_covered\": 0.01, \"engine_speed\": 79.2, \"fuel_consumed\": 0}\n";

/// Commands and their output.
pub struct Session {
    folder: TempDir,
    transcript: String,
}

impl Session {
    pub fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), transcript: String::new() }
    }

    /// Writes a file.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Runs the command line, whose words are separated by blanks, unless in single quotes.
    pub fn run(&mut self, line: &str) {
        self.run_with(&[], line);
    }

    /// The same with environment variables.
    pub fn run_with(&mut self, variables: &[(&str, &str)], line: &str) {
        let output = Command::new(env!("CARGO_BIN_EXE_truckflow"))
            .args(words(line))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .env_clear()
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let folder = self.folder.path().to_str().unwrap();
        let set: String = variables.iter().map(|(name, value)| format!("{name}={value} ")).collect();
        _ = writeln!(self.transcript, "$ {set}truckflow {line}");
        for printed in [output.stdout, output.stderr] {
            let printed = String::from_utf8(printed).unwrap();
            self.transcript.push_str(&printed.replace(folder, "/work"));
        }
        let status = output.status.code().map_or("killed".to_owned(), |code| code.to_string());
        _ = writeln!(self.transcript, "=> {status}\n");
    }

    /// Writes `job.toml`, and plans the job that it configures.
    pub fn configured(&mut self, text: &str) {
        self.file("job.toml", text);
        _ = writeln!(self.transcript, "{}\n", text.trim_end());
        self.run("explain --config job.toml");
    }

    /// Writes `views.sql`, and plans the job with its views and these flags.
    pub fn viewed(&mut self, text: &str, flags: &str) {
        self.file("views.sql", text);
        _ = writeln!(self.transcript, "{text}\n");
        self.run(format!("explain --sql views.sql {flags}").trim_end());
    }

    /// Compares the transcript with the page `name`.
    #[track_caller]
    pub fn is_page(&self, name: &str) {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(Path::new("snapshots"));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(name, self.transcript));
    }
}

/// The words of a command line.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (place, part) in line.split('\'').enumerate() {
        match place % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}
