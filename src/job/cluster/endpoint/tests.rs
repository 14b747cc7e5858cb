//! Endpoints of a cluster on one machine, and clients that are not part of it.

use super::*;
use crate::job::cluster::wire::{Challenge, Greeting, Hello, PROTOCOL, Side, proof, receive};
use crate::runtime::reload::{Reloaded, Reloads};
use crate::store::Form;
use serde_json::json;
use std::net::TcpListener;
use std::thread::scope;

const SHORT: Option<Duration> = Some(Duration::from_millis(100));
const LONG: Option<Duration> = Some(Duration::from_secs(20));

/// The members of a cluster, on free ports.
fn members(count: usize) -> Vec<Members> {
    let free: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<_> = free.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
    let member = |process| Members {
        process,
        addresses: addresses.clone(),
        secret: Reloaded::fixed("secret".into()),
        protocol: PROTOCOL,
        terms: json!({ "job": "a" }),
    };
    (0..count).map(member).collect()
}

fn welcome() -> Welcome {
    Welcome { epoch: 7, offsets: Vec::new(), form: Form { job: "a".into(), text: None, lines: [].into() } }
}

#[test]
fn processes_connect_in_any_order() {
    let mut members = members(3);
    let last = members.pop().unwrap();
    let stop = Stop::default();
    let follow = |members: Members| {
        let endpoint = Endpoint::open(members).unwrap();
        let (peer, welcome) = endpoint.join(LONG, &stop).unwrap().unwrap();
        assert_eq!((peer.process, welcome.epoch), (0, 7));
        endpoint.connect(|| Ok(())).unwrap()
    };
    scope(|threads| {
        let second = members.pop().unwrap();
        let early = threads.spawn(|| follow(last));
        let first = Endpoint::open(members.pop().unwrap()).unwrap();
        let late = threads.spawn(|| follow(second));
        let peers = first.gather(&welcome(), LONG, &stop).unwrap().unwrap();
        assert_eq!(peers.iter().map(|peer| peer.process).collect::<Vec<_>>(), [1, 2]);
        let connected = |network: Network| network.sockets.iter().map(Option::is_some).collect::<Vec<_>>();
        assert_eq!(connected(first.connect(|| Ok(())).unwrap()), [false, true, true]);
        assert_eq!(connected(late.join().unwrap()), [true, false, true]);
        assert_eq!(connected(early.join().unwrap()), [true, true, false]);
    });
}

#[test]
fn missing_processes_are_named() {
    let members = members(3);
    let stop = Stop::default();
    let second = Endpoint::open(members[1].clone()).unwrap();
    let error = second.join(SHORT, &stop).unwrap_err().to_string();
    assert!(error.contains("process 0 at 127.0.0.1") && error.contains("--wait"), "{error}");
    let first = Endpoint::open(members[0].clone()).unwrap();
    let error = first.gather(&welcome(), SHORT, &stop).unwrap_err().to_string();
    assert!(error.contains("process 1 at") && error.contains("process 2 at"), "{error}");
    stop.request();
    assert!(first.gather(&welcome(), None, &stop).unwrap().is_none());
    assert!(second.join(None, &stop).unwrap().is_none());
}

#[test]
fn a_process_with_another_configuration_or_secret_is_refused() {
    let members = members(2);
    let first = Endpoint::open(members[0].clone()).unwrap();
    let refused = |other: Members| {
        let endpoint = Endpoint::open(other).unwrap();
        let (stop, over) = (Stop::default(), Stop::default());
        scope(|threads| {
            let gather = threads.spawn(|| first.gather(&welcome(), None, &over));
            let error = endpoint.join(LONG, &stop).unwrap_err();
            over.request();
            assert!(gather.join().unwrap().unwrap().is_none(), "it keeps waiting");
            assert!(matches!(error, JobError::Cluster(ClusterError::Refused { process: 0, .. })));
            error.to_string()
        })
    };
    let second = &members[1];
    let said = refused(Members { terms: json!({ "job": "b" }), ..second.clone() });
    assert!(said.contains("`job` is \"a\" in process 0 and \"b\" in process 1"), "{said}");
    let said = refused(Members { secret: Reloaded::fixed("other".into()), ..second.clone() });
    assert!(said.contains("cluster_secret_file"), "{said}");
}

#[test]
fn a_reloaded_secret_is_used_for_the_next_connection() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, "old").unwrap();
    let reloads = Reloads::default();
    let mut members = members(2);
    members[0].secret = reloads
        .watch("cluster_secret_file", move || crate::runtime::secret::read(&path))
        .unwrap_or_else(|error| panic!("{error}"));
    let first = Endpoint::open(members.remove(0)).unwrap();
    let (stop, over) = (Stop::default(), Stop::default());
    let second = Endpoint::open(members.remove(0)).unwrap();
    scope(|threads| {
        let gather = threads.spawn(|| first.gather(&welcome(), LONG, &over));
        let error = second.join(LONG, &stop).unwrap_err().to_string();
        assert!(error.contains("does not know the cluster secret"), "{error}");
        std::fs::write(folder.path().join("secret"), "secret\n").unwrap();
        reloads.reload();
        second.join(LONG, &stop).unwrap().unwrap();
        gather.join().unwrap().unwrap().unwrap();
    });
}

