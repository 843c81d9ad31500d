//! What can be administered, one file a resource. A resource owns its requests, their validation, their effect with
//! the audit event, and the one view of it that answers show.
//!
//! REST, the command line and what comes later are adapters: they turn what they are given into an [`Operation`], ask
//! for it to be performed, and show its view. An adapter that lets anybody else in than the box's own command line
//! judges before: the routing table of `/api/v4` says by which right.

mod about;
mod access;
mod activity;
mod audit;
mod backup;
mod bans;
mod bundles;
mod cache;
mod caller;
mod cleanup;
mod clients;
mod consequences;
mod contents;
mod features;
mod filters;
mod findings;
mod garbage;
mod groups;
mod history;
mod imports;
mod keys;
mod members;
mod named;
mod names;
mod networks;
mod offline;
mod operations;
mod pins;
mod projects;
mod registries;
mod repositories;
pub mod rules;
mod sessions;
mod status;
pub mod tokens;
mod upstreams;
mod users;
mod warm;
mod webhooks;

use std::str::FromStr;
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;
use strum::VariantNames;

use crate::auth::administration::places::Mirror;
use crate::auth::bans::{Ban, FailureKey};
use crate::auth::keys::Keys;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::proxy::{Proxy, UpstreamState, Watch};
use crate::store::{Actor, ImageSizes, Store, Sums};
use crate::time::Timestamp;
use crate::upkeep::retention::Retention;

pub use crate::upkeep::eviction::Stays;
pub use about::{ShowVersion, VersionView};
pub use access::{AccessAction, AccessView, ExplainAccess};
pub use activity::{ActivityView, ArrivingView, ShowActivity, TroubleView};
pub use audit::{AuditEventView, ListAuditEvents, ListEvents, parse_address};
pub use backup::{BackUp, NoteBackup, SaveRows};
pub use bans::{BanView, ListBans, RemoveBan};
pub use bundles::{
    FindImages, FoundImage, FoundImages, HAVE_HEADER, HoldImages, ListHave, box_name,
};
pub use cache::{
    CacheStatistics, CacheStatisticsView, EvictImages, EvictionView, ImageDetails,
    ListCachedImages, PartView, PurgeImages, PurgeView, RecallStatistics, ReferrerView,
    ShowCachedImage, VictimView,
};
pub use cache::{limited_parts, world};
pub use caller::{Caller, OnTheBox};
pub use cleanup::{CleanUpProject, CleanedUpProject, CleanupChanges, CleanupRunView, DeleteTags};
pub use clients::{ClientFile, ClientSetup, Reached, ShowClientSetup, Target};
pub use consequences::{ConsequencesView, RefusedToken, ShowConsequences};
pub use contents::{PlaceContents, RepositoryContents, ShowContents};
pub use features::{
    FeatureView, GateValue, GroupFeature, ListFeatures, ListGroupFeatures, ResetFeature, SetFeature,
};
pub use findings::{FindingView, FindingsView, Severity, ShowFindings};
pub use garbage::CollectGarbage;
pub use groups::{AddGroup, GetGroup, GroupSettings, GroupView, ListGroups, RemoveGroup, SetGroup};
pub use history::{HistoryPoint, HistoryView, Period, ShowHistory};
pub use imports::{AdoptImport, Adopted, AdoptedImage, PlanImport, Planned, PlannedImage};
pub use keys::{KeyView, ListKeys, RotateKey, Rotated};
pub use members::{AddMember, EditMember, GetMember, ListMembers, MemberView, RemoveMember};
pub use named::{Named, NamedPlace};
pub use names::{ListNames, NameKind};
pub use networks::{
    AddNetwork, ListNetworks, ListRefusedNetworks, NetworkView, RefusedNetworkView, RemoveNetwork,
};
pub use offline::{OfflineView, ShowOffline, SwitchOffline, Switched};
pub use operations::{Operation, perform_named};
pub use pins::{AddPin, AddedPin, ListPins, PinView, RemovePin, RemovedPin};
pub use projects::{
    AddProject, GetProject, ListProjects, ListProjectsOfGroup, ProjectSettings, ProjectView,
    RemoveProject, SetProject,
};
pub use registries::{
    AddRegistry, ListRegistries, RegistryCertificate, RegistryView, RemoveRegistry,
};
pub use repositories::{
    HostedRepositoryDetails, ListRepositories, RemoveImages, RemovedImages, ShowRepository,
};
pub use rules::{AddRule, AddTagRule, ListRules, RemoveRule, SetRule};
pub use sessions::{EndSession, ListSessions, SessionView};
pub use status::{Activity, ShowStatus, StatusView};
pub use tokens::{
    CreateAccessToken, CreateDeployToken, CreateJobToken, CreatePersonalToken, ListTokens,
    RevokeToken, RotateToken, ShowToken,
};
pub use upstreams::{
    AddUpstream, Credentials, ListUpstreams, RemoveUpstream, SetUpstream, TestUpstream,
    TestedUpstream, UpstreamStates, UpstreamView, check_upstream, configured_client,
};
pub use users::{
    AddUser, GetCurrentUser, GetUser, INITIAL_ROOT_PASSWORD, ListUsers, ROOT, RemoveUser,
    SetBlocked, SetPassword, ShowUser, UserDetails, UserState, UserView, forget_initial_password,
};
pub use warm::{WARM_NEEDS_A_SERVER, WarmImage, WarmOutcome, WarmedView, warm_offline};
pub use webhooks::{
    AddWebhook, GetWebhook, ListWebhooks, RemoveWebhook, RotateWebhook, SetWebhook, TestWebhook,
    TestedWebhook, WebhookView,
};

