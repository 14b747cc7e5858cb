//! This process as the operating system sees it.

use crate::runtime::failure::SystemError;

/// Lets the kernel kill this process when its parent ends. Otherwise it would keep its locks and log into a
/// closed pipe.
pub fn die_with_parent() -> Result<(), SystemError> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|errno| SystemError { verb: "follow the parent process", source: errno.into() })?;
    Ok(())
}

/// The peak resident memory of this process in bytes; 0 if the system does not report it.
pub fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    kib(&status, "VmHWM:")
}

/// The bytes in a line such as `VmHWM:   1234 kB`; 0 if there is no such line.
pub(crate) fn kib(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_some_memory() {
        assert!(peak_memory() > 1 << 20);
    }

    #[test]
    fn a_line_of_kib_is_read() {
        assert_eq!(kib("VmPeak:\t9 kB\nVmHWM:\t     123 kB\n", "VmHWM:"), 123 * 1024);
        assert_eq!(kib("", "VmHWM:"), 0);
    }
}
