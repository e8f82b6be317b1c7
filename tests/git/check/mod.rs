//! The process that looks into a push, with repositories and packs of real git and of somebody hostile.
#![expect(
    clippy::panic,
    clippy::string_slice,
    clippy::wildcard_enum_match_arm,
    reason = "what isn't expected fails the test"
)]

mod confined;
mod contents;
mod forged;
mod history;
mod hostile;

use aca::git::ancestry::Ancestry;
use aca::git::check::{Asked, Findings, Key, Problem, Question, Scanner, check, standard_limits};
use aca::git::object_id::{ObjectFormat, ObjectId};
use aca::git::pack::PackError;
use aca::gitcheck::{CheckError, Stores};
use aca::policy::{Case, PathPattern};
use aca::proxy::git_check::{Refused, check_by};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A repository, gone with the value.
struct Repository {
    _scratch: tempfile::TempDir,
    at: PathBuf,
    format: ObjectFormat,
}

impl Repository {
    fn new() -> Self {
        Self::of(ObjectFormat::Sha1)
    }

    fn of(format: ObjectFormat) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let at = scratch.path().to_owned();
        let repository = Self {
            _scratch: scratch,
            at,
            format,
        };
        repository.git(&["init", "-q", "-b", "main", "--object-format", format.word()]);
        repository.git(&["config", "gc.auto", "0"]);
        repository.git(&["config", "core.protectNTFS", "false"]);
        repository
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .args(["-c", "user.name=a", "-c", "user.email=a@a.test"])
            .args(words)
            .current_dir(&self.at)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(Stdio::null());
        command
    }

    fn output(&self, words: &[&str], input: &[u8]) -> Output {
        let mut child = self
            .command(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut to = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writing = std::thread::spawn(move || to.write_all(&input).ok());
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap();
        output
    }

    #[track_caller]
    fn git_with(&self, words: &[&str], input: &[u8]) -> String {
        let output = self.output(words, input);
        assert!(
            output.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    #[track_caller]
    fn git(&self, words: &[&str]) -> String {
        self.git_with(words, b"")
    }

    #[track_caller]
    fn id(&self, name: &str) -> ObjectId {
        self.parse(&self.git(&["rev-parse", "--verify", name]))
    }

    #[track_caller]
    fn parse(&self, text: &str) -> ObjectId {
        ObjectId::parse(text.as_bytes(), self.format).unwrap()
    }

    /// A commit of these files, on what is checked out.
    #[track_caller]
    fn commit(&self, message: &str, files: &[(&str, &str)]) -> ObjectId {
        for (path, content) in files {
            let path = self.at.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.id("HEAD")
    }

    /// Switches to a new branch.
    fn branch(&self, name: &str, from: &ObjectId) {
        self.git(&["checkout", "-q", "-b", name, &from.to_string()]);
    }

    /// What git packs of `revisions`.
    fn pack(&self, revisions: &[&str]) -> Vec<u8> {
        let input = revisions
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>();
        let words = ["pack-objects", "--stdout", "--revs", "-q", "--delta-base-offset"];
        let output = self.output(&words, input.as_bytes());
        assert!(output.status.success());
        output.stdout
    }

    /// What git packs of objects by their names.
    fn pack_objects(&self, names: &[ObjectId]) -> Vec<u8> {
        let input = names.iter().map(|id| format!("{id}\n")).collect::<String>();
        let output = self.output(&["pack-objects", "--stdout", "-q"], input.as_bytes());
        assert!(output.status.success());
        output.stdout
    }

    fn objects(&self) -> PathBuf {
        self.at.join(".git/objects")
    }

    /// Where a loose object is.
    fn loose(&self, id: &ObjectId) -> PathBuf {
        let text = id.to_string();
        self.objects().join(&text[..2]).join(&text[2..])
    }

    /// As who asks opens it.
    fn store(&self) -> OwnedFd {
        open_directory(&self.objects())
    }

    /// A question about nothing.
    fn question(&self) -> Question {
        let (limits, spend) = standard_limits(50 << 20);
        Question {
            format: self.format,
            commands: Vec::new(),
            known: Vec::new(),
            protected_tips: Vec::new(),
            protect: Vec::new(),
            limits,
            spend,
            commits_max: 1000,
            scan: true,
            fingerprints: Vec::new(),
            key: Key::new([3; 16]),
            has_pack: false,
        }
    }

    /// What `old` becoming `new` is, by the process.
    #[track_caller]
    fn forward(&self, old: ObjectId, new: ObjectId) -> Ancestry {
        let mut question = self.question();
        question.commands.push(update(old, new));
        let findings = ask(&question, None, vec![self.store()]).unwrap();
        findings.commands[0].unwrap()
    }

    /// The same in this process: for many.
    fn forward_here(&self, old: ObjectId, new: ObjectId) -> Ancestry {
        let mut question = self.question();
        question.commands.push(update(old, new));
        let mut stores = Stores::new(vec![self.store()], self.format, 1 << 20);
        let none: Option<(&[u8], u64)> = None;
        let scanner = Scanner::new().unwrap();
        check(&question, none, &mut stores, &scanner).unwrap().commands[0].unwrap()
    }
}

fn open_directory(path: &Path) -> OwnedFd {
    rustix::fs::open(
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .unwrap()
}

fn update(old: ObjectId, new: ObjectId) -> Asked {
    Asked {
        name: "refs/heads/agent/x".parse().unwrap(),
        old: Some(old),
        new: Some(new),
    }
}

fn create(new: ObjectId) -> Asked {
    Asked {
        old: None,
        ..update(new, new)
    }
}

fn patterns(texts: &[&str]) -> Vec<PathPattern> {
    texts
        .iter()
        .map(|text| PathPattern::parse(text, Case::Exact).unwrap())
        .collect()
}

fn sealed(bytes: &[u8]) -> OwnedFd {
    let file = rustix::fs::memfd_create("pack", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    let mut file = fs::File::from(file);
    file.write_all(bytes).unwrap();
    let file = OwnedFd::from(file);
    rustix::fs::fcntl_add_seals(&file, SEALS).unwrap();
    file
}

const SEALS: SealFlags = SealFlags::WRITE
    .union(SealFlags::SHRINK)
    .union(SealFlags::GROW)
    .union(SealFlags::SEAL);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// Asks the real process.
fn ask(question: &Question, pack: Option<&[u8]>, stores: Vec<OwnedFd>) -> Result<Findings, Refused> {
    ask_by(Path::new(env!("CARGO_BIN_EXE_aca")), question, pack, stores)
}

fn ask_by(
    program: &Path,
    question: &Question,
    pack: Option<&[u8]>,
    stores: Vec<OwnedFd>,
) -> Result<Findings, Refused> {
    let mut question = question.clone();
    question.has_pack = pack.is_some();
    block_on(check_by(Some(program), &question, pack.map(sealed), stores))
}

/// Problems of a push of that pack.
#[track_caller]
fn problems(question: &Question, pack: &[u8], repository: &Repository) -> Vec<Problem> {
    ask(question, Some(pack), vec![repository.store()])
        .unwrap()
        .problems
}

fn pack_error(result: Result<Findings, Refused>) -> PackError {
    match result {
        Err(Refused::Pack(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn check_error(result: Result<Findings, Refused>) -> CheckError {
    match result {
        Err(Refused::Check(error)) => error,
        other => panic!("{other:?}"),
    }
}
