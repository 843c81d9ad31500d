//! Signing in and out, and who somebody is by the cookie that they got then.
//!
//! The cookie holds a random secret of which the database has the digest. A form must bring a value that only pages of
//! the same session have, made from that secret, and browsers must not say that another site sends it.

use std::time::Duration;

use maud::html;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::visit::{Visit, field, form};
use super::{Page, Shown, html as page, layout, parts};
use crate::admin::SessionView;
use crate::auth::Identity;
use crate::auth::Principal;
use crate::auth::keys::random_hex;
use crate::auth::scope::Ability;
use crate::auth::secret::digest;
use crate::error::{Error, Kind, Result};
use crate::http::{Method, Response, Scheme};
use crate::server::Appliance;
use crate::server::call::Call;
use crate::store::{Session, SessionId, SignedIn};

/// A session ends then, however much it is used.
const LONGEST: Duration = Duration::from_secs(12 * 3600);
/// Holds what a form did until the next page says it.
const DONE: &str = "breakwater_done";
pub(super) const FOREIGN: &str = "This form is not of your session, or another site sent it. Nothing was done: go back, load the page again, and send it once more.";

/// Somebody who is signed in.
pub(super) struct Visitor {
    pub(super) identity: Identity,
    pub(super) session: SessionId,
    secret: String,
}

