/* Makes bare system calls on names, and tells which of them made one: "MADE <call> <path>". */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *parent, *name, *path;
static int directory;

static void told(const char *call) {
    struct stat status;
    if (lstat(path, &status) == 0) {
        printf("MADE %s %s\n", call, path);
        if (S_ISDIR(status.st_mode)) {
            rmdir(path);
        } else {
            unlink(path);
        }
    }
    fflush(stdout);
}

static void closed(int descriptor) {
    if (descriptor >= 0) close(descriptor);
}

static void spare(void) {
    unlink("spare");
    closed(open("spare", O_CREAT | O_WRONLY, 0644));
}

static int bound(const char *to) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strncpy(address.sun_path, to, sizeof address.sun_path);
    int result = bind(made, (struct sockaddr *)&address, sizeof address);
    close(made);
    return result;
}

struct how { unsigned long long flags, mode, resolve; };

static void files(void) {
    char text[4200];
    int at = open(parent, O_RDONLY | O_DIRECTORY), there = open(parent, O_PATH | O_DIRECTORY), spared;
#ifdef SYS_open
    closed(syscall(SYS_open, path, O_CREAT | O_WRONLY, 0644)); told("open");
    closed(syscall(SYS_creat, path, 0644)); told("creat");
    syscall(SYS_mknod, path, S_IFREG | 0644, 0); told("mknod");
    syscall(SYS_symlink, "spare", path); told("symlink");
    spare(); syscall(SYS_link, "spare", path); told("link");
    spare(); syscall(SYS_rename, "spare", path); told("rename");
#endif
    closed(openat(AT_FDCWD, path, O_CREAT | O_RDWR, 0644)); told("openat");
    closed(openat(at, name, O_CREAT | O_EXCL | O_RDWR, 0644)); told("openat with a descriptor");
    closed(openat(there, name, O_CREAT | O_WRONLY | O_TRUNC | O_NOFOLLOW, 0600)); told("openat with O_PATH");
    struct how how = { O_CREAT | O_WRONLY, 0644, 0 };
    closed(syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how)); told("openat2");
    how.resolve = 8; /* RESOLVE_BENEATH */
    closed(syscall(SYS_openat2, at, name, &how, sizeof how)); told("openat2 beneath");
    mknodat(at, name, S_IFIFO | 0644, 0); told("mkfifo");
    mknodat(at, name, S_IFSOCK | 0644, 0); told("a socket by mknodat");
    bound(path); told("bind");
    unlink("kept-socket"); bound("kept-socket"); rename("kept-socket", path); told("rename of a socket"); unlink("kept-socket");
    symlinkat("../spare", at, name); told("symlinkat");
    spare(); linkat(AT_FDCWD, "spare", at, name, 0); told("linkat");
    spare(); renameat(AT_FDCWD, "spare", at, name); told("renameat");
    spare(); syscall(SYS_renameat2, AT_FDCWD, "spare", AT_FDCWD, path, 1); told("renameat2 without replacing");
    spared = open(".", O_TMPFILE | O_RDWR, 0644);
    if (spared >= 0) {
        snprintf(text, sizeof text, "/proc/self/fd/%d", spared);
        linkat(AT_FDCWD, text, AT_FDCWD, path, AT_SYMLINK_FOLLOW); told("linkat of a nameless file");
        linkat(spared, "", AT_FDCWD, path, AT_EMPTY_PATH); told("linkat of a descriptor");
        close(spared);
    }
    snprintf(text, sizeof text, "/proc/self/fd/%d/%s", at, name);
    closed(open(text, O_CREAT | O_WRONLY, 0644)); told("by /proc/self/fd");
    snprintf(text, sizeof text, "/dev/fd/%d/%s", at, name);
    closed(open(text, O_CREAT | O_WRONLY, 0644)); told("by /dev/fd");
    snprintf(text, sizeof text, "/proc/%d/fd/%d/%s", getpid(), at, name);
    closed(open(text, O_CREAT | O_WRONLY, 0644)); told("by /proc/PID/fd");
    snprintf(text, sizeof text, "/proc/self/cwd/%s", path);
    closed(open(text, O_CREAT | O_WRONLY, 0644)); told("by /proc/self/cwd");
    snprintf(text, sizeof text, "/proc/thread-self/root/%s/%s", getcwd(NULL, 0), path);
    closed(open(text, O_CREAT | O_WRONLY, 0644)); told("by /proc/thread-self/root");
    snprintf(text, sizeof text, "%s/%s", getcwd(NULL, 0), path);
    closed(open(text, O_CREAT | O_WRONLY, 0644)); told("by the whole path");
    snprintf(text, sizeof text, "%s/../%s/.//%s", parent, strrchr(parent, '/') ? strrchr(parent, '/') + 1 : parent, name);
    closed(open(text, O_CREAT | O_WRONLY, 0644)); told("by a detour");
    unlink("way"); symlink(path, "way");
    closed(open("way", O_CREAT | O_WRONLY, 0644)); told("through a link");
    unlink("way"); symlink(parent, "way");
    snprintf(text, sizeof text, "way/%s", name);
    closed(open(text, O_CREAT | O_WRONLY, 0644)); told("through a linked directory");
    snprintf(text, sizeof text, "/tmp/way%d", getpid());
    char *whole = realpath(parent, NULL), target[4200];
    snprintf(target, sizeof target, "%s/%s", whole, name);
    unlink(text); symlink(target, text);
    closed(open(text, O_CREAT | O_WRONLY, 0644)); told("through a link that lies elsewhere");
    if (fork() == 0) {
        fchdir(at);
        closed(open(name, O_CREAT | O_WRONLY, 0644));
        mkfifo(name, 0644);
        _exit(0);
    }
    wait(NULL); told("in its directory");
    if (fork() == 0) {
        fchdir(at);
        bound(name);
        _exit(0);
    }
    wait(NULL); told("bind in its directory");
    if (vfork() == 0) {
        closed(openat(at, name, O_CREAT | O_WRONLY, 0644));
        _exit(0);
    }
    wait(NULL); told("in a child that shares memory");
    /* The directory gets its name afterwards. */
    system("rm -rf moved kept");
    mkdir("moved", 0755);
    snprintf(text, sizeof text, "moved/%s", name);
    closed(open(text, O_CREAT | O_WRONLY, 0644));
    if (strcmp(parent, ".") != 0) {
        rename(parent, "kept");
        if (access("kept", F_OK) == 0) {
            snprintf(text, sizeof text, "rm -rf %s; mkdir -p moved; touch moved/%s", parent, name);
            rename("moved", parent); told("rename of its directory");
            system(text);
            mkdir(parent, 0755);
            syscall(SYS_renameat2, AT_FDCWD, "moved", AT_FDCWD, parent, 2); told("exchange of its directory");
            system(text);
            char link[4200];
            snprintf(link, sizeof link, "%s/moved", getcwd(NULL, 0));
            symlink(link, parent); told("a link in place of its directory");
            unlink(parent);
            rename("kept", parent);
        }
    }
    system("rm -rf moved kept node_modules");
    /* Made where nothing is looked at, and moved out. */
    mkdir("node_modules", 0755);
    mkdir("node_modules/x", 0755);
    snprintf(text, sizeof text, "mkdir -p node_modules/x/%s && touch node_modules/x/%s/%s", parent, parent, name);
    system(text);
    rename("node_modules/x", "out");
    snprintf(text, sizeof text, "out/%s/%s", parent, name);
    if (access(text, F_OK) == 0) printf("MADE in packages %s\n", text);
    system("rm -rf out node_modules");
    /* The same in a directory of build output, whose mark is gone by the time of the move. */
    mkdir("target", 0755);
    closed(open("Cargo.toml", O_CREAT | O_WRONLY, 0644));
    snprintf(text, sizeof text, "mkdir -p target/x/%s && touch target/x/%s/%s", parent, parent, name);
    system(text);
    unlink("Cargo.toml");
    rename("target/x", "out");
    snprintf(text, sizeof text, "out/%s/%s", parent, name);
    if (access(text, F_OK) == 0) printf("MADE in build output %s\n", text);
    system("rm -rf out target");
    spare(); closed(open("other", O_CREAT | O_WRONLY, 0644));
    syscall(SYS_renameat2, AT_FDCWD, "spare", AT_FDCWD, path, 2); told("exchange with what isn't there");
    closed(at); closed(there);
}

