//! Google's `generateContent` and `streamGenerateContent`.

use super::{Said, Turn, plain};
use crate::web::Response;
use serde_json::{Map, Value, json};

pub(super) fn turn(body: &Value) -> Turn {
    let mut turn = Turn::default();
    for content in body["contents"].as_array().into_iter().flatten() {
        for part in content["parts"].as_array().into_iter().flatten() {
            if let Some(response) = part.get("functionResponse") {
                let output = response["response"]["output"].as_str();
                turn.results.push(output.unwrap_or_default().to_owned());
            } else if content["role"] == "user" {
                turn.prompt(part["text"].as_str().unwrap_or_default());
            }
        }
    }
    turn
}

pub(super) fn answer(body: &Value, stream: bool) -> Response {
    let mut tools = body["tools"].as_array().into_iter().flatten();
    let declares = |tool: &Value| {
        let mut functions = tool["functionDeclarations"].as_array().into_iter().flatten();
        functions.any(|function| function["name"] == "run_shell_command")
    };
    let part = match turn(body).next(tools.any(declares)) {
        Said::Run { id, command } => {
            let input = json!({ "command": command, "description": "a scripted command" });
            json!({ "functionCall": { "id": id, "name": "run_shell_command", "args": input } })
        }
        Said::Text(text) => json!({ "text": in_schema(body).unwrap_or(text) }),
    };
    let whole = json!({
        "candidates": [{ "index": 0, "content": { "role": "model", "parts": [part] }, "finishReason": "STOP" }],
        "usageMetadata": { "promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2 },
        "modelVersion": "model", "responseId": "response_1",
    });
    if stream {
        Response::Events(vec![format!("data: {whole}\n\n")])
    } else {
        plain(&whole)
    }
}

/// An object of the form that is asked for: the client lets a small model choose the one for the task.
fn in_schema(body: &Value) -> Option<String> {
    let settings = &body["generationConfig"];
    let schema = [&settings["responseJsonSchema"], &settings["responseSchema"]];
    let properties = schema
        .into_iter()
        .find_map(|schema| schema["properties"].as_object())?;
    let value = |property: &Value| match property["type"]
        .as_str()
        .unwrap_or_default()
        .to_lowercase()
        .as_str()
    {
        "number" | "integer" => json!(1),
        "boolean" => json!(false),
        _ => property["enum"].get(0).cloned().unwrap_or_else(|| json!("flash")),
    };
    let filled: Map<String, Value> = properties
        .iter()
        .map(|(name, property)| (name.clone(), value(property)))
        .collect();
    Some(Value::Object(filled).to_string())
}
