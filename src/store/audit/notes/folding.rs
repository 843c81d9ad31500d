//! Which events are one, and which are told apart no longer when there are too many. Pure.
//!
//! An event that is the same within a minute is counted. Of different ones, each kind has a number that are told apart,
//! and each source of them its own share of it; what is beyond is counted by source, and at last by kind alone. A login
//! that succeeded is never counted with anybody else's: a row always names the user or token, so that a flood of
//! refusals hides no stolen token. Bans are always told apart. Neither can be caused without limit: a login takes a
//! credential, and a ban takes many failures.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::network;
use crate::store::audit::event::Class;
use crate::store::audit::{Actor, Event, EventKind};
use crate::time::Timestamp;

/// Refusals of one kind and one source in a minute that are told apart.
pub(super) const MAX_OF_SOURCE: usize = 50;
/// Refusals of one kind in a minute that are told apart; and beyond that, sources that are.
pub(super) const MAX_OF_KIND: usize = 250;
/// Addresses from which one user or token logs in in a minute that are told apart; and beyond that, networks that are.
pub(super) const MAX_ADDRESSES: usize = 256;
/// Refusals that are kept at all: more only come together while nothing can be written for many minutes.
pub(super) const MAX_REFUSALS: usize = 12_000;
/// Logins and bans that are kept once they are written, to count what is the same; the others are counted in another row.
pub(super) const MAX_PRECIOUS: usize = 10_000;

/// Pulls in a minute that are told apart; and beyond that, pullers that are.
pub(super) const MAX_PULLS: usize = 2_000;

/// Who did what is counted by kind alone.
pub(super) const OTHERS: &str = "(others)";

/// What is the same event if it comes again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) minute: i64,
    pub(super) event: Event,
    actor: String,
    from: Option<IpNet>,
}

#[derive(Debug, Clone)]
pub(super) struct Noted {
    /// As it was the first time.
    pub(super) actor: Actor,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) count: i64,
    /// How many of these the row knows of.
    pub(super) written: i64,
    pub(super) row: Option<i64>,
}

/// What was noted within this minute, and what of earlier ones is not written yet.
#[derive(Debug, Default)]
pub(in crate::store::audit) struct Notes {
    pub(super) refusals: HashMap<Key, Noted>,
    pub(super) precious: HashMap<Key, Noted>,
    pulls: HashMap<Key, Noted>,
    told_apart: HashMap<Share, usize>,
    /// Logins and bans since the last call of [`Self::is_write_due`].
    new_precious: usize,
}

/// What there is a limit for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Share {
    minute: i64,
    kind: EventKind,
    /// 0 where everything is told apart.
    level: u8,
    of: Of,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Of {
    /// All of one kind, apart by whether they said who they are, and by whether an existing user is concerned: who
    /// reaches the box without a credential takes no room from those who have one, nor from guesses at a user.
    Kind {
        is_known: bool,
        is_about_user: bool,
    },
    Source(String),
}

/// One way to tell an event: more or less exactly.
struct Level {
    actor: Actor,
    event: Event,
    limits: Vec<(Of, usize)>,
}

impl Notes {
    pub(super) fn add(&mut self, actor: Actor, event: Event, now: Timestamp) {
        let minute = now.0.div_euclid(60);
        let kind = event.kind;
        let levels = match kind.class() {
            Class::Refusal => refusal_levels(actor, event),
            Class::Login => login_levels(actor, event),
            Class::Pull => pull_levels(actor, event),
            Class::Ban | Class::Change => vec![Level {
                actor,
                event,
                limits: Vec::new(),
            }],
        };
        for (number, level) in (0..).zip(levels) {
            let shares: Vec<_> = level
                .limits
                .into_iter()
                .map(|(of, limit)| {
                    let share = Share {
                        minute,
                        kind,
                        level: number,
                        of,
                    };
                    (share, limit)
                })
                .collect();
            if self.tell(level.actor, level.event, shares, now) {
                return;
            }
        }
    }

    /// Counts the event, or notes a new one where the shares have room; whether it did.
    fn tell(
        &mut self,
        actor: Actor,
        event: Event,
        shares: Vec<(Share, usize)>,
        now: Timestamp,
    ) -> bool {
        let class = event.kind.class();
        let (notes, most) = match class {
            Class::Refusal => (&mut self.refusals, MAX_REFUSALS),
            Class::Pull => (&mut self.pulls, MAX_REFUSALS),
            Class::Change | Class::Login | Class::Ban => (&mut self.precious, 2 * MAX_PRECIOUS),
        };
        let key = Key {
            minute: now.0.div_euclid(60),
            event,
            actor: actor.name.clone(),
            from: actor.from,
        };
        if let Some(noted) = notes.get_mut(&key) {
            noted.count = noted.count.saturating_add(1);
            noted.last = now;
            return true;
        }
        let used = |share: &Share| self.told_apart.get(share).copied().unwrap_or(0);
        // The bound on all of them is reached only while nothing can be written.
        if notes.len() >= most || shares.iter().any(|(share, limit)| used(share) >= *limit) {
            return false;
        }
        for (share, _) in shares {
            let told_apart = self.told_apart.entry(share).or_default();
            *told_apart = told_apart.saturating_add(1);
        }
        let precious = usize::from(!matches!(class, Class::Refusal | Class::Pull));
        self.new_precious = self.new_precious.saturating_add(precious);
        let noted = Noted {
            actor,
            first: now,
            last: now,
            count: 1,
            written: 0,
            row: None,
        };
        notes.insert(key, noted);
        true
    }

