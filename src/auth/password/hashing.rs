//! Hashes of passwords in PHC form: made, compared, and drawn for users that there are not.

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, Version};

use crate::error::{Error, Kind, Result};

/// The shortest password that `hash` takes.
pub const MIN_LENGTH: usize = 8;
/// The longest; more would only cost the hasher time.
pub const MAX_LENGTH: usize = 256;

/// Hashes a new password with a random salt.
///
/// # Errors
/// `BadRequest` for one shorter than 8 or longer than 256 bytes.
pub fn hash(password: &str) -> Result<String> {
    if !(MIN_LENGTH..=MAX_LENGTH).contains(&password.len()) {
        return Err(Error::new(
            Kind::BadRequest,
            "the password has fewer than 8 or more than 256 bytes",
        )
        .remedy("choose another one"));
    }
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|error| Error::internal(format!("cannot hash a password: {error}")))?;
    Ok(hash.to_string())
}

/// A hash of the form that [`hash`] gives, which no password is known to have. It is drawn and not computed: a start
/// need not take 19 MiB for it.
pub(super) fn decoy() -> Result<String> {
    use base64::Engine as _;
    let mut drawn = [0; 16 + Params::DEFAULT_OUTPUT_LEN];
    getrandom::fill(&mut drawn)
        .map_err(|error| Error::internal(format!("no randomness from the system: {error}")))?;
    let (salt, hash) = drawn.split_at(16);
    let encode = |bytes| base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes);
    Ok(format!(
        "${}$v={}$m={},t={},p={}${}${}",
        Algorithm::default().as_str(),
        u32::from(Version::default()),
        Params::DEFAULT_M_COST,
        Params::DEFAULT_T_COST,
        Params::DEFAULT_P_COST,
        encode(salt),
        encode(hash),
    ))
}

/// Whether the password has this hash. The 19 MiB that it takes stay in `memory` for the next one: given back
/// and asked for again, they would come from another place each time, and the process would grow.
pub(super) fn matches(password: &str, stored: &str, memory: &mut Vec<Block>) -> Result<bool> {
    let damaged = |why: &str| Error::internal(format!("a stored password hash is damaged: {why}"));
    let parsed = PasswordHash::new(stored).map_err(|error| damaged(&error.to_string()))?;
    let (Some(salt), Some(expected)) = (&parsed.salt, &parsed.hash) else {
        return Err(damaged("it has no salt or no hash"));
    };
    let algorithm = Algorithm::try_from(parsed.algorithm.as_str())
        .map_err(|error| damaged(&error.to_string()))?;
    let version = parsed.version.map_or(Ok(Version::default()), |number| {
        Version::try_from(number).map_err(|error| damaged(&error.to_string()))
    })?;
    let params = Params::try_from(&parsed).map_err(|error| damaged(&error.to_string()))?;
    if memory.len() < params.block_count() {
        memory.resize(params.block_count(), Block::default());
    }
    let mut computed = vec![0; expected.len()];
    let wanted = memory.get_mut(..params.block_count()).unwrap_or_default();
    Argon2::new(algorithm, version, params)
        .hash_password_into_with_memory(password.as_bytes(), salt.as_ref(), &mut computed, wanted)
        .map_err(|error| damaged(&error.to_string()))?;
    let computed = Output::new(&computed).map_err(|error| damaged(&error.to_string()))?;
    // In constant time, by the type's own promise.
    Ok(computed == *expected)
}
