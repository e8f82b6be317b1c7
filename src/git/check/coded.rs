//! Secrets that are written in base64 and tell what they are once that is undone: signed tokens (RFC 7519), and what Docker
//! keeps of a registry's password.

use super::scan::is_random;
use super::shapes::is_password;

/// Characters of a token's parts that are looked at.
const PART_MAX: usize = 8 << 10;
/// Fewest of a signature: 256 bits have 43.
const SIGNATURE_MIN: usize = 40;

/// Whether a signed token (a JWT) begins with the text before `after`, which is the beginning of its head. Not one that
/// nobody signed, nor those that stand in documentation; nor one that says that it is for everybody, as the key that
/// Supabase's pages are to have.
pub(super) fn signed_token(before: &[u8], after: &[u8], begin: &[u8]) -> bool {
    if before.last().is_some_and(|byte| is_code(*byte)) {
        return false;
    }
    let part = |text: &[u8]| {
        text.iter()
            .take(PART_MAX)
            .take_while(|byte| is_code(**byte))
            .count()
    };
    let Some((head, rest)) = after.split_at_checked(part(after)) else {
        return false;
    };
    let Some(rest) = rest.strip_prefix(b".") else {
        return false;
    };
    let Some((claims, rest)) = rest.split_at_checked(part(rest)) else {
        return false;
    };
    let Some(rest) = rest.strip_prefix(b".") else {
        return false;
    };
    let signature = rest.get(..part(rest)).unwrap_or_default();
    let (Some(head), Some(claims)) = (decoded(&[begin, head].concat()), decoded(claims)) else {
        return false;
    };
    let holds = |text: &[u8], word: &[u8]| text.windows(word.len()).any(|part| part == word);
    let is_nobodys = [&b"1234567890"[..], b"John Doe", b"example", b"\"anon\""];
    signature.len() >= SIGNATURE_MIN
        && is_random(signature)
        && holds(&head, b"\"alg\"")
        && !holds(&head, b"\"none\"")
        && claims.starts_with(b"{")
        && claims.ends_with(b"}")
        && !is_nobodys.iter().any(|word| holds(&claims, word))
}

/// Whether behind `"auth"` a user and a password follow, as `~/.docker/config.json` has them.
pub(super) fn docker_auth(after: &[u8]) -> bool {
    const BETWEEN_MAX: usize = 8;
    const LENGTH_MAX: usize = 4096;
    let between = after
        .iter()
        .take(BETWEEN_MAX)
        .take_while(|byte| b" \t:\"\\".contains(byte))
        .count();
    let rest = after.get(between..).unwrap_or_default();
    let is_code = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let length = rest.iter().take(LENGTH_MAX).take_while(is_code).count();
    let Some(pair) = rest.get(..length).and_then(decoded) else {
        return false;
    };
    let mut parts = pair.splitn(2, |byte| *byte == b':');
    let (Some(user), Some(password)) = (parts.next(), parts.next()) else {
        return false;
    };
    !user.is_empty()
        && pair.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
        && is_password(password)
}

const fn is_code(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// What base64 of either alphabet says (RFC 4648), with or without the signs at its end.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |at| at + 1);
    let (mut out, mut held, mut bits) = (Vec::with_capacity(text.len() * 3 / 4), 0_u32, 0_u32);
    for byte in text.get(..end)? {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        held = held << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            let [.., low] = (held >> bits).to_be_bytes();
            out.push(low);
        }
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::super::scan::Scanner;
    use super::decoded;

    fn found(text: &str) -> Option<String> {
        Scanner::new().unwrap().first(text.as_bytes()).map(str::to_owned)
    }

    fn coded(text: &str) -> String {
        crate::policy::base64(text.as_bytes())
    }

    fn token(head: &str, claims: &str) -> String {
        let plain = |text: &str| coded(text).replace('+', "-").replace('/', "_").replace('=', "");
        let signature = "k7Qp2mX9zLwB4tR8uYcDfGhJ1NqSv3WaEbHiKoLmPz0";
        format!("{}.{}.{signature}", plain(head), plain(claims))
    }

    #[test]
    fn signed_tokens() {
        let head = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
        let good = token(head, "{\"sub\":\"alice\",\"exp\":1900000000}");
        for text in [
            good.clone(),
            format!("Authorization: Bearer {good}\n"),
            format!("\"token\": \"{good}\""),
            token(
                "{ \"typ\": \"JWT\", \"alg\": \"RS256\" }",
                "{\"role\":\"service_role\"}",
            ),
        ] {
            assert_eq!(found(&text).as_deref(), Some("a signed token"), "{text}");
        }
        for text in [
            token(head, "{\"sub\":\"1234567890\",\"name\":\"John Doe\"}"),
            token(head, "{\"role\":\"anon\"}"),
            token("{\"alg\":\"none\"}", "{\"sub\":\"alice\"}"),
            token("{\"kid\":\"1\"}", "{\"sub\":\"alice\"}"),
            good.rsplit_once('.').unwrap().0.to_owned(),
            good.get(..good.len() - 10).unwrap().to_owned(),
            format!("x{good}"),
        ] {
            assert_eq!(found(&text), None, "{text}");
        }
    }

    #[test]
    fn what_docker_keeps() {
        let word = "k7Qp2mX9";
        for text in [
            format!(
                "{{\"auths\": {{\"ghcr.io\": {{\"auth\": \"{}\"}}}}}}",
                coded(&format!("alice:{word}"))
            ),
            format!("\"auth\":\"{}\"", coded(&format!("AWS:{word}{word}"))),
            format!("\\\"auth\\\": \\\"{}\\\"", coded(&format!("alice:{word}"))),
        ] {
            assert_eq!(found(&text).as_deref(), Some("a registry's password"), "{text}");
        }
        for text in [
            format!("\"auth\": \"{}\"", coded("alice:password")),
            format!("\"auth\": \"{}\"", coded(&format!("alice{word}"))),
            "\"auth\": \"bearer\", \"authorization\": true".to_owned(),
            "\"auth\": { \"token\": 1 }".to_owned(),
        ] {
            assert_eq!(found(&text), None, "{text}");
        }
    }

    #[test]
    fn base64_is_undone() {
        for text in ["a", "ab", "abc", "abcd", "\u{ff}\u{fe}?>"] {
            assert_eq!(decoded(coded(text).as_bytes()).unwrap(), text.as_bytes());
        }
        assert_eq!(decoded(b""), None);
        assert_eq!(decoded(b"a b"), None);
    }
}
