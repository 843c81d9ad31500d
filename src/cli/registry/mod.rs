//! `breakwater registry`: other registries that take this box's tokens.

mod certificate;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::Outcome;
use super::output::{Table, hint, print, print_json, print_text};
use super::workplace::{Workplace, sealing_keys};
use crate::auth::jwt::AUDIENCES;
use crate::auth::seal::Owner;
use crate::error::{Error, Kind, Result, excerpt};
use crate::store::{ExternalRegistry, ExternalRegistryId, SigningAlgorithm, Store};
use crate::time::Timestamp;

/// Let another registry take this box's tokens: the same users, projects and rules
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater registry add store --issuer breakwater --audience registry.example
  breakwater registry certificate store > /etc/docker/registry/breakwater.pem")]
pub(super) struct Registry {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Sign tokens for a registry, with a key of its own
    #[command(after_help = "\
Examples:
  breakwater registry add store --issuer breakwater --audience registry.example
  breakwater registry add old --issuer breakwater --audience old.example --key-type rs256")]
    Add {
        /// What it is called here
        name: String,
        /// As `auth.token.issuer` of the registry
        #[arg(long)]
        issuer: String,
        /// As `auth.token.service` of the registry
        #[arg(long)]
        audience: String,
        /// How tokens are signed: ECDSA on P-256, or RSA
        #[arg(long, value_enum, default_value = "es256")]
        key_type: KeyType,
    },
    /// Print the certificate that the registry is to trust: `auth.token.rootcertbundle`
    #[command(
        after_help = "Example:\n  breakwater registry certificate store > /etc/docker/registry/breakwater.pem"
    )]
    Certificate {
        /// The registry
        name: String,
    },
    /// List the registries
    #[command(after_help = "Example:\n  breakwater registry list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Sign no more tokens for a registry
    #[command(after_help = "Example:\n  breakwater registry remove store")]
    Remove {
        /// The registry
        name: String,
    },
}

/// `--key-type`
#[derive(Debug, Clone, Copy, ValueEnum)]
enum KeyType {
    Es256,
    Rs256,
}

impl Registry {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::Add {
                name,
                issuer,
                audience,
                key_type,
            } => {
                check_name(&name)?;
                check_text("issuer", &issuer)?;
                check_audience(&audience)?;
                let algorithm = match key_type {
                    KeyType::Es256 => SigningAlgorithm::Es256,
                    KeyType::Rs256 => SigningAlgorithm::Rs256,
                };
                add(place, name, issuer, audience, algorithm)?;
            }
            Action::Certificate { name } => {
                let store = place.open_store()?;
                print_text(&find(&store, &name)?.certificate)?;
            }
            Action::List { json } => list(&place.open_store()?, json)?,
            Action::Remove { name } => {
                let store = place.open_store()?;
                if !store.access.remove_external_registry(&place.actor, &name)? {
                    return Err(no_such(&name));
                }
                print(&format!("removed registry {name}"))?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn add(
    place: &Workplace,
    name: String,
    issuer: String,
    audience: String,
    algorithm: SigningAlgorithm,
) -> Result<()> {
    let store = place.open_store()?;
    let material = certificate::make(&name, algorithm)?;
    let owner = Owner::external_registry(&name);
    let registry = ExternalRegistry {
        id: ExternalRegistryId(0),
        key_sealed: sealing_keys(&store)?.seal(&owner, &material.private_key)?,
        name,
        issuer,
        audience,
        algorithm,
        certificate: material.certificate,
        key_id: material.key_id,
        created_at: Timestamp(0),
    };
    store
        .access
        .add_external_registry(&place.actor, &registry)?;
    print(&format!("added registry {}", registry.name))?;
    hint(&format!(
        "its `rootcertbundle` is what `breakwater registry certificate {}` prints",
        registry.name
    ));
    Ok(())
}

fn find(store: &Store, name: &str) -> Result<ExternalRegistry> {
    let mut registries = store.access.external_registries()?.into_iter();
    registries
        .find(|registry| registry.name == name)
        .ok_or_else(|| no_such(name))
}

fn no_such(name: &str) -> Error {
    Error::new(Kind::NotFound, format!("there is no registry `{name}`"))
        .remedy("see `breakwater registry list`")
}

fn list(store: &Store, json: bool) -> Result<()> {
    let registries = store.access.external_registries()?;
    if json {
        return print_json(&registries.iter().map(shape).collect::<Vec<_>>());
    }
    let mut table = Table::new(&["NAME", "ISSUER", "AUDIENCE", "KEY", "KEY ID"]);
    for registry in registries {
        table.row([
            registry.name,
            registry.issuer,
            registry.audience,
            registry.algorithm.as_str().to_owned(),
            registry.key_id,
        ]);
    }
    table.print()
}

fn shape(registry: &ExternalRegistry) -> Value {
    json!({
        "id": registry.id,
        "name": registry.name,
        "issuer": registry.issuer,
        "audience": registry.audience,
        "algorithm": registry.algorithm.as_str(),
        "key_id": registry.key_id,
        "created_at": registry.created_at.to_string(),
    })
}

fn check_name(name: &str) -> Result<()> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':');
    if (1..=255).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with('-') {
        return Ok(());
    }
    Err(Error::new(
        Kind::Usage,
        format!("`{}` is not a registry's name", excerpt(name)),
    )
    .remedy("use up to 255 letters, digits, . _ - and :, no - first"))
}

/// Both stand in headers and URLs of the registry, between quotation marks.
fn check_text(what: &str, text: &str) -> Result<()> {
    let fits = |b: u8| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\');
    if (1..=255).contains(&text.len()) && text.bytes().all(fits) {
        return Ok(());
    }
    Err(
        Error::new(Kind::Usage, format!("`{}` is not an {what}", excerpt(text)))
            .remedy("use up to 255 printable characters, no quotation marks and no backslashes"),
    )
}

fn check_audience(audience: &str) -> Result<()> {
    check_text("audience", audience)?;
    if AUDIENCES.contains(&audience) {
        let what = format!("the audience `{audience}` is this box itself");
        return Err(Error::new(Kind::Usage, what)
            .remedy("choose another one, and set it as `service` of the registry"));
    }
    Ok(())
}
