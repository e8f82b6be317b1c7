//! `aca plan`: prints what a run would do, and does nothing.

use super::flags::PlanArgs;
use super::prepare::{begin, permitted, prepare};
use crate::failure::{Failure, FailureKind};
use crate::plan::{Plan, ShownPlan};
use crate::supervise::run::plan_hash;
use crate::ui;
use crate::ui::sanitize;
use serde::Serialize;
use std::process::ExitCode;

/// Version of the JSON form.
const PLAN_VERSION: u32 = 1;

#[derive(Serialize)]
struct Printed<'a> {
    version: u32,
    hash: String,
    plan: &'a Plan,
    steps: crate::plan::linux::StagePlan,
}

/// Does it.
///
/// # Errors
/// What would keep the run from starting.
pub fn execute(args: &PlanArgs) -> Result<ExitCode, Failure> {
    let prepared = prepare(&args.run, begin(&args.run)?)?;
    permitted(&prepared.policy, &args.run.words)?;
    if let Some(waiting) = &prepared.waiting {
        ui::write_error(&waiting.line());
    }
    let plan = &prepared.plan;
    let text = if args.json {
        let printed = Printed {
            version: PLAN_VERSION,
            hash: plan_hash(plan),
            plan,
            steps: plan.stage(),
        };
        let mut text = serde_json::to_string_pretty(&printed)
            .map_err(|error| Failure::new(FailureKind::Internal, error))?;
        text.push('\n');
        text
    } else {
        // File names are made by agents too.
        ShownPlan(plan)
            .to_string()
            .lines()
            .map(|line| format!("{}\n", sanitize::line(line)))
            .collect()
    };
    ui::write_out(&text).map_err(|error| Failure::new(FailureKind::Machine, error))?;
    Ok(ExitCode::SUCCESS)
}
