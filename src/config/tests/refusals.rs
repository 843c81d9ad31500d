//! What is refused: the error names the key, the place, and what was meant.

use super::*;

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
