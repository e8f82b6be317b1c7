#![no_main]
use aca::policy::{HostPattern, Letters, RequestPath};

// The first line is a rule, the rest the target of a request.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let rule = parts.next().map(String::from_utf8_lossy).unwrap_or_default();
    let rule = rule.parse::<HostPattern>().ok();
    if let Some(rule) = &rule {
        assert_eq!(rule.to_string().parse::<HostPattern>().as_ref(), Ok(rule));
    }
    let Ok(path) = RequestPath::parse(parts.next().unwrap_or_default()) else {
        return;
    };
    let shown = path.to_string();
    assert_eq!(shown.parse::<RequestPath>().as_ref(), Ok(&path));
    assert!(shown.starts_with('/') && !shown.contains("//") && !shown.contains("/../") && !shown.ends_with("/.."));
    assert!(shown.bytes().all(|byte| byte.is_ascii_graphic() && !b";?#\\".contains(&byte)));
    for letters in [Letters::Exact, Letters::Folded] {
        assert!(path.pattern().matches(&path, letters));
    }
    if let Some(requests) = rule.as_ref().and_then(HostPattern::requests) {
        let method = "GET".parse().expect("a method");
        let allowed = requests.allow(requests.scheme(), &method, &path);
        assert!(!allowed || requests.deny(&method, &path));
    }
});
