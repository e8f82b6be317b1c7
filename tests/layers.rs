//! Guards the shape of the source: direction of data, purity, and where unsafe, cfg, async and printing may stand.
#![expect(
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "a test helper may stop the test"
)]

#[path = "support/sources.rs"]
mod sources;

use sources::rust_files;
use std::fs;
use std::path::Path;

/// Modules that read nothing and do nothing.
const PURE: &[&str] = &["src/policy", "src/plan", "src/git"];
const IMPURE: &[&str] = &[
    "std::fs",
    "std::env",
    "std::net::Tcp",
    "std::net::Udp",
    "std::process",
    "SystemTime",
    "Instant",
    "tokio::",
    "nix::",
    "libc::",
    "rustix::",
    "unsafe ",
    "cfg(target_os",
];
/// A layer, and what it may not name: nothing flows back.
const UPWARD: &[(&str, &[&str])] = &[
    (
        "src/policy",
        &[
            "crate::facts",
            "crate::plan",
            "crate::config",
            "crate::cli",
            "crate::launch",
            "crate::supervise",
            "crate::audit",
            "crate::ui",
            "crate::proxy",
        ],
    ),
    (
        "src/config",
        &[
            "crate::plan",
            "crate::launch",
            "crate::supervise",
            "crate::audit",
            "crate::proxy",
        ],
    ),
    (
        "src/facts",
        &[
            "crate::plan::linux",
            "crate::launch",
            "crate::supervise",
            "crate::audit",
            "crate::cli",
            "crate::proxy",
        ],
    ),
    (
        "src/plan",
        &[
            "crate::launch",
            "crate::supervise",
            "crate::audit",
            "crate::cli",
            "crate::ui",
            "crate::proxy",
        ],
    ),
    (
        "src/launch",
        &[
            "crate::supervise",
            "crate::audit",
            "crate::cli",
            "crate::ui",
            "crate::proxy",
            "crate::config",
        ],
    ),
    (
        "src/sys",
        &[
            "crate::policy",
            "crate::facts",
            "crate::plan",
            "crate::launch",
            "crate::supervise",
        ],
    ),
    (
        "src/proxy",
        &[
            "crate::launch",
            "crate::cli",
            "crate::ui",
            "crate::config",
            "crate::facts",
        ],
    ),
    (
        "src/broker",
        &[
            "crate::supervise",
            "crate::proxy",
            "crate::launch",
            "crate::config",
            "crate::facts",
            "crate::cli",
            "crate::ui",
        ],
    ),
    (
        "src/control",
        &[
            "crate::supervise",
            "crate::proxy",
            "crate::launch",
            "crate::config",
            "crate::cli",
            "crate::ui",
        ],
    ),
    ("src/supervise", &["crate::cli", "crate::ui"]),
    ("src/audit", &["crate::cli", "crate::ui", "crate::launch"]),
];
/// Words, and the only places where they may stand.
const PLACES: &[(&[&str], &[&str])] = &[
    (&["unsafe {", "unsafe fn", "unsafe impl"], &["src/sys/"]),
    (
        &["cfg(target_os"],
        &["src/facts/mod.rs", "src/launch/mod.rs", "src/sys/mod.rs"],
    ),
    (
        &["println!", "eprintln!", "print!(", "eprint!("],
        &["src/ui/", "src/main.rs"],
    ),
    (
        &["async fn", "async move", ".await"],
        &["src/supervise/", "src/proxy/", "src/broker/"],
    ),
];
const LINES_MAX: usize = 800;

/// The files of a place, and what is in them.
fn texts(place: &str) -> Vec<(String, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    rust_files(place)
        .into_iter()
        .map(|path| {
            (
                path.strip_prefix(top).unwrap().display().to_string(),
                fs::read_to_string(&path).unwrap(),
            )
        })
        .collect()
}

/// The code of a file: without comments, and without its tests, which stand last.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn offences(root: &str, words: &[&str], but: &[&str]) -> Vec<String> {
    let mut found = vec![];
    for (path, text) in texts(root) {
        if but.iter().any(|place| path.starts_with(place)) {
            continue;
        }
        for (number, line) in code(&text) {
            if let Some(word) = words.iter().find(|word| names(line, word)) {
                found.push(format!("{path}:{}: names `{word}`", number + 1));
            }
        }
    }
    found
}

/// Whether a line holds a word, as a word of its own: `nix::` doesn't stand in `std::os::unix::`.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_'))
}

#[test]
fn pure_modules_do_no_io() {
    for root in PURE {
        assert_eq!(offences(root, IMPURE, &[]), Vec::<String>::new());
    }
}

#[test]
fn lower_layers_do_not_name_higher_ones() {
    for (root, words) in UPWARD {
        assert_eq!(offences(root, words, &[]), Vec::<String>::new());
    }
}

#[test]
fn words_stand_in_their_places_only() {
    for (words, places) in PLACES {
        assert_eq!(offences("src", words, places), Vec::<String>::new());
    }
}

#[test]
fn files_are_short() {
    let long: Vec<String> = ["src", "tests", "build.rs"]
        .iter()
        .flat_map(|root| texts(root))
        .filter(|(_, text)| text.lines().count() > LINES_MAX)
        .map(|(path, text)| format!("{path}: {} lines", text.lines().count()))
        .collect();
    assert_eq!(long, Vec::<String>::new());
}

#[test]
fn the_guard_bites() {
    let text = "//! std::fs in a comment\nuse std::fs;\n#[cfg(test)]\nuse std::env;\n";
    let hits: Vec<usize> = code(text)
        .filter(|(_, line)| line.contains("std::"))
        .map(|(number, _)| number + 1)
        .collect();
    assert_eq!(hits, [2]);
    assert!(names("use nix::x;", "nix::") && names("a(nix::x)", "nix::"));
    assert!(!names("use std::os::unix::x;", "nix::"));
}
