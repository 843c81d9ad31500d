//! Fields that JSON objects get after they are made.

use serde_json::Value;

/// Puts a field into an object; anything else has no fields and stays as it is, where `object[name] = …` panics.
pub(super) fn put(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(fields) = object {
        fields.insert(name.to_owned(), value);
    }
}
