//! Checks the hosts file of a cluster, its secret, and the port of this process.
//!
//! The other processes may not be running yet, so only their host names are resolved.

use std::net::ToSocketAddrs;

use crate::command::report::Report;
use crate::config::Job;
use crate::job::cluster::Members;
use crate::runtime::reload::Reloads;

pub(super) fn check(config: &Job, report: &mut Report) {
    let members = match Members::of(config, &Reloads::default()) {
        Ok(None) => return,
        Ok(Some(members)) => members,
        Err(error) => return report.add("hosts", Err::<&str, _>(error)),
    };
    let (own, addresses) = (config.process, members.addresses());
    report.ok("hosts", format!("{} processes; this is process {own} at {}", addresses.len(), addresses[own]));
    report.ok(
        "cluster secret",
        if members.has_secret() {
            "set"
        } else {
            "not set; not required, as all processes run on this machine"
        },
    );
    for (process, address) in addresses.iter().enumerate() {
        if process == own {
            let listens = members.listen().map(|_| format!("can listen on {address}"));
            report.add("cluster port", listens);
        } else {
            let found = address.to_socket_addrs().map(|_| format!("{address} of process {process} resolves"));
            report.add(
                "cluster host",
                found.map_err(|error| {
                    format!("cannot resolve {address} of process {process} ({error}); correct --hosts or DNS")
                }),
            );
        }
    }
}
