//! What the kernel knows of this process, under the names that every Prometheus client library uses.

use super::catalog::name;
use super::page::Page;
use crate::time::Timestamp;

/// Writes CPU time, memory, descriptors, threads and the start time. What `/proc` does not tell is left out.
pub fn write_process(page: &mut Page, started_at: Timestamp) {
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
    page.single(&name::PROCESS_CPU, seconds);
    page.single(&name::PROCESS_START, started_at.0);
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let fields = [
            ("VmRSS:", &name::PROCESS_RESIDENT, 1024),
            ("VmSize:", &name::PROCESS_VIRTUAL, 1024),
            ("Threads:", &name::PROCESS_THREADS, 1),
        ];
        for (field, metric, unit) in fields {
            if let Some(number) = number(&status, field) {
                page.single(metric, number.saturating_mul(unit));
            }
        }
    }
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        // Without the one that reads the directory.
        page.single(&name::PROCESS_FDS, entries.count().saturating_sub(1));
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    if let Some(most) = limit.current {
        page.single(&name::PROCESS_MAX_FDS, most);
    }
}

/// The number behind a field of `/proc/self/status`.
fn number(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_all_of_it() {
        let mut page = Page::default();
        write_process(&mut page, Timestamp(1_700_000_000));
        let text = page.into_text();
        let value = |name: &str| -> f64 {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{name} is missing:\n{text}"))
                .parse()
                .unwrap()
        };
        assert_eq!(value("process_start_time_seconds"), 1_700_000_000.0);
        assert!(value("process_cpu_seconds_total") > 0.0);
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
        assert!(value("process_threads") >= 1.0);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
    }
}
