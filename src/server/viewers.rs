//! What lists show is what the policy lets be seen, one by one: both are asked about random trees of groups and projects,
//! by every kind of principal.

use std::collections::BTreeSet;

use strum::VariantArray;

use super::tests::{by, stage};
use super::*;
use crate::auth::address::{ClientAddress, NotTrusted};
use crate::auth::policy::{self, administration};
use crate::auth::{Identity, PlacedProject, Principal};
use crate::store::{
    Group, Level, NewToken, SeenFilter, Token, TokenKind, User, Visibility, Window,
};

/// Numbers that follow from a seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn visibility(&mut self) -> Visibility {
        match self.below(3) {
            0 => Visibility::Private,
            _ => Visibility::Public,
        }
    }

    fn level(&mut self) -> Level {
        let levels = <Level as VariantArray>::VARIANTS;
        levels[self.below(levels.len())]
    }
}

/// A box with random groups and projects, of which some users are members.
struct World {
    appliance: Arc<Appliance>,
    groups: Vec<Arc<Group>>,
    projects: Vec<Arc<PlacedProject>>,
    users: Vec<Arc<User>>,
}

impl World {
    fn of(directory: &std::path::Path, seed: u64) -> Self {
        let (appliance, ..) = stage(directory);
        let access = &appliance.store.access;
        let mut numbers = Numbers(seed);
        let mut paths = vec!["acme".to_owned()];
        for number in 0..12 {
            let above = &paths[numbers.below(paths.len())];
            let path = match numbers.below(3) {
                0 => format!("g{number}"),
                _ => format!("{above}/g{number}"),
            };
            access
                .create_group(&by(), &path, numbers.visibility())
                .unwrap();
            paths.push(path);
        }
        for number in 0..12 {
            let path = format!("{}/p{number}", paths[numbers.below(paths.len())]);
            // Below a private group none is public.
            let made = access.create_project(&by(), &path, numbers.visibility());
            made.or_else(|_| access.create_project(&by(), &path, Visibility::Private))
                .unwrap();
        }
        let groups = access.groups().unwrap();
        let projects = access.projects().unwrap();
        for number in 0..3 {
            let name = format!("user{number}");
            let user = access
                .create_user(&by(), &name, number == 0, true, None)
                .unwrap();
            for _ in 0..numbers.below(4) {
                let group = groups[numbers.below(groups.len())].id;
                access
                    .set_member(&by(), group, user, numbers.level())
                    .unwrap();
                let project = projects[numbers.below(projects.len())].id;
                access
                    .set_project_member(&by(), project, user, numbers.level())
                    .unwrap();
            }
        }
        // A group that becomes private later hides what is public below it.
        let changes = crate::store::GroupChanges {
            visibility: Some(Visibility::Private),
            ..crate::store::GroupChanges::default()
        };
        access
            .set_group(&by(), groups[numbers.below(groups.len())].id, &changes)
            .unwrap();
        Self {
            groups: access.groups().unwrap().into_iter().map(Arc::new).collect(),
            projects: projects
                .iter()
                .map(|project| {
                    appliance
                        .authenticator
                        .project(project.id)
                        .unwrap()
                        .unwrap()
                })
                .collect(),
            users: access.users().unwrap().into_iter().map(Arc::new).collect(),
            appliance,
        }
    }

    fn token(&self, kind: TokenKind, level: Option<Level>) -> Arc<Token> {
        let access = &self.appliance.store.access;
        let token = NewToken {
            kind,
            name: "t".into(),
            digest: crate::auth::secret::Secret::mint(kind).unwrap().digest(),
            scopes: vec!["read_registry".into()],
            user_id: None,
            group_id: None,
            project_id: None,
            username: None,
            access_level: level,
            expires_at: None,
            maker: crate::store::Maker::on_the_box(),
        };
        let id = access.create_token(&by(), &token).unwrap();
        Arc::new(access.token(id).unwrap().unwrap())
    }

