//! When policies run, what is told of it, and deletions that were asked for.

use std::time::Duration;

use breakwater::error::Kind;
use breakwater::store::{
    Actor, Cadence, CleanupPolicy, CleanupRequest, EventFilter, Notice, ProjectChanges, ProjectId,
    Store, Told,
};
use breakwater::upkeep::retention;

use super::{DAY, REPOSITORY, Workshop, everything};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn run_of(store: &Store, project: ProjectId) -> breakwater::store::CleanupRun {
    store
        .registry
        .cleanup_runs(&[project])
        .unwrap()
        .remove(&project)
        .expect("a run")
}

#[test]
fn a_policy_runs_when_it_is_due_and_is_due_again_after_its_cadence() {
    let mut workshop = Workshop::new();
    let project = workshop.project.placed.project.id;
    workshop.push_tags(&[("latest", DAY), ("v1", DAY)]);
    let (access, due) = (&workshop.store.access, workshop.now.plus(DAY));
    let changes = ProjectChanges {
        cleanup: Some(CleanupPolicy {
            enabled: true,
            cadence: Cadence::Weekly,
            next_run_at: Some(due),
            ..everything()
        }),
        ..ProjectChanges::default()
    };
    access
        .set_project(&Actor::on_the_box(None), project, &changes)
        .unwrap();
    retention::Retention::default()
        .run_due(&workshop.store, workshop.now)
        .unwrap();
    assert_eq!(workshop.tags().len(), 2, "it is not due");
    assert!(
        workshop
            .store
            .registry
            .cleanup_runs(&[project])
            .unwrap()
            .is_empty()
    );
    let now = due.plus(HOUR);
    retention::Retention::default()
        .run_due(&workshop.store, now)
        .unwrap();
    assert_eq!(workshop.tags(), ["latest"]);
    assert_eq!(
        access.cleanup_policy(project).unwrap().next_run_at,
        Some(now.plus(7 * DAY))
    );
    let run = run_of(&workshop.store, project);
    assert_eq!((run.removed_tags, run.kept_tags, run.error), (1, 1, None));
    assert_eq!((run.started_at, run.finished_at), (now, Some(now)));
    let events = workshop
        .store
        .audit
        .events(&EventFilter::default())
        .unwrap();
    assert_eq!(events.last().unwrap().kind, "cleanup.ran");
    assert_eq!(events.last().unwrap().details["removed_tags"], 1);
    // Nothing more is done or told until then.
    retention::Retention::default()
        .run_due(&workshop.store, now.plus(6 * DAY))
        .unwrap();
    assert_eq!(run_of(&workshop.store, project).started_at, now);
}

#[test]
fn a_policy_that_fails_says_why_and_is_tried_again_in_an_hour() {
    let mut workshop = Workshop::new();
    let project = workshop.project.placed.project.id;
    workshop.push_tags(&[("v1", DAY)]);
    // As a version might have stored it that could use it.
    workshop.set_policy(CleanupPolicy {
        name_regex: Some("(".to_owned()),
        ..everything()
    });
    workshop.clean_up();
    let run = run_of(&workshop.store, project);
    assert!(
        run.error
            .as_deref()
            .is_some_and(|why| why.contains("is not a regular expression")),
        "{run:?}"
    );
    let policy = workshop.store.access.cleanup_policy(project).unwrap();
    assert_eq!(policy.next_run_at, Some(workshop.now.plus(HOUR)));
    assert_eq!(workshop.tags(), ["v1"]);
    workshop.set_policy(everything());
    workshop.clean_up();
    assert_eq!(run_of(&workshop.store, project).error, None);
    assert!(workshop.tags().is_empty());
}

#[test]
fn a_run_that_a_crash_ended_goes_on_and_counts_on() {
    let mut workshop = Workshop::new();
    let project = workshop.project.placed.project.id;
    workshop.push_tags(&[("v1", DAY), ("v2", DAY), ("v3", DAY)]);
    workshop.set_policy(everything());
    let begun = workshop.now;
    // What a run had done when the box was killed.
    let registry = &workshop.store.registry;
    registry.begin_cleanup(project, begun).unwrap();
    let row = registry
        .rows_of(&[project], breakwater::store::Window::ALL)
        .unwrap()
        .entries
        .remove(0);
    let mut tags = Vec::new();
    registry.tags_by_push(row.id, |tag| tags.push(tag)).unwrap();
    registry
        .remove_pushed_tags(Some(project), row.id, &tags[..1], begun, HOUR, &mut 0)
        .unwrap();
    workshop.restart(false);
    workshop.now = begun.plus(HOUR);
    workshop.clean_up();
    let run = run_of(&workshop.store, project);
    assert_eq!((run.removed_tags, run.started_at), (3, begun));
    assert_eq!(run.finished_at, Some(workshop.now));
    assert!(workshop.tags().is_empty());
    assert_eq!(workshop.count("manifests"), 0);
}

