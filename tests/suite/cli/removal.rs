//! `group remove` and `project remove`: what goes is said, and nobody loses it by a slip.

use crate::cli::terminal::on_a_terminal;
use crate::cli::{stderr, stdout};
use crate::support::pushing::{Hosted, push_image};

/// A box with an image in `acme/api`.
fn hosted() -> Hosted {
    let hosted = Hosted::start();
    push_image(&hosted.client(&["acme/api"]), "acme/api", "v1", &[b"layer"]);
    let token = ["token", "create", "--name", "t", "--project", "acme/api"];
    let scope = ["--scope", "read_registry"];
    hosted.appliance.ok(&[&token[..], &scope].concat());
    hosted
}

#[test]
fn without_a_terminal_nothing_is_lost_unless_yes_says_so() {
    let hosted = hosted();
    let appliance = &hosted.appliance;
    for (arguments, lost) in [
        (["project", "remove", "acme/api"], "1 token, 1 image, "),
        (["group", "rm", "acme"], "1 project, 1 token, 1 image, "),
    ] {
        let output = appliance.run_cli(&arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = stderr(&output);
        assert!(said.contains(lost) && said.contains("--yes"), "{said}");
        assert!(stdout(&output).contains("acme/api: 1 image, 1 tag"));
    }
    assert!(appliance.ok(&["project", "list"]).contains("acme/api"));
    let said = appliance.ok(&["group", "remove", "acme", "--yes"]);
    assert!(said.contains("removed group acme"), "{said}");
    // What holds nothing goes without a question.
    appliance.ok(&["group", "add", "empty"]);
    appliance.ok(&["group", "remove", "empty"]);
    assert!(!appliance.ok(&["group", "list"]).contains("empty"));
}

#[test]
fn on_a_terminal_only_a_yes_removes() {
    let hosted = hosted();
    let appliance = &hosted.appliance;
    let arguments = ["project", "remove", "acme/api"];
    for (answer, status, there) in [
        ("\n", 1, true),
        ("n\n", 1, true),
        ("yess\n", 1, true),
        ("y\n", 0, false),
    ] {
        let command = appliance.command(&arguments);
        let (ended, shown) = on_a_terminal(command, &[("[y/N] ", answer)]);
        assert_eq!(ended.code(), Some(status), "{answer:?}: {shown}");
        assert!(
            shown.contains("remove project acme/api, with 1 token, 1 image"),
            "{shown}"
        );
        let listed = appliance.ok(&["project", "list"]);
        assert_eq!(listed.contains("acme/api"), there, "{answer:?}");
    }
}
