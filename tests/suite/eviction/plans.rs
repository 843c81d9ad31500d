//! What goes first, and what stays.

use breakwater::store::{Limit, Scope};

use super::*;

const GROUP: GroupId = GroupId(1);
const OTHERS: GroupId = GroupId(2);
const HUB: &str = "docker.io";

fn bytes(seed: u8, length: usize) -> Vec<u8> {
    (0..length)
        .map(|place| seed ^ (place % 251) as u8)
        .collect()
}

fn max_size(bytes: u64) -> Limits {
    Limits {
        max_size: Some(bytes),
        ..NO_LIMITS
    }
}

fn names(farm: &Farm) -> Vec<String> {
    farm.claims().into_keys().collect()
}

/// Images of 10,000 bytes each, pulled a day after each other.
fn pulled_daily(farm: &mut Farm, count: u8) -> Vec<Image> {
    let images: Vec<Image> = (0..count)
        .map(|number| {
            let (config, layer) = (bytes(number, 10), bytes(number, 10_000));
            Image::of(HUB, &format!("team/app:{number}"), &[&[&config, &layer]])
        })
        .collect();
    for image in &images {
        assert_eq!(farm.pull(image, 0, GROUP), Pulled::Filled);
        farm.pass(DAY);
    }
    images
}

#[test]
fn near_its_limit_the_cache_lets_go_of_what_nobody_pulls_down_to_95_percent() {
    let mut farm = Farm::new(NO_LIMITS);
    pulled_daily(&mut farm, 10);
    let used = farm.store().cache.used().unwrap();
    farm.limits = max_size(used * 100 / 98);
    farm.round();
    assert_eq!(
        names(&farm),
        (1..10)
            .map(|n| format!("docker.io/team/app:{n}"))
            .collect::<Vec<_>>()
    );
    let left = farm.store().cache.used().unwrap();
    assert!(left <= used * 100 / 98 * 95 / 100, "{left} of {used}");
    // A pull by digest counts as one by tag does, and a second round has nothing to do.
    farm.round();
    assert_eq!(farm.claims().len(), 9);
}

#[test]
fn what_is_being_carried_away_stays_meanwhile() {
    let mut farm = Farm::new(NO_LIMITS);
    pulled_daily(&mut farm, 3);
    let held = "docker.io/team/app:0".to_owned();
    let hold = |farm: &Farm, time| farm.store().held.hold([held.clone()], time);
    hold(&farm, std::time::Duration::from_secs(600));
    farm.limits = max_size(25_000);
    farm.round();
    assert_eq!(
        names(&farm),
        ["docker.io/team/app:0", "docker.io/team/app:2"]
    );
    hold(&farm, std::time::Duration::ZERO);
    farm.limits = max_size(15_000);
    farm.round();
    assert_eq!(names(&farm), ["docker.io/team/app:2"]);
}

#[test]
fn a_shared_layer_stays_with_the_image_that_still_needs_it() {
    let mut farm = Farm::new(NO_LIMITS);
    let base = bytes(1, 50_000);
    let (old, new) = (bytes(2, 5_000), bytes(3, 5_000));
    let first = Image::of(HUB, "a:1", &[&[b"{}", &base, &old]]);
    let second = Image::of(HUB, "b:1", &[&[b"{ }", &base, &new]]);
    farm.pull(&first, 0, GROUP);
    farm.pass(DAY);
    farm.pull(&second, 0, GROUP);
    farm.pass(DAY);
    let used = farm.store().cache.used().unwrap();
    farm.limits = max_size(used);
    farm.round();
    assert_eq!(names(&farm), ["docker.io/b:1"]);
    assert_eq!(farm.pull(&second, 0, GROUP), Pulled::Hit);
    assert!(!farm.workshop.file_exists(&Digest::of(&old)));
}

