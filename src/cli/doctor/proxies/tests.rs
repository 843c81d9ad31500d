//! What is read out of configurations, and which files are read.

use super::*;

fn program(name: &str) -> &'static Program {
    PROGRAMS
        .iter()
        .find(|program| program.name == name)
        .unwrap()
}

/// The box listens at 127.0.0.1:5000; which checks have findings.
fn checks(name: &str, text: &str, trusted: bool) -> Vec<&'static str> {
    let texts = [(PathBuf::from("/etc/x"), text.to_owned())];
    let is_box = |address: SocketAddr| address == (Ipv4Addr::LOCALHOST, 5000).into();
    let found = judge(program(name), &texts, is_box, |_| trusted);
    found.iter().map(|finding| finding.check).collect()
}

#[test]
fn configurations_of_proxies_name_the_box() {
    struct Case {
        program: &'static str,
        text: &'static str,
        names_box: bool,
    }
    let names = |program, text| Case {
        program,
        text,
        names_box: true,
    };
    let not = |program, text| Case {
        program,
        text,
        names_box: false,
    };
    for case in [
        names("nginx", "location / { proxy_pass http://127.0.0.1:5000; }"),
        names(
            "nginx",
            "upstream box {\n  server 127.0.0.1:5000 max_fails=3;\n}",
        ),
        names("nginx", "proxy_pass http://localhost:5000/;"),
        names("nginx", "set $box \"127.0.0.1:5000\";"),
        names("haproxy", "backend b\n  server box 127.0.0.1:5000 check"),
        names("caddy", "box.example {\n\treverse_proxy :5000\n}"),
        names("caddy", "reverse_proxy localhost:5000"),
        names("traefik", "servers:\n  - url: \"http://127.0.0.1:5000\""),
        names(
            "traefik",
            "[[http.services.b.loadBalancer.servers]]\nurl='http://[::ffff:127.0.0.1]:5000/'",
        ),
        names("apache", "ProxyPass / http://127.0.0.1:5000/ nocanon"),
        names("stunnel", "[box]\naccept = 443\nconnect = 127.0.0.1:5000"),
        not("nginx", "# proxy_pass http://127.0.0.1:5000;"),
        not(
            "nginx",
            "proxy_pass http://127.0.0.1:5001; # was 127.0.0.1:5000",
        ),
        not("nginx", "proxy_pass http://127.0.0.1:50000;"),
        not("nginx", "proxy_pass http://10.127.0.0.1:5000;"),
        not("nginx", "proxy_pass http://127.0.0.1;"),
        not("nginx", "listen 127.0.0.1:5000;"),
        not("haproxy", "frontend f\n  bind :5000"),
        not("nginx", ""),
    ] {
        let found = !checks(case.program, case.text, false).is_empty();
        assert_eq!(found, case.names_box, "{}: {}", case.program, case.text);
    }
}

#[test]
fn a_trusted_proxy_has_to_name_its_clients() {
    let bare = "proxy_pass http://127.0.0.1:5000;\n# proxy_set_header X-Forwarded-For";
    let named = "proxy_pass http://127.0.0.1:5000;\nproxy_set_header X-Forwarded-For $remote_addr;";
    let haproxy = "option forwardfor\nserver box 127.0.0.1:5000";
    for (name, text, trusted, expected) in [
        ("nginx", bare, false, &["proxy_untrusted"][..]),
        ("nginx", named, false, &["proxy_untrusted"]),
        ("nginx", bare, true, &["proxy_unnamed_clients"]),
        ("nginx", named, true, &[]),
        ("haproxy", haproxy, true, &[]),
        (
            "haproxy",
            "server box 127.0.0.1:5000",
            true,
            &["proxy_unnamed_clients"],
        ),
        ("caddy", "reverse_proxy 127.0.0.1:5000", true, &[]),
        (
            "stunnel",
            "connect = 127.0.0.1:5000",
            true,
            &["proxy_unnamed_clients"],
        ),
    ] {
        assert_eq!(
            checks(name, text, trusted),
            expected,
            "{name} {text} {trusted}"
        );
    }
}

#[test]
fn what_names_the_clients_must_hold_where_the_box_is_named() {
    let site = |text: &str| {
        let site = format!("{text}\nproxy_pass http://127.0.0.1:5000;");
        [
            (PathBuf::from("/etc/nginx/sites-enabled/box"), site),
            (
                PathBuf::from("/etc/nginx/proxy_params"),
                "proxy_set_header X-Forwarded-For $remote_addr;".to_owned(),
            ),
        ]
    };
    let names = |texts: &[(PathBuf, String)]| program("nginx").names_clients(&texts[0].0, texts);
    // Debian's file is there, and nobody includes it.
    assert!(!names(&site("")));
    assert!(!names(&site("# include proxy_params;")));
    assert!(!names(&site("include my_proxy_params;")));
    assert!(names(&site("location / { include proxy_params; }")));
    assert!(names(&site("include /etc/nginx/proxy_params;")));
    // What stands in the main file holds for all.
    let mut main = site("");
    main[1].0 = "/etc/nginx/nginx.conf".into();
    assert!(names(&main));
}

#[test]
fn files_are_looked_for_within_bounds() {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str| {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "text").unwrap();
    };
    for name in [
        "nginx.conf",
        "conf.d/a.conf",
        "conf.d/a.conf.bak",
        "conf.d/a.conf.dpkg-old",
        "sites-available/b",
        "1/2/3/4/deepest",
        "1/2/3/4/5/too-deep",
    ] {
        put(name);
    }
    let enabled = directory.path().join("sites-enabled");
    std::fs::create_dir(&enabled).unwrap();
    std::os::unix::fs::symlink("../sites-available/b", enabled.join("b")).unwrap();
    std::os::unix::fs::symlink("..", directory.path().join("conf.d/loop")).unwrap();
    let found = configuration([directory.path()].into_iter());
    let mut found: Vec<_> = found
        .iter()
        .map(|(file, _)| {
            file.strip_prefix(directory.path())
                .unwrap()
                .display()
                .to_string()
        })
        .filter(|name| !name.contains("loop"))
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            "1/2/3/4/deepest",
            "conf.d/a.conf",
            "nginx.conf",
            "sites-enabled/b"
        ]
    );
    for number in 0..2 * MOST_FILES {
        put(&format!("many/{number}"));
    }
    assert!(configuration([directory.path()].into_iter()).len() <= MOST_FILES);
}
