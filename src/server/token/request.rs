//! What a token request says, however it came: GET with Basic credentials, or POST with a form.

use std::io::Read as _;

use super::super::call::{Call, Credentials};
use crate::auth::secret::{self, Shape};
use crate::error::{Error, Kind, Result};
use crate::oci::Scope;

/// The largest form that is read.
const MAX_FORM: u64 = 64 * 1024;
/// So many of its fields count.
const MAX_FIELDS: usize = 200;

/// What a token request says, however it came.
pub(super) struct TokenRequest {
    /// User name and password, or token; `None` for nobody.
    pub(super) credentials: Option<(String, String)>,
    pub(super) service: Option<String>,
    /// The name in the query; it may differ from the one of the credentials.
    pub(super) account: Option<String>,
    /// What the token is to be for; none for a login.
    pub(super) scopes: Vec<Scope>,
}

pub(super) fn from_query(call: &Call<'_>) -> Result<TokenRequest> {
    let credentials = match call.credentials() {
        Credentials::Basic(user, password) => Some((user, password)),
        Credentials::None => None,
        Credentials::Bearer(_) | Credentials::Unknown => {
            return Err(Error::new(
                Kind::Unauthorized,
                "the token endpoint takes a user name and a password or token",
            )
            .remedy("log in with `docker login`"));
        }
    };
    let scopes = call.query_all("scope");
    Ok(TokenRequest {
        credentials,
        service: call.query("service"),
        account: call.query("account"),
        scopes: Scope::parse_all(scopes.iter().map(String::as_str))?,
    })
}

pub(super) fn from_form(call: &mut Call<'_>) -> Result<TokenRequest> {
    let mut form = Vec::new();
    let read = (&mut call.request.body)
        .take(MAX_FORM + 1)
        .read_to_end(&mut form);
    read.map_err(|error| Error::new(Kind::BadRequest, "the form did not arrive").because(error))?;
    if form.len() as u64 > MAX_FORM {
        return Err(Error::new(
            Kind::BadRequest,
            "the form is larger than 64 KiB",
        ));
    }
    let pairs = form_urlencoded::parse(&form).into_owned();
    let pairs: Vec<(String, String)> = pairs.take(MAX_FIELDS).collect();
    let all = |name: &'static str| {
        pairs
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    let first = |name| all(name).next().map(str::to_owned);
    let credentials = match first("grant_type").as_deref() {
        Some("password") => first("username").zip(first("password")),
        // What a client sends back as refresh token is a token's secret; nothing else is ever one.
        Some("refresh_token") => first("refresh_token")
            .filter(|token| secret::shape(token) != Shape::Other)
            .map(|token| ("<token>".to_owned(), token)),
        _ => None,
    };
    if credentials.is_none() {
        return Err(Error::new(Kind::BadRequest, "the form holds no credentials")
            .remedy("send grant_type=password with username and password, or grant_type=refresh_token with a token"));
    }
    // As with Basic, an empty user name with an empty password is nobody.
    let credentials =
        credentials.filter(|(user, password)| !user.is_empty() || !password.is_empty());
    Ok(TokenRequest {
        credentials,
        service: first("service"),
        account: None,
        scopes: Scope::parse_all(all("scope"))?,
    })
}
