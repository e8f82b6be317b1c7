//! What is promised, what enforces it, and what this machine doesn't give.

use super::NetworkPlan;
use crate::facts::Facts;
use crate::policy::{Grant, Guarantee, Home, NetworkPreset, Policy};
use serde::{Deserialize, Serialize};

/// What enforces a guarantee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// A mount namespace that holds only what was granted.
    MountView,
    /// Unreadable faces over secrets.
    Masks,
    /// Read-only binds and pinned parents.
    ReadOnlyBinds,
    /// New names are made by the sandbox's first process alone, which judges them.
    NamesHeld,
    /// The allow-list of variables.
    AllowList,
    /// Landlock, file-system writes.
    LandlockWrites,
    /// Landlock, signal and abstract-socket scopes.
    LandlockScopes,
    /// A network namespace without a way out.
    NetworkNamespace,
    /// Redirect to the supervisor's gate.
    Gate,
    /// prctl(2) `PR_SET_NO_NEW_PRIVS`.
    NoNewPrivileges,
    /// Every capability dropped, secure bits locked.
    CapabilitiesDropped,
    /// System call filters.
    Seccomp,
    /// A pid namespace.
    PidNamespace,
    /// IPC, UTS and cgroup namespaces.
    OtherNamespaces,
    /// `PR_SET_PDEATHSIG` and the control socket.
    ParentDeath,
    /// setrlimit(2).
    ResourceLimits,
    /// Control group limits.
    Cgroup,
    /// The session's log.
    EventLog,
}

/// A protection that is less than it could be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Degraded {
    /// Which promise it belongs to.
    pub guarantee: Guarantee,
    /// What is lost.
    pub lost: String,
    /// Why.
    pub because: String,
    /// What would give it back.
    pub remedy: String,
}

