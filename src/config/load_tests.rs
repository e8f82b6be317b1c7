//! Files that can't be read, and those that needn't be there.

use super::*;
use crate::failure::Failure;
use std::{fmt::Write as _, os::unix::fs::PermissionsExt, path::Path};

/// Every message of a file that can't be read.
#[test]
fn faults_of_reading() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("directory.toml")).unwrap();
    std::fs::write(at("latin.toml"), b"# fine\n# caf\xe9\n").unwrap();
    std::fs::write(at("large.toml"), vec![b'#'; (1 << 20) + 1]).unwrap();
    let bad = |kind: &str| {
        let places = Places::new(&[], &at(kind), folder.path());
        std::fs::create_dir_all(places.config_file().parent().unwrap()).unwrap();
        places
    };
    let (directory, pipe, dangling) = (bad("directory"), bad("pipe"), bad("dangling"));
    std::fs::create_dir(directory.config_file()).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, pipe.config_file(), rustix::fs::Mode::RUSR).unwrap();
    std::os::unix::fs::symlink("nowhere", dangling.config_file()).unwrap();
    std::fs::write(at("closed.toml"), "").unwrap();
    std::fs::set_permissions(at("closed.toml"), std::fs::Permissions::from_mode(0o000)).unwrap();
    let places = Places::new(&[], folder.path(), folder.path());
    let mut all = String::new();
    for name in [
        "missing.toml",
        "directory.toml",
        "latin.toml",
        "large.toml",
        "large.toml/below",
    ] {
        let error = load(&places, Some(Path::new(name))).expect_err(name);
        write!(all, "--- {name}\n{}", Failure::from(error)).unwrap();
    }
    for places in [directory, pipe, dangling] {
        let error = load(&places, None).expect_err("no file of the user's own");
        write!(all, "--- without a flag\n{}", Failure::from(error)).unwrap();
    }
    insta::assert_snapshot!(all.replace(&folder.path().display().to_string(), "DIR"), @r"
    --- missing.toml
    error: cannot read the configuration file DIR/missing.toml
      cause: No such file or directory (os error 2)
    --- directory.toml
    error: the configuration file DIR/directory.toml is a directory
    --- latin.toml
    error: the file is not UTF-8
     --> DIR/latin.toml:2:6
      |
    2 | # caf�
      |      ^
    --- large.toml
    error: the configuration file DIR/large.toml is larger than 1048576 bytes
    --- large.toml/below
    error: cannot read the configuration file DIR/large.toml/below
      cause: Not a directory (os error 20)
    --- without a flag
    error: the configuration file DIR/directory/.config/aca/config.toml is a directory: a regular file is wanted

    hint: put a file there, or take it away
    --- without a flag
    error: the configuration file DIR/pipe/.config/aca/config.toml is a pipe: a regular file is wanted

    hint: put a file there, or take it away
    --- without a flag
    error: the configuration file DIR/dangling/.config/aca/config.toml is a link that leads nowhere: a regular file is wanted

    hint: put a file there, or take it away
    ");
    // Root reads what is closed to others; then there is nothing to see.
    if std::fs::File::open(at("closed.toml")).is_err() {
        let error = load(&places, Some(Path::new("closed.toml"))).unwrap_err();
        assert!(
            Failure::from(error)
                .to_string()
                .contains("cause: Permission denied")
        );
    }
}

#[test]
fn no_file_is_fine_and_so_is_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let places = Places::new(&[], folder.path(), folder.path());
    assert_eq!(load(&places, None).unwrap(), None);
    std::fs::create_dir_all(places.config_file().parent().unwrap()).unwrap();
    std::fs::write(places.config_file(), "").unwrap();
    let file = load(&places, None).unwrap().unwrap();
    assert_eq!((file.settings, file.agents.len()), (Settings::default(), 0));
    std::fs::write(places.config_file(), "\u{feff}grants = [\"fuse\"]\r\n").unwrap();
    assert_eq!(load(&places, None).unwrap().unwrap().settings.grants.len(), 1);
}