    /// Whether so many logins and bans have come that they should not wait for the next second.
    pub(super) fn is_write_due(&mut self) -> bool {
        let is_due = self.new_precious >= MAX_PRECIOUS / 4;
        if is_due {
            self.new_precious = 0;
        }
        is_due
    }

    pub(super) fn unwritten(&self) -> Vec<(Key, Noted)> {
        let all = self.refusals.iter().chain(&self.precious);
        let all = all.chain(&self.pulls);
        all.filter(|(_, noted)| noted.written < noted.count)
            .map(|(key, noted)| (key.clone(), noted.clone()))
            .collect()
    }

    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut Noted> {
        match key.event.kind.class() {
            Class::Refusal => self.refusals.get_mut(key),
            Class::Pull => self.pulls.get_mut(key),
            _ => self.precious.get_mut(key),
        }
    }

    /// Forgets what is written, but for what may come again within this minute.
    pub(super) fn forget_written(&mut self, now: Timestamp) {
        let minute = now.0.div_euclid(60);
        let is_current = |key: &Key| key.minute >= minute;
        let is_unwritten = |noted: &Noted| noted.written < noted.count;
        for notes in [&mut self.refusals, &mut self.pulls] {
            notes.retain(|key, noted| is_current(key) || is_unwritten(noted));
        }
        let is_full = self.precious.len() > MAX_PRECIOUS;
        self.precious
            .retain(|key, noted| (is_current(key) && !is_full) || is_unwritten(noted));
        self.told_apart.retain(|share, _| share.minute >= minute);
    }
}

/// Exactly; by source; by kind alone.
fn refusal_levels(actor: Actor, event: Event) -> Vec<Level> {
    let of = Of::Kind {
        is_known: actor.is_known,
        is_about_user: event.user.is_some(),
    };
    let kind = Event::new(event.kind);
    let source = source(&actor);
    let by_source = Actor {
        from: source.1,
        correlation_id: None,
        ..actor.clone()
    };
    vec![
        Level {
            actor,
            event,
            limits: vec![
                (of.clone(), MAX_OF_KIND),
                (Of::Source(source.0), MAX_OF_SOURCE),
            ],
        },
        Level {
            actor: by_source,
            event: kind.clone(),
            limits: vec![(of, MAX_OF_KIND)],
        },
        Level {
            actor: Actor::new(OTHERS),
            event: kind,
            limits: Vec::new(),
        },
    ]
}

/// Whose share of the refusals it is, and the network that names it: a user with all tokens, a token of a group, or
/// whoever comes from one IPv4 address or one IPv6 network of 48 bits.
fn source(actor: &Actor) -> (String, Option<IpNet>) {
    if actor.is_known {
        let name = actor.user.as_ref().map_or(&actor.name, |(name, _)| name);
        return (name.clone(), None);
    }
    let network = actor.from.map(|from| match from.addr() {
        address @ IpAddr::V4(_) => network::of_machine(address),
        address @ IpAddr::V6(_) => network::of_site(address),
    });
    let name = network.map_or_else(String::new, |network| network.to_string());
    (name, network)
}

/// Exactly; by who pulls; by kind alone.
fn pull_levels(actor: Actor, event: Event) -> Vec<Level> {
    let kind = Event::new(event.kind);
    let who = Actor {
        from: None,
        correlation_id: None,
        ..actor.clone()
    };
    let limits = || vec![(Of::Source(String::new()), MAX_PULLS)];
    vec![
        Level {
            actor,
            event,
            limits: limits(),
        },
        Level {
            actor: who,
            event: kind.clone(),
            limits: limits(),
        },
        Level {
            actor: Actor::new(OTHERS),
            event: kind,
            limits: Vec::new(),
        },
    ]
}

/// With the address; with the network; with the user or token alone.
fn login_levels(actor: Actor, event: Event) -> Vec<Level> {
    let limit = || vec![(Of::Source(actor.name.clone()), MAX_ADDRESSES)];
    let seen_from = |from: Option<IpNet>| Actor {
        from,
        ..actor.clone()
    };
    let site = actor.from.map(|from| network::of_site(from.addr()));
    vec![
        Level {
            actor: actor.clone(),
            event: event.clone(),
            limits: limit(),
        },
        Level {
            actor: seen_from(site),
            event: event.clone(),
            limits: limit(),
        },
        Level {
            actor: seen_from(None),
            event,
            limits: Vec::new(),
        },
    ]
}
