//! Real-looking files, and hostile ones.

use super::*;

/// What a file names: `IMAGE`, or `IMAGE [PLATFORM …]`, and behind them `!TEXT: WHY` for what is unresolved.
fn named(name: &str, text: &str, platforms: &[&str]) -> Vec<String> {
    let (selection, _) = read(name, text, platforms);
    shown_selection(&selection.unwrap())
}

fn read(name: &str, text: &str, platforms: &[&str]) -> (Result<Selection>, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    let arguments = ImageArguments {
        sources: vec![path.clone()],
        platforms: platforms.iter().map(|text| text.parse().unwrap()).collect(),
        ..ImageArguments::default()
    };
    (arguments.read(), path)
}

fn shown_selection(selection: &Selection) -> Vec<String> {
    let images = selection.images.iter().map(|image| {
        let platforms: Vec<_> = image.platforms.iter().map(Platform::to_string).collect();
        match platforms.is_empty() {
            true => image.text.clone(),
            false => format!("{} [{}]", image.text, platforms.join(" ")),
        }
    });
    let unresolved = selection.unresolved.iter();
    let unresolved =
        unresolved.map(|unresolved| format!("!{}: {}", unresolved.text, unresolved.why));
    images.chain(unresolved).collect()
}

#[test]
fn a_list_has_one_image_a_line_and_comments() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("warm.list");
    let text = "\u{feff}# the farm's\n\nalpine:3.20\r\n  quay.io/org/x:1 # why\n#golang\nalpine:3.20\nhosted:a/b:1\n";
    std::fs::write(&path, text).unwrap();
    let arguments = ImageArguments {
        images: vec!["busybox".into()],
        lists: vec![path.clone()],
        ..ImageArguments::default()
    };
    let selection = arguments.read().unwrap();
    assert_eq!(
        shown_selection(&selection),
        ["busybox", "alpine:3.20", "quay.io/org/x:1", "hosted:a/b:1"]
    );
    let places: Vec<_> = selection
        .images
        .iter()
        .map(|image| image.place.clone())
        .collect();
    assert_eq!(places[0], None);
    assert_eq!(places[2], Some(format!("{}:4", path.display())));
}

#[test]
fn a_dockerfile_names_all_that_it_is_built_from() {
    let text = r#"#syntax=docker/dockerfile:1.7
# escape=\

# The base.
ARG GO=1.22 REGISTRY="quay.io"
ARG VARIANT=${GO}-alpine
ARG NOTHING
FROM --platform=$BUILDPLATFORM golang:${VARIANT} AS build
ARG GO=9
COPY --from=ghcr.io/org/tools:2 /bin/tool \
     # a comment in between

     /bin/tool
RUN --mount=type=cache,target=/root/.cache --mount=type=bind,from=docker.io/org/data,target=/data \
    make FROM=nothing
RUN <<EOF
FROM none:1
COPY --from=none:2 a b
EOF
COPY <<-"END" /etc/x
	FROM none:3
	END
FROM build AS test
FROM ${REGISTRY}/org/base:${TAG:-7}@sha256:0000000000000000000000000000000000000000000000000000000000000000
COPY --chown=1 --from=BUILD /a /a
COPY --from=0 /b /b
COPY --from=scratch / /
ONBUILD COPY --from=busybox:1.36 /bin/sh /bin/sh
from scratch
FROM $NOTHING
FROM --platform=linux/arm64 alpine
COPY --from=$NOTHING a b
"#;
    assert_eq!(
        named("Dockerfile", text, &[]),
        [
            "docker/dockerfile:1.7",
            "golang:1.22-alpine",
            "ghcr.io/org/tools:2",
            "docker.io/org/data",
            "quay.io/org/base:7@sha256:0000000000000000000000000000000000000000000000000000000000000000",
            "busybox:1.36",
            "alpine [linux/arm64]",
            "!$NOTHING: NOTHING has no value",
            "!$NOTHING: no variable has a value there, for BuildKit neither",
        ]
    );
}

