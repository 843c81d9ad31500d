//! The two flags of the abilities check: their names, defaults, and which value holds for a group. Pure.

use crate::store::{Feature, GroupId};

/// In the order in which they are shown.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
    strum::VariantNames,
)]
pub enum Flag {
    /// On: a credential that lacks abilities is refused. Off: it is let in, and reported in the log; deploy
    /// tokens are judged all the same.
    #[strum(serialize = "enforce_abilities_check_for_dependency_proxy")]
    EnforceAbilitiesCheck,
    /// On: reading and filling are judged apart. Off: the older rule, a whole pair for both.
    #[strum(serialize = "dependency_proxy_split_abilities")]
    SplitAbilities,
}

impl Flag {
    /// The name in commands, REST and the database.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The flag of this name.
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// Its value on a box where nobody has set it.
    pub fn default_value(self) -> bool {
        true
    }

    /// Its value for a group, given the group and its ancestors, nearest first (empty: for the box): the
    /// nearest override, otherwise the box's value.
    pub fn value(self, features: &[Feature], lineage: &[GroupId]) -> bool {
        let set = |group: Option<GroupId>| {
            let mut rows = features.iter();
            rows.find(|row| row.flag == self.as_str() && row.group == group)
                .map(|row| row.enabled)
        };
        let overridden = lineage.iter().find_map(|&group| set(Some(group)));
        overridden
            .or_else(|| set(None))
            .unwrap_or(self.default_value())
    }
}

/// The values that hold for a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags {
    /// [`Flag::EnforceAbilitiesCheck`]
    pub enforce: bool,
    /// [`Flag::SplitAbilities`]
    pub split: bool,
}

impl Flags {
    /// The values for a group, as [`Flag::value`] finds them.
    pub fn of(features: &[Feature], lineage: &[GroupId]) -> Self {
        Self {
            enforce: Flag::EnforceAbilitiesCheck.value(features, lineage),
            split: Flag::SplitAbilities.value(features, lineage),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_override_holds_and_then_the_box_s_value() {
        let row = |flag: Flag, group: Option<i64>, enabled| Feature {
            flag: flag.as_str().to_owned(),
            group: group.map(GroupId),
            enabled,
        };
        let (enforce, split) = (Flag::EnforceAbilitiesCheck, Flag::SplitAbilities);
        let lineage = [GroupId(3), GroupId(2), GroupId(1)];
        let table: &[(&[Feature], bool)] = &[
            (&[], true),
            (&[row(enforce, None, false)], false),
            (&[row(split, None, false)], true),
            (
                &[row(enforce, None, false), row(enforce, Some(1), true)],
                true,
            ),
            (
                &[row(enforce, Some(1), true), row(enforce, Some(2), false)],
                false,
            ),
            (
                &[row(enforce, Some(3), true), row(enforce, Some(2), false)],
                true,
            ),
            (&[row(enforce, Some(9), false)], true),
        ];
        for (features, expected) in table {
            assert_eq!(
                Flags::of(features, &lineage).enforce,
                *expected,
                "{features:?}"
            );
        }
        let own = [row(enforce, Some(3), false), row(split, None, false)];
        assert_eq!(
            Flags::of(&own, &[]),
            Flags {
                enforce: true,
                split: false
            }
        );
        assert_eq!(Flag::parse("dependency_proxy_split_abilities"), Some(split));
        assert_eq!(Flag::parse("sudo"), None);
    }
}
