# A client that no git is: sends what it is told over the way that git has, and shows what comes back.
import hashlib, subprocess, sys, zlib
ZERO = '0' * 40
def pkt(data):
    if isinstance(data, str): data = data.encode()
    return b'%04x' % (len(data) + 4) + data
def git(*words, **more): return subprocess.run(['git', *words], check=True, capture_output=True, **more).stdout
HEAD = git('rev-parse', 'HEAD').decode().strip()
EMPTY = b'PACK\0\0\0\2\0\0\0\0'
EMPTY += hashlib.sha1(EMPTY).digest()
CAPS = ' report-status side-band-64k object-format=sha1 agent=evil'
def pack(*revs, thin=False):
    words = ['pack-objects', '--revs', '--stdout', '-q'] + (['--thin'] if thin else [])
    return git(*words, input='\n'.join(revs).encode() + b'\n')
def raw(objects, count=None):
    out = b'PACK\0\0\0\2' + (len(objects) if count is None else count).to_bytes(4, 'big') + b''.join(objects)
    return out + hashlib.sha1(out).digest()
def entry(kind, size, body):
    head, size = kind << 4 | size & 15, size >> 4
    out = b''
    while size: out += bytes([head | 128]); head, size = size & 127, size >> 7
    return out + bytes([head]) + body
def blob(data): return entry(3, len(data), zlib.compress(data))
def talk(request, close=True):
    p = subprocess.Popen(WAY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if close:
        out, err = p.communicate(request, timeout=60)
    else:
        # A side that stays open waits for its answer.
        p.stdin.write(request); p.stdin.flush()
        out, err = p.stdout.read(), p.stderr.read()
        p.wait(60); p.stdin.close()
    return p.returncode, out, err
def push(*commands, caps=CAPS, body=EMPTY, close=True):
    lines = b''
    for n, command in enumerate(commands):
        lines += pkt(command + ('\0' + caps if n == 0 else ''))
    code, out, err = talk(lines + b'0000' + body, close)
    return out[out.index(b'0000') + 4:] + err if b'0000' in out else out + err
