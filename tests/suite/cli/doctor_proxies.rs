//! What the doctor finds of proxies on this machine: configurations in a private `/etc`, and a process that takes
//! connections from other machines and holds one to the box, which the test itself is.

use std::net::{TcpListener, TcpStream};

use super::doctor_machine::{inside, is_root, write};
use super::doctor_surroundings::{assert_found, doctor, found};
use crate::support::appliance::Appliance;

#[test]
fn a_proxy_that_points_at_the_box_must_be_trusted_and_name_its_clients() {
    if !is_root() {
        return;
    }
    let untrusted = Appliance::start();
    let toml = "[server]\ntrusted_proxies = [\"127.0.0.1\"]";
    let trusted = Appliance::builder().toml(toml).start();
    let names = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;";
    struct Case<'a> {
        appliance: &'a Appliance,
        file: &'a str,
        /// `BOX` stands for the box's address.
        text: &'a str,
        check: Option<&'a str>,
    }
    let bare = "location / { proxy_pass http://BOX; }";
    let named = &format!("location / {{ {names} proxy_pass http://BOX/; }}");
    for Case {
        appliance,
        file,
        text,
        check,
    } in [
        Case {
            appliance: &untrusted,
            file: "nginx/conf.d/box.conf",
            text: bare,
            check: Some("proxy_untrusted"),
        },
        Case {
            appliance: &untrusted,
            file: "nginx/sites-enabled/box",
            text: named,
            check: Some("proxy_untrusted"),
        },
        Case {
            appliance: &untrusted,
            file: "haproxy/haproxy.cfg",
            text: "backend box\n  option forwardfor\n  server box BOX check\n",
            check: Some("proxy_untrusted"),
        },
        Case {
            appliance: &trusted,
            file: "nginx/conf.d/box.conf",
            text: bare,
            check: Some("proxy_unnamed_clients"),
        },
        Case {
            appliance: &trusted,
            file: "nginx/conf.d/box.conf",
            text: named,
            check: None,
        },
        Case {
            appliance: &trusted,
            file: "caddy/Caddyfile",
            text: "box.example {\n  reverse_proxy BOX\n}\n",
            check: None,
        },
        Case {
            appliance: &untrusted,
            file: "nginx/sites-available/box",
            text: bare,
            check: None,
        },
        Case {
            appliance: &untrusted,
            file: "nginx/conf.d/box.conf",
            text: "location / { proxy_pass http://127.0.0.1:1; }",
            check: None,
        },
    ] {
        let etc = tempfile::tempdir().unwrap();
        let address = appliance.address().to_string();
        write(&etc.path().join(file), &text.replace("BOX", &address));
        let prelude = "mount --bind \"$1\" /etc";
        let examine = || inside(&doctor(appliance), &["--mount"], prelude, etc.path());
        for one in ["proxy_untrusted", "proxy_unnamed_clients"] {
            if check == Some(one) {
                let part = format!("(/etc/{file} names {address})");
                assert_found(&mut examine(), one, "warning", &part);
            } else {
                assert_eq!(found(&mut examine(), one), [], "{one}: {file}: {text}");
            }
        }
    }
}

#[test]
fn a_process_between_other_machines_and_the_box_is_suspected() {
    let appliance = Appliance::start();
    let suspected = |appliance: &Appliance| -> Vec<String> {
        let own = format!("(process {})", std::process::id());
        let found = found(&mut doctor(appliance), "proxy_suspected").into_iter();
        found
            .filter(|(_, what)| what.contains(&own))
            .map(|(severity, what)| format!("{severity}: {what}"))
            .collect()
    };
    let _connection = TcpStream::connect(appliance.address()).unwrap();
    assert_eq!(suspected(&appliance), [""; 0], "it takes no connections");
    let _local = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(suspected(&appliance), [""; 0], "only of this machine");
    let _open = TcpListener::bind("0.0.0.0:0").unwrap();
    let told = suspected(&appliance);
    assert!(
        matches!(&told[..], [one] if one.starts_with("note: ") && one.contains("one to this box, from 127.0.0.1")),
        "{told:?}"
    );
    // Neither of a box that it has no connection to, nor where it is a proxy that is trusted.
    let toml = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let other = Appliance::builder().toml(toml).start();
    assert_eq!(suspected(&other), [""; 0]);
    let _connection = TcpStream::connect(other.address()).unwrap();
    assert_eq!(suspected(&other), [""; 0]);
}
