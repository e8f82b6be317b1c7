//! The form of a configuration file for editors and other programs (JSON Schema, draft 2020-12), made of the tables that
//! the reader goes by.

use super::tables::{Form, Key, TOP, Who};
use crate::agents;
use serde_json::{Map, Value, json};

/// The schema. The patterns of texts are near to what the reader takes, and never stricter.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = table(
        TOP,
        "Configuration of aca: `/etc/aca/config.toml`, `~/.config/aca/config.toml`, `.aca.toml`",
    );
    if let Value::Object(schema) = &mut schema {
        schema.insert(
            "$schema".into(),
            json!("https://json-schema.org/draft/2020-12/schema"),
        );
        schema.insert("title".into(), json!("aca"));
    }
    schema
}

fn table(keys: &[Key], about: &str) -> Value {
    let properties: Map<String, Value> = keys
        .iter()
        .map(|key| {
            let mut schema = form(key.form);
            if let Value::Object(schema) = &mut schema {
                let about = match key.who {
                    Who::Anyone | Who::Owner => key.about.to_owned(),
                    Who::Administrator => format!("{} (administrator)", key.about),
                };
                schema.insert("description".into(), json!(about));
            }
            (key.name.to_owned(), schema)
        })
        .collect();
    json!({
        "type": "object",
        "description": about,
        "properties": properties,
        "additionalProperties": false,
    })
}

fn form(form: Form) -> Value {
    match form {
        Form::Table(keys) => table(keys, ""),
        Form::Agents(keys) => {
            let section = table(keys, "What holds for runs of this agent");
            let agents: Map<String, Value> = agents::names()
                .map(|name| (name.to_owned(), section.clone()))
                .collect();
            json!({ "type": "object", "properties": agents, "additionalProperties": false })
        }
        Form::Word(words) => json!({ "enum": words }),
        Form::Words(words) => list(json!({ "enum": words })),
        Form::Hosts => list(json!({ "type": "string", "pattern": hosts() })),
        Form::Host => json!({ "type": "string", "pattern": hosts() }),
        Form::Allowed(keys) => {
            let mut with_options = table(keys, "");
            if let Value::Object(schema) = &mut with_options {
                schema.insert("required".into(), json!(["host"]));
            }
            list(json!({ "anyOf": [{ "type": "string", "pattern": hosts() }, with_options] }))
        }
        Form::Addresses => json!({
            "type": "object",
            "propertyNames": { "pattern": NAME },
            "additionalProperties": { "type": "string", "pattern": ADDRESS },
        }),
        Form::HostPorts => list(port(HOST_PORT)),
        Form::Publish => list(port(PUBLISHED)),
        Form::Paths => list(json!({ "type": "string", "pattern": PATH })),
        Form::Commands => list(json!({ "type": "string", "pattern": "^\\s*[^\\s].*$" })),
        Form::Variables => list(json!({ "type": "string", "pattern": VARIABLES })),
        Form::Values => json!({
            "type": "object",
            "propertyNames": { "pattern": VARIABLE },
            "additionalProperties": { "type": "string", "pattern": "^[^\\u0000]*$" },
        }),
        Form::Size => number(SIZE),
        Form::Count => number("^0*[1-9][0-9]*$"),
        Form::Percent => json!({ "anyOf": [
            { "type": "integer", "minimum": 1, "maximum": 100_000 },
            { "type": "string", "pattern": "^0*[1-9][0-9]{0,5}%?$" },
        ] }),
        Form::Switch => json!({ "type": "boolean" }),
        Form::Proxy => json!({ "type": "string", "pattern": PROXY }),
        Form::Tables(keys) => {
            let mut one = table(keys, "");
            if let Value::Object(schema) = &mut one {
                schema.insert("required".into(), json!(["url"]));
            }
            list(one)
        }
        Form::SwitchOr(keys) => json!({ "anyOf": [{ "type": "boolean" }, table(keys, "")] }),
        Form::Refs => refs(),
        Form::WordOrRefs(words) => json!({ "anyOf": [{ "enum": words }, refs()] }),
        Form::NoOrRefs => json!({ "anyOf": [{ "const": false }, refs()] }),
        Form::Globs => list(json!({ "type": "string", "pattern": PATH })),
        Form::Credentials(keys) => {
            let mut one = table(keys, "");
            if let Value::Object(schema) = &mut one {
                schema.insert("required".into(), json!(["host", "from"]));
                if let Some(Value::Object(properties)) = schema.get_mut("properties") {
                    for (name, pattern) in [
                        ("host", CREDENTIAL_HOST),
                        ("from", CREDENTIAL),
                        ("user", "^[^:\\u0000-\\u001f]+$"),
                    ] {
                        if let Some(Value::Object(property)) = properties.get_mut(name) {
                            property.insert("pattern".into(), json!(pattern));
                        }
                    }
                }
            }
            list(one)
        }
        Form::Repositories => list(json!({ "type": "string", "pattern": REPOSITORY })),
        Form::Text => json!({ "type": "string" }),
    }
}