static void directories(void) {
    mkdir(path, 0755); told("mkdir");
    mkdirat(AT_FDCWD, path, 0755); told("mkdirat");
    mkdir("made", 0755); rename("made", path); told("rename of a directory"); rmdir("made");
    symlink("made", path); told("a link for a directory");
    unlink("alink"); symlink("made", "alink");
    link("alink", path); told("another name of a link");
    int itself = open("alink", O_PATH | O_NOFOLLOW);
    char by[64];
    snprintf(by, sizeof by, "/proc/self/fd/%d", itself);
    linkat(AT_FDCWD, by, AT_FDCWD, path, AT_SYMLINK_FOLLOW); told("a link by its descriptor");
    linkat(itself, "", AT_FDCWD, path, AT_EMPTY_PATH); told("a link by its descriptor alone");
    unlink("alink"); symlink(by, "alink");
    linkat(AT_FDCWD, "alink", AT_FDCWD, path, AT_SYMLINK_FOLLOW); told("a link by way of another");
    close(itself); unlink("alink");
    char text[4200];
    snprintf(text, sizeof text, "%s/", path);
    mkdir(text, 0755); told("mkdir with a slash");
}

/* What two threads do to one call. */
static char flipped[64];
static volatile int over;
static const char *good, *evil;

static void *flip(void *_) {
    (void)_;
    while (!over) {
        memcpy(flipped, good, strlen(good) + 1);
        memcpy(flipped, evil, strlen(evil) + 1);
    }
    return NULL;
}

