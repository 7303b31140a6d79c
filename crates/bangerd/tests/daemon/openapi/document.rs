//! The description of the host API in OpenAPI 3.1, made of the calls and of the types.

use serde_json::{Map, Value, json};

use super::calls::{CALLS, Call, Gives, Query, QueryType, Takes};
use super::schemas::Schemas;

const ABOUT: &str = "HTTP/1.1 over the daemon's Unix socket, which only its owner can connect to; `banger daemon socket` \
                     prints where it is. docs/api.md tells how streams, operations and upgrades work.";

/// The whole document.
pub fn document() -> Value {
    let mut schemas = Schemas::new();
    let failure = schemas.answer(super::schemas::of::<api::ErrorBody>);
    let mut paths = Map::new();
    for call in CALLS {
        let path = paths.entry(call.path).or_insert_with(|| path_item(call.path));
        path[call.method] = operation(call, &mut schemas);
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "banger",
            "summary": "Development sandboxes on microVMs.",
            "description": ABOUT,
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "http://banger", "description": "Over the Unix socket; the host's name does not matter."}],
        "paths": paths,
        "components": {"responses": {"Failure": {
            "description": "Any status of 400 or more: what failed, why, and what to do about it.",
            "content": {"application/json": {"schema": failure}},
        }}},
    });
    let schemas = schemas.take(&mut document);
    document["components"]["schemas"] = schemas.into();
    document
}

fn path_item(path: &str) -> Value {
    let names = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameters: Vec<_> = names
        .map(|name| {
            let about = match (name, path.starts_with("/v1/images")) {
                ("reference", true) => "The image's name, or its full name in a registry, percent-encoded.",
                ("reference", false) => "The VM's name, its id, or the beginning of its id that no other has.",
                ("name", _) => "The kernel's name.",
                _ => "The operation's id.",
            };
            json!({"name": name, "in": "path", "required": true, "description": about, "schema": {"type": "string"}})
        })
        .collect();
    match parameters.is_empty() {
        true => json!({}),
        false => json!({"parameters": parameters}),
    }
}

fn operation(call: &Call, schemas: &mut Schemas) -> Value {
    let mut operation = json!({
        "operationId": call.id,
        "summary": call.summary,
        "responses": responses(&call.gives, schemas),
    });
    if !call.query.is_empty() {
        let query: Vec<_> = call.query.iter().map(|query| parameter(query, schemas)).collect();
        operation["parameters"] = query.into();
    }
    if let Some(body) = body(&call.takes, schemas) {
        operation["requestBody"] = body;
    }
    operation
}

fn parameter(query: &Query, schemas: &mut Schemas) -> Value {
    let schema = match &query.schema {
        QueryType::Flag => json!({"type": "boolean", "default": false}),
        QueryType::Text => json!({"type": "string"}),
        QueryType::OneOf(words) => json!({"type": "string", "enum": words, "default": words[0]}),
        QueryType::Typed(schema) => schemas.request(*schema),
    };
    json!({
        "name": query.name, "in": "query", "required": query.required, "description": query.about, "schema": schema,
    })
}

fn body(takes: &Takes, schemas: &mut Schemas) -> Option<Value> {
    Some(match takes {
        Takes::Nothing => return None,
        Takes::Json(schema) => {
            json!({"required": true, "content": {"application/json": {"schema": schemas.request(*schema)}}})
        }
        Takes::JsonOrNothing(schema) => {
            json!({"required": false, "content": {"application/json": {"schema": schemas.request(*schema)}}})
        }
        Takes::Bytes(media) => json!({"required": true, "content": {*media: {}}}),
    })
}

fn responses(gives: &Gives, schemas: &mut Schemas) -> Value {
    let mut responses = match gives {
        Gives::Json(schema) => json!({"200": {
            "description": "Done.",
            "content": {"application/json": {"schema": schemas.answer(*schema)}},
        }}),
        Gives::Made(schema) => json!({"201": {
            "description": "It is made.",
            "content": {"application/json": {"schema": schemas.answer(*schema)}},
        }}),
        Gives::Operation => json!({
            "200": {
                "description": "With `Accept: application/x-ndjson`: the operation's events, a JSON value a line, as they happen.",
                "content": {"application/x-ndjson": {"schema": schemas.answer(super::schemas::of::<api::Event>)}},
            },
            "202": {
                "description": "The operation, which goes on by itself.",
                "content": {"application/json": {"schema": schemas.answer(super::schemas::of::<api::Operation>)}},
            },
        }),
        Gives::Lines(schema) => json!({"200": {
            "description": "A JSON value a line, as they come.",
            "content": {"application/x-ndjson": {"schema": schemas.answer(*schema)}},
        }}),
        Gives::Text => json!({"200": {"description": "Text, as it is.", "content": {"text/plain": {}}}}),
        Gives::Bytes(media) => json!({"200": {"description": "A stream.", "content": {*media: {}}}}),
        Gives::Upgrade(protocol) => json!({"101": {
            "description": format!("The request said `Connection: upgrade` and `Upgrade: {protocol}`; the connection is that from here on."),
            "headers": {"Upgrade": {"schema": {"const": protocol}}},
        }}),
        Gives::Status(status, about) => json!({status.to_string(): {"description": about}}),
    };
    responses["default"] = json!({"$ref": "#/components/responses/Failure"});
    responses
}
