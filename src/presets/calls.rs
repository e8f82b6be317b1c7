//! Why system calls are refused: the reasons that stand in `seccomp/*.json`.

use crate::policy::Grant;

/// One refused call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedCall {
    /// What it is called in events.
    pub label: &'static str,
    /// The system call.
    pub call: &'static str,
    /// With which arguments; empty is always.
    pub when: &'static str,
    /// What it is answered with.
    pub errno: &'static str,
    /// Why it is refused.
    pub why: &'static str,
    /// Where the call is described.
    pub source: &'static str,
    /// What its list is for.
    pub about: &'static str,
    /// The grant that opens it, if one does.
    pub grant: Option<Grant>,
}

include!(concat!(env!("OUT_DIR"), "/seccomp_reasons.rs"));

/// The refusals that events call so: one, or several by the arguments.
pub fn refused_calls(label: &str) -> impl Iterator<Item = &'static RefusedCall> {
    REFUSED.iter().filter(move |refused| refused.label == label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_why() {
        assert!(REFUSED.len() > 50);
        for refused in &REFUSED {
            assert!(
                refused_calls(refused.label).any(|found| found == refused),
                "{refused:?}"
            );
            assert!(
                !refused.why.is_empty() && !refused.source.is_empty(),
                "{refused:?}"
            );
        }
        let mount = refused_calls("mount").next().unwrap();
        assert_eq!((mount.errno, mount.grant), ("EPERM", Some(Grant::NestedUserns)));
        assert_eq!(refused_calls("read").count(), 0);
    }
}