/// A name, one with `*.` or `**.` before it, any, or an address, and perhaps a port.
/// A host, and its port.
const PLACE: &str = "(\\*|(\\*\\*?\\.)?[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*\\.?|\\[[0-9A-Fa-f:.]+\\]|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)(:(\\*|0*[1-9][0-9]{0,4}))?";
const METHOD: &str = "[A-Z0-9!#$%&'+.^_`|~-]{1,32}";
/// What follows the first slash of a URL: no segment is empty or dots alone, and `**` stands alone.
const SEGMENTS: &str = "(?!/|.*//)(?!(.*/)?\\.+(/|$))(?!.*([^/]\\*\\*|\\*\\*[^/]))[^?#; \\\\]*";
const NAME: &str = "^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*\\.?$";
const ADDRESS: &str = "^([0-9]{1,3}(\\.[0-9]{1,3}){3}|\\[[0-9A-Fa-f:.]+\\]|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)(:0*[1-9][0-9]{0,4})?$";
/// Not empty, and no `..` after a name.
const PATH: &str = "^(?!.*[^./][^/]*/\\.\\.(/|$))(?!/(.*/)?\\.\\.(/|$))(?!~[^/])[^\\u0000]+$";
/// A place, a colon and a path; or a URL.
const REPOSITORY: &str = "^((https|(git\\+)?ssh(\\+git)?)://[^/ ]+/|(?![A-Za-z+]+://)[^/: ]+:|([^/: ]+@)?\\[[0-9A-Fa-f:.]+\\]:)[^\\u0000-\\u001f]+$";
/// Parts with slashes between.
const REFS: &str = "^[^/\\u0000-\\u001f]+(/[^/\\u0000-\\u001f]+)*$";
/// A host and perhaps a port.
const CREDENTIAL_HOST: &str = "^[^/@ ]+$";
const CREDENTIAL: &str = "^(helper|env:[A-Za-z0-9_]+|file:/.*|command: */.*)$";
const PROXY: &str = "^(none|environment|env:[A-Za-z0-9_]+|file:(/|~/).*|[Hh][Tt][Tt][Pp][Ss]?://[^/?#]+/?)$";
const VARIABLE: &str = "^(?!LD_|DYLD_)[A-Za-z_][A-Za-z0-9_]*$";
const VARIABLES: &str = "^(?!LD_|DYLD_)[A-Za-z_][A-Za-z0-9_]*\\*?$";
const SIZE: &str = "^0*[1-9][0-9]*([KkMmGgTt]([Ii]?[Bb])?|[Bb])?$";

/// Hosts, or requests: a URL with a path, or with a method before it.
fn hosts() -> String {
    let methods = format!("{METHOD}(,{METHOD})* ");
    format!("^({PLACE}|({methods}https?://{PLACE}/|https?://{PLACE}/(?!$)){SEGMENTS})$")
}

/// `PORT`, or `INSIDE:HOST`.
const HOST_PORT: &str = "^0*[1-9][0-9]{0,4}(:0*[1-9][0-9]{0,4})?$";
/// `PORT`, or `HOST:INSIDE` with an address before it.
const PUBLISHED: &str =
    "^((([0-9]{1,3}(\\.[0-9]{1,3}){3}|\\[[0-9A-Fa-f:.]+\\]):)?(0*[0-9]{1,5})?:)?0*[1-9][0-9]{0,4}$";

fn refs() -> Value {
    list(json!({ "type": "string", "pattern": REFS }))
}

fn port(pattern: &str) -> Value {
    json!({ "anyOf": [
        { "type": "integer", "minimum": 1, "maximum": 65_535 },
        { "type": "string", "pattern": pattern },
    ] })
}

fn list(item: Value) -> Value {
    json!({ "type": "array", "items": item })
}

/// A number as it is, or as a text with its unit.
fn number(pattern: &str) -> Value {
    json!({ "anyOf": [{ "type": "integer", "minimum": 1 }, { "type": "string", "pattern": pattern }] })
}
