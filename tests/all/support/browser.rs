//! A real Chromium without a window, driven over WebDriver (W3C): JSON over HTTP, which chromedriver speaks.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::process::{Process, command, free_port, new_folder};
use super::wait::{comes_true, eventually};

const TIMEOUT: Duration = Duration::from_secs(60);

/// What WebDriver calls the identifier of an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one page, killed when dropped.
pub struct Browser {
    _driver: Process,
    port: u16,
    session: String,
}

impl Browser {
    /// Starts one with a page of this size.
    pub fn start(width: u32, height: u32) -> Self {
        let (folder, port) = (new_folder("browser"), free_port());
        let mut driver = command("chromedriver");
        driver.arg(format!("--port={port}")).env("HOME", &folder).env("TMPDIR", &folder);
        let driver =
            Process::start(driver, &folder, "chromedriver").unwrap_or_else(|error| panic!("{error}"));
        let mut browser = Self { _driver: driver, port, session: String::new() };
        eventually(TIMEOUT, "chromedriver answers", || browser.ask("GET", "/status", &Value::Null).is_ok());
        // A container gives its root neither a sandbox nor much shared memory.
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".into(),
            "--disable-dev-shm-usage".into(),
            "--disable-gpu".into(),
            "--lang=en".into(),
            "--hide-scrollbars".into(),
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", folder.join("profile").display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let answer = browser.ask("POST", "/session", &wanted).unwrap_or_else(|error| panic!("{error}"));
        browser.session = answer["sessionId"].as_str().expect("a session has a name").to_owned();
        browser
    }

    /// One request of the protocol, and the value of its answer.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let failed = |error: std::io::Error| format!("{method} {path}: {error}");
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).map_err(failed)?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).map_err(failed)?;
        let mut answer = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            answer.read_line(&mut line).map_err(failed)?;
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().map_err(|_| format!("{path}: no length in {line}"))?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut bytes = vec![0; length];
        answer.read_exact(&mut bytes).map_err(failed)?;
        let mut answer: Value = serde_json::from_slice(&bytes).map_err(|error| format!("{path}: {error}"))?;
        match answer["value"].take() {
            value if value["error"].is_string() => Err(format!("{method} {path}: {value}")),
            value => Ok(value),
        }
    }

    #[track_caller]
    fn session(&self, path: &str, body: &Value) -> Value {
        let method = if body.is_null() { "GET" } else { "POST" };
        self.ask(method, &format!("/session/{}/{path}", self.session), body)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Opens an address.
    #[track_caller]
    pub fn open(&self, address: &str) {
        self.session("url", &json!({ "url": address }));
    }

    /// What a script returns.
    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        self.session("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// The text of the first element that a selector names; empty if there is none.
    #[track_caller]
    pub fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({})?.textContent ?? ''", json!(selector));
        self.run(&script).as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the text of an element is as it should be.
    #[track_caller]
    pub fn wait(&self, selector: &str, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let mut text = String::new();
        let came = comes_true(TIMEOUT, || {
            text = self.text(selector);
            is_so(&text)
        });
        assert!(came, "{what}: {selector} says {text:?}; the browser: {}", self.log());
        text
    }

    #[track_caller]
    fn element(&self, selector: &str) -> String {
        let found = self.session("element", &json!({ "using": "css selector", "value": selector }));
        found[ELEMENT].as_str().expect("an element has a name").to_owned()
    }

    /// Clicks on an element, as a mouse does.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        self.session(&format!("element/{}/click", self.element(selector)), &json!({}));
    }

    /// Types into an element, as a keyboard does.
    #[track_caller]
    pub fn write(&self, selector: &str, text: &str) {
        self.session(&format!("element/{}/value", self.element(selector)), &json!({ "text": text }));
    }

    /// What the page's scripts, and the browser about them, wrote since it was asked last.
    #[track_caller]
    pub fn log(&self) -> Value {
        self.session("se/log", &json!({ "type": "browser" }))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser, too; the driver alone would leave it.
        let _ = self.ask("DELETE", &format!("/session/{}", self.session), &Value::Null);
    }
}
