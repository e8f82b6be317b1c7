//! What the supervisor is told of the program's stops, and what becomes of its answers. Pure: [`super::init`] hears and acts.
//!
//! Programs inside decide how often the program stops: so that they can't fill the control socket, at most three words are
//! under way.

use crate::launch::protocol::FromStage;

/// What the supervisor knows, and has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Stopped,
    /// No more than that, though the program ran meanwhile and stopped once more.
    StoppedAnew,
    /// And then that it runs again.
    Continued,
    /// And that once more.
    ContinuedTwice,
}

/// The program as a job.
#[derive(Debug)]
pub(super) struct Job {
    /// The signal that the program is stopped by.
    stopped: Option<i32>,
    was_stopped: bool,
    told: Told,
}

/// What follows from an answer of the supervisor's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    /// It is told of this stop: it doesn't know of it yet.
    Tell(i32),
    /// The program goes on, which may be `stopped`.
    Resume {
        /// Whether it is.
        stopped: bool,
    },
}

impl Job {
    pub(super) const fn new() -> Self {
        Self {
            stopped: None,
            was_stopped: false,
            told: Told::Nothing,
        }
    }

    /// Whether the program ever stopped.
    pub(super) const fn was_stopped(&self) -> bool {
        self.was_stopped
    }

    /// The program stopped. `in_our_group`: as the supervisor is.
    pub(super) fn stop(&mut self, signal: i32, in_our_group: bool) -> Option<FromStage> {
        self.stopped = Some(signal);
        self.was_stopped = true;
        // The kernel reports each stop once: where one was told already, the program ran between it and this one.
        match self.told {
            Told::Nothing => {
                self.told = Told::Stopped;
                Some(FromStage::Stopped(signal))
            }
            // The shell continued the supervisor too, which says so when it comes to run. Or it comes to that only after the
            // stop, which it was sent as well: then it stands still, the shell knows, and a word would wake it.
            Told::Stopped | Told::StoppedAnew if in_our_group => {
                self.told = Told::StoppedAnew;
                None
            }
            Told::Stopped | Told::StoppedAnew => self.go_on(),
            Told::Continued | Told::ContinuedTwice => None,
        }
    }

    /// The program was continued.
    pub(super) fn continued(&mut self) -> Option<FromStage> {
        self.stopped = None;
        self.go_on()
    }

    fn go_on(&mut self) -> Option<FromStage> {
        match self.told {
            Told::Stopped | Told::StoppedAnew => {
                self.told = Told::Continued;
                Some(FromStage::Continued)
            }
            Told::Nothing | Told::Continued | Told::ContinuedTwice => None,
        }
    }

    /// Whether the word that the program runs again is to be said once more after a while, for a supervisor that slept
    /// through it. Not while both of them stand still.
    pub(super) fn may_have_slept(&self, in_our_group: impl FnOnce() -> bool) -> bool {
        self.told == Told::Continued && (self.stopped.is_none() || !in_our_group())
    }

    /// It is said once more.
    pub(super) const fn repeat(&mut self) -> FromStage {
        self.told = Told::ContinuedTwice;
        FromStage::Continued
    }

    /// The supervisor has heard of the stop, and the job goes on: the program too, unless that came to it already (`fg`
    /// continues the whole group) and it has stopped once more since.
    pub(super) const fn answered(&mut self) -> Answered {
        match (self.stopped, self.told) {
            (Some(signal), Told::StoppedAnew | Told::Continued | Told::ContinuedTwice) => {
                self.told = Told::Stopped;
                Answered::Tell(signal)
            }
            (stopped, _) => {
                self.told = Told::Nothing;
                Answered::Resume {
                    stopped: stopped.is_some(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TSTP: i32 = 20;

    fn stopped() -> Job {
        let mut job = Job::new();
        assert_eq!(job.stop(TSTP, true), Some(FromStage::Stopped(TSTP)));
        job
    }

    #[test]
    fn a_stop_is_told_and_its_answer_continues() {
        let mut job = stopped();
        assert_eq!(job.answered(), Answered::Resume { stopped: true });
        assert_eq!(job.continued(), None);
        assert_eq!(job.answered(), Answered::Resume { stopped: false });
    }

    /// `fg` and Ctrl-Z before the supervisor runs, or its first process: the shell has its prompt, and nothing may run.
    #[test]
    fn a_job_that_is_stopped_anew_is_not_woken() {
        let mut job = stopped();
        assert_eq!(job.stop(TSTP, true), None);
        assert!(!job.may_have_slept(|| true));
        // `fg`, which reaches both.
        assert_eq!(job.continued(), Some(FromStage::Continued));
        assert_eq!(job.answered(), Answered::Resume { stopped: false });
        // The word that it ran was on its way already.
        let mut job = stopped();
        assert_eq!(job.continued(), Some(FromStage::Continued));
        assert_eq!(job.stop(TSTP, true), None);
        assert!(!job.may_have_slept(|| true));
    }

    /// The same where the supervisor ran, and has not stopped: it is told once it says so.
    #[test]
    fn a_supervisor_that_runs_is_told_of_the_next_stop() {
        for continued in [false, true] {
            let mut job = stopped();
            if continued {
                assert_eq!(job.continued(), Some(FromStage::Continued));
            }
            assert_eq!(job.stop(TSTP, true), None);
            assert_eq!(job.answered(), Answered::Tell(TSTP));
            assert_eq!(job.answered(), Answered::Resume { stopped: true });
        }
    }

    #[test]
    fn who_is_continued_from_inside_wakes_the_supervisor_and_once_more() {
        let mut job = stopped();
        assert_eq!(job.continued(), Some(FromStage::Continued));
        assert!(job.may_have_slept(|| true));
        assert_eq!(job.repeat(), FromStage::Continued);
        assert!(!job.may_have_slept(|| true));
        // After a stop in between, too.
        let mut job = stopped();
        assert_eq!(job.stop(TSTP, true), None);
        assert_eq!(job.continued(), Some(FromStage::Continued));
        assert!(job.may_have_slept(|| true));
    }

    /// The terminal's signals don't reach the supervisor then, nor its shell's the program.
    #[test]
    fn a_program_in_a_group_of_its_own_wakes_it_always() {
        let mut job = stopped();
        assert_eq!(job.stop(TSTP, false), Some(FromStage::Continued));
        assert!(job.may_have_slept(|| false));
        assert_eq!(job.answered(), Answered::Tell(TSTP));
    }

    /// However often the program stops, no more than three words are under way.
    #[test]
    fn a_flood_of_stops_is_three_words() {
        for in_our_group in [true, false] {
            let mut job = Job::new();
            let mut words = 0;
            for _ in 0..100 {
                words += usize::from(job.stop(TSTP, in_our_group).is_some());
                words += usize::from(job.continued().is_some());
                if job.may_have_slept(|| in_our_group) {
                    job.repeat();
                    words += 1;
                }
            }
            assert_eq!(words, 3);
        }
    }
}