#[test]
fn what_depends_on_the_target_is_named_for_each_platform_that_is_asked_for() {
    let text = "FROM alpine AS base-amd64\nFROM debian AS base-arm64\nFROM base-${TARGETARCH}\nFROM org/$TARGETOS-${TARGETARCH}\n";
    assert_eq!(
        named("Containerfile", text, &["linux/amd64", "linux/riscv64"]),
        [
            "alpine [linux/amd64 linux/riscv64]",
            "debian [linux/amd64 linux/riscv64]",
            "base-riscv64 [linux/riscv64]",
            "org/linux-amd64 [linux/amd64]",
            "org/linux-riscv64 [linux/riscv64]",
        ]
    );
    assert_eq!(
        named("x.dockerfile", text, &[]),
        [
            "alpine",
            "debian",
            "!org/$TARGETOS-${TARGETARCH}: it depends on the platform: say for which with --platform",
        ]
    );
}

#[test]
fn a_dockerfile_for_windows_goes_on_with_a_backtick() {
    let text = "# escape=`\nFROM mcr.microsoft.com/windows/nanoserver:ltsc2022\nRUN dir C:\\\nFROM `\n  org/x\n";
    assert_eq!(
        named("build", text, &[]),
        ["mcr.microsoft.com/windows/nanoserver:ltsc2022", "org/x"]
    );
}

#[test]
fn a_compose_file_names_the_images_of_its_services() {
    let text = r#"
name: shop
x-defaults: &defaults
  image: ${BREAKWATER_TEST_REGISTRY:-quay.io}/org/app:${APP:-1.2}
  restart: always
services:
  web:
    <<: *defaults
    ports: ["80:80"]
  worker:
    <<: *defaults
    image: org/worker:$TAG
  db:
    image: "postgres:16"
    platform: linux/amd64
  own:
    image: shop/own
    build:
      context: ./own
  inline:
    build:
      dockerfile_inline: |
        FROM debian:12
        RUN true
  broken:
    image: org/x:${BREAKWATER_TEST_UNSET:?say it}
  money:
    image: org/a$$b
volumes: {data: }
"#;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("compose.yaml");
    std::fs::write(&path, text).unwrap();
    std::fs::write(directory.path().join(".env"), "# x\nTAG='7'\n").unwrap();
    let arguments = ImageArguments {
        sources: vec![path],
        ..ImageArguments::default()
    };
    let selection = arguments.read().unwrap();
    let mut shown = shown_selection(&selection);
    shown.sort();
    assert_eq!(
        shown,
        [
            "!org/x:${BREAKWATER_TEST_UNSET:?say it}: BREAKWATER_TEST_UNSET has no value",
            "debian:12",
            "org/a$b",
            "org/worker:7",
            "postgres:16 [linux/amd64]",
            "quay.io/org/app:1.2",
        ]
    );
    assert!(
        selection.notes[0]
            .ends_with("service own is built: name its Dockerfile too, --from ./own/Dockerfile"),
        "{:?}",
        selection.notes
    );
}

#[test]
fn a_manifest_names_the_images_of_every_pod_that_it_makes() {
    let text = r#"# Several documents, and an empty one.
---
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  initContainers:
  - {name: i, image: org/init:1}
  containers:
  - name: c
    image: org/pod:1
    env: [{name: image, value: none}]
  ephemeralContainers: [{name: e, image: org/debug:1}]
  volumes:
  - name: models
    image: {reference: "quay.io/org/models:1"}
---
---
apiVersion: batch/v1
kind: CronJob
spec:
  jobTemplate:
    spec:
      template:
        spec:
          containers:
          - {name: c, image: org/cron:1}
---
apiVersion: v1
kind: List
items:
- apiVersion: apps/v1
  kind: Deployment
  spec: {template: {spec: {containers: [{name: c, image: "org/web@sha256:0000000000000000000000000000000000000000000000000000000000000000"}]}}}
- apiVersion: v1
  kind: ConfigMap
  data: {image: none, "1": 2, 3: x, ~: y}
- apiVersion: v1
  kind: Service
  spec: {ports: [{port: 80}]}
---
apiVersion: stable.example.com/v1
kind: Farm
spec:
  image: none
  workers:
  - podTemplate:
      spec:
        containers: [{name: w, image: org/worker:1}]
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
spec: {schema: {properties: {containers: {type: array, items: {properties: {image: {type: string}}}}}}}
"#;
    assert_eq!(
        named("all.yaml", text, &["linux/amd64"]),
        [
            "org/init:1 [linux/amd64]",
            "org/pod:1 [linux/amd64]",
            "org/debug:1 [linux/amd64]",
            "quay.io/org/models:1 [linux/amd64]",
            "org/cron:1 [linux/amd64]",
            "org/web@sha256:0000000000000000000000000000000000000000000000000000000000000000 [linux/amd64]",
            "org/worker:1 [linux/amd64]",
        ]
    );
    let json =
        r#"{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"image": "org/json"}]}}"#;
    assert_eq!(named("pod", json, &[]), ["org/json"]);
}