#[test]
fn a_platform_that_nobody_pulls_goes_before_its_index_and_the_index_keeps_its_bytes() {
    let mut farm = Farm::new(NO_LIMITS);
    let (ours, theirs) = (bytes(1, 20_000), bytes(2, 20_000));
    let image = Image::of(HUB, "multi:1", &[&[b"{}", &ours], &[b"{ }", &theirs]]);
    farm.pull(&image, 0, GROUP);
    farm.pull(&image, 1, GROUP);
    farm.pass(3 * DAY);
    assert_eq!(farm.pull(&image, 0, GROUP), Pulled::Hit);
    farm.pass(HOUR);
    farm.limits = max_size(farm.store().cache.used().unwrap());
    farm.round();
    assert!(farm.workshop.file_exists(&Digest::of(&ours)));
    assert!(!farm.workshop.file_exists(&Digest::of(&theirs)));
    assert_eq!(farm.pull(&image, 0, GROUP), Pulled::Hit);
    let repository = farm.repository(&image);
    assert!(farm.is_whole(repository, &Digest::of(&image.index())));
    assert!(
        farm.workshop
            .store
            .content
            .inventory()
            .unwrap()
            .loose
            .is_empty()
    );
    // It comes back as one that was never fetched.
    farm.limits = NO_LIMITS;
    farm.round();
    assert_eq!(farm.pull(&image, 1, GROUP), Pulled::Filled);
    assert_eq!(farm.pull(&image, 1, GROUP), Pulled::Hit);
}

#[test]
fn what_is_pinned_or_gone_upstream_or_of_an_upstream_that_is_away_stays() {
    let mut farm = Farm::new(NO_LIMITS);
    let images = pulled_daily(&mut farm, 6);
    let elsewhere = Image::of("quay.io", "other:1", &[&[b"{}", &bytes(9, 10_000)]]);
    farm.pull(&elsewhere, 0, GROUP);
    farm.pass(DAY);
    farm.pin(&images[0].name());
    let repository = farm.repository(&images[1]);
    let (tag, now) = (Tag::parse("1").unwrap(), farm.now());
    farm.store().cache.mark_gone(repository, &tag, now).unwrap();
    farm.weather.away.insert("quay.io");
    let used = farm.store().cache.used().unwrap();
    // So small that all would have to go.
    farm.limits = max_size(used / 100);
    farm.limits.unused_days = 1;
    farm.round();
    assert_eq!(names(&farm), ["docker.io/team/app:0", "quay.io/other:1"]);

    farm.weather.away.clear();
    farm.pass(2 * HOUR);
    farm.round();
    assert_eq!(names(&farm), ["docker.io/team/app:0"]);
}

#[test]
fn what_is_gone_upstream_goes_last_and_never_for_want_of_pulls() {
    let mut farm = Farm::new(NO_LIMITS);
    let images = pulled_daily(&mut farm, 5);
    let repository = farm.repository(&images[0]);
    let (tag, now) = (Tag::parse("0").unwrap(), farm.now());
    farm.store().cache.mark_gone(repository, &tag, now).unwrap();
    let used = farm.store().cache.used().unwrap();
    farm.limits = max_size(used / 2);
    farm.round();
    assert_eq!(
        names(&farm),
        ["docker.io/team/app:0", "docker.io/team/app:4"]
    );
    farm.pass(400 * DAY);
    farm.limits = Limits {
        unused_days: 90,
        ..NO_LIMITS
    };
    farm.round();
    assert_eq!(names(&farm), ["docker.io/team/app:0"]);
}

#[test]
fn for_min_free_alone_goes_what_cannot_be_had_again_and_no_more_than_that() {
    let mut farm = Farm::new(NO_LIMITS);
    pulled_daily(&mut farm, 10);
    farm.weather.is_offline = true;
    // The disk is shared with other tests, which take and give back more than this.
    let (free, _) = farm.store().blobs.space().unwrap();
    for (min_free, expected) in [(free / 2, 10), (free * 2, 0)] {
        farm.limits = Limits {
            min_free,
            unused_days: 1,
            ..NO_LIMITS
        };
        farm.round();
        assert_eq!(farm.claims().len(), expected, "{min_free} of {free}");
        farm.pass(HOUR);
    }
}

