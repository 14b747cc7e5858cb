//! A way to a MariaDB server that can be made slow, and that can be cut at a COMMIT.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Where the connection is cut, seen from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It never hears of the COMMIT.
    Before,
    /// It has committed, and its answer is lost.
    After,
}

/// A port of 127.0.0.1 that leads to a server, as long as the test process lives.
pub struct Proxy {
    port: u16,
    plan: Arc<Plan>,
}

#[derive(Default)]
struct Plan {
    /// What becomes of an epoch's COMMIT, after how many others.
    next: Mutex<Option<(u32, Cut)>>,
    /// How many were cut.
    cuts: AtomicU32,
    /// Bytes a second to the server; 0: as they come.
    rate: AtomicU64,
    /// What is put in the place of what, in what is said to the server.
    replaced: Mutex<Option<(&'static str, &'static str)>>,
}

impl Proxy {
    /// A way to the server at `port`.
    pub fn start(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port of the kernel's choice");
        let port = listener.local_addr().expect("it is bound").port();
        let plan = Arc::<Plan>::default();
        let shared = plan.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client whose server does not answer is hung up on.
                if let Ok(server) = TcpStream::connect(("127.0.0.1", server)) {
                    connect(client, server, &shared);
                }
            }
        });
        Self { port, plan }
    }

    /// The URL of a database, on the way through here.
    pub fn url(&self, url: &str) -> String {
        let (server, database) = url.rsplit_once('/').expect("a database");
        let (host, _) = server.rsplit_once(':').expect("a port");
        format!("{host}:{}/{database}", self.port)
    }

    /// Cuts the connection at the next COMMIT of an epoch.
    pub fn cut_next_commit(&self, cut: Cut) {
        self.cut_commit_after(0, cut);
    }

    /// The same after `others` COMMITs of epochs.
    pub fn cut_commit_after(&self, others: u32, cut: Cut) {
        *self.plan.next.lock().unwrap() = Some((others, cut));
    }

    /// How many COMMITs were cut.
    pub fn cuts(&self) -> u32 {
        self.plan.cuts.load(SeqCst)
    }

    /// Lets so many bytes a second through to the server; 0: as they come.
    pub fn limit(&self, bytes: u64) {
        self.plan.rate.store(bytes, SeqCst);
    }

    /// Puts something in the place of something else of the same length, in what is said to the server.
    pub fn replace(&self, from: &'static str, to: &'static str) {
        assert_eq!(from.len(), to.len(), "a packet's length stands before it");
        *self.plan.replaced.lock().unwrap() = Some((from, to));
    }
}

fn connect(client: TcpStream, server: TcpStream, plan: &Arc<Plan>) {
    let ends = [client, server].map(Arc::new);
    for end in &ends {
        let _ = end.set_nodelay(true);
    }
    // Whether the server's next answer is lost, and the connection with it.
    let lost = Arc::new(Mutex::new(false));
    let [client, server] = ends.clone();
    let (answers, plan_of_answers) = (lost.clone(), plan.clone());
    std::thread::spawn(move || {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(count @ 1..) = (&*server).read(&mut bytes) {
            if *answers.lock().unwrap() {
                plan_of_answers.cuts.fetch_add(1, SeqCst);
                break;
            }
            if (&*client).write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        hang_up(&client, &server);
    });
    let ([client, server], plan) = (ends, plan.clone());
    std::thread::spawn(move || {
        // Any error is an end.
        let _ = forward(&client, &server, &plan, &lost);
        hang_up(&client, &server);
    });
}

fn hang_up(client: &TcpStream, server: &TcpStream) {
    // One that hung up itself is no longer connected.
    let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
}

/// Forwards packets, each of 3 bytes of length, a number, and so many bytes, until one is cut.
fn forward(
    mut client: &TcpStream,
    mut server: &TcpStream,
    plan: &Plan,
    lost: &Mutex<bool>,
) -> io::Result<()> {
    // The transaction of an epoch says so before it commits.
    let mut is_epoch = false;
    loop {
        let mut packet = vec![0; 4];
        client.read_exact(&mut packet)?;
        let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]) as usize;
        packet.resize(4 + length, 0);
        client.read_exact(&mut packet[4..])?;
        if let Some(sql) = packet.get(5..).filter(|_| packet[4] == 3) {
            if contains(sql, "UPDATE truckflow_jobs SET epoch") {
                is_epoch = true;
            } else if is_epoch && sql == b"COMMIT" {
                is_epoch = false;
                let mut next = plan.next.lock().unwrap();
                match next.take() {
                    Some((0, Cut::Before)) => {
                        plan.cuts.fetch_add(1, SeqCst);
                        return Ok(());
                    }
                    Some((0, Cut::After)) => *lost.lock().unwrap() = true,
                    Some((others, cut)) => *next = Some((others - 1, cut)),
                    None => {}
                }
            }
        }
        if let Some((from, to)) = *plan.replaced.lock().unwrap() {
            let found = packet.windows(from.len()).position(|window| window == from.as_bytes());
            if let Some(at) = found {
                packet[at..at + to.len()].copy_from_slice(to.as_bytes());
            }
        }
        for piece in packet.chunks(4 << 10) {
            server.write_all(piece)?;
            let rate = plan.rate.load(SeqCst);
            if rate > 0 {
                std::thread::sleep(Duration::from_secs_f64(piece.len() as f64 / rate as f64));
            }
        }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
