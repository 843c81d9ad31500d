//! The sources of the configuration, played against each other.

use super::*;

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
    struct Case<'a> {
        option: bool,
        variable: bool,
        with_file: bool,
        data: &'a str,
        listen: &'a [&'a str],
    }
    let cases: &[Case<'_>] = &[
        Case {
            option: true,
            variable: true,
            with_file: true,
            data: "option",
            listen: &["127.0.0.1:3"],
        },
        Case {
            option: true,
            variable: false,
            with_file: true,
            data: "option",
            listen: &["127.0.0.1:3"],
        },
        Case {
            option: true,
            variable: false,
            with_file: false,
            data: "option",
            listen: &["127.0.0.1:3"],
        },
        Case {
            option: false,
            variable: true,
            with_file: true,
            data: "environment",
            listen: &["127.0.0.1:2", "[::1]:2"],
        },
        Case {
            option: false,
            variable: true,
            with_file: false,
            data: "environment",
            listen: &["127.0.0.1:2", "[::1]:2"],
        },
        Case {
            option: false,
            variable: false,
            with_file: true,
            data: "file",
            listen: &["127.0.0.1:1"],
        },
        Case {
            option: false,
            variable: false,
            with_file: false,
            data: "./breakwater-data",
            listen: &["127.0.0.1:5000"],
        },
    ];
    for Case {
        option,
        variable,
        with_file,
        data,
        listen,
    } in cases
    {
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
fn variables_are_read_by_what_their_key_wants() {
    let environment = [
        ("BREAKWATER_OFFLINE", "true"),
        ("BREAKWATER_SERVER_WORKERS", "7"),
        ("BREAKWATER_SERVER_TRUSTED_PROXIES", "10.0.0.1, fd00::/8"),
        ("BREAKWATER_CACHE_MIN_FREE", "10GiB"),
        ("BREAKWATER_TLS_LISTEN", ""),
    ];
    let config = load("", &environment).unwrap();
    assert!(config.offline);
    assert_eq!(config.server.workers, 7);
    assert_eq!(config.server.trusted_proxies.len(), 2);
    assert_eq!(config.cache.min_free, Size::Bytes(10 << 30));
    assert!(config.tls.listen.is_empty());
}
