//! Hashes of passwords in PHC form: made, compared, and drawn for users that there are not.

use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use parking_lot::Mutex;

use crate::error::{Error, Kind, Result};

/// Bytes of a salt.
const SALT: usize = 16;
/// The shortest password that `hash` takes.
pub const MIN_LENGTH: usize = 8;
/// The longest; more would only cost the hasher time.
pub const MAX_LENGTH: usize = 256;

/// The 19 MiB that a hash takes, kept for the next one: given back and asked for again, by one thread and then by another,
/// they would come from another place each time, and the process would grow.
static MEMORY: Mutex<Vec<Block>> = Mutex::new(Vec::new());

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
    let salt: [u8; SALT] = drawn()?;
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    compute(&Argon2::default(), password, &salt, &mut output)
        .map_err(|error| Error::internal(format!("cannot hash a password: {error}")))?;
    Ok(in_phc_form(&salt, &output))
}

/// A hash of the form that [`hash`] gives, which no password is known to have. It is drawn and not computed: a start
/// need not take 19 MiB for it.
pub(super) fn decoy() -> Result<String> {
    let (salt, output): ([u8; SALT], [u8; Params::DEFAULT_OUTPUT_LEN]) = (drawn()?, drawn()?);
    Ok(in_phc_form(&salt, &output))
}

fn drawn<const LENGTH: usize>() -> Result<[u8; LENGTH]> {
    let mut drawn = [0; LENGTH];
    getrandom::fill(&mut drawn)
        .map_err(|error| Error::internal(format!("no randomness from the system: {error}")))?;
    Ok(drawn)
}

fn in_phc_form(salt: &[u8], output: &[u8]) -> String {
    use base64::Engine as _;
    let encode = |bytes| base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes);
    format!(
        "${}$v={}$m={},t={},p={}${}${}",
        Algorithm::default().as_str(),
        u32::from(Version::default()),
        Params::DEFAULT_M_COST,
        Params::DEFAULT_T_COST,
        Params::DEFAULT_P_COST,
        encode(salt),
        encode(output),
    )
}

fn compute(
    argon2: &Argon2<'_>,
    password: &str,
    salt: &[u8],
    output: &mut [u8],
) -> argon2::Result<()> {
    let count = argon2.params().block_count();
    let mut memory = MEMORY.lock();
    if memory.len() < count {
        memory.resize(count, Block::default());
    }
    let memory = memory.get_mut(..count).unwrap_or_default();
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, output, memory)
}

/// Whether the password has this hash.
pub(super) fn matches(password: &str, stored: &str) -> Result<bool> {
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
    let mut computed = vec![0; expected.len()];
    let argon2 = Argon2::new(algorithm, version, params);
    compute(&argon2, password, salt.as_ref(), &mut computed)
        .map_err(|error| damaged(&error.to_string()))?;
    let computed = Output::new(&computed).map_err(|error| damaged(&error.to_string()))?;
    // In constant time, by the type's own promise.
    Ok(computed == *expected)
}
