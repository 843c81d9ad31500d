//! The operations by their names, as they come over the control socket.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::{
    AddGroup, AddMember, AddNetwork, AddPin, AddProject, AddRegistry, AddRule, AddTagRule,
    AddUpstream, AddUser, AddWebhook, Admin, AdoptImport, BackUp, CacheStatistics, CleanUpProject,
    CollectGarbage, CreateAccessToken, CreateDeployToken, CreateJobToken, CreatePersonalToken,
    DeleteTags, EditMember, EndSession, EvictImages, ExplainAccess, FindImages, GetCurrentUser,
    GetGroup, GetMember, GetProject, GetUser, GetWebhook, HoldImages, ListBans, ListCachedImages,
    ListEvents, ListFeatures, ListGroupFeatures, ListGroups, ListHave, ListKeys, ListMembers,
    ListNames, ListNetworks, ListPins, ListProjects, ListProjectsOfGroup, ListRefusedNetworks,
    ListRegistries, ListRepositories, ListRules, ListSessions, ListTokens, ListUpstreams,
    ListUsers, ListWebhooks, NoteBackup, PlanImport, PurgeImages, RecallStatistics,
    RegistryCertificate, RemoveBan, RemoveGroup, RemoveImages, RemoveMember, RemoveNetwork,
    RemovePin, RemoveProject, RemoveRegistry, RemoveRule, RemoveUpstream, RemoveUser,
    RemoveWebhook, ResetFeature, RevokeToken, RotateKey, RotateToken, RotateWebhook, RunningServer,
    SaveRows, SetBlocked, SetFeature, SetGroup, SetPassword, SetProject, SetRule, SetUpstream,
    SetWebhook, ShowActivity, ShowCachedImage, ShowClientSetup, ShowConsequences, ShowContents,
    ShowFindings, ShowHistory, ShowOffline, ShowRepository, ShowStatus, ShowToken, ShowUser,
    SwitchOffline, TestUpstream, TestWebhook, UpstreamStates, WarmImage,
};
use crate::error::{Error, Kind, Result};

/// One thing that can be asked for. The request is the type itself; as JSON it goes over the control socket, and from
/// its JSON schema come the fields that REST takes. A field that its endpoint's path gives, or that only an adapter
/// sets, is left out of the schema by `#[schemars(skip)]`.
pub trait Operation: Serialize + DeserializeOwned + JsonSchema {
    /// Its name on the control socket, such as `networks.add`.
    const NAME: &'static str;
    /// What is answered, by REST and by `--json`.
    type View: Serialize + DeserializeOwned;
    /// Whether it may take minutes, so that a server's silence says nothing.
    const TAKES_LONG: bool = false;

    /// Does it.
    ///
    /// # Errors
    /// `Usage` for a request that cannot be meant, `NotFound`, `Conflict`, and those of the store.
    fn perform(self, admin: &Admin<'_>) -> Result<Self::View>;
}

/// Makes [`perform_named`] from the list of all operations.
macro_rules! operations {
    ($($operation:ty),+ $(,)?) => {
        /// Performs the operation of that name on a request as JSON; its view as JSON.
        ///
        /// # Errors
        /// `NotFound` for a name that this version does not have, `Internal` for JSON that is no request of that name,
        /// and those of the operation.
        pub fn perform_named(admin: &Admin<'_>, name: &str, request: Value) -> Result<Box<RawValue>> {
            $(if name == <$operation>::NAME {
                return perform_json::<$operation>(admin, request);
            })+
            Err(unknown(name))
        }

        #[cfg(test)]
        const NAMES: &[&str] = &[$(<$operation>::NAME),+];
    };
}

operations!(
    AdoptImport,
    AddGroup,
    AddMember,
    AddNetwork,
    AddPin,
    AddProject,
    AddRegistry,
    AddRule,
    AddTagRule,
    AddUpstream,
    AddUser,
    AddWebhook,
    BackUp,
    NoteBackup,
    CacheStatistics,
    CleanUpProject,
    CollectGarbage,
    CreateAccessToken,
    CreateDeployToken,
    CreateJobToken,
    CreatePersonalToken,
    DeleteTags,
    EditMember,
    EndSession,
    EvictImages,
    ExplainAccess,
    FindImages,
    GetCurrentUser,
    GetGroup,
    GetMember,
    GetProject,
    GetUser,
    GetWebhook,
    HoldImages,
    ListBans,
    ListCachedImages,
    ListEvents,
    ListFeatures,
    ListGroupFeatures,
    ListGroups,
    ListHave,
    ListKeys,
    ListMembers,
    ListNames,
    ListNetworks,
    ListPins,
    ListProjects,
    ListProjectsOfGroup,
    ListRefusedNetworks,
    ListRegistries,
    ListRepositories,
    ListRules,
    ListSessions,
    ListTokens,
    ListUpstreams,
    ListUsers,
    ListWebhooks,
    PlanImport,
    PurgeImages,
    RecallStatistics,
    RegistryCertificate,
    RemoveBan,
    RemoveGroup,
    RemoveImages,
    RemoveMember,
    RemoveNetwork,
    RemovePin,
    RemoveProject,
    RemoveRegistry,
    RemoveRule,
    RemoveUpstream,
    RemoveUser,
    RemoveWebhook,
    ResetFeature,
    RevokeToken,
    RotateKey,
    RotateToken,
    RotateWebhook,
    SaveRows,
    SetBlocked,
    SetFeature,
    SetGroup,
    SetPassword,
    SetProject,
    SetRule,
    SetUpstream,
    SetWebhook,
    ShowActivity,
    ShowCachedImage,
    ShowClientSetup,
    ShowConsequences,
    ShowContents,
    ShowFindings,
    ShowHistory,
    ShowOffline,
    ShowRepository,
    ShowStatus,
    ShowToken,
    ShowUser,
    SwitchOffline,
    TestUpstream,
    TestWebhook,
    UpstreamStates,
    WarmImage,
);

fn perform_json<O: Operation>(admin: &Admin<'_>, request: Value) -> Result<Box<RawValue>> {
    let operation: O = serde_json::from_value(request).map_err(odd::<O>)?;
    // As text, because the tree of a long list takes ten times its memory.
    to_raw_value(&operation.perform(admin)?).map_err(odd::<O>)
}

/// What an operation that only looks, with a field `recall`, finds without that: as the server worked it out a while ago.
///
/// # Errors
/// Those of the operation, and `Unavailable` while it is worked out for the first time.
pub(super) fn recalled<O: Operation>(server: &dyn RunningServer, request: &O) -> Result<O::View> {
    let mut request = serde_json::to_value(request).map_err(odd::<O>)?;
    if let Some(fields) = request.as_object_mut() {
        fields.insert("recall".to_owned(), Value::Bool(false));
    }
    let view = server.preview(O::NAME, request)?;
    serde_json::from_str(view.get()).map_err(odd::<O>)
}

fn odd<O: Operation>(error: serde_json::Error) -> Error {
    let name = O::NAME;
    let what = format!("the request `{name}` is not of the form that it has here");
    Error::internal(what).because(error).remedy(OTHER_VERSION)
}

const OTHER_VERSION: &str = "restart the server, so that it has the version of the command line";

fn unknown(name: &str) -> Error {
    let what = format!("the running server does not know the operation `{name}`");
    Error::new(Kind::NotFound, what).remedy(OTHER_VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_operations_have_one_name() {
        let mut names = NAMES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NAMES.len());
    }
}
