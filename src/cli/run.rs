//! `aca run`: a command in the sandbox, from its arguments to its exit.

use super::RunArgs;
use super::check::{keep, warn_of_cut_off};
use super::isolated;
use super::prepare::{Prepared, begin, permitted, prepare};
use super::put_away::put_away_repositories;
use super::written::{self, WrittenInside};
use crate::audit::{Log, SessionId};
use crate::broker::{Broker, Look, Sources, Wanted};
use crate::exit_gate::snapshot::{Kept, Snapshot, Store};
use crate::facts::{self, Refusal, credential_tools, is_written_inside, ssh_client};
use crate::failure::{Failure, FailureKind};
use crate::launch::linux::parent::{LaunchError, Stage};
use crate::launch::protocol::Ending;
use crate::plan::Plan;
use crate::policy::PublishRule;
use crate::proxy::{HISTORY_BYTES, History, Listening, Live, ObjectStores, Ssh, Upstream};
use crate::supervise::run::{Outcome, Run, RunError, directories_to_make, first_event};
use crate::supervise::session::{Finished, end_alike};
use crate::supervise::{Change, Emit, Interception, TrustChange};
use crate::sys::process::{Disposition, set_disposition};
use crate::ui;
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Does it in the sandbox that `stage` becomes, which comes up while the project is looked at; the exit code is the
/// command's.
///
/// # Errors
/// Before the command starts; then nothing of it ran.
pub fn execute(args: &RunArgs, stage: Result<Stage, LaunchError>) -> Result<ExitCode, Failure> {
    refuse_directories()?;
    // A file that may not grow (`ulimit -f`) is an error like a full disk, and not the end of the run. The stage is
    // there already, so the program has the signal as the caller had it.
    set_disposition(rustix::process::Signal::XFSZ.as_raw(), Disposition::Ignore);
    let beginning = begin(args)?;
    let stage = stage.map_err(launch_failure)?;
    let prepared = prepare(args, beginning)?;
    permitted(&prepared.policy, &args.words)?;
    let ambient = &prepared.ambient;
    let wanted = &prepared.policy.network.upstream_proxy;
    let upstream = Upstream::new(wanted, &ambient.environment, &ambient.home).map_err(|error| {
        Failure::new(FailureKind::Configuration, error)
            .hint("`upstream_proxy = \"none\"` goes without a proxy")
    })?;
    let published = publish(&prepared.plan)?;
    let interception = Interception::prepare(&prepared.policy, ambient)
        .map_err(|error| Failure::new(FailureKind::Machine, error))?;
    isolated::bring_back(&prepared.places, Some(&prepared.looked.project), ambient);
    let session = SessionId::new(jiff::Timestamp::now(), chance());
    let log = Arc::new(
        Log::begin(
            &prepared.places.sessions(),
            &session,
            first_event(&prepared.plan, session.as_str()),
        )
        .map_err(|error| {
            Failure::new(FailureKind::Machine, error)
                .hint("nothing was started: a run without its log would leave no trace")
        })?,
    );
    if let Some(waiting) = &prepared.waiting {
        log.emit(waiting.event());
        ui::write_error(&waiting.line());
    }
    for listening in published
        .iter()
        .filter(|listening| listening.rule.port.host.is_none())
    {
        ui::write_error(&free_port(listening));
    }
    let written = WrittenInside::say(
        prepared.places.written(),
        session.as_str(),
        written::of(&prepared),
    );
    let written = Arc::new(written.map_err(|error| {
        Failure::new(FailureKind::Machine, error)
            .hint("nothing was started: other runs would not know what this one writes")
    })?);
    prepared.looked.remember_masks(&prepared.places)?;
    let (ssh, broker) = (ssh(&prepared, &written), broker(&prepared, &written));
    let git_apart = match &prepared.isolated {
        Some((layout, git)) => {
            let root = &prepared.looked.project.root;
            let made = isolated::make(&prepared.places, session.as_str(), root, layout, git.clone())?;
            Some(made)
        }
        None => {
            isolated::remember(&prepared.places, &prepared.looked.project)?;
            None
        }
    };
    let objects = objects(&prepared, session.as_str());
    let watched = prepared
        .looked
        .watched(&prepared.plan, &prepared.policy, prepared.hidden);
    let gate = Store::new(prepared.places.exit_gate());
    let before = match watched.writable {
        true => {
            warn_of_cut_off(
                &gate,
                &watched.project.root,
                ambient,
                &prepared.places.quarantine(),
            );
            let writes_git = prepared.isolated.is_none();
            let (project, walks) = (&watched.project, &watched.walks);
            let snapshot = Snapshot::take(&session, project, walks, watched.own, writes_git);
            Some(keep(&gate, &snapshot)?)
        }
        false => None,
    };
    let mends = |changes: &mut Vec<Change>| {
        if let Some(before) = &before {
            mend(&gate, before, changes, &prepared.places.quarantine(), &log);
        }
    };
    let run = Run {
        mend: &mends,
        plan: &prepared.plan,
        live: Live::new(
            Arc::new(prepared.policy.clone()),
            prepared.locked.clone(),
            log.clone(),
        ),
        upstream: Arc::new(upstream),
        interception,
        ssh,
        broker,
        objects,
        events: log.clone(),
        session: &session,
        control: prepared.places.control(),
        made: directories_to_make(&prepared.plan, &prepared.plan.project),
        state: prepared.state.clone(),
        state_lock: prepared.places.state_lock(),
        names_lock: prepared.places.names_lock(),
        published,
        ports_locked: prepared.ports_locked.clone(),
        watched: Arc::new(watched),
        git_apart,
    };
    let mut outcome = match run.execute(stage) {
        Ok(outcome) => outcome,
        Err(error) => {
            // Where nothing ran there is nothing to look at.
            if let (Some(before), false) = (&before, matches!(error, RunError::Session(_))) {
                gate.forget(before).ok();
            }
            return Err(run_failure(error));
        }
    };
    if let Some(before) = &before {
        after(&gate, before, &mut outcome);
    }
    told(&outcome, &log);
    let command = args
        .words
        .first()
        .map(|word| word.to_string_lossy().into_owned())
        .unwrap_or_default();
    match outcome.finished {
        Finished::Ended(Ending::Exited(code)) => Ok(ExitCode::from(u8::try_from(code & 0xff).unwrap_or(255))),
        Finished::Ended(Ending::Signaled(signal)) => Ok(ExitCode::from(end_alike(signal))),
        Finished::NotExecuted(errno) => Err(not_executed(&command, errno)),
    }
}

