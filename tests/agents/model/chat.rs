//! OpenAI's Chat Completions.

use super::{Said, Turn, plain, text};
use crate::web::Response;
use serde_json::{Value, json};

pub(super) fn turn(body: &Value) -> Turn {
    let mut turn = Turn::default();
    for message in body["messages"].as_array().into_iter().flatten() {
        if message["role"] == "tool" {
            turn.results.push(text(&message["content"]));
        } else if message["role"] == "user" {
            turn.prompt(&text(&message["content"]));
        }
    }
    turn
}

pub(super) fn answer(body: &Value) -> Response {
    let mut tools = body["tools"].as_array().into_iter().flatten();
    let (message, reason) = match turn(body).next(tools.any(|tool| tool["function"]["name"] == "bash")) {
        Said::Run { id, command } => {
            let arguments = json!({ "command": command, "description": "a scripted command" }).to_string();
            let call = json!({ "index": 0, "id": id, "type": "function", "function": { "name": "bash", "arguments": arguments } });
            (
                json!({ "role": "assistant", "content": null, "tool_calls": [call] }),
                "tool_calls",
            )
        }
        Said::Text(text) => (json!({ "role": "assistant", "content": text }), "stop"),
    };
    let usage = json!({ "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 });
    let mut whole = json!({ "id": "chatcmpl-1", "created": 0, "model": body["model"] });
    if body["stream"] != true {
        whole["object"] = "chat.completion".into();
        whole["choices"] = json!([{ "index": 0, "message": message, "finish_reason": reason }]);
        whole["usage"] = usage;
        return plain(&whole);
    }
    whole["object"] = "chat.completion.chunk".into();
    let chunk = |choices: Value, usage: &Value| {
        let mut chunk = whole.clone();
        chunk["choices"] = choices;
        chunk["usage"] = usage.clone();
        format!("data: {chunk}\n\n")
    };
    Response::Events(vec![
        chunk(
            json!([{ "index": 0, "delta": message, "finish_reason": null }]),
            &Value::Null,
        ),
        chunk(
            json!([{ "index": 0, "delta": {}, "finish_reason": reason }]),
            &Value::Null,
        ),
        chunk(json!([]), &usage),
        "data: [DONE]\n\n".into(),
    ])
}
