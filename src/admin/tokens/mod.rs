//! Tokens of every kind: personal ones, those of groups and projects, deploy tokens, and those of jobs.
//!
//! The command line names a token by its id alone. A path of the REST API is about one kind of tokens, and about those
//! of one group or project: [`ShownToken`] says of each way to show a token which those are, and who may do what with
//! them.

mod change;
mod create;
mod expiry;
mod known;
mod list;
mod pages;
mod shown;
mod view;

pub use change::{GetOwnToken, GetToken, RevokeOwnToken, RevokeToken, RotateOwnToken, RotateToken};
pub use create::{
    CreateAccessToken, CreateDeployToken, CreateJobToken, CreatePersonalToken, NewTokenFields,
};
pub use known::Known;
pub use list::{ListTokens, ListedToken, Owners, ShowToken, State};
pub use pages::{ListAccessTokens, ListDeployTokens, ListJobTokens, ListPersonalTokens};
pub use shown::ShownToken;
pub use view::{AccessTokenView, DeployTokenView, JobTokenView, NewTokenView, TokenView};
