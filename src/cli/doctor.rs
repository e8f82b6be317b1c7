//! `aca doctor`: says what this machine gives, by trying it, and how to get the rest.

use super::flags::DoctorArgs;
use crate::facts::{Machine, Refusal, machine};
use crate::failure::{Failure, FailureKind};
use crate::launch::linux::probe::probe;
use crate::ui;
use serde::Serialize;
use std::process::ExitCode;

/// How good this machine is for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Grade {
    /// Everything.
    Full,
    /// A run starts; something of the second line is missing.
    Reduced,
    /// No run starts.
    Refused,
}

#[derive(Debug, Serialize)]
struct Report {
    version: u32,
    grade: Grade,
    machine: Machine,
    /// The step that failed, when no run starts.
    failed: Option<String>,
    /// What is less than it could be.
    lost: Vec<String>,
    remedies: Vec<String>,
    /// The settings that were looked at, when no run starts.
    refusal: Option<Refusal>,
}

/// Does it: exit code 0 when runs start here, 1 when they don't.
///
/// # Errors
/// When nothing could be printed.
pub fn execute(args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let report = examine();
    let text = if args.json {
        let mut text = serde_json::to_string_pretty(&report)
            .map_err(|error| Failure::new(FailureKind::Internal, error))?;
        text.push('\n');
        text
    } else {
        shown(&report)
    };
    ui::write_out(&text).map_err(|error| Failure::new(FailureKind::Machine, error))?;
    Ok(if report.grade == Grade::Refused {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn examine() -> Report {
    // Trying comes first: it forks, which is sound while there is one thread.
    let tried = probe();
    let machine = machine(true);
    let (mut lost, mut remedies) = (Vec::new(), Vec::new());
    if machine.landlock_abi == 0 {
        lost.push("the second wall against writing: no Landlock".to_owned());
        remedies
            .push("add `landlock` to the kernel's `lsm=` list, or take a kernel of 5.13 or later".to_owned());
    } else if machine.landlock_abi < 6 {
        lost.push(format!(
            "the scopes against signals and abstract sockets: Landlock interface {}",
            machine.landlock_abi
        ));
        remedies.push("take a kernel of 6.12 or later".to_owned());
    }
    match tried {
        Ok((network, outcome)) => {
            lost.extend(network.lost);
            lost.extend(outcome.lost);
            if !network.redirected {
                remedies.push(
                    "load or build nf_tables with nat (`modprobe nf_tables nft_redir nf_nat`)".to_owned(),
                );
            }
            if machine.cgroup.is_none() {
                lost.push("limits on memory and processor: no control group is delegated".to_owned());
                remedies.push("start aca by `systemd-run --user --scope -p Delegate=yes aca run …` where limits are wanted".to_owned());
            }
            let core = lost.len() - usize::from(machine.cgroup.is_none());
            let grade = if core == 0 { Grade::Full } else { Grade::Reduced };
            Report {
                version: 1,
                grade,
                machine,
                failed: None,
                lost,
                remedies,
                refusal: None,
            }
        }
        Err(error) => {
            let program = std::env::current_exe().unwrap_or_else(|_| "aca".into());
            let refusal = Refusal::look();
            remedies.splice(0..0, refusal.remedies(&program));
            Report {
                version: 1,
                grade: Grade::Refused,
                machine,
                failed: Some(error.to_string()),
                lost,
                remedies,
                refusal: Some(refusal),
            }
        }
    }
}

fn shown(report: &Report) -> String {
    let mut text = match report.grade {
        Grade::Full => "full: every protection is to be had here\n".to_owned(),
        Grade::Reduced => "reduced: runs start here, with less than all\n".to_owned(),
        Grade::Refused => "refused: no run starts here\n".to_owned(),
    };
    text.push_str(&format!("  kernel    {}\n", report.machine.kernel));
    text.push_str(&format!(
        "  landlock  interface {}\n",
        report.machine.landlock_abi
    ));
    let cgroup = report.machine.cgroup.as_ref().map_or_else(
        || "none delegated".to_owned(),
        |group| format!("{} ({})", group.directory.display(), group.controllers.join(", ")),
    );
    text.push_str(&format!("  cgroup    {cgroup}\n"));
    if let Some(failed) = &report.failed {
        text.push_str(&format!("  failed    {failed}\n"));
    }
    for lost in &report.lost {
        text.push_str(&format!("  less      {lost}\n"));
    }
    for remedy in &report.remedies {
        text.push_str(&format!("\nhint: {remedy}\n"));
    }
    text
}
