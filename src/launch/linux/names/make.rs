//! Judges a name and makes it.

use super::arguments::{Named, Wanted};
use super::caller::Caller;
use super::place::{self, NoPlace, Place};
use super::turn::Turn;
use super::umask::Masks;
use super::{Answer, World, moved};
use crate::facts::{KeptName, NameJudge, NewKind};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat, fcntl_setfl, fstat, linkat, mkdirat,
    mknodat, openat2, renameat_with, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// Most links that one path leads over, as in the kernel (path_resolution(7)).
const LINKS_MAX: usize = 40;
/// What open(2) knows, other than `O_LARGEFILE`, which counts for nothing where a long has 64 bits.
const OPEN_FLAGS: OFlags = OFlags::RWMODE
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOCTTY)
    .union(OFlags::TRUNC)
    .union(OFlags::APPEND)
    .union(OFlags::NONBLOCK)
    .union(OFlags::SYNC)
    .union(OFlags::from_bits_retain(libc::O_ASYNC.cast_unsigned()))
    .union(OFlags::DIRECT)
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NOATIME)
    .union(OFlags::CLOEXEC)
    .union(OFlags::PATH)
    .union(OFlags::TMPFILE);

/// What openat2(2) may be asked for while it makes a file; the kernel refuses the rest, `RESOLVE_CACHED` too.
const RESOLVE_FLAGS: ResolveFlags = ResolveFlags::NO_XDEV
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::BENEATH)
    .union(ResolveFlags::IN_ROOT);

/// What comes of a call; `waits` tells whether the caller is still the one that was read of.
pub(super) fn answer(
    world: &mut World,
    masks: &mut Masks,
    caller: &Caller,
    wanted: Wanted,
    waits: &dyn Fn() -> bool,
) -> Answer {
    let mut maker = Maker {
        world,
        masks,
        caller,
        waits,
        turn: Turn::Not,
    };
    let made = match wanted {
        Wanted::Umask => {
            maker.masks.changes();
            Ok(Answer::Kernel)
        }
        // What open(2) doesn't know it passes over; openat2(2), by which the file is opened, refuses it.
        Wanted::Open { at, flags, mode } => {
            maker.open(at, flags & OPEN_FLAGS.bits(), mode, ResolveFlags::empty())
        }
        Wanted::OpenHow { at, how, size } => maker.open_how(at, how, size),
        Wanted::Directory { at, mode } => maker.directory(at, mode),
        Wanted::Node { at, mode, device } => maker.node(at, mode, device),
        Wanted::Symlink { target, at } => maker.symlink(target, at),
        Wanted::Link { from, to, flags } => maker.link(from, to, flags),
        Wanted::Rename { from, to, flags } => maker.rename(from, to, flags),
        Wanted::Bind {
            socket,
            address,
            length,
        } => maker.bind(socket, address, length),
    };
    maker.turn_ends();
    made.unwrap_or_else(|answer| answer)
}

/// What one call is answered with.
pub(super) struct Maker<'a> {
    pub(super) world: &'a mut World,
    masks: &'a mut Masks,
    pub(super) caller: &'a Caller,
    waits: &'a dyn Fn() -> bool,
    /// What is held of the lock.
    turn: Turn,
}

/// The answer either way: an error is one that was found before the end.
pub(super) type Made = Result<Answer, Answer>;

fn done(result: Result<(), Errno>) -> Made {
    result.map(|()| Answer::Done).map_err(Answer::Fails)
}

