//! The sources of the configuration, played against each other.

use std::path::Path;

use super::*;

const NO_FILE: &str = "/nonexistent/breakwater.toml";

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Loads a file with `text` under the given environment.
fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("breakwater.toml");
    std::fs::write(&file, text).unwrap();
    let options = Options {
        file: Some(file),
        ..Options::default()
    };
    Config::from_sources(&options, variables(environment), Path::new(NO_FILE))
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let config = Config::default();
    assert_eq!(config.data, Path::new("./breakwater-data"));
    assert_eq!(config.server.listen, ["127.0.0.1:5000".parse().unwrap()]);
    assert_eq!(
        (config.server.workers, config.server.max_connections),
        (256, 4096)
    );
    assert_eq!(config.server.max_connections_per_address, 1024);
    assert_eq!(config.server.head_timeout, Duration::from_secs(15));
    assert_eq!(config.auth.token_ttl, Duration::from_secs(900));
    assert_eq!(config.cache.min_free, Size::Percent(5));
    assert_eq!(config.mirror.default.as_str(), "docker.io");
    assert_eq!(config.upstreams.len(), 1);
    assert_eq!(config.upstreams[0].url, "https://registry-1.docker.io");
    config.refuse_unavailable().unwrap();
}

#[test]
fn the_file_of_the_documentation_is_the_default() {
    let config = load(include_str!("example.toml"), &[]).unwrap();
    let expected = Config {
        data: "/var/lib/breakwater".into(),
        file: config.file.clone(),
        ..Config::default()
    };
    assert_eq!(format!("{config:?}"), format!("{expected:?}"));
}

#[test]
fn option_goes_before_environment_before_file_before_default() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("breakwater.toml");
    std::fs::write(&file, "data = 'file'\n[server]\nlisten = ['127.0.0.1:1']\n").unwrap();
    let environment = [
        ("BREAKWATER_DATA", "environment"),
        ("BREAKWATER_SERVER_LISTEN", "127.0.0.1:2,[::1]:2"),
    ];
    // Which of option, environment and file are there → data and listen.
    let cases: &[(bool, bool, bool, &str, &[&str])] = &[
        (true, true, true, "option", &["127.0.0.1:3"]),
        (true, false, true, "option", &["127.0.0.1:3"]),
        (true, false, false, "option", &["127.0.0.1:3"]),
        (
            false,
            true,
            true,
            "environment",
            &["127.0.0.1:2", "[::1]:2"],
        ),
        (
            false,
            true,
            false,
            "environment",
            &["127.0.0.1:2", "[::1]:2"],
        ),
        (false, false, true, "file", &["127.0.0.1:1"]),
        (
            false,
            false,
            false,
            "./breakwater-data",
            &["127.0.0.1:5000"],
        ),
    ];
    for (option, variable, with_file, data, listen) in cases {
        let options = Options {
            file: with_file.then(|| file.clone()),
            data: option.then(|| "option".into()),
            listen: if *option {
                vec!["127.0.0.1:3".to_owned()]
            } else {
                Vec::new()
            },
        };
        let environment = if *variable {
            variables(&environment)
        } else {
            Vec::new()
        };
        let config = Config::from_sources(&options, environment, Path::new(NO_FILE)).unwrap();
        let got: Vec<_> = config
            .server
            .listen
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            (config.data.to_str().unwrap(), &got[..]),
            (
                *data,
                &listen.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>()[..]
            ),
            "option {option}, environment {variable}, file {with_file}"
        );
    }
}

#[test]
fn the_file_is_found_by_option_environment_and_default() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str| {
        let file = directory.path().join(name);
        std::fs::write(&file, format!("data = '{name}'")).unwrap();
        file
    };
    let (option, variable, default) = (write("option"), write("variable"), write("default"));
    let environment = [("BREAKWATER_CONFIG", variable.to_str().unwrap())];
    let with = |file: Option<&Path>, environment: &[(&str, &str)], default: &Path| {
        let options = Options {
            file: file.map(Path::to_owned),
            ..Options::default()
        };
        Config::from_sources(&options, variables(environment), default).map(|config| config.data)
    };
    assert_eq!(
        with(Some(&option), &environment, &default).unwrap(),
        Path::new("option")
    );
    assert_eq!(
        with(None, &environment, &default).unwrap(),
        Path::new("variable")
    );
    assert_eq!(
        with(None, &[("BREAKWATER_CONFIG", "")], &default).unwrap(),
        Path::new("default")
    );
    assert_eq!(
        with(None, &[], Path::new(NO_FILE)).unwrap(),
        Path::new("./breakwater-data")
    );
    let missing = with(Some(Path::new(NO_FILE)), &[], &default)
        .unwrap_err()
        .to_string();
    assert!(missing.contains(NO_FILE), "{missing}");
}

#[test]
fn a_file_without_data_means_the_system_directory() {
    assert_eq!(
        load("", &[]).unwrap().data,
        Path::new("/var/lib/breakwater")
    );
}

