//! Schemas of types, made of the types, as `components` of the document.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

/// Gives the schema of a type.
pub type Schema = fn(&mut SchemaGenerator) -> Value;

/// That of `T`.
pub fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// Where the document keeps them.
const PLACE: &str = "#/components/schemas/";

/// Schemas of what is sent and of what is received: a field with a default may be missing from the one, and is always
/// in the other.
pub struct Schemas {
    requests: SchemaGenerator,
    answers: SchemaGenerator,
}

impl Schemas {
    pub fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            requests: settings().for_deserialize().into_generator(),
            answers: settings().for_serialize().into_generator(),
        }
    }

    pub fn request(&mut self, schema: Schema) -> Value {
        schema(&mut self.requests)
    }

    pub fn answer(&mut self, schema: Schema) -> Value {
        schema(&mut self.answers)
    }

    /// All that were asked for and what they refer to. What differs between the two directions gets a name of its own
    /// in `document`, which holds all that refers to it.
    pub fn take(mut self, document: &mut Value) -> Map<String, Value> {
        let mut all = self.answers.take_definitions(true);
        let requests = self.requests.take_definitions(true);
        let differ: Vec<String> = requests
            .iter()
            .filter(|(name, schema)| all.get(*name).is_some_and(|other| other != *schema))
            .map(|(name, _)| name.clone())
            .collect();
        for (name, mut schema) in requests {
            rename(&mut schema, &differ);
            let name = if differ.contains(&name) {
                renamed(&name)
            } else {
                name
            };
            all.insert(name, schema);
        }
        for body in bodies(document) {
            rename(body, &differ);
        }
        for schema in all.values_mut() {
            tidy(schema);
        }
        all
    }
}

fn renamed(name: &str) -> String {
    format!("{name}Request")
}

fn bodies(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    let paths = document["paths"]
        .as_object_mut()
        .into_iter()
        .flat_map(Map::values_mut);
    let calls = paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut);
    calls.filter_map(|call| call.get_mut("requestBody"))
}

fn rename(schema: &mut Value, names: &[String]) {
    each_object(schema, &mut |object| {
        if let Some(Value::String(reference)) = object.get_mut("$ref")
            && let Some(name) = reference.strip_prefix(PLACE)
            && names.iter().any(|one| one == name)
        {
            *reference = format!("{PLACE}{}", renamed(name));
        }
    });
}

/// Rust's links are no links in JSON, and its lines no lines.
fn tidy(schema: &mut Value) {
    each_object(schema, &mut |object| {
        if let Some(Value::String(text)) = object.get_mut("description") {
            *text = text
                .replace("[`", "`")
                .replace("`]", "`")
                .replace('\n', " ")
                .replace("  ", "\n\n");
        }
    });
}

fn each_object(value: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            change(object);
            object.values_mut().for_each(|value| each_object(value, change));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| each_object(value, change)),
        _ => {}
    }
}
