//! Enums that are words: in JSON, in commands, in the OpenAPI document, in logs.

/// Makes an enum whose variants are words: `serde`, `strum` and `schemars` have the same ones, in the case that is named
/// first. A derived schema would be a union of single words, each with its documentation.
macro_rules! words {
    ($case:tt $(#[$meta:meta])* $visibility:vis enum $name:ident { $($variants:tt)* }) => {
        $(#[$meta])*
        #[derive(
            Debug,
            Clone,
            Copy,
            PartialEq,
            Eq,
            Hash,
            serde::Serialize,
            serde::Deserialize,
            strum::EnumString,
            strum::IntoStaticStr,
            strum::VariantNames,
        )]
        #[serde(rename_all = $case)]
        #[strum(serialize_all = $case)]
        $visibility enum $name { $($variants)* }

        impl $name {
            pub fn as_str(self) -> &'static str {
                self.into()
            }
        }

        $crate::schema::words_in_schema!($name);
    };
}

pub(crate) use words;
