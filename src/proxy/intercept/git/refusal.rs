//! Refusals that git shows as they are: a body of plain text is printed as `remote: …` (`show_http_message` in git's
//! remote-curl.c), and an advertisement may say why there is nothing more (gitprotocol-pack(5), `ERR`).

use super::super::exchange::{Answer, text};
use super::Failed;
use super::filtered::Carried;
use super::route::{Asked, Step};
use crate::git::report::error_packet;
use crate::policy::{Deny, GitOperation};
use crate::proxy::judge::Judge;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};

/// Repositories that a refusal names.
const NAMED_MAX: usize = 8;

/// It may not be fetched.
pub(super) fn fetch(judge: &Judge, asked: &Asked, deny: Deny, carried: &mut Carried) -> Answer {
    let what = format!("git {} of {}", GitOperation::Fetch.word(), asked.repository);
    let words = words(judge, &what, &deny);
    carried.denied = Some(deny);
    text(StatusCode::FORBIDDEN, "denied", words)
}

/// It may not be pushed to; what can be fetched says so as a server would.
pub(super) fn push(judge: &Judge, asked: &Asked, fetched: bool, deny: Deny, carried: &mut Carried) -> Answer {
    let what = format!("git {} of {}", GitOperation::Push.word(), asked.repository);
    let mut said = format!("aca: {what} is not allowed: {}", deny.reason);
    // A server's error is one line.
    if let Some(flag) = &deny.allow_with {
        said.push_str(&format!("; to allow it, outside: `aca run {flag} …`"));
    }
    let words = words(judge, &what, &deny);
    carried.denied = Some(deny);
    let service = asked.service.word();
    let advertisement = error_packet(&said)
        .ok()
        .filter(|_| asked.step == Step::Refs && fetched);
    match advertisement {
        Some(error) => {
            let line = format!("# service={service}\n");
            let mut body = format!("{:04x}{line}0000", line.len() + 4).into_bytes();
            body.extend(error);
            let mut answer = text(StatusCode::OK, "denied", String::new());
            *answer.body_mut() = super::Given::Own(super::Own::whole(body));
            if let Ok(kind) = HeaderValue::from_str(&format!("application/x-{service}-advertisement")) {
                answer.headers_mut().insert(CONTENT_TYPE, kind);
            }
            answer
        }
        None => text(StatusCode::FORBIDDEN, "denied", words),
    }
}

/// A push whose client asked for no report.
pub(super) fn said(lines: String) -> Answer {
    text(StatusCode::FORBIDDEN, "denied", lines)
}

/// It was allowed, and can't be done.
pub(super) fn failed(failed: Failed, carried: &mut Carried) -> Answer {
    let Failed { status, why, outside } = failed;
    // Some of them have words of the server's.
    let why = carried.hide(&why);
    let said = format!("aca: {}: {why}\n", carried.what());
    carried.failed = Some(match outside {
        Some(outside) => format!("{why}: {outside}"),
        None => why,
    });
    text(status, "failed", said)
}

fn words(judge: &Judge, what: &str, deny: &Deny) -> String {
    let mut words = format!("aca: {what} is not allowed: {}\n", deny.reason);
    if let Some(rule) = &deny.rule {
        words.push_str(&format!("aca: the rule is `{rule}` ({})\n", deny.origin));
    }
    let allowed: Vec<String> = judge.allowed(NAMED_MAX);
    if !allowed.is_empty() {
        words.push_str(&format!("aca: may be fetched: {}\n", allowed.join(", ")));
    }
    if let Some(flag) = &deny.allow_with {
        words.push_str(&format!("aca: to allow it, outside: `aca run {flag} …`"));
        if let Some(line) = &deny.allow_line {
            let line = line.replace('\n', "; ");
            words.push_str(&format!(", or in the configuration: {line}"));
        }
        words.push('\n');
    }
    words
}
