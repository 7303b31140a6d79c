//! Holds a value against a schema. Knows the words that the document uses, and takes any other for a mistake.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value};

/// Every way in which `value` is not what `schema` says; `at` is where it stands.
pub fn faults(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut all = unknown_properties(document, schema, value, at);
    all.extend(misfits(document, schema, value, at));
    all
}

/// The same, of a part that a schema is put together of: other parts may know other properties.
fn misfits(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let schema = match schema {
        Value::Bool(true) => return Vec::new(),
        Value::Object(schema) => schema,
        other => panic!("{other} is no schema"),
    };
    let mut all = Vec::new();
    for (word, said) in schema {
        all.extend(match word.as_str() {
            "title" | "description" | "default" => Vec::new(),
            "additionalProperties" => rest(document, schema, said, value, at),
            "$ref" => misfits(document, target(document, said), value, at),
            "type" => fault(is_of_type(said, value), at, value, said),
            "format" => fault(has_format(said, value), at, value, said),
            "const" => fault(said == value, at, value, said),
            "enum" => fault(said.as_array().unwrap().contains(value), at, value, said),
            "minimum" => fault(
                !value.is_number() || value.as_f64() >= said.as_f64(),
                at,
                value,
                said,
            ),
            "maximum" => fault(
                !value.is_number() || value.as_f64() <= said.as_f64(),
                at,
                value,
                said,
            ),
            "allOf" => each(document, said, value, at).into_iter().flatten().collect(),
            "anyOf" => {
                let tried = each(document, said, value, at);
                let fits = tried.iter().any(Vec::is_empty);
                if fits { Vec::new() } else { tried.concat() }
            }
            "oneOf" => {
                let tried = each(document, said, value, at);
                match tried.iter().filter(|faults| faults.is_empty()).count() {
                    0 => tried.concat(),
                    1 => Vec::new(),
                    many => vec![format!(
                        "{at}: {value} fits {many} of several that exclude each other"
                    )],
                }
            }
            "items" => items(document, said, value, at),
            "properties" => properties(document, said, value, at),
            "required" => required(said, value, at),
            other => panic!("{at}: the schema says `{other}`, which this check does not know"),
        });
    }
    all
}

fn fault(holds: bool, at: &str, value: &Value, said: &Value) -> Vec<String> {
    if holds {
        Vec::new()
    } else {
        vec![format!("{at}: {value} is not {said}")]
    }
}

fn target<'a>(document: &'a Value, reference: &Value) -> &'a Value {
    let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
    document
        .pointer(pointer)
        .unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

fn each(document: &Value, schemas: &Value, value: &Value, at: &str) -> Vec<Vec<String>> {
    let schemas = schemas.as_array().unwrap().iter();
    schemas
        .map(|schema| misfits(document, schema, value, at))
        .collect()
}

fn is_of_type(said: &Value, value: &Value) -> bool {
    if let Value::Array(several) = said {
        return several.iter().any(|one| is_of_type(one, value));
    }
    match said.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("there is no type `{other}`"),
    }
}

fn has_format(said: &Value, value: &Value) -> bool {
    match (said.as_str().unwrap(), value) {
        ("date-time", Value::String(text)) => text.parse::<Timestamp>().is_ok(),
        ("ip", Value::String(text)) => text.parse::<std::net::IpAddr>().is_ok(),
        ("uint16", Value::Number(number)) => number.as_u64().is_some_and(|number| number < 1 << 16),
        ("uint32", Value::Number(number)) => number.as_u64().is_some_and(|number| number < 1 << 32),
        ("uint64", Value::Number(number)) => number.is_u64(),
        ("date-time" | "ip" | "uint16" | "uint32" | "uint64", _) => true,
        (other, _) => panic!("there is no format `{other}`"),
    }
}

fn items(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let values = value.as_array().into_iter().flatten().enumerate();
    values
        .flat_map(|(index, value)| faults(document, schema, value, &format!("{at}[{index}]")))
        .collect()
}

