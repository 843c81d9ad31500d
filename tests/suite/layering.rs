//! The invariants of `lib.rs` that can be read off the sources: which room imports which, one home per
//! dependency, and who can build a grant.

use std::fs;
use std::path::{Path, PathBuf};

/// Every Rust file below `src`, with its path from there and its text without comment lines.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 30, "only {} sources found", files.len());
    files
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let code: Vec<&str> = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect();
            (
                path.strip_prefix(&root).unwrap().display().to_string(),
                code.join("\n"),
            )
        })
        .collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

fn room(path: &str) -> &str {
    path.split(['/', '.']).next().unwrap()
}

/// The rooms that code names as `crate::ROOM`, also inside `use crate::{…}`.
fn imports(code: &str) -> Vec<&str> {
    code.split("crate::")
        .skip(1)
        .flat_map(|rest| match rest.strip_prefix('{') {
            Some(list) => list
                .split(['}', ',', '{'])
                .map(str::trim)
                .collect::<Vec<_>>(),
            None => vec![rest],
        })
        .map(|rest| {
            rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .next()
                .unwrap()
        })
        .collect()
}

#[test]
fn imports_only_go_down() {
    let everybody = [
        "error",
        "metrics",
        "network",
        "context",
        "hops",
        "human",
        "priority",
        "schema",
        "shared_call",
        "spool",
        "time",
        "words",
    ];
    let table: &[(&str, &[&str])] = &[
        ("oci", &[]),
        ("recreate", &[]),
        ("http", &[]),
        ("store", &["oci"]),
        ("upstream", &["http", "oci"]),
        ("auth", &["oci", "store"]),
        ("config", &["oci"]),
        ("telemetry", &["config"]),
        ("error", &[]),
        ("network", &[]),
        ("metrics", &[]),
        ("time", &[]),
        ("words", &[]),
        ("context", &[]),
        ("hops", &[]),
        ("human", &[]),
        ("priority", &[]),
        ("shared_call", &[]),
        ("spool", &[]),
        ("schema", &[]),
        ("proxy", &["auth", "oci", "store", "upstream"]),
        ("registry", &["auth", "oci", "store"]),
        ("upkeep", &["auth", "oci", "recreate", "store"]),
        ("webhooks", &["auth", "store", "upstream"]),
        (
            "admin",
            &[
                "auth", "config", "oci", "proxy", "store", "upkeep", "upstream", "webhooks",
            ],
        ),
        (
            "server",
            &[
                "admin",
                "auth",
                "config",
                "http",
                "oci",
                "proxy",
                "registry",
                "store",
                "telemetry",
                "upkeep",
                "upstream",
                "webhooks",
            ],
        ),
        ("control", &["store", "upkeep", "upstream"]),
        (
            "cli",
            &[
                "admin",
                "auth",
                "config",
                "control",
                "http",
                "oci",
                "proxy",
                "server",
                "store",
                "telemetry",
                "upkeep",
                "upstream",
                "webhooks",
            ],
        ),
    ];
    let rooms: Vec<&str> = table.iter().map(|(room, _)| *room).collect();
    for (path, code) in sources() {
        let room = room(&path);
        let Some((_, allowed)) = table.iter().find(|(name, _)| *name == room) else {
            assert!(
                matches!(room, "lib" | "main"),
                "{path}: a room that this table does not know"
            );
            continue;
        };
        for import in imports(&code)
            .into_iter()
            .filter(|import| rooms.contains(import))
        {
            let fine = import == room || allowed.contains(&import) || everybody.contains(&import);
            assert!(fine, "{path} imports {import}, which is not below {room}");
        }
    }
}

#[test]
fn where_bytes_lie_is_known_to_the_store_alone() {
    for (path, code) in sources() {
        let code = code.split("#[cfg(test)]").next().unwrap();
        let is_of_content = ["proxy", "registry", "upkeep"].contains(&room(&path));
        let is_file = ["fs::File", "FileExt", "MetadataExt"]
            .into_iter()
            .find(|name| code.contains(name));
        assert!(
            !is_of_content || is_file.is_none(),
            "{path} holds a file: a `Blob` or a `BlobWriter` would do"
        );
    }
}

#[test]
fn each_dependency_has_one_home() {
    let table = [
        ("rusqlite::", "store"),
        ("ureq::", "upstream"),
        ("tiny_http::", "control"),
        ("httparse::", "http"),
        ("if_addrs::", "http"),
        ("jsonwebtoken::", "auth"),
        ("argon2::", "auth"),
        ("listenfd::", "cli"),
        ("rcgen::", "admin or cli"),
        ("serde_saphyr::", "cli"),
        ("indicatif::", "cli"),
        ("clap_complete::", "cli"),
        ("clap_mangen::", "cli"),
        ("pulldown_cmark::", "cli"),
        ("zstd_safe::", "recreate"),
    ];
    let sources = sources();
    for (dependency, home) in table {
        let users: Vec<&str> = sources
            .iter()
            .filter(|(_, code)| code.contains(dependency))
            .map(|(path, _)| path.as_str())
            .collect();
        assert!(
            !users.is_empty(),
            "nobody uses {dependency}: is this table out of date?"
        );
        for user in users {
            assert!(
                home.split(" or ").any(|home| home == room(user)),
                "{user} uses {dependency}, whose home is {home}"
            );
        }
    }
}

