//! The plan for people: what will be seen, written, reached, kept and dropped, and what enforces it.

use super::{Entry, Plan};
use crate::policy::OwnSandbox;
use std::fmt::{self, Write};
use std::path::Path;

/// Shows a plan as text, one thing a line.
pub struct Shown<'a>(pub &'a Plan);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.0;
        let command: Vec<String> = plan
            .program
            .argv
            .iter()
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        writeln!(formatter, "command    {}", command.join(" "))?;
        writeln!(formatter, "agent      {}  # {}", plan.agent, plan.agent_why)?;
        if let Some(own) = &plan.own_sandbox {
            let does = match own.choice {
                OwnSandbox::Keep => "kept",
                OwnSandbox::Off => "off",
            };
            writeln!(
                formatter,
                "  its own sandbox ({}) is {does}  # {}",
                own.what, own.why
            )?;
            for argument in &own.arguments {
                writeln!(formatter, "  added to the command: {argument}")?;
            }
            for variable in &own.variables {
                writeln!(formatter, "  set for that: {variable}")?;
            }
        }
        writeln!(formatter, "project    {}", plan.project.display())?;
        writeln!(formatter, "directory  {}", plan.program.directory.display())?;
        writeln!(formatter, "\nfile system")?;
        for entry in &plan.view.entries {
            if let Some(line) = line(entry) {
                writeln!(formatter, "  {line}")?;
            }
        }
        for path in &plan.made {
            writeln!(
                formatter,
                "  prepare  {}  # aca's own, made before the start",
                path.display()
            )?;
        }
        for path in &plan.not_walked {
            writeln!(
                formatter,
                "  not walked {} (nothing in there is masked or protected)",
                path.display()
            )?;
        }
        writeln!(formatter, "\nnetwork    {}", plan.network.preset.word())?;
        for rule in &plan.network.rules {
            writeln!(formatter, "  {rule}")?;
        }
        for rule in &plan.network.host_ports {
            writeln!(
                formatter,
                "  host port localhost:{} inside is localhost:{} of the host ({})",
                rule.port.inside, rule.port.host, rule.origin
            )?;
        }
        for rule in &plan.network.publish {
            writeln!(formatter, "  publish {} ({})", rule.port, rule.origin)?;
        }
        for rule in &plan.network.repositories {
            writeln!(formatter, "  {rule}")?;
        }
        writeln!(formatter, "\nenvironment")?;
        for pair in &plan.program.environment {
            let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
            writeln!(formatter, "  kept     {}", String::from_utf8_lossy(name))?;
        }
        for name in &plan.dropped_variables {
            writeln!(formatter, "  dropped  {name}")?;
        }
        writeln!(formatter, "\nlimits")?;
        for (resource, value) in &plan.limits {
            writeln!(formatter, "  {resource:?} {value}")?;
        }
        for (file, value) in plan.cgroup.iter().flat_map(|group| &group.settings) {
            writeln!(formatter, "  {file} {value}")?;
        }
        writeln!(formatter, "\nguarantees")?;
        for (guarantee, mechanisms) in &plan.enforced {
            let mut names = String::new();
            for mechanism in mechanisms {
                write!(names, "{}{mechanism:?}", if names.is_empty() { "" } else { ", " })?;
            }
            writeln!(formatter, "  {guarantee:?}: {names}")?;
        }
        for degraded in &plan.degraded {
            writeln!(
                formatter,
                "  less: {} — {}; {}",
                degraded.lost, degraded.because, degraded.remedy
            )?;
        }
        Ok(())
    }
}

fn line(entry: &Entry) -> Option<String> {
    let moved = |source: &Path, at: &Path| {
        if source == at {
            at.display().to_string()
        } else {
            format!("{} (from {})", at.display(), source.display())
        }
    };
    Some(match entry {
        Entry::Show { source, at, why, .. } => format!("read     {}  # {why}", moved(source, at)),
        Entry::Grant { source, at, why, .. } => format!("write    {}  # {why}", moved(source, at)),
        Entry::Scratch { at, size_bytes, .. } => format!(
            "scratch  {}  # up to {} MiB, gone at the end",
            at.display(),
            size_bytes >> 20
        ),
        Entry::Protect { at, why, .. } => format!("keep     {}  # runs when {why}", at.display()),
        Entry::Pin { at } => format!("pin      {}  # can't be renamed away", at.display()),
        Entry::Cover { at, why, .. } => format!("cover    {}  # {why}", at.display()),
        Entry::Mask { at, origin, .. } => format!("hide     {}  # {origin}", at.display()),
        Entry::File { at, .. } => format!("make     {}", at.display()),
        Entry::Terminal { path, .. } => format!("terminal {}", path.display()),
        Entry::Devices { granted, .. } if granted.is_empty() => "devices  /dev".to_owned(),
        Entry::Devices { granted, .. } => format!(
            "devices  /dev with {}",
            granted
                .iter()
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
                .join(", ")
        ),
        Entry::Directory { .. }
        | Entry::Link { .. }
        | Entry::Seal { .. }
        | Entry::Proc { .. }
        | Entry::Sys => {
            return None;
        }
    })
}