static void *flip_link(void *_) {
    (void)_;
    while (!over) {
        unlink("way2"); symlink("plain", "way2");
        unlink("way2"); symlink(".vscode", "way2");
    }
    return NULL;
}

static void *flip_directory(void *_) {
    (void)_;
    while (!over) {
        rename("d1", ".cargo"); rename(".cargo", "d1");
    }
    return NULL;
}

static void *flip_descriptor(void *_) {
    int *pair = _;
    while (!over) {
        dup2(pair[0], 100); dup2(pair[1], 100);
    }
    return NULL;
}

/* Tells whether the race is won. */
static int seen(const char *race, const char *made) {
    if (access(made, F_OK) != 0) return 0;
    printf("MADE in a race of %s %s\n", race, made);
    unlink(made);
    return 1;
}

static void races(int rounds) {
    pthread_t other;
    void *result;
    mkdir(".vscode", 0755); mkdir("plain", 0755);
    good = "plain/a"; evil = ".envrc";
    strcpy(flipped, good);
    int made = 0;
    over = 0; pthread_create(&other, NULL, flip, NULL);
    for (int round = 0; round < rounds; round++) {
        int file = open(flipped, O_CREAT | O_WRONLY, 0644);
        if (file >= 0) { made++; close(file); }
        unlink("plain/a");
        mkfifo(flipped, 0644); unlink("plain/a");
        symlink("plain", flipped); unlink("plain/a");
        if (seen("memory", ".envrc")) break;
    }
    over = 1; pthread_join(other, &result);
    over = 0; pthread_create(&other, NULL, flip_link, NULL);
    for (int round = 0; round < rounds; round++) {
        int file = open("way2/tasks.json", O_CREAT | O_WRONLY, 0644);
        if (file >= 0) { made++; close(file); }
        unlink("plain/tasks.json");
        if (seen("links", ".vscode/tasks.json")) break;
    }
    over = 1; pthread_join(other, &result);
    int pair[2] = { open("plain", O_RDONLY), open(".vscode", O_RDONLY) };
    over = 0; pthread_create(&other, NULL, flip_descriptor, pair);
    for (int round = 0; round < rounds; round++) {
        int file = openat(100, "tasks.json", O_CREAT | O_WRONLY, 0644);
        if (file >= 0) { made++; close(file); }
        unlink("plain/tasks.json");
        if (seen("descriptors", ".vscode/tasks.json")) break;
    }
    over = 1; pthread_join(other, &result);
    mkdir("d1", 0755);
    int held = open("d1", O_RDONLY);
    over = 0; pthread_create(&other, NULL, flip_directory, NULL);
    for (int round = 0; round < rounds; round++) {
        int file = openat(held, "config.toml", O_CREAT | O_WRONLY, 0644);
        if (file >= 0) { made++; close(file); }
        if (seen("directories", ".cargo/config.toml")) break;
        unlinkat(held, "config.toml", 0);
    }
    over = 1; pthread_join(other, &result);
    printf("made %s\n", made > rounds / 50 ? "many" : "few");
}

/* A directory has the name while it is looked whether there is one, and none has it while it is replaced. */
static void *flip_target(void *_) {
    (void)_;
    while (!over) {
        mkdir(".envrc", 0755);
        for (volatile int wait = 0; wait < 2000; wait++);
        rmdir(".envrc");
    }
    return NULL;
}

