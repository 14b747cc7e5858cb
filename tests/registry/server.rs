//! A schema registry with the REST API of Confluent's, for tests.
//!
//! <https://docs.confluent.io/platform/current/schema-registry/develop/api.html>

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// Its content and behavior.
#[derive(Default)]
pub struct Content {
    /// The answers for ids.
    pub schemas: BTreeMap<u32, Value>,
    /// The answers for ids in the compiled form.
    pub serialized: BTreeMap<u32, Value>,
    /// The ids of versions of subjects.
    pub versions: BTreeMap<(String, u32), u32>,
    /// The value of the header with the login that it requires.
    pub authorization: Option<String>,
    /// The status of every answer, instead of an answer.
    pub status: Option<u16>,
    /// Whether it accepts requests and never answers.
    pub is_silent: bool,
}

pub struct Server {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    content: Mutex<Content>,
    requests: Mutex<Vec<String>>,
    is_closed: AtomicBool,
    tls: Option<Arc<ServerConfig>>,
}

impl Server {
    /// Listens on a port of this host.
    pub fn start(content: Content) -> Self {
        Self::on("127.0.0.1:0", content, None)
    }

    /// Listens with this certificate.
    pub fn with_tls(content: Content, config: ServerConfig) -> Self {
        Self::on("127.0.0.1:0", content, Some(Arc::new(config)))
    }

    /// Listens on an address.
    pub fn on(address: &str, content: Content, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            content: Mutex::new(content),
            requests: Mutex::default(),
            is_closed: AtomicBool::new(false),
            tls,
        });
        let serving = shared.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.is_closed.load(SeqCst) {
                    return;
                }
                let serving = serving.clone();
                std::thread::spawn(move || stream.and_then(|stream| serving.serve(stream)));
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The paths that were asked for, with their queries.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Changes its content or behavior.
    pub fn change(&self, change: impl FnOnce(&mut Content)) {
        change(&mut self.shared.content.lock().unwrap());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, SeqCst);
        // Its thread waits for a connection.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        match &self.tls {
            None => self.answer(stream),
            Some(config) => {
                let connection = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
                self.answer(StreamOwned::new(connection, stream))
            }
        }
    }

    fn answer(&self, stream: impl Read + Write) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        let (mut request, mut authorization) = (String::new(), None);
        stream.read_line(&mut request)?;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                    authorization = Some(value.to_owned());
                }
                Some(_) => {}
                None => break,
            }
        }
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        self.requests.lock().unwrap().push(path.clone());
        if self.content.lock().unwrap().is_silent {
            // Until the client gives up.
            return io::copy(&mut stream, &mut io::sink()).map(drop);
        }
        let (status, body) = self.content.lock().unwrap().respond(&path, authorization.as_deref());
        let body = body.to_string();
        let login =
            if status == 401 { "WWW-Authenticate: Basic realm=\"SchemaRegistry-Props\"\r\n" } else { "" };
        let mut stream = stream.into_inner();
        write!(
            stream,
            "HTTP/1.1 {status} -\r\nContent-Type: application/vnd.schemaregistry.v1+json\r\n{login}\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )?;
        stream.flush()
    }
}

impl Content {
    fn respond(&self, path: &str, authorization: Option<&str>) -> (u16, Value) {
        let error = |code: u32, message: String| {
            let status = if code > 999 { code / 100 } else { code };
            (status as u16, json!({ "error_code": code, "message": message }))
        };
        if let Some(status) = self.status {
            return error(status.into(), "as a test".into());
        }
        if self.authorization.is_some() && self.authorization.as_deref() != authorization {
            return error(401, "Unauthorized".into());
        }
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let is_serialized = query.split('&').any(|parameter| parameter == "format=serialized");
        let schema = |id: u32| {
            let serialized = self.serialized.get(&id).filter(|_| is_serialized);
            serialized.or(self.schemas.get(&id)).cloned()
        };
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match parts[..] {
            ["schemas", "types"] => (200, json!(["JSON", "PROTOBUF", "AVRO"])),
            ["schemas", "ids", id] => match id.parse().ok().and_then(schema) {
                Some(schema) => (200, schema),
                None => error(40403, format!("Schema {id} not found")),
            },
            ["subjects", subject, "versions", version] => {
                let subject = percent_encoding::percent_decode_str(subject).decode_utf8_lossy().into_owned();
                let key = (subject.clone(), version.parse().unwrap_or(0));
                let found = self.versions.get(&key).and_then(|id| Some((*id, schema(*id)?)));
                match found {
                    Some((id, Value::Object(mut described))) => {
                        let of = json!({ "subject": subject, "version": key.1, "id": id });
                        described.extend(of.as_object().cloned().unwrap_or_default());
                        (200, described.into())
                    }
                    _ if self.versions.keys().any(|(known, _)| *known == subject) => {
                        error(40402, format!("Version {version} not found."))
                    }
                    _ => error(40401, format!("Subject '{subject}' not found.")),
                }
            }
            _ => error(404, "HTTP 404 Not Found".into()),
        }
    }
}
