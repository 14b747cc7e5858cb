//! Checks that files can be created in the output folder, and the free disk space.

use std::fmt;
use std::path::Path;

use crate::command::report::Report;
use crate::sink::csv;

const MIB: u64 = 1 << 20;
/// Below this, the check fails.
const TOO_LITTLE: u64 = 64 * MIB;
/// Below this, the check passes with a note.
const LITTLE: u64 = 1024 * MIB;

pub(super) fn check(out: &Path, report: &mut Report) {
    let folder = csv::prepare_folder(out);
    let is_there = folder.is_ok();
    report.add("folder", folder.map(|()| out.display().to_string()));
    if is_there {
        report.add("disk", free(out).and_then(|free| judge(free, out)));
    }
}

/// The free bytes on the disk of the output folder.
fn free(out: &Path) -> Result<u64, String> {
    let found = rustix::fs::statvfs(out).map_err(|error| {
        format!("cannot read the free space of {}: {error}; choose another --out", out.display())
    })?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

fn judge(free: u64, out: &Path) -> Result<String, String> {
    let (size, place) = (Size(free), out.display());
    match free {
        ..TOO_LITTLE => Err(format!("only {size} free at {place}; free some space or choose another --out")),
        TOO_LITTLE..LITTLE => Ok(format!("low disk space: {size} free at {place}; free some space soon")),
        _ => Ok(format!("{size} free at {place}")),
    }
}

struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ..LITTLE => write!(f, "{} MiB", self.0 / MIB),
            _ => write!(f, "{:.1} GiB", self.0 as f64 / LITTLE as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_space_is_noted_and_too_little_fails() {
        let out = Path::new("out");
        let too_little = "only 63 MiB free at out; free some space or choose another --out";
        assert_eq!(judge(64 * MIB - 1, out), Err(too_little.into()));
        let little = "low disk space: 64 MiB free at out; free some space soon";
        assert_eq!(judge(64 * MIB, out), Ok(little.into()));
        assert_eq!(judge(3 * LITTLE / 2, out), Ok("1.5 GiB free at out".into()));
    }

    #[test]
    fn an_existing_folder_has_free_space() {
        assert!(free(&std::env::temp_dir()).is_ok());
        assert!(free(Path::new("/no/such/folder")).unwrap_err().contains("/no/such/folder"));
    }
}
