//! The network as programs inside meet it: real clients in real sandboxes, real servers on the host's loopback. Names of
//! tests begin with the id of the black-box case that they hold (`n01_…`).
//!
//! No host of the internet is spoken to: names end in `.test`, and `--resolve` leads them to a server of the test.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/pty.rs"]
#[expect(dead_code, reason = "the terminal of other tests does more")]
mod pty;

mod addresses;
mod approve;
mod asks;
mod budgets;
mod clients;
mod control;
mod desktop;
mod explicit;
mod host_ports;
mod hostile;
mod intercept;
mod intercept_hostile;
mod lab;
mod live;
mod load;
mod names;
mod opened;
mod others;
mod ports;
mod programs;
mod protocols;
mod publish;
mod questions;
mod real;
mod requests;
mod servers;
mod upstream;
mod why;

use support::World;

/// A connection event: name, port, whether denied, and the reason.
fn connections(world: &World) -> Vec<(String, u64, Option<String>)> {
    world
        .events_of("connection")
        .iter()
        .map(|event| {
            let name = event["name"].as_str().or(event["address"].as_str()).unwrap();
            let reason = event["denied"]["reason"].as_str().map(str::to_owned);
            (name.to_owned(), event["port"].as_u64().unwrap(), reason)
        })
        .collect()
}

/// Asserts that exactly these were refused, as `name:port` with a part of the reason, in this order.
#[track_caller]
fn assert_refused(world: &World, wanted: &[(&str, &str)]) {
    let refused: Vec<(String, String)> = connections(world)
        .into_iter()
        .filter_map(|(name, port, reason)| Some((format!("{name}:{port}"), reason?)))
        .collect();
    let fits = refused.len() == wanted.len()
        && refused
            .iter()
            .zip(wanted)
            .all(|((place, reason), (wanted, part))| place == wanted && reason.contains(part));
    assert!(fits, "{refused:#?}\nwanted {wanted:#?}");
}

/// The names that were asked for and refused.
fn refused_names(world: &World) -> Vec<String> {
    let mut names: Vec<String> = world
        .events_of("lookup")
        .iter()
        .filter(|event| !event["denied"].is_null())
        .map(|event| event["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names.dedup();
    names
}