/// Listens on the host for all that is published, before anything starts.
fn publish(plan: &Plan) -> Result<Vec<Listening>, Failure> {
    let listening = |rule: &PublishRule| {
        Listening::bind(rule.clone()).map_err(|error| {
            let hint = error.hint();
            Failure::new(FailureKind::Configuration, format!("{}: {error}", rule.origin)).hint(hint)
        })
    };
    plan.network.publish.iter().map(listening).collect()
}

/// The line that tells which port was free.
fn free_port(listening: &Listening) -> String {
    let PublishRule { port, .. } = &listening.rule;
    let there = match port.address {
        Some(address) => std::net::SocketAddr::new(address, listening.port).to_string(),
        None => format!("localhost:{}", listening.port),
    };
    format!("aca: port {} inside is reached at {there}\n", port.inside)
}

/// What git inside may have started outside. Looked for before anything runs, and only where it is wanted.
fn ssh(prepared: &Prepared, written: &WrittenInside) -> Result<Ssh, String> {
    if !prepared.policy.git.is_on() {
        return Err("git over ssh is off".into());
    }
    let open = written.now();
    ssh_client(&prepared.ambient, &open)
        .map(|client| Ssh {
            program: client.program,
            environment: client.environment,
            history: client.git.map(|git| History {
                git,
                directory: prepared.places.history(),
                file_bytes: HISTORY_BYTES,
            }),
        })
        .map_err(|error| error.to_string())
}

/// What doesn't stay of what changed: what is as it was, and repositories that git outside would obey by a look.
fn mend(gate: &Store, before: &Kept, changes: &mut Vec<Change>, away: &Path, log: &Log) {
    // It isn't held in memory while the run goes on.
    if let Ok(snapshot) = gate.load(before) {
        snapshot.leave_out_same(changes);
        put_away_repositories(&snapshot, changes, away, &|event| log.emit(event));
    }
}