impl Maker<'_> {
    /// Waits for a turn: before a directory is found, and until the name is made. Who has more already keeps it.
    pub(super) fn turn(&mut self, turn: Turn) {
        if self.turn < turn {
            self.world.turns.take(turn);
            self.turn = turn;
        }
    }

    fn turn_ends(&mut self) {
        if self.turn != Turn::Not {
            self.world.turns.take(Turn::Not);
            self.turn = Turn::Not;
        }
    }

    fn find(&self, named: Named) -> Result<Place, NoPlace> {
        place::find(self.world, self.caller, named, ResolveFlags::empty())
    }

    /// The place of a name that is made there and nowhere else; the kernel has the others.
    fn held(&mut self, named: Named) -> Result<Place, Answer> {
        self.turn(Turn::Shared);
        let place = self.find(named)?;
        if place.is_held(self.world) {
            Ok(place)
        } else {
            Err(Answer::Kernel)
        }
    }

    pub(super) fn judge(&mut self, place: &Place, kind: NewKind) -> Option<KeptName> {
        let _read = self.world.matcher();
        let World {
            matcher, names, ways, ..
        } = &mut *self.world;
        let judge = NameJudge {
            matcher: matcher.as_ref()?,
            names,
            is_there: &is_there,
        };
        let kept = judge.judge_in(ways, &place.real, place.name(), kind);
        match kind {
            NewKind::Link => kept.or_else(|| moved::link_on_the_way(names, &place.path())),
            NewKind::Directory | NewKind::File => kept,
        }
    }

    /// Refuses what may not be made.
    fn permit(&mut self, place: &Place, kind: NewKind) -> Result<(), Answer> {
        match self.judge(place, kind) {
            // Not left to the call: what is there may be taken away meanwhile.
            Some(_) if status(place).is_ok() => Err(Answer::Fails(Errno::EXIST)),
            Some(kept) => Err(Answer::Refused(place.path(), kept)),
            None => Ok(()),
        }
    }

    /// The last step before anything is done.
    pub(super) fn go(&self) -> Result<(), Answer> {
        if (self.waits)() {
            Ok(())
        } else {
            // Nobody gets the answer.
            Err(Answer::Fails(Errno::INTR))
        }
    }

    /// Sets the mask that what is made by a caller gets; the kernel does the rest, with lists in the directory too.
    pub(super) fn mask(&mut self) {
        let mask = self.masks.of(self.world, self.caller);
        if self.masks.set != Some(mask) {
            rustix::process::umask(Mode::from_bits_retain(mask & 0o777));
            self.masks.set = Some(mask);
        }
    }

    fn open_how(&mut self, at: Named, how: u64, size: u64) -> Made {
        /// `struct open_how` of openat2(2), its first version.
        const HOW_BYTES: usize = 24;
        let mut bytes = [0_u8; HOW_BYTES];
        if size < 24 || self.caller.copy(how, &mut bytes) != Some(HOW_BYTES) {
            return Ok(Answer::Kernel);
        }
        let (words, _) = bytes.as_chunks::<8>();
        let [flags, mode, resolve] = words else {
            return Ok(Answer::Kernel);
        };
        let (flags, mode, resolve) = (
            u64::from_ne_bytes(*flags),
            u64::from_ne_bytes(*mode),
            u64::from_ne_bytes(*resolve),
        );
        let creates = flags & u64::from(OFlags::CREATE.bits()) != 0;
        // What it doesn't know it refuses before it looks for anything.
        let known = |flags: u32| flags & !(OPEN_FLAGS | OFlags::LARGEFILE).bits() == 0;
        match (u32::try_from(flags), u32::try_from(mode)) {
            (Ok(flags), Ok(mode))
                if creates && known(flags) && resolve & !RESOLVE_FLAGS.bits() == 0 && mode & !0o7777 == 0 =>
            {
                self.open(at, flags, mode, ResolveFlags::from_bits_retain(resolve))
            }
            _ => Ok(Answer::Kernel),
        }
    }

    fn open(&mut self, at: Named, flags: u32, mode: u32, resolve: ResolveFlags) -> Made {
        let flags = OFlags::from_bits_retain(flags);
        // Neither makes a name: the first refers to what is there, the second makes a file without one.
        if !flags.contains(OFlags::CREATE) || flags.intersects(OFlags::PATH | OFlags::DIRECTORY) {
            return Ok(Answer::Kernel);
        }
        self.turn(Turn::Shared);
        let mut place = place::find(self.world, self.caller, at, resolve)?;
        let stays = flags.intersects(OFlags::EXCL | OFlags::NOFOLLOW);
        for _ in 0..LINKS_MAX {
            if place.last.ends_with(b"/") {
                return Ok(Answer::Kernel);
            }
            let held = place.is_held(self.world);
            if !held {
                // A link that lies elsewhere may lead in here. Those of `/proc` lead where the caller's own do.
                if stays || place.real.starts_with("/proc") {
                    return Ok(Answer::Kernel);
                }
                let Ok(Some(link)) = place::link(&place) else {
                    return Ok(Answer::Kernel);
                };
                place = self.follow(&place, &link, resolve)?;
                continue;
            }
            match self.open_here(&place, flags, mode)? {
                Opened::File { file, made, empties } => {
                    return Ok(Answer::Opened {
                        file,
                        close_on_exec: flags.contains(OFlags::CLOEXEC),
                        made: made.then_some(place),
                        empties,
                    });
                }
                Opened::Link if stays => return Ok(Answer::Fails(Errno::LOOP)),
                Opened::Link => match place::link(&place) {
                    Ok(Some(link)) => place = self.follow(&place, &link, resolve)?,
                    // Something else by now: once more.
                    Ok(None) | Err(Errno::NOENT) => {}
                    Err(_) => return Ok(Answer::Kernel),
                },
            }
        }
        Ok(Answer::Fails(Errno::LOOP))
    }

    fn follow(&self, place: &Place, link: &[u8], resolve: ResolveFlags) -> Result<Place, Answer> {
        if resolve.contains(ResolveFlags::NO_SYMLINKS) {
            return Err(Answer::Fails(Errno::LOOP));
        }
        // Bounds count from where the path began, which is known to be kept only by what goes down from here.
        let leaves = link.starts_with(b"/") || link.split(|byte| *byte == b'/').any(|name| name == b"..");
        if leaves && !resolve.difference(ResolveFlags::NO_MAGICLINKS).is_empty() {
            return Err(Answer::Kernel);
        }
        Ok(place::follow(self.world, place, link, resolve)?)
    }

    /// Opens a name in a held directory. What isn't a regular file is the kernel's to open: it may wait for somebody, or
    /// mean something else to another process.
    fn open_here(&mut self, place: &Place, flags: OFlags, mode: u32) -> Result<Opened, Answer> {
        if let Some(kept) = self.judge(place, NewKind::File) {
            return match status(place) {
                Err(Errno::NOENT) => Err(Answer::Refused(place.path(), kept)),
                Ok(status) if FileType::from_raw_mode(status.st_mode) == FileType::Symlink => {
                    Ok(Opened::Link)
                }
                _ => Err(Answer::Kernel),
            };
        }
        self.mask();
        self.go()?;
        let mode = Mode::from_bits_retain(mode & 0o7777);
        let open = |flags: OFlags| {
            let (parent, name) = (place.parent.as_fd(), place.last.as_slice());
            openat2(
                parent,
                name,
                flags | OFlags::CLOEXEC,
                mode,
                ResolveFlags::NO_SYMLINKS,
            )
        };
        // Most are new, and what is new is a regular file.
        match open(flags | OFlags::EXCL) {
            Ok(file) => {
                return Ok(Opened::File {
                    file,
                    made: true,
                    empties: false,
                });
            }
            Err(Errno::EXIST) if !flags.contains(OFlags::EXCL) => {}
            Err(errno) => return Err(Answer::Fails(errno)),
        }
        // A pipe that is opened for a moment lets go of who waits at its other end.
        let there = status(place);
        match there
            .as_ref()
            .map(|status| FileType::from_raw_mode(status.st_mode))
        {
            Ok(FileType::RegularFile) | Err(_) => {}
            Ok(FileType::Symlink) => return Ok(Opened::Link),
            Ok(_) => return Err(Answer::Kernel),
        }
        let empties = flags.contains(OFlags::TRUNC)
            && flags.intersects(OFlags::WRONLY | OFlags::RDWR)
            && there.is_ok_and(|status| status.st_size > 0);
        let kept = if empties { flags - OFlags::TRUNC } else { flags };
        // Who has a lease on it is waited for by the caller alone (fcntl(2)).
        let file = match open(kept | OFlags::NONBLOCK | OFlags::NOCTTY) {
            Ok(file) => file,
            Err(Errno::LOOP) => return Ok(Opened::Link),
            Err(Errno::NXIO | Errno::AGAIN) => return Err(Answer::Kernel),
            Err(errno) => return Err(Answer::Fails(errno)),
        };
        if !flags.contains(OFlags::NONBLOCK) {
            fcntl_setfl(&file, flags & !OFlags::NONBLOCK).map_err(Answer::Fails)?;
        }
        Ok(Opened::File {
            file,
            made: false,
            empties,
        })
    }

    fn directory(&mut self, at: Named, mode: u32) -> Made {
        // Most that are asked for are there: package managers make each directory on the way to every file.
        let path = self.caller.path(at.path).ok_or(Answer::Kernel)?;
        if place::is_there(self.world, self.caller, at, &path) {
            return Ok(Answer::Fails(Errno::EXIST));
        }
        self.turn(Turn::Shared);
        let place = place::find_text(self.world, self.caller, at, &path, ResolveFlags::empty())?;
        if !place.is_held(self.world) {
            return Ok(Answer::Kernel);
        }
        self.permit(&place, NewKind::Directory)?;
        self.mask();
        self.go()?;
        done(mkdirat(
            place.parent.as_fd(),
            place.last.as_slice(),
            Mode::from_bits_retain(mode & 0o7777),
        ))
    }

    fn node(&mut self, at: Named, mode: u32, device: u32) -> Made {
        let place = self.held(at)?;
        let kind = match mode & libc::S_IFMT {
            0 | libc::S_IFREG => FileType::RegularFile,
            libc::S_IFIFO => FileType::Fifo,
            libc::S_IFSOCK => FileType::Socket,
            // Those take a capability, which this thread has no more than the caller.
            libc::S_IFCHR => FileType::CharacterDevice,
            libc::S_IFBLK => FileType::BlockDevice,
            _ => return Ok(Answer::Kernel),
        };
        self.permit(&place, NewKind::File)?;
        self.mask();
        self.go()?;
        let mode = Mode::from_bits_retain(mode & 0o7777);
        done(mknodat(
            place.parent.as_fd(),
            place.last.as_slice(),
            kind,
            mode,
            device.into(),
        ))
    }

    fn symlink(&mut self, target: u64, at: Named) -> Made {
        let place = self.held(at)?;
        let target = self.caller.path(target).ok_or(Answer::Kernel)?;
        self.permit(&place, NewKind::Link)?;
        self.go()?;
        done(symlinkat(
            target.as_slice(),
            place.parent.as_fd(),
            place.last.as_slice(),
        ))
    }

    fn link(&mut self, from: Named, to: Named, flags: u32) -> Made {
        // What another run puts there meanwhile may be of another kind.
        self.turn(Turn::Alone);
        let to = self.held(to)?;
        let flags = AtFlags::from_bits_retain(flags);
        if !(flags & !(AtFlags::SYMLINK_FOLLOW | AtFlags::EMPTY_PATH)).is_empty() {
            return Ok(Answer::Kernel);
        }
        let text = self.caller.path(from.path).ok_or(Answer::Kernel)?;
        if text.is_empty() && flags.contains(AtFlags::EMPTY_PATH) {
            return self.link_descriptor(from.directory, &to);
        }
        let mut source = match self.find(from) {
            Ok(place) => place,
            // What open(2) suggests for files without a name.
            Err(NoPlace::Descriptor(number)) if flags.contains(AtFlags::SYMLINK_FOLLOW) => {
                return self.link_descriptor(number, &to);
            }
            Err(none) => return Ok(none.into()),
        };
        if flags.contains(AtFlags::SYMLINK_FOLLOW) {
            for count in 0.. {
                match place::link(&source) {
                    Ok(Some(_)) if count == LINKS_MAX => return Ok(Answer::Fails(Errno::LOOP)),
                    Ok(Some(_)) if source.real.starts_with("/proc") => return Ok(Answer::Kernel),
                    Ok(Some(link)) => {
                        source = place::follow(self.world, &source, &link, ResolveFlags::empty())?;
                    }
                    _ => break,
                }
            }
        }
        let status = status(&source).map_err(Answer::Fails)?;
        // Another name of a link is a link.
        let kind = moved::kind_of(FileType::from_raw_mode(status.st_mode));
        self.permit(&to, kind)?;
        self.go()?;
        done(linkat(
            source.parent.as_fd(),
            source.last.as_slice(),
            to.parent.as_fd(),
            to.last.as_slice(),
            AtFlags::empty(),
        ))
    }

    fn link_descriptor(&mut self, number: i32, to: &Place) -> Made {
        let file = self
            .caller
            .descriptor(self.world, number)
            .map_err(Answer::Fails)?;
        // A descriptor may be a link's own (O_PATH and O_NOFOLLOW).
        let status = fstat(&file).map_err(Answer::Fails)?;
        self.permit(to, moved::kind_of(FileType::from_raw_mode(status.st_mode)))?;
        self.go()?;
        done(linkat(
            self.world.own.as_fd(),
            file.as_raw_fd().to_string().as_str(),
            to.parent.as_fd(),
            to.last.as_slice(),
            AtFlags::SYMLINK_FOLLOW,
        ))
    }

    fn rename(&mut self, from: Named, to: Named, flags: u32) -> Made {
        let flags = RenameFlags::from_bits_retain(flags);
        let (one, other) = (
            RenameFlags::NOREPLACE | RenameFlags::WHITEOUT,
            RenameFlags::EXCHANGE,
        );
        // Before anything else it says that it knows none of that.
        if !(flags & !(one | other)).is_empty() || (flags.intersects(one) && flags.intersects(other)) {
            return Ok(Answer::Kernel);
        }
        // A directory is looked through and moved as it was then, and what is something else is of the same kind still.
        self.turn(Turn::Alone);
        let Both {
            from,
            to,
            source,
            target,
        } = self.both(from, to)?;
        let mut permitted = self.permit_move(&from, &to, source.st_mode);
        if let Some(target) = target.filter(|_| flags.contains(RenameFlags::EXCHANGE)) {
            permitted = permitted.and_then(|()| self.permit_move(&to, &from, target.st_mode));
        }
        if flags.contains(RenameFlags::WHITEOUT)
            && let Some(kept) = self.judge(&from, NewKind::File)
        {
            permitted = permitted.and(Err(Answer::Refused(from.path(), kept)));
        }
        match permitted {
            // Not left to the call: what is there may be taken away meanwhile.
            Err(_) if flags.contains(RenameFlags::NOREPLACE) && target.is_some() => {
                return Err(Answer::Fails(Errno::EXIST));
            }
            other => other?,
        }
        self.go()?;
        done(renameat_with(
            from.parent.as_fd(),
            from.last.as_slice(),
            to.parent.as_fd(),
            to.last.as_slice(),
            flags,
        ))
    }

    /// Both places of a move, of which one is held.
    fn both(&self, from: Named, to: Named) -> Result<Both, Answer> {
        let from = self.find(from)?;
        let to = self.find(to)?;
        if !from.is_held(self.world) && !to.is_held(self.world) {
            return Err(Answer::Kernel);
        }
        let source = status(&from).map_err(Answer::Fails)?;
        let target = status(&to).ok();
        Ok(Both {
            from,
            to,
            source,
            target,
        })
    }

    /// Refuses to put what stands at one name at another one, where that or something in it may not be.
    fn permit_move(&mut self, from: &Place, to: &Place, mode: u32) -> Result<(), Answer> {
        let (old, new) = (from.path(), to.path());
        let kind = moved::kind_of(FileType::from_raw_mode(mode));
        // What has this name already is only written anew; a name that covers itself can't be replaced anyway.
        if old == new {
            return Ok(());
        }
        if let Some(kept) = self.judge(to, kind) {
            return Err(Answer::Refused(new, kept));
        }
        if kind == NewKind::Directory
            && let Some(matcher) = self.world.matcher.as_ref()
        {
            let judge = NameJudge {
                matcher,
                names: &self.world.names,
                is_there: &is_there,
            };
            moved::look(&judge, from, &old, &new)?;
        }
        Ok(())
    }
}

/// What is moved, and where to.
struct Both {
    from: Place,
    to: Place,
    source: Stat,
    target: Option<Stat>,
}

enum Opened {
    /// A file, whether it is new, and whether it has to be emptied.
    File {
        file: OwnedFd,
        made: bool,
        empties: bool,
    },
    /// A symbolic link stands there.
    Link,
}

/// Removes a new file that nobody got.
pub(super) fn take_back(place: &Place, file: &OwnedFd) {
    let same = |one: &Stat, other: &Stat| (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino);
    if let (Ok(there), Ok(made)) = (status(place), fstat(file))
        && same(&there, &made)
    {
        // Nothing is lost by it if somebody was faster.
        unlinkat(place.parent.as_fd(), place.name(), AtFlags::empty()).unwrap_or(());
    }
}

fn status(place: &Place) -> Result<rustix::fs::Stat, Errno> {
    statat(place.parent.as_fd(), place.name(), AtFlags::SYMLINK_NOFOLLOW)
}

/// Whether a marker file is there. In the view of the sandbox, as all that is done here.
fn is_there(path: &Path) -> bool {
    rustix::fs::lstat(path).is_ok()
}
