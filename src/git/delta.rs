//! An object as a change of another (gitformat-pack(5), deltified representation).

/// A delta that can't be applied to its base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a delta doesn't fit its base")]
pub struct DeltaError;

/// The object that `delta` makes of `base`; at most `most` bytes.
///
/// # Errors
/// When the delta is for another base, leads out of it, or makes more or less than it says.
pub fn apply(base: &[u8], delta: &[u8], most: u64) -> Result<Vec<u8>, DeltaError> {
    let mut rest = delta.iter();
    let of = size(&mut rest)?;
    let wanted = size(&mut rest)?;
    if usize::try_from(of) != Ok(base.len()) || wanted > most {
        return Err(DeltaError);
    }
    let wanted = usize::try_from(wanted).map_err(|_| DeltaError)?;
    let mut out = Vec::new();
    while let Some(operation) = rest.next() {
        let part = if operation & 0x80 != 0 {
            let mut number = |bits: std::ops::Range<u32>| -> Result<usize, DeltaError> {
                let mut value = 0_usize;
                for (at, bit) in bits.enumerate() {
                    if operation >> bit & 1 == 1 {
                        value |= usize::from(*rest.next().ok_or(DeltaError)?) << (8 * at);
                    }
                }
                Ok(value)
            };
            let offset = number(0..4)?;
            let length = match number(4..7)? {
                0 => 0x1_0000,
                length => length,
            };
            let end = offset.checked_add(length).ok_or(DeltaError)?;
            base.get(offset..end).ok_or(DeltaError)?
        } else if *operation == 0 {
            // Reserved.
            return Err(DeltaError);
        } else {
            let (part, after) = rest
                .as_slice()
                .split_at_checked(usize::from(*operation))
                .ok_or(DeltaError)?;
            rest = after.iter();
            part
        };
        if out.len() + part.len() > wanted {
            return Err(DeltaError);
        }
        out.extend_from_slice(part);
    }
    if out.len() == wanted {
        Ok(out)
    } else {
        Err(DeltaError)
    }
}

fn size(rest: &mut std::slice::Iter<'_, u8>) -> Result<u64, DeltaError> {
    let (mut size, mut shift) = (0, 0_u32);
    loop {
        let byte = rest.next().ok_or(DeltaError)?;
        // Nine times 7 bits fit 63.
        if shift > 56 {
            return Err(DeltaError);
        }
        size |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return Ok(size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_and_inserts() {
        // 5 bytes become 8: "hello" copied, then "abc" inserted.
        let delta = [5, 8, 0x90, 5, 3, b'a', b'b', b'c'];
        assert_eq!(apply(b"hello", &delta, 100).unwrap(), b"helloabc");
        // From offset 1, length 2.
        assert_eq!(apply(b"hello", &[5, 2, 0x91, 1, 2], 100).unwrap(), b"el");
        assert_eq!(apply(b"", &[0, 0], 100).unwrap(), b"");
        // No length is 64 KiB.
        let base = vec![b'x'; 0x1_0000];
        let delta = [0x80, 0x80, 4, 0x80, 0x80, 4, 0x80];
        assert_eq!(apply(&base, &delta, 1 << 20).unwrap(), base);
    }

    #[test]
    fn lies() {
        for delta in [
            &[][..],
            &[5],
            &[4, 1, 1, b'a'],
            &[5, 1],
            &[5, 1, 2, b'a', b'b'],
            &[5, 1, 1],
            &[5, 1, 0],
            &[5, 6, 0x90, 6],
            &[5, 5, 0x91, 1, 5],
            &[5, 1, 0x91, 1],
            &[5, 5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        ] {
            assert_eq!(apply(b"hello", delta, 100), Err(DeltaError), "{delta:?}");
        }
        assert_eq!(apply(b"hello", &[5, 5, 0x90, 5], 4), Err(DeltaError));
    }
}
