//! What is asked.

use super::super::object_id::{ObjectFormat, ObjectId};
use super::super::objects::Spend;
use super::super::pack::Limits;
use super::super::ref_name::RefName;
use super::fingerprint::{Fingerprint, Key};
use crate::policy::PathPattern;
use serde::{Deserialize, Serialize};

/// One push, and what it is held against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The hash that names the repository's objects.
    pub format: ObjectFormat,
    /// The refs that it changes, in its own order.
    pub commands: Vec<Asked>,
    /// Tips of the server's, as it just said. Its own, so a new tip that is one of them is no unknown object.
    pub known: Vec<ObjectId>,
    /// Those whose protected paths may be everybody's: what branches have that others than agents push.
    pub protected_tips: Vec<ObjectId>,
    /// Paths that every commit must have as one of those tips has them.
    #[serde(with = "patterns")]
    pub protect: Vec<PathPattern>,
    /// Bounds of the pack as it is read.
    pub limits: Limits,
    /// Bounds of its objects.
    pub spend: Spend,
    /// Most commits in the pack.
    pub commits_max: u32,
    /// Whether contents are searched for secrets.
    pub scan: bool,
    /// Secrets that aca itself holds, by what doesn't give them away; searched for whatever [`Self::scan`] says.
    pub fingerprints: Vec<Fingerprint>,
    /// What those were made with.
    pub key: Key,
    /// Whether there is a pack.
    pub has_pack: bool,
}

/// One ref.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Its name.
    pub name: RefName,
    /// What it was: `None` where it is made.
    pub old: Option<ObjectId>,
    /// What it becomes: `None` where it goes.
    pub new: Option<ObjectId>,
}

/// Bounds for a pack of at most so many bytes: objects come to twenty times that, no single one is over 64 MiB. A pack of
/// source code comes to three to ten times its own size.
#[must_use]
pub const fn standard_limits(pack_bytes: u64) -> (Limits, Spend) {
    const FACTOR: u64 = 20;
    let total_bytes = pack_bytes.saturating_mul(FACTOR);
    let limits = Limits {
        pack_bytes,
        objects: 500_000,
        object_bytes: 64 << 20,
        inflated_bytes: total_bytes,
    };
    let spend = Spend {
        total_bytes,
        held_bytes: 128 << 20,
    };
    (limits, spend)
}

/// Patterns as their texts.
mod patterns {
    use crate::policy::{Case, PathPattern};
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(patterns: &[PathPattern], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(patterns.iter().map(ToString::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PathPattern>, D::Error> {
        Vec::<String>::deserialize(from)?
            .iter()
            .map(|text| PathPattern::parse(text, Case::Exact).map_err(de::Error::custom))
            .collect()
    }
}
