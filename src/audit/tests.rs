//! Logs that were changed after they were written, and those of other versions.

use super::read::{Entry, LineFault, lines};
use super::verify::check;
use super::*;
use crate::audit::log::MAX_LINE_BYTES;
use crate::supervise::{Emit, Event};
use proptest::prelude::*;
use std::path::Path;

const ID: &str = "20261123T090807006Z-aaaaaaaaaaaa";

fn id() -> SessionId {
    ID.parse().unwrap()
}

fn start(session: &str) -> Event {
    Event::SessionStart {
        session: session.into(),
        version: "0.1.0".into(),
        agent: "generic".into(),
        agent_why: String::new(),
        argv: vec!["true".into()],
        project: "/home/u/p".into(),
        plan_hash: "abcd".into(),
        degraded: vec![],
    }
}

fn end() -> Event {
    Event::SessionEnd {
        code: Some(3),
        signal: None,
        duration_ms: 1234,
        denied: 2,
    }
}

/// A log of that many events between beginning and end, in a directory of its own, and whether it got its end.
fn log(events: u64, ended: bool) -> (tempfile::TempDir, Log) {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::begin(&folder.path().join("aca/sessions"), &id(), start(ID)).unwrap();
    for count in 0..events {
        let kind = format!("k{count}");
        log.emit(Event::Dropped { count, kind });
    }
    if ended {
        log.emit(end());
    }
    (folder, log)
}

fn bytes(events: u64) -> Vec<u8> {
    let (_folder, log) = log(events, true);
    std::fs::read(log.path()).unwrap()
}

fn checked(bytes: &[u8]) -> Verified {
    check(bytes, &id(), false).unwrap()
}

fn split(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect()
}

#[test]
fn a_finished_log_is_whole() {
    let log = bytes(3);
    let found = checked(&log);
    assert!(found.is_whole() && found.ended && found.chained, "{found:?}");
    assert_eq!(found.events, 5);
    let renamed = check(
        &log[..],
        &"20261123T090807006Z-bbbbbbbbbbbb".parse().unwrap(),
        false,
    )
    .unwrap();
    assert!(
        matches!(&renamed.faults[..], [(1, LineFault::Foreign(_))]),
        "{renamed:?}"
    );
}

#[test]
fn lines_taken_out_put_in_doubled_or_moved_are_named() {
    let whole = split(&bytes(6));
    let other = split(&bytes(6));
    for at in 0..whole.len() {
        let mut out = whole.clone();
        out.remove(at);
        let found = checked(&out.concat());
        let missing_end = at == whole.len() - 1;
        assert!(!found.is_whole(), "{at}");
        assert_eq!(found.faults.is_empty(), missing_end, "{at}: {found:?}");
        if !missing_end {
            assert_eq!(found.faults[0].0, at as u64 + 1, "{found:?}");
        }

        let mut doubled = whole.clone();
        doubled.insert(at, whole[at].clone());
        assert_eq!(checked(&doubled.concat()).faults[0].0, at as u64 + 2);

        for foreign in [
            &other[2],
            &b"\n".to_vec(),
            &b"{}\n".to_vec(),
            &b"\0\0\xff\n".to_vec(),
        ] {
            let mut put_in = whole.clone();
            put_in.insert(at, foreign.clone());
            let found = checked(&put_in.concat());
            assert_eq!(found.faults[0].0, at as u64 + 1, "{at} {foreign:?}: {found:?}");
        }

        let mut replaced = whole.clone();
        replaced[at].clone_from(&other[at]);
        // Both have one id, which no two sessions have: the other's first line begins this chain as well.
        let first = at as u64 + 1 + u64::from(at == 0);
        assert_eq!(checked(&replaced.concat()).faults[0].0, first);

        for to in 0..at {
            let mut swapped = whole.clone();
            swapped.swap(at, to);
            assert_eq!(checked(&swapped.concat()).faults[0].0, to as u64 + 1, "{to} {at}");
        }
    }
}