#[test]
fn what_is_nothing_of_all_this_is_refused_with_its_name() {
    for (name, text, why) in [
        (
            "notes.txt",
            "buy milk\n",
            "is no Dockerfile, no compose file and no Kubernetes manifest",
        ),
        (
            "values.yaml",
            "image: {repository: org/x}\n",
            "is no Dockerfile, no compose file",
        ),
        (
            "chart.yaml",
            "image: {{ .Values.image }}\n",
            "helm template",
        ),
        ("broken.yml", "a: [b\n", "cannot be read as YAML"),
        ("empty.yaml", "", "is no Dockerfile"),
    ] {
        let (refused, path) = read(name, text, &[]);
        let error = refused.unwrap_err();
        let said = error.to_string();
        let shown = path.display().to_string();
        assert!(
            said.contains(why) && said.contains(&shown),
            "{name}: {said}"
        );
        assert_eq!(error.kind(), Kind::Usage);
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("Dockerfile");
    std::fs::write(&path, b"FROM \xff\xfe\n").unwrap();
    let said = read_text(&path).unwrap_err().to_string();
    assert!(said.contains("is not text in UTF-8"), "{said}");
    let file = File::create(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    let said = read_text(&path).unwrap_err().to_string();
    assert!(said.contains("larger than 16 MiB"), "{said}");
}

/// Each of these would make a reader without bounds take gigabytes, minutes or its whole stack.
#[test]
fn hostile_files_are_refused_within_moments() {
    let bomb = {
        let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..20 {
            let aliases = format!("*a{},", level - 1).repeat(10);
            let aliases = aliases.trim_end_matches(',');
            text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        text
    };
    let long = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(1 << 20),
        "*a,".repeat(5_000)
    );
    let hostile = [
        bomb,
        long,
        format!("services: {}", "{a: ".repeat(100_000)),
        "[".repeat(1 << 20),
        "- ".repeat(100_000),
        format!("a: &a [*a]\n{}", "b: *a\n".repeat(1_000)),
        "? ".repeat(200_000),
        "---\na: 1\n".repeat(200_000),
        "&a ".repeat(500_000),
    ];
    let begun = std::time::Instant::now();
    for text in hostile {
        let (refused, _) = read("hostile.yaml", &text, &[]);
        let beginning: String = text.chars().take(20).collect();
        let error = refused.err();
        let error = error.unwrap_or_else(|| panic!("{beginning:?} was taken"));
        assert!(error.to_string().len() < 1_000, "{error}");
    }
    let dockerfiles = [
        "FROM \\\n".repeat(2_000_000),
        format!(
            "ARG A={}\n{}FROM $A\n",
            "x".repeat(4_000),
            "ARG A=$A$A\n".repeat(1_000)
        ),
        format!("FROM {}\n", "${A:-".repeat(1_000_000)),
        "RUN <<A <<B <<C\n".repeat(200_000),
        format!("RUN {}\n", "--mount=from=a ".repeat(1_000_000)),
    ];
    for text in dockerfiles {
        let (selection, _) = read("Dockerfile", &text, &[]);
        assert!(selection.unwrap().images.len() < 2);
    }
    assert!(begun.elapsed().as_secs() < 60, "took {:?}", begun.elapsed());
}
