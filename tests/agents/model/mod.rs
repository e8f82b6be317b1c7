//! A model that does as the prompt says: a local server that speaks the protocols of the clients. Each line
//! `RUN: command` of the last prompt becomes one call of the client's shell tool; then the model answers with all results.

mod chat;
mod gemini;
mod messages;
mod responses;

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
        for (protocol, conversation) in self.asked() {
            for result in protocol.turn(&conversation).results {
                if !results.contains(&result) {
                    results.push(result);
                }
            }
        }
        results
    }

    /// The bodies of all requests for an answer.
    pub(crate) fn conversations(&self) -> Vec<Value> {
        self.asked().into_iter().map(|(_, body)| body).collect()
    }

    fn asked(&self) -> Vec<(Protocol, Value)> {
        self.server
            .requests()
            .iter()
            .filter_map(|request| Some((Protocol::of(request)?, body(request))))
            .collect()
    }

    /// Where connections were to be made something else.
    pub(crate) fn upgrades(&self) -> usize {
        let requests = self.server.requests();
        requests
            .iter()
            .filter(|request| !request.upgrade.is_empty())
            .count()
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

/// A protocol of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// Anthropic's Messages.
    Messages,
    /// OpenAI's Responses.
    Responses,
    /// OpenAI's Chat Completions.
    Chat,
    /// Google's `generateContent`.
    Gemini,
}

impl Protocol {
    /// What a request for an answer speaks.
    fn of(request: &Request) -> Option<Self> {
        if request.method != "POST" {
            return None;
        }
        let path = request.path.split('?').next()?;
        if path.ends_with("/messages") {
            Some(Self::Messages)
        } else if path.ends_with("/responses") {
            Some(Self::Responses)
        } else if path.ends_with("/chat/completions") {
            Some(Self::Chat)
        } else if path.ends_with("enerateContent") || path.ends_with(":streamGenerateContent") {
            Some(Self::Gemini)
        } else {
            None
        }
    }

    fn turn(self, body: &Value) -> Turn {
        match self {
            Self::Messages => messages::turn(body),
            Self::Responses => responses::turn(body),
            Self::Chat => chat::turn(body),
            Self::Gemini => gemini::turn(body),
        }
    }
}

fn body(request: &Request) -> Value {
    assert_eq!(request.encoding, "", "the model reads plain bodies only");
    serde_json::from_slice(&request.body).unwrap()
}

fn answer(request: &Request) -> Response {
    if request.upgrade == "websocket" {
        // The client goes on without.
        return Response::Status("426 Upgrade Required");
    }
    if request.path.contains("count_tokens") || request.path.contains(":countTokens") {
        return plain(&json!({ "input_tokens": 1, "totalTokens": 1 }));
    }
    let Some(protocol) = Protocol::of(request) else {
        return plain(&json!({}));
    };
    let body = body(request);
    match protocol {
        Protocol::Messages => messages::answer(&body),
        Protocol::Responses => responses::answer(&body),
        Protocol::Chat => chat::answer(&body),
        Protocol::Gemini => gemini::answer(&body, request.path.contains(":stream")),
    }
}

fn plain(value: &Value) -> Response {
    Response::Body("application/json", value.to_string().into_bytes())
}

/// What the model says next.
enum Said {
    /// A command for the tool.
    Run {
        /// Unique in the conversation.
        id: String,
        /// The command.
        command: String,
    },
    /// The end of the turn.
    Text(String),
}

/// The last prompt and what came after it.
#[derive(Default)]
struct Turn {
    number: usize,
    commands: Vec<String>,
    results: Vec<String>,
}

impl Turn {
    /// Takes what the user wrote; it begins a turn when it holds commands.
    fn prompt(&mut self, text: &str) {
        // One client puts a message of several words in quotes.
        let unquoted = text
            .trim()
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'));
        let text = unquoted.map_or_else(|| text.to_owned(), |text| text.replace("\\\"", "\""));
        let commands: Vec<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("RUN: ").map(String::from))
            .collect();
        if !commands.is_empty() {
            *self = Self {
                number: self.number + 1,
                commands,
                results: Vec::new(),
            };
        }
    }

    /// The next command, if the tool is offered and one is left.
    fn next(&self, offered: bool) -> Said {
        match self.commands.get(self.results.len()) {
            Some(command) if offered => Said::Run {
                id: format!("call_{}_{}", self.number, self.results.len()),
                command: command.clone(),
            },
            _ => Said::Text(format!("ANSWER\n{}", self.results.join("\n"))),
        }
    }
}

/// The text of a message's content: a string, an object with a text, or a list of those.
fn text(content: &Value) -> String {
    if let Some(parts) = content.as_array() {
        return parts.iter().map(text).collect::<Vec<_>>().join("\n");
    }
    let own = content.as_str().or_else(|| content["text"].as_str());
    own.unwrap_or_default().to_owned()
}

/// Events that name their type, as two of the protocols have them.
fn named_events(events: &[Value]) -> Response {
    let line = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
    Response::Events(events.iter().map(line).collect())
}