#[test]
fn a_line_without_its_hash_does_not_pass_for_a_torn_one() {
    let mut lines = split(&bytes(4));
    let line = String::from_utf8(lines[2].clone()).unwrap();
    let content = line.split(",\"hash\"").next().unwrap().to_owned();
    for instead in [format!("{content}\n"), format!("{content}}}\n")] {
        lines[2] = instead.into_bytes();
        let found = checked(&lines.concat());
        assert_eq!((found.faults[0].0, found.torn.len()), (3, 0), "{found:?}");
    }
}

#[test]
fn a_cut_at_any_byte_keeps_what_is_before_it() {
    let whole = bytes(3);
    for length in 0..whole.len() - 1 {
        let found = checked(&whole[..length]);
        let feeds = whole[..length].iter().filter(|byte| **byte == b'\n').count() as u64;
        // A line of which the line feed alone is missing counts.
        let all_but_feed = u64::from(whole[length] == b'\n');
        assert_eq!(found.events, feeds + all_but_feed, "{length}");
        assert!(
            found.faults.is_empty() && !found.is_whole(),
            "{length}: {found:?}"
        );
        let running = check(&whole[..length], &id(), true).unwrap();
        assert_eq!(running.is_whole(), found.events > 0);
    }
}

#[test]
fn every_changed_byte_is_found() {
    let whole = bytes(2);
    for at in 0..whole.len() {
        for change in [whole[at] ^ 1, whole[at] ^ 0x20, b'\n', 0, 0xff] {
            if change == whole[at] {
                continue;
            }
            let mut changed = whole.clone();
            changed[at] = change;
            assert!(!checked(&changed).is_whole(), "{at}: {change:#x}");
        }
    }
}

#[test]
fn a_long_line_takes_no_memory_and_what_follows_is_read() {
    let mut log = split(&bytes(2));
    log.insert(2, [vec![b'x'; 300 << 10], b"\n".to_vec()].concat());
    let entries: Vec<Entry> = lines(&log.concat()[..], &id()).map(Result::unwrap).collect();
    let faults: Vec<_> = entries.iter().map(|entry| entry.fault.clone()).collect();
    assert_eq!(faults, [None, None, Some(LineFault::TooLong), None, None]);
    assert!(entries.iter().all(|entry| entry.raw.len() <= MAX_LINE_BYTES));
    let endless = vec![b'x'; 3 * MAX_LINE_BYTES];
    assert_eq!(lines(&endless[..], &id()).count(), 1);
}

fn old(seq: u64) -> String {
    format!(
        "{{\"v\":1,\"time\":\"2026-11-23T09:08:07Z\",\"seq\":{seq},\"event\":{{\"type\":\"masked\",\"path\":\"/p\"}}}}\n"
    )
}

fn faults(text: &str) -> Vec<(u64, Option<LineFault>)> {
    lines(text.as_bytes(), &id())
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.number, entry.fault))
        .collect()
}

#[test]
fn version_1_is_read_by_its_running_numbers() {
    let text = format!("{}{}", old(0), old(1).get(..40).unwrap());
    assert_eq!(faults(&text), [(1, None), (2, Some(LineFault::Cut))]);
    assert_eq!(faults(old(0).trim_end()), [(1, None)]);
    let text = [
        old(0),
        old(2),
        old(2),
        "{}\n".into(),
        old(3).replace("masked", "mask"),
        old(3).replace("\"v\":1", "\"v\":9"),
        "\n".into(),
    ];
    let found = faults(&text.concat());
    let sequence = |expected, found| Some(LineFault::Sequence { expected, found });
    assert_eq!(found[1].1, sequence(1, 2));
    assert_eq!(found[2].1, sequence(3, 2));
    assert!(matches!(found[3].1, Some(LineFault::NotAnEvent(_))));
    assert!(matches!(found[4].1, Some(LineFault::NotAnEvent(_))));
    assert_eq!(found[5].1, Some(LineFault::Version(9)));
    assert!(matches!(found[6].1, Some(LineFault::NotAnEvent(_))));
}

#[test]
fn a_log_is_of_one_version() {
    let mut log = split(&bytes(2));
    log[1] = old(1).into_bytes();
    let found = checked(&log.concat());
    assert_eq!(found.faults[0], (2, LineFault::Mixed { found: 1, log: 2 }));
    let text = format!(
        "{}{}",
        old(0),
        String::from_utf8(split(&bytes(2))[1].clone()).unwrap()
    );
    assert!(matches!(
        faults(&text)[1].1,
        Some(LineFault::Mixed { found: 2, log: 1 })
    ));
}

