//! Brings back what was done in one work tree: `HEAD`, the index, and that there is one at all.

use super::apply::Work;
use super::follow;
use super::import::{News, Progress, not_brought};
use super::links::refused;
use super::new_tree::{self, NewTree};
use super::part::{Around, Done, IndexMarks, PartState, Rested, Side, Which};
use super::place::{HeadText, MadeKind, TreeState};
use super::read::Opened;
use super::staged::{Indexed, Staged};
use crate::facts::beneath::open_root;
use crate::git::index;
use crate::git::object_id::ObjectId;
use crate::git::ref_files::Head;
use std::path::Path;

/// Where a new work tree belongs.
struct Making<'a> {
    around: &'a Around<'a>,
    common: &'a Path,
    own: &'a Path,
    number: usize,
}

impl PartState {
    /// `HEAD` and the index of one work tree.
    pub(super) fn tree(
        &mut self,
        around: &Around<'_>,
        number: usize,
        news: &mut Vec<News>,
        mut side: Side,
        rested: &Rested<'_>,
    ) -> Done {
        let (layout, format) = (&around.place.about.layout, self.format());
        let at = self.at_tree(&side.own);
        let (host_dir, host_work) = (layout.host.join(self.at()), layout.host.join(&at));
        let prefix = side.own.display().to_string();
        let named = |what: &str| {
            if prefix.is_empty() {
                what.to_owned()
            } else {
                format!("{prefix}: {what}")
            }
        };
        let mut work = Work::new(around, (&host_dir, &host_work), &named, news);
        let is_whole = |group: Option<usize>| group.is_none_or(|group| rested.fetched.is_whole(group));
        let head_is_same = match &side.head {
            Some(Head::Branch(name)) => rested.host_refs.get(name) == rested.refs.get(name),
            Some(Head::Detached(_)) => is_whole(side.head_group),
            None => false,
        };
        let index_is_whole = is_whole(side.index_group);
        let entries = side.index.take();
        if entries.is_some() && !index_is_whole {
            work.fail("index", rested.fetched.why(side.index_group.unwrap_or_default()));
        }
        let entries = entries.filter(|_| index_is_whole);
        let known = match side.which {
            Which::New(new) => {
                let links = entries
                    .as_ref()
                    .and_then(|entries| refused(around, &|| Some(new.tree.clone()), entries, &[]));
                if let Some(why) = links {
                    work.tell(not_brought(&named("the work tree"), why));
                    return Done::settled();
                }
                let why = "what is checked out inside isn't outside under that name";
                let made = side.head.as_ref().filter(|_| head_is_same).ok_or(why.to_owned());
                let made = made.and_then(|head| {
                    let id = match head {
                        Head::Branch(name) => rested.refs.get(name).copied(),
                        Head::Detached(id) => Some(*id),
                    };
                    let content =
                        entries.map(|entries| index::write(&index::brought(entries, &[], 0).entries, format));
                    let made = Making {
                        around,
                        common: &host_dir,
                        own: &side.own,
                        number,
                    };
                    self.make_tree(&made, &new, (head, id), content.as_deref())
                });
                match made {
                    Ok(()) => work.told_brought("the work tree", new.tree.display()),
                    Err(why) => {
                        work.tell(not_brought(&named("the work tree"), why));
                        if around.last
                            && let Some(Head::Detached(id)) = &side.head
                            && is_whole(side.head_group)
                        {
                            work.keep_detached(*id, &side.own);
                        }
                    }
                }
                return Done {
                    progress: Progress::Settled,
                    kept: work.failed,
                };
            }
            Which::Known(known) => known,
        };
        let goes_there = around.last && self.is_going_outside(around, &side);
        let opened = self.outside(around, &side.own);
        let marks = self.indexes.get(known).copied().unwrap_or_default();
        let mut entries = entries;
        if let (Some(own), Some(host)) = (&entries, &opened) {
            let now = follow::entries(host.index(), format).unwrap_or_default();
            if let Some(why) = self.refuses_links(around, &side.own, own, &now) {
                work.tell(not_brought(&named("index"), why));
                entries = None;
            }
        }
        let (Some(host), Some(tree)) = (opened, self.state.trees.get_mut(known)) else {
            work.tell(not_brought(
                &named("HEAD and the index"),
                "the work tree isn't known outside any more",
            ));
            return Done::settled();
        };
        let is_linked = tree.own != self.state.part.below;
        if is_linked && !tree.ours && !new_tree::is_same(&side.inside, &host_work) {
            work.tell(not_brought(
                &named("the work tree"),
                "inside it is another, or was moved: what your git knows of it stays",
            ));
            if around.last
                && let Some(Head::Detached(id)) = &side.head
                && is_whole(side.head_group)
            {
                work.keep_detached(*id, &side.own);
            }
            return Done {
                progress: Progress::Settled,
                kept: work.failed,
            };
        }
        if tree.ours
            && is_linked
            && let Err(error) = new_tree::follow(&side.inside, &host_work, &layout.ground, &mut tree.locked)
        {
            work.tell(not_brought(&named("the work tree"), error));
        }
        if side.locked && !around.last {
            work.again = true;
        } else if side.under_way && side.going.is_none() && !goes_there {
            if around.last {
                let why = side.not_going.take().unwrap_or_default();
                work.fail(
                    "HEAD and the index",
                    format!(
                        "something is under way inside (a rebase, a merge), and {why}: they are as they were; the branches came back"
                    ),
                );
            }
        } else if host.is_under_way() && !goes_there && !marks.going {
            // Its next step would take what was brought for what it left.
            work.tell(not_brought(
                &named("HEAD and the index"),
                "something is under way outside (a rebase, a merge): they are as they were there",
            ));
        } else if !marks.going {
            let at = Staged {
                place: around.place,
                number: (number, known),
            };
            let going = side.going.take().filter(|_| !goes_there);
            let going = going.map(|going| {
                let whole = is_whole(side.going_group) && head_is_same && index_is_whole;
                work.ready(going, whole, rested.host_refs, &host, &at, &mut side.lock)
            });
            let stays = matches!(going, Some(Err(_)));
            if let Some(Err(why)) = &going {
                work.fail("HEAD and the index", why);
            }
            let mut indexed = Indexed::NotYet;
            if !stays {
                work.head(side.head.as_ref(), &host, head_is_same, &mut tree.head);
                indexed = match entries {
                    Some(entries) => work.index(entries, &side.inside, &host, &at, side.lock.take()),
                    None if marks.done == side.mark => Indexed::Same,
                    None => Indexed::NotYet,
                };
            }
            let mut went = false;
            if let Some(Ok(going)) = going {
                went = work.go_on(
                    &going,
                    indexed,
                    side.head.as_ref() == host.head().as_ref(),
                    around.place,
                );
            }
            if let Some(marks) = self.indexes.get_mut(known) {
                if indexed != Indexed::NotYet {
                    marks.done = side.mark;
                }
                marks.going |= went;
            }
        }
        drop(side.lock.take());
        if around.last
            && let Some(Head::Detached(id)) = &side.head
            && is_whole(side.head_group)
            && host.head() != side.head
        {
            work.keep_detached(*id, &side.own);
        }
        Done {
            progress: if work.again {
                Progress::Again
            } else {
                Progress::Settled
            },
            kept: work.failed,
        }
    }

