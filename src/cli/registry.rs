//! `breakwater registry`: other registries that take this box's tokens.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::Outcome;
use super::output::{Table, hint, print_json, print_text, tell, tell_done};
use super::workplace::Workplace;
use crate::admin::{AddRegistry, ListRegistries, RegistryCertificate, RemoveRegistry};
use crate::error::Result;
use crate::store::SigningAlgorithm;

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
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the certificate that the registry is to trust: `auth.token.rootcertbundle`
    #[command(
        after_help = "Example:\n  breakwater registry certificate store > /etc/docker/registry/breakwater.pem"
    )]
    Certificate {
        /// The registry
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
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
        /// Print JSON
        #[arg(long)]
        json: bool,
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
                json,
            } => {
                let algorithm = match key_type {
                    KeyType::Es256 => SigningAlgorithm::Es256,
                    KeyType::Rs256 => SigningAlgorithm::Rs256,
                };
                let added = place.perform(AddRegistry {
                    name,
                    issuer,
                    audience,
                    algorithm,
                })?;
                tell(&added, json, &format!("added registry {}", added.name))?;
                hint(&format!(
                    "its `rootcertbundle` is what `breakwater registry certificate {}` prints",
                    added.name
                ));
            }
            Action::Certificate { name, json } => {
                let certificate = place.perform(RegistryCertificate { name })?;
                match json {
                    true => print_json(&json!({ "certificate": certificate }))?,
                    false => print_text(&certificate)?,
                }
            }
            Action::List { json } => list(place, json)?,
            Action::Remove { name, json } => {
                place.perform(RemoveRegistry { name: name.clone() })?;
                tell_done("removed", &name, json, &format!("removed registry {name}"))?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn list(place: &Workplace, json: bool) -> Result<()> {
    let registries = place.perform(ListRegistries {})?;
    if json {
        return print_json(&registries);
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
