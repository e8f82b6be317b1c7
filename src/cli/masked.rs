//! What runs masked, so that the next ones mask it wherever programs inside moved the directories that it lies in
//! ([`crate::facts::add_strayed`]).
//!
//! A file for each project, written before a run's program starts. Those of projects that lie in one another count for each
//! other: what one may write another reads.

use crate::facts::{Known, Walk, masked};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Most bytes of one file: more masks than one run has.
const BYTES_MAX: u64 = 64 << 20;

/// What runs masked in directories that contain one of `walks`' roots, or lie in one.
///
/// # Errors
/// It is there and can't be read.
pub(super) fn known(store: &Path, walks: &[Walk]) -> io::Result<Vec<Known>> {
    let entries = match fs::read_dir(store) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut all = BTreeSet::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some() {
            continue;
        }
        let (root, known) = read(&path)?;
        let related = |walk: &Walk| walk.root.starts_with(&root) || root.starts_with(&walk.root);
        if walks.iter().any(related) {
            all.extend(known);
        }
    }
    Ok(all.into_iter().collect())
}

/// Keeps what a run masks. Of what it knew when it looked, what it masks nowhere is gone, or no secret any more.
///
/// # Errors
/// Of the file system.
pub(super) fn keep(store: &Path, walks: &[Walk], known: &[Known]) -> io::Result<()> {
    let known: BTreeSet<&Known> = known.iter().collect();
    for walk in walks {
        let now: BTreeSet<Known> = masked(std::slice::from_ref(walk))
            .into_iter()
            .filter_map(|(path, identity)| Known::of(path, identity, walk.strayed.contains(&identity)))
            .collect();
        let file = store.join(name(&walk.root));
        let before = before(&file)?;
        if before.as_ref().map_or(now.is_empty(), |before| *before == now) {
            continue;
        }
        DirBuilder::new().recursive(true).mode(0o700).create(store)?;
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let lock = open(store.join("all.lock"), flags, Mode::RUSR | Mode::WUSR)?;
        rustix::io::retry_on_intr(|| flock(&lock, FlockOperation::LockExclusive))?;
        let here: HashSet<(u64, i128)> = now.iter().map(|known| (known.inode, known.born)).collect();
        // Another run may have come to know of something since this one looked.
        let came = self::before(&file)?.unwrap_or_default().into_iter();
        let came = came.filter(|one| !known.contains(one) && !here.contains(&(one.inode, one.born)));
        let mut said = walk.root.as_os_str().as_bytes().to_vec();
        for known in came.chain(now.iter().cloned()) {
            said.extend_from_slice(
                format!("\0{} {} {} ", known.inode, known.born, u8::from(known.strayed)).as_bytes(),
            );
            said.extend_from_slice(known.path.as_os_str().as_bytes());
        }
        let beside = file.with_extension("new");
        fs::write(&beside, said)?;
        fs::rename(&beside, &file)?;
    }
    Ok(())
}

fn before(file: &Path) -> io::Result<Option<BTreeSet<Known>>> {
    match read(file) {
        Ok((_, known)) => Ok(Some(known)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn name(root: &Path) -> String {
    let digest = Sha256::digest(root.as_os_str().as_bytes());
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn read(file: &Path) -> io::Result<(PathBuf, BTreeSet<Known>)> {
    if fs::metadata(file)?.len() > BYTES_MAX {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    let bytes = fs::read(file)?;
    let mut parts = bytes.split(|byte| *byte == 0);
    let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
    let root = path(parts.next().unwrap_or_default());
    let known = |part: &[u8]| {
        let mut words = part.splitn(4, |byte| *byte == b' ');
        let inode = str::from_utf8(words.next()?).ok()?.parse().ok()?;
        let born = str::from_utf8(words.next()?).ok()?.parse().ok()?;
        let strayed = words.next()? == b"1";
        let path = path(words.next()?);
        Some(Known {
            path,
            inode,
            born,
            strayed,
        })
    };
    let known: Option<BTreeSet<Known>> = parts.map(known).collect();
    Ok((
        root,
        known.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?,
    ))
}
