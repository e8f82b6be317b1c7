//! How much one session may bring back: the disk and the log are the user's.

use super::export::Room;
use super::import::{News, not_brought};
use std::cell::Cell;

/// Most refs that come at once.
const STEPS_MAX: usize = 20_000;
/// Most moves of refs while a session goes on: each is a line in a log of the host's git. Where a ref never rests, what it is
/// at the end still comes.
const MOVES_MAX: usize = 100_000;
/// Most new entries of the stash that come at once.
pub(super) const STASH_MAX: usize = 1000;
/// Most that is told of one import.
const NEWS_MAX: usize = 500;

/// What is left of it.
#[derive(Debug)]
pub(super) struct Limits {
    /// Of objects.
    pub(super) room: Cell<Room>,
    moves: Cell<usize>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            room: Cell::new(Room::OF_A_SESSION),
            moves: Cell::new(MOVES_MAX),
        }
    }
}

impl Limits {
    /// Cuts off what is too much of a list of changed refs; gives how many were.
    pub(super) fn cut<T>(&self, steps: &mut Vec<T>, last: bool) -> usize {
        let most = if last {
            STEPS_MAX
        } else {
            STEPS_MAX.min(self.moves.get())
        };
        let over = steps.len().saturating_sub(most);
        steps.truncate(most);
        self.moves.set(self.moves.get().saturating_sub(steps.len()));
        over
    }
}

/// What of the news is told.
pub(super) fn bounded(mut news: Vec<News>) -> Vec<News> {
    let over = news.split_off(NEWS_MAX.min(news.len()));
    let count = over.len();
    let brought = over
        .iter()
        .filter(|one| matches!(one, News::Brought { .. }))
        .count();
    if brought > 0 {
        news.push(News::Brought {
            what: format!("{brought} more"),
            value: "as inside".into(),
        });
    }
    if count > brought {
        let what = format!("{} more", count - brought);
        news.push(not_brought(&what, "only the first are told one by one"));
    }
    news
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_cut_and_counted() {
        let limits = Limits::default();
        for left in [80_000, 60_000, 40_000, 20_000, 0] {
            let mut steps = vec![0; STEPS_MAX + 5];
            assert_eq!((limits.cut(&mut steps, false), steps.len()), (5, STEPS_MAX));
            assert_eq!(limits.moves.get(), left);
        }
        let mut steps = vec![0; 7];
        assert_eq!((limits.cut(&mut steps, false), steps.len()), (7, 0));
        let mut steps = vec![0; 7];
        assert_eq!((limits.cut(&mut steps, true), steps.len()), (0, 7));

        let brought = |number: usize| News::Brought {
            what: number.to_string(),
            value: String::new(),
        };
        let told = bounded((0..1000).map(brought).chain([not_brought("x", "y")]).collect());
        assert_eq!(told.len(), NEWS_MAX + 2);
        assert_eq!(
            told.last(),
            Some(&not_brought("1 more", "only the first are told one by one"))
        );
        assert_eq!(bounded(vec![brought(1)]), [brought(1)]);
    }
}
