//! What comes in a body or a query: bounded, and typed by what the endpoint declares. Unknown fields are
//! ignored and wrong types are 400, as GitLab has it.

mod values;

use std::collections::HashMap;
use std::io::Read as _;

use serde_json::{Map, Value};

use super::answer::Failure;
use crate::http::Request;
use values::{Field, object, typed};

/// The largest body that is read.
const MAX_BODY: u64 = 64 * 1024;

/// A field that an endpoint takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter {
    /// The field's name; `name[]` is the same in forms.
    pub(super) name: &'static str,
    /// What it may hold.
    pub(super) kind: Type,
    /// Whether it must be there.
    pub(super) is_required: bool,
    /// One line for the document.
    pub(super) about: &'static str,
}

/// What a field may hold. Forms and queries have only text: there numbers and words are read from it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Type {
    Text,
    /// A date, or a time.
    Moment,
    Integer,
    /// A whole number that is not negative.
    Count,
    /// `true` or `false`; also 1 and 0, and in forms the words that GitLab takes.
    Boolean,
    /// A list of texts, or one text with commas.
    TextList,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// 10, 20, 30, 40 or 50.
    Level,
    /// A number, or a text: an id or a path.
    IdOrText,
    /// An object with fields of its own; null there is a value.
    Object(&'static [Parameter]),
}

/// The fields that a request takes, by its JSON schema.
pub(super) fn of_request(schema: &Value) -> &'static [Parameter] {
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &String| {
        required.is_some_and(|names| names.iter().any(|required| required == name.as_str()))
    };
    let properties = schema.get("properties").and_then(Value::as_object);
    let parameter = |(name, schema): (&String, &Value)| Parameter {
        name: name.clone().leak(),
        kind: kind(schema),
        is_required: is_required(name),
        about: match schema.get("description").and_then(Value::as_str) {
            Some(about) => about.to_owned().leak(),
            None => "",
        },
    };
    let parameters = properties.into_iter().flatten().map(parameter);
    let mut parameters: Vec<_> = parameters.collect();
    // JSON's objects have no order, but what is missing is told in the order in which the type has it.
    let place = |name: &str| required?.iter().position(|required| required == name);
    parameters.sort_by_key(|parameter| place(parameter.name).unwrap_or(usize::MAX));
    parameters.leak()
}

/// The type of a field by its schema.
fn kind(schema: &Value) -> Type {
    let field = |name: &str| schema.get(name);
    let is = |name: &str| field("type").is_some_and(|kind| kind == name);
    if field("oneOf").is_some() {
        return Type::IdOrText;
    }
    match field("enum").and_then(Value::as_array) {
        Some(_) if is("integer") => Type::Level,
        Some(words) => {
            let words = words.iter().filter_map(Value::as_str);
            let words = words.map(|word| &*word.to_owned().leak());
            Type::OneOf(words.collect::<Vec<_>>().leak())
        }
        None if is("integer") && field("minimum").is_some() => Type::Count,
        None if is("integer") => Type::Integer,
        None if is("boolean") => Type::Boolean,
        None if is("array") => Type::TextList,
        None if field("format").is_some_and(|format| format == "date-time") => Type::Moment,
        None if is("object") => Type::Object(of_request(schema)),
        None => Type::Text,
    }
}

