//! What a file that isn't trusted may do: make narrower what those below it allow. The rest of it waits.
//!
//! Each setting goes to one side or the other by itself, so that a file which does both does the first at once.

use super::{
    Bases,
    layer::{Located, Settings, WrittenLimits},
    path::Start,
    said::Said,
};
use crate::policy::{Budget, GitMode, Grant, Home, Limits, NetworkPreset, Unlisted};

/// What holds without the file.
#[derive(Debug, Clone, Copy)]
pub struct Below<'a> {
    /// The preset.
    pub preset: NetworkPreset,
    /// The home.
    pub home: Home,
    /// What unlisted repositories are.
    pub unlisted: Unlisted,
    /// The git directory.
    pub git_mode: GitMode,
    /// The grants.
    pub grants: &'a [Grant],
    /// The limits.
    pub limits: &'a Limits,
    /// Where paths start.
    pub bases: Bases<'a>,
}

/// A file's two sides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Split {
    /// What makes narrower, or changes nothing.
    pub tightens: Settings,
    /// What would make wider, or does neither for certain.
    pub waits: Settings,
}

impl Split {
    /// Takes what the file says apart.
    #[must_use]
    pub fn new(settings: &Settings, below: Below<'_>) -> Self {
        // All of them by name: a new one must be put on a side before this compiles.
        let Settings {
            preset,
            allow,
            deny,
            resolve,
            capture,
            ask,
            proxy_env,
            upstream_proxy,
            host_ports,
            publish,
            repositories,
            pushes,
            unlisted,
            credentials,
            git_mode,
            environment,
            read,
            write,
            hide,
            home,
            open_names,
            open_names_in,
            deny_commands,
            grants,
            limits,
            own_sandbox,
        } = settings;
        let (preset, wider_preset) = sides(preset, |preset| *preset <= below.preset);
        let (ask, asks) = sides(ask, |ask| !*ask);
        let (unlisted, more_unlisted) = sides(unlisted, |unlisted| *unlisted <= below.unlisted);
        let (git_mode, wider_git_mode) = sides(git_mode, |mode| *mode <= below.git_mode);
        let (open_names, opens_names) = sides(open_names, |open| !*open);
        let (home, wider_home) = sides(home, |home| *home <= below.home);
        // Outside of the project a path isn't the project's business.
        let within = |list: &[Located<super::path::WrittenPath>]| {
            let (inside, outside): (Vec<_>, Vec<_>) = list.iter().cloned().partition(|written| {
                written
                    .value
                    .resolve(below.bases, Start::Project)
                    .starts_with(below.bases.project)
            });
            (inside, outside)
        };
        let (read, read_outside) = within(read);
        let (hide, hide_outside) = within(hide);
        let (grants, more_grants) = grants
            .iter()
            .cloned()
            .partition(|grant| below.grants.contains(&grant.value));
        let (more_repositories, fewer_repositories) = repositories
            .iter()
            .cloned()
            .partition(|written| written.value.fetch);
        let (more_pushes, fewer_pushes) = pushes
            .iter()
            .cloned()
            .partition(|written| written.value.grant.is_some());
        let (limits, higher_limits) = limit_sides(limits, below.limits);
        Self {
            tightens: Settings {
                preset,
                ask,
                deny: deny.clone(),
                read,
                hide,
                home,
                open_names,
                deny_commands: deny_commands.clone(),
                repositories: fewer_repositories,
                pushes: fewer_pushes,
                unlisted,
                git_mode,
                grants,
                limits,
                ..Settings::default()
            },
            waits: Settings {
                preset: wider_preset,
                allow: allow.clone(),
                deny: Vec::new(),
                resolve: resolve.clone(),
                capture: capture.clone(),
                // To ask is to allow more, if somebody says yes.
                ask: asks,
                // It changes what goes inside.
                proxy_env: proxy_env.clone(),
                // The reader takes none from a project.
                upstream_proxy: upstream_proxy.clone(),
                host_ports: host_ports.clone(),
                publish: publish.clone(),
                repositories: more_repositories,
                pushes: more_pushes,
                unlisted: more_unlisted,
                // The reader takes none from a project.
                credentials: credentials.clone(),
                git_mode: wider_git_mode,
                environment: environment.clone(),
                read: read_outside,
                write: write.clone(),
                hide: hide_outside,
                home: wider_home,
                open_names: opens_names,
                open_names_in: open_names_in.clone(),
                deny_commands: Vec::new(),
                grants: more_grants,
                limits: higher_limits,
                // To keep it takes a grant, and to switch it off one wall.
                own_sandbox: own_sandbox.clone(),
            },
        }
    }

    /// What waits, one by one.
    #[must_use]
    pub fn waiting(&self, table: &str) -> Vec<Said> {
        self.waits.said(table)
    }
}

fn sides<T: Clone>(
    setting: &Option<Located<T>>,
    narrows: impl Fn(&T) -> bool,
) -> (Option<Located<T>>, Option<Located<T>>) {
    match setting {
        Some(setting) if narrows(&setting.value) => (Some(setting.clone()), None),
        other => (None, other.clone()),
    }
}

fn limit_sides(asked: &WrittenLimits, below: &Limits) -> (WrittenLimits, WrittenLimits) {
    // No limit is the highest.
    fn at_most<T: PartialOrd + Copy>(below: Option<T>) -> impl Fn(&T) -> bool {
        move |asked| below.is_none_or(|below| *asked <= below)
    }
    let memory = sides(&asked.memory_bytes, at_most(below.memory_bytes));
    // There is a number when nobody names one.
    let processes = below.processes.unwrap_or(Limits::PROCESSES);
    let processes = sides(&asked.processes, at_most(Some(processes)));
    let file = sides(&asked.file_bytes, at_most(below.file_bytes));
    let open = sides(&asked.open_files, at_most(below.open_files));
    let cpu = sides(&asked.cpu_percent, at_most(below.cpu_percent));
    let bytes = |budget: &Option<Budget>| budget.as_ref().map(|budget| budget.bytes);
    let egress = sides(&asked.egress_bytes, at_most(bytes(&below.egress)));
    let per_host = sides(
        &asked.egress_per_host_bytes,
        at_most(bytes(&below.egress_per_host)),
    );
    (
        WrittenLimits {
            memory_bytes: memory.0,
            processes: processes.0,
            file_bytes: file.0,
            open_files: open.0,
            cpu_percent: cpu.0,
            egress_bytes: egress.0,
            egress_per_host_bytes: per_host.0,
        },
        WrittenLimits {
            memory_bytes: memory.1,
            processes: processes.1,
            file_bytes: file.1,
            open_files: open.1,
            cpu_percent: cpu.1,
            egress_bytes: egress.1,
            egress_per_host_bytes: per_host.1,
        },
    )
}