#[test]
fn a_limit_of_a_group_takes_from_what_it_alone_has_pulled() {
    let mut farm = Farm::new(NO_LIMITS);
    let images = pulled_daily(&mut farm, 4);
    // Others pulled the first one too: it stays, and counts no longer for the group.
    farm.pull(&images[0], 0, OTHERS);
    farm.pass(DAY);
    farm.store().cache.write_notes().unwrap();
    let scope = Scope::Group(GROUP);
    let used = farm.store().cache.used_by(&scope).unwrap();
    farm.limits.parts = vec![(scope.clone(), used * 6 / 10)];
    farm.round();
    assert_eq!(
        names(&farm),
        [
            "docker.io/team/app:0",
            "docker.io/team/app:2",
            "docker.io/team/app:3"
        ]
    );
    let left = farm.store().cache.used_by(&scope).unwrap();
    assert!(left <= used * 6 / 10, "{left} of {used}");
}

#[test]
fn a_limit_of_an_upstream_leaves_others_alone() {
    let mut farm = Farm::new(NO_LIMITS);
    let elsewhere = Image::of("quay.io", "other:1", &[&[b"{}", &bytes(9, 10_000)]]);
    farm.pull(&elsewhere, 0, GROUP);
    farm.pass(DAY);
    pulled_daily(&mut farm, 4);
    let scope = Scope::Upstream(RegistryHost::parse(HUB).unwrap());
    let used = farm.store().cache.used_by(&scope).unwrap();
    farm.limits.parts = vec![(scope, used * 6 / 10)];
    farm.round();
    assert_eq!(
        names(&farm),
        [
            "docker.io/team/app:2",
            "docker.io/team/app:3",
            "quay.io/other:1"
        ]
    );
}

#[test]
fn a_fill_gets_its_room_made_and_is_not_kept_where_nothing_may_go() {
    let mut farm = Farm::new(NO_LIMITS);
    let images = pulled_daily(&mut farm, 4);
    farm.limits = max_size(farm.store().cache.used().unwrap() + 100);
    let names: Vec<_> = images.iter().map(Image::name).collect();
    names.iter().for_each(|name| farm.pin(name));
    farm.round();
    let new = Image::of(HUB, "new:1", &[&[b"{}", &bytes(77, 10_000)]]);
    assert_eq!(farm.pull(&new, 0, GROUP), Pulled::NotKept);
    names.iter().for_each(|name| farm.unpin(name));
    assert_eq!(farm.pull(&new, 0, GROUP), Pulled::Filled);
    assert_eq!(farm.pull(&new, 0, GROUP), Pulled::Hit);
    // One that is larger than the limit takes nothing from the others.
    let before = farm.claims().len();
    let huge = Image::of(HUB, "huge:1", &[&[b"{}", &bytes(78, 100_000)]]);
    assert_eq!(farm.pull(&huge, 0, GROUP), Pulled::NotKept);
    assert!(farm.claims().len() >= before, "of the others nothing goes");
}

#[test]
fn what_is_being_pulled_stays_and_what_was_pulled_since_the_plan_too() {
    let mut farm = Farm::new(NO_LIMITS);
    let images = pulled_daily(&mut farm, 3);
    assert_eq!(farm.pull(&images[0], 0, GROUP), Pulled::Hit);
    farm.limits = max_size(10_000);
    farm.round();
    assert_eq!(names(&farm), ["docker.io/team/app:0"]);
    farm.pass(DAY);
    farm.round();
    assert!(names(&farm).is_empty());
}

