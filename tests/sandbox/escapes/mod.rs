//! Published weaknesses of sandboxes, and the test of ours for each: one row of [`ROWS`] for a row of the research.
//!
//! What concerns files, processes, the kernel's surface, the terminal and the life of a run has a test here or beside the
//! cases; what concerns the network and what a file does after the run is held where that is built.

mod files;
mod processes;

use std::fs;
use std::path::Path;

/// Where a row is held.
enum Held {
    /// By these tests: `module::name`.
    By(&'static [&'static str]),
    /// Not in this suite, and why.
    Elsewhere(&'static str),
}
use Held::{By, Elsewhere};

const NETWORK: &str = "a matter of the network gate: tests of `src/proxy` and `tests/network`";

/// Advisory or thread, and what broke; then where it is held.
const ROWS: &[(&str, Held)] = &[
    (
        "CVE-2025-66479: an empty list of domains meant no sandbox",
        Elsewhere(NETWORK),
    ),
    ("A. Guan 2026: a NUL in a SOCKS name", Elsewhere(NETWORK)),
    (
        "CVE-2026-25725: settings that did not exist at the start",
        By(&[
            "escapes::files::cve_2026_25725_settings_that_did_not_exist",
            "protect::m01_m09_what_is_not_there_leaves_nothing_and_is_told",
        ]),
    ),
    (
        "CVE-2026-39861, CVE-2026-25724: links made inside, followed outside",
        By(&[
            "escapes::files::cve_2026_39861_links_made_inside",
            "protect::m24_links_out_of_the_project_are_told",
        ]),
    ),
    (
        "CVE-2026-46406: a fixed path in /tmp",
        By(&["escapes::files::cve_2026_46406_the_host_s_tmp_is_another"]),
    ),
    ("CVE-2025-55284: names as a channel", Elsewhere(NETWORK)),
    (
        "CVE-2025-54794, -54795, CVE-2025-66032: prefixes of paths, parsing of shells",
        By(&["escapes::files::cve_2025_54794_a_sibling_with_the_project_s_name_as_prefix"]),
    ),
    (
        "CVE-2025-59536, CVE-2026-21852: settings of the repository act before trust",
        By(&["escapes::files::cve_2025_59536_a_project_grants_itself_nothing"]),
    ),
    (
        "infinitsec: globs that were silently not applied",
        By(&["escapes::files::infinitsec_a_glob_is_applied_or_refused"]),
    ),
    (
        "Ona: another path to a program, a copy, the loader; turning the sandbox off",
        By(&[
            "escapes::processes::ona_every_way_to_start_a_program_is_confined",
            "escapes::files::ona_the_sandbox_can_not_be_turned_off_from_inside",
        ]),
    ),
    (
        "claude-code #40213 and others: not enforced, and not shown",
        By(&[
            "selftest::every_attempt_is_refused_inside",
            "selftest::without_a_sandbox_the_attempts_are_told_as_failed",
        ]),
    ),
    (
        "claude-code #87381: CONNECT by an inner process",
        Elsewhere(NETWORK),
    ),
    (
        "srt #274, #65, #343: rules without ports, private addresses",
        Elsewhere(NETWORK),
    ),
    (
        "srt #149, #175: a hidden directory could be written",
        By(&["escapes::files::srt_149_a_hidden_directory_can_not_be_written"]),
    ),
    (
        "srt #85, #139; claude-code #81602: placeholders left behind",
        By(&[
            "escapes::files::srt_85_no_placeholder_is_left",
            "lifecycle::c21_sigkill_at_any_moment_ends_everything_and_leaves_nothing",
        ]),
    ),
    (
        "srt 826ed32, ec9fc45, 383871c: session and parent; move, then read",
        By(&[
            "lifecycle::c21_sigkill_at_any_moment_ends_everything_and_leaves_nothing",
            "read::r04_r05_a_masked_file_can_not_be_moved_or_linked",
        ]),
    ),
    (
        "CVE-2025-59532: a directory chosen inside became the root",
        By(&["escapes::files::cve_2025_59532_a_directory_chosen_inside_opens_nothing"]),
    ),
    (
        "CVE-2025-61260: the project's .env was loaded",
        By(&["escapes::files::cve_2025_61260_the_project_s_env_file_is_not_loaded"]),
    ),
    (
        "codex #15067, #25664, #9254: the pointer file of a work tree",
        By(&[
            "protect::m25_m26_m27_linked_work_trees",
            "protect::m25_a_pointer_that_was_forged_is_not_followed",
        ]),
    ),
    (
        "codex #10814 and others: io_uring around the filter",
        By(&["process::p02_p03_p05_p06_p13_calls_into_the_kernel_are_refused"]),
    ),
    (
        "CVE-2026-26268: hooks and settings written from inside",
        By(&[
            "protect::m14_m15_m16_hooks_settings_and_the_repository_itself",
            "protect::m14_hooks_that_were_not_there_are_told",
        ]),
    ),
    (
        "CVE-2026-50548, -50549: a link where resolving fails",
        By(&["escapes::files::cve_2026_50548_a_path_that_can_not_be_resolved_is_refused"]),
    ),
    (
        "CVE-2026-22708: an environment poisoned for what comes later",
        By(&["escapes::files::cve_2026_22708_start_up_files_poison_no_later_run"]),
    ),
    (
        "CVE-2025-54135, -54136, -59944, -53773: settings of editors, other cases of a name",
        By(&[
            "protect::m10_m13_directories_of_editors_and_agents",
            "protect::m28_other_cases_of_a_name",
        ]),
    ),
    (
        "Gemini CLI: off by default",
        By(&["escapes::processes::gemini_there_is_no_flag_that_runs_without"]),
    ),
    (
        "Cymulate CBSE: the agent's own settings are the way out",
        By(&["state::settings_that_are_executed_stay_the_hosts"]),
    ),
    (
        "CVE-2025-53109, -53110: a file server with prefixes and links",
        By(&[
            "escapes::files::cve_2025_54794_a_sibling_with_the_project_s_name_as_prefix",
            "escapes::files::cve_2026_39861_links_made_inside",
        ]),
    ),
    (
        "nono #207, #781: no scope of signals and abstract sockets; sockets of hidden paths",
        By(&[
            "process::p10_processes_outside_do_not_exist",
            "escapes::processes::nono_781_a_hidden_socket_can_not_be_connected",
        ]),
    ),
    (
        "landrun #43, cplt #240: services by visible sockets",
        By(&["process::p18_services_of_the_session_are_not_there"]),
    ),
    ("httpjail 664cd1a and others: fronting", Elsewhere(NETWORK)),
    (
        "suna #6096 and others: spellings of the loopback",
        Elsewhere(NETWORK),
    ),
    (
        "sandlock 20b4e69 and others: hard links, renames, mknod, pointers read twice",
        By(&[
            "write::w18_w19_hard_links_do_not_cross",
            "write::w20_no_devices_but_pipes",
            "escapes::processes::sandlock_no_decision_hangs_on_a_pointer",
        ]),
    ),
    (
        "dirge #774 and others: linked work trees",
        By(&["protect::m25_m26_m27_linked_work_trees"]),
    ),
    (
        "CVE-2017-5226, CVE-2020-13753, CVE-2019-10063, CVE-2023-28100: typing for the user",
        By(&["terminal::t08_nothing_is_typed_for_the_user"]),
    ),
    (
        "CVE-2023-28101: control characters in what the tool prints",
        By(&["escapes::files::cve_2023_28101_names_can_not_speak_to_the_terminal"]),
    ),
    (
        "CVE-2021-41133: newer calls",
        By(&["process::p02_p03_p05_p06_p13_calls_into_the_kernel_are_refused"]),
    ),
    (
        "CVE-2024-42472, CVE-2026-34078: a link swapped between check and bind",
        By(&["protect::a_path_that_is_swapped_while_the_view_is_built_is_never_followed"]),
    ),
    (
        "CVE-2024-32462, CVE-2021-21261: the command taken for a flag",
        By(&["escapes::processes::cve_2024_32462_a_command_is_never_a_flag"]),
    ),
    (
        "CVE-2020-5291, CVE-2026-41163, firejail: set-uid helpers",
        By(&[
            "escapes::processes::cve_2020_5291_aca_has_no_privilege_to_lose",
            "process::p11_set_user_id_programs_give_nothing",
        ]),
    ),
    (
        "bubblewrap SECURITY.md: protection is the caller's arguments",
        Elsewhere("no attack: what each run's arguments give is what all other rows try"),
    ),
    (
        "CVE-2019-5736, CVE-2021-30465, CVE-2024-21626, CVE-2025-31133: runc",
        By(&[
            "escapes::processes::cve_2019_5736_the_program_itself_can_not_be_overwritten",
            "escapes::processes::cve_2024_21626_no_descriptor_leads_out",
            "escapes::processes::cve_2025_31133_covered_paths_of_proc_stay_covered",
        ]),
    ),
    (
        "CVE-2020-15257: abstract sockets of the host",
        By(&[
            "process::p18_services_of_the_session_are_not_there",
            "selftest::every_attempt_is_refused_inside",
        ]),
    ),
    (
        "flatpak #4281: kernel keyrings",
        By(&["process::p02_p03_p05_p06_p13_calls_into_the_kernel_are_refused"]),
    ),
    (
        "32-bit and x32 entry",
        By(&["process::p04_other_gates_of_the_kernel_are_shut"]),
    ),
    (
        "Landlock's limits: modes, owners, attributes and times",
        By(&["write::w23_nothing_of_a_file_outside_can_be_changed"]),
    ),
    (
        "class: same user's /proc, ptrace, signals, priorities",
        By(&[
            "process::p10_processes_outside_do_not_exist",
            "process::p10_the_first_process_shows_nothing",
        ]),
    ),
    (
        "class: the supervisor killed or traced",
        By(&[
            "escapes::processes::the_first_process_survives_what_is_sent_to_it",
            "lifecycle::the_process_group_outside_is_out_of_the_program_s_reach",
        ]),
    ),
    (
        "class: survivors after exit or crash",
        By(&[
            "lifecycle::c22_c23_background_children_and_daemons_end_with_the_program",
            "lifecycle::c21_sigkill_of_a_stopped_aca_ends_everything",
        ]),
    ),
    (
        "class: terminal left raw, background readers",
        By(&["terminal::t10_modes_are_put_back_however_the_program_ends"]),
    ),
    (
        "class: pipes on read-only mounts",
        By(&["escapes::files::pipes_of_the_host_where_only_reading_is_granted"]),
    ),
    (
        "class: sockets on read-only mounts",
        Elsewhere(
            "not held: a host's socket that lies in the project or in a directory that was granted can be connected, as README says; before Landlock's ninth interface the kernel has no wall for it",
        ),
    ),
    (
        "class: secrets that come late",
        By(&[
            "read::r11_a_secret_that_appears_on_the_host_is_masked",
            "read::r11_a_rotated_secret_is_masked_again",
        ]),
    ),
    (
        "class: aca's own log and settings",
        By(&["escapes::files::ona_the_sandbox_can_not_be_turned_off_from_inside"]),
    ),
    (
        "class: resource limits",
        By(&[
            "process::p16_memory_backed_places_have_a_limit",
            "lifecycle::c20_a_program_that_has_used_up_its_processes_is_ended",
        ]),
    ),
    (
        "class: the network by variables alone, requests and resolvers",
        Elsewhere(NETWORK),
    ),
];

#[test]
fn every_row_has_a_test_that_is_there() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sandbox");
    let mut missing = Vec::new();
    for (row, held) in ROWS {
        match held {
            Elsewhere(reason) => assert!(reason.len() > 20, "{row} has no reason"),
            By(tests) => {
                assert!(!tests.is_empty(), "{row}");
                for test in *tests {
                    let (module, name) = test.rsplit_once("::").unwrap();
                    let file = directory.join(module.replace("::", "/")).with_extension("rs");
                    let text = fs::read_to_string(file).unwrap_or_default();
                    if !text.contains(&format!("#[test]\nfn {name}() {{")) {
                        missing.push(format!("{row}: {test}"));
                    }
                }
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}
