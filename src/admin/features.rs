//! Feature flags, for the box and for groups. GitLab's gates say which groups have a flag on; here a group may also
//! have one off that the box has on.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use strum::{VariantArray, VariantNames};

use super::{Admin, Named, Operation};
use crate::auth::features::Flag;
use crate::error::{Error, Kind, Result, nearest};
use crate::store::{Feature, GroupId};

/// Turns a flag on or off.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SetFeature {
    #[schemars(skip)]
    pub name: String,
    /// On or off
    pub value: bool,
    /// For these groups, by path, and those below them, instead of the box
    #[serde(default)]
    pub group: Vec<String>,
}

/// Takes values away, so that what is above holds again.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ResetFeature {
    #[schemars(skip)]
    pub name: String,
    /// Only the values of these groups
    #[serde(default)]
    pub group: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListFeatures {}

/// The values that groups have of their own, with their paths.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListGroupFeatures {}

/// A group's own value.
#[derive(Debug, Serialize, Deserialize)]
pub struct GroupFeature {
    pub name: String,
    pub group_path: String,
    pub enabled: bool,
}

/// A flag as GitLab shows it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Feature")]
#[serde(deny_unknown_fields)]
pub struct FeatureView {
    pub name: String,
    /// `conditional` where a group has a value of its own
    pub state: String,
    pub gates: Vec<Gate>,
    pub definition: Definition,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// `boolean` for the box, `actors` and `disabled_actors` for the groups that have it on and off
    pub key: String,
    pub value: GateValue,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum GateValue {
    Boolean(bool),
    Actors(Vec<String>),
}

impl JsonSchema for GateValue {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "GateValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let actors = json_schema!({ "type": "array", "items": { "type": "string" } });
        json_schema!({ "oneOf": [{ "type": "boolean" }, actors] })
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    pub name: String,
    pub default_enabled: bool,
}

impl FeatureView {
    fn new(flag: Flag, rows: &[Feature]) -> Self {
        let value = flag.value(rows, &[]);
        let mut gates = vec![Gate {
            key: "boolean".to_owned(),
            value: GateValue::Boolean(value),
        }];
        for (key, enabled) in [("actors", true), ("disabled_actors", false)] {
            let own = rows.iter().filter(|row| row.flag == flag.as_str());
            let own = own.filter(|row| row.enabled == enabled);
            let groups = own.filter_map(|row| row.group);
            let actors: Vec<_> = groups.map(|id| format!("Group:{}", id.0)).collect();
            if !actors.is_empty() {
                gates.push(Gate {
                    key: key.to_owned(),
                    value: GateValue::Actors(actors),
                });
            }
        }
        let state = match (gates.len(), value) {
            (2.., _) => "conditional",
            (_, true) => "on",
            (_, false) => "off",
        };
        Self {
            name: flag.as_str().to_owned(),
            state: state.to_owned(),
            gates,
            definition: Definition {
                name: flag.as_str().to_owned(),
                default_enabled: flag.default_value(),
            },
        }
    }

    /// The value of the box.
    pub fn is_enabled(&self) -> bool {
        let mut gates = self.gates.iter();
        gates.any(|gate| matches!(gate.value, GateValue::Boolean(true)))
    }
}

impl Operation for SetFeature {
    const NAME: &'static str = "features.set";
    type View = FeatureView;

    fn perform(self, admin: &Admin<'_>) -> Result<FeatureView> {
        let flag = parse_flag(&self.name)?;
        let groups = groups(admin, self.group)?;
        let scopes = if groups.is_empty() {
            vec![None]
        } else {
            groups.into_iter().map(Some).collect()
        };
        let access = &admin.store.access;
        for scope in scopes {
            access.set_feature(&admin.actor, flag.as_str(), scope, self.value)?;
        }
        Ok(FeatureView::new(flag, &access.features()?))
    }
}

impl Operation for ResetFeature {
    const NAME: &'static str = "features.reset";
    type View = ();

    fn perform(self, admin: &Admin<'_>) -> Result<()> {
        let flag = parse_flag(&self.name)?;
        let shown = self.group.join(", ");
        let groups = groups(admin, self.group)?;
        let access = &admin.store.access;
        let mut removed = false;
        for row in access.features()? {
            let is_meant = groups.is_empty() || row.group.is_some_and(|id| groups.contains(&id));
            if row.flag == flag.as_str() && is_meant {
                removed |= access.reset_feature(&admin.actor, flag.as_str(), row.group)?;
            }
        }
        if removed || groups.is_empty() {
            return Ok(());
        }
        let what = format!("{shown} has no value of its own for {}", flag.as_str());
        Err(Error::new(Kind::NotFound, what).remedy("see `breakwater feature list`"))
    }
}

impl Operation for ListFeatures {
    const NAME: &'static str = "features.list";
    type View = Vec<FeatureView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Vec<FeatureView>> {
        let rows = admin.store.access.features()?;
        let flags = <Flag as VariantArray>::VARIANTS.iter();
        Ok(flags.map(|&flag| FeatureView::new(flag, &rows)).collect())
    }
}

impl Operation for ListGroupFeatures {
    const NAME: &'static str = "features.list_of_groups";
    type View = Vec<GroupFeature>;

    fn perform(self, admin: &Admin<'_>) -> Result<Vec<GroupFeature>> {
        let access = &admin.store.access;
        let mut own = Vec::new();
        for row in access.features()? {
            let group = row.group.map(|id| access.group(id)).transpose()?;
            if let Some(group) = group.flatten() {
                own.push(GroupFeature {
                    name: row.flag,
                    group_path: group.path,
                    enabled: row.enabled,
                });
            }
        }
        Ok(own)
    }
}

/// The groups of these paths; an empty one is how forms leave a field out.
fn groups(admin: &Admin<'_>, paths: Vec<String>) -> Result<Vec<GroupId>> {
    let paths = paths.into_iter().filter(|path| !path.is_empty());
    let groups = paths.map(|path| Ok(admin.group(&Named::Text(path))?.id));
    groups.collect()
}

pub(super) fn parse_flag(name: &str) -> Result<Flag> {
    Flag::parse(name).ok_or_else(|| {
        let nearest = nearest(name, <Flag as VariantNames>::VARIANTS.iter().copied());
        Error::new(Kind::Usage, format!("there is no flag `{name}`"))
            .remedy(format!("did you mean `{nearest}`?"))
    })
}
