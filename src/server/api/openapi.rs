//! The OpenAPI 3 document: paths and fields from the routing table, shapes from the views.

use serde_json::{Map, Value, json};

use super::super::fields::put;
use super::parameters::{Parameter, Type};
use super::table::{self, Endpoint, Role, Scope, Shape, TEXT_CAPTURES};

/// The document, for clients that reach the box at `external_url`.
pub(super) fn document(external_url: &str) -> Value {
    let mut paths = Map::new();
    for endpoint in table::all() {
        let path = documented(endpoint.path);
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        methods[endpoint.method.to_ascii_lowercase()] = operation(endpoint);
    }
    json!({
        "openapi": "3.0.3",
        "info": {
            "title": "Breakwater",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The REST API, in the shapes of GitLab's.",
            "license": { "name": "Apache-2.0" },
        },
        "servers": [{ "url": format!("{external_url}{}", super::ROOT) }],
        "security": [{ "private_token": [] }, { "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": table::TABLE.schemas,
            "securitySchemes": {
                "private_token": { "type": "apiKey", "in": "header", "name": "PRIVATE-TOKEN" },
                "bearer": { "type": "http", "scheme": "bearer" },
            },
        },
    })
}

/// `/groups/:id` as `/groups/{id}`.
fn documented(path: &str) -> String {
    let part = |part: &str| match part.strip_prefix(':') {
        Some(name) => format!("{{{name}}}"),
        None => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

fn operation(endpoint: &Endpoint) -> Value {
    let mut parameters: Vec<Value> = endpoint
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix(':'))
        .map(|name| captured(endpoint, name))
        .collect();
    let has_query = endpoint.method == "GET" || endpoint.method == "DELETE";
    if has_query {
        parameters.extend(endpoint.parameters.iter().map(in_query));
    }
    if matches!(endpoint.gives.1, Shape::Page(_)) {
        for (name, about) in [
            ("page", "from 1"),
            ("per_page", "20 unless given, at most 100"),
        ] {
            parameters.push(in_query(&Parameter {
                name,
                kind: Type::Integer,
                is_required: false,
                about,
            }));
        }
    }
    let mut operation = json!({
        "summary": endpoint.summary,
        "description": needs(endpoint),
        "parameters": parameters,
        "responses": responses(endpoint),
    });
    if endpoint.scope == Scope::Open {
        put(&mut operation, "security", json!([]));
    }
    if !has_query && !endpoint.parameters.is_empty() {
        put(&mut operation, "requestBody", body(endpoint.parameters));
    }
    operation
}

fn needs(endpoint: &Endpoint) -> String {
    let scope = match endpoint.scope {
        Scope::Open => "Needs no token",
        Scope::Valid => "Needs a token, whatever its scopes",
        Scope::Read => "Needs the scope read_api or api",
        Scope::Write | Scope::SelfRotation => "Needs the scope api",
        Scope::ReadOrJob => "Needs the scope read_api or api, or a job token in JOB-TOKEN",
        Scope::WriteOrJob => "Needs the scope api, or a job token in JOB-TOKEN",
    };
    let role = match endpoint.role {
        Role::Anyone => String::new(),
        Role::Administrator => ", of an administrator".to_owned(),
        Role::Group(None) => ", of somebody who may see the group".to_owned(),
        Role::Project(None) => ", of somebody who may see the project".to_owned(),
        Role::Group(Some(level)) => format!(", of the group's {level:?} or higher").to_lowercase(),
        Role::Project(Some(level)) => {
            format!(", of the project's {level:?} or higher").to_lowercase()
        }
    };
    format!("{scope}{role}.")
}

fn captured(endpoint: &Endpoint, name: &str) -> Value {
    let is_place = name == "id" && matches!(endpoint.role, Role::Group(_) | Role::Project(_));
    let schema = match (is_place, TEXT_CAPTURES.contains(&name)) {
        (true, _) => schema(Type::IdOrText),
        (_, true) => schema(Type::Text),
        _ => schema(Type::Integer),
    };
    json!({ "name": name, "in": "path", "required": true, "schema": schema })
}

fn in_query(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name,
        "in": "query",
        "required": parameter.is_required,
        "description": parameter.about,
        "schema": schema(parameter.kind),
    })
}

fn body(parameters: &[Parameter]) -> Value {
    let schema = object(parameters);
    json!({
        "content": {
            "application/json": { "schema": schema },
            "application/x-www-form-urlencoded": { "schema": schema },
        }
    })
}

fn object(parameters: &[Parameter]) -> Value {
    let mut properties = Map::new();
    for parameter in parameters {
        let mut schema = schema(parameter.kind);
        put(&mut schema, "description", json!(parameter.about));
        properties.insert(parameter.name.to_owned(), schema);
    }
    let required: Vec<_> = parameters
        .iter()
        .filter(|parameter| parameter.is_required)
        .map(|parameter| parameter.name)
        .collect();
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        put(&mut schema, "required", json!(required));
    }
    schema
}

fn schema(kind: Type) -> Value {
    match kind {
        Type::Text | Type::Moment => json!({ "type": "string" }),
        Type::Integer => json!({ "type": "integer" }),
        Type::Count => json!({ "type": "integer", "minimum": 0 }),
        Type::Boolean => json!({ "type": "boolean" }),
        Type::TextList => json!({ "type": "array", "items": { "type": "string" } }),
        Type::OneOf(words) => json!({ "type": "string", "enum": words }),
        Type::Level => json!({ "type": "integer", "enum": [10, 20, 30, 40, 50] }),
        Type::IdOrText => json!({ "oneOf": [{ "type": "integer" }, { "type": "string" }] }),
        Type::Object(fields) => object(fields),
    }
}

fn responses(endpoint: &Endpoint) -> Value {
    let (status, shape) = endpoint.gives;
    let reference = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let content = |schema: Value| json!({ "application/json": { "schema": schema } });
    let success = match shape {
        Shape::Nothing => json!({ "description": "Done" }),
        Shape::One(name) => json!({ "description": "Done", "content": content(reference(name)) }),
        Shape::Page(name) | Shape::All(name) => {
            let array = json!({ "type": "array", "items": reference(name) });
            json!({ "description": "Done", "content": content(array) })
        }
    };
    let failed = |description: &str| json!({ "description": description, "content": content(reference("Failure")) });
    let mut responses = Map::new();
    responses.insert(status.to_string(), success);
    if endpoint.scope != Scope::Open {
        responses.insert("401".to_owned(), failed("No valid token"));
        responses.insert(
            "403".to_owned(),
            failed("Not allowed, or the scope is missing"),
        );
    }
    if endpoint.path.contains(':') {
        responses.insert("404".to_owned(), failed("Not there, or hidden"));
    }
    if !endpoint.parameters.is_empty() {
        responses.insert("400".to_owned(), failed("A field is missing or wrong"));
    }
    responses.insert(
        "default".to_owned(),
        failed("Another failure, such as 409 or 429"),
    );
    Value::Object(responses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_every_endpoint_and_every_shape_that_it_names() {
        let document = document("http://box");
        let mut operations = 0;
        for methods in document["paths"].as_object().unwrap().values() {
            operations += methods.as_object().unwrap().len();
        }
        assert_eq!(operations, table::all().count());
        let text = document.to_string();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "there is no schema {name}");
        }
        for name in schemas.keys() {
            let used = format!("#/components/schemas/{name}\"");
            assert!(text.contains(&used), "nothing uses the schema {name}");
        }
    }
}