#[test]
fn a_tag_that_is_pushed_again_after_it_was_judged_stays() {
    let mut workshop = Workshop::new();
    workshop.push_tags(&[("v1", DAY), ("v2", DAY)]);
    let project = workshop.project.placed.project.id;
    let registry = &workshop.store.registry;
    let row = registry
        .rows_of(&[project], breakwater::store::Window::ALL)
        .unwrap()
        .entries
        .remove(0);
    let mut tags = Vec::new();
    registry.tags_by_push(row.id, |tag| tags.push(tag)).unwrap();
    workshop.push_tag("v1", &[b"{}", b"v1"]);
    let mut removed = 0;
    registry
        .remove_pushed_tags(None, row.id, &tags, workshop.now, HOUR, &mut removed)
        .unwrap();
    assert_eq!((removed, workshop.tags()), (1, vec!["v1".to_owned()]));
}

#[test]
fn what_went_before_an_error_is_counted_audited_and_told_to_webhooks() {
    let mut workshop = Workshop::new();
    let names: Vec<String> = (0..101).map(|number| format!("v{number}")).collect();
    let mut age = 200 * DAY;
    let tags = names.iter().map(|name| {
        age -= HOUR;
        (name.as_str(), age)
    });
    workshop.push_tags(&tags.collect::<Vec<_>>());
    let project = workshop.project.placed.project.id;
    let registry = &workshop.store.registry;
    let rows = registry.rows_of(&[project], breakwater::store::Window::ALL);
    let request = CleanupRequest {
        repository: rows.unwrap().entries[0].id,
        name_regex_delete: ".*".to_owned(),
        name_regex_keep: None,
        keep_n: None,
        older_than: None,
        requested_at: workshop.now,
    };
    let sql = |database: &str, text: &str| {
        let path = workshop.store.directory().join(database);
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.execute_batch(text).unwrap();
    };
    let notices = &workshop.store.audit.notices;
    let told = || -> Vec<Option<i64>> {
        let (told, _) = notices.take();
        let tags = |one: Told| match one.notice {
            Notice::ImageDeleted { tags, .. } => tags,
            _ => None,
        };
        told.into_iter().map(tags).collect()
    };
    notices.want(true);
    // The last of them is in a second hundred.
    sql(
        "registry.sqlite",
        "CREATE TRIGGER keeps BEFORE DELETE ON tags WHEN OLD.name = 'v0'
         BEGIN SELECT RAISE(FAIL, 'in the way'); END",
    );
    registry.request_cleanup(&request).unwrap();
    workshop.clean_up();
    assert_eq!(workshop.tags(), ["v0"]);
    assert_eq!(told(), [Some(100)]);
    let events = workshop.store.audit.events(&EventFilter::default());
    let details = &events.unwrap().last().unwrap().details.clone();
    assert_eq!(
        (&details["removed_tags"], &details["failed"]),
        (&100.into(), &true.into())
    );
    // Where the audit cannot be told, webhooks are.
    sql("registry.sqlite", "DROP TRIGGER keeps");
    sql(
        "audit.sqlite",
        "CREATE TRIGGER fails BEFORE INSERT ON events
         BEGIN SELECT RAISE(FAIL, 'in the way'); END",
    );
    registry.request_cleanup(&request).unwrap();
    let failed = retention::Retention::default().run_due(&workshop.store, workshop.now);
    assert!(failed.is_err());
    assert_eq!(told(), [Some(1)]);
    assert_eq!(registry.cleanup_requests().unwrap().len(), 0);
}

#[test]
fn many_tags_are_deleted_for_whoever_asks_one_request_at_a_time() {
    let mut workshop = Workshop::new();
    workshop.push_tags(&[
        ("latest", DAY),
        ("ci-1", 2 * HOUR),
        ("ci-2", HOUR),
        ("v1", DAY),
    ]);
    let project = workshop.project.placed.project.id;
    let registry = &workshop.store.registry;
    let row = registry
        .rows_of(&[project], breakwater::store::Window::ALL)
        .unwrap()
        .entries
        .remove(0);
    assert_eq!(row.path, REPOSITORY);
    let request = CleanupRequest {
        repository: row.id,
        name_regex_delete: ".*".to_owned(),
        name_regex_keep: Some("v.+".to_owned()),
        keep_n: Some(1),
        older_than: Some(HOUR),
        requested_at: workshop.now,
    };
    registry.request_cleanup(&request).unwrap();
    let again = registry.request_cleanup(&request).unwrap_err();
    assert_eq!(again.kind(), Kind::Conflict);
    assert_eq!(workshop.tags().len(), 4, "it is done in the background");
    workshop.clean_up();
    assert_eq!(workshop.tags(), ["ci-2", "latest", "v1"]);
    assert!(
        workshop
            .store
            .registry
            .cleanup_requests()
            .unwrap()
            .is_empty()
    );
    assert!(
        workshop
            .store
            .registry
            .cleanup_runs(&[project])
            .unwrap()
            .is_empty(),
        "no policy has run"
    );
}