#[test]
fn a_signature_goes_with_its_image_by_subject_and_by_the_name_of_its_tag() {
    let mut farm = Farm::new(NO_LIMITS);
    let plain = Image::of(HUB, "team/app:1", &[&[b"{}", &bytes(1, 10_000)]]);
    farm.pull(&plain, 0, GROUP);
    let subject = Digest::of(&plain.manifest(0));
    let repository = farm.repository(&plain);
    farm.fill(repository, HUB, b"signature", GROUP);
    farm.keep_manifest(
        repository,
        &image(&[b"signature"], Some(&subject)),
        MediaType::OciManifest,
        None,
    );
    let name = format!("sha256-{}.sig", subject.hex());
    let signature = Image::of(HUB, &format!("team/app:{name}"), &[&[b"{  }", b"by name"]]);
    farm.pull(&signature, 0, GROUP);
    // The image is pulled on, and nobody looks at its signatures.
    farm.pass(100 * DAY);
    farm.pull(&plain, 0, GROUP);
    farm.pass(DAY);
    farm.limits.unused_days = 90;
    farm.round();
    assert_eq!(farm.store().cache.totals().unwrap().manifests, 3);
    farm.pass(100 * DAY);
    farm.round();
    assert_eq!(farm.store().cache.totals().unwrap().manifests, 0);
    assert_eq!(farm.store().cache.totals().unwrap().blobs, 0);
}

#[test]
fn what_was_pushed_stays_though_the_cache_lets_go_of_the_same_bytes() {
    let mut farm = Farm::new(NO_LIMITS);
    let layer = bytes(1, 10_000);
    farm.workshop.push_blob("acme/api", &layer);
    farm.workshop.put_image("acme/api", Some("t"), &[&layer]);
    let image = Image::of(HUB, "team/app:1", &[&[b"{}", &layer]]);
    farm.pull(&image, 0, GROUP);
    farm.pass(DAY);
    farm.limits = max_size(1);
    farm.round();
    assert!(names(&farm).is_empty());
    assert!(farm.workshop.file_exists(&Digest::of(&layer)));
    assert_eq!(farm.store().cache.used().unwrap(), 0);
}

#[test]
fn what_two_repositories_have_alike_goes_before_what_is_pulled_later() {
    let mut farm = Farm::new(NO_LIMITS);
    let (alike, new) = (bytes(1, 50_000), bytes(2, 50_000));
    // The going of neither of the first two frees anything while the other is there.
    for (name, layer) in [("a:1", &alike), ("b:1", &alike), ("c:1", &new)] {
        farm.pull(&Image::of(HUB, name, &[&[b"{}", layer]]), 0, GROUP);
        farm.pass(10 * DAY);
    }
    let used = farm.store().cache.used().unwrap();
    farm.limits = max_size(used - 1_000);
    farm.round();
    assert_eq!(names(&farm), ["docker.io/c:1"]);
    assert!(!farm.workshop.file_exists(&Digest::of(&alike)));
}

#[test]
fn what_is_pulled_every_day_stays_longer_than_what_many_pulled_at_once_later() {
    let mut farm = Farm::new(NO_LIMITS);
    let images = pulled_daily(&mut farm, 2);
    for _ in 0..5 {
        farm.pull(&images[0], 0, GROUP);
        farm.store().cache.write_notes().unwrap();
        farm.pass(DAY);
    }
    for _ in 0..20 {
        farm.pull(&images[1], 0, GROUP);
    }
    farm.pass(DAY);
    farm.limits = max_size(farm.store().cache.used().unwrap());
    farm.round();
    assert_eq!(names(&farm), [images[0].name()]);
}

#[test]
fn files_that_nothing_links_make_room_first_unless_they_may_have_been_pushed() {
    for was_lost in [false, true] {
        let mut farm = Farm::new(NO_LIMITS);
        let stray = bytes(200, 10_000);
        let digest = Digest::of(&stray);
        if was_lost {
            farm.workshop.push_blob("acme/api", &stray);
        } else {
            farm.store().blobs.put(&digest, stray.as_slice()).unwrap();
        }
        let kept = pulled_daily(&mut farm, 3);
        farm.lose_registry(was_lost);
        assert!(farm.workshop.file_exists(&digest));
        assert!(
            farm.store().cache.blob_anywhere(&digest).unwrap().is_some(),
            "taken up"
        );
        // It was taken up by the system's clock.
        farm.pass(DAY);
        farm.limits = max_size(farm.store().cache.used().unwrap());
        farm.round();
        assert_eq!(farm.workshop.file_exists(&digest), was_lost);
        assert_eq!(farm.claims().len(), kept.len() - usize::from(was_lost));
    }
}