    fn principals(&self) -> Vec<Principal> {
        let mut all = vec![Principal::Anonymous];
        for user in &self.users {
            let token = self.token(TokenKind::Personal, None);
            all.push(Principal::Password(Arc::clone(user)));
            all.push(Principal::PersonalToken(Arc::clone(user), token));
            let (job, project) = (self.token(TokenKind::Job, None), &self.projects[0]);
            all.push(Principal::JobToken(
                Arc::clone(user),
                Arc::clone(project),
                job,
            ));
        }
        for (group, project) in self.groups.iter().zip(&self.projects) {
            let level = Some(Level::Developer);
            let of_group = self.token(TokenKind::Group, level);
            let of_project = self.token(TokenKind::Project, level);
            let deploy = self.token(TokenKind::Deploy, None);
            all.extend([
                Principal::GroupToken(Arc::clone(group), of_group),
                Principal::ProjectToken(Arc::clone(project), of_project),
                Principal::GroupDeployToken(Arc::clone(group), Arc::clone(&deploy)),
                Principal::ProjectDeployToken(Arc::clone(project), deploy),
            ]);
        }
        all
    }

    /// The groups and projects that `principal` sees, one by one, where it has at least this level.
    fn judged(&self, principal: &Principal, least: Option<Level>) -> [BTreeSet<String>; 2] {
        let authenticator = &self.appliance.authenticator;
        let user = principal.user().map(|user| user.id);
        let is_enough = |authority: Option<administration::Authority>| {
            authority.is_some_and(|authority| least.is_none() || authority.level >= least)
        };
        let groups = self.groups.iter().filter(|group| {
            let lineage = authenticator.lineage(group.id).unwrap();
            let level = user.and_then(|user| authenticator.level(group.id, user).unwrap());
            let is_public = self.appliance.are_public(&lineage).unwrap();
            is_enough(administration::on_group(
                principal, group, &lineage, level, is_public,
            ))
        });
        let projects = self.projects.iter().filter(|placed| {
            let (project, lineage) = (&placed.project, &placed.groups);
            let level =
                user.and_then(|user| authenticator.project_level(project.id, user).unwrap());
            let is_public = project.visibility == Visibility::Public
                && self.appliance.are_public(lineage).unwrap();
            is_enough(administration::on_project(
                principal, project, lineage, level, is_public,
            ))
        });
        [
            groups.map(|group| group.path.clone()).collect(),
            projects.map(|placed| placed.project.path.clone()).collect(),
        ]
    }

    fn listed(&self, principal: &Principal, least: Option<Level>) -> [BTreeSet<String>; 2] {
        let access = &self.appliance.store.access;
        let viewer = administration::viewer(principal);
        let filter = SeenFilter {
            least,
            ..SeenFilter::default()
        };
        let groups = access.seen_groups(&viewer, &filter, Window::ALL).unwrap();
        let projects = access.seen_projects(&viewer, &filter, Window::ALL).unwrap();
        [
            groups.entries.into_iter().map(|group| group.path).collect(),
            projects
                .entries
                .into_iter()
                .map(|project| project.path)
                .collect(),
        ]
    }
}

#[test]
fn lists_show_what_the_policy_lets_be_seen() {
    let mut seen = 0;
    for seed in 1..=4 {
        let directory = tempfile::tempdir().unwrap();
        let world = World::of(directory.path(), seed);
        for principal in world.principals() {
            let name = format!("seed {seed}, {}", principal.label());
            // The REST lists do not take jobs' tokens.
            if !matches!(principal, Principal::JobToken(..)) {
                for least in [None, Some(Level::Guest), Some(Level::Maintainer)] {
                    let judged = world.judged(&principal, least);
                    assert_eq!(world.listed(&principal, least), judged, "{name}, {least:?}");
                    seen += judged[0].len();
                }
            }
            let address = ClientAddress {
                ip: "192.0.2.1".parse().unwrap(),
                not_trusted: None::<NotTrusted>,
            };
            let identity = Identity {
                principal,
                ..Identity::anonymous(address)
            };
            let judged: BTreeSet<_> = world
                .projects
                .iter()
                .map(|placed| &placed.project)
                .filter(|project| {
                    world
                        .appliance
                        .lists_project(&identity, project.id)
                        .unwrap()
                })
                .map(|project| project.path.clone())
                .collect();
            let viewer = policy::listed_projects(&identity);
            let access = &world.appliance.store.access;
            let listed = access.seen_projects_behind(&viewer, "", u64::MAX).unwrap();
            let listed: BTreeSet<_> = listed.into_iter().map(|project| project.path).collect();
            assert_eq!(listed, judged, "{name}, repositories");
        }
    }
    assert!(seen > 500, "{seen}");
}
