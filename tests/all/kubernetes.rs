//! `deploy/kubernetes`: what Kubernetes' own schemas say of it, and the processes that it starts, as it starts them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::seen::get;
use crate::support::job::{Job, readings};
use crate::support::kafka::{kafka, unique_topic};
use crate::support::mariadb::mariadb;
use crate::support::process::{free_port, repository};
use crate::support::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(120);
const RECORDS: usize = 3000;

fn manifest() -> PathBuf {
    repository().join("deploy/kubernetes/truckflow.yaml")
}

/// What `make test` has installed in a Python of its own.
fn tool(name: &str) -> Command {
    Command::new(repository().join(".test/kubernetes/bin").join(name))
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; tools/install-test-servers"))
}

/// The manifest's objects.
fn objects() -> Vec<Value> {
    let to_json = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))";
    let file = fs::File::open(manifest()).unwrap();
    let output = output(tool("python").args(["-c", to_json]).stdin(file));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn object(kind: &str) -> Value {
    objects().into_iter().find(|object| object["kind"] == kind).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is a text"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is a list"))
}

#[test]
fn the_manifest_is_one_by_the_schemas_of_kubernetes() {
    // The first version with the label that numbers pods, and the newest.
    for version in ["1.28", "1.37"] {
        let validate =
            |file: &Path| output(tool("kubernetes-validate").args(["--strict", "-k", version]).arg(file));
        let said = validate(&manifest());
        let text =
            String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success() && text.contains("statefulset/truckflow"), "{text}");
        // It would say if something was wrong.
        let folder = tempfile::tempdir().unwrap();
        let wrong = folder.path().join("wrong.yaml");
        let manifest = fs::read_to_string(manifest()).unwrap();
        fs::write(&wrong, manifest.replace("podManagementPolicy", "podManagment")).unwrap();
        assert!(!validate(&wrong).status.success());
    }
}

#[test]
fn the_manifests_parts_fit_each_other() {
    let (set, config) = (object("StatefulSet"), object("ConfigMap"));
    let (name, namespace) = (text(&set["metadata"]["name"]), text(&set["metadata"]["namespace"]));
    let pod = &set["spec"]["template"];
    let container = &pod["spec"]["containers"][0];
    let service = text(&set["spec"]["serviceName"]);

    // As many hosts and processes as pods, under the names that these have.
    let pods = set["spec"]["replicas"].as_u64().unwrap();
    let hosts: Vec<String> =
        (0..pods).map(|n| format!("{name}-{n}.{service}.{namespace}.svc.cluster.local:7100")).collect();
    assert_eq!(text(&config["data"]["hosts"]).lines().collect::<Vec<_>>(), hosts);
    let args: Vec<&str> = list(&container["args"]).iter().map(text).collect();
    assert_eq!(args[args.iter().position(|arg| *arg == "--processes").unwrap() + 1], pods.to_string());

    // Services, policies and the set itself are of the pods that it makes.
    let label = &pod["metadata"]["labels"];
    for object in objects() {
        assert!(object["kind"] == "Namespace" || object["metadata"]["namespace"] == namespace, "{object}");
        let spec = &object["spec"];
        let selectors = [&spec["selector"], &spec["podSelector"]];
        for selector in selectors.into_iter().filter(|selector| !selector.is_null()) {
            let labels = selector.get("matchLabels").unwrap_or(selector);
            assert_eq!(labels["app.kubernetes.io/name"], label["app.kubernetes.io/name"], "{object}");
        }
    }
    let ports: Vec<_> = list(&container["ports"]).iter().map(|port| &port["containerPort"]).collect();
    assert_eq!(ports, [9600, 7100]);

    // The image is the Dockerfile's, of this version, and its user the Dockerfile's user.
    assert_eq!(container["image"], concat!("truckflow:", env!("CARGO_PKG_VERSION")));
    let dockerfile = fs::read_to_string(repository().join("Dockerfile")).unwrap();
    let security = &pod["spec"]["securityContext"];
    assert!(dockerfile.contains(&format!("USER {}:{}\n", security["runAsUser"], security["runAsGroup"])));

    // The page that says how it is started makes the secret that the job names.
    let page = fs::read_to_string(repository().join("deploy/kubernetes/README.md")).unwrap();
    let secrets = text(&config["data"]["job.toml"])
        .split('"')
        .filter_map(|text| text.strip_prefix("/run/secrets/truckflow/"));
    let secrets: Vec<&str> = secrets.collect();
    assert_eq!(secrets, ["database", "cluster", "token"]);
    for secret in secrets {
        assert!(page.contains(&format!("--from-file={secret}")), "{secret}");
    }
}

/// A pod: the folders that are mounted, and what stands in the manifest, where this machine has them.
struct Pod {
    args: Vec<String>,
    variables: Vec<(String, String)>,
    replaced: Vec<(String, String)>,
    /// Where it listens on this machine.
    port: u16,
}

