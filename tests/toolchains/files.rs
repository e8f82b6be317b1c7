//! Files and version control.

use crate::table::{Row, Sides, rows};

rows! {
    git_init_commit ["git"] r"
        set -e
        git init -q -b main r; cd r
        git config user.name A; git config user.email a@example.test
        echo one > f; git add f; git commit -q -m first
        echo two > f; git commit -q -a -m second
        git log --format=%s; git status --porcelain
    " => "second\nfirst";

    git_worktree_stash ["git"] r"
        set -e
        git init -q -b main r; cd r; echo one > f; git add f; git commit -q -m first
        git worktree add -q ../side -b side; cd ../side; git branch --show-current
        echo two > f; git stash -q; cat f; git stash pop -q; cat f
        git checkout -q f; cd ../r; git worktree remove ../side; git gc -q; git worktree list | wc -l
    " => "side\none\ntwo\n1";

    git_hooks ["git"] r"
        set -e
        git init -q -b main r; cd r
        printf '#!/bin/sh\necho hook\n' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit
        echo one > f; git add f; git commit -q -m first 2>&1
    " => "hook";

    git_clone_local ["git"] r"
        set -e
        git init -q --bare -b main b.git
        git clone -q file://$PWD/b.git c 2>/dev/null; cd c
        echo one > f; git add f; git commit -q -m first; git push -q origin HEAD:main
        git -C ../b.git log --format=%s main
    " => "first";

    rename_link_copy [] r#"
        set -e
        echo one > a; mv a b; ln b c; ln -s b d; cp --reflink=auto b e; cp -a d f
        chmod 751 e; touch -d 2001-02-03T04:05:06Z e; truncate -s 7 b
        stat -c '%h %s' b; stat -c '%a %Y' e; readlink f
    "# => "2 7\n751 981173106\nb";

    extended_attributes ["python3"] r#"
        python3 -c 'import os; open("f", "w"); os.setxattr("f", b"user.a", b"v"); print(os.getxattr("f", b"user.a").decode())'
    "# => "v";

    tmp_write [] r"
        set -e
        f=$(mktemp); d=$(mktemp -d); echo one > $f; mv $f $d/g; cat $d/g; rm -r $d
    " => "one";

    tmp_exec [] r"
        set -e
        d=$(mktemp -d); printf '#!/bin/sh\necho ran\n' > $d/s; chmod +x $d/s; $d/s; rm -r $d
    " => "ran";

    var_tmp [] r"f=$(mktemp -p /var/tmp) && echo one > $f && cat $f && rm $f" => "one";

    home_cache_write [] r"mkdir -p ~/.cache/t/u && echo one > ~/.cache/t/u/f && cat ~/.cache/t/u/f && rm -r ~/.cache/t" => "one";

    home_write [] r"mkdir -p ~/.config/t && echo one > ~/.config/t/f && cat ~/.config/t/f && ls -A ~ >/dev/null" => "one";

    dev_nodes [] r"
        set -e
        head -c 3 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c; echo gone > /dev/null; (echo err > /dev/stderr) 2> e; cat e
        cat <(echo substituted); echo fd | cat /dev/fd/0; cat < /dev/stdin; [ -w /dev/full ] && [ -c /dev/random ]
        ( exec 3<>/dev/tcp/127.0.0.1/1 ) 2>/dev/null || echo closed
    " => "3\n4\nerr\nsubstituted\nfd\nclosed";

    dev_full [] r"echo one 2>/dev/null > /dev/full || echo full" => "full";

    deep_tree [] r"
        set -e
        p=t; for i in $(seq 60); do p=$p/d$i; done; mkdir -p $p; echo one > $p/f; find t -type f | wc -l; rm -r t; ls -A
    " => "1";

    sparse_and_large_files [] r"
        set -e
        truncate -s 3G f; stat -c %s f; fallocate -l 1M g; stat -c %s g; dd if=/dev/zero of=h bs=1M count=8 conv=fsync status=none; stat -c %s h
    " => "3221225472\n1048576\n8388608";

    archives [] r"
        set -e
        mkdir d; echo one > d/f; ln -s f d/l; tar czf a.tgz d; rm -r d; tar xzf a.tgz; cat d/l; stat -c %U:%G d/f | grep -c .
    " => "one\n1";
}

/// The user's name and address come from the host's settings, and nothing else of them does.
#[test]
fn home_config_read() {
    Row {
        needs: &["git"],
        script: "git config --global user.name; git config user.email; ls -a ~ | grep -cx .gitconfig",
        expected: "Ann\nann@example.test\n1",
    }
    .check_with(&Sides {
        prepare: Some(&|world| {
            world.file(
                world.home.join(".gitconfig"),
                "[user]\n\tname = Ann\n\temail = ann@example.test\n",
            );
        }),
        ..Sides::default()
    });
}
