//! OpenAI's Responses, as a stream.

use super::{Said, Turn, named_events, text};
use crate::web::Response;
use serde_json::{Value, json};

pub(super) fn turn(body: &Value) -> Turn {
    let mut turn = Turn::default();
    for item in body["input"].as_array().into_iter().flatten() {
        if item["type"] == "function_call_output" {
            turn.results.push(text(&item["output"]));
        } else if item["role"] == "user" {
            turn.prompt(&text(&item["content"]));
        }
    }
    turn
}

pub(super) fn answer(body: &Value) -> Response {
    let mut tools = body["tools"].as_array().into_iter().flatten();
    let item = match turn(body).next(tools.any(|tool| tool["name"] == "exec_command")) {
        Said::Run { id, command } => {
            let arguments = json!({ "cmd": command, "yield_time_ms": 30_000 }).to_string();
            json!({
                "type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": "exec_command", "arguments": arguments,
                "status": "completed",
            })
        }
        Said::Text(text) => json!({
            "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
            "content": [{ "type": "output_text", "text": text, "annotations": [] }],
        }),
    };
    let begun = json!({
        "id": "resp_1", "object": "response", "created_at": 0, "model": body["model"], "status": "in_progress", "output": [],
    });
    let mut done = begun.clone();
    done["status"] = "completed".into();
    done["output"] = json!([item]);
    done["usage"] = json!({
        "input_tokens": 1, "input_tokens_details": { "cached_tokens": 0 }, "output_tokens": 1,
        "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 2,
    });
    named_events(&[
        json!({ "type": "response.created", "sequence_number": 0, "response": begun }),
        json!({ "type": "response.output_item.done", "sequence_number": 1, "output_index": 0, "item": item }),
        json!({ "type": "response.completed", "sequence_number": 2, "response": done }),
    ])
}
