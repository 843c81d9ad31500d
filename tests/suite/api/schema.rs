//! What of JSON schema the OpenAPI document uses, checked strictly: a keyword that is not known here fails.

use serde_json::Value;

/// What is wrong with `value`, by the path to it.
pub(super) fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(document, schema, value, "$", &mut faults);
    faults
}

fn check(document: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').expect("a local reference");
        let target = document.pointer(pointer).expect("what is referred to");
        return check(document, target, value, at, faults);
    }
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    for (keyword, argument) in schema.as_object().expect("a schema") {
        match keyword.as_str() {
            "description" | "nullable" => {}
            "type" => {
                let fits = match argument.as_str().expect("a type") {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "integer" => value.is_i64(),
                    "boolean" => value.is_boolean(),
                    other => panic!("an unknown type {other}"),
                };
                if !fits {
                    faults.push(format!("{at} is no {argument}: {value}"));
                }
            }
            "enum" => {
                if !argument.as_array().expect("words").contains(value) {
                    faults.push(format!("{at} is none of {argument}: {value}"));
                }
            }
            "format" => {
                let text = value.as_str().unwrap_or_default();
                let fits = match argument.as_str().expect("a format") {
                    "date" => is_date(text),
                    "date-time" => text.len() >= 20 && is_date(&text[..10]) && text.ends_with('Z'),
                    other => panic!("an unknown format {other}"),
                };
                if !fits {
                    faults.push(format!("{at} is no {argument}: {value}"));
                }
            }
            "required" => {
                for name in argument.as_array().expect("names") {
                    if value.get(name.as_str().expect("a name")).is_none() {
                        faults.push(format!("{at} has no {name}"));
                    }
                }
            }
            "properties" => {
                for (name, property) in argument.as_object().expect("properties") {
                    if let Some(value) = value.get(name) {
                        check(document, property, value, &format!("{at}.{name}"), faults);
                    }
                }
            }
            "additionalProperties" => {
                assert_eq!(argument, &Value::Bool(false));
                let known = schema["properties"].as_object().expect("properties");
                for name in value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, _)| name)
                {
                    if !known.contains_key(name) {
                        faults.push(format!("{at} has {name}"));
                    }
                }
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(document, argument, item, &format!("{at}[{index}]"), faults);
                }
            }
            "oneOf" => {
                let fitting = argument.as_array().expect("schemas").iter();
                let fitting = fitting.filter(|schema| faults_of(document, schema, value) == 0);
                if fitting.count() != 1 {
                    faults.push(format!("{at} fits not exactly one of {argument}: {value}"));
                }
            }
            other => panic!("an unknown keyword {other}"),
        }
    }
}

fn faults_of(document: &Value, schema: &Value, value: &Value) -> usize {
    faults(document, schema, value).len()
}

fn is_date(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').map(str::len).collect();
    parts == [4, 2, 2] && text.bytes().all(|b| b.is_ascii_digit() || b == b'-')
}

#[test]
fn a_wrong_answer_is_found() {
    use serde_json::json;
    let document = json!({ "x": {
        "type": "object", "required": ["id"], "additionalProperties": false,
        "properties": {
            "id": { "type": "integer" },
            "at": { "type": "string", "format": "date", "nullable": true },
        },
    }});
    let schema = json!({ "type": "array", "items": { "$ref": "#/x" } });
    for (value, expected) in [
        (
            json!([{ "id": 1, "at": null }, { "id": 2, "at": "2027-01-31" }]),
            0,
        ),
        (json!({}), 1),
        (json!([{ "at": "2027-1-31" }]), 2),
        (json!([{ "id": "1", "more": 1 }]), 2),
    ] {
        let found = faults(&document, &schema, &value);
        assert_eq!(found.len(), expected, "{value}: {found:?}");
    }
}
