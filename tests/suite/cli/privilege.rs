//! What the server's process may do, and what others may do to it.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;

use crate::support::appliance::Appliance;

fn of_process(appliance: &Appliance, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{}/{file}", appliance.pid())).unwrap()
}

#[test]
fn the_server_is_closed_to_others_and_gains_no_rights() {
    let mut appliance = Appliance::builder().prepare();
    let data = appliance.data();
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        // `nobody`, as everywhere on Linux: then the kernel shows whether it is open to its own user.
        std::fs::create_dir(&data).unwrap();
        std::os::unix::fs::chown(&data, Some(65534), Some(65534)).unwrap();
        let parent = data.parent().unwrap();
        let passable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(parent, passable).unwrap();
    }
    appliance.restart();
    let status = of_process(&appliance, "status");
    for expected in ["Umask:\t0077\n", "NoNewPrivs:\t1\n"] {
        assert!(status.contains(expected), "{status}");
    }
    let limits = of_process(&appliance, "limits");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<_> = core.unwrap().split_ascii_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{limits}");
    if is_root {
        assert!(
            status.contains("Uid:\t65534\t65534\t65534\t65534\n"),
            "{status}"
        );
        // Of a process that may be dumped and traced by its user, these files are that user's.
        let owner = std::fs::metadata(format!("/proc/{}/environ", appliance.pid())).unwrap();
        assert_eq!(owner.uid(), 0, "its own user may look into its memory");
        assert!(!appliance.log().contains("running as root"));
    }
    appliance.signal(Signal::ABORT);
    let ended = appliance.wait();
    assert_eq!(ended.signal(), Some(Signal::ABORT.as_raw()));
    assert!(!ended.core_dumped(), "{ended}");
}

#[test]
fn root_is_told_to_stay_away() {
    if !rustix::process::geteuid().is_root() {
        println!("only root runs as root: nothing tested");
        return;
    }
    let appliance = Appliance::start();
    assert!(
        appliance.log().contains("running as root"),
        "{}",
        appliance.log()
    );
}
