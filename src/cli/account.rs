//! Who runs a command, as the system calls it: for the audit alone, never for a decision.

use rustix::process::Uid;

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
}
