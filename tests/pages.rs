//! The pages of the documentation are run: each command of a `console` block, in a world of its own for each page.
//!
//! A block's line that begins with `$ ` is a command, typed in the project; what follows is what it prints (standard
//! output and error, in their order) and, as `? CODE`, how it ends where that isn't 0. `[..]` stands for any rest of a
//! line, a line `...` for any lines (snapbox). A block marked `console,ignore` is only shown: it needs what no test
//! machine has.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may stop and look at paths"
)]

#[path = "support/mod.rs"]
mod support;

use snapbox::IntoData as _;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use support::{Ran, World, host_path};

/// One command of a page.
struct Step {
    line: usize,
    command: String,
    expected: String,
}

fn pages() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/commands");
    let mut pages: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect();
    pages.sort();
    assert!(pages.len() > 4, "{pages:?}");
    pages
}

fn name(page: &Path) -> &str {
    page.file_stem().unwrap().to_str().unwrap()
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
            continue;
        }
        match (inside, line.strip_prefix("$ ")) {
            (true, Some(command)) => steps.push(Step {
                line: number + 1,
                command: command.to_owned(),
                expected: String::new(),
            }),
            (true, None) => {
                let step = steps.last_mut().unwrap();
                step.expected.push_str(line);
                step.expected.push('\n');
            }
            (false, _) => {}
        }
    }
    steps
}

fn run(page: &Path) -> Vec<String> {
    let world = World::with_repository();
    let path = format!("{}:{}", world.root().display(), host_path());
    let mut wrong = Vec::new();
    for step in steps(&fs::read_to_string(page).unwrap()) {
        let output = world
            .command("bash")
            .args(["-c", &format!("exec 2>&1\n{}", step.command)])
            .env("PATH", &path)
            .env("TZ", "UTC")
            .output()
            .unwrap();
        let ran = Ran::from_output(&output);
        // The world lies in a directory of a random name.
        let mut printed = ran.out.replace(&*world.home.to_string_lossy(), "/home/you");
        if !printed.is_empty() && !printed.ends_with('\n') {
            printed.push('\n');
        }
        if ran.code != 0 {
            printed.push_str(&format!("? {}\n", ran.code));
        }
        let place = format!("{}:{}: $ {}", page.display(), step.line, step.command);
        if let Err(error) = snapbox::Assert::new().try_eq(
            Some(&place),
            printed.as_str().into_data(),
            step.expected.as_str().into_data(),
        ) {
            wrong.push(error.to_string());
        }
    }
    wrong
}

#[test]
fn every_page_says_what_happens() {
    let only = std::env::var("ACA_TEST_PAGE").ok();
    let mut wrong = Vec::new();
    std::thread::scope(|scope| {
        let pages = pages();
        let running: Vec<_> = pages
            .into_iter()
            .filter(|page| only.as_deref().is_none_or(|only| only == name(page)))
            .map(|page| scope.spawn(move || run(&page)))
            .collect();
        for page in running {
            wrong.extend(page.join().unwrap());
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_page_that_says_something_else_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("wrong.md");
    fs::write(
        &page,
        "```console\n$ echo one; exit 3\none\n? 3\n$ echo two\nthree\n$ exit 1\n```\n",
    )
    .unwrap();
    let wrong = run(&page);
    assert_eq!(wrong.len(), 2, "{wrong:#?}");
}

/// The words of `aca --help`'s list of commands.
fn commands(world: &World) -> BTreeSet<String> {
    let help = Ran::from_output(&world.aca(&["--help"]).output().unwrap());
    help.ok()
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| *word != "help")
        .map(String::from)
        .collect()
}

#[test]
fn every_command_has_its_page_and_every_flag_its_place() {
    let world = World::new();
    let own = commands(&world);
    let pages = pages();
    let written: BTreeSet<String> = pages.iter().map(|page| name(page).to_owned()).collect();
    assert_eq!(written, own);
    let mut missing = Vec::new();
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        let help = Ran::from_output(&world.aca(&[name(page), "--help"]).output().unwrap());
        let flags: BTreeSet<&str> = help
            .ok()
            .split(|character: char| !(character.is_ascii_alphanumeric() || character == '-'))
            .filter(|word| word.len() > 2 && word.starts_with("--") && *word != "--help")
            .collect();
        // Flags of a run are described once.
        let run_flags = text.contains("(run.md#flags)");
        let run = if run_flags {
            fs::read_to_string(page.with_file_name("run.md")).unwrap()
        } else {
            String::new()
        };
        for flag in flags {
            let quoted = format!("`{flag}");
            if !text.contains(&quoted) && !run.contains(&quoted) {
                missing.push(format!("{}: {flag}", name(page)));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn links_between_pages_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = pages();
    texts.push(root.join("README.md"));
    let mut broken = Vec::new();
    for page in texts {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            let elsewhere = target.is_empty() || target.contains("://");
            if !elsewhere && !page.parent().unwrap().join(target).exists() {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    if !broken.is_empty() {
        panic!("{broken:#?}");
    }
}
