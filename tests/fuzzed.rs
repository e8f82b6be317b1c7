//! Every reader of outside bytes has a fuzz target, and every target is run by `.ci/run`.
#![expect(clippy::unwrap_used, reason = "a test may stop")]

#[path = "support/sources.rs"]
mod sources;

use sources::rust_files;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// Files that read bytes which somebody else wrote, and the target that feeds them.
const READERS: &[(&str, &str)] = &[
    ("src/agents/merge.rs", "state"),
    ("src/audit/chain.rs", "log_lines"),
    ("src/audit/read.rs", "log_lines"),
    ("src/broker/helper.rs", "credential"),
    ("src/broker/netrc.rs", "credential"),
    ("src/config/import/json.rs", "settings"),
    ("src/config/schema.rs", "configuration"),
    ("src/policy/git/repository.rs", "configuration"),
    ("src/control/frame.rs", "control"),
    ("src/facts/git_config.rs", "git_config"),
    ("src/git/advertisement.rs", "git_advertisement"),
    ("src/git/check/coded.rs", "git_check"),
    ("src/git/check/findings.rs", "git_answer"),
    ("src/git/check/fingerprint.rs", "git_check"),
    ("src/git/check/protect.rs", "git_check"),
    ("src/git/check/scan.rs", "git_check"),
    ("src/git/check/shapes.rs", "git_check"),
    ("src/git/check/unfold.rs", "git_check"),
    ("src/git/check/work.rs", "git_check"),
    ("src/git/commit.rs", "git_pack"),
    ("src/git/delta.rs", "git_pack"),
    ("src/git/fetch.rs", "git_advertisement"),
    ("src/git/frame.rs", "git_frames"),
    ("src/git/hide.rs", "git_advertisement"),
    ("src/git/index.rs", "git_index"),
    ("src/git/object_id.rs", "git_push"),
    ("src/git/objects.rs", "git_pack"),
    ("src/git/outcome.rs", "git_advertisement"),
    ("src/git/pack.rs", "git_pack"),
    ("src/git/packet.rs", "git_push"),
    ("src/git/push.rs", "git_push"),
    ("src/git/ref_files.rs", "git_index"),
    ("src/git/ssh_words.rs", "git_ssh_words"),
    ("src/git/tree.rs", "git_pack"),
    ("src/git/under_way/mod.rs", "git_index"),
    ("src/gitcheck/store.rs", "git_store"),
    ("src/launch/channel.rs", "message"),
    ("src/policy/request_path.rs", "request_rule"),
    ("src/proxy/dns.rs", "dns"),
    ("src/proxy/first_bytes.rs", "http_head"),
    ("src/proxy/http.rs", "http_head"),
    ("src/proxy/intercept/git/route.rs", "git_route"),
    ("src/proxy/socks.rs", "socks"),
    ("src/proxy/tls.rs", "client_hello"),
    ("src/proxy/upstream/tunnel.rs", "proxy_answer"),
];

