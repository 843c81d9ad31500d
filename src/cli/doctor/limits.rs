//! Limits of the process that are below what is configured: open files, tasks, memory. Of the server, where
//! one runs; otherwise of whoever asks.

use std::path::{Path, PathBuf};

use super::{Finding, Severity};
use crate::cli::output::shown_size;
use crate::cli::serve::FURTHER_DESCRIPTORS;
use crate::cli::workplace::Workplace;
use crate::error::Result;

/// Memory of an idle server, and of each connection that a worker serves: buffers and the touched part of its
/// stack.
const IDLE: u64 = 64 << 20;
const EACH: u64 = 64 << 10;

pub(super) fn find(place: &Workplace) -> Result<Vec<Finding>> {
    let server = place.running_server()?;
    let process = match server.map(|server| server.status()).transpose()? {
        Some(status) => format!("/proc/{}", status.pid),
        None => "/proc/self".to_owned(),
    };
    let connections = place.config.server.max_connections as u64;
    let process = PathBuf::from(process);
    let mut findings = Vec::new();
    // The soft limit is raised by the server to the hard one.
    let files = std::fs::read_to_string(process.join("limits")).unwrap_or_default();
    let wanted = connections + FURTHER_DESCRIPTORS;
    if let Some(files) = open_files(&files).filter(|files| *files < wanted) {
        findings.push(Finding::new(
            Severity::Warning,
            "limit_files",
            format!(
                "only {files} files may be open at once, but server.max_connections = {connections} needs {wanted}"
            ),
            "raise LimitNOFILE in the unit (or ulimit -Hn), or lower server.max_connections",
        ));
    }
    let group = control_group(&process);
    if let Some(tasks) = group.as_deref().and_then(|group| least(group, "pids.max"))
        && tasks < connections
    {
        findings.push(Finding::new(
            Severity::Warning,
            "limit_tasks",
            format!(
                "only {tasks} threads may run, but server.max_connections = {connections} may need as many"
            ),
            "raise TasksMax in the unit, or lower server.max_connections",
        ));
    }
    let wanted = IDLE + EACH * connections;
    if let Some(memory) = group
        .as_deref()
        .and_then(|group| least(group, "memory.max"))
        && memory < wanted
    {
        findings.push(Finding::new(
            Severity::Warning,
            "limit_memory",
            format!(
                "the service may use {} of memory, but server.max_connections = {connections} may need {}",
                shown_size(memory),
                shown_size(wanted)
            ),
            "raise MemoryMax in the unit, or lower server.max_connections",
        ));
    }
    Ok(findings)
}

/// The hard limit in `/proc/PID/limits`; `None` for none.
fn open_files(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The directory of the process's control group (cgroup v2).
fn control_group(process: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(process.join("cgroup")).ok()?;
    let group = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new("/sys/fs/cgroup").join(group))
}

/// The smallest number that stands in `file` of a control group and those above it; `max` is none.
fn least(group: &Path, file: &str) -> Option<u64> {
    let numbers = group.ancestors().filter_map(|group| {
        let text = std::fs::read_to_string(group.join(file)).ok()?;
        text.trim().parse().ok()
    });
    numbers.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_the_kernel_writes_them() {
        let text = "Limit                     Soft Limit           Hard Limit           Units\n\
                    Max processes             unlimited            unlimited            processes\n\
                    Max open files            1024                 524288               files\n";
        assert_eq!(open_files(text), Some(524_288));
        let text = "Max open files            unlimited            unlimited            files\n";
        assert_eq!(open_files(text), None);
        let own = std::fs::read_to_string("/proc/self/limits").unwrap();
        let expected = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        assert_eq!(open_files(&own), expected.maximum);
    }

    #[test]
    fn the_nearest_and_the_farthest_control_group_count() {
        let directory = tempfile::tempdir().unwrap();
        let group = directory.path().join("system.slice/breakwater.service");
        std::fs::create_dir_all(&group).unwrap();
        assert_eq!(least(&group, "memory.max"), None);
        std::fs::write(group.join("memory.max"), "max\n").unwrap();
        assert_eq!(least(&group, "memory.max"), None);
        std::fs::write(group.join("../memory.max"), "1073741824\n").unwrap();
        assert_eq!(least(&group, "memory.max"), Some(1 << 30));
        std::fs::write(group.join("memory.max"), "268435456\n").unwrap();
        assert_eq!(least(&group, "memory.max"), Some(256 << 20));
    }
}
