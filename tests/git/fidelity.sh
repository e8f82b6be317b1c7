# Looking.
git status
git status --short --branch
git log --oneline --graph --all --decorate
git log -p -1
git log --stat -2
git log --format=%an%n%ae%n%s -1
git show HEAD:f
git show v0
git diff HEAD~1
git diff --stat HEAD~2 HEAD
git blame f
git describe
git describe --always --long
git rev-parse HEAD
git rev-parse --show-toplevel
git rev-parse --git-dir --is-inside-work-tree
git cat-file -p HEAD^{tree}
git cat-file -t v0
git ls-files -s
git ls-tree -r HEAD
git branch -avv
git tag -n
git stash list
git stash show -p
git shortlog -sn HEAD
git reflog
git grep -n 2
git archive HEAD | tar -tf -
git config --get user.name
git config --list --local
# Staging and committing.
echo 5 >> f
git diff
git add f
git diff --cached
git commit -m fourth
git status --porcelain
echo n > n
git add -N n
git diff --name-only
git add n
git commit -qm fifth
git commit --amend -m fifth-again
git mv n m
git status --short
git commit -qam moved
git rm -q x
git status --short
git restore --staged x
git restore x
git checkout -- x
git clean -n
echo junk > junk
git clean -fq
printf 'a\nb\n' > two; git add two; git commit -qm two
git revert --no-edit HEAD
git reset -q --soft HEAD~1
git reset -q
git checkout -q -- .
git status --short
git clean -fdq
# Branches.
git switch -c topic
git branch
for i in 1 2 3; do echo $i > t$i; git add t$i; git commit -qm t$i; done
git switch main
git switch -q -
git checkout -b second main
echo s > s; git add s; git commit -qm s
git merge --no-ff -m merge topic
git log --oneline --graph -6
git branch --merged
git branch --contains topic
git merge-base main second
git checkout -q topic
git rebase second
git rebase --onto main second topic
git log --oneline -3
git checkout -q --detach
git commit -q --allow-empty -m detached
git status
git switch -q topic
@git branch -m topic renamed
@git branch -c renamed copied
@git branch -d copied
@git branch -D copied
# Conflicts.
git switch -q -c left main
echo left > f; git commit -qam left
git switch -q -c right main
echo right > f; git commit -qam right
git merge left
git status
git diff
git ls-files -u
git merge --abort
git merge -X ours -m both left
git cherry-pick left
git status --short
git checkout --ours f
git add f
git cherry-pick --skip
@git cherry-pick -x renamed
git rebase left
git checkout --theirs f; git add f; git rebase --continue
git log --oneline -4
@git config rerere.enabled true
git switch -q -c again main; echo again > f; git commit -qam again; git merge left
@git rerere status
echo resolved > f; git add f; git commit -qm resolved
@git rerere diff
# Interactive.
git switch -q -c story main
for i in a b c d; do echo $i > $i; git add $i; git commit -qm $i; done
GIT_SEQUENCE_EDITOR='sed -i 2s/pick/squash/' git rebase -i HEAD~4
GIT_SEQUENCE_EDITOR='sed -i 1s/pick/drop/' git rebase -i HEAD~2
GIT_SEQUENCE_EDITOR='sed -i s/pick/edit/' git rebase -i HEAD~1
git commit -q --amend -m edited
git rebase --continue
git commit -q --allow-empty --fixup HEAD
GIT_SEQUENCE_EDITOR=true git rebase -i --autosquash HEAD~2
git log --format=%s -3
# Stash.
echo w >> f; git stash
git stash list
echo u > u; git stash push -u -m untracked
git stash list
git stash show --stat stash@{1}
git stash pop
git stash drop
git stash apply -q; git checkout -q -- .; rm -f u
echo o >> f; git stash push -qm own
git stash branch from-stash
git stash list
git commit -qam stashed
# Tags and notes.
git tag light
git tag -a v1 -m one
git tag -f light HEAD~1
git tag -l
git tag -d light
git describe
git notes add -m noted
git notes show
git notes append -m more
git log --show-notes -1 --format=%N
git notes --ref other add -m other
# Finding.
git bisect start HEAD old
git bisect good
git bisect run sh -c 'test ! -e u'
git bisect log
git bisect reset
git log -S4 --oneline -- f
git log --follow --oneline m
git rev-list --count HEAD
git name-rev HEAD
git cherry main
git range-diff main~1..main main~1..main
git log --diff-filter=A --name-only --format= -3
# Patches.
git format-patch -1 --stdout > p.patch
git switch -q -c patched main
git am -q p.patch
git apply --check p.patch
git apply -R p.patch
git checkout -q -- . ; git clean -fdq
git bundle create -q b.bundle main
git bundle verify -q b.bundle
git bundle list-heads b.bundle
rm -f b.bundle
# Work trees.
git worktree add -q ../project/wt -b wt main
git worktree list | sed s/...........$//
git -C wt commit -q --allow-empty -m within
git branch -D wt
git worktree remove wt
git worktree prune -v
git worktree add -q left/wt -b left-wt main
echo l > left/wt/l; git -C left/wt add l; git -C left/wt commit -qm left
echo m > left/wt/m; git -C left/wt add m; echo n >> left/wt/f
git -C left/wt status --short --branch
git -C left/wt stash list
git worktree add -q --detach left/loose main
git -C left/loose commit -q --allow-empty -m loose
git worktree add -q --lock --reason busy -b left-locked left/locked main
git worktree unlock left/locked
git worktree move left/locked left/moved
git worktree lock left/moved
git worktree add -q -b left-gone left/gone main
git worktree remove left/gone
git worktree list --porcelain
@git branch -d left-gone
# Sparse.
@git sparse-checkout set --no-cone '/*' '!/d/'
git status --short
ls
@git sparse-checkout list
@git sparse-checkout disable
ls
# Remotes.
@git remote add up ./server/up.git
@git remote -v
@git push -q -u up main
@git push up v1
@git branch -vv
@git fetch up
@git ls-remote up
@git switch -q -c tracked --track up/main
@git commit -q --allow-empty -m pushed; git push -q up HEAD:main
@git pull -q --ff-only
@git status -sb
@git remote show -n up
@git remote rename up down
@git remote set-url down ./server/up.git
@git remote get-url down
git clone -q ./server/up.git cloned
git -C cloned log --oneline -1
rm -rf cloned
@git branch --unset-upstream
@git remote remove down
@git remote
# Upkeep.
@git config core.quotePath false
@git config --unset core.quotePath
@git config --get core.quotePath
@git config alias.st 'status --short'
@git st
git gc -q
git repack -adq
git pack-refs --all
git fsck --no-dangling
git prune
@git maintenance run --task=gc --quiet
git update-index --refresh
git update-index --assume-unchanged f
git ls-files -v f
git update-index --no-assume-unchanged f
git check-ignore -v server
git check-attr -a f
git var GIT_AUTHOR_IDENT
git hash-object f
git write-tree
git commit-tree -m plumbing HEAD^{tree} -p HEAD
git symbolic-ref HEAD
git update-ref refs/heads/by-plumbing HEAD
git for-each-ref --format='%(refname) %(objectname)'
git lfs version
git switch -q main
git status
rm -f .git/gc.log
# Submodules.
@git -c protocol.file.allow=always submodule --quiet add ./server/up.git sub
@git commit -qm with-sub
@git submodule status
@echo w > sub/w; git -C sub add w; git -C sub commit -qm within; git add sub; git commit -qm outer
@git -C sub switch -q -c other; git -C sub commit -q --allow-empty -m more; echo x > sub/x; git -C sub add x
@git submodule status
@git submodule summary
@git -C left/wt merge -q -m merged main
@git -C left/wt -c protocol.file.allow=always submodule --quiet update --init
@git -C left/wt submodule status
git status --short
