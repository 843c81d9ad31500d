//! Who runs a command, as the system calls it: for the audit alone, never for a decision.

use std::path::Path;

use rustix::process::{Gid, Uid};

/// The name of the account that runs this process; of root's, the account that became root by `sudo`, if the
/// environment names one. To be asked before the process becomes somebody else.
pub(super) fn caller() -> Option<String> {
    let user = rustix::process::getuid();
    let by_sudo = || std::env::var("SUDO_USER").ok().filter(|name| is_name(name));
    let name = || name_of(user, &std::fs::read_to_string("/etc/passwd").ok()?);
    let sudo = user.is_root().then(by_sudo).flatten();
    sudo.or_else(name)
        .or_else(|| Some(format!("uid {}", user.as_raw())))
}

/// What `passwd(5)` calls the user; accounts of a directory service are not in it.
fn name_of(user: Uid, passwd: &str) -> Option<String> {
    let user = user.as_raw().to_string();
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| is_name(name))?;
        (fields.nth(1)? == user).then(|| name.to_owned())
    })
}

/// User and group of the account, if it is not root's, whose home is this directory.
pub(super) fn owner_of_home(directory: &Path, passwd: &str) -> Option<(Uid, Gid)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let user: u32 = fields.next()?.parse().ok()?;
        let group: u32 = fields.next()?.parse().ok()?;
        let home = fields.nth(1)?;
        let is_meant = user != 0 && Path::new(home) == directory;
        is_meant.then(|| (Uid::from_raw(user), Gid::from_raw(group)))
    })
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n\nbad line\na b:x:7:7::/:\nalice:x:1000:1000:A:/:/bin/sh\n";
        for (user, expected) in [
            (0, Some("root")),
            (1000, Some("alice")),
            (7, None),
            (8, None),
        ] {
            let found = name_of(Uid::from_raw(user), passwd);
            assert_eq!(found.as_deref(), expected, "{user}");
        }
    }

    #[test]
    fn the_account_whose_home_it_is_is_not_root() {
        let passwd = "root:x:0:0::/var/lib/x:/bin/sh\nbad line\n\
            box:x:901:902::/var/lib/x:/usr/sbin/nologin\nother:x:903:904::/home:/bin/sh\n";
        let found = |home: &str| {
            let (user, group) = owner_of_home(Path::new(home), passwd)?;
            Some((user.as_raw(), group.as_raw()))
        };
        assert_eq!(found("/var/lib/x"), Some((901, 902)));
        assert_eq!(found("/var/lib/x/"), Some((901, 902)));
        assert_eq!(found("/var/lib"), None);
        assert_eq!(found(""), None);
    }
}