    fn make_tree(
        &mut self,
        making: &Making<'_>,
        new: &NewTree,
        (head, id): (&Head, Option<ObjectId>),
        index: Option<&[u8]>,
    ) -> Result<(), String> {
        let (place, own) = (making.around.place, making.own.to_owned());
        let text = |error: std::io::Error| error.to_string();
        place.note_made(MadeKind::Tree, &own).map_err(text)?;
        new_tree::make(
            new,
            (head, id, self.format()),
            index,
            making.common,
            &place.beside(),
        )
        .map_err(text)?;
        let number = self.state.trees.len();
        if let Some(index) = index {
            place.set_index((making.number, number), index).map_err(text)?;
        }
        let mut tree = TreeState::new(own, Some(head.clone().into()), true);
        tree.locked = new.lock.is_some();
        self.state.trees.push(tree);
        // What was written inside since it was read is seen the next time.
        self.indexes.push(IndexMarks::default());
        Ok(())
    }

    /// A work tree that is gone inside goes if it was made there.
    pub(super) fn absent(&mut self, around: &Around<'_>, number: usize, news: &mut Vec<News>) {
        let Some(tree) = self.state.trees.get_mut(number) else {
            return;
        };
        let what = format!("the work tree {}", tree.own.display());
        let layout = &around.place.about.layout;
        if !tree.ours || tree.own == self.state.part.below {
            let why = "it was taken away inside; what your git knows of it stays, and `git worktree prune` removes that";
            news.push(not_brought(&what, why));
            return;
        }
        let host_work = layout.host.join(&tree.own);
        let format = self.state.part.format();
        let head = open_root(&layout.host)
            .ok()
            .and_then(|root| Opened::open(&root, &self.state.part.below, &tree.own, format).ok())
            .map(|opened| opened.head().map(HeadText::from));
        let done = match head {
            // It went outside, too.
            None => Ok(()),
            Some(head) if head != tree.head => Err("it was switched outside meanwhile".into()),
            Some(_) => new_tree::take_away(&host_work, &around.place.beside()),
        };
        match done {
            Ok(()) => {
                tree.gone = true;
                news.push(News::Brought {
                    what,
                    value: "gone again".into(),
                });
            }
            Err(why) => news.push(not_brought(&what, format!("it was taken away inside: {why}"))),
        }
    }
}
