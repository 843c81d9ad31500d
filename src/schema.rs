//! How types look in JSON and in the OpenAPI document, where deriving does not say it.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use crate::time::Timestamp;

impl JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// Gives an enum, whose words `strum` and `serde` have, a schema that lists them. A derived one would be a union of
/// single words, each with its documentation.
macro_rules! words_in_schema {
    ($($words:ty),+ $(,)?) => {$(
        impl schemars::JsonSchema for $words {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($words).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let words = <$words as strum::VariantNames>::VARIANTS;
                schemars::json_schema!({ "type": "string", "enum": words })
            }
        }
    )+};
}

pub(crate) use words_in_schema;

/// The schema of a request: what may be given.
pub fn of_request<T: JsonSchema>() -> Value {
    settings()
        .for_deserialize()
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// The schema of a view, which is what an answer holds, for the OpenAPI document.
pub fn of_view<T: JsonSchema>() -> Value {
    settings()
        .for_serialize()
        .with_transform(Plain)
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

fn settings() -> SchemaSettings {
    SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    })
}

/// Takes out what says nothing to a client: which integers Rust has for a number, and the names of types.
#[derive(Clone)]
struct Plain;

impl Transform for Plain {
    fn transform(&mut self, schema: &mut Schema) {
        if schema.get("type").is_some_and(|kind| kind == "integer") {
            schema.remove("format");
            schema.remove("minimum");
            schema.remove("maximum");
        }
        schema.remove("title");
        if schema.get("additionalProperties") == Some(&Value::Bool(true)) {
            schema.remove("additionalProperties");
        }
        if let Some(Value::Array(words)) = schema.get_mut("enum") {
            words.retain(|word| !word.is_null());
        }
        transform_subschemas(self, schema);
    }
}
