//! The pages under `docs/`: their commands are run.

use std::fs;

use crate::support::kafka::{kafka, unique_topic};
use crate::support::mariadb::mariadb;
use crate::support::process::{command, repository};

/// The fenced blocks of a page whose first line begins with this: what follows there, and the text.
fn blocks(page: &str, language: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(repository().join("docs").join(page)).unwrap();
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("```").and_then(|rest| rest.strip_prefix(language)) {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((rest.to_owned(), block.join("\n") + "\n"));
        }
    }
    assert!(!blocks.is_empty(), "{page} has no {language}");
    blocks
}

/// Runs the commands of a page one after another, in a folder of their own, with the tests' servers in the
/// place of those that the page names.
#[track_caller]
fn commands_work(page: &str) {
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_truckflow"), bin.join("truckflow")).unwrap();
    let script: String = blocks(page, "sh").into_iter().map(|(_, text)| text).collect();
    let script = match script.contains("--topic") {
        false => script,
        true => {
            let topic = unique_topic();
            kafka().create_topic(&topic, 2);
            let database = mariadb().create_database();
            script
                .replace("mysql://root@127.0.0.1:3306/KAFKA_DB", &database.url)
                .replace("127.0.0.1:9092", kafka().brokers())
                .replace("Truck-Data", &topic)
        }
    };
    let mut shell = command("timeout");
    shell.args(["300", "bash", "-euxo", "pipefail", "-c", &script]).current_dir(folder.path());
    let path = std::env::var("PATH").unwrap_or_default();
    shell.env("PATH", format!("{}:{path}:/usr/sbin:/sbin", bin.display()));
    // Two pages at once do not listen on one port.
    shell.env("TRUCKFLOW_LISTEN", "off");
    let output = shell.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{page}: {}\n{said}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_commands_of_files_work() {
    commands_work("files.md");
}

#[test]
fn the_commands_of_messages_work() {
    commands_work("messages.md");
}

#[test]
fn the_commands_of_user_views_work() {
    commands_work("user-views.md");
}

#[test]
fn the_commands_of_start_work() {
    commands_work("start.md");
}

#[test]
fn the_commands_of_operate_work() {
    commands_work("operate.md");
}

#[test]
fn the_commands_of_exactness_work() {
    commands_work("exactness.md");
}

#[test]
fn the_commands_of_commits_work() {
    commands_work("commits.md");
}

#[test]
fn the_recipes_are_the_cases_that_are_tested() {
    let page = fs::read_to_string(repository().join("docs/recipes.md")).unwrap();
    let mut shown = Vec::new();
    for part in page.split("<!-- ").skip(1) {
        let (folder, rest) = part.split_once(" -->").unwrap();
        let sql = rest.trim_start().strip_prefix("```sql\n").and_then(|rest| rest.split_once("```"));
        let (sql, _) = sql.unwrap_or_else(|| panic!("{folder} has no block of SQL behind it"));
        let file = fs::read_to_string(repository().join(folder).join("views.sql")).unwrap();
        assert_eq!(sql.trim_end(), file.trim_end(), "{folder}");
        shown.push(folder.to_owned());
    }
    let folders = fs::read_dir(repository().join("fixtures/recipes")).unwrap();
    let mut folders: Vec<String> = folders
        .map(|entry| format!("fixtures/recipes/{}", entry.unwrap().file_name().into_string().unwrap()))
        .collect();
    folders.sort();
    assert_eq!(shown, folders);
}
