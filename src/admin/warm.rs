//! Fetching an image ahead of its first pull, for the box's administrator: by the running server, which alone speaks with
//! upstreams, in the name of the mirror's group.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admin, Operation, RunningServer};
use crate::auth::Grant;
use crate::error::{Error, Kind, Result, excerpt};
use crate::oci::{ImageName, Platform, Reference, Tag};
use crate::proxy::{Warm, WarmEnd, Warmed};
use crate::store::{Detail, Event, EventKind};
use crate::time::Timestamp;
use crate::upstream::RateLimit;

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct WarmImage {
    /// As for docker: alpine is alpine:latest of the mirror's default upstream
    pub image: String,
    /// Of an index only these, such as linux/amd64; all where none is named
    #[serde(default)]
    pub platforms: Vec<String>,
    /// Ask for no new manifest where the upstream's rate limit leaves no more pulls than this
    pub keep_budget: Option<u64>,
}

crate::words::words! {
    "snake_case"
    /// How it ended.
    pub enum WarmOutcome {
        /// Something was fetched.
        Warmed,
        /// All of it was here.
        Current,
        /// Something is missing, because the upstream's rate limit leaves too little.
        Left,
    }
}

/// What was fetched of an image, and what was here.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "WarmedImage")]
#[serde(deny_unknown_fields)]
pub struct WarmedView {
    /// HOST/NAME:TAG, or HOST/NAME@DIGEST
    pub image: String,
    pub outcome: WarmOutcome,
    pub digest: Option<String>,
    /// Manifests that were fetched
    pub manifests: u64,
    pub fetched_bytes: u64,
    /// Bytes that were here
    pub present_bytes: u64,
    /// Of an index: the platforms that are here now, of those that were asked for
    pub platforms: Vec<String>,
    /// Platforms that were asked for and that the index does not have
    pub absent_platforms: Vec<String>,
    /// Referrers and signatures that were taken along
    pub attached: u64,
    /// Where it was left: pulls that the upstream's rate limit leaves
    pub remaining_pulls: Option<u64>,
    /// Where it was left: when the rate limit's window is over, at the latest
    pub resets_at: Option<Timestamp>,
}

impl Operation for WarmImage {
    const NAME: &'static str = "cache.warm";
    type View = WarmedView;
    const TAKES_LONG: bool = true;

    fn perform(self, admin: &Admin<'_>) -> Result<WarmedView> {
        let image = parse(&self.image)?;
        let platforms = self.platforms.iter().map(|platform| platform.parse());
        let platforms = platforms.collect::<Result<Vec<Platform>>>()?;
        let Some(server) = admin.server else {
            let what = "no server runs here, and only a running one fetches";
            return Err(Error::new(Kind::Conflict, what).remedy(WARM_NEEDS_A_SERVER));
        };
        if server.is_offline() {
            return Err(warm_offline());
        }
        let reference = match &image.reference {
            Some(reference) => reference.clone(),
            None => Reference::Tag(Tag::parse("latest")?),
        };
        self.warm(admin, server, &image, &reference, &platforms)
    }
}

/// How to start a server.
pub const WARM_NEEDS_A_SERVER: &str =
    "start it, by `systemctl start breakwater` or `breakwater serve`, and warm again";

/// The box asks nobody at present.
pub fn warm_offline() -> Error {
    let what = "the box is offline, and fetches nothing";
    Error::new(Kind::Conflict, what).remedy("see `breakwater offline status`")
}

impl WarmImage {
    fn warm(
        &self,
        admin: &Admin<'_>,
        server: &dyn RunningServer,
        image: &ImageName,
        reference: &Reference,
        platforms: &[Platform],
    ) -> Result<WarmedView> {
        let group = match admin.config.mirror.enabled {
            true => admin
                .store
                .access
                .group_by_path(&admin.config.mirror.group)?,
            false => None,
        };
        let is_administrator = admin.caller.is_administrator();
        let grant = Grant::of_administrator(is_administrator, group.as_ref());
        let grant = grant.ok_or_else(super::caller::forbidden)?;
        let proxy = server.proxy();
        let target = proxy.target(&grant, image.host.as_ref(), &image.repository)?;
        let separator = match reference {
            Reference::Tag(_) => ':',
            Reference::Digest(_) => '@',
        };
        let name = format!(
            "{}/{}{separator}{reference}",
            target.upstream.name(),
            target.repository
        );
        let warm = Warm {
            platforms,
            keep_budget: self.keep_budget,
            watch: admin.watch.unwrap_or(&|_, _| true),
        };
        let (warmed, limit) = match proxy.warm(&grant, &target, reference, &warm)? {
            WarmEnd::Whole(warmed) => (warmed, None),
            WarmEnd::Left(warmed, limit) => (warmed, Some(limit)),
        };
        if warmed.fetched > 0 {
            let number = |number: u64| Detail::from(i64::try_from(number).unwrap_or(i64::MAX));
            let event = Event::new(EventKind::CacheWarmed)
                .subject("images", &name, None)
                .detail("bytes", number(warmed.fetched));
            admin.store.audit.record(&admin.actor, &event);
        }
        Ok(view(name, warmed, limit))
    }
}

fn view(image: String, warmed: Warmed, limit: Option<RateLimit>) -> WarmedView {
    let outcome = match &limit {
        Some(_) => WarmOutcome::Left,
        None if warmed.fetched > 0 => WarmOutcome::Warmed,
        None => WarmOutcome::Current,
    };
    WarmedView {
        image,
        outcome,
        digest: warmed.digest.map(|digest| digest.to_string()),
        manifests: warmed.manifests,
        fetched_bytes: warmed.fetched,
        present_bytes: warmed.present,
        platforms: warmed.platforms,
        absent_platforms: warmed.absent.iter().map(Platform::to_string).collect(),
        attached: warmed.attached,
        remaining_pulls: limit.as_ref().map(|limit| limit.remaining),
        resets_at: limit.map(|limit| {
            let window = i64::try_from(limit.window_seconds).unwrap_or(i64::MAX);
            Timestamp(limit.read_at.0.saturating_add(window))
        }),
    }
}

fn parse(text: &str) -> Result<ImageName> {
    let refused = |what: String| Error::new(Kind::Usage, what).about("image");
    if text.starts_with("hosted:") {
        let what = format!(
            "{} was pushed to this box, and is not fetched from anywhere",
            excerpt(text)
        );
        return Err(refused(what).remedy("name images of upstreams"));
    }
    if text.contains('*') {
        let what = format!(
            "{} is a pattern, and what is to be fetched has a name",
            excerpt(text)
        );
        return Err(refused(what).remedy("name each tag"));
    }
    ImageName::parse(text).map_err(|error| error.about("image"))
}
