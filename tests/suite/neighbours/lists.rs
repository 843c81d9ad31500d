//! Lists of what one tenant has stored in masses: a page costs what the page holds, whoever asks for it, and hung up
//! requests for pages keep nobody waiting.

use std::io::Write as _;
use std::time::{Duration, Instant};

use breakwater::oci::Digest;
use rusqlite::Connection;

use super::Neighbours;
use crate::support::client::{Client, connect};
use crate::support::pushing::{OCI_INDEX, put_manifest};

/// What a single page may take, however much is stored: generous, for builds without optimization on busy machines.
const PAGE: Duration = Duration::from_secs(2);

/// An index of nearly 4 MiB: as many references as fit, to manifests that are not here.
fn largest_index(seed: u32) -> Vec<u8> {
    let mut body = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":["#);
    for number in 0_u32.. {
        let digest = Digest::of(format!("{seed} {number}").as_bytes());
        let descriptor = format!(r#"{{"mediaType":"a/b","size":1,"digest":"{digest}"}}"#);
        if body.len() + descriptor.len() + 3 > 4 << 20 {
            break;
        }
        body += if number == 0 { "" } else { "," };
        body += &descriptor;
    }
    (body + "]}").into_bytes()
}

fn database(neighbours: &Neighbours, name: &str, statements: &str) {
    let connection = Connection::open(neighbours.appliance.data().join(name)).unwrap();
    connection.busy_timeout(Duration::from_secs(60)).unwrap();
    connection.execute_batch(statements).unwrap();
}

/// Sends a request for each path eight times and hangs up on all of them; then asks for each path once more, and
/// waits for the page.
fn ask_and_hang_up(neighbours: &Neighbours, client: &Client, field: &str, paths: &[String]) {
    for path in paths {
        let open: Vec<_> = (0..8)
            .map(|_| {
                let mut stream = connect(neighbours.appliance.address());
                let head = format!("GET {path} HTTP/1.1\r\nHost: box\r\n{field}\r\n\r\n");
                stream.write_all(head.as_bytes()).unwrap();
                stream
            })
            .collect();
        drop(open);
        let begun = Instant::now();
        let mut answer = client.get(path);
        // One list at a time for an address: what was hung up on may be about to end.
        while answer.status == 503 && begun.elapsed() < PAGE {
            std::thread::sleep(Duration::from_millis(10));
            answer = client.get(path);
        }
        let took = begun.elapsed();
        println!("{path}: {took:?}, {} bytes", answer.body.len());
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(took < PAGE, "{path} took {took:?}");
    }
}

fn private_token(secret: &str) -> String {
    format!("PRIVATE-TOKEN: {secret}")
}

#[test]
fn a_page_of_tags_costs_the_page_whatever_the_tags_point_to() {
    let neighbours = Neighbours::start();
    let eve = neighbours.attacker(&["evil/app"]);
    let index = largest_index(0);
    let begun = Instant::now();
    for batch in 0..20 {
        let tags: Vec<_> = (0..100).map(|tag| format!("tag=t{batch}-{tag}")).collect();
        let reference = format!("{}?{}", Digest::of(&index), tags.join("&"));
        let answer = put_manifest(&eve, "evil/app", &reference, OCI_INDEX, &index);
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    println!("2,000 tags pushed in {:?}", begun.elapsed());
    let rest = neighbours.attacker_rest();
    let repositories = "/api/v4/projects/evil%2Fapp/registry/repositories";
    let id = rest.get(repositories).json()[0]["id"].clone();
    let paths = [
        format!("{repositories}/{id}/tags?per_page=1"),
        format!("{repositories}/{id}/tags?per_page=100&page=20"),
        format!("{repositories}/{id}/tags/t7-7"),
        format!("{repositories}?tags=true&tags_count=true"),
    ];
    neighbours.unharmed_by("pages of 2,000 tags of an index", || {
        ask_and_hang_up(
            &neighbours,
            &rest,
            &private_token(&neighbours.secret),
            &paths,
        );
    });
    let page = rest.get(&paths[0]);
    assert_eq!(page.field("X-Total"), Some("2000"));
    let tag = rest.get(&paths[2]).json();
    assert!(
        tag["total_size"].as_u64().unwrap() > index.len() as u64,
        "{tag}"
    );
    assert_eq!(rest.get(&paths[3]).json()[0]["tags_count"], 2_000);
}

/// Rows as pushes, requests and commands would make them, in masses: all of them `evil`'s.
fn fill(neighbours: &Neighbours) {
    let numbers = |count: u32| {
        format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
        )
    };
    database(
        neighbours,
        "access.sqlite",
        &format!(
            "BEGIN;
             {many} INSERT INTO groups (path, parent_id, visibility, created_at)
                 SELECT 'evil/g' || i, (SELECT id FROM groups WHERE path = 'evil'), 'private', 1 FROM n;
             {many} INSERT INTO projects (path, group_id, visibility, created_at)
                 SELECT 'evil/g' || i || '/p', (SELECT id FROM groups WHERE path = 'evil/g' || i), 'private', 1 FROM n;
             {more} INSERT INTO tokens (kind, name, digest, scopes, user_id, project_id, created_at, created_by)
                 SELECT 'job', 'job', randomblob(32), '', (SELECT id FROM users WHERE name = 'eve'),
                     (SELECT id FROM projects WHERE path = 'evil/app'), 1, 'eve' FROM n;
             COMMIT;",
            many = numbers(20_000),
            more = numbers(100_000),
        ),
    );
    database(
        neighbours,
        "registry.sqlite",
        &format!(
            "BEGIN;
             {more} INSERT INTO repositories (project_id, path, created_at)
                 SELECT (SELECT project_id FROM repositories WHERE path = 'evil/app'), 'evil/app/r' || i, 1 FROM n;
             INSERT INTO manifests (repository_id, blob_id, media_type, total_size, reference_count, pushed_at, pushed_by)
                 SELECT id, (SELECT min(blob_id) FROM manifests), '{OCI_INDEX}', 1, 0, 1, 'eve'
                 FROM repositories WHERE path LIKE 'evil/app/r%';
             COMMIT;",
            more = numbers(100_000),
        ),
    );
    database(
        neighbours,
        "cache.sqlite",
        &format!(
            "BEGIN;
             {more} INSERT INTO tags (repository_id, name, manifest_id, confirmed_at)
                 SELECT (SELECT min(repository_id) FROM manifests), 'evil' || i, (SELECT min(id) FROM manifests), 1 FROM n;
             COMMIT;",
            more = numbers(100_000),
        ),
    );
    database(
        neighbours,
        "audit.sqlite",
        &format!(
            "BEGIN;
             {more} INSERT INTO events (time, kind, actor, group_path, details, last_time, class)
                 SELECT 1, 'token.created', 'eve', 'evil/app', '{{}}', 1, 'change' FROM n;
             INSERT INTO concerned (noun, id, event) SELECT 'group', {evil}, id FROM events WHERE actor = 'eve';
             INSERT INTO concerned (noun, id, event) SELECT 'project', {app}, id FROM events WHERE actor = 'eve';
             COMMIT;",
            more = numbers(100_000),
            evil = id_of(neighbours, "groups", "evil"),
            app = id_of(neighbours, "projects", "evil/app"),
        ),
    );
}

fn id_of(neighbours: &Neighbours, table: &str, path: &str) -> i64 {
    let connection = Connection::open(neighbours.appliance.data().join("access.sqlite")).unwrap();
    let text = format!("SELECT id FROM {table} WHERE path = ?1");
    connection
        .query_row(&text, [path], |row| row.get(0))
        .unwrap()
}

#[test]
fn no_list_costs_what_somebody_stored() {
    let neighbours = Neighbours::start();
    let eve = neighbours.attacker(&["evil/app"]);
    let answer = put_manifest(
        &eve,
        "evil/app",
        "latest",
        OCI_INDEX,
        br#"{"schemaVersion":2,"manifests":[]}"#,
    );
    assert_eq!(answer.status, 201, "{answer:?}");
    neighbours
        .appliance
        .ok(&["user", "add", "boss", "--admin", "--service"]);
    let root = neighbours.appliance.token("boss", &["api"]);
    fill(&neighbours);

    let rest = neighbours.attacker_rest();
    let hers = [
        "/groups?per_page=1",
        "/groups?per_page=1&page=2000",
        "/groups?per_page=1&owned=true",
        "/groups/evil/subgroups?per_page=1",
        "/groups/evil/descendant_groups?per_page=1",
        "/projects?per_page=1",
        "/projects?per_page=1&min_access_level=40",
        "/groups/evil/projects?per_page=1&include_subgroups=true",
        "/groups/evil/registry/repositories?per_page=1&tags_count=true",
        "/projects/evil%2Fapp/registry/repositories?per_page=1&tags=true",
        "/projects/evil%2Fapp/registry/repositories?per_page=1&page=90000",
        "/projects/evil%2Fapp/job_tokens?per_page=1",
        "/personal_access_tokens?per_page=1",
        "/groups/evil/members/all?per_page=1",
        "/groups/evil/audit_events?per_page=1",
        "/projects/evil%2Fapp/audit_events?per_page=1",
        "/users?per_page=1",
    ]
    .map(|path| format!("/api/v4{path}"));
    neighbours.unharmed_by("pages of large lists, hung up", || {
        ask_and_hang_up(
            &neighbours,
            &rest,
            &private_token(&neighbours.secret),
            &hers,
        );
    });

    let administrator = Client::of(&neighbours.appliance).with("PRIVATE-TOKEN", &root);
    let of_the_box = [
        "/groups?per_page=1",
        "/projects?per_page=1",
        "/cache/images?per_page=1",
        "/cache/images?per_page=1&search=nothing-of-this-name",
        "/audit_events?per_page=1",
        "/personal_access_tokens?per_page=1",
        "/deploy_tokens?per_page=1",
        "/users?per_page=1&search=nobody",
    ]
    .map(|path| format!("/api/v4{path}"));
    neighbours.unharmed_by("an administrator's pages, hung up", || {
        ask_and_hang_up(
            &neighbours,
            &administrator,
            &private_token(&root),
            &of_the_box,
        );
    });

    // The catalog, of one who sees the masses, and of one who does not.
    let login = Client::of(&neighbours.appliance);
    let evil = login
        .basic("eve", &neighbours.secret)
        .token(&["registry:catalog:*"]);
    let pages =
        ["", "&last=evil/app/r5", "&last=evil/z"].map(|last| format!("/v2/_catalog?n=1{last}"));
    neighbours.unharmed_by("pages of the catalog, hung up", || {
        let field = format!("Authorization: Bearer {evil}");
        ask_and_hang_up(&neighbours, &login.bearer(&evil), &field, &pages);
    });
    // Where there are more than 10,000 rows they are not counted, as in GitLab.
    let page = rest.get(&hers[0]);
    assert_eq!(
        (page.field("X-Total"), page.field("X-Total-Pages")),
        (None, None)
    );
    assert_eq!(page.field("X-Next-Page"), Some("2"));
    assert!(!page.field("Link").unwrap().contains("rel=\"last\""));
    let beyond = rest.get("/api/v4/groups?per_page=100&page=1002");
    assert_eq!(beyond.status, 405, "{beyond:?}");
}

/// How large the database and the files of what is pushed are together.
fn on_disk(neighbours: &Neighbours) -> u64 {
    let data = neighbours.appliance.data();
    let connection = Connection::open(data.join("registry.sqlite")).unwrap();
    let pages = "SELECT (page_count - freelist_count) * page_size
        FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
    let rows: i64 = connection.query_row(pages, [], |row| row.get(0)).unwrap();
    let files = "SELECT total(size) FROM blobs";
    let files: f64 = connection.query_row(files, [], |row| row.get(0)).unwrap();
    rows as u64 + files as u64
}

#[test]
fn a_quota_bounds_what_rows_take_as_well() {
    let neighbours = Neighbours::start();
    let eve = neighbours.attacker(&["evil/app"]);
    let before = on_disk(&neighbours);
    let quota = 25_000_000;
    neighbours
        .appliance
        .ok(&["project", "set", "evil/app", "quota=25MB"]);
    let put = |tag: &str, index: &[u8]| {
        let answer = put_manifest(&eve, "evil/app", tag, OCI_INDEX, index);
        let is_over = answer.status == 403 && answer.message().contains("quota of evil/app");
        assert!(answer.status == 201 || is_over, "{answer:?}");
        answer.status == 201
    };
    let kept = (0..)
        .take_while(|number| put("large", &largest_index(*number)))
        .count();
    // Two of about 4 MB with 5.5 MB of rows each; of the bytes alone there would be five.
    assert_eq!(kept, 2);
    let small = br#"{"schemaVersion":2,"manifests":[]}"#;
    let tags = |from: usize| {
        let tags: Vec<_> = (from..from + 100)
            .map(|tag| format!("tag=t{tag}"))
            .collect();
        format!("{}?{}", Digest::of(small), tags.join("&"))
    };
    neighbours
        .appliance
        .ok(&["project", "set", "evil/app", "quota=19500KB"]);
    let batches = (0..)
        .take_while(|batch| put(&tags(batch * 100), small))
        .count();
    assert!(batches < 100, "{batches} times 100 tags");
    let grown = on_disk(&neighbours) - before;
    assert!(grown <= quota, "{grown} bytes for a quota of {quota}");
    // What is there already is taken again, and what goes gives its room back.
    assert!(put("large", &largest_index(1)));
    let deleted = eve.request(
        "DELETE",
        &format!("/v2/evil/app/manifests/{}", Digest::of(&largest_index(0))),
        b"",
    );
    assert_eq!(deleted.status, 202, "{deleted:?}");
    let (begun, another) = (Instant::now(), largest_index(9));
    // Its rows go in steps, behind the answer.
    while !put("another", &another) {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "no room was given back"
        );
    }
}
