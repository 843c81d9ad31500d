//! A flood of password guesses from one network of IPv6, whose owner changes the /64 with every login: no ban stops it,
//! and yet nobody else waits long or is turned away.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::Neighbours;
use crate::support::appliance::Appliance;
use crate::support::client::{Client, token_path};

/// As many as the box checks and lets wait at once, three times.
const GUESSERS: usize = 48;

#[test]
fn a_flood_of_guesses_from_one_site_turns_no_other_login_away() {
    let toml = "[server]\ntrusted_proxies = [\"127.0.0.1/32\"]";
    let neighbours = Neighbours::of(Appliance::builder().toml(toml));
    let users: Vec<_> = (0..5).map(|number| format!("user-{number}")).collect();
    for user in &users {
        let add = ["user", "add", user, "--password-stdin"];
        neighbours.appliance.ok_with_input(&add, "right Passw0rd\n");
    }
    let client = Client::of(&neighbours.appliance);
    let (stop, turned_away) = (AtomicBool::new(false), AtomicUsize::new(0));
    neighbours.unharmed_by("a flood of logins from one /48", || {
        std::thread::scope(|scope| {
            for guesser in 0..GUESSERS {
                let (client, stop, turned_away) = (&client, &stop, &turned_away);
                scope.spawn(move || guess(client, guesser, stop, turned_away));
            }
            // Until every place is taken.
            while turned_away.load(Ordering::Relaxed) < 50 {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            let statuses: Vec<_> = (1..)
                .zip(&users)
                .map(|(site, user)| {
                    let client = client.with("X-Forwarded-For", &format!("2001:db8:{site}::1"));
                    client
                        .basic(user, "right Passw0rd")
                        .get(&token_path(&[]))
                        .status
                })
                .collect();
            stop.store(true, Ordering::Relaxed);
            assert_eq!(statuses, [200; 5], "each for the first time from there");
        });
    });
}

fn guess(client: &Client, guesser: usize, stop: &AtomicBool, turned_away: &AtomicUsize) {
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let network = guesser * 1_000 + number % 1_000;
        let client = client.with("X-Forwarded-For", &format!("2001:db8:bad:{network:x}::1"));
        let name = format!("nobody-{guesser}-{number}");
        let answer = client.basic(&name, "wrong Passw0rd").get(&token_path(&[]));
        match answer.status {
            401 => {}
            429 => drop(turned_away.fetch_add(1, Ordering::Relaxed)),
            _ => panic!("{}", answer.text()),
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
