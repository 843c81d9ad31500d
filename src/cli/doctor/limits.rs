//! Limits of the process that are below what is configured: open files, tasks, memory. Of the server, where
//! one runs; otherwise of whoever asks.

use std::path::{Path, PathBuf};

use super::server::RunningServer;
use super::{Finding, Severity};
use crate::cli::output::shown_size;
use crate::cli::serve::FURTHER_DESCRIPTORS;
use crate::cli::workplace::Workplace;

/// Memory of an idle server, and of each connection that a worker serves: buffers and the touched part of its
/// stack.
const IDLE: u64 = 64 << 20;
const EACH: u64 = 64 << 10;
/// Where control groups are: one tree, or in the older version one for each controller.
const TREES: &str = "/sys/fs/cgroup";

pub(super) fn find(place: &Workplace, server: Option<&RunningServer>) -> Vec<Finding> {
    let process = match server {
        Some(server) => format!("/proc/{}", server.status.pid),
        None => "/proc/self".to_owned(),
    };
    let connections = place.config.server.max_connections as u64;
    let process = PathBuf::from(process);
    let mut findings = Vec::new();
    // The soft limit is raised by the server to the hard one.
    let files = std::fs::read_to_string(process.join("limits")).unwrap_or_default();
    let wanted = connections.saturating_add(FURTHER_DESCRIPTORS);
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
    let groups = std::fs::read_to_string(process.join("cgroup")).unwrap_or_default();
    let wanted = connections;
    if let Some(tasks) = least(&groups, &TASKS).filter(|tasks| *tasks < wanted) {
        findings.push(Finding::new(
            Severity::Warning,
            "limit_tasks",
            format!(
                "only {tasks} threads may run, but server.max_connections = {connections} may need as many"
            ),
            "raise TasksMax in the unit, or lower server.max_connections",
        ));
    }
    let wanted = EACH.saturating_mul(connections).saturating_add(IDLE);
    if let Some(memory) = least(&groups, &MEMORY).filter(|memory| *memory < wanted) {
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
    findings
}

/// The hard limit in `/proc/PID/limits`; `None` for none.
fn open_files(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// A limit of control groups: its file, and the controller that has it.
struct Limit {
    controller: &'static str,
    file: &'static str,
    /// Its name in the older version, where each controller has a tree of its own.
    file_of_v1: &'static str,
}

const TASKS: Limit = Limit {
    controller: "pids",
    file: "pids.max",
    file_of_v1: "pids.max",
};
const MEMORY: Limit = Limit {
    controller: "memory",
    file: "memory.max",
    file_of_v1: "memory.limit_in_bytes",
};

/// The smallest number of a limit in the groups that `/proc/PID/cgroup` tells of, and those above them.
fn least(groups: &str, limit: &Limit) -> Option<u64> {
    let of_group = |line: &str| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let path = path.trim_start_matches('/');
        let tree = Path::new(TREES);
        if controllers.is_empty() {
            return least_above(tree, path, limit.file);
        }
        let has_limit = controllers.split(',').any(|word| word == limit.controller);
        has_limit.then(|| least_above(&tree.join(controllers), path, limit.file_of_v1))?
    };
    groups.lines().filter_map(of_group).min()
}

/// The smallest number that stands in `file` of a control group and those above it in its tree; `max` is none.
fn least_above(tree: &Path, group: &str, file: &str) -> Option<u64> {
    let group = tree.join(group);
    let above = group
        .ancestors()
        .take_while(|group| group.starts_with(tree));
    let numbers = above.filter_map(|group| {
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
    fn the_unit_allows_as_much_as_the_configuration_that_comes_with_it() {
        let unit = include_str!("../../../systemd/breakwater.service");
        let limit = |key: &str| -> u64 {
            let prefix = format!("{key}=");
            let mut lines = unit.lines().filter_map(|line| line.strip_prefix(&prefix));
            let text = lines.next().unwrap_or_else(|| panic!("no {key}"));
            let (number, unit) = match text.strip_suffix('G') {
                Some(number) => (number, 1 << 30),
                None => (text, 1),
            };
            number.parse::<u64>().unwrap() * unit
        };
        let connections = crate::config::Config::default().server.max_connections as u64;
        // Each may hold itself, a blob's file and a connection to an upstream.
        assert!(limit("LimitNOFILE") >= 3 * connections.saturating_add(FURTHER_DESCRIPTORS));
        // The threads of connections, and those beside them.
        assert!(limit("TasksMax") >= connections + 1024);
        assert!(limit("MemoryMax") >= EACH.saturating_mul(connections).saturating_add(IDLE));
    }

    #[test]
    fn the_nearest_and_the_farthest_control_group_count() {
        let tree = tempfile::tempdir().unwrap();
        let tree = tree.path().join("tree");
        let path = "system.slice/breakwater.service";
        let group = tree.join(path);
        std::fs::create_dir_all(&group).unwrap();
        // Beside the tree, and none of it.
        std::fs::write(tree.join("../memory.max"), "4096\n").unwrap();
        let least = || least_above(&tree, path, "memory.max");
        assert_eq!(least(), None);
        std::fs::write(group.join("memory.max"), "max\n").unwrap();
        assert_eq!(least(), None);
        std::fs::write(group.join("../memory.max"), "1073741824\n").unwrap();
        assert_eq!(least(), Some(1 << 30));
        std::fs::write(group.join("memory.max"), "268435456\n").unwrap();
        assert_eq!(least(), Some(256 << 20));
    }
}
