//! Rust as rustup installs it: in the user's home, where the sandbox shows it read-only.

use crate::support::{World, installed, skip};
use crate::table::{Row, Sides};
use std::path::PathBuf;
use std::process::Command;
use std::{fs, os::unix::fs::symlink};

/// Directories of [`Sides::home_path`].
pub(crate) const PATH: &[&str] = &[".cargo/bin"];

/// Puts the tool chain that these tests were built with into the world's home, as rustup would. Hard links, since the
/// home of whoever runs the tests may be closed to the world's user, and a copy would be half a gigabyte.
pub(crate) fn install(world: &World) {
    let toolchain = sysroot().unwrap();
    let own = world.home.join(".rustup/toolchains/own");
    for part in ["bin", "lib", "libexec"] {
        let part_there = toolchain.join(part);
        if part_there.is_dir() {
            world.link_tree(&part_there, &own.join(part));
        }
    }
    world.file(
        world.home.join(".rustup/settings.toml"),
        "version = \"12\"\ndefault_toolchain = \"own\"\nprofile = \"minimal\"\n",
    );
    let programs = world.directory(world.home.join(".cargo/bin"));
    let rustup = programs.join("rustup");
    for program in ["cargo", "rustc", "rustdoc"] {
        let target = match rustup_program() {
            Some(found) => {
                if !rustup.exists() {
                    world.link_tree(&found, &rustup);
                }
                rustup.clone()
            }
            None => own.join("bin").join(program),
        };
        symlink(target, programs.join(program)).unwrap();
    }
}

/// Where the compiler keeps its things, if it is one of rustup's kind; else a counted skip.
pub(crate) fn is_there() -> bool {
    let there = sysroot().is_some_and(|root| root.join("bin/cargo").is_file());
    if !there {
        skip("rust", "the compiler of these tests has no cargo beside it");
    }
    there && (installed("gcc").is_some() || crate::support::has("gcc"))
}

fn sysroot() -> Option<PathBuf> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(text.trim()))
}

fn rustup_program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join("rustup"))
        .find_map(|path| fs::canonicalize(path).ok())
}

#[test]
fn cargo_build_and_test() {
    if !is_there() {
        return;
    }
    Row {
        needs: &[],
        script: r"
            set -e
            cargo init -q --lib --name own . ; cargo build -q --offline; cargo test -q --offline | grep -o '1 passed'
            printf 'fn main() { println!(\x22{}\x22, own::add(40, 2)); }\n' > src/main.rs
            cargo run -q --offline; rustc --version | grep -o ^rustc
        ",
        expected: "1 passed\n42\nrustc",
    }
    .check_with(&Sides {
        prepare: Some(&install),
        home_path: PATH,
        ..Sides::default()
    });
}

/// What runs outside tomorrow can't be replaced from inside, and what cargo downloads stays in a store of the sandbox's.
#[test]
fn the_tool_chain_is_read_only_and_the_registry_is_not_the_hosts() {
    if !is_there() {
        return;
    }
    let world = World::new();
    install(&world);
    world.file(world.home.join(".cargo/credentials.toml"), "token = \"s\"\n");
    world.file(world.home.join(".cargo/registry/src/dep/lib.rs"), "of the host\n");
    let ran = world.run(
        &[],
        "for f in ~/.cargo/bin/cargo ~/.cargo/bin/new ~/.rustup/toolchains/own/bin/rustc ~/.rustup/new; do \
         (echo x > $f) 2>/dev/null && echo wrote $f; done; \
         cat ~/.cargo/credentials.toml 2>/dev/null; cat ~/.cargo/registry/src/dep/lib.rs 2>/dev/null; \
         mkdir -p ~/.cargo/registry/src/dep && echo poison > ~/.cargo/registry/src/dep/lib.rs && echo stored",
    );
    assert_eq!(ran.ok(), "stored");
    let host = fs::read_to_string(world.home.join(".cargo/registry/src/dep/lib.rs")).unwrap();
    assert_eq!(host, "of the host\n");
    assert_eq!(
        world.run(&[], "cat ~/.cargo/registry/src/dep/lib.rs").ok(),
        "poison"
    );
}
