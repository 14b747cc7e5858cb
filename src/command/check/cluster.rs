//! The cluster as this process will join it: the hosts file, its secret, and the port of this process.
//!
//! The others may not be there yet: only the names of their hosts are looked up.

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
    report.ok("hosts", format!("{} processes, this is {own} at {}", addresses.len(), addresses[own]));
    report.ok(
        "cluster secret",
        if members.has_secret() { "who joins has to know it" } else { "none, as no other machine comes" },
    );
    for (process, address) in addresses.iter().enumerate() {
        if process == own {
            let listens = members.listen().map(|_| format!("{address} can be listened on"));
            report.add("cluster port", listens);
        } else {
            let found = address.to_socket_addrs().map(|_| format!("{address} is process {process}'s"));
            report.add("cluster host", found.map_err(|error| {
                format!("process {process}'s {address} is not found ({error}); mend --hosts, or the names of this network")
            }));
        }
    }
}