/// What changed waits until it was looked at; what didn't is let go. A failure has no other consequence than one line more
/// at the next start.
fn after(gate: &Store, before: &Kept, outcome: &mut Outcome) {
    if before.holds_branches
        && let Ok(snapshot) = gate.load(before)
    {
        outcome.trust.extend(snapshot.changes_in_git());
    }
    match (outcome.trust_known, outcome.trust.is_empty()) {
        (true, true) => gate.forget(before).ok(),
        (true, false) => gate.told(before).ok(),
        (false, _) => None,
    };
}

/// What finds credentials for git inside; nothing is asked for one yet.
fn broker(prepared: &Prepared, written: &Arc<WrittenInside>) -> Arc<Broker> {
    let git = &prepared.policy.git;
    if git.https_places().next().is_none() {
        return Arc::default();
    }
    let open = written.now();
    let tools = credential_tools(&prepared.ambient, &open);
    let (written, ambient) = (Arc::clone(written), prepared.ambient.clone());
    // Another run may have begun since.
    let look = move |wanted: Wanted<'_>| {
        let open = written.now();
        match wanted {
            Wanted::Program(name, path) => {
                let mut tools = credential_tools(&ambient, &open);
                let why = tools.refused.remove(name);
                let is_same = tools.programs.get(name).is_some_and(|found| found == path);
                (!is_same).then(|| why.unwrap_or_else(|| format!("another `{name}` is found by now")))
            }
            Wanted::Path(path) => is_written_inside(path, &open)
                .then(|| format!("{} lies in what is written inside", path.display())),
        }
    };
    Arc::new(Broker::new(Sources {
        rules: git.credentials.clone(),
        look: Some(Look(Arc::new(look))),
        programs: tools.programs,
        refused: tools.refused,
        variables: tools.variables,
        environment: prepared.ambient.environment.clone(),
        home: prepared.ambient.home.clone(),
    }))
}

/// What pushes of the project's repository build on: its objects, those that it borrows, and where the run works on a git
/// directory of its own that one's.
fn objects(prepared: &Prepared, session: &str) -> ObjectStores {
    let layout = prepared.looked.project.git.as_ref();
    let Some(layout) = layout.filter(|_| prepared.policy.git.is_on()) else {
        return ObjectStores::default();
    };
    let mut repositories = vec![layout.common_dir.clone()];
    if layout.git_dir != layout.common_dir {
        repositories.push(layout.git_dir.clone());
    }
    let mut borrowed = facts::alternates(layout);
    if let Some((apart, _)) = &prepared.isolated {
        repositories.push(prepared.places.private_git().join(session).join("git"));
        borrowed.extend(apart.stores().into_iter().map(|(host, _)| host));
    }
    ObjectStores::open(
        repositories.iter().map(PathBuf::as_path),
        borrowed.iter().map(PathBuf::as_path),
    )
}

/// How many changed files are named in the line, and how many characters of each.
const NAMES_TOLD: usize = 3;
const NAME_TOLD: usize = 60;

/// One line, and only if there is news.
fn told(outcome: &Outcome, log: &Log) {
    let mut news = Vec::new();
    if log.denied() > 0 {
        news.push(format!("{} denied", log.denied()));
    }
    let changed: Vec<&Change> = outcome
        .trust
        .iter()
        .filter(|change| change.change != TrustChange::Removed)
        .collect();
    if !changed.is_empty() {
        let mut names: Vec<String> = changed
            .iter()
            .take(NAMES_TOLD)
            .map(|change| ui::sanitize::line_within(&change.path.to_string_lossy(), NAME_TOLD))
            .collect();
        if changed.len() > NAMES_TOLD {
            names.push("…".into());
        }
        let files = if changed.len() == 1 {
            "1 file"
        } else {
            &format!("{} files", changed.len())
        };
        news.push(format!(
            "{files} that run later appeared or changed ({})",
            names.join(", ")
        ));
    }
    if !outcome.state_lost.is_empty() {
        news.push(match outcome.state_lost.len() {
            1 => "1 state file not kept".to_owned(),
            count => format!("{count} state files not kept"),
        });
    }
    if let Some((what, at)) = outcome.git.aside.first() {
        let more = match outcome.git.aside.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        news.push(format!(
            "{} is kept as {}{more}",
            ui::sanitize::line_within(what, NAME_TOLD),
            ui::sanitize::line_within(at, 2 * NAME_TOLD)
        ));
    }
    if !outcome.git.missing.is_empty() {
        let names: Vec<String> = outcome
            .git
            .missing
            .iter()
            .take(NAMES_TOLD)
            .map(|name| ui::sanitize::line_within(name, NAME_TOLD))
            .collect();
        news.push(format!("not brought back from git inside: {}", names.join(", ")));
    }
    if let Some(kept) = &outcome.git.kept {
        news.push(format!("the private git directory is kept at {}", kept.display()));
    }
    if log.lost() > 0 {
        news.push(format!("{} events could not be written", log.lost()));
    }
    if !news.is_empty() {
        let see = match (changed.is_empty(), news.len()) {
            (true, _) => "`aca log`",
            (false, 1) => "`aca check`",
            (false, _) => "`aca check`, `aca log`",
        };
        ui::write_error(&format!("aca: {}; see {see}\n", news.join(", ")));
    }
}

