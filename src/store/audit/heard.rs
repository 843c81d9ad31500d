//! What webhooks hear of what the audit is told: pushes and deletions, wherever they come from.

use super::event::{Event, EventKind, EventPlace, Shown, shown};
use super::{Actor, AuditDb};
use crate::store::notices::Notice;

impl AuditDb {
    /// Tells webhooks of what has happened, where it is one of theirs.
    pub fn tell_webhooks(&self, actor: &Actor, event: &Event) {
        let is_meant = matches!(
            event.kind,
            EventKind::ImagePushed | EventKind::ImagesRemoved | EventKind::CleanupRan
        );
        if !is_meant || !self.notices.is_wanted() {
            return;
        }
        let repository = event.subject_name();
        let by = shown(&actor.name);
        let notice = match event.kind {
            EventKind::ImagePushed => Notice::ImagePushed {
                repository,
                digest: event.name("digest").unwrap_or_default(),
                tags: event.names("tags"),
                tag_count: event.number("tag_count").unwrap_or_default(),
                by,
            },
            EventKind::CleanupRan => {
                let tags = event.number("removed_tags");
                if tags.is_none_or(|count| count == 0) {
                    return;
                }
                Notice::ImageDeleted {
                    repository,
                    reference: None,
                    tags,
                    by,
                }
            }
            _ => Notice::ImageDeleted {
                repository,
                reference: event.name("image").or_else(|| event.name("blob")),
                tags: event.number("tags"),
                by,
            },
        };
        let group = event.place.as_ref().and_then(EventPlace::group);
        self.notices.tell(group, || notice);
    }

    /// Tells webhooks that a pull was answered with `status`; `event` is what the audit is told of it.
    pub fn tell_refused_pull(&self, actor: &Actor, event: &Event, status: u16) {
        let group = event.place.as_ref().and_then(EventPlace::group);
        self.notices.tell(group, || Notice::PullRefused {
            path: event.subject_name(),
            status,
            why: event.name("why"),
            by: shown(&actor.name),
            address: actor.shown_from().unwrap_or_default(),
        });
    }
}

impl Event {
    fn subject_name(&self) -> String {
        let subject = self.subject.as_ref();
        subject.map_or_else(String::new, |subject| subject.name.clone())
    }

    fn find(&self, key: &str) -> Option<&Shown> {
        let (_, detail) = self.details.iter().find(|(known, _)| *known == key)?;
        Some(&detail.0)
    }

    fn name(&self, key: &str) -> Option<String> {
        match self.find(key)? {
            Shown::Name(name) => Some(name.clone()),
            _ => None,
        }
    }

    fn names(&self, key: &str) -> Vec<String> {
        match self.find(key) {
            Some(Shown::Names(names)) => names.clone(),
            _ => Vec::new(),
        }
    }

    fn number(&self, key: &str) -> Option<i64> {
        match self.find(key)? {
            Shown::Number(number) => Some(*number),
            _ => None,
        }
    }
}