impl Pod {
    fn new(number: usize, folder: &Path, hosts: &[String], machine: &[(&str, &str)]) -> Self {
        let (set, config) = (object("StatefulSet"), object("ConfigMap"));
        let container = &set["spec"]["template"]["spec"]["containers"][0];
        let folder = folder.join(number.to_string());
        let mut replaced: Vec<(String, String)> =
            machine.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
        for mount in list(&container["volumeMounts"]) {
            let to = folder.join(text(&mount["name"]));
            fs::create_dir_all(&to).unwrap();
            replaced.push((text(&mount["mountPath"]).to_owned(), to.display().to_string()));
        }
        let port = free_port();
        replaced.push(("0.0.0.0:9600".into(), format!("127.0.0.1:{port}")));
        replaced.extend(text(&config["data"]["hosts"]).lines().map(str::to_owned).zip(hosts.iter().cloned()));
        let mut pod = Self { args: Vec::new(), variables: Vec::new(), replaced, port };
        for (name, text_of) in config["data"].as_object().unwrap() {
            fs::write(folder.join("config").join(name), pod.here(text(text_of))).unwrap();
        }
        for (name, secret) in [("cluster", "sesame"), ("token", "s3cret"), ("database", "pw")] {
            fs::write(folder.join("secrets").join(name), secret).unwrap();
        }
        pod.args = list(&container["args"]).iter().map(|arg| pod.here(text(arg))).collect();
        for variable in list(&container["env"]) {
            let value = match &variable["value"] {
                Value::Null => {
                    let field = text(&variable["valueFrom"]["fieldRef"]["fieldPath"]);
                    assert_eq!(field, "metadata.labels['apps.kubernetes.io/pod-index']");
                    number.to_string()
                }
                value => text(value).to_owned(),
            };
            pod.variables.push((text(&variable["name"]).to_owned(), value));
        }
        pod
    }

    fn here(&self, text: &str) -> String {
        self.replaced.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    fn start(&self) -> Job {
        let variables: Vec<_> = self.variables.iter().map(|(name, value)| (&**name, &**value)).collect();
        Job::start_with(&self.args, &variables)
    }

    /// Whether a probe succeeds.
    fn passes(&self, probe: &str) -> bool {
        let container = object("StatefulSet")["spec"]["template"]["spec"]["containers"][0].clone();
        let asks = &container[probe]["httpGet"];
        let port = list(&container["ports"]).iter().find(|port| port["name"] == asks["port"]).unwrap();
        assert_eq!(port["containerPort"], 9600, "where the job listens");
        get(self.port, text(&asks["path"])).starts_with("HTTP/1.1 200 ")
    }
}

#[test]
fn the_processes_of_the_manifest_work_together_on_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let (topic, database) = (unique_topic(), mariadb().create_database());
    kafka().create_topic(&topic, 4);
    let hosts: Vec<String> = (0..2).map(|_| format!("127.0.0.1:{}", free_port())).collect();
    // The password is in its own file.
    let url = database.url.replace(":pw@", "@");
    let machine = [
        ("mysql://truckflow@mysql.default.svc:3306/KAFKA_DB", &*url),
        ("kafka.default.svc:9092", kafka().brokers()),
        ("Truck-Data", &*topic),
    ];
    let pods: Vec<Pod> = (0..2).map(|number| Pod::new(number, folder.path(), &hosts, &machine)).collect();
    assert!(!pods[0].passes("livenessProbe"), "nobody is there yet");
    let mut jobs: Vec<Job> = pods.iter().map(Pod::start).collect();
    for pod in &pods {
        eventually(TIMEOUT, "it lives", || pod.passes("livenessProbe"));
        eventually(TIMEOUT, "it is ready", || pod.passes("readinessProbe"));
    }
    let input = readings(folder.path(), RECORDS);
    let (status, said) =
        Job::start(["replay", &input, "--topic", &topic, "--brokers", kafka().brokers()]).wait(TIMEOUT);
    assert!(status.success(), "{said}");
    let count = || database.query("SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP")[0][0].clone().unwrap();
    eventually(TIMEOUT, "all is committed", || count() == RECORDS.to_string());

    // One dies, all end; what Kubernetes does then is to start each again.
    jobs[1].kill9();
    let (status, said) = jobs[0].wait(TIMEOUT);
    assert_eq!(status.code(), Some(1), "{said}");
    let mut jobs: Vec<Job> = pods.iter().map(Pod::start).collect();
    for pod in &pods {
        eventually(TIMEOUT, "it is ready again", || pod.passes("readinessProbe"));
    }
    jobs[1].terminate();
    for job in &mut jobs {
        let (status, said) = job.wait(TIMEOUT);
        assert!(status.success(), "{said}");
    }
    assert_eq!(count(), RECORDS.to_string());
}
