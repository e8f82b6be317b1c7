#!/usr/bin/env python3
# Every call that makes names, on every kind of thing that may stand there, with every flag: prints what came of each.
import ctypes, errno, itertools, os, shutil, socket, stat, sys

libc = ctypes.CDLL(None, use_errno=True)

def tried(call):
    try:
        return call()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))

def bound(path):
    made = socket.socket(socket.AF_UNIX)
    made.bind(path)
    name = made.getsockname()
    made.close()
    return name

# What may stand at a place.
THINGS = {
    "absent": lambda p: None,
    "file": lambda p: open(p, "w").close(),
    "sealed": lambda p: os.close(os.open(p, os.O_CREAT, 0o000)),
    "directory": lambda p: os.mkdir(p),
    "full": lambda p: (os.mkdir(p), open(p + "/x", "w").close()),
    "pipe": lambda p: os.mkfifo(p),
    "socket": bound,
    "link": lambda p: (open("target", "w").close(), os.symlink("target", p)),
    "dangling": lambda p: os.symlink("nowhere", p),
    "to directory": lambda p: (os.mkdir("other"), os.symlink("other", p)),
    "loop": lambda p: os.symlink(os.path.basename(p), p),
    "elsewhere": lambda p: os.symlink("/dev/null", p),
}

def fresh():
    os.chdir(TOP)
    if os.path.lexists("w"):
        os.chmod("w", 0o755)
        shutil.rmtree("w")
    os.mkdir("w")
    os.chdir("w")

def seen():
    """What is there now, to the depth that matters."""
    found = []
    for name in sorted(os.listdir(".")):
        status = os.lstat(name)
        found.append((name, oct(status.st_mode), status.st_nlink, sorted(os.listdir(name)) if stat.S_ISDIR(status.st_mode) else ""))
    return found

def told(*what):
    print(*what, seen())

def opened(path, flags, mode):
    descriptor = os.open(path, flags, mode)
    import fcntl
    status = os.fstat(descriptor)
    result = (oct(status.st_mode), fcntl.fcntl(descriptor, fcntl.F_GETFL), fcntl.fcntl(descriptor, fcntl.F_GETFD))
    os.close(descriptor)
    return result

def opens():
    flags = [os.O_EXCL, os.O_TRUNC, os.O_NOFOLLOW, os.O_DIRECTORY, os.O_PATH]
    for thing, make in THINGS.items():
        for access in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
            for chosen in itertools.product((False, True), repeat=len(flags)):
                fresh()
                make("a")
                value = os.O_CREAT | os.O_NONBLOCK | access
                for flag, is_set in zip(flags, chosen):
                    value |= flag if is_set else 0
                told("open", thing, access, chosen, tried(lambda: opened("a", value, 0o6754)))
    for path in ("", "a/", "a/.", "a/..", ".", "..", "/", "absent/a", "file/a", "./a", "w/../a", "../w/a", "x" * 256, "a/" * 2100, "//proc/self/cwd/a"):
        for call, name in ((lambda: opened(path, os.O_CREAT | os.O_WRONLY, 0o644), "open"), (lambda: os.mkdir(path), "mkdir"),
                           (lambda: os.mkfifo(path), "mkfifo"), (lambda: os.symlink("t", path), "symlink"), (lambda: bound(path), "bind"),
                           (lambda: os.link("file", path), "link"), (lambda: os.rename("file", path), "rename")):
            # A name by chance, and a move to where something is mounted, are other things inside; by way of a link a socket
            # gets its last name alone.
            if (path, name) in (("", "bind"), ("/", "rename"), ("//proc/self/cwd/a", "bind")):
                continue
            fresh()
            open("file", "w").close()
            told(name, path[:20], tried(call))

def others():
    for thing, make in THINGS.items():
        for name, call in (("mkdir", lambda p: os.mkdir(p, 0o1711)), ("mkfifo", lambda p: os.mkfifo(p, 0o666)), ("bind", bound),
                           ("mknod", lambda p: os.mknod(p, 0o640)), ("device", lambda p: os.mknod(p, stat.S_IFCHR, 0)),
                           ("symlink", lambda p: os.symlink("to", p)), ("mknod socket", lambda p: os.mknod(p, stat.S_IFSOCK | 0o600)),
                           ("mknod odd", lambda p: os.mknod(p, stat.S_IFDIR))):
            for path in ("a", "a/", os.path.join(TOP, "w", "a"), "../w/a"):
                fresh()
                make("a")
                result = tried(lambda: call(path))
                told(name, thing, "whole" if path.startswith("/") else path, result == path or result)
            fresh()
            os.chmod(".", 0o555)
            told(name, "in a sealed directory", tried(lambda: call("a")))

def pairs():
    for (one, make), (two, other) in itertools.product(THINGS.items(), THINGS.items()):
        if one == two and one in ("link", "to directory"):
            continue
        for flags in (0, 1, 2, 3, 4):
            fresh()
            tried(lambda: make("a")), tried(lambda: other("b"))
            result = libc.renameat2(-100, b"a", -100, b"b", flags)
            told("renameat2", one, two, flags, result and errno.errorcode[ctypes.get_errno()])
        for flags in (0, 0x400, 0x100, 0x1000):
            fresh()
            tried(lambda: make("a")), tried(lambda: other("b"))
            result = libc.linkat(-100, b"a", -100, b"b", flags)
            told("linkat", one, two, flags, result and errno.errorcode[ctypes.get_errno()])
    for one, two in (("d", "d/x"), ("d/x", "d"), ("d/", "e/"), ("d/", "e"), ("f", "e/"), ("d/.", "e"), (".", "e"), ("d", "."), ("d", "/dev/shm/moved"), ("/dev/null", "e"), ("f", "f"), ("f", "hard")):
        for call, name in ((os.rename, "rename"), (os.link, "link")):
            # Refused either way, by another word.
            if name == "link" and one.endswith("."):
                continue
            fresh()
            os.mkdir("d"); os.mkdir("d/x"); open("f", "w").close(); os.link("f", "hard")
            told(name, one, two, tried(lambda: call(one, two)))

