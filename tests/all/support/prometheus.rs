//! A real Prometheus, with the configuration and the rules of `deploy/prometheus`, and node-exporter.
//! `tools/install-test-servers` puts both into `.test/prometheus`.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::process::{Process, command, free_port, new_folder, repository};
use super::wait::comes_true;

const TIMEOUT: Duration = Duration::from_secs(60);

/// Where a program of theirs is: `prometheus`, `promtool` or `prometheus-node-exporter`.
pub fn program(name: &str) -> PathBuf {
    repository().join(".test/prometheus/usr/bin").join(name)
}

/// The configuration that the stack mounts.
pub fn deployed(file: &str) -> PathBuf {
    repository().join("deploy/prometheus").join(file)
}

/// A Prometheus that scrapes a job and this machine.
pub struct Prometheus {
    port: u16,
    folder: PathBuf,
    process: Process,
    _node: Process,
}

impl Prometheus {
    /// Starts both, with the job's metrics at `127.0.0.1:<job>`, and waits until Prometheus answers.
    pub fn start(job: u16) -> Self {
        let folder = new_folder("prometheus");
        let (port, node_port) = (free_port(), free_port());
        let mut node = command(program("prometheus-node-exporter"));
        node.arg(format!("--web.listen-address=127.0.0.1:{node_port}"));
        let node = Process::start(node, &folder, "node").unwrap_or_else(|error| panic!("{error}"));

        let mut config = fs::read_to_string(deployed("prometheus.yml")).expect("the configuration");
        let addresses =
            [("truckflow:9600", job), ("node-exporter:9100", node_port), ("localhost:9090", port)];
        for (deployed, here) in addresses {
            assert!(config.contains(deployed), "{deployed} is scraped");
            config = config.replace(deployed, &format!("127.0.0.1:{here}"));
        }
        // There is one job here.
        assert!(config.contains(r#", "phone:9600""#), "the phone's job is scraped");
        config = config.replace(r#", "phone:9600""#, "");
        // More often, so that a test has not to wait.
        config = config.replace("interval: 5s", "interval: 2s").replace("timeout: 4s", "timeout: 2s");
        fs::write(folder.join("prometheus.yml"), config).expect("the folder takes it");
        fs::copy(deployed("rules.yml"), folder.join("rules.yml")).expect("the rules");
        let mut server = command(program("prometheus"));
        server.current_dir(&folder).args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
        server.args(["--log.level=warn", &format!("--web.listen-address=127.0.0.1:{port}")]);
        let process = Process::start(server, &folder, "server").unwrap_or_else(|error| panic!("{error}"));
        let mut prometheus = Self { port, folder, process, _node: node };
        let answers = || get(port, "/-/ready").is_some_and(|answer| answer.starts_with("HTTP/1.0 200"));
        let answered = comes_true(TIMEOUT, || answers() || prometheus.process.ended().is_some()) && answers();
        assert!(answered, "Prometheus does not answer:\n{}", prometheus.process.log_end());
        prometheus
    }

    /// The samples that an expression has now, each with its labels and its value; why not, if it is
    /// none.
    pub fn query(&self, expression: &str) -> Result<Vec<(Value, f64)>, String> {
        let query: String = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let data = self.ask(&format!("/api/v1/query?query={query}"))?;
        let number = |sample: &Value| sample[1].as_str().and_then(|text| text.parse().ok());
        if data["resultType"] == "scalar" {
            return Ok(number(&data["result"]).map(|value| (Value::Null, value)).into_iter().collect());
        }
        let samples = data["result"].as_array().ok_or("no samples")?;
        let of = |sample: &Value| Some((sample["metric"].clone(), number(&sample["value"])?));
        Ok(samples.iter().filter_map(of).collect())
    }

    /// All rules, as it evaluates them.
    pub fn rules(&self) -> Vec<Value> {
        let data = self.ask("/api/v1/rules").unwrap_or_else(|error| panic!("{error}"));
        let groups = data["groups"].as_array().cloned().unwrap_or_default();
        groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect()
    }

    fn ask(&self, path: &str) -> Result<Value, String> {
        let answer = get(self.port, path).ok_or("Prometheus does not answer")?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let mut answer: Value = serde_json::from_str(body).map_err(|error| format!("{error}: {body}"))?;
        if answer["status"] == "success" { Ok(answer["data"].take()) } else { Err(answer.to_string()) }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.process.kill();
        // What stays is removed by the next test process.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The answer to a GET, by the version of HTTP that sends it in one piece.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