#[test]
fn another_build_of_the_same_version_is_refused() {
    let members = members(2);
    const OTHER: &str = concat!("truckflow ", env!("CARGO_PKG_VERSION"), ", sources 0123456789abcdef");
    let first = Endpoint::open(members[0].clone()).unwrap();
    let second = Endpoint::open(Members { protocol: OTHER, ..members[1].clone() }).unwrap();
    let said = second.join(LONG, &Stop::default()).unwrap_err().to_string();
    for part in ["process 0 rejects this process: ", PROTOCOL, OTHER, "run the same build everywhere"] {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
    drop(first);
    // The accepting side checks as well.
    let first = Endpoint::open(members[0].clone()).unwrap();
    let mut stream = TcpStream::connect(&members[0].addresses[0]).unwrap();
    let challenge: Challenge = receive(&mut stream).unwrap();
    let mut hello = Hello {
        protocol: OTHER.into(),
        from: 1,
        to: 0,
        purpose: Purpose::Control,
        nonce: [1; 32],
        proof: [0; 32],
    };
    hello.proof = proof(b"secret", Side::Connects, &challenge.nonce, &hello);
    send(&mut stream, &hello).unwrap();
    let answer: Greeting = receive(&mut stream).unwrap();
    assert!(matches!(&answer, Greeting::Refused(reason) if reason.contains(OTHER)), "{answer:?}");
    drop(first);
}

#[test]
fn a_server_without_the_secret_is_not_trusted() {
    let members = members(2);
    let listener = TcpListener::bind(&members[0].addresses[0]).unwrap();
    let second = Endpoint::open(members[1].clone()).unwrap();
    let stop = Stop::default();
    let error = scope(|threads| {
        threads.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            send(&mut stream, &Challenge { protocol: PROTOCOL.into(), nonce: [1; 32] }).unwrap();
            let hello: Hello = receive(&mut stream).unwrap();
            // It can only replay the client's proof.
            send(&mut stream, &Greeting::Known { proof: hello.proof }).unwrap();
            // The client does not send the job's terms.
            assert!(receive::<serde_json::Value>(&mut stream).is_err());
        });
        second.join(LONG, &stop).unwrap_err()
    });
    assert!(matches!(error, JobError::Cluster(ClusterError::WrongSecret { process: 0, .. })), "{error}");
}

#[test]
fn unknown_clients_are_refused_and_do_not_block_processes() {
    use std::io::{Read, Write};
    let mut members = members(2);
    let second = members.pop().unwrap();
    let first = Endpoint::open(members.pop().unwrap()).unwrap();
    let address = first.members.addresses[0].clone();
    let connect = || TcpStream::connect(&address).unwrap();
    // More silent clients than there are handshakes at once.
    let silent: Vec<_> = (0..200).map(|_| connect()).collect();
    let mut loud = Vec::new();
    for bytes in
        [&[0xff; 4][..], b"GET / HTTP/1.1\r\n\r\n", &[0, 0, 1, 0], b"\x16\x03\x01\x02\0\x01\0\x01\xfc"]
    {
        let mut stream = connect();
        stream.write_all(bytes).unwrap();
        loud.push(stream);
    }
    let stop = Stop::default();
    scope(|threads| {
        let follow = threads.spawn(|| {
            let endpoint = Endpoint::open(second.clone()).unwrap();
            endpoint.join(LONG, &stop).unwrap().unwrap();
            endpoint.connect(|| Ok(())).map(drop)
        });
        first.gather(&welcome(), LONG, &stop).unwrap().unwrap();
        first.connect(|| Ok(())).unwrap();
        follow.join().unwrap().unwrap();
    });
    // Clients that send something else are disconnected immediately.
    let mut stream = loud.remove(1);
    stream.set_read_timeout(LONG).unwrap();
    let ended = stream.read_to_end(&mut Vec::new()).err().map(|error| reason(&error));
    assert!(ended.is_none_or(|ended| ended == "the connection was closed"));
    drop((silent, loud));
}

#[test]
fn a_running_cluster_refuses_more_processes() {
    let mut members = members(2);
    let second = members.pop().unwrap();
    let first = Endpoint::open(members.pop().unwrap()).unwrap();
    let (stop, complete) = (Stop::default(), std::sync::Barrier::new(2));
    scope(|threads| {
        let follow = threads.spawn(|| {
            let endpoint = Endpoint::open(second.clone()).unwrap();
            let (peer, _) = endpoint.join(LONG, &stop).unwrap().unwrap();
            endpoint.connect(|| Ok(())).unwrap();
            // Frees the port.
            drop(endpoint);
            complete.wait();
            let again = Endpoint::open(second.clone()).unwrap();
            let error = again.join(LONG, &stop).unwrap_err();
            assert!(matches!(error, JobError::Cluster(ClusterError::Complete { process: 0, .. })), "{error}");
            let error = again.connect(|| Ok(())).unwrap_err();
            assert!(error.to_string().contains("already runs the job with all its processes"), "{error}");
            drop(peer);
        });
        let _peers = first.gather(&welcome(), LONG, &stop).unwrap().unwrap();
        first.connect(|| Ok(())).unwrap();
        complete.wait();
        follow.join().unwrap();
    });
}

#[test]
fn with_wait_a_process_waits_until_the_cluster_has_ended() {
    let mut members = members(2);
    let second = members.pop().unwrap();
    let first = Endpoint::open(members[0].clone()).unwrap();
    first.listener.close(Purpose::Control);
    let (stop, over) = (Stop::default(), Stop::default());
    scope(|threads| {
        let follow = threads.spawn(|| {
            let endpoint = Endpoint::open(second).unwrap();
            endpoint.join(None, &stop).unwrap().unwrap()
        });
        std::thread::sleep(RETRY_EVERY * 2);
        drop(first);
        let next = Endpoint::open(members.remove(0)).unwrap();
        next.gather(&welcome(), LONG, &over).unwrap().unwrap();
        follow.join().unwrap();
    });
}
