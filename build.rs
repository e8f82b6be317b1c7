//! Compiles `seccomp/*.json` into BPF: what the program embeds are arrays of instructions.
//!
//! Both architectures are compiled on every build, so that a list that is wrong for one of them fails on either; the
//! target's is embedded.

#[path = "seccomp/compile.rs"]
mod compile;

use compile::{Architecture, Grant, List, Mode};
use seccompiler::BpfProgram;
use std::{env, error::Error, fmt::Write as _, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=seccomp");
    for folder in ["presets", "agents"] {
        embed_as_json(folder)?;
    }
    let lists = compile::read(Path::new("seccomp"))?;
    let check = compile::read_allowed(Path::new("seccomp/allow/gitcheck.json"))?;
    let target = env::var_os("CARGO_CFG_TARGET_ARCH").ok_or("Cargo names no target architecture")?;
    let out = env::var_os("OUT_DIR").ok_or("Cargo names no output folder")?;
    fs::write(Path::new(&out).join("seccomp_reasons.rs"), reasons(&lists)?)?;
    let mut embedded = None;
    for arch in Architecture::ALL {
        let texts = (
            programs(&lists, arch)?,
            reported(&lists, arch)?,
            instructions("GITCHECK", &compile::allowed(&check, arch)?)?,
        );
        if target == arch.name() {
            embedded = Some(texts);
        }
    }
    let (programs, reported, check) =
        embedded.ok_or_else(|| format!("no system-call lists for {}", target.display()))?;
    fs::write(Path::new(&out).join("seccomp_programs.rs"), programs)?;
    fs::write(Path::new(&out).join("seccomp_gitcheck.rs"), check)?;
    fs::write(Path::new(&out).join("seccomp_reported.rs"), reported)?;
    Ok(())
}

/// The built-in TOML files of a folder as JSON: TOML is for people, and takes ten times as long to read.
fn embed_as_json(folder: &str) -> Result<(), Box<dyn Error>> {
    let source = Path::new("src").join(folder);
    println!("cargo::rerun-if-changed={}", source.display());
    let target = Path::new(&env::var_os("OUT_DIR").ok_or("Cargo names no output folder")?).join(folder);
    fs::create_dir_all(&target)?;
    for entry in fs::read_dir(&source)? {
        let path = entry?.path();
        let Some(name) = path
            .file_stem()
            .filter(|_| path.extension() == Some("toml".as_ref()))
        else {
            continue;
        };
        let table: toml::Table = toml::from_str(&fs::read_to_string(&path)?)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        fs::write(
            target.join(name).with_extension("json"),
            serde_json::to_vec(&table)?,
        )?;
    }
    Ok(())
}

/// One `static` for each set of grants and each mode.
fn programs(lists: &[List], arch: Architecture) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    for (mode, mode_name) in [
        (Mode::Names, "NAMES"),
        (Mode::Starts, "STARTS"),
        (Mode::Refusals, "REFUSALS"),
        (Mode::Alone, "ALONE"),
    ] {
        for (granted, granted_name) in [
            (vec![], "STRICT"),
            (vec![Grant::NestedUserns], "USERNS"),
            (vec![Grant::IoUring], "RING"),
            (vec![Grant::NestedUserns, Grant::IoUring], "USERNS_RING"),
        ] {
            // New names are looked after by way of Landlock, which nested user namespaces leave no room for.
            if mode == Mode::Names && granted.contains(&Grant::NestedUserns) {
                continue;
            }
            let program = compile::program(lists, arch, &granted, mode)?;
            text.push_str(&instructions(&format!("{mode_name}_{granted_name}"), &program)?);
        }
    }
    Ok(text)
}

fn instructions(name: &str, program: &BpfProgram) -> Result<String, Box<dyn Error>> {
    let mut text = format!("static {name}: [Instruction; {}] = [\n", program.len());
    for it in program {
        writeln!(
            text,
            "    Instruction {{ code: {}, jt: {}, jf: {}, k: {} }},",
            it.code, it.jt, it.jf, it.k
        )?;
    }
    writeln!(text, "];")?;
    Ok(text)
}

/// Why each call is refused, for who asks afterwards.
fn reasons(lists: &[List]) -> Result<String, Box<dyn Error>> {
    let rows: Vec<(&List, &compile::Entry)> = lists
        .iter()
        .flat_map(|list| list.entries.iter().map(move |entry| (list, entry)))
        .filter(|(_, entry)| !entry.asks)
        .collect();
    let mut text = format!("static REFUSED: [RefusedCall; {}] = [\n", rows.len());
    for (list, entry) in rows {
        let grant = list.grant.map(|grant| match grant {
            Grant::NestedUserns => "Grant::NestedUserns",
            Grant::IoUring => "Grant::IoUring",
        });
        let grant = grant.map_or_else(|| "None".to_owned(), |grant| format!("Some({grant})"));
        writeln!(
            text,
            "    RefusedCall {{ label: {:?}, call: {:?}, when: {:?}, errno: {:?}, why: {:?}, source: {:?}, about: {:?}, grant: {grant} }},",
            entry.label.as_ref().unwrap_or(&entry.syscall),
            entry.syscall,
            entry
                .args
                .iter()
                .map(|condition| condition.comment.as_str())
                .collect::<Vec<_>>()
                .join(", "),
            entry.errno.name(),
            entry.why,
            entry.source,
            list.about,
        )?;
    }
    writeln!(text, "];")?;
    Ok(text)
}

/// The supervisor's table of reported calls.
fn reported(lists: &[List], arch: Architecture) -> Result<String, Box<dyn Error>> {
    let rows = compile::reported(lists, arch)?;
    let mut text = format!("static REPORTED: [Reported; {}] = [\n", rows.len());
    for row in rows {
        writeln!(
            text,
            "    Reported {{ number: {}, name: {:?}, errno: {}, errno_name: {:?}, conditions: &[",
            row.number,
            row.label,
            row.errno.number(),
            row.errno.name()
        )?;
        for (index, mask, value) in row.conditions {
            writeln!(
                text,
                "        Condition {{ index: {index}, mask: {mask}, value: {value} }},"
            )?;
        }
        writeln!(text, "    ] }},")?;
    }
    writeln!(text, "];")?;
    Ok(text)
}
