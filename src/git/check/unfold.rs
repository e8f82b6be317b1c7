//! Text that is written so that a look at its bytes misses what stands in it: UTF-16, and base64 cut into lines. It is
//! written once more, plainly, and looked through as well.
//!
//! What is compressed (a zip file, a jar, a PDF) stays as it is: its content isn't read.

/// Characters in a row that are text and no chance.
const WIDE_MIN: usize = 8;
/// Characters of a line of base64 that others follow; those that wrap at fewer are rare.
const LINE_MIN: usize = 16;

/// The text of ASCII that stands in `bytes` as UTF-16, of either order of bytes; each part of it ends with a line feed.
/// Empty where there is none.
pub(super) fn narrowed(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() > 1) {
        // In one order of bytes the letter stands before its zero, in the other behind it, and then the next letter stands
        // before a zero too.
        let Some(zero) = rest.iter().skip(1).position(|byte| *byte == 0) else {
            break;
        };
        let wide = rest.get(zero..).unwrap_or_default();
        let count = wide
            .chunks_exact(2)
            .take_while(|pair| matches!(pair, [letter, 0] if is_text(*letter)))
            .count();
        if count >= WIDE_MIN {
            out.extend(wide.chunks_exact(2).take(count).filter_map(|pair| pair.first()));
            // In the other order the last letter has no zero behind it.
            let is_other = (at + zero).checked_sub(1).and_then(|before| bytes.get(before)) == Some(&0);
            let last = wide.get(2 * count).filter(|letter| is_other && is_text(**letter));
            out.extend(last);
            out.push(b'\n');
        }
        at += zero + (2 * count).max(1);
    }
    out
}

const fn is_text(byte: u8) -> bool {
    byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The lines of `bytes` that are base64 alone, of either alphabet, each put behind the one before; what stands before and
/// behind such lines ends with a line feed. Empty where there are no two of them in a row.
pub(super) fn joined(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut run: Vec<&[u8]> = Vec::new();
    let mut flush = |run: &mut Vec<&[u8]>| {
        if run.len() > 1 {
            out.extend(run.iter().copied().flatten());
            out.push(b'\n');
        }
        run.clear();
    };
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        // A first or last line may have something before it, or behind.
        let from = line
            .iter()
            .rposition(|byte| !is_code(*byte))
            .map_or(0, |at| at + 1);
        let code = line.get(from..).unwrap_or_default();
        if from > 0 {
            let first = line.iter().take_while(|byte| is_code(**byte)).count();
            if !run.is_empty() {
                run.push(line.get(..first).unwrap_or_default());
            }
            flush(&mut run);
        }
        if code.len() >= LINE_MIN {
            run.push(code);
        } else {
            if !run.is_empty() {
                run.push(code);
            }
            flush(&mut run);
        }
    }
    flush(&mut run);
    out
}

const fn is_code(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(text: &str, little: bool) -> Vec<u8> {
        let units = text.encode_utf16();
        let bytes = units.map(|unit| {
            if little {
                unit.to_le_bytes()
            } else {
                unit.to_be_bytes()
            }
        });
        bytes.flatten().collect()
    }

    #[test]
    fn wide_text_is_narrow() {
        for little in [true, false] {
            for before in [&b""[..], b"\xff\xfe", b"\xfe\xff", b"x", b"\0", b"\0\0\0"] {
                let bytes = [before, &wide("token = abc\u{e9}defghijkl", little), b"\x01\x02"].concat();
                let text = narrowed(&bytes);
                let text = String::from_utf8(text).unwrap();
                assert!(
                    text.contains("token = abc\n") && text.contains("defghijkl"),
                    "{text:?}"
                );
            }
        }
        assert_eq!(narrowed(b""), b"");
        assert_eq!(narrowed(b"plain text of no special kind"), b"");
        assert_eq!(narrowed(&wide("short", true)), b"");
        assert_eq!(narrowed(&[0; 1000]), b"");
        let numbers: Vec<u8> = (0..1000_u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(narrowed(&numbers), b"");
    }

    #[test]
    fn lines_of_base64_are_one() {
        let whole = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5eg";
        for (width, feed) in [(16, "\n"), (20, "\r\n"), (40, "\n  ")] {
            let lines: Vec<&str> = (0..whole.len())
                .step_by(width)
                .map(|at| whole.get(at..whole.len().min(at + width)).unwrap())
                .collect();
            for (before, after) in [
                ("", ""),
                ("some words\n", "\nand more"),
                ("key: \"", "\",\n"),
                ("auth=", "=="),
            ] {
                let text = format!("{before}{}{after}", lines.join(feed));
                let joined = String::from_utf8(joined(text.as_bytes())).unwrap();
                assert!(joined.contains(whole), "{text:?} {joined:?}");
            }
        }
        for text in ["", "one line of text\nand another\n", whole, "a\nb\nc\n"] {
            assert_eq!(joined(text.as_bytes()), b"", "{text}");
        }
    }
}
