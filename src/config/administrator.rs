//! Opens the administrator's file, if it is one: nobody but root may have had a hand in it.
//!
//! The place is fixed. No variable and no flag moves it, or a user could look elsewhere.

use super::ConfigError;
use rustix::{
    fs::{CWD, Mode, OFlags, fstat, open, openat},
    io::Errno,
};
use std::{
    fs::File,
    os::fd::OwnedFd,
    path::{Component, Path, PathBuf},
};

/// Where it is.
pub const ADMINISTRATORS_FILE: &str = "/etc/aca/config.toml";
const ROOT_UID: u32 = 0;

/// Opens it; `None` when there is none.
///
/// # Errors
/// When it or a directory above belongs to somebody else, can be written by others, or leads over a link.
pub(super) fn open_administrators() -> Result<Option<(PathBuf, File)>, ConfigError> {
    let path = Path::new(ADMINISTRATORS_FILE);
    // Most machines have none, and one look tells.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if let Err(Errno::NOENT) = open(path, flags, Mode::empty()) {
        return Ok(None);
    }
    open_owned(Path::new("/"), path, ROOT_UID).map(|file| Some((path.to_owned(), file)))
}

/// Opens `path` step by step from `base`; each step must be `owner`'s and closed to the writing of others. `base` is not
/// looked at unless it is the root.
fn open_owned(base: &Path, path: &Path, owner: u32) -> Result<File, ConfigError> {
    let below = path.strip_prefix(base).unwrap_or(path);
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut reached = base.to_owned();
    let mut opened = openat(CWD, base, directory, Mode::empty()).map_err(|errno| failed(&reached, errno))?;
    if base == Path::new("/") {
        check(&opened, &reached, owner)?;
    }
    let mut names = below.components().peekable();
    while let Some(Component::Normal(name)) = names.next() {
        reached.push(name);
        let flags = if names.peek().is_some() {
            directory
        } else {
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC
        };
        opened = openat(&opened, name, flags, Mode::empty()).map_err(|errno| failed(&reached, errno))?;
        check(&opened, &reached, owner)?;
    }
    let file = File::from(opened);
    let metadata = file.metadata().map_err(|source| ConfigError::Read {
        path: reached.clone(),
        source,
    })?;
    if !metadata.is_file() {
        let why = "is no regular file".into();
        return Err(ConfigError::Unsafe { path: reached, why });
    }
    Ok(file)
}

fn failed(path: &Path, errno: Errno) -> ConfigError {
    let path = path.to_owned();
    match errno {
        Errno::LOOP => ConfigError::Unsafe {
            path,
            why: "is a symbolic link".into(),
        },
        // O_DIRECTORY with O_NOFOLLOW says so of a link, too (open(2)).
        Errno::NOTDIR => ConfigError::Unsafe {
            path,
            why: "is no directory".into(),
        },
        errno => ConfigError::Read {
            path,
            source: errno.into(),
        },
    }
}

fn check(opened: &OwnedFd, path: &Path, owner: u32) -> Result<(), ConfigError> {
    let status = fstat(opened).map_err(|errno| failed(path, errno))?;
    let wrong = |why| ConfigError::Unsafe {
        path: path.to_owned(),
        why,
    };
    if status.st_uid != owner {
        return Err(wrong(format!("belongs to uid {}, not to root", status.st_uid)));
    }
    // An access control list that lets somebody write shows in the group's bits, as their mask (acl(5)).
    if status.st_mode & 0o022 != 0 {
        let mode = status.st_mode & 0o7777;
        return Err(wrong(format!("can be written by others (mode {mode:03o})")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
    };

    fn own() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn why(base: &Path, owner: u32) -> String {
        let path = base.join("etc/aca/config.toml");
        let error = open_owned(base, &path, owner).expect_err("it must not count");
        error.to_string().replace(&base.display().to_string(), "")
    }

    fn made() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("etc/aca")).unwrap();
        fs::write(folder.path().join("etc/aca/config.toml"), "").unwrap();
        for (path, mode) in [("etc", 0o755), ("etc/aca", 0o755), ("etc/aca/config.toml", 0o644)] {
            let permissions = fs::Permissions::from_mode(mode);
            fs::set_permissions(folder.path().join(path), permissions).unwrap();
        }
        folder
    }

    #[test]
    fn every_step_is_the_owners_alone() {
        let folder = made();
        let base = folder.path();
        assert!(open_owned(base, &base.join("etc/aca/config.toml"), own()).is_ok());
        assert_eq!(
            why(base, own() + 1),
            format!(
                "the administrator's configuration file doesn't count: /etc belongs to uid {}, not to root",
                own()
            )
        );
        for (path, mode, safe) in [
            ("etc", 0o775, 0o755),
            ("etc/aca", 0o757, 0o755),
            ("etc/aca/config.toml", 0o664, 0o644),
            ("etc/aca/config.toml", 0o646, 0o644),
        ] {
            let at = base.join(path);
            fs::set_permissions(&at, fs::Permissions::from_mode(mode)).unwrap();
            assert!(
                why(base, own()).contains(&format!("/{path} can be written by others (mode {mode:o})")),
                "{path}"
            );
            fs::set_permissions(&at, fs::Permissions::from_mode(safe)).unwrap();
        }
    }

    #[test]
    fn links_and_what_is_no_file_do_not_count() {
        let folder = made();
        let base = folder.path();
        let file = base.join("etc/aca/config.toml");
        fs::rename(&file, base.join("real")).unwrap();
        symlink(base.join("real"), &file).unwrap();
        assert!(why(base, own()).ends_with("config.toml is a symbolic link"));
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert!(why(base, own()).ends_with("config.toml is no regular file"));
        fs::rename(base.join("etc/aca"), base.join("aca")).unwrap();
        symlink(base.join("aca"), base.join("etc/aca")).unwrap();
        assert!(why(base, own()).ends_with("/etc/aca is no directory"));
    }
}
