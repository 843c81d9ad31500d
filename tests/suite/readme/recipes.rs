//! The blocks of README and manual, run word for word on a box that serves; and no block that nothing runs.
//!
//! What needs a docker, a podman or a systemd is run by scripts/e2e instead.

use std::collections::HashMap;
use std::os::unix::fs::symlink;
use std::process::{Command, Output};

use super::{Block, blocks, in_repository};
use crate::support::appliance::{Appliance, breakwater};
use crate::support::fake_upstream::{FakeUpstream, Image};

/// How a block is run, and what must come of it.
struct Recipe {
    /// As in the line before the block.
    name: &'static str,
    /// Shell lines that make what the block takes for granted.
    before: &'static str,
    /// What the block must print.
    prints: &'static [&'static str],
    /// Shell lines run after it, and what they must print.
    then: &'static [(&'static str, &'static [&'static str])],
}

/// What the text makes before most of these blocks.
const ACME: &str = "\
breakwater group add acme
breakwater user add ci --service
breakwater user add alice --service
breakwater member add acme ci --level developer
";

const RECIPES: &[Recipe] = &[
    Recipe {
        name: "feature-report",
        before: "",
        prints: &[],
        then: &[(
            "breakwater feature list",
            &["enforce_abilities_check_for_dependency_proxy  off"],
        )],
    },
    Recipe {
        name: "feature-enforce",
        before: "breakwater feature disable enforce_abilities_check_for_dependency_proxy",
        prints: &[],
        then: &[(
            "breakwater feature list",
            &["enforce_abilities_check_for_dependency_proxy  on"],
        )],
    },
    Recipe {
        name: "projects-and-tokens",
        // The block rotates the token 7.
        before: "for n in 1 2 3 4 5 6 7; do
                     breakwater token create --name \"old-$n\" --user ci --scope read_registry
                 done",
        prints: &["bwg_", "bwd_", "bwj_", "farm", "cluster"],
        then: &[
            ("breakwater project list", &["acme/api"]),
            ("breakwater token list --user ci", &["old-7", "revoked"]),
        ],
    },
    Recipe {
        name: "cleanup-policy",
        before: "",
        prints: &["would remove 0 tags of project acme/ci", "removed 0 tags"],
        then: &[(
            "breakwater project show acme/ci",
            &["every 1d", "25", "14d", "v.+|main"],
        )],
    },
    Recipe {
        name: "members-and-quotas",
        before: "",
        prints: &["alice is maintainer of acme/web"],
        then: &[("breakwater project list --json", &["53687091200"])],
    },
    Recipe {
        name: "rules",
        before: "",
        prints: &["acme/app/prod*", "maintainer", "owner", "/^release-/"],
        then: &[("breakwater rule list acme", &["docker.io/library/*"])],
    },
    Recipe {
        name: "upstreams",
        before: "",
        prints: &[],
        then: &[
            (
                "breakwater upstream list",
                &["quay.io", "https://quay.io", "acme"],
            ),
            ("breakwater group list --json", &["deny", "quay.io"]),
        ],
    },
    Recipe {
        name: "doctor",
        before: "",
        prints: &["initial_root_password"],
        then: &[],
    },
    Recipe {
        name: "farm",
        before: "",
        prints: &[
            "10.99.0.0/24 may fill the mirror",
            "# into /etc/docker/daemon.json",
            "\"registry-mirrors\": [\"http://127.0.0.1:",
            "systemctl restart docker",
            "/-/client-check | sh",
        ],
        then: &[("breakwater network list", &["10.99.0.0/24"])],
    },
    Recipe {
        name: "made-by",
        before: "breakwater token create --name old --user ci --scope api",
        prints: &["MADE BY"],
        then: &[],
    },
    Recipe {
        name: "bans",
        before: "",
        prints: &["BANNED", "UNTIL"],
        then: &[],
    },
    Recipe {
        name: "keys",
        before: "",
        prints: &["signs from now on", "verifies"],
        then: &[],
    },
    Recipe {
        name: "warm",
        before: "echo 'FROM alpine:3.20' >Dockerfile
                 echo '{services: {db: {image: postgres:16}}}' >compose.yaml",
        prints: &[
            "docker.io/library/postgres:16: ",
            "2 of 2 images here, 2 new: ",
        ],
        then: &[("breakwater cache list", &["library/alpine:3.20"])],
    },
    Recipe {
        name: "webhooks",
        before: "",
        prints: &[
            "whsec_",
            "https://hooks.example.com/acme",
            "image.pushed",
            "removed webhook 1",
        ],
        then: &[(
            "breakwater webhook list --json",
            &["\"group_path\": \"acme\""],
        )],
    },
    Recipe {
        name: "webhook-rotate",
        before: "breakwater webhook add https://one.example.com; breakwater webhook add https://two.example.com",
        prints: &["whsec_"],
        then: &[(
            "breakwater webhook list --json",
            &["\"old_secret_until\": \"20"],
        )],
    },
    Recipe {
        name: "webhook-verify",
        before: "",
        prints: &[],
        then: &[(
            "SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw python3 verify.py msg 1 v1,x </dev/null 2>&1 || true",
            &["the signature is wrong"],
        )],
    },
    Recipe {
        name: "alertmanager",
        before: "",
        prints: &[],
        then: &[("cat alertmanager.yml", &["email_configs"])],
    },
    Recipe {
        name: "audit",
        before: "",
        prints: &["group.created", "member.set"],
        then: &[],
    },
];

