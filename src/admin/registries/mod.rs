//! External registries: other registries that take this box's tokens, each signed for with a key of its own.

mod certificate;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::upstreams::sealing_keys;
use super::{Admin, Operation};
use crate::auth::jwt::AUDIENCES;
use crate::auth::seal::Owner;
use crate::error::{Error, Kind, Result, excerpt};
use crate::store::{ExternalRegistry, ExternalRegistryId, SigningAlgorithm};
use crate::time::Timestamp;

/// Signs tokens for a registry, with a key that is made for it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct AddRegistry {
    pub name: String,
    pub issuer: String,
    pub audience: String,
    #[schemars(with = "String")]
    pub algorithm: SigningAlgorithm,
}

/// Signs no more tokens for a registry.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RemoveRegistry {
    pub name: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListRegistries {}

/// The certificate that a registry is to trust, as PEM.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RegistryCertificate {
    pub name: String,
}

/// An external registry as it is shown.
#[derive(Debug, Serialize, Deserialize)]
pub struct RegistryView {
    pub id: ExternalRegistryId,
    pub name: String,
    pub issuer: String,
    pub audience: String,
    pub algorithm: SigningAlgorithm,
    pub key_id: String,
    pub created_at: Timestamp,
}

impl From<ExternalRegistry> for RegistryView {
    fn from(registry: ExternalRegistry) -> Self {
        Self {
            id: registry.id,
            name: registry.name,
            issuer: registry.issuer,
            audience: registry.audience,
            algorithm: registry.algorithm,
            key_id: registry.key_id,
            created_at: registry.created_at,
        }
    }
}

impl Operation for AddRegistry {
    const NAME: &'static str = "registries.add";
    type View = RegistryView;

    fn perform(self, admin: &Admin<'_>) -> Result<RegistryView> {
        check_name(&self.name)?;
        check_text("issuer", &self.issuer)?;
        check_audience(&self.audience)?;
        let key = certificate::make(&self.name, self.algorithm)?;
        let owner = Owner::external_registry(&self.name);
        let mut registry = ExternalRegistry {
            id: ExternalRegistryId(0),
            key_sealed: sealing_keys(admin.store)?.seal(&owner, &key.private_key)?,
            name: self.name,
            issuer: self.issuer,
            audience: self.audience,
            algorithm: self.algorithm,
            certificate: key.certificate,
            key_id: key.key_id,
            created_at: Timestamp::now(),
        };
        let access = &admin.store.access;
        registry.id = access.add_external_registry(&admin.actor, &registry)?;
        Ok(registry.into())
    }
}

impl Operation for RemoveRegistry {
    const NAME: &'static str = "registries.remove";
    type View = ();

    fn perform(self, admin: &Admin<'_>) -> Result<()> {
        let access = &admin.store.access;
        match access.remove_external_registry(&admin.actor, &self.name)? {
            true => Ok(()),
            false => Err(no_such(&self.name)),
        }
    }
}

impl Operation for ListRegistries {
    const NAME: &'static str = "registries.list";
    type View = Vec<RegistryView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Vec<RegistryView>> {
        let registries = admin.store.access.external_registries()?;
        Ok(registries.into_iter().map(RegistryView::from).collect())
    }
}

impl Operation for RegistryCertificate {
    const NAME: &'static str = "registries.certificate";
    type View = String;

    fn perform(self, admin: &Admin<'_>) -> Result<String> {
        let mut registries = admin.store.access.external_registries()?.into_iter();
        let found = registries.find(|registry| registry.name == self.name);
        found
            .map(|registry| registry.certificate)
            .ok_or_else(|| no_such(&self.name))
    }
}

fn no_such(name: &str) -> Error {
    Error::new(Kind::NotFound, format!("there is no registry `{name}`"))
        .remedy("see `breakwater registry list`")
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