#[test]
fn unknown_keys_name_the_nearest_and_the_line() {
    // The file, the key complained about, its line, the suggestion.
    let cases: &[(&str, &str, usize, &str)] = &[
        ("dat = 'x'", "dat", 1, "data"),
        (
            "\n[server]\nworkers = 3\nhead_timout = '1s'",
            "server.head_timout",
            4,
            "server.head_timeout",
        ),
        ("[sever]\nworkers = 3", "sever.workers", 2, "server.workers"),
        ("[sever]\n", "sever", 1, "server.listen"),
        (
            "[cache]\ntag-ttl = '1s'",
            "cache.tag-ttl",
            2,
            "cache.tag_ttl",
        ),
        (
            "[server]\ntoken_ttl = '1s'",
            "server.token_ttl",
            2,
            "auth.token_ttl",
        ),
        ("workers = 3", "workers", 1, "server.workers"),
        (
            "[upstreams.'quay.io']\n\nusrname = 'x'",
            "usrname",
            3,
            "username",
        ),
        ("[server.listen]\nx = 1", "server.listen", 1, ""),
    ];
    for (text, key, line, suggestion) in cases {
        let error = load(text, &[]).unwrap_err();
        assert_eq!(error.kind(), Kind::Config, "{text}");
        let error = error.to_string();
        assert!(
            error.contains(&format!("breakwater.toml, line {line}: ")),
            "{text:?}: {error}"
        );
        assert!(error.contains(&format!("`{key}`")), "{text:?}: {error}");
        if !suggestion.is_empty() && *key != "sever" {
            assert!(
                error.contains(&format!("did you mean `{suggestion}`?")),
                "{text:?}: {error}"
            );
        }
    }
}

#[test]
fn unknown_variables_name_the_nearest() {
    for (variable, suggestion) in [
        ("BREAKWATER_SERVER_WORKER", "BREAKWATER_SERVER_WORKERS"),
        ("BREAKWATER_DTA", "BREAKWATER_DATA"),
        ("BREAKWATER_CONFIG_FILE", "BREAKWATER_CONFIG"),
        ("BREAKWATER_UPSTREAMS_DOCKER_IO", "PASSWORD_FILE"),
        ("BREAKWATER_UPSTREAMS_URL", "NAME_KEY"),
    ] {
        let error = load("", &[(variable, "x")]).unwrap_err().to_string();
        assert!(
            error.contains(variable) && error.contains(suggestion),
            "{variable}: {error}"
        );
    }
}

#[test]
fn variables_of_kubernetes_are_not_ours() {
    let all = [
        "BREAKWATER_SERVICE_HOST",
        "BREAKWATER_PORT",
        "BREAKWATER_PORT_5000_TCP",
        "PATH",
        "BREAKWATER_DATA",
    ];
    let all = all.into_iter().map(|name| (name.into(), "x".into()));
    assert_eq!(
        environment::variables(all).unwrap(),
        variables(&[("BREAKWATER_DATA", "x")])
    );
}

#[test]
fn upstreams_add_up() {
    let file = "[upstreams.'docker.io']\nurl = 'http://hub.example:5000/'\n[upstreams.'quay.io']\n[upstreams.'my-hub.example']\nurl = 'http://10.0.0.1'";
    let environment = [
        ("BREAKWATER_UPSTREAMS_MY_HUB_EXAMPLE_USERNAME", "me"),
        (
            "BREAKWATER_UPSTREAMS_MY_HUB_EXAMPLE_PASSWORD_FILE",
            "/secret",
        ),
        (
            "BREAKWATER_UPSTREAMS_A__B_EXAMPLE_AUTH_REALM",
            "https://auth.example/token",
        ),
    ];
    let config = load(file, &environment).unwrap();
    let got: Vec<_> = config
        .upstreams
        .iter()
        .map(|upstream| {
            (
                upstream.name.as_str(),
                upstream.url.as_str(),
                upstream.username.as_str(),
            )
        })
        .collect();
    assert_eq!(
        got,
        [
            ("docker.io", "http://hub.example:5000", ""),
            ("a-b.example", "https://a-b.example", ""),
            ("my-hub.example", "http://10.0.0.1", "me"),
            ("quay.io", "https://quay.io", ""),
        ]
    );
    assert_eq!(
        config.upstreams[1].auth_realm.as_deref(),
        Some("https://auth.example/token")
    );
    assert_eq!(
        config.upstreams[2].password_file.as_deref(),
        Some(Path::new("/secret"))
    );

    let docker = load(
        "",
        &[("BREAKWATER_UPSTREAMS_DOCKER_IO_URL", "http://127.0.0.1:1")],
    )
    .unwrap();
    assert_eq!(docker.upstreams.len(), 1);
    assert_eq!(docker.upstreams[0].url, "http://127.0.0.1:1");
}