/// Files that look like readers and aren't.
const OTHERS: &[(&str, &str)] = &[
    ("src/audit/log.rs", "writes"),
    ("src/cli/selftest.rs", "reads what its own program printed"),
    (
        "src/cli/masked.rs",
        "reads a store that no sandbox is shown: numbers and paths, cut at their zeros",
    ),
    (
        "src/cli/written.rs",
        "reads a store that no sandbox is shown: paths, cut at their zeros",
    ),
    (
        "src/config/load.rs",
        "takes UTF-8 or nothing, for config/schema.rs",
    ),
    (
        "src/config/trust.rs",
        "hashes; reads a store that no sandbox is shown, as serde_json does",
    ),
    (
        "src/exit_gate/entered.rs",
        "an index and a pointer, read by git/index.rs and facts/git_pointer.rs",
    ),
    (
        "src/exit_gate/nested.rs",
        "looks at each line by itself, and compares what facts/git_config.rs read",
    ),
    (
        "src/exit_gate/snapshot.rs",
        "compares bytes; reads a store that no sandbox is shown, as postcard does",
    ),
    ("src/facts/ambient.rs", "the kernel's own numbers"),
    (
        "src/facts/certificates.rs",
        "writes; what it reads the host trusts",
    ),
    (
        "src/facts/git.rs",
        "whole files as text, compared; configuration is read by facts/git_config.rs",
    ),
    ("src/facts/kept.rs", "compares names"),
    (
        "src/facts/git_pointer.rs",
        "a path, cut at its slashes; nothing in it says where to read on",
    ),
    (
        "src/facts/git_helpers.rs",
        "the user's own settings, as facts/git_config.rs read them: words that are compared with paths",
    ),
    ("src/facts/matcher.rs", "compares names; laws by proptest"),
    ("src/git/pack_sum.rs", "hashes"),
    ("src/facts/notes.rs", "puts names together"),
    (
        "src/facts/object.rs",
        "hashes content; an index is read by number, each number within it",
    ),
    (
        "src/gitcheck/child.rs",
        "the parent's question, and descriptors; packs pass to git/check",
    ),
    ("src/gitcheck/parent.rs", "writes"),
    (
        "src/isolated/apply.rs",
        "passes to facts/git_config.rs and isolated/kept.rs",
    ),
    (
        "src/isolated/borrowed.rs",
        "reads a store that no sandbox is shown, as serde_json does",
    ),
    ("src/isolated/export.rs", "writes"),
    (
        "src/isolated/ground.rs",
        "a path, cut at its slashes; nothing in it says where to read on",
    ),
    ("src/isolated/index_lock.rs", "writes"),
    ("src/isolated/kept.rs", "compares what facts/git_config.rs read"),
    ("src/isolated/make.rs", "writes"),
    (
        "src/isolated/new_part.rs",
        "passes to facts/git_config.rs and git/ref_name.rs",
    ),
    (
        "src/isolated/new_tree.rs",
        "writes; a reason that is shown or not",
    ),
    (
        "src/isolated/place.rs",
        "reads a store that no sandbox is shown, as serde_json does",
    ),
    ("src/isolated/staged.rs", "writes; passes to git/index.rs"),
    ("src/launch/linux/mounts.rs", "writes"),
    (
        "src/launch/linux/names/bind.rs",
        "one address of fixed size, whose text goes to the kernel",
    ),
    ("src/launch/linux/names/caller.rs", "the kernel's own lines"),
    ("src/launch/linux/names/make.rs", "hands the kernel what it read"),
    ("src/launch/linux/names/moved.rs", "passes on"),
    (
        "src/launch/linux/names/place.rs",
        "cuts a path at its slashes, as the kernel does",
    ),
    ("src/launch/linux/netlink.rs", "the kernel's answers"),
    ("src/launch/linux/nftables.rs", "writes"),
    ("src/launch/linux/program.rs", "compares names"),
    ("src/launch/linux/stage.rs", "the supervisor's plan"),
    (
        "src/supervise/listening.rs",
        "the kernel's answers; lengths by proptest",
    ),
    ("src/policy/change.rs", "quotes a path"),
    (
        "src/policy/pattern.rs",
        "patterns of the user's; laws by proptest",
    ),
    ("src/policy/upstream.rs", "encodes"),
    (
        "src/presets/tree.rs",
        "looks for words; nothing in it says where to read on",
    ),
    ("src/proxy/host_port.rs", "passes on"),
    ("src/proxy/intercept/metered.rs", "passes on"),
    ("src/proxy/intercept/mod.rs", "names of protocols"),
    ("src/proxy/intercept/store.rs", "writes"),
    ("src/proxy/gate.rs", "compares what proxy/tls.rs read"),
    (
        "src/proxy/git_ssh/carry.rs",
        "passes to git/frame.rs and git/fetch.rs",
    ),
    ("src/proxy/git_push/streams.rs", "passes to git/packet.rs"),
    ("src/proxy/git_ssh/past.rs", "passes to git outside"),
    ("src/proxy/git_ssh/mod.rs", "passes to git/frame.rs"),
    (
        "src/proxy/git_ssh/push.rs",
        "passes to git/frame.rs, and to proxy/git_push",
    ),
    ("src/broker/mod.rs", "passes to broker/helper.rs"),
    ("src/broker/program.rs", "writes"),
    (
        "src/proxy/intercept/git/filtered.rs",
        "passes to git/packet.rs and git/fetch.rs",
    ),
    (
        "src/proxy/intercept/git/push.rs",
        "passes to proxy/git_push, as git/packet.rs and git/push.rs",
    ),
    ("src/proxy/judge.rs", "passes to policy/request_path.rs"),
    ("src/proxy/requests.rs", "passes to proxy/http.rs"),
    (
        "src/supervise/notify/claim.rs",
        "paths as the kernel copied them, shown and opened",
    ),
    ("src/supervise/state.rs", "passes to agents/merge.rs"),
    ("src/sys/process.rs", "the kernel's own numbers"),
    ("src/ui/mod.rs", "writes"),
];

/// What a file has that reads bytes; the first as the type of a parameter.
const SIGNS: &[&str] = &[
    ": &[u8]",
    "str::from_utf8(",
    "String::from_utf8(",
    "serde_json::from_slice",
    "postcard::from_bytes",
    "DeTable::parse",
    "parse_to_ast(",
    "words: &[String]",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The names of the targets: the files, without their end.
fn targets() -> BTreeSet<String> {
    rust_files("fuzz/fuzz_targets")
        .iter()
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn every_reader_of_bytes_is_listed() {
    let found: BTreeSet<String> = rust_files("src")
        .iter()
        .filter(|path| {
            let stem = path.file_stem().unwrap().to_string_lossy();
            stem != "fuzz" && !stem.ends_with("tests")
        })
        .filter(|path| {
            let text = fs::read_to_string(path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            code.lines()
                .filter(|line| !line.trim_start().starts_with("const "))
                .any(|line| SIGNS.iter().any(|sign| line.contains(sign)))
        })
        .map(|path| path.strip_prefix(root()).unwrap().to_string_lossy().into_owned())
        .collect();
    let listed: BTreeSet<String> = READERS
        .iter()
        .chain(OTHERS)
        .map(|(file, _)| (*file).to_owned())
        .collect();
    let unlisted: Vec<_> = found.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(&found).collect();
    assert!(
        unlisted.is_empty(),
        "give these a fuzz target, or a reason why not: {unlisted:#?}"
    );
    assert!(stale.is_empty(), "these read no bytes any more: {stale:#?}");
}

#[test]
fn every_reader_has_a_target_and_every_target_a_reader() {
    let named: BTreeSet<String> = READERS.iter().map(|(_, target)| (*target).to_owned()).collect();
    assert_eq!(named, targets());
}

#[test]
fn every_target_is_built_has_seeds_and_runs_in_ci() {
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    for target in targets() {
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")),
            "{target} is not built"
        );
        let seeds = root().join("fuzz/corpus").join(&target);
        let seeds = fs::read_dir(&seeds).unwrap_or_else(|_| panic!("{target} has no seeds in {seeds:?}"));
        assert!(seeds.count() > 0, "{target} has no seeds");
    }
    // What `.ci/run` runs is every file of the directory.
    let script = fs::read_to_string(root().join(".ci/run")).unwrap();
    assert!(script.contains("\nstep 'fuzz' fuzz\n") && script.contains("fuzz/fuzz_targets/*.rs | xargs"));
}