def hows():
    class How(ctypes.Structure):
        _fields_ = [(name, ctypes.c_uint64) for name in ("flags", "mode", "resolve", "more")]
    for thing, make in THINGS.items():
        for resolve in (0, 1, 2, 4, 8, 16, 32, 1 << 40):
            for flags, mode, size in ((os.O_CREAT | os.O_WRONLY, 0o640, 24), (os.O_CREAT | os.O_WRONLY, 0o640, 32), (os.O_CREAT, 0o170000, 24),
                                      (os.O_CREAT | 1 << 30, 0, 24), (os.O_WRONLY, 0o1, 24), (os.O_CREAT, 0, 8)):
                for path in (b"a", b"../w/a", b"/a" if resolve == 16 else b"./a", b"/dev/null"):
                    fresh()
                    make("a")
                    how = How(flags | os.O_NONBLOCK, mode, resolve, 0)
                    result = libc.syscall(437, -100, path, ctypes.byref(how), size)
                    if result >= 0:
                        os.close(result)
                    told("openat2", thing, resolve, flags, size, path, min(result, 0) and errno.errorcode[ctypes.get_errno()])

def lists():
    """Default lists of rights (acl(5)), and directories that give their group on."""
    entry = lambda tag, perm, who=0xFFFFFFFF: tag.to_bytes(2, "little") + perm.to_bytes(2, "little") + who.to_bytes(4, "little")
    access = (2).to_bytes(4, "little") + entry(1, 7) + entry(2, 5, os.getuid()) + entry(4, 5) + entry(0x10, 7) + entry(0x20, 0)
    for mask in (0, 0o22, 0o77):
        fresh()
        os.mkdir("d")
        listed = tried(lambda: os.setxattr("d", "system.posix_acl_default", access))
        os.mkdir("s"); os.chmod("s", 0o2775)
        old = os.umask(mask)
        for at in ("d", "s"):
            opened(at + "/f", os.O_CREAT | os.O_WRONLY, 0o666); os.mkdir(at + "/e", 0o777); os.mkfifo(at + "/p", 0o666); os.mknod(at + "/n", 0o666)
            os.symlink("x", at + "/l"); bound(at + "/s")
        os.umask(old)
        for at in ("d", "s"):
            for name in "fepnls":
                path = at + "/" + name
                told("lists", mask, listed, path, oct(os.lstat(path).st_mode), os.lstat(path).st_gid == os.getgid(),
                     sorted((key, os.getxattr(path, key, follow_symlinks=False).hex()) for key in os.listxattr(path, follow_symlinks=False)))

def sockets():
    import threading
    def all_of(path, kind):
        made = socket.socket(socket.AF_UNIX, kind)
        made.bind(path)
        results = [made.getsockname(), oct(os.lstat(path).st_mode) if path[:1] not in ("", "\0") else ""]
        results.append(tried(lambda: made.bind(path + "x")))
        if kind == socket.SOCK_STREAM and path:
            made.listen()
            client = socket.socket(socket.AF_UNIX)
            client.connect(path)
            results += [client.getpeername() == made.getsockname(), made.accept()[0].getsockname() == made.getsockname()]
        return results
    def shown(path, kind):
        print(path.replace(TOP, "TOP"), kind, repr(tried(lambda: all_of(path, kind))).replace(TOP, "TOP"))
    fresh()
    os.makedirs("a/b")
    os.symlink("a", "l")
    here = os.getcwd()
    for number, kind in enumerate((socket.SOCK_STREAM, socket.SOCK_DGRAM)):
        for path in ("s", "a/s", "a/b/s", here + "/a/t", "s", "no/s", "./u", "l", "\0abstract"):
            shown(path + str(number) if path not in ("s", "l") else path, kind)
    thread = threading.Thread(target=shown, args=("in a thread", socket.SOCK_STREAM))
    thread.start(); thread.join()
    for family, address in ((socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_INET6, ("::1", 0))):
        print(family, tried(lambda: socket.socket(family).bind(address)))
    unnamed = socket.socket(socket.AF_UNIX)
    unnamed.bind("")
    print(len(unnamed.getsockname()))
    told("sockets")

def limits():
    import resource
    fresh()
    low, high = resource.getrlimit(resource.RLIMIT_NOFILE)
    full = os.open("full", os.O_CREAT | os.O_RDWR)
    os.write(full, b"content")
    held = [os.dup(0) for _ in range(8)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(held) + 1, high))
    results = [tried(lambda: os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)) for name in ("a", "a", "b")]
    results.append(tried(lambda: os.open("full", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)))
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, high))
    told("at the limit", [type(result) == str and result for result in results], os.fstat(full).st_size)
    os.close(held[-1])
    os.write(os.open("full", os.O_CREAT | os.O_TRUNC | os.O_WRONLY), b"new")
    told("with a number", os.fstat(full).st_size, os.pread(full, 9, 0))

TOP = os.getcwd()
os.umask(0o022)
for part in sys.argv[1:]:
    globals()[part]()