#[test]
fn a_summary_reads_the_ends_alone() {
    let (_folder, log) = log(3, false);
    let sessions = log.path().parent().unwrap().to_owned();
    let found = |sessions: &Path| summary(sessions, &id());
    assert_eq!(found(&sessions).unwrap().ending, Ending::Running);
    log.emit(end());
    let ended = found(&sessions).unwrap();
    assert!(
        matches!(
            ended.ending,
            Ending::Ended {
                code: Some(3),
                denied: 2,
                duration_ms: 1234,
                ..
            }
        ),
        "{ended:?}"
    );
    assert_eq!(
        (ended.agent.as_str(), ended.argv.as_slice()),
        ("generic", &["true".to_owned()][..])
    );
    // The middle may be anything.
    let mut text = split(&std::fs::read(log.path()).unwrap());
    text.insert(2, vec![b'x'; 40 << 10]);
    std::fs::write(log.path(), text.concat()).unwrap();
    assert_eq!(found(&sessions).unwrap(), ended);
    // Without its end, once the writer is gone.
    drop(text.pop());
    text.push(b"{\"v\":2,\"ti".to_vec());
    std::fs::write(log.path(), text.concat()).unwrap();
    assert_eq!(found(&sessions).unwrap().ending, Ending::Running);
    let path = log.path().to_owned();
    drop(log);
    assert!(matches!(found(&sessions).unwrap().ending, Ending::CutOff { .. }));
    let swap = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        found(&sessions).unwrap_err()
    };
    assert!(matches!(swap(b""), Damage::Empty));
    assert!(matches!(swap(b"\0\0"), Damage::Beginning));
    assert!(matches!(swap(&text[1]), Damage::Foreign | Damage::Beginning));
    let first = String::from_utf8(text[0].clone()).unwrap();
    assert!(matches!(
        swap(first.replace("true", "tru3").as_bytes()),
        Damage::Foreign
    ));
}

#[test]
fn followed_to_its_end_or_its_writer_s() {
    use std::os::fd::AsFd;
    for ended in [true, false] {
        let (_folder, log) = log(2, false);
        let file = std::fs::File::open(log.path()).unwrap();
        let path = log.path().to_owned();
        let mut follow = Follow::begin(file, &id()).unwrap();
        let silent = std::fs::File::open("/dev/null").unwrap();
        let mut next = || follow.next(silent.as_fd()).unwrap();
        for _ in 0..3 {
            assert!(next().unwrap().fault.is_none());
        }
        let writer = std::thread::spawn(move || {
            if ended {
                log.emit(end());
                // It need not wait for the writer.
                return Some(log);
            }
            // Half a line, as a killed writer leaves it.
            let mut half = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
            std::io::Write::write_all(&mut half, b"{\"v\":2").unwrap();
            None
        });
        let last = next().unwrap();
        drop(writer.join());
        if ended {
            assert_eq!(last.record.unwrap().event, end());
        } else {
            assert_eq!(last.fault, Some(LineFault::Cut));
        }
        assert_eq!(next(), None);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_the_end(bytes in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..400)) {
        let entries = lines(&bytes[..], &id()).map(Result::unwrap).count();
        let feeds = bytes.iter().filter(|byte| **byte == b'\n').count();
        prop_assert_eq!(entries, feeds + usize::from(bytes.last().is_some_and(|byte| *byte != b'\n')));
    }

    #[test]
    fn any_single_change_is_found(events in 0..6u64, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let whole = bytes(events);
        let at = at.index(whole.len());
        prop_assume!(whole[at] != byte);
        let mut changed = whole;
        changed[at] = byte;
        prop_assert!(!checked(&changed).is_whole());
    }

    #[test]
    fn any_order_but_the_right_one_is_found(order in prop::collection::vec(0..6usize, 0..8)) {
        let whole = split(&bytes(4));
        prop_assume!(order != [0, 1, 2, 3, 4, 5]);
        let log: Vec<u8> = order.iter().flat_map(|index| whole[*index].clone()).collect();
        prop_assert!(!checked(&log).is_whole());
    }
}