#[test]
fn only_the_policy_builds_a_grant() {
    for (path, code) in sources() {
        let builds = code.contains("Grant {")
            && code.lines().any(|line| {
                line.contains("Grant {")
                    && !line.contains("struct Grant")
                    && !line.contains("impl Grant")
            });
        assert!(
            !builds || path.starts_with("auth/policy"),
            "{path} builds a Grant"
        );
    }
}

#[test]
fn what_must_be_pure_is_pure() {
    let forbidden = [
        "std::fs",
        "std::net::Tcp",
        "std::io",
        "SystemTime",
        "Instant",
        "Timestamp::now",
        "std::env",
        "std::process",
    ];
    for (path, code) in sources() {
        let is_pure = path.starts_with("oci/") || path.starts_with("auth/policy");
        // It reads and writes what it is handed, and opens nothing.
        let is_stream = path.starts_with("recreate/");
        if is_pure || is_stream {
            for word in forbidden {
                if is_stream && word == "std::io" {
                    continue;
                }
                assert!(!code.contains(word), "{path} must be pure, but uses {word}");
            }
        }
    }
}

#[test]
fn statements_add_up_without_overflow() {
    for (path, code) in sources() {
        // `sum()` fails where a tenant's numbers add up to more than 63 bits hold; `total()` ends at the greatest.
        let lines = code.lines().filter(|_| path.starts_with("store/"));
        for line in lines.filter(|line| line.to_ascii_lowercase().contains("sum(")) {
            assert!(
                line.contains(".sum("),
                "{path}: {line}: write CAST(total(…) AS INTEGER)"
            );
        }
    }
}

/// The names that a file gives to results.
fn names_of_results(code: &str) -> Vec<&str> {
    code.lines()
        .filter_map(|line| line.split_once("type ")?.1.split_once(" = "))
        .filter(|(_, of)| {
            let of = of.strip_prefix("std::result::").unwrap_or(of);
            of.starts_with("Result<")
        })
        .filter_map(|(name, _)| name.split('<').next())
        .collect()
}

/// Which of the two a `?`, an `is_ok` or an `Err` is about cannot be read off such a type: an enum says it.
#[test]
fn no_result_holds_a_result() {
    let mut named = 0;
    for (path, code) in sources() {
        let names = names_of_results(&code);
        named += names.len();
        let dense: String = code.split_whitespace().collect();
        for (at, _) in dense.match_indices("Result<") {
            let held = &dense[at + "Result<".len()..];
            let held = held.strip_prefix("std::result::").unwrap_or(held);
            let name = held.split(|c: char| !c.is_ascii_alphanumeric()).next();
            let name = name.unwrap();
            assert!(
                name != "Result" && !names.contains(&name),
                "{path}: a result holds a result: {}",
                held.chars().take(80).collect::<String>()
            );
        }
    }
    assert!(named > 3, "only {named} results with a name are found");
}

#[test]
fn every_file_says_what_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    collect(&root.join("tests"), &mut files);
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("//!"),
            "{} does not open with //!",
            path.display()
        );
        let lines = text.lines().count();
        assert!(
            lines <= 700,
            "{} has {lines} lines: split it",
            path.display()
        );
    }
}

/// REST and the page show the sentences of these rooms as they are.
#[test]
fn a_sentence_that_names_an_option_says_that_it_is_the_command_line_s() {
    const ROOMS: [&str; 6] = [
        "admin", "auth", "registry", "server", "upstream", "webhooks",
    ];
    // What only commands do.
    const COMMANDS: [&str; 3] = [
        "admin/imports/places.rs",
        "admin/tokens/list.rs",
        "admin/upstreams/mod.rs",
    ];
    const SAYS: [&str; 4] = [
        "breakwater ",
        "curl ",
        "docker login",
        "on the command line",
    ];
    let mut options = 0;
    for (path, code) in sources() {
        if !ROOMS.contains(&room(&path)) || COMMANDS.contains(&path.as_str()) {
            continue;
        }
        for line in code.lines() {
            // Between quotation marks; what goes on over lines is the help of a command.
            for text in line.split('"').skip(1).step_by(2) {
                if text.contains(" --") || text.contains("`--") {
                    options += 1;
                    let is_said = SAYS.iter().any(|words| text.contains(words));
                    assert!(is_said, "{path}: {text}");
                }
            }
        }
    }
    assert!(options > 5, "only {options} are found");
}
