//! A model that does as the prompt says: a local server that speaks the Messages API. Each line `RUN: command` of the
//! last prompt becomes one call of the Bash tool; then the model answers with all results.

use crate::web::{Request, Response, Server};
use serde_json::{Value, json};

/// The scripted model.
pub(crate) struct Model {
    server: Server,
}

impl Model {
    /// Starts it.
    pub(crate) fn start() -> Self {
        Self {
            server: Server::start(answer),
        }
    }

    /// Where it listens on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.server.port
    }

    /// What came back from the tools, in all requests.
    pub(crate) fn tool_results(&self) -> Vec<String> {
        let mut results: Vec<String> = Vec::new();
        for conversation in self.conversations() {
            for result in Turn::last(&conversation).results {
                if !results.contains(&result) {
                    results.push(result);
                }
            }
        }
        results
    }

    /// The bodies of all requests for an answer.
    pub(crate) fn conversations(&self) -> Vec<Value> {
        self.server
            .requests()
            .iter()
            .filter(|request| is_for_messages(request))
            .map(|request| serde_json::from_slice(&request.body).unwrap())
            .collect()
    }

    /// The `Host` of everything that was asked.
    pub(crate) fn hosts(&self) -> Vec<String> {
        self.server
            .requests()
            .into_iter()
            .map(|request| request.host)
            .collect()
    }
}

fn is_for_messages(request: &Request) -> bool {
    request.method == "POST" && request.path.split('?').next() == Some("/v1/messages")
}

fn answer(request: &Request) -> Response {
    let json = |value: Value| Response::Body("application/json", value.to_string().into_bytes());
    if request.path.contains("/count_tokens") {
        return json(json!({ "input_tokens": 1 }));
    }
    if !is_for_messages(request) {
        return json(json!({}));
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let (block, reason) = next(&body);
    let mut message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": [], "stop_reason": null,
        "stop_sequence": null, "usage": { "input_tokens": 1, "output_tokens": 1 },
    });
    if body["stream"] != true {
        message["content"] = json!([block]);
        message["stop_reason"] = reason.into();
        return json(message);
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
    Response::Events(
        [
            json!({ "type": "message_start", "message": message }),
            json!({ "type": "content_block_start", "index": 0, "content_block": empty }),
            json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
            json!({ "type": "content_block_stop", "index": 0 }),
            json!({ "type": "message_delta", "delta": { "stop_reason": reason, "stop_sequence": null }, "usage": { "output_tokens": 1 } }),
            json!({ "type": "message_stop" }),
        ]
        .iter()
        .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()))
        .collect(),
    )
}

/// The next block of the answer and why it ends there.
fn next(body: &Value) -> (Value, &'static str) {
    let offered = body["tools"]
        .as_array()
        .is_some_and(|tools| tools.iter().any(|tool| tool["name"] == "Bash"));
    let turn = Turn::last(body);
    match turn.commands.get(turn.results.len()) {
        Some(command) if offered => {
            let id = format!("toolu_{}_{}", turn.number, turn.results.len());
            let input = json!({ "command": command, "description": "a scripted command" });
            (
                json!({ "type": "tool_use", "id": id, "name": "Bash", "input": input }),
                "tool_use",
            )
        }
        _ => (
            json!({ "type": "text", "text": format!("ANSWER\n{}", turn.results.join("\n")) }),
            "end_turn",
        ),
    }
}

/// The last prompt and what came after it.
#[derive(Default)]
struct Turn {
    number: usize,
    commands: Vec<String>,
    results: Vec<String>,
}

impl Turn {
    fn last(body: &Value) -> Self {
        let mut turn = Self::default();
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
                    continue;
                }
                let commands: Vec<String> = text(&block)
                    .lines()
                    .filter_map(|line| line.strip_prefix("RUN: ").map(String::from))
                    .collect();
                if !commands.is_empty() {
                    turn = Self {
                        number: turn.number + 1,
                        commands,
                        results: Vec::new(),
                    };
                }
            }
        }
        turn
    }
}

fn text(content: &Value) -> String {
    if let Some(parts) = content.as_array() {
        return parts.iter().map(text).collect::<Vec<_>>().join("\n");
    }
    let own = content.as_str().or_else(|| content["text"].as_str());
    own.unwrap_or_default().to_owned()
}
