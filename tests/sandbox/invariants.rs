//! What holds of every view, however the project, the home and the rules lie: nothing of the host is writable but what
//! was given, and nothing of it is seen that is private. Told by what the kernel says inside, not by the plan.

use super::support::{Ran, World};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// File systems of the run's own.
const PRIVATE: [&str; 5] = ["tmpfs", "proc", "sysfs", "devpts", "mqueue"];

/// A way to lie, and what may be written then.
struct Case {
    name: &'static str,
    directory: PathBuf,
    flags: Vec<String>,
    environment: Vec<(&'static str, PathBuf)>,
    writable: Vec<PathBuf>,
}

impl Case {
    fn new(name: &'static str, directory: PathBuf) -> Self {
        Self {
            name,
            writable: vec![directory.clone()],
            directory,
            flags: Vec::new(),
            environment: Vec::new(),
        }
    }

    fn flags(mut self, flags: &[&str]) -> Self {
        self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        self
    }

    fn variable(mut self, name: &'static str, value: PathBuf) -> Self {
        self.environment.push((name, value));
        self
    }

    fn also(mut self, writable: PathBuf) -> Self {
        self.writable.push(writable);
        self
    }
}

/// Where the mounts of the host are inside, with whether they are writable.
fn mounts(text: &str) -> Vec<(PathBuf, bool)> {
    text.lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            let dash = fields.iter().position(|field| *field == "-")?;
            let kind = fields[dash + 1];
            (!PRIVATE.contains(&kind))
                .then(|| (PathBuf::from(fields[4]), fields[5].split(',').any(|o| o == "rw")))
        })
        .collect()
}

fn cases(world: &World) -> Vec<Case> {
    let home = &world.home;
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let repository = world.project.clone();
    let linked = home.join("linked");
    world.git(&repository, &["worktree", "add", "-q", "-b", "l", &text(&linked)]);
    let far = world.root().join("far/linked");
    world.directory(world.root().join("far"));
    world.git(&repository, &["worktree", "add", "-q", "-b", "f", &text(&far)]);
    let within = repository.join("within");
    world.git(&repository, &["worktree", "add", "-q", "-b", "w", "within"]);
    let bare = home.join("bare.git");
    world.git(home, &["clone", "-q", "--bare", "project", "bare.git"]);
    world.git(&bare, &["worktree", "add", "-q", "-b", "b", "tree"]);
    let sub = repository.join("sub");
    let from = text(&bare);
    world.git(
        &repository,
        &[
            "-c",
            "protocol.file.allow=always",
            "submodule",
            "add",
            "-q",
            &from,
            "sub",
        ],
    );
    let plain = world.directory(home.join("plain"));
    let inner = world.directory(plain.join("inner"));
    let git = repository.join(".git");
    let way = world.root().join("way");
    symlink(&plain, &way).unwrap();
    let mut cases = vec![
        Case::new("plain", plain.clone()),
        Case::new("repository", repository.clone()),
        Case::new("linked work tree", linked).also(git.clone()),
        Case::new("linked work tree outside of the home", far).also(git.clone()),
        Case::new("linked work tree in the main one", within).also(git.clone()),
        Case::new("bare repository", bare.clone()),
        Case::new("work tree in a bare repository", bare.join("tree")).also(bare),
        Case::new("submodule", sub).also(git.join("modules/sub")),
        Case::new("by a link", way).also(plain.clone()),
        Case::new("granted above", plain.clone()).flags(&["--read", &text(home)]),
        Case::new("granted beneath what is read", plain.clone())
            .flags(&["--read", &text(&plain), "--write", &text(&inner)])
            .also(inner.clone()),
        Case::new("granted beneath what is hidden", plain.clone())
            .flags(&["--hide", &text(&plain), "--write", &text(&inner)])
            .also(inner.clone()),
        Case::new("the home shown", plain.clone()).flags(&["--home", "host"]),
        Case::new("an agent", plain.clone())
            .flags(&["--agent", "claude"])
            .also(home.join(".claude")),
        Case::new("another agent", plain.clone())
            .flags(&["--agent", "codex"])
            .also(home.join(".codex")),
        Case::new("a third agent", plain.clone())
            .flags(&["--agent", "gemini"])
            .also(home.join(".gemini")),
    ];
    for below in [
        ".config/x",
        ".local/share/x",
        ".cache/x",
        "go/src/x",
        ".cargo/registry/x",
    ] {
        cases.push(Case::new(
            "in a directory of tools",
            world.directory(home.join(below)),
        ));
    }
    for variable in [
        "CARGO_HOME",
        "GOPATH",
        "RUSTUP_HOME",
        "NVM_DIR",
        "PNPM_HOME",
        "XDG_CACHE_HOME",
    ] {
        for value in [
            PathBuf::from("/"),
            "/proc".into(),
            "/tmp".into(),
            "/var/tmp".into(),
            "/root".into(),
            home.clone(),
            home.join(".ssh"),
            world.root().to_owned(),
            plain.clone(),
            plain.join("tools"),
        ] {
            cases.push(Case::new("an odd variable", plain.clone()).variable(variable, value));
        }
    }
    cases
}

