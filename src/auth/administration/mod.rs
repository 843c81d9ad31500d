//! The rules for making and changing users, groups, projects and tokens, which hold for the command line and
//! for the REST API alike: what may be called how, what clashes, when a token ends.
//!
//! - `names`, `publishers`, `networks` and `expiry` are pure; `places` and `tokens` look into the store.
//! - *Who* may do it is decided elsewhere: on the box whoever reads the data directory, by REST
//!   [`super::policy::administration`].

pub mod expiry;
pub mod names;
pub mod places;
pub mod publishers;
pub mod tokens;
