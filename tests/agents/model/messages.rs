//! Anthropic's Messages.

use super::{Said, Turn, named_events, plain, text};
use crate::web::Response;
use serde_json::{Value, json};

pub(super) fn turn(body: &Value) -> Turn {
    let mut turn = Turn::default();
    for message in body["messages"].as_array().into_iter().flatten() {
        if message["role"] != "user" {
            continue;
        }
        let content = &message["content"];
        let blocks = content
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![json!({ "type": "text", "text": content })]);
        for block in blocks {
            if block["type"] == "tool_result" {
                turn.results.push(text(&block["content"]));
            } else {
                turn.prompt(&text(&block));
            }
        }
    }
    turn
}

pub(super) fn answer(body: &Value) -> Response {
    let (block, reason) = next(body);
    let mut message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": [], "stop_reason": null,
        "stop_sequence": null, "usage": { "input_tokens": 1, "output_tokens": 1 },
    });
    if body["stream"] != true {
        message["content"] = json!([block]);
        message["stop_reason"] = reason.into();
        return plain(&message);
    }
    let (empty, delta) = if block["type"] == "tool_use" {
        let mut empty = block.clone();
        empty["input"] = json!({});
        let input = block["input"].to_string();
        (
            empty,
            json!({ "type": "input_json_delta", "partial_json": input }),
        )
    } else {
        (
            json!({ "type": "text", "text": "" }),
            json!({ "type": "text_delta", "text": block["text"] }),
        )
    };
    named_events(&[
        json!({ "type": "message_start", "message": message }),
        json!({ "type": "content_block_start", "index": 0, "content_block": empty }),
        json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": reason, "stop_sequence": null }, "usage": { "output_tokens": 1 } }),
        json!({ "type": "message_stop" }),
    ])
}

/// The next block of the answer and why it ends there.
fn next(body: &Value) -> (Value, &'static str) {
    let mut tools = body["tools"].as_array().into_iter().flatten();
    match turn(body).next(tools.any(|tool| tool["name"] == "Bash")) {
        Said::Run { id, command } => {
            let input = json!({ "command": command, "description": "a scripted command" });
            (
                json!({ "type": "tool_use", "id": id, "name": "Bash", "input": input }),
                "tool_use",
            )
        }
        Said::Text(text) => (json!({ "type": "text", "text": text }), "end_turn"),
    }
}
