//! A control group of the run's own, where one is delegated (cgroups(7), the kernel's cgroup-v2.rst).

use super::During;
use crate::launch::protocol::StageError;
use crate::plan::CgroupPlan;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Age from which on a group without processes is nobody's.
const ABANDONED: Duration = Duration::from_secs(60);

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
        sweep(&plan.parent);
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

/// Removes groups of runs that were killed and could not do so. A group with a process in it can't be removed; one that
/// is about to get its first is younger than this.
fn sweep(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > ABANDONED));
        if old && entry.file_name().as_encoded_bytes().starts_with(b"aca-") {
            std::fs::remove_dir(entry.path()).ok();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Fails only while something is left in it, and then the kernel still holds its limits.
        drop(std::fs::remove_dir(&self.directory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_killed_runs_left_is_removed_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let old = std::time::SystemTime::now() - 2 * ABANDONED;
        for name in ["aca-old", "other", "aca-used"] {
            let path = parent.path().join(name);
            std::fs::create_dir(&path).unwrap();
            if name == "aca-used" {
                std::fs::create_dir(path.join("child")).unwrap();
            }
            std::fs::File::open(&path).unwrap().set_modified(old).unwrap();
        }
        std::fs::create_dir(parent.path().join("aca-young")).unwrap();
        sweep(parent.path());
        let mut left: Vec<_> = std::fs::read_dir(parent.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["aca-used", "aca-young", "other"]);
    }
}