#[test]
fn nothing_else_is_writable_and_nothing_private_is_seen() {
    let world = World::with_repository();
    let secrets = [
        world.file("../.ssh/id_ed25519", "geheim"),
        world.file("../.aws/credentials", "geheim"),
        world.file("../.config/aca/config.toml", "# geheim"),
        world.file(world.home.join("plain/.env"), "geheim"),
    ];
    let beside = world.file(world.outside.join("beside"), "geheim");
    let stores = world.home.join(".local/share/aca/stores");
    for case in cases(&world) {
        let mut words = vec!["run".to_owned()];
        words.extend(case.flags.clone());
        let paths: Vec<&str> = secrets
            .iter()
            .chain([&beside])
            .map(|path| path.to_str().unwrap())
            .collect();
        // By name, and by what else leads there.
        let reads = paths
            .iter()
            .map(|path| format!(" {path} /proc/self/root{path} /proc/1/root{path} /proc/self/cwd{path}"));
        let asked_for_home = case.name == "granted above";
        let script = format!(
            "cat{} 2> /dev/null | grep geheim; cat /proc/self/mountinfo",
            if asked_for_home {
                format!(" {}", paths[2..].join(" "))
            } else {
                reads.collect::<String>()
            }
        );
        words.extend(["--", "sh", "-c", &script].map(str::to_owned));
        let mut command = world.aca(&words.iter().map(String::as_str).collect::<Vec<_>>());
        command
            .current_dir(&case.directory)
            .envs(case.environment.iter().cloned());
        let ran = Ran::from_output(&command.output().unwrap());
        let (name, told) = (case.name, &case.environment);
        assert!(!ran.ok().contains("geheim"), "{name} {told:?}: {ran:#?}");
        let seen = mounts(&ran.out);
        assert!(seen.len() > 3, "{name}: {ran:#?}");
        let device = |at: &Path| at.starts_with("/dev");
        for (at, is_writable) in &seen {
            let source_is_a_store = fs::metadata(&stores).is_ok()
                && ran.out.lines().any(|line| {
                    let fields: Vec<&str> = line.split(' ').collect();
                    fields[4] == at.to_str().unwrap() && fields[3].contains("/aca/stores/")
                });
            let given = case.writable.iter().any(|root| at.starts_with(root));
            assert!(
                !is_writable || given || source_is_a_store || device(at),
                "{name} {told:?}: {} is writable: {ran:#?}",
                at.display()
            );
            let private = [
                Path::new("/"),
                Path::new("/tmp"),
                Path::new("/var/tmp"),
                Path::new("/run"),
                Path::new("/root"),
                Path::new("/home"),
                Path::new("/var"),
                Path::new("/proc"),
                world.root(),
                &world.outside,
            ];
            assert!(
                !private.contains(&at.as_path()),
                "{name} {told:?}: {} is the host's: {ran:#?}",
                at.display()
            );
            let home_is_asked_for = asked_for_home || name == "the home shown";
            assert!(
                home_is_asked_for || *at != world.home,
                "{name} {told:?}: the home is the host's: {ran:#?}"
            );
        }
    }
}
