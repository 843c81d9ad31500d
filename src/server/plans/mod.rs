//! No request reads a table from its beginning to its end, nor sorts one: each endpoint that reads is asked by an
//! administrator, by a member and by a bot, without and with each of its filters, and so is the registry protocol, pushes
//! included. SQLite says how it runs each statement of that.

mod protocol;

use std::collections::BTreeSet;

use protocol::{login, registry};

use super::api::reading_requests;
use super::tests::{by, request, stage};
use super::*;
use crate::http::{Body, Method, RequestBody};
use crate::store::{
    GroupChanges, GroupId, Level, MinimumLevel, NewToken, ProtectionRule, RuleId, RuleOwner,
    TokenKind, UserId, Visibility, record,
};
use crate::time::Timestamp;

/// What is read from beginning to end, or sorted, all the same: the statement, the beginning of the plan's line, and why
/// it does not grow with what tenants store.
const ALLOWED: &[(&str, &str, &str)] = &[
    (
        "count tokens",
        "SCAN tokens USING COVERING INDEX",
        "for metrics: the index of those that count",
    ),
    (
        "count what is cached",
        "SCAN ",
        "for administrators, and for metrics every 15 seconds",
    ),
    (
        "count what was pushed",
        "SCAN repositories",
        "for administrators, in the status",
    ),
    (
        "list the tags of a pushed image",
        "USE TEMP B-TREE",
        "of one image",
    ),
    (
        "find level on a project",
        "USE TEMP B-TREE",
        "of one user, in the groups above one",
    ),
    (
        "find the project of a repository",
        "USE TEMP B-TREE",
        "among the beginnings of one path",
    ),
    (
        "list audit events",
        "SCAN events",
        "newest first by its key, as far as the page goes",
    ),
    ("list webhooks", "SCAN webhooks", "for administrators"),
    ("list features", "SCAN features", "administrators make them"),
    (
        "list features",
        "USE TEMP B-TREE",
        "administrators make them",
    ),
    (
        "list groups",
        "SCAN groups USING ",
        "by an index, as far as the page goes",
    ),
    ("list groups", "USE TEMP B-TREE", "of what the caller sees"),
    (
        "list hosted referrers",
        "USE TEMP B-TREE",
        "ids of what is attached to one manifest",
    ),
    (
        "list images",
        "SCAN origins",
        "by indexes, as far as the page goes",
    ),
    (
        "look how long ago so many tags were pulled",
        "SCAN tags USING COVERING INDEX",
        "the last pulled first, as far as the page goes",
    ),
    (
        "look whether there are very many images",
        "SCAN tags USING COVERING INDEX",
        "as far as is counted",
    ),
    (
        "list members of some places",
        "USE TEMP B-TREE",
        "of one place and those above it",
    ),
    ("list networks", "SCAN networks", "administrators make them"),
    (
        "list projects",
        "SCAN projects USING ",
        "by an index, as far as the page goes",
    ),
    (
        "list projects",
        "USE TEMP B-TREE",
        "of what the caller sees",
    ),
    (
        "list upstreams",
        "SCAN upstreams",
        "administrators make them",
    ),
    (
        "list upstreams",
        "USE TEMP B-TREE",
        "administrators make them",
    ),
    (
        "list users",
        "SCAN users USING ",
        "administrators make them",
    ),
    (
        "list blobs that are pushed and cached",
        "SCAN hosted",
        "for administrators, who ask what all of the cache consists of",
    ),
    (
        "list cached blobs",
        "SCAN ",
        "for administrators, who ask what all of the cache consists of",
    ),
    (
        "list cached manifests",
        "SCAN ",
        "for administrators, who ask what all of the cache consists of",
    ),
    (
        "list cached tags",
        "SCAN ",
        "for administrators, who ask what all of the cache consists of",
    ),
    (
        "list links",
        "SCAN ",
        "for administrators, who ask what all of the cache consists of",
    ),
    ("list pins", "SCAN pins", "administrators make them"),
    (
        "list pulls",
        "SCAN ",
        "for administrators, who ask what all of the cache consists of",
    ),
    (
        "list references",
        "SCAN ",
        "for administrators, who ask what all of the cache consists of",
    ),
    (
        "list repositories",
        "SCAN ",
        "for administrators, who ask what all of the cache consists of",
    ),
    (
        "list what is attached",
        "SCAN ",
        "for administrators, who ask what all of the cache consists of",
    ),
    (
        "list images",
        "USE TEMP B-TREE",
        "of one repository; of all where administrators ask for another order than by name",
    ),
    ("list repairs", "SCAN repairs", "one for each damaged file"),
    (
        "list repairs",
        "USE TEMP B-TREE",
        "one for each damaged file",
    ),
    (
        "look into the database",
        "SCAN sqlite_master",
        "the list of tables",
    ),
    (
        "sum up storage",
        "USE TEMP B-TREE",
        "what counts towards one quota",
    ),
];

/// What is scanned and is no table: results that are being worked out, and lists that are given.
const IN_MEMORY: &[&str] = &[
    "json_each",
    "CONSTANT",
    "above",
    "levels",
    "open",
    "own",
    "placed",
    "seen",
    "upward",
];

struct Caller {
    name: &'static str,
    secret: String,
}

