//! Who somebody is, and what they may do: credentials → [`Identity`] → [`Grant`].
//!
//! - `credentials` turns Basic and Bearer credentials into an [`Identity`], by lookup of digests.
//! - `jwt` and `keys` issue and check the short-lived tokens of the token endpoint.
//! - `external` signs tokens for other registries.
//! - `policy` holds the rules, as pure functions; only it can make a [`Grant`].
//! - `seal` encrypts what must be given back, such as the passwords of upstreams.
//! - `administration`: the rules for making and changing users, groups, projects and tokens.
//! - `login_events` tells the audit of logins.
//! - `features`: the flags of the abilities check.
//! - `scope`, `secret`, `password`, `address` are the parts that those are made of.
//!
//! Nothing here knows HTTP or the network.

pub mod address;
pub mod administration;
pub mod bans;
pub mod credentials;
pub mod external;
pub mod features;
pub mod identity;
pub mod jwt;
pub mod keys;
mod login_events;
pub mod password;
pub mod policy;
pub mod scope;
pub mod seal;
pub mod secret;

pub use credentials::{Authenticator, LoginCounters, hosted_project_now, stored_principal};
pub use identity::{Identity, PlacedProject, Principal};
pub use policy::{Grant, RepositoryGrant};