static void taken(int rounds) {
    pthread_t other;
    struct stat status;
    int made = 0;
    pthread_create(&other, NULL, flip_target, NULL);
    for (int round = 0; round < rounds; round++) {
        spare();
        if (syscall(SYS_renameat2, AT_FDCWD, "spare", AT_FDCWD, "free", 1) == 0) made++;
        unlink("free");
        spare();
        syscall(SYS_renameat2, AT_FDCWD, "spare", AT_FDCWD, ".envrc", 1);
        if (lstat(".envrc", &status) == 0 && S_ISREG(status.st_mode)) {
            printf("MADE in a race of what is there\n");
            unlink(".envrc");
            break;
        }
    }
    over = 1; pthread_join(other, NULL);
    printf("made %s\n", made > rounds / 50 ? "many" : "few");
}

/* One run puts now a file and now a link at a name, the other gives what is there a name that a file may have. */
static void swapper(void) {
    mkdir("prepared", 0755);
    closed(open("prepared/pre-commit", O_CREAT | O_WRONLY, 0755));
    while (access("stop", F_OK) != 0) {
        symlink("prepared", "b"); rename("b", "s");
        closed(open("a", O_CREAT | O_WRONLY, 0644)); rename("a", "s");
    }
}

static void namer(int rounds) {
    struct stat status;
    int made = 0;
    while (access("s", F_OK) != 0) usleep(100);
    for (int round = 0; round < rounds; round++) {
        if (link("s", ".husky") == 0) made++;
        if (lstat(".husky", &status) == 0 && S_ISLNK(status.st_mode)) {
            printf("MADE a link in a race of two runs\n");
            break;
        }
        unlink(".husky");
    }
    unlink(".husky");
    printf("made %s\n", made > rounds / 50 ? "many" : "few");
    close(open("stop", O_CREAT | O_WRONLY, 0644));
}

/* One run moves a directory, another makes names in it. */
static void mover(void) {
    mkdir("d1", 0755);
    while (access("stop", F_OK) != 0) {
        if (rename("d1", ".cargo") == 0) {
            if (access(".cargo/config.toml", F_OK) == 0) {
                printf("MADE in a race of two runs\n");
                break;
            }
            rename(".cargo", "d1");
        }
    }
    rename(".cargo", "d1");
}

static void maker(int rounds) {
    int held = -1, made = 0;
    while (held < 0) held = open("d1", O_RDONLY);
    for (int round = 0; round < rounds; round++) {
        int file = openat(held, "config.toml", O_CREAT | O_WRONLY, 0644);
        if (file >= 0) {
            made++;
            close(file);
            /* What is there now was looked at before it was moved, or it may not be moved. */
            if (seen("two runs", ".cargo/config.toml")) break;
        }
        unlinkat(held, "config.toml", 0);
    }
    printf("made %s\n", made > rounds / 50 ? "many" : "few");
    close(open("stop", O_CREAT | O_WRONLY, 0644));
}

int main(int count, char **words) {
    if (count > 1 && strcmp(words[1], "mover") == 0) {
        mover();
        return 0;
    }
    if (count > 2 && strcmp(words[1], "maker") == 0) {
        maker(atoi(words[2]));
        return 0;
    }
    if (count > 1 && strcmp(words[1], "swapper") == 0) {
        swapper();
        return 0;
    }
    if (count > 2 && strcmp(words[1], "namer") == 0) {
        namer(atoi(words[2]));
        return 0;
    }
    if (count > 2 && strcmp(words[1], "taken") == 0) {
        taken(atoi(words[2]));
        return 0;
    }
    if (count > 2 && strcmp(words[1], "race") == 0) {
        races(atoi(words[2]));
        return 0;
    }
    if (count > 1 && strcmp(words[1], "hidden") == 0) {
        prctl(PR_SET_DUMPABLE, 0);
        mkdir("h", 0755);
        int at = open("h", O_RDONLY), file = openat(at, "made", O_CREAT | O_WRONLY, 0640);
        struct stat status;
        fstat(file, &status);
        printf("%d %o\n", file >= 0, status.st_mode & 0777);
        if (open(".envrc", O_CREAT | O_WRONLY, 0644) >= 0) printf("MADE\n");
        return 0;
    }
    /* PARENT NAME KIND */
    parent = words[1]; name = words[2];
    char text[4200];
    snprintf(text, sizeof text, "%s/%s", parent, name);
    path = strcmp(parent, ".") == 0 ? name : text;
    directory = strcmp(words[3], "directory") == 0;
    if (directory) directories(); else files();
    return 0;
}