/// A directory as standard input or output is a way out of the mount view: `..` leads from there through the host's.
fn refuse_directories() -> Result<(), Failure> {
    let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    for (name, descriptor) in [
        ("input", input.as_fd()),
        ("output", output.as_fd()),
        ("error", error.as_fd()),
    ] {
        let is_directory = fstat(descriptor)
            .is_ok_and(|status| FileType::from_raw_mode(status.st_mode) == FileType::Directory);
        if is_directory {
            return Err(Failure::new(
                FailureKind::Usage,
                format!("standard {name} is a directory, through which the command would reach the files around it"),
            )
            .hint("redirect a file, or `/dev/null`"));
        }
    }
    Ok(())
}

fn not_executed(command: &str, errno: i32) -> Failure {
    let kind = crate::supervise::run::not_executed(errno);
    if kind == FailureKind::NotFound {
        let failure = Failure::new(kind, format!("`{command}` was not found inside the sandbox"));
        let near = crate::config::nearest(command, crate::agents::commands());
        let failure = match near {
            Some(near) if near != command => failure.hint(format!("did you mean the agent `{near}`?")),
            Some(_) | None => failure,
        };
        return failure
            .hint("`aca plan` shows which directories are seen inside; `--read DIR` shows another");
    }
    if errno == Errno::LIBACC.raw_os_error() {
        return Failure::new(
            kind,
            format!("`{command}` can't be executed: the interpreter or loader that it names is not inside the sandbox"),
        )
        .hint("`head -1` shows a script's, `file` a program's; `--read DIR` shows a directory inside");
    }
    let error = std::io::Error::from_raw_os_error(errno);
    Failure::new(kind, format!("`{command}` can't be executed: {error}"))
}

fn run_failure(error: RunError) -> Failure {
    match error {
        RunError::Launch(error) => launch_failure(error),
        RunError::Unsettled(_) => Failure::new(FailureKind::Machine, error).hint(
            "wait until what changes it is done (another run, a checkout, an installation), and start again",
        ),
        RunError::Unwatched(_) => Failure::new(FailureKind::Machine, error).hint(
            "other programs of yours hold all that the kernel gives one user (fs.inotify.max_user_instances), or there are no descriptors left",
        ),
        RunError::Directory { .. } | RunError::Limits(_) | RunError::Session(_) | RunError::Descriptor(_) => {
            Failure::new(FailureKind::Machine, error)
        }
    }
}

/// Why there is no sandbox, and what to do.
pub(super) fn launch_failure(error: LaunchError) -> Failure {
    let refused = match &error {
        // Else it is a limit of the caller's: of processes, descriptors or memory.
        LaunchError::Namespaces(errno) => {
            !matches!(*errno, Errno::AGAIN | Errno::MFILE | Errno::NFILE | Errno::NOMEM)
        }
        LaunchError::Step(step) => matches!(step.errno, 1 | 13),
        LaunchError::Lost | LaunchError::Interrupted | LaunchError::Channel(_) | LaunchError::Plan { .. } => {
            false
        }
    };
    let mut failure = Failure::new(FailureKind::Machine, RunError::Launch(error));
    let refusal = Refusal::look();
    if refused || refusal.no_proc {
        let program = std::env::current_exe().unwrap_or_else(|_| "aca".into());
        for remedy in refusal.remedies(&program) {
            failure = failure.hint(remedy);
        }
    }
    failure
}

fn chance() -> [u8; 6] {
    let mut bytes = [0_u8; 6];
    // A name that isn't random still is exclusive: the log is made with O_EXCL.
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).ok();
    bytes
}
