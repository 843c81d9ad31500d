//! `DATA/log/auth_json.log`: what happened to logins, always JSON, one object a line, mode 0600.
//!
//! It is rotated by size here, because a box runs for years without anybody who looks after it: at 10 MiB the
//! file becomes `auth_json.log.1`, the older ones move up, and the fifth goes.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde_json::Value;

use super::line::escape_json;
use crate::error::{Error, Result};

/// Bytes after which a file is full.
const FULL: u64 = 10 << 20;
/// Files that are kept: the current one and four older ones.
const FILES: u32 = 5;

/// The log of logins, open for appending.
pub struct AuthLog {
    path: PathBuf,
    full: u64,
    current: Mutex<Current>,
}

struct Current {
    file: File,
    length: u64,
}

impl AuthLog {
    /// Opens the log below the data directory `data`, or makes it.
    ///
    /// # Errors
    /// `Io` if its directory or the file cannot be made.
    pub fn open(data: &Path) -> Result<Self> {
        Self::open_with(data, FULL)
    }

    fn open_with(data: &Path, full: u64) -> Result<Self> {
        let directory = data.join("log");
        match DirBuilder::new().mode(0o700).create(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(Error::io("cannot make", &directory, error));
            }
            _ => {}
        }
        let path = directory.join("auth_json.log");
        let current = Mutex::new(append_to(&path)?);
        Ok(Self {
            path,
            full,
            current,
        })
    }

    /// Appends one object as one line. A failure goes to the ordinary log: a login is not refused
    /// because its log is full.
    pub fn write(&self, event: &Value) {
        let mut line = escape_json(&event.to_string());
        line.push('\n');
        let mut current = self.current.lock();
        if let Err(error) = self.append(&mut current, line.as_bytes()) {
            tracing::error!(%error, event = line.trim_end(), "an event of authentication was not logged");
        }
    }

    fn append(&self, current: &mut Current, line: &[u8]) -> Result<()> {
        let length = line.len() as u64;
        if current.length > 0 && current.length.saturating_add(length) > self.full {
            self.rotate()?;
            *current = append_to(&self.path)?;
        }
        if let Err(error) = current.file.write_all(line) {
            // A full disk may have taken half of the line. The next one must not go on behind it.
            let _ = current.file.set_len(current.length);
            return Err(Error::io("cannot write to", &self.path, error));
        }
        current.length = current.length.saturating_add(length);
        Ok(())
    }

    /// Moves every file up by one; the oldest is replaced by the one before it.
    fn rotate(&self) -> Result<()> {
        let name = |number: u32| match number {
            0 => self.path.clone(),
            number => self.path.with_extension(format!("log.{number}")),
        };
        for (from, to) in (0..FILES).zip(1..FILES).rev() {
            match std::fs::rename(name(from), name(to)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("cannot rotate", &name(from), error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn append_to(path: &Path) -> Result<Current> {
    let open = || {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        let length = file.metadata()?.len();
        Ok(Current { file, length })
    };
    open().map_err(|error| Error::io("cannot open", path, error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_lines_of_json_in_a_private_file() {
        let data = tempfile::tempdir().unwrap();
        let evil = "a\n\u{1b}[2J\u{7f}\u{85}b";
        AuthLog::open(data.path())
            .unwrap()
            .write(&json!({"username": evil}));
        AuthLog::open(data.path())
            .unwrap()
            .write(&json!({"message": "second"}));
        let path = data.path().join("log/auth_json.log");
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            lines,
            [json!({"username": evil}), json!({"message": "second"})]
        );
        assert!(
            !text.replace('\n', "").chars().any(char::is_control),
            "{text:?}"
        );
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&data.path().join("log")), 0o700);
    }

    #[test]
    fn full_files_move_up_and_the_oldest_goes() {
        let data = tempfile::tempdir().unwrap();
        // Each event fills a file of 20 bytes.
        let log = AuthLog::open_with(data.path(), 20).unwrap();
        for number in 0..8 {
            log.write(&json!({ "number": number }));
        }
        let read = |name: &str| std::fs::read_to_string(data.path().join("log").join(name));
        assert_eq!(read("auth_json.log").unwrap(), "{\"number\":7}\n");
        for age in 1..5 {
            let text = read(&format!("auth_json.log.{age}")).unwrap();
            assert_eq!(text, format!("{{\"number\":{}}}\n", 7 - age));
        }
        assert!(read("auth_json.log.5").is_err());
    }
}