/// The declared fields that came, of their types.
#[derive(Debug, Default)]
pub(super) struct Fields(HashMap<&'static str, Field>);

impl Fields {
    /// Reads the query and the body, which counts where both have a field.
    ///
    /// # Errors
    /// 400 that names all fields that are missing or wrong, 413 for a large body, 415 for one of a type that is
    /// neither JSON nor a form.
    pub(super) fn read(request: &mut Request, declared: &[Parameter]) -> Result<Self, Failure> {
        let mut raw = pairs(request.query.as_deref().unwrap_or_default().as_bytes());
        raw.extend(body(request)?);
        let mut fields = Self::default();
        let mut wrong = Vec::new();
        for parameter in declared {
            let value = raw.get(parameter.name).filter(|value| !value.is_null());
            if let (Some(value), Type::Object(inner)) = (value, parameter.kind) {
                let object = object(parameter.name, value, inner, &mut wrong);
                fields.0.insert(parameter.name, Field::Object(object));
                continue;
            }
            match value.map(|value| typed(value, parameter.kind)) {
                Some(Ok(field)) => {
                    fields.0.insert(parameter.name, field);
                }
                Some(Err(why)) => wrong.push(format!("{} {why}", parameter.name)),
                None if parameter.is_required => {
                    wrong.push(format!("{} is missing", parameter.name))
                }
                None => {}
            }
        }
        if wrong.is_empty() {
            Ok(fields)
        } else {
            Err(Failure::parameters(&wrong.join(", ")))
        }
    }

    /// All of them as JSON, for a request that is made of it.
    pub(super) fn json(&self) -> Map<String, Value> {
        let fields = self.0.iter();
        fields
            .map(|(&name, field)| (name.to_owned(), field.json()))
            .collect()
    }

    /// Whether the field came.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A field of type `Text`, `OneOf` or `IdOrText`.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Field::Text(text) | Field::Id(text)) => Some(text),
            _ => None,
        }
    }

    /// A field of type `Integer`.
    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        match self.0.get(name) {
            Some(Field::Integer(number)) => Some(*number),
            _ => None,
        }
    }

    /// A field of type `Boolean`.
    pub(super) fn boolean(&self, name: &str) -> Option<bool> {
        match self.0.get(name) {
            Some(Field::Boolean(boolean)) => Some(*boolean),
            _ => None,
        }
    }
}

/// The fields of a body.
fn body(request: &mut Request) -> Result<HashMap<String, Value>, Failure> {
    let mut bytes = Vec::new();
    let read = (&mut request.body)
        .take(MAX_BODY + 1)
        .read_to_end(&mut bytes);
    read.map_err(|_| Failure::parameters("the body did not arrive"))?;
    if bytes.len() as u64 > MAX_BODY {
        return Err(Failure::error(413, "413 Request Entity Too Large"));
    }
    if bytes.is_empty() {
        return Ok(HashMap::new());
    }
    let content_type = request.headers.get("Content-Type").unwrap_or_default();
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    match kind.to_ascii_lowercase().as_str() {
        "application/json" => serde_json::from_slice(&bytes)
            .map_err(|_| Failure::parameters("the body is no JSON object")),
        "application/x-www-form-urlencoded" => Ok(pairs(&bytes)),
        _ => Err(Failure::error(
            415,
            "The provided content-type is not supported: send application/json or a form.",
        )),
    }
}

/// The pairs of a form or query; `name[]` collects a list, and `name[field]` an object.
fn pairs(text: &[u8]) -> HashMap<String, Value> {
    let mut fields: HashMap<String, Value> = HashMap::new();
    for (key, value) in form_urlencoded::parse(text) {
        let value = Value::String(value.into_owned());
        match key.strip_suffix("[]") {
            Some(name) => match fields.get_mut(name) {
                Some(Value::Array(list)) => list.push(value),
                _ => {
                    fields.insert(name.to_owned(), Value::Array(vec![value]));
                }
            },
            None => match key.strip_suffix(']').and_then(|key| key.split_once('[')) {
                Some((name, field)) => match fields.get_mut(name) {
                    Some(Value::Object(object)) => {
                        object.insert(field.to_owned(), value);
                    }
                    _ => {
                        let object = Map::from_iter([(field.to_owned(), value)]);
                        fields.insert(name.to_owned(), Value::Object(object));
                    }
                },
                None => {
                    fields.insert(key.into_owned(), value);
                }
            },
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn forms_have_lists_too() {
        let fields = pairs(b"name=x&scopes[]=a&scopes%5B%5D=b&name=y");
        assert_eq!(fields["scopes"], json!(["a", "b"]));
        assert_eq!(fields["name"], json!("y"));
        let fields = pairs(b"policy[keep_n]=5&policy%5Bolder_than%5D=");
        assert_eq!(fields["policy"], json!({ "keep_n": "5", "older_than": "" }));
    }
}
