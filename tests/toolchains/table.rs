//! One row of the table: what it needs, a bash script, and what the script prints outside as well as inside.

use crate::support::{Ran, World, has, host_path, uid};
use std::process::Command;

/// One tool at its everyday work.
pub(crate) struct Row<'a> {
    /// Programs that must be on the machine, else the row is a counted skip.
    pub(crate) needs: &'a [&'a str],
    /// Run by bash in an empty project; its end is the row's.
    pub(crate) script: &'a str,
    /// What it prints.
    pub(crate) expected: &'a str,
}

/// How the two sides of a row differ in their set-up.
#[derive(Default)]
pub(crate) struct Sides<'a> {
    /// Puts into the fresh world what the script works on.
    pub(crate) prepare: Option<&'a dyn Fn(&World)>,
    /// Variables of both sides. aca is told to keep them.
    pub(crate) both: &'a [(&'a str, &'a str)],
    /// Variables of the outer side.
    pub(crate) outside: &'a [(&'a str, &'a str)],
    /// Flags of `aca run`.
    pub(crate) inside: &'a [&'a str],
    /// Directories of the home that stand first in `PATH`, on both sides.
    pub(crate) home_path: &'a [&'a str],
}

/// Tests of rows that need nothing but their script.
macro_rules! rows {
    ($($(#[$about:meta])* $name:ident [$($need:literal),*] $script:literal => $expected:literal;)*) => {
        $(
            $(#[$about])*
            #[test]
            fn $name() {
                $crate::table::Row { needs: &[$($need),*], script: $script, expected: $expected }.check();
            }
        )*
    };
}
pub(crate) use rows;

impl Row<'_> {
    /// The same outside and inside.
    #[track_caller]
    pub(crate) fn check(&self) {
        self.check_with(&Sides::default());
    }

    /// The same outside and inside, with a set-up.
    #[track_caller]
    pub(crate) fn check_with(&self, sides: &Sides<'_>) {
        if self.is_missing() {
            return;
        }
        self.outside(sides);
        self.inside(sides);
    }

    /// Inside alone: for what the user of these tests can't do outside, having no entry in the list of users. Where
    /// it has one (the tests were not started as root) both sides run.
    #[track_caller]
    pub(crate) fn check_named(&self) {
        if self.is_missing() {
            return;
        }
        let named = Command::new("getent")
            .args(["passwd", &uid().to_string()])
            .output();
        if named.is_ok_and(|output| output.status.success()) {
            self.outside(&Sides::default());
        }
        self.inside(&Sides::default());
    }

    #[track_caller]
    fn is_missing(&self) -> bool {
        !self.needs.iter().all(|program| has(program))
    }

    /// Outside; the expectation is about the tool, so it has to hold here first.
    #[track_caller]
    fn outside(&self, sides: &Sides<'_>) {
        let world = self.world(sides);
        let mut command = world.command("bash");
        command.args(["-c", self.script]);
        self.surroundings(&mut command, &world, sides);
        command.envs(sides.outside.iter().copied());
        self.compare("outside", &Ran::from_output(&command.output().unwrap()));
    }

    /// Inside.
    #[track_caller]
    pub(crate) fn inside(&self, sides: &Sides<'_>) {
        let world = self.world(sides);
        let mut command = world.aca(&["run"]);
        for (name, _) in sides.both {
            command.args(["--env", name]);
        }
        command.args(sides.inside).args(["--", "bash", "-c", self.script]);
        self.surroundings(&mut command, &world, sides);
        let ran = Ran::from_output(&command.output().unwrap());
        if ran.code != 0 || ran.out.trim_end() != self.expected {
            for event in world.events() {
                eprintln!("{event}");
            }
        }
        self.compare("inside", &ran);
    }

    fn world(&self, sides: &Sides<'_>) -> World {
        let world = World::new();
        if let Some(prepare) = sides.prepare {
            prepare(&world);
        }
        world
    }

    fn surroundings(&self, command: &mut Command, world: &World, sides: &Sides<'_>) {
        let own: String = sides
            .home_path
            .iter()
            .map(|directory| format!("{}:", world.home.join(directory).display()))
            .collect();
        command
            .env("PATH", own + host_path())
            .envs(sides.both.iter().copied());
    }

    #[track_caller]
    fn compare(&self, side: &str, ran: &Ran) {
        assert_eq!(
            (ran.code, ran.out.trim_end()),
            (0, self.expected),
            "{side}, standard error:\n{}",
            ran.err
        );
    }
}