impl Visitor {
    /// What the forms of this session bring.
    pub(super) fn form_value(&self) -> String {
        let bytes = digest(&format!("form {}", self.secret));
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether a form is one of this session's pages. Both are digests of what nobody else knows, so how long the
    /// comparison takes tells nothing.
    pub(super) fn has_made(&self, value: &str) -> bool {
        digest(value) == digest(&self.form_value())
    }

    /// Whom to greet, and the user name for `docker login`.
    pub(super) fn name(&self) -> String {
        match self.identity.principal.user() {
            Some(user) => user.name.clone(),
            None => self.identity.principal.label(),
        }
    }
}

/// `__Host-` binds a cookie to this host and to TLS; without TLS browsers refuse such a name.
fn cookie_name(call: &Call<'_>, appliance: &Appliance) -> &'static str {
    match is_encrypted(call, appliance) {
        true => "__Host-breakwater",
        false => "breakwater",
    }
}

/// Whether the browser speaks TLS, to this box or to a proxy before it that is trusted.
fn is_encrypted(call: &Call<'_>, appliance: &Appliance) -> bool {
    let forwarded = call.request.headers.get("X-Forwarded-Proto");
    let peer = call.request.peer.ip().to_canonical();
    match forwarded.filter(|_| appliance.addresses.is_trusted_proxy(peer)) {
        Some(scheme) => scheme == "https",
        None => call.request.scheme == Scheme::Https,
    }
}

fn cookie(call: &Call<'_>, name: &str) -> Option<String> {
    let mut fields = call.request.headers.get_all("Cookie");
    fields.find_map(|field| {
        let mut pairs = field.split(';').filter_map(|pair| pair.split_once('='));
        let found = pairs.find(|(key, _)| key.trim() == name);
        found.map(|(_, value)| value.trim().to_owned())
    })
}

fn set_cookie(name: &str, value: &str, age: u64, call: &Call<'_>, appliance: &Appliance) -> String {
    let secure = match is_encrypted(call, appliance) {
        true => "; Secure",
        false => "",
    };
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}")
}

/// Who is signed in, by the cookie; whoever is not any more is nobody.
///
/// # Errors
/// Those of the store.
pub(super) fn visitor(appliance: &Appliance, call: &mut Call<'_>) -> Result<Option<Visitor>> {
    let Some(secret) = cookie(call, cookie_name(call, appliance)) else {
        return Ok(None);
    };
    let access = &appliance.store.access;
    let Some(session) = access.session_by_digest(&digest(&secret))? else {
        return Ok(None);
    };
    let authenticator = &appliance.authenticator;
    let identity = authenticator.by_session(&session, call.address, call.now)?;
    let identity = identity.filter(|identity| may_sign_in(&identity.principal));
    let Some(identity) = identity else {
        return Ok(None);
    };
    call.note_principal(&identity.principal);
    // That a page refreshes itself is no use. Whether one is noted decides only when the session ends: no reason to fail.
    let noted = match refreshed(call) {
        Some(_) => Ok(()),
        None => access.note_session(&identity.actor(&call.id), &session, call.now),
    };
    if let Err(error) = noted {
        tracing::warn!(
            request_id = call.id,
            "a session's use is not noted: {error}"
        );
    }
    Ok(Some(Visitor {
        identity,
        session: session.id,
        secret,
    }))
}

/// The id of the part of a page that its script asks for anew, for which nobody has done anything. Whoever sends a form
/// has.
pub(super) fn refreshed(call: &Call<'_>) -> Option<String> {
    let reads = matches!(call.request.method, Method::Get | Method::Head);
    let part = call.request.headers.get("X-Refresh");
    part.filter(|_| reads).map(str::to_owned)
}

fn may_sign_in(principal: &Principal) -> bool {
    principal.abilities().has(Ability::ReadApi)
}

/// Whether the browser says that a form comes from a page of this box, or says nothing, as old ones do.
pub(super) fn is_own_form(call: &Call<'_>, appliance: &Appliance) -> bool {
    let headers = &call.request.headers;
    if let Some(site) = headers.get("Sec-Fetch-Site") {
        return matches!(site, "same-origin" | "none");
    }
    match headers.get("Origin") {
        None => true,
        Some(origin) => {
            origin == call.external_url(appliance) || {
                let host = origin.split_once("://").map(|(_, host)| host);
                host == Some(call.request.host.as_str())
            }
        }
    }
}

/// Whether it is a path of this box, so that nobody is led elsewhere.
pub(super) fn is_local(path: &str) -> bool {
    let mut bytes = path.bytes();
    bytes.next() == Some(b'/')
        && !matches!(bytes.next(), Some(b'/' | b'\\'))
        && path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

fn redirect(to: &str) -> Response {
    Response::new(303).header("Location", to)
}

pub(super) fn to_sign_in(call: &Call<'_>) -> Response {
    let path = match &call.request.query {
        Some(query) => format!("{}?{query}", call.request.path),
        None => call.request.path.clone(),
    };
    match call.reads() && path != "/" {
        true => redirect(&format!(
            "/sign-in?to={}",
            utf8_percent_encode(&path, NON_ALPHANUMERIC)
        )),
        false => redirect("/sign-in"),
    }
}

/// After a form: the page that it was on, which says what was done.
pub(super) fn back_to(visit: &Visit<'_, '_>, back: &str, done: &str) -> Response {
    let value = utf8_percent_encode(done, NON_ALPHANUMERIC).to_string();
    let field = set_cookie(DONE, &value, 60, visit.call, visit.appliance);
    redirect(back).header("Set-Cookie", field)
}

pub(super) fn take_done(call: &Call<'_>) -> Option<String> {
    let value = cookie(call, DONE)?;
    let text = percent_decode_str(&value).decode_utf8().ok()?.into_owned();
    Some(text).filter(|text| !text.is_empty())
}

pub(super) fn forget_done() -> String {
    format!("{DONE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0")
}

/// `/sign-in`.
pub(super) fn show(appliance: &Appliance, call: &Call<'_>) -> Response {
    let to = call.query("to").unwrap_or_default();
    ask(appliance, call, (&to, ""), None)
}

/// The form to sign in with, which leads to the path `to`; `refused`: why the last try failed.
fn ask(
    appliance: &Appliance,
    call: &Call<'_>,
    (to, name): (&str, &str),
    refused: Option<&Error>,
) -> Response {
    let to = Some(to).filter(|to| is_local(to)).unwrap_or_default();
    let (status, retry_after) = match refused.map(Error::kind) {
        None => (200, None),
        Some(Kind::TooManyRequests { retry_after }) => (429, Some(retry_after)),
        Some(kind) => (crate::server::status_and_code(kind).0, None),
    };
    let body = html! {
        @if let Some(refused) = refused {
            p.refused role="alert" { (refused.to_string()) }
        }
        @if !is_encrypted(call, appliance) && !call.address.ip.is_loopback() {
            p.warning { "This connection is not encrypted: whoever is in between can read what you type." }
        }
        form method="post" action="/sign-in" {
            input type="hidden" name="to" value=(to);
            label for="username" { "User name" }
            input #username name="username" value=(name) autocomplete="username" autocapitalize="none" spellcheck="false" autofocus
                aria-describedby="username-help";
            small #username-help { "Leave it empty to sign in with a token of a group or a project." }
            label for="password" { "Password, or a token with the scope api or read_api" }
            input #password name="password" type="password" autocomplete="current-password" required;
            button type="submit" { "Sign in" }
        }
    };
    let response = page(status, &layout::bare("Sign in", &body));
    match retry_after {
        Some(after) => response.header("Retry-After", after.as_secs().max(1).to_string()),
        None => response,
    }
}

pub(super) fn sign_in(appliance: &Appliance, call: &mut Call<'_>) -> Response {
    let pairs = match form(call) {
        Ok(pairs) => pairs,
        Err(refused) => return layout::alone(refused.status, &refused.message),
    };
    if !is_own_form(call, appliance) {
        return layout::alone(403, FOREIGN);
    }
    let (to, username) = (field(&pairs, "to"), field(&pairs, "username"));
    match begin(appliance, call, username, field(&pairs, "password")) {
        Ok(secret) => {
            let to = Some(to).filter(|to| is_local(to)).unwrap_or("/");
            let name = cookie_name(call, appliance);
            let field = set_cookie(name, &secret, LONGEST.as_secs(), call, appliance);
            redirect(to).header("Set-Cookie", field)
        }
        Err(error) => {
            call.note.why = Some(error.logged_why());
            ask(appliance, call, (to, username), Some(&error))
        }
    }
}

/// A new session, whose secret is given back; one that the browser had before ends.
fn begin(appliance: &Appliance, call: &mut Call<'_>, name: &str, secret: &str) -> Result<String> {
    let authenticator = &appliance.authenticator;
    let identity = match name.trim() {
        "" => authenticator.by_secret(secret, call.address, &call.id, call.now)?,
        name => authenticator.by_basic(name, secret, call.address, &call.id, call.now)?,
    };
    call.note_principal(&identity.principal);
    if !may_sign_in(&identity.principal) {
        let what = "this token is for registries alone";
        return Err(Error::new(Kind::Denied, what).remedy(
            "sign in with your password, or with a token that has the scope api or read_api",
        ));
    }
    let actor = identity.actor(&call.id);
    let access = &appliance.store.access;
    // Whoever's it is: that is not used any more, and is not who signs in.
    let before = cookie(call, cookie_name(call, appliance));
    let before = before.map(|before| access.session_by_digest(&digest(&before)));
    if let Some(before) = before.transpose()?.flatten() {
        access.end_session(&actor, before.id, false)?;
    }
    let principal = &identity.principal;
    let user = principal.user().map(|user| user.id);
    let signed_in = match (principal.token(), principal.user()) {
        (None, Some(user)) => SignedIn::Password {
            user: user.id,
            version: user.password_version,
        },
        (Some(token), _) => SignedIn::Token { id: token.id, user },
        (None, None) => return Err(Error::internal("somebody who is nobody signs in")),
    };
    let secret = random_hex::<32>()?;
    let browser = call.request.headers.get("User-Agent").unwrap_or_default();
    let session = Session {
        id: SessionId(0),
        signed_in,
        created_at: call.now,
        last_used_at: call.now,
        ends_at: call.now.plus(LONGEST),
        remote_ip: call.address.ip.to_string(),
        browser: browser.chars().take(200).collect(),
    };
    access.add_session(&actor, &digest(&secret), &session)?;
    Ok(secret)
}

pub(super) fn sign_out(appliance: &Appliance, call: &mut Call<'_>) -> Response {
    let visitor = match visitor(appliance, call) {
        Ok(Some(visitor)) => visitor,
        Ok(None) => return redirect("/sign-in"),
        Err(error) => return layout::failed(&error, call),
    };
    let pairs = form(call).unwrap_or_default();
    if !is_own_form(call, appliance) || !visitor.has_made(field(&pairs, "_csrf")) {
        return layout::alone(403, FOREIGN);
    }
    let actor = visitor.identity.actor(&call.id);
    match appliance
        .store
        .access
        .end_session(&actor, visitor.session, false)
    {
        Ok(_) => {
            let field = set_cookie(cookie_name(call, appliance), "", 0, call, appliance);
            redirect("/sign-in").header("Set-Cookie", field)
        }
        Err(error) => layout::failed(&error, call),
    }
}

/// `/sessions`: one's own.
pub(super) fn list(visit: &mut Visit<'_, '_>) -> Shown {
    let sessions: Vec<SessionView> = visit.get("/user/sessions")?;
    let own = visit.visitor.session;
    let body = html! {
        p { "Each browser that you are signed in with. A session ends after an hour without use, and after twelve hours in any case." }
        (parts::table(&["Began", "Last used", "Ends", "Address", "Browser", ""], sessions.iter().map(|session| html! {
            td { (parts::time(session.created_at)) }
            td { (parts::time(session.last_used_at)) }
            td { (parts::time(session.ends_at)) }
            td { (session.remote_ip) }
            td { (session.browser) @if session.id == own { " " span.badge { "this one" } } }
            td {
                @let action = format!("/user/sessions/{}", session.id.0);
                (parts::button(visit, "DELETE", &action, "End", "The session has ended."))
            }
        })))
    };
    Ok(Page::new("Your sessions", body))
}