fn token(
    appliance: &Appliance,
    kind: TokenKind,
    user: Option<UserId>,
    group: Option<GroupId>,
) -> String {
    let secret = crate::auth::secret::Secret::mint(kind).unwrap();
    let token = NewToken {
        kind,
        name: "t".into(),
        digest: secret.digest(),
        scopes: vec!["api".into()],
        user_id: user,
        group_id: group,
        project_id: None,
        username: None,
        access_level: group.map(|_| Level::Owner),
        expires_at: None,
        maker: crate::store::Maker::on_the_box(),
    };
    appliance.store.access.create_token(&by(), &token).unwrap();
    secret.expose().to_owned()
}

/// An administrator, an owner of `acme`, and a bot of `acme`; the project `acme/app` has rules and quotas above it.
fn callers(appliance: &Appliance) -> [Caller; 3] {
    let access = &appliance.store.access;
    let acme = access.group_by_path("acme").unwrap().unwrap().id;
    let app = access
        .create_project(&by(), "acme/app", Visibility::Private)
        .unwrap();
    let changes = GroupChanges {
        quota: Some(Some(1 << 30)),
        ..GroupChanges::default()
    };
    access.set_group(&by(), acme, &changes).unwrap();
    for owner in [RuleOwner::Group(acme), RuleOwner::Project(app)] {
        let rule = ProtectionRule {
            id: RuleId(0),
            owner,
            pattern: "none/*".into(),
            tag_pattern: None,
            min_push: Some(MinimumLevel::Owner),
            min_delete: None,
            created_at: Timestamp(1),
        };
        access.add_rule(&by(), &rule).unwrap();
    }
    let user = |name: &str, is_admin| {
        let user = access
            .create_user(&by(), name, is_admin, true, None)
            .unwrap();
        access.set_member(&by(), acme, user, Level::Owner).unwrap();
        token(appliance, TokenKind::Personal, Some(user), None)
    };
    [
        Caller {
            name: "administrator",
            secret: user("administrator", true),
        },
        Caller {
            name: "owner",
            secret: user("owner", false),
        },
        Caller {
            name: "bot",
            secret: token(appliance, TokenKind::Group, None, Some(acme)),
        },
    ]
}

fn ask(
    appliance: &Appliance,
    method: Method,
    path: &str,
    authorization: &str,
    kind: &str,
    body: &[u8],
) -> Response {
    let (path, query) = path
        .split_once('?')
        .map_or((path, None), |(path, query)| (path, Some(query)));
    let mut request = request(path, query, authorization);
    request.method = method;
    request.headers = [
        ("Authorization", authorization),
        ("Content-Type", kind),
        ("Accept", "*/*"),
    ]
    .into_iter()
    .collect();
    request.body = RequestBody::from(body.to_vec());
    let mut response = appliance.handle(&mut request);
    if let Body::Stream { .. } | Body::Arriving { .. } = &response.body {
        let body = std::mem::replace(&mut response.body, Body::Empty);
        std::io::copy(&mut body.into_reader(), &mut std::io::sink()).unwrap();
    }
    response
}

#[test]
fn no_request_reads_or_sorts_a_whole_table() {
    let directory = tempfile::tempdir().unwrap();
    let (appliance, _, _) = stage(directory.path());
    let callers = callers(&appliance);
    record::note_plans();
    for caller in &callers {
        registry(&appliance, caller);
        let bearer = format!("Bearer {}", caller.secret);
        let mut answered = 0;
        for path in reading_requests() {
            let answer = ask(&appliance, Method::Get, &path, &bearer, "", b"");
            // Some is for administrators, or for users only; and there is not one of everything.
            let status = answer.status;
            assert!(
                matches!(status, 200 | 401 | 403 | 404),
                "{} {path}: {status}",
                caller.name
            );
            answered += usize::from(status == 200);
        }
        assert!(answered > 50, "{}: {answered}", caller.name);
        let status = ask(&appliance, Method::Get, "/metrics", &bearer, "", b"").status;
        assert!(matches!(status, 200 | 403), "{status}");
    }
    let bearer = login(&appliance, &callers[1]);
    for path in ["manifests/latest", "manifests/latest", "tags/list"] {
        let path = format!("/v2/acme/dependency_proxy/containers/x/y/{path}");
        let answer = ask(&appliance, Method::Get, &path, &bearer, "", b"");
        assert_eq!(answer.status, 200, "{path}");
    }
    let plans = record::take_plans();
    assert!(plans.len() > 80, "{} statements", plans.len());
    let mut used = BTreeSet::new();
    let mut faults = BTreeSet::new();
    for (statement, line) in plans {
        let scanned = line
            .strip_prefix("SCAN ")
            .and_then(|rest| rest.split(' ').next());
        let is_scan = scanned
            .is_some_and(|scanned| !IN_MEMORY.contains(&scanned) && !scanned.starts_with('('));
        if !is_scan && line != "USE TEMP B-TREE FOR ORDER BY" {
            continue;
        }
        let allowed = ALLOWED
            .iter()
            .position(|(name, begin, _)| *name == statement && line.starts_with(begin));
        match allowed {
            Some(at) => drop(used.insert(at)),
            None => drop(faults.insert(format!("{statement}: {line}"))),
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    let unused: Vec<_> = (0..ALLOWED.len())
        .filter(|at| !used.contains(at))
        .map(|at| ALLOWED[at])
        .collect();
    assert!(unused.is_empty(), "allowed, and not needed: {unused:?}");
}