#[test]
fn while_something_of_a_repository_is_being_fetched_what_was_pulled_today_stays() {
    let mut farm = Farm::new(NO_LIMITS);
    let images = pulled_daily(&mut farm, 3);
    farm.pull(&images[2], 0, GROUP);
    farm.pass(HOUR);
    let (host, repository) = (
        RegistryHost::parse(HUB).unwrap(),
        farm.repository(&images[0]),
    );
    let filling = farm
        .store()
        .begin_fill(0, None, &host, GROUP, Some(repository));
    farm.limits = max_size(1);
    farm.round();
    assert_eq!(names(&farm), [images[2].name()]);
    drop(filling);
    farm.pass(120);
    farm.round();
    assert_eq!(farm.claims().len(), 0);
}

#[test]
fn for_what_is_only_announced_nothing_goes() {
    let mut farm = Farm::new(NO_LIMITS);
    pulled_daily(&mut farm, 4);
    let used = farm.store().cache.used().unwrap();
    let host = RegistryHost::parse(HUB).unwrap();
    let begin = |farm: &Farm| {
        farm.store()
            .begin_fill(0, Some(1 << 50), &host, GROUP, None)
    };
    // Without a limit of sizes it takes its room in steps.
    farm.round();
    let mut fill = begin(&farm);
    assert_eq!(farm.store().grow_fill(&mut fill, 1).unwrap(), None);
    let taken = farm.store().room.filling(&Scope::All);
    assert!((1..100 << 20).contains(&taken), "{taken}");
    drop(fill);
    assert_eq!(farm.store().room.filling(&Scope::All), 0);
    // And where it is larger than all that may be cached, it is not kept, and nothing is asked for.
    farm.limits = max_size(used * 2);
    farm.round();
    let mut fill = begin(&farm);
    let limit = farm.store().grow_fill(&mut fill, 1).unwrap();
    assert_eq!(limit, Some(Limit::Size(Scope::All)));
    farm.round();
    assert_eq!(farm.claims().len(), 4);
}

#[test]
fn a_limit_for_which_nothing_can_go_keeps_nothing_else_from_going() {
    let mut farm = Farm::new(NO_LIMITS);
    let images = pulled_daily(&mut farm, 2);
    let theirs = Image::of("quay.io", "theirs:1", &[&[b"{}", &bytes(9, 10_000)]]);
    farm.pull(&theirs, 0, OTHERS);
    farm.pass(DAY);
    for image in &images {
        farm.pin(&image.name());
    }
    farm.store().cache.write_notes().unwrap();
    // All that this group has pulled is pinned: its limit cannot be met.
    farm.limits.parts = vec![(Scope::Group(GROUP), 1)];
    for _ in 0..3 {
        farm.round();
        farm.pass(20);
    }
    farm.limits.parts.push((Scope::Group(OTHERS), 1));
    farm.round();
    let others = farm
        .claims()
        .into_keys()
        .filter(|name| name.starts_with("quay"));
    assert_eq!(others.count(), 0, "the other group's limit holds");
    farm.limits.unused_days = 1;
    farm.unpin(&images[0].name());
    farm.limits.parts.clear();
    farm.limits.max_size = Some(1);
    farm.pin(&images[0].name());
    farm.round();
    farm.unpin(&images[0].name());
    // It was seen that nothing could go for the size; what nobody pulls goes all the same when its hour comes.
    farm.limits.max_size = None;
    farm.pass(HOUR);
    farm.round();
    assert_eq!(names(&farm), [images[1].name()]);
}
