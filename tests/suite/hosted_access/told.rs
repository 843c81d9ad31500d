//! What a refusal says to whom: which rule it is to whoever may list the rules, how a project is made to whoever sees the
//! group, and how an image is purged that is only cached.

use super::{Stage, stage};
use crate::support::client::Answer;

impl Stage {
    fn bearer(&self, user: &str, secret: &str, scope: &str) -> crate::support::client::Client {
        self.client
            .bearer(&self.client.basic(user, secret).token(&[scope]))
    }

    fn start_upload(&self, user: &str, secret: &str, repository: &str) -> Answer {
        let client = self.bearer(user, secret, &format!("repository:{repository}:pull,push"));
        client.request("POST", &format!("/v2/{repository}/blobs/uploads/"), b"")
    }
}

#[test]
fn whoever_may_list_the_rules_is_told_which_one_is_in_the_way() {
    const PUSH: &str = "container protected; you are not allowed to push new package";
    const TAG: &str = "tag protected; you are not allowed to push this tag";
    let stage = stage();
    let add = |arguments: &[&str]| {
        let rule = stage.appliance.json(&[arguments, &["--json"]].concat());
        rule["id"].to_string()
    };
    let wide = [
        "rule",
        "add",
        "acme/api",
        "acme/api*",
        "--min-push",
        "maintainer",
    ];
    add(&wide);
    let narrow = [
        "rule",
        "add",
        "acme/api",
        "acme/api/prod*",
        "--min-push",
        "owner",
    ];
    let of_path = add(&narrow);
    let of_tags = add(&[
        "rule",
        "add",
        "acme/api",
        "acme/api/app",
        "--tags",
        "v*",
        "--min-push",
        "admin",
    ]);
    let by_regex = add(&["rule", "tag", "acme/api", "^prod", "--min-push", "owner"]);
    struct Case<'a> {
        repository: &'a str,
        /// A push of this tag, or the beginning of an upload.
        tag: Option<&'a str>,
        sentence: &'a str,
        rule: String,
    }
    let table = [
        Case {
            repository: "acme/api/prod",
            tag: None,
            sentence: PUSH,
            rule: format!("rule {of_path} (`acme/api/prod*`) asks for the level owner"),
        },
        Case {
            repository: "acme/api/app",
            tag: Some("v1"),
            sentence: PUSH,
            rule: format!(
                "rule {of_tags} (`acme/api/app` with tags `v*`) asks for an administrator of the box"
            ),
        },
        Case {
            repository: "acme/api/app",
            tag: Some("prod"),
            sentence: TAG,
            rule: format!("rule {by_regex} (tags `^prod`) asks for the level owner"),
        },
    ];
    let index = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let push = |user: &str, secret: &str, case: &Case<'_>| match case.tag {
        None => stage.start_upload(user, secret, case.repository),
        Some(tag) => {
            let scope = format!("repository:{}:pull,push", case.repository);
            let client = stage.bearer(user, secret, &scope);
            let client = client.with("Content-Type", "application/vnd.oci.image.index.v1+json");
            client.request(
                "PUT",
                &format!("/v2/{}/manifests/{tag}", case.repository),
                index,
            )
        }
    };
    // By the level alone: a token for registries is told as well.
    let maintainer = stage.create(&[
        "--user",
        "maintainer",
        "--scope",
        "read_registry,write_registry",
    ]);
    for case in &table {
        let refused = push("maintainer", &maintainer, case);
        assert_eq!(refused.verdict(), (403, "DENIED".to_owned()));
        let told = format!(
            "{}: {} (`breakwater rule list acme/api` shows it,",
            case.sentence, case.rule
        );
        assert!(
            refused.message().starts_with(&told),
            "{told}: {}",
            refused.text()
        );
    }
    // A developer reads the sentence that clients know, and no more; the log has the rule.
    let developer = stage.api("developer");
    let refused = stage.start_upload("developer", &developer, "acme/api/prod");
    assert_eq!(refused.message(), PUSH);
    let why = format!("{PUSH}: rule {of_path} (`acme/api/prod*`) asks for the level owner");
    stage.appliance.wait_for_log(&format!("\"why\":\"{why}\""));
}

#[test]
fn whoever_pushes_where_no_project_is_and_sees_the_group_learns_how_one_is_made() {
    let stage = stage();
    for arguments in [
        &["group", "add", "open", "--visibility", "public"][..],
        &["project", "add", "open/secret"],
        &["group", "add", "open/closed"],
        &["project", "add", "open/closed/app"],
    ] {
        stage.appliance.ok(arguments);
    }
    let developer = stage.api("developer");
    let stranger = stage.api("stranger");
    struct Case<'a> {
        user: &'a str,
        repository: &'a str,
        /// What is said to be made.
        project: Option<&'a str>,
    }
    let case = |user, repository, project| Case {
        user,
        repository,
        project,
    };
    for Case {
        user,
        repository,
        project,
    } in [
        case("developer", "acme/new", Some("acme/new")),
        case("developer", "acme/new/tool", Some("acme/new")),
        case("stranger", "acme/new", None),
        // Hidden, and the same as if it were not there.
        case("stranger", "acme/api", None),
        case("stranger", "open/secret", Some("open/secret")),
        case("stranger", "open/absent", Some("open/absent")),
        case("stranger", "open/closed/app", Some("open/closed")),
        case("stranger", "open/absent/app", Some("open/absent")),
    ] {
        let secret = if user == "developer" {
            &developer
        } else {
            &stranger
        };
        let refused = stage.start_upload(user, secret, repository);
        assert_eq!(
            refused.verdict(),
            (404, "NAME_UNKNOWN".to_owned()),
            "{repository}"
        );
        let hidden = format!("repository {repository} is not known here, or you may not see it");
        let expected = match project {
            None => hidden,
            Some(project) => format!(
                "{hidden} (images are pushed to projects: `breakwater project add {project}` on this box, or a maintainer of the group, makes one)"
            ),
        };
        assert_eq!(refused.message(), expected, "{user}");
        // Whoever only pulls is told nothing of it.
        let client = stage.bearer(user, secret, &format!("repository:{repository}:pull"));
        let pulled = client.get(&format!("/v2/{repository}/tags/list"));
        assert!(
            !pulled.message().contains("project add"),
            "{}",
            pulled.text()
        );
    }
}

#[test]
fn a_cached_image_that_is_to_be_deleted_is_said_to_be_purged() {
    let stage = stage();
    let digest = breakwater::oci::Digest::of(b"x");
    let by_digest = format!("alpine@{digest}");
    for (path, image) in [
        (
            "library/alpine/manifests/3.20".to_owned(),
            "library/alpine:3.20",
        ),
        ("alpine/manifests/3.20".to_owned(), "alpine:3.20"),
        (format!("alpine/manifests/{digest}"), by_digest.as_str()),
        (format!("alpine/blobs/{digest}"), "alpine:*"),
        (
            "alpine/manifests/3.20?ns=quay.io".to_owned(),
            "quay.io/alpine:3.20",
        ),
        (
            "acme/dependency_proxy/containers/quay.io/org/app/manifests/1".to_owned(),
            "quay.io/org/app:1",
        ),
    ] {
        let refused = stage.client.request("DELETE", &format!("/v2/{path}"), b"");
        assert_eq!(refused.verdict(), (405, "UNSUPPORTED".to_owned()));
        let command = format!("`breakwater cache purge '{image}'`");
        assert!(refused.message().contains(&command), "{}", refused.text());
        assert_eq!(refused.field("Allow"), Some("GET, HEAD"));
    }
}