#[test]
fn values_that_cannot_be_meant_are_refused_with_their_place() {
    // What is wrong, and what the error must say.
    let cases: &[(&str, &[&str])] = &[
        ("offline = 'yes'", &["line 1", "`offline`", "true"]),
        ("data = ''", &["`data`", "empty"]),
        (
            "[server]\nworkers = 0",
            &["line 2", "`server.workers`", "1 to"],
        ),
        ("[server]\nworkers = -1", &["`server.workers`"]),
        ("[server]\nworkers = 1.5", &["`server.workers`"]),
        ("[server]\nlisten = []", &["`server.listen`"]),
        ("[server]\nlisten = '127.0.0.1:5000'", &["list"]),
        (
            "[server]\nlisten = ['localhost:5000']",
            &["`localhost:5000`", "127.0.0.1:5000"],
        ),
        ("[server]\nlisten = [5000]", &["no text"]),
        (
            "[server]\nexternal_url = 'box.example'",
            &["`server.external_url`", "https://"],
        ),
        (
            "[server]\nhead_timeout = '0'",
            &["`server.head_timeout`", "shorter"],
        ),
        (
            "[server]\nhead_timeout = 15",
            &["`server.head_timeout`", "quotes"],
        ),
        ("[server]\nidle_timeout = '9999999y'", &["century"]),
        ("[server]\ntrusted_proxies = ['proxy']", &["`proxy`"]),
        ("[cache]\nmin_free = '200%'", &["`cache.min_free`"]),
        ("[auth]\nissuer = ''", &["`auth.issuer`"]),
        ("[log]\nformat = 'xml'", &["`log.format`", "json"]),
        ("[log]\nlevel = 'loud'", &["`log.level`", "debug"]),
        ("[mirror]\ngroup = 'a/b'", &["`mirror.group`"]),
        (
            "[mirror]\ndefault = 'quay.io'",
            &["`mirror.default`", "docker.io", "[upstreams.\"quay.io\"]"],
        ),
        (
            "[upstreams.'docker.io']\nurl = 'https://me:secret@hub'",
            &["line 2", "password does not belong"],
        ),
        (
            "[upstreams.docker]\nurl = 'https://hub'",
            &["line 1", "`docker`"],
        ),
        (
            "[upstreams.'docker.io']\nusername = 'me'",
            &["docker.io", "password_file"],
        ),
        ("upstreams = 3", &["line 1", "upstreams"]),
        ("server = 3", &["line 1", "`server`"]),
        ("data = 'a'\ndata = 'b'", &["line 2", "duplicate"]),
        ("data = ", &["line 1", "TOML"]),
    ];
    for (text, parts) in cases {
        let error = load(text, &[]).unwrap_err();
        assert_eq!(error.kind(), Kind::Config, "{text}");
        let error = error.to_string();
        for part in *parts {
            assert!(error.contains(part), "{text:?}: {error:?} lacks {part:?}");
        }
        assert!(
            !error.contains('\n') && !error.contains("secret@"),
            "{error:?}"
        );
    }
}

#[test]
fn variables_are_read_by_what_their_key_wants() {
    let environment = [
        ("BREAKWATER_OFFLINE", "true"),
        ("BREAKWATER_SERVER_WORKERS", "7"),
        ("BREAKWATER_SERVER_TRUSTED_PROXIES", "10.0.0.1, fd00::/8"),
        ("BREAKWATER_CACHE_MAX_SIZE", "10GiB"),
        ("BREAKWATER_TLS_LISTEN", ""),
    ];
    let config = load("", &environment).unwrap();
    assert!(config.offline);
    assert_eq!(config.server.workers, 7);
    assert_eq!(config.server.trusted_proxies.len(), 2);
    assert_eq!(config.cache.max_size, Size::Bytes(10 << 30));
    assert!(config.tls.listen.is_empty());
}

#[test]
fn what_is_not_there_yet_is_refused_and_not_ignored() {
    for (text, key) in [
        ("[cache]\nmax_size = '1GiB'", "cache.max_size"),
        ("[cache]\nmin_free = '0'", "cache.min_free"),
        ("[cache]\nunused_days = 3", "cache.unused_days"),
    ] {
        let error = load(text, &[])
            .unwrap()
            .refuse_unavailable()
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(key) && error.contains("not available in this version"),
            "{error}"
        );
    }
}

#[test]
fn tls_is_whole_or_not_there() {
    for (text, expected) in [
        ("[tls]\ncertificate = '/c.pem'", "no tls.key"),
        ("[tls]\nkey = '/k.pem'", "no tls.certificate"),
        (
            "[tls]\nlisten = ['0.0.0.0:5443']",
            "`breakwater tls self-signed`",
        ),
        ("[server]\nlisten = []", "serves nobody"),
    ] {
        let error = load(text, &[]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let only_tls = "[server]\nlisten = []\n[tls]\ncertificate = '/c.pem'\nkey = '/k.pem'\n\
        listen = ['0.0.0.0:5443']";
    let config = load(only_tls, &[]).unwrap();
    assert!(config.server.listen.is_empty());
    assert_eq!(config.tls.listen, ["0.0.0.0:5443".parse().unwrap()]);
    assert_eq!(config.tls.key.as_deref(), Some(Path::new("/k.pem")));
}