fn properties(document: &Value, schemas: &Value, value: &Value, at: &str) -> Vec<String> {
    let Value::Object(object) = value else {
        return Vec::new();
    };
    let schemas = schemas.as_object().unwrap().iter();
    schemas
        .filter_map(|(name, schema)| Some((name, schema, object.get(name)?)))
        .flat_map(|(name, schema, value)| faults(document, schema, value, &format!("{at}.{name}")))
        .collect()
}

/// Properties that no name is told of.
fn rest(document: &Value, schema: &Map<String, Value>, said: &Value, value: &Value, at: &str) -> Vec<String> {
    let (Value::Object(object), Value::Object(_)) = (value, said) else {
        return Vec::new();
    };
    let named = |name: &String| {
        schema
            .get("properties")
            .is_some_and(|known| known.get(name).is_some())
    };
    let others = object.iter().filter(|(name, _)| !named(name));
    others
        .flat_map(|(name, value)| faults(document, said, value, &format!("{at}.{name}")))
        .collect()
}

fn required(names: &Value, value: &Value, at: &str) -> Vec<String> {
    let Value::Object(object) = value else {
        return Vec::new();
    };
    let names = names.as_array().unwrap().iter().filter_map(Value::as_str);
    names
        .filter(|name| !object.contains_key(*name))
        .map(|name| format!("{at} has no `{name}`"))
        .collect()
}

/// Every property that a schema, or a part that it is put together of, names; `None` where it takes any.
fn known<'a>(document: &'a Value, schema: &'a Value) -> Option<BTreeSet<&'a str>> {
    let schema = schema.as_object()?;
    if schema
        .get("additionalProperties")
        .is_some_and(|rest| *rest != Value::Bool(false))
    {
        return None;
    }
    let mut names = BTreeSet::new();
    for (word, said) in schema {
        match word.as_str() {
            "properties" => names.extend(said.as_object().unwrap().keys().map(String::as_str)),
            "$ref" => names.extend(known(document, target(document, said))?),
            "allOf" | "anyOf" | "oneOf" => {
                for part in said.as_array().unwrap() {
                    names.extend(known(document, part)?);
                }
            }
            _ => {}
        }
    }
    Some(names)
}

/// An answer says no more than its description.
fn unknown_properties(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let (Value::Object(object), Some(known)) = (value, known(document, schema)) else {
        return Vec::new();
    };
    object
        .keys()
        .filter(|name| !known.contains(name.as_str()))
        .map(|name| format!("{at} has `{name}`, which is not described"))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_does_not_fit_is_found() {
        let document = json!({"components": {"schemas": {"Name": {"type": "string"}}}});
        let schema = json!({
            "type": "object",
            "properties": {
                "name": {"$ref": "#/components/schemas/Name"},
                "at": {"type": ["string", "null"], "format": "date-time"},
                "ports": {"type": "array", "items": {"type": "integer", "format": "uint16", "minimum": 0}},
                "kind": {"oneOf": [{"const": "a"}, {"enum": ["b", "c"]}]},
            },
            "required": ["name"],
        });
        let found = |value: Value| faults(&document, &schema, &value, "x").len();
        assert_eq!(
            found(json!({"name": "a", "at": null, "ports": [1, 2], "kind": "c"})),
            0
        );
        assert_eq!(found(json!({"name": "a", "at": "2026-01-02T03:04:05Z"})), 0);
        for wrong in [
            json!({}),
            json!([]),
            json!({"name": 1}),
            json!({"name": "a", "at": "yesterday"}),
            json!({"name": "a", "ports": [65536]}),
            json!({"name": "a", "ports": [-1]}),
            json!({"name": "a", "kind": "d"}),
            json!({"name": "a", "other": 1}),
        ] {
            assert_ne!(found(wrong.clone()), 0, "{wrong}");
        }
    }
}
