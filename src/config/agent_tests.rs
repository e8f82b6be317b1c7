//! What an agent's own file adds to the merge.

use super::tests::{bases, merged};
use super::{Bases, Layers, merge};
use crate::agents;
use crate::policy::OwnSandbox;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

#[test]
fn an_own_sandbox_is_what_the_latest_layer_says() {
    let off = "[agents.codex]\nown_sandbox = \"off\"";
    for (agent, file, words, expected) in [
        ("codex", "", &[][..], Some(OwnSandbox::Keep)),
        ("codex", off, &[], Some(OwnSandbox::Off)),
        ("codex", off, &["--own-sandbox", "keep"], Some(OwnSandbox::Keep)),
        ("gemini", off, &[], Some(OwnSandbox::Off)),
        ("generic", off, &[], None),
        // To switch off what isn't there is no fault.
        ("generic", "", &["--own-sandbox", "off"], None),
    ] {
        assert_eq!(
            merged(agent, file, words).unwrap().own_sandbox,
            expected,
            "{agent} {file} {words:?}"
        );
    }
    // What switches it off is set then and only then, and the user's word on it counts.
    let set = |words: &[&str]| {
        let policy = merged("gemini", "", words).unwrap();
        let variable = policy
            .environment
            .set
            .into_iter()
            .find(|(name, _)| name == "GEMINI_SANDBOX");
        variable.map(|(_, value)| value)
    };
    assert_eq!(set(&[]).as_deref(), Some("false"));
    assert_eq!(set(&["--own-sandbox", "keep"]), None);
    assert_eq!(
        set(&["--env", "GEMINI_SANDBOX=docker"]).as_deref(),
        Some("docker")
    );
}

#[test]
fn a_variable_of_an_agent_may_be_a_path_in_the_home() {
    let policy = merged("codex", "", &[]).unwrap();
    let set: Vec<(&str, &str)> = policy
        .environment
        .set
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(set, [("CODEX_SQLITE_HOME", "/home/u/.codex/sqlite")]);
    // A path that a policy can't hold isn't set, rather than set to something else.
    let odd = PathBuf::from(OsString::from_vec(b"/home/\xff".to_vec()));
    let odd = Bases {
        home: &odd,
        ..bases()
    };
    let merged = merge(&agents::load("codex").unwrap(), &Layers::default(), odd);
    assert_eq!(merged.unwrap().policy.environment.set, []);
}