#[test]
fn the_recipes_do_what_the_text_says() {
    let blocks = blocks();
    for recipe in RECIPES {
        let marker = format!("<!-- test: {} -->", recipe.name);
        let block = blocks.iter().find(|block| block.marker == marker);
        let block = block.unwrap_or_else(|| panic!("neither README nor manual has {marker}"));
        let upstream = FakeUpstream::start();
        upstream.put_image("library/alpine", "3.20", &Image::oci(1, &[1_000]));
        upstream.put_image("library/postgres", "16", &Image::oci(2, &[1_000]));
        let appliance = Appliance::with_upstream(upstream.url());
        let shell = Shell::new(&appliance);
        shell.run("before", &format!("{ACME}{}", recipe.before));
        let printed = shell.run(recipe.name, &block.text);
        expect(recipe.name, &printed, recipe.prints);
        for (lines, parts) in recipe.then {
            let printed = shell.run(lines, lines);
            expect(&format!("{}, then {lines}", recipe.name), &printed, parts);
        }
    }
}

#[test]
fn every_block_of_readme_and_manual_is_run_by_something() {
    let flows = flows();
    let ci = std::fs::read_to_string(in_repository(".ci/run")).unwrap();
    let is_run = |block: &Block| {
        let words = block.marker.strip_prefix("<!-- ");
        let words = words.and_then(|rest| rest.strip_suffix(" -->"));
        match words.and_then(|words| words.split_once(": ")) {
            Some(("test", name)) => RECIPES.iter().any(|recipe| recipe.name == name),
            Some(("e2e", name)) => flows.iter().any(|known| known == name),
            Some(_) => false,
            None => words == Some("ci") && block.text.lines().all(|line| ci.contains(line)),
        }
    };
    let unrun: Vec<_> = blocks()
        .into_iter()
        .filter(|block| !is_run(block))
        .map(|block| format!("{}: {}", block.place, block.text))
        .collect();
    assert!(
        unrun.is_empty(),
        "there are blocks that nothing runs (write `<!-- test: NAME -->` before one, and an entry in \
         RECIPES of tests/suite/readme/recipes.rs; or `<!-- e2e: NAME -->`, and `recipe_run NAME` in a flow \
         of scripts/e2e.d):\n{}",
        unrun.join("\n")
    );
}

#[test]
fn blocks_of_one_name_are_the_same_in_readme_and_manual() {
    let mut known: HashMap<String, Block> = HashMap::new();
    for block in blocks() {
        if let Some(other) = known.get(&block.marker) {
            let (here, there) = (&block.place, &other.place);
            assert_eq!(block.text, other.text, "{here} is not what {there} is");
        }
        known.insert(block.marker.clone(), block);
    }
}

/// The names of the recipes that the flows of scripts/e2e run, or write where the text says.
fn flows() -> Vec<String> {
    let directory = in_repository("scripts/e2e.d");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        // Flows, and what they source.
        let is_flow = |name: &str| {
            name.starts_with("flow-") || name.starts_with("package-") || name == "box.sh"
        };
        if path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(is_flow)
        {
            let text = std::fs::read_to_string(path).unwrap();
            let mut words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "_-".contains(c)));
            while let Some(word) = words.next() {
                if ["recipe", "recipe_run", "recipe_to"].contains(&word) {
                    names.extend(words.next().map(str::to_owned));
                }
            }
        }
    }
    names
}

fn expect(what: &str, printed: &str, parts: &[&str]) {
    for part in parts {
        assert!(
            printed.contains(part),
            "{what}: {part:?} is not in:\n{printed}"
        );
    }
}

/// A shell beside a box, with `breakwater` in its PATH.
struct Shell<'a> {
    appliance: &'a Appliance,
    directory: tempfile::TempDir,
}

impl<'a> Shell<'a> {
    fn new(appliance: &'a Appliance) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let binary = breakwater().get_program().to_owned();
        symlink(binary, directory.path().join("breakwater")).unwrap();
        Self {
            appliance,
            directory,
        }
    }

    /// Runs the lines to their end, which must be good; what they print.
    fn run(&self, what: &str, lines: &str) -> String {
        let output = self.command(lines).output().unwrap();
        let Output { stdout, stderr, .. } = &output;
        let stderr = String::from_utf8_lossy(stderr);
        assert!(output.status.success(), "{what}:\n{lines}\n{stderr}");
        String::from_utf8_lossy(stdout).into_owned()
    }

    fn command(&self, lines: &str) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let here = self.directory.path();
        let mut command = Command::new("bash");
        command
            .args(["-euo", "pipefail", "-c", lines])
            .env_clear()
            .env("PATH", format!("{}:{path}", here.display()))
            .env("HOME", here)
            .env("HUB_PASSWORD", "a-secret-of-the-hub")
            .env("BREAKWATER_CONFIG", self.appliance.config())
            .env("BREAKWATER_DATA", self.appliance.data())
            .current_dir(here);
        command
    }
}
