//! A control group of the run's own, where one is delegated (cgroups(7), the kernel's cgroup-v2.rst).

use super::During;
use crate::launch::protocol::StageError;
use crate::plan::CgroupPlan;
use std::path::PathBuf;

/// The group; removed when this is dropped, which works once nothing is left in it.
#[derive(Debug)]
pub struct Group {
    directory: PathBuf,
}

impl Group {
    /// Makes the group, sets its limits and moves the stage into it, before the program exists.
    ///
    /// # Errors
    /// The call that failed; the run must not start then, since the limits were asked for.
    pub fn make(plan: &CgroupPlan, name: &str, pid: i32) -> Result<Self, StageError> {
        let action = |error: StageError| StageError {
            action: format!("make a control group in {}", plan.parent.display()),
            ..error
        };
        let directory = plan.parent.join(format!("aca-{name}"));
        std::fs::create_dir(&directory).during("mkdir").map_err(action)?;
        let group = Self { directory };
        for (file, value) in &plan.settings {
            std::fs::write(group.directory.join(file), value)
                .during(&format!("write {file}"))
                .map_err(action)?;
        }
        std::fs::write(group.directory.join("cgroup.procs"), pid.to_string())
            .during("write cgroup.procs")
            .map_err(action)?;
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Fails only while something is left in it, and then the kernel still holds its limits.
        drop(std::fs::remove_dir(&self.directory));
    }
}
