//! Credentials → Identity → Grant (skeleton).

pub mod password;
pub mod scope;
pub mod secret;
