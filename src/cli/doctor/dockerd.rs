//! What docker daemons of this machine were told on their command lines, and where that stands: the line of the
//! running process, or that of systemd's unit with its drop-ins. Judges nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where units are, the strongest first (systemd.unit(5)).
const UNITS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
const UNIT: &str = "docker.service";
/// Where docker reads its settings unless it is told otherwise.
const SETTINGS: &str = "/etc/docker/daemon.json";
/// Debian's unit hands `DOCKER_OPTS` of this file on.
const OPTIONS: &str = "/etc/default/docker";

/// A docker daemon, running or to be started.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Daemon {
    /// Mirrors that its command line names.
    pub(super) mirrors: Vec<String>,
    /// The file with its settings.
    pub(super) settings: PathBuf,
    /// Where its command line stands.
    pub(super) told_by: String,
}

/// Those that run here; where none does, the one that systemd would start; where there is no unit, one without
/// options.
pub(super) fn daemons() -> Vec<Daemon> {
    let mut daemons = running();
    if daemons.is_empty() {
        daemons.push(of_unit());
    }
    daemons
}

fn running() -> Vec<Daemon> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let of_process = |directory: &Path| {
        let read = |file: &str| std::fs::read_to_string(directory.join(file)).ok();
        let is_named = read("comm")?.trim_end() == "dockerd";
        // One in a container is left out: its addresses and files are not those of this machine.
        if !is_named || !is_of_this_namespace(&read("status")?) {
            return None;
        }
        let line = read("cmdline")?;
        let number = directory.file_name()?.to_string_lossy();
        Some(Daemon::told(
            line.split('\0'),
            format!("the command line of process {number}"),
        ))
    };
    processes
        .filter_map(|entry| of_process(&entry.path()))
        .collect()
}

/// Whether a process of `/proc/PID/status` has one number alone.
fn is_of_this_namespace(status: &str) -> bool {
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.is_none_or(|numbers| numbers.split_ascii_whitespace().count() == 1)
}

fn of_unit() -> Daemon {
    let mut files: Vec<PathBuf> = Vec::new();
    let units = UNITS.map(Path::new);
    let own = units.map(|units| units.join(UNIT));
    files.extend(own.into_iter().find(|file| file.exists()));
    files.extend(drop_ins(
        &units.map(|units| units.join(format!("{UNIT}.d"))),
    ));
    let texts = files.into_iter().filter_map(|file| {
        let text = std::fs::read_to_string(&file).ok()?;
        Some((file, text))
    });
    let Some((file, line)) = exec_start(texts) else {
        return Daemon::told([], String::new());
    };
    let mut words: Vec<String> = words(&line);
    if words.iter().any(|word| word.contains("DOCKER_OPTS")) {
        let options = std::fs::read_to_string(OPTIONS).unwrap_or_default();
        let set = |line: &str| line.trim().strip_prefix("DOCKER_OPTS=").map(str::to_owned);
        let options = options.lines().filter_map(set).next_back();
        let options = options.unwrap_or_default();
        words.extend(self::words(&options));
    }
    Daemon::told(words.iter().map(String::as_str), file.display().to_string())
}

/// `*.conf` of the directories, by name; of those with the same name the first directory's.
fn drop_ins(directories: &[PathBuf]) -> Vec<PathBuf> {
    let mut by_name = BTreeMap::new();
    for directory in directories {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "conf")
            {
                by_name.entry(entry.file_name()).or_insert(path);
            }
        }
    }
    by_name.into_values().collect()
}

/// The last `ExecStart=` and its file; an empty one takes back those before.
fn exec_start(files: impl Iterator<Item = (PathBuf, String)>) -> Option<(PathBuf, String)> {
    let mut found = None;
    for (file, text) in files {
        // A line that ends in a backslash goes on.
        for line in text.replace("\\\n", " ").lines() {
            let value = line.trim().strip_prefix("ExecStart");
            let value = value.and_then(|rest| rest.trim_start().strip_prefix('='));
            if let Some(value) = value {
                let value = value.trim();
                found = (!value.is_empty()).then(|| (file.clone(), value.to_owned()));
            }
        }
    }
    found
}

/// Words without their quotes; a mirror's URL and a path of settings have none inside.
fn words(line: &str) -> Vec<String> {
    line.split_whitespace()
        .map(|word| word.replace(['"', '\''], ""))
        .collect()
}

impl Daemon {
    fn told<'a>(words: impl IntoIterator<Item = &'a str>, told_by: String) -> Self {
        let mut daemon = Self {
            mirrors: Vec::new(),
            settings: SETTINGS.into(),
            told_by,
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word, None),
            };
            match name {
                "--registry-mirror" => {
                    let value = value.or_else(|| words.next());
                    daemon.mirrors.extend(value.map(str::to_owned));
                }
                "--config-file" => {
                    if let Some(file) = value.or_else(|| words.next()) {
                        daemon.settings = file.into();
                    }
                }
                _ => {}
            }
        }
        daemon
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_says_mirrors_and_settings() {
        for (line, mirrors, settings) in [
            ("dockerd -H fd://", &[][..], SETTINGS),
            (
                "dockerd --registry-mirror https://a --registry-mirror=https://b",
                &["https://a", "https://b"],
                SETTINGS,
            ),
            (
                "dockerd --config-file=/x.json --registry-mirror 'https://a'",
                &["https://a"],
                "/x.json",
            ),
            ("dockerd --registry-mirror", &[], SETTINGS),
        ] {
            let words = words(line);
            let daemon = Daemon::told(words.iter().map(String::as_str), String::new());
            assert_eq!(daemon.mirrors, mirrors, "{line}");
            assert_eq!(daemon.settings, Path::new(settings), "{line}");
        }
    }

    #[test]
    fn the_last_command_of_a_unit_and_its_drop_ins_counts() {
        let file = |name: &str, text: &str| (PathBuf::from(name), text.to_owned());
        for (files, expected) in [
            (vec![], None),
            (
                vec![file("a", "[Service]\nExecStart=dockerd -H fd://\n")],
                Some(("a", "dockerd -H fd://")),
            ),
            (
                vec![
                    file("a", "ExecStart=dockerd\nExecStartPost=true\n"),
                    file(
                        "b",
                        "ExecStart=\nExecStart = dockerd \\\n  --registry-mirror=x\n",
                    ),
                ],
                Some(("b", "dockerd    --registry-mirror=x")),
            ),
            (
                vec![file("a", "ExecStart=dockerd\n"), file("b", "ExecStart=\n")],
                None,
            ),
        ] {
            let found = exec_start(files.into_iter());
            let found = found.map(|(file, line)| (file.display().to_string(), line));
            let found = found.as_ref().map(|(file, line)| (&**file, &**line));
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_process_of_a_container_has_several_numbers() {
        for (status, expected) in [
            ("Name:\tdockerd\nNSpid:\t812\n", true),
            ("Name:\tdockerd\nNSpid:\t812\t1\n", false),
            ("Name:\tdockerd\n", true),
        ] {
            assert_eq!(is_of_this_namespace(status), expected, "{status}");
        }
    }
}
