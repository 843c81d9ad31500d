//! What only shows between processes: the lock, the umask. The other process is this test's own
//! program, started again for the one test below that plays it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use breakwater::error::Kind;
use breakwater::store::Store;

use super::{at, by_box, fresh, keep, mode, repository};

const PART: &str = "BREAKWATER_TEST_PART";
const DATA: &str = "BREAKWATER_TEST_DATA";

/// Not a test: the other process. Does its part when it is started by one of the tests below.
#[test]
fn other_process() {
    let (Ok(part), Ok(data)) = (std::env::var(PART), std::env::var(DATA)) else {
        return;
    };
    let data = Path::new(&data);
    match part.as_str() {
        "lock" => {
            let store = Store::open(data).unwrap();
            let _lock = store.lock().unwrap();
            say_and_wait();
        }
        "create" => {
            rustix::process::umask(rustix::fs::Mode::empty());
            let store = Store::create(data).unwrap();
            let _lock = store.lock().unwrap();
            store
                .access
                .create_user(&by_box(), "other", false, false, None)
                .unwrap();
            keep(&store, repository(&store, "here"), b"layer", at(1));
            drop(store.blobs.stage_named("aa").unwrap());
            say_and_wait();
        }
        other => panic!("{other}"),
    }
}

/// Tells the test that the part is done, and lives until the test closes the pipe or kills us.
fn say_and_wait() {
    println!("\nready");
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read_line(&mut String::new());
}

struct Other(Child);

impl Other {
    /// Starts the other process and waits until its part is done.
    fn start(part: &str, data: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::processes::other_process", "--nocapture"])
            .env(PART, part)
            .env(DATA, data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let is_ready = lines.map_while(Result::ok).any(|line| line == "ready");
        assert!(is_ready, "the other process failed at its part `{part}`");
        Self(child)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_lock_names_the_process_that_has_it() {
    let (_directory, store) = fresh();
    let other = Other::start("lock", store.directory());
    let error = store.lock().map(drop).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    let text = error.to_string();
    assert!(text.contains(&format!("pid {}", other.0.id())), "{text}");
    assert!(
        text.contains(&store.directory().display().to_string()),
        "{text}"
    );
    // Killed, not stopped: the lock goes with the process.
    drop(other);
    let lock = store.lock().unwrap();
    let error = store.lock().map(drop).unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("pid {}", std::process::id()))
    );
    drop(lock);
    store.lock().unwrap();
}

#[test]
fn modes_are_closed_whatever_the_umask_is() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let _other = Other::start("create", &data);
    let mut waiting = vec![data];
    let mut names = Vec::new();
    while let Some(path) = waiting.pop() {
        let is_directory = path.is_dir();
        let expected = if is_directory { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), expected, "{}", path.display());
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        if is_directory {
            waiting.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
    }
    // While it is open the journals are there as well.
    for name in [
        "access.sqlite",
        "access.sqlite-wal",
        "access.sqlite-shm",
        "cache.sqlite-wal",
        "lock",
        "aa",
    ] {
        assert!(names.iter().any(|n| n == name), "{name} in {names:?}");
    }
}
