//! What a commit or a tag says of other objects (the headers that git-hash-object(1) lets through).

use super::object_id::{ObjectFormat, ObjectId};

/// Most parents that are read; git itself merges no more than a few dozen.
const PARENTS_MAX: usize = 1000;

/// The part of a commit that leads on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its files.
    pub tree: ObjectId,
    /// What it comes after.
    pub parents: Vec<ObjectId>,
}

impl Commit {
    /// Reads a commit's content; `None` where git would not have written it so.
    #[must_use]
    pub fn parse(content: &[u8], format: ObjectFormat) -> Option<Self> {
        let mut lines = content.split(|byte| *byte == b'\n');
        let tree = ObjectId::parse(lines.next()?.strip_prefix(b"tree ")?, format)?;
        let mut parents = Vec::new();
        for line in lines {
            let Some(parent) = line.strip_prefix(b"parent ") else {
                // The parents stand together, before everything else.
                return line.starts_with(b"author ").then_some(Self { tree, parents });
            };
            if parents.len() >= PARENTS_MAX {
                return None;
            }
            parents.push(ObjectId::parse(parent, format)?);
        }
        None
    }
}

/// What a tag is put on, and what kind of object that is, as the tag claims.
#[must_use]
pub fn tagged(content: &[u8], format: ObjectFormat) -> Option<ObjectId> {
    let line = content.split(|byte| *byte == b'\n').next()?;
    ObjectId::parse(line.strip_prefix(b"object ")?, format)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ac6f8d2f3456d9acf2dcf657e39d65ad7d1648f6";
    const B: &str = "9bc81f51d6a56b5ab1594699113f3a8f138b4400";

    fn parse(text: &str) -> Option<Commit> {
        Commit::parse(text.as_bytes(), ObjectFormat::Sha1)
    }

    #[test]
    fn tree_and_parents() {
        let rest = "author a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nparent of all\n";
        let root = parse(&format!("tree {A}\n{rest}")).unwrap();
        assert_eq!((root.tree.to_string().as_str(), root.parents.len()), (A, 0));
        let merge = parse(&format!("tree {A}\nparent {B}\nparent {A}\n{rest}")).unwrap();
        assert_eq!(merge.parents.len(), 2);
    }

    #[test]
    fn what_git_would_not_write() {
        let rest = "author a <a> 1 +0000\n\n";
        for text in [
            "",
            rest,
            &format!("tree {A}"),
            &format!("tree {A}\n"),
            &format!("tree {A} \n{rest}"),
            &format!("tree {A}\nparent x\n{rest}"),
            &format!("tree {A}\nencoding x\nparent {B}\n{rest}"),
            &format!("parent {B}\ntree {A}\n{rest}"),
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        let many = format!("parent {B}\n").repeat(PARENTS_MAX + 1);
        assert_eq!(parse(&format!("tree {A}\n{many}{rest}")), None);
    }

    #[test]
    fn a_tags_object() {
        let text = format!("object {A}\ntype commit\ntag v1\n");
        let object = tagged(text.as_bytes(), ObjectFormat::Sha1).unwrap();
        assert_eq!(object.to_string(), A);
        assert_eq!(tagged(b"type commit\n", ObjectFormat::Sha1), None);
    }
}