/// What operations work on, and for whom.
pub struct Admin<'a> {
    /// The store, whose lock this process holds.
    pub store: &'a Store,
    /// Who asks, for the audit.
    pub actor: Actor,
    /// Who asks, where an operation's effect depends on it.
    pub caller: &'a dyn Caller,
    /// As the server was started with it, or as the command finds it where none runs.
    pub config: &'a Config,
    /// The server that performs this, if one does.
    pub server: Option<&'a dyn RunningServer>,
    /// Hears how far an operation is that takes long, where somebody asked to.
    pub watch: Option<Watch<'a>>,
}

/// What a running server has in memory beside the store.
pub trait RunningServer {
    /// The keys that it signs with.
    fn keys(&self) -> &Keys;
    /// Whether no connection leaves the box.
    fn is_offline(&self) -> bool;
    /// Lets connections leave the box, or not, from the next request on.
    fn set_offline(&self, offline: bool);
    /// Who may not log in now.
    fn bans(&self) -> Vec<Ban>;
    /// Ends the ban of an address or user; which it was.
    fn lift_ban(&self, named: &str) -> Option<FailureKey>;
    /// How its upstreams are.
    ///
    /// # Errors
    /// `Sql`.
    fn upstreams(&self) -> Result<Vec<UpstreamState>>;
    /// What fetches from upstreams.
    fn proxy(&self) -> &Arc<Proxy>;
    /// Who runs its cleanup policies.
    fn retention(&self) -> &Retention;
    /// The networks whose clients it lately refused the mirror for want of a rule; those that asked last come first.
    fn refused_networks(&self) -> Vec<RefusedNetworkView>;
    /// What it was lately asked for below the name `first` and refused by the mirror.
    fn refused_image(&self, first: &str) -> Option<String>;
    /// What it does now, and has served since its start.
    fn activity(&self) -> Activity;
    /// What was done by the hour, with what is not in the database yet.
    ///
    /// # Errors
    /// `Sql`.
    fn hours_until(&self, from: Timestamp, now: Timestamp) -> Result<Vec<(Timestamp, Sums)>>;
    /// How much is kept, as it was last counted; `None` while that is done for the first time.
    fn statistics(&self) -> Option<CacheStatisticsView>;
    /// How large cached images are, as they were last measured.
    ///
    /// # Errors
    /// `Unavailable` while that is done for the first time and takes long.
    fn image_sizes(&self) -> Result<ImageSizes>;
    /// The view of the operation of that name, which only looks, as it was last worked out.
    ///
    /// # Errors
    /// `Unavailable` while that is done for the first time and takes long.
    fn preview(&self, name: &'static str, request: Value) -> Result<Arc<RawValue>>;
    /// Images went or were pinned: what was worked out before is not true any more.
    fn forget_previews(&self);
    /// What the doctor last found; `None` while it looks for the first time.
    fn findings(&self) -> Option<FindingsView>;
    /// The last few requests that were refused or failed, the newest first.
    fn troubles(&self) -> Vec<TroubleView>;
}

/// Says which field a refusal is about; what is missing or wrong with the box stays what it is.
fn refused(field: &'static str) -> impl Fn(Error) -> Error {
    move |error| match error.kind() {
        Kind::NotFound => error,
        _ => error.about(field),
    }
}

impl Admin<'_> {
    /// What the mirror occupies.
    fn mirror(&self) -> Mirror<'_> {
        Mirror {
            group: &self.config.mirror.group,
            default: &self.config.mirror.default,
        }
    }
}

/// Reads an option that takes one of the words of an enum; help and completions name them.
pub fn one_of<T>() -> impl clap::builder::TypedValueParser<Value = T>
where
    T: FromStr + VariantNames + Clone + Send + Sync + 'static,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    use clap::builder::{PossibleValuesParser, TypedValueParser as _};
    PossibleValuesParser::new(T::VARIANTS).try_map(|word| word.parse::<T>())
}

/// Reads an id of the command line, and says what one looks like.
///
/// # Errors
/// A sentence for clap, which names the argument.
pub fn id(text: &str) -> std::result::Result<i64, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "write a number such as 7, as the list shows it".to_owned())
}
