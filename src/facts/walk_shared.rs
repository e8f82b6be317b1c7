//! A level of the walk that two threads share. Most of a walk is the kernel listing directories, which it does for both
//! at the same time.
//!
//! What is found doesn't depend on who finds it: each directory is looked at by one of the two as it would be by the one
//! alone, and the lists are put together at the end.

use super::found::Walk;
use super::walk::{MASKS_MAX, NAMES_MAX, Purpose, WalkError};
use super::walker::{Child, Context, Walker};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Fewest directories side by side that are worth a thread: it takes as long to start as a few of them to list.
const SHARED_MIN: usize = 12;

/// As the first thread's: the walk goes into itself for each level.
const STACK_BYTES: usize = 8 << 20;

/// What the second thread of a level found.
type Half = Result<(Walk, usize), WalkError>;

impl Walker<'_> {
    /// Whether the directories of a level are to be walked by two threads. Then [`Self::share`] has to follow: no other
    /// level is, until one of the two has nothing more to do.
    pub(super) fn is_shared(&self, children: &[Child]) -> bool {
        children.len() >= SHARED_MIN
            && self.known.is_none()
            && processors() > 1
            && !self.two_at_work.swap(true, Ordering::Relaxed)
    }

    /// Goes into each directory of a level, with a second thread.
    pub(super) fn share(
        &mut self,
        directory: &OwnedFd,
        children: &[Child],
        plain: &Context,
    ) -> Result<(), WalkError> {
        let next = &AtomicUsize::new(0);
        let (matcher, purpose, root) = (self.matcher, self.purpose, self.walk.root.clone());
        let (path, roaming, in_alias) = (self.path.clone(), self.roaming, self.in_alias);
        let (device, compared) = (self.device, self.compared);
        let two_at_work = Arc::clone(&self.two_at_work);
        let other = move || -> Half {
            let mut walker = Walker::new(&root, matcher, purpose);
            walker.path = path;
            walker.roaming = roaming;
            walker.in_alias = in_alias;
            walker.device = device;
            walker.compared = compared;
            walker.two_at_work = two_at_work;
            walker.take(directory, children, plain, next)?;
            Ok((walker.walk, walker.compared.saturating_sub(compared)))
        };
        let (own, other) = thread::scope(|scope| {
            let builder = thread::Builder::new().stack_size(STACK_BYTES);
            let started = builder.spawn_scoped(scope, other);
            let own = self.take(directory, children, plain, next);
            // Without a second thread the first has done it all.
            let other = started.ok().map(|handle| match handle.join() {
                Ok(half) => half,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            (own, other)
        });
        own?;
        let Some(other) = other else { return Ok(()) };
        let (walk, compared) = other?;
        self.compared += compared;
        self.absorb(walk)
    }

    /// Takes directories of the level until none is left.
    fn take(
        &mut self,
        directory: &OwnedFd,
        children: &[Child],
        plain: &Context,
        next: &AtomicUsize,
    ) -> Result<(), WalkError> {
        let mut result = Ok(());
        while let Some(child) = children.get(next.fetch_add(1, Ordering::Relaxed)) {
            result = self.child(directory, child, plain);
            if result.is_err() {
                // Nobody has to look at the rest.
                next.store(children.len(), Ordering::Relaxed);
                break;
            }
        }
        // The other one may share what it is at with a new thread.
        self.two_at_work.store(false, Ordering::Relaxed);
        result
    }

    /// Puts what the other half found to this one's. The bounds are those of the whole.
    fn absorb(&mut self, other: Walk) -> Result<(), WalkError> {
        let own = &mut self.walk;
        let Walk {
            root: _,
            masks,
            protected,
            watched,
            undecided,
            user,
            repositories,
            escapes,
            aliases,
            privileged,
            begun_ns: _,
            directories,
            git_directories,
            directory_count,
            file_count,
            skipped,
            mounts,
            truncated,
            strayed: _,
        } = other;
        own.masks.extend(masks);
        own.protected.extend(protected);
        own.watched.extend(watched);
        own.undecided.extend(undecided);
        own.user.extend(user);
        own.repositories.extend(repositories);
        own.escapes.extend(escapes);
        own.aliases.extend(aliases);
        own.privileged.extend(privileged);
        own.directories.extend(directories);
        own.git_directories.extend(git_directories);
        own.directory_count += directory_count;
        own.file_count += file_count;
        own.skipped.extend(skipped);
        own.mounts.extend(mounts);
        own.truncated |= truncated;
        let beyond = |list: &[super::Found]| list.get(MASKS_MAX).map(|found| found.path.clone());
        let error = if own.file_count > NAMES_MAX {
            Some(WalkError::TooManyNames)
        } else if let Some(path) = beyond(&own.masks) {
            Some(WalkError::TooManyMasks { path })
        } else {
            beyond(&own.protected).map(|path| WalkError::TooManyProtected { path })
        };
        match error {
            Some(error) if self.purpose == Purpose::Protect || error == WalkError::TooManyNames => Err(error),
            Some(_) => {
                self.walk.masks.truncate(MASKS_MAX);
                self.walk.protected.truncate(MASKS_MAX);
                self.walk.truncated = true;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// How many processors this process may use (sched_getaffinity(2)); one where that can't be told.
fn processors() -> u32 {
    rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::beneath::open_root;
    use crate::facts::matcher::Matcher;
    use crate::facts::real;
    use crate::presets;
    use std::fs;
    use std::path::Path;

    /// A tree with something of every list, at several depths.
    fn tree(root: &Path, depth: usize) {
        for index in 0..SHARED_MIN + 3 {
            let directory = root.join(format!("d{index:02}"));
            fs::create_dir_all(&directory).unwrap();
            match index {
                0 if depth > 0 => tree(&directory, depth - 1),
                1 => fs::write(directory.join(".env"), "TOKEN=x").unwrap(),
                2 => fs::write(directory.join(".envrc"), "use flake").unwrap(),
                3 => fs::write(directory.join("service-account.json"), "{}").unwrap(),
                4 => std::os::unix::fs::symlink("/etc", directory.join("out")).unwrap(),
                5 => fs::create_dir_all(directory.join("node_modules/x")).unwrap(),
                6 => {
                    for name in ["objects", "refs", "hooks"] {
                        fs::create_dir_all(directory.join(".git").join(name)).unwrap();
                    }
                    fs::write(directory.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
                    fs::write(directory.join(".git/config"), "").unwrap();
                }
                _ => {}
            }
        }
    }

    fn walked(root: &Path, matcher: &Matcher, alone: bool) -> Walk {
        let mut walker = Walker::new(root, matcher, Purpose::ReportModes);
        walker.two_at_work.store(alone, Ordering::Relaxed);
        let context = Context::root(matcher);
        walker.directory(&open_root(root).unwrap(), &context).unwrap();
        let mut walk = walker.finish();
        walk.begun_ns = 0;
        walk.directories.sort_by(|one, other| one.path.cmp(&other.path));
        walk.git_directories
            .sort_by(|one, other| one.path.cmp(&other.path));
        walk.repositories.sort_by(|one, other| one.path.cmp(&other.path));
        walk.skipped.sort_by(|one, other| one.path.cmp(&other.path));
        walk.escapes.sort();
        walk
    }

    #[test]
    fn two_find_what_one_finds() {
        let folder = tempfile::tempdir().unwrap();
        let root = real(folder.path()).unwrap();
        tree(&root, 4);
        let matcher = Matcher::new(presets::tree_rules().unwrap(), Vec::new());
        let alone = walked(&root, &matcher, true);
        assert_eq!(
            (
                alone.masks.len(),
                alone.repositories.len(),
                alone.escapes.len(),
                alone.skipped.len()
            ),
            (5, 5, 5, 10)
        );
        for _ in 0..20 {
            assert_eq!(walked(&root, &matcher, false), alone);
        }
    }

    #[test]
    fn bounds_are_those_of_the_whole() {
        let folder = tempfile::tempdir().unwrap();
        let root = real(folder.path()).unwrap();
        for index in 0..SHARED_MIN {
            let directory = root.join(index.to_string());
            fs::create_dir(&directory).unwrap();
            for name in 0..=MASKS_MAX / SHARED_MIN {
                fs::write(directory.join(format!("{name}.env")), "").unwrap();
            }
        }
        let matcher = Matcher::new(presets::tree_rules().unwrap(), Vec::new());
        let protecting = crate::facts::walk(&root, &matcher, Purpose::Protect);
        assert!(
            matches!(protecting, Err(WalkError::TooManyMasks { .. })),
            "{protecting:?}"
        );
        let report = crate::facts::walk(&root, &matcher, Purpose::Report).unwrap();
        assert_eq!((report.masks.len(), report.truncated), (MASKS_MAX, true));
    }

    #[test]
    fn a_fault_of_either_is_the_fault_of_both() {
        let folder = tempfile::tempdir().unwrap();
        let root = real(folder.path()).unwrap();
        for index in 0..SHARED_MIN {
            fs::create_dir(root.join(index.to_string())).unwrap();
        }
        let deep: std::path::PathBuf = std::iter::repeat_n("x", crate::facts::walk::DEPTH_MAX + 4).collect();
        fs::create_dir_all(root.join("7").join(deep)).unwrap();
        let matcher = Matcher::new(presets::tree_rules().unwrap(), Vec::new());
        let walked = crate::facts::walk(&root, &matcher, Purpose::Protect);
        assert!(matches!(walked, Err(WalkError::TooDeep { .. })), "{walked:?}");
    }
}
