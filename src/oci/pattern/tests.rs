//! Patterns as people write them, and what each matches.

use super::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn a_star_is_any_run_of_characters_and_all_else_is_itself() {
    let table: &[(&str, &str, bool)] = &[
        ("acme/api", "acme/api", true),
        ("acme/api", "acme/api/x", false),
        ("acme/api", "acme/ap", false),
        ("acme/api*", "acme/api", true),
        ("acme/api*", "acme/api/x/y", true),
        ("acme/api/*", "acme/api", false),
        ("acme/api/*", "acme/api/x/y", true),
        ("acme/*/prod", "acme/api/x/prod", true),
        ("acme/*/prod", "acme/api/x/prod/y", false),
        ("*", "anything/at/all", true),
        ("*prod*", "acme/api/prod-eu", true),
        ("a*a*b", "aaab", true),
        ("a*a*b", "aac", false),
        ("**", "", true),
        ("", "", true),
        ("", "a", false),
        ("acme/a.i", "acme/api", false),
        ("acme/ap?", "acme/api", false),
        ("v1.*", "v1.2", true),
        ("v1.*", "v12", false),
    ];
    for (pattern, text, expected) in table {
        assert_eq!(
            matches_glob(pattern, text),
            *expected,
            "{pattern} on {text}"
        );
    }
    // Many stars against a long text end in time.
    assert!(!matches_glob(&"*a".repeat(100), &"b".repeat(255)));
}

#[test]
fn what_docker_supplies_is_supplied() {
    let digest = format!("sha256:{HEX}");
    // As written, as a pin is called, as an image is called.
    let cases: &[(&str, &str, &str)] = &[
        (
            "alpine",
            "docker.io/library/alpine",
            "docker.io/library/alpine:latest",
        ),
        (
            "docker.io/alpine",
            "docker.io/library/alpine",
            "docker.io/library/alpine:latest",
        ),
        (
            "alpine:3.20",
            "docker.io/library/alpine:3.20",
            "docker.io/library/alpine:3.20",
        ),
        ("quay.io/x", "quay.io/x", "quay.io/x:latest"),
        ("org/x", "docker.io/org/x", "docker.io/org/x:latest"),
        (
            "localhost:5000/x:1",
            "localhost:5000/x:1",
            "localhost:5000/x:1",
        ),
        (
            &format!("quay.io/org/x:1@{digest}"),
            &format!("quay.io/org/x@{digest}"),
            &format!("quay.io/org/x@{digest}"),
        ),
        (&digest, &digest, &digest),
        ("sha256:e3b0*", "sha256:e3b0*", "sha256:e3b0*"),
        (
            "alpine:*",
            "docker.io/library/alpine",
            "docker.io/library/alpine",
        ),
        (
            "alpine:3.*",
            "docker.io/library/alpine:3.*",
            "docker.io/library/alpine:3.*",
        ),
        (
            "alpine*",
            "docker.io/library/alpine*",
            "docker.io/library/alpine*",
        ),
        (
            "docker.io/alpine*",
            "docker.io/library/alpine*",
            "docker.io/library/alpine*",
        ),
        ("org/*", "docker.io/org/*", "docker.io/org/*"),
        (
            "org/*-exporter",
            "docker.io/org/*-exporter",
            "docker.io/org/*-exporter:latest",
        ),
        ("docker.io/*", "docker.io/*", "docker.io/*"),
        ("quay.io/*", "quay.io/*", "quay.io/*"),
        ("*", "*", "*"),
        ("*/nginx:1", "*/nginx:1", "*/nginx:1"),
        ("*nginx", "*nginx", "*nginx:latest"),
        ("*:latest", "*:latest", "*:latest"),
        (
            "reg*.example.com/x",
            "reg*.example.com/x",
            "reg*.example.com/x:latest",
        ),
    ];
    for (text, pin, image) in cases {
        let parsed = ImagePattern::of_all_tags(text).unwrap();
        assert_eq!(parsed.as_str(), *pin, "{text}");
        assert_eq!(ImagePattern::of_all_tags(pin).unwrap(), parsed, "{text}");
        let parsed = ImagePattern::of_image(text).unwrap();
        assert_eq!(parsed.as_str(), *image, "{text}");
    }
    for text in [
        "",
        "A",
        "a:b:c",
        "sha256:e3b0",
        "alpine@sha256:e3b0",
        "a b*",
        "*\n",
        "a?*",
        &"*".repeat(600),
    ] {
        assert!(ImagePattern::of_all_tags(text).is_err(), "{text:?}");
    }
}

/// Each alone, and all others with it in one set that must not say more than they do.
#[test]
fn a_pattern_matches_what_it_names_and_a_set_what_one_of_them_does() {
    let digest = format!("sha256:{HEX}");
    let tagged = "docker.io/library/alpine:3.20";
    let by_digest = format!("docker.io/library/alpine@{digest}");
    let other = format!("quay.io/org/x@{digest}");
    let cases: &[(&str, &[&str], &[&str])] = &[
        (
            "alpine",
            &[tagged, "docker.io/library/alpine:latest"],
            &[
                &by_digest,
                "docker.io/library/alpine-x:3.20",
                "quay.io/alpine:3.20",
            ],
        ),
        (
            "alpine:3.20",
            &[tagged],
            &["docker.io/library/alpine:3.21", &by_digest],
        ),
        (
            "alpine:3.*",
            &[tagged, "docker.io/library/alpine:3.21"],
            &["docker.io/library/alpine:2"],
        ),
        (
            "alpine*",
            &[tagged, &by_digest, "docker.io/library/alpine-x:1"],
            &["docker.io/x/alpine:1"],
        ),
        (&digest, &[&by_digest, &other], &[tagged]),
        ("sha256:e3b0*", &[&by_digest, &other], &[tagged]),
        (
            &format!("alpine@{digest}"),
            &[&by_digest],
            &[&other, tagged],
        ),
        (
            "org/*-exporter",
            &["docker.io/org/x-exporter:1"],
            &["docker.io/org/x:1", "quay.io/org/x-exporter:1"],
        ),
        (
            "localhost:5000/x",
            &["localhost:5000/x:1"],
            &["localhost:5000/y:1"],
        ),
        ("*", &[tagged, &by_digest, &other], &[]),
        (
            "*/nginx",
            &["docker.io/library/nginx:1", "quay.io/nginx:1"],
            &["docker.io/library/nginx-x:1"],
        ),
        ("*:latest", &["quay.io/org/x:latest"], &[tagged]),
    ];
    for (text, matching, others) in cases {
        let pattern = ImagePattern::of_all_tags(text).unwrap();
        let alone: ImagePatterns = [&pattern].into_iter().collect();
        for (names, expected) in [(matching, true), (others, false)] {
            for name in *names {
                assert_eq!(pattern.matches(name), expected, "{text} on {name}");
                assert_eq!(alone.match_any(name), expected, "{text} alone on {name}");
            }
        }
    }
    let patterns: Vec<_> = cases
        .iter()
        .filter(|(text, ..)| !text.starts_with('*'))
        .map(|(text, ..)| ImagePattern::of_all_tags(text).unwrap())
        .collect();
    let all: ImagePatterns = patterns.iter().collect();
    for (_, matching, others) in cases {
        for name in matching.iter().chain(*others) {
            let by_one = patterns.iter().any(|pattern| pattern.matches(name));
            assert_eq!(all.match_any(name), by_one, "{name}");
        }
    }
    assert!(!ImagePatterns::default().match_any(tagged));
}