/// What enforces each guarantee, and what is degraded; `nested_for` is the agent for whose own sandbox nested user
/// namespaces are granted, where the user didn't grant them by name.
pub(super) fn guarantees(
    policy: &Policy,
    facts: &Facts,
    network: &NetworkPlan,
    nested_for: Option<&str>,
) -> (Vec<(Guarantee, Vec<Mechanism>)>, Vec<Degraded>) {
    let nested = policy.grants.contains(&Grant::NestedUserns);
    let abi = facts.machine.landlock_abi;
    let files = abi >= 1 && !nested;
    let scopes = abi >= 6;
    let mut degraded = Vec::new();
    let mut lose = |guarantee, lost: &str, because: String, remedy: &str| {
        degraded.push(Degraded {
            guarantee,
            lost: lost.into(),
            because,
            remedy: remedy.into(),
        });
    };
    if nested {
        let (granted, remedy) = match nested_for {
            Some(agent) => (
                format!("{agent} brings a sandbox of its own, for which nested user namespaces are granted"),
                "run with `--own-sandbox off`",
            ),
            None => (
                "nested user namespaces are granted".to_owned(),
                "run without `--grant nested-userns`",
            ),
        };
        lose(
            Guarantee::WritesConfined,
            "the second wall against writing (Landlock)",
            format!("{granted}, and a Landlock file-system domain forbids every mount"),
            remedy,
        );
        lose(
            Guarantee::SecretsAbsent,
            "masks over secrets that appear during the run, in a mount namespace that the program made before",
            granted.clone(),
            remedy,
        );
        lose(
            Guarantee::SurfaceSmall,
            "the filter of namespace and mount calls",
            granted,
            remedy,
        );
    } else if abi == 0 {
        lose(
            Guarantee::WritesConfined,
            "the second wall against writing (Landlock)",
            format!(
                "kernel {} has no Landlock, or it isn't switched on",
                facts.machine.kernel
            ),
            "add `landlock` to the kernel's `lsm=` list, or take a kernel of 5.13 or later",
        );
    }
    // Nobody misses what nobody asked for.
    let held = policy.hold_names && abi >= 1 && !nested;
    if policy.hold_names && !held {
        let (because, remedy) = if nested {
            let (granted, remedy) = match nested_for {
                Some(agent) => (
                    format!(
                        "{agent} brings a sandbox of its own, for which nested user namespaces are granted"
                    ),
                    "run with `--own-sandbox off`",
                ),
                None => (
                    "nested user namespaces are granted".to_owned(),
                    "run without `--grant nested-userns`",
                ),
            };
            let because = format!("{granted}, and a Landlock file-system domain forbids every mount");
            (because, remedy)
        } else {
            let because = format!(
                "kernel {} has no Landlock, or it isn't switched on",
                facts.machine.kernel
            );
            let remedy = "add `landlock` to the kernel's `lsm=` list, or take a kernel of 5.13 or later";
            (because, remedy)
        };
        lose(
            Guarantee::LaterRunProtected,
            "the refusal of new names that the host would run or trust: they can be made, and are told after the run",
            because,
            remedy,
        );
    }
    if !scopes {
        lose(
            Guarantee::ProcessesApart,
            "the second wall against signals and abstract sockets",
            format!("Landlock interface {abi} has no scopes"),
            "take a kernel of 6.12 or later",
        );
    }
    if policy.grants.contains(&Grant::IoUring) {
        lose(
            Guarantee::SurfaceSmall,
            "the filter of io_uring",
            "io_uring is granted".into(),
            "run without `--grant io-uring`",
        );
    }
    if policy.home == Home::Host {
        lose(
            Guarantee::SecretsAbsent,
            "the private home",
            "home = \"host\": what is not on the list of secrets can be read".into(),
            "run with `--home private`",
        );
    }
    let second_wall = files.then_some(Mechanism::LandlockWrites);
    let with = |first: &[Mechanism], more: &[Option<Mechanism>]| -> Vec<Mechanism> {
        first
            .iter()
            .copied()
            .chain(more.iter().copied().flatten())
            .collect()
    };
    let network = match network.preset {
        NetworkPreset::None => vec![Mechanism::NetworkNamespace],
        NetworkPreset::Listed | NetworkPreset::Agent | NetworkPreset::Dev | NetworkPreset::Open => {
            vec![Mechanism::NetworkNamespace, Mechanism::Gate]
        }
    };
    let wants_cgroup = facts.machine.cgroup.is_some();
    let enforced = vec![
        (
            Guarantee::SecretsAbsent,
            vec![Mechanism::MountView, Mechanism::Masks],
        ),
        (Guarantee::EnvironmentFiltered, vec![Mechanism::AllowList]),
        (
            Guarantee::WritesConfined,
            with(&[Mechanism::MountView], &[second_wall]),
        ),
        (
            Guarantee::LaterRunProtected,
            with(
                &[Mechanism::ReadOnlyBinds],
                &[held.then_some(Mechanism::NamesHeld), Some(Mechanism::EventLog)],
            ),
        ),
        (Guarantee::NetworkMediated, network),
        (
            Guarantee::NoPrivileges,
            vec![Mechanism::NoNewPrivileges, Mechanism::CapabilitiesDropped],
        ),
        (Guarantee::SurfaceSmall, vec![Mechanism::Seccomp]),
        (
            Guarantee::ProcessesApart,
            with(
                &[Mechanism::PidNamespace, Mechanism::OtherNamespaces],
                &[scopes.then_some(Mechanism::LandlockScopes)],
            ),
        ),
        (
            Guarantee::EndsWithRun,
            vec![Mechanism::PidNamespace, Mechanism::ParentDeath],
        ),
        (
            Guarantee::ResourcesBounded,
            with(
                &[Mechanism::ResourceLimits],
                &[wants_cgroup.then_some(Mechanism::Cgroup)],
            ),
        ),
        (Guarantee::Recorded, vec![Mechanism::EventLog]),
    ];
    (enforced, degraded)
}
