//! A terminal for a program that draws on one: `script` makes it, and what was written there is drawn again.

use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use super::process::{Process, command, new_folder, runs};
use super::wait::comes_true;

const ROWS: usize = 40;
const COLUMNS: usize = 120;
/// The most that a program may take until it runs.
const NUMBERED: Duration = Duration::from_secs(60);

/// A program on a terminal of its own, killed when dropped.
pub struct Terminal {
    process: Process,
    folder: PathBuf,
}

impl Terminal {
    /// Starts a command line of the shell.
    pub fn start(line: &str) -> Self {
        let folder = new_folder("terminal");
        let line = format!("stty rows {ROWS} cols {COLUMNS}; {line}");
        let mut script = command("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        script.env("TERM", "xterm-256color").env("SHELL", "/bin/sh").stdin(Stdio::piped());
        let process = Process::start(script, &folder, "script").unwrap_or_else(|error| panic!("{error}"));
        Self { process, folder }
    }

    /// Starts a program between these parts of a command line, and gives its number.
    pub fn start_numbered(before: &str, program: &str, after: &str) -> (Self, u32) {
        let folder = new_folder("number");
        let file = folder.join("number");
        let terminal =
            Self::start(&format!("{before}sh -c 'echo $$ > {}; exec {program}'{after}", file.display()));
        let mut number = None;
        comes_true(NUMBERED, || {
            number = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
            number.is_some()
        });
        // What stays is removed by the next test process.
        let _ = std::fs::remove_dir_all(&folder);
        (terminal, number.expect("it says its number"))
    }

    /// Closes it, as somebody closes a window. Whether the program with this number ends then within `timeout`; one
    /// that does not is killed.
    pub fn close(self, number: u32, timeout: Duration) -> bool {
        drop(self);
        let ended = comes_true(timeout, || !runs(number));
        if !ended {
            // It may end just now.
            let _ = Command::new("kill").args(["-KILL", &number.to_string()]).status();
        }
        ended
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.process.tell(keys);
    }

    /// All that was written to it.
    pub fn written(&self) -> String {
        self.process.stdout()
    }

    /// What stands on it: as much of ECMA-48 as is needed for that.
    pub fn shown(&self) -> String {
        let written = self.written();
        let mut screen = vec![[' '; COLUMNS]; ROWS];
        let (mut row, mut column) = (0, 0);
        let mut chars = written.chars();
        while let Some(char) = chars.next() {
            match char {
                '\x1b' if chars.clone().next() == Some('[') => {
                    chars.next();
                    let mut numbers = String::new();
                    let end = chars.find(|char| {
                        let ends = ('@'..='~').contains(char);
                        if !ends {
                            numbers.push(*char);
                        }
                        ends
                    });
                    let mut numbers = numbers.split(';').map(|number| number.parse::<usize>().unwrap_or(1));
                    match end {
                        Some('H') => {
                            row = numbers.next().unwrap_or(1) - 1;
                            column = numbers.next().unwrap_or(1) - 1;
                        }
                        Some('J') => screen.fill([' '; COLUMNS]),
                        _ => {}
                    }
                }
                '\r' => column = 0,
                '\n' => row += 1,
                char => {
                    if let Some(cell) = screen.get_mut(row).and_then(|row| row.get_mut(column)) {
                        *cell = char;
                    }
                    column += 1;
                }
            }
        }
        screen.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned() + "\n").collect()
    }

    /// Waits until something stands there.
    #[track_caller]
    pub fn wait_for(&self, text: &str, timeout: Duration) {
        let found = comes_true(timeout, || self.shown().contains(text));
        assert!(found, "`{text}` does not stand on the terminal within {timeout:?}:\n{}", self.shown());
    }

    /// Waits until the program has ended.
    #[track_caller]
    pub fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let mut status = None;
        comes_true(timeout, || {
            status = self.process.ended();
            status.is_some()
        });
        status.unwrap_or_else(|| panic!("it does not end within {timeout:?}:\n{}", self.shown()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.process.kill();
        // What stays is removed by the next test process.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
