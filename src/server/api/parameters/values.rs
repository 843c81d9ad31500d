//! Values of the types that endpoints declare.

use serde_json::{Map, Value};

use super::{Parameter, Type};
use crate::store::Level;
use crate::time::parse_moment;

/// A value that came.
#[derive(Debug, PartialEq)]
pub(super) enum Field {
    Text(String),
    /// Digits are an id, anything else is a path.
    Id(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<String>),
    Object(Map<String, Value>),
}

impl Field {
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Id(id) => match id.parse::<i64>() {
                Ok(id) => id.into(),
                Err(_) => id.as_str().into(),
            },
            Self::Integer(number) => (*number).into(),
            Self::Boolean(boolean) => (*boolean).into(),
            Self::List(list) => list.clone().into(),
            Self::Object(fields) => fields.clone().into(),
        }
    }
}

/// The declared fields of an object; what is wrong with them is added to `wrong`.
pub(super) fn object(
    name: &str,
    value: &Value,
    declared: &'static [Parameter],
    wrong: &mut Vec<String>,
) -> Map<String, Value> {
    let mut fields = Map::new();
    let Some(given) = value.as_object() else {
        wrong.push(format!("{name} is invalid"));
        return fields;
    };
    for parameter in declared {
        let field = match given.get(parameter.name) {
            None => continue,
            // A form has no null.
            Some(Value::String(text)) if text.is_empty() => Value::Null,
            Some(Value::Null) => Value::Null,
            Some(value) => match typed(value, parameter.kind) {
                Ok(field) => field.json(),
                Err(why) => {
                    wrong.push(format!("{name}[{}] {why}", parameter.name));
                    continue;
                }
            },
        };
        fields.insert(parameter.name.to_owned(), field);
    }
    fields
}

/// The value as the type says, or what is wrong with it.
pub(super) fn typed(value: &Value, kind: Type) -> Result<Field, &'static str> {
    const INVALID: &str = "is invalid";
    const NOT_IN_LIST: &str = "does not have a valid value";
    let text = value.as_str();
    let integer = || match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    match kind {
        Type::Text => text.map(|text| Field::Text(text.to_owned())).ok_or(INVALID),
        Type::Moment => match text.and_then(parse_moment) {
            Some(at) => Ok(Field::Text(at.to_string())),
            None => Err(INVALID),
        },
        Type::Integer => integer().map(Field::Integer).ok_or(INVALID),
        Type::Count => match integer().ok_or(INVALID)? {
            number if number < 0 => Err(NOT_IN_LIST),
            number => Ok(Field::Integer(number)),
        },
        Type::Boolean => match (value, integer()) {
            (Value::Bool(boolean), _) => Ok(Field::Boolean(*boolean)),
            (_, Some(1)) => Ok(Field::Boolean(true)),
            (_, Some(0)) => Ok(Field::Boolean(false)),
            _ => text.and_then(yes_or_no).map(Field::Boolean).ok_or(INVALID),
        },
        Type::TextList => list(value).map(Field::List).ok_or(INVALID),
        Type::OneOf(words) => match text {
            Some(text) if words.contains(&text) => Ok(Field::Text(text.to_owned())),
            _ => Err(NOT_IN_LIST),
        },
        Type::Level => {
            let number = integer().ok_or(INVALID)?;
            let level = Level::from_number(number).ok_or(NOT_IN_LIST)?;
            Ok(Field::Integer(level.number()))
        }
        Type::IdOrText => match (value, text) {
            (_, Some(text)) => Ok(Field::Id(text.to_owned())),
            (Value::Number(number), _) if number.is_i64() => Ok(Field::Id(number.to_string())),
            _ => Err(INVALID),
        },
        // Objects in objects are for nobody.
        Type::Object(_) => Err(INVALID),
    }
}

/// The words that GitLab takes for a truth value: python writes `True`.
fn yes_or_no(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" => Some(true),
        "false" | "f" | "no" | "n" | "off" => Some(false),
        _ => None,
    }
}

fn list(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(text.split(',').map(|part| part.trim().to_owned()).collect()),
        Value::Array(values) => values
            .iter()
            .map(|value| value.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_of_the_declared_type_or_refused() {
        let words = Type::OneOf(&["private", "public"]);
        let text = |text: &str| Ok(Field::Text(text.to_owned()));
        let cases: &[(Value, Type, Result<Field, &str>)] = &[
            (json!("a"), Type::Text, text("a")),
            (json!(1), Type::Text, Err("is invalid")),
            (json!({}), Type::Text, Err("is invalid")),
            (
                json!("2027-01-31"),
                Type::Moment,
                text("2027-01-31T00:00:00Z"),
            ),
            (json!("soon"), Type::Moment, Err("is invalid")),
            (json!(7), Type::Integer, Ok(Field::Integer(7))),
            (json!("7"), Type::Integer, Ok(Field::Integer(7))),
            (json!(7.5), Type::Integer, Err("is invalid")),
            (json!("seven"), Type::Integer, Err("is invalid")),
            (json!(1e300), Type::Integer, Err("is invalid")),
            (json!(true), Type::Boolean, Ok(Field::Boolean(true))),
            (json!("false"), Type::Boolean, Ok(Field::Boolean(false))),
            (json!(1), Type::Boolean, Ok(Field::Boolean(true))),
            (json!("True"), Type::Boolean, Ok(Field::Boolean(true))),
            (json!("maybe"), Type::Boolean, Err("is invalid")),
            (json!(2), Type::Boolean, Err("is invalid")),
            (
                json!(["a", "b"]),
                Type::TextList,
                Ok(Field::List(vec!["a".into(), "b".into()])),
            ),
            (
                json!("a, b"),
                Type::TextList,
                Ok(Field::List(vec!["a".into(), "b".into()])),
            ),
            (json!(["a", 1]), Type::TextList, Err("is invalid")),
            (json!("public"), words, text("public")),
            (json!("internal"), words, Err("does not have a valid value")),
            (json!(30), Type::Level, Ok(Field::Integer(30))),
            (json!("30"), Type::Level, Ok(Field::Integer(30))),
            (json!(35), Type::Level, Err("does not have a valid value")),
            (json!(5), Type::IdOrText, Ok(Field::Id("5".to_owned()))),
            (
                json!("acme"),
                Type::IdOrText,
                Ok(Field::Id("acme".to_owned())),
            ),
            (json!("3"), Type::Count, Ok(Field::Integer(3))),
            (json!(-3), Type::Count, Err("does not have a valid value")),
            (json!([5]), Type::IdOrText, Err("is invalid")),
        ];
        for (value, kind, expected) in cases {
            assert_eq!(typed(value, *kind), *expected, "{value} as {kind:?}");
        }
    }
}
