//! Every kind of write that the program makes, on a disk without room or with a database that somebody else holds.
//!
//! A database's file is never written but through its log (`-wal`), for which room is held. So a test makes the logs
//! empty before it fills the disk, which takes that room too: then each write has to make one longer. "Whole" means that
//! rows and files are compared before and after.
//!
//! | what is written | where | on a full disk | shown by |
//! |---|---|---|---|
//! | a fill: staged file, rename, rows of blob, origin and repository | `staging/`, `blobs/`, `cache.sqlite` | the blob is passed through (`bypass`), nothing is staged | `full_disk`, `served::pulls_and_logins…` |
//! | a manifest from upstream, a tag, a list of tags | `blobs/`, `cache.sqlite` | served, not kept, said in the log | `served::pulls_and_logins…` |
//! | that a tag was confirmed, or is gone upstream | `cache.sqlite`, given up after half a second | served as it is | `served::pulls_and_logins…`, `locked` |
//! | pulls, last uses of tokens | memory, then `cache.sqlite` | wait in memory | `served::pulls_and_logins…` |
//! | a blob for a reader, passed through | a socket; nothing on the disk | as ever | `read_only` |
//! | pushes: begin, piece, end, whole, mount, manifest by tag and digest | `staging/`, `blobs/`, `registry.sqlite` | 507, whole; a piece that does not fit ends its upload | `served::a_push…`, `served::an_upload…`, `push_pull::uploads` |
//! | deletions of tags, manifests, blobs, uploads | `registry.sqlite`, then files | 507, whole | `served::a_push…` |
//! | the same, with the room that the logs hold | | done, and the room of what went is free again | `room` |
//! | that a push relies on a blob | memory, then `registry.sqlite` | the read does not wait; the mark waits in memory | `locked::whoever_may_push…`, `garbage::lost` |
//! | expiry of uploads, garbage collection | files of uploads, `registry.sqlite`, then files | status 1, and found the next time | `commands` |
//! | each change of the REST API: users, tokens of all kinds, groups, projects, members, rules, flags, networks, upstreams, purges | `access.sqlite` with `audit.sqlite`, or `cache.sqlite` | 507, whole | `api::full` |
//! | each change by command | the same, `secret.key`, `keys/`, `tls/` | status 1, whole | `commands` |
//! | the event of such a change | `audit.sqlite`, before the change is committed | the change is not made | `api::full`, `commands`, `store::audit` |
//! | logins, refusals, bans as events | memory, then `audit.sqlite` | wait in memory, within bounds | `served::pulls_and_logins…` |
//! | a login: by password, by token; the JWT | nothing on its way | as ever | `served::pulls_and_logins…` |
//! | `log/auth_json.log` | the file | the event goes to the ordinary log, no half line stays | `served::pulls_and_logins…` |
//! | the switch `offline` | a file without bytes | done; that the audit lacks it is said | `commands` |
//! | `backup`, `restore` | `staging/`, the file outside; the databases | status 1, what was there stays | `commands` |
//! | a new box: databases, directories, keys, the first password | the data directory | status 1; made once there is room | `starts` |
//! | a start: `-wal` and `-shm`, `lock`, `control.sock`, the note that it runs | the data directory | it serves: the files of the logs are kept over a stop, the note is taken later | `starts`, `garbage::lost` |
//! | a stop: what was noted, the note of a clean stop | all databases | status 1 with the reason; the next start compares rows with files | `starts` |
//! | migrations | any database | status 1, nothing changed | `starts`, `store::migrations` |
//! | `doctor`, `verify`, lists | nothing | as ever; `doctor` names the disk | `commands`, `served`, `starts` |

mod commands;
mod locked;
mod room;
mod served;
mod starts;

use std::path::Path;

use serde_json::Value;

use crate::support::appliance::Appliance;

/// In the data directory, but not what is compared: what the tests fill the disk with, and the logs.
const NOT_OURS: [&str; 2] = ["filler", "log"];

/// How many events of this kind the audit tells of, each as often as it counts.
fn audit_kinds(appliance: &Appliance, kind: &str) -> i64 {
    let events = appliance.audit(&["--limit", "10000"]);
    let of_kind = events.as_array().unwrap().iter();
    of_kind
        .filter(|event| event["event"] == kind)
        .map(|event| event["count"].as_i64().unwrap())
        .sum()
}

/// The log of logins, each line of which is an object.
fn log_lines(data: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(data.join("log/auth_json.log")).unwrap();
    let lines = text.lines().map(serde_json::from_str);
    lines.map(|line| line.expect("a whole line")).collect()
}
