#!/usr/bin/env python3
"""Writes first inputs for every target from format-spec/vectors to DIR/<target> (default: fuzz/corpus). See README.md."""
import hashlib, pathlib, sys

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = HERE.parent / "format-spec" / "vectors"
OUT = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "corpus"


def vectors(folder):
    for path in sorted((VECTORS / folder).glob("*.vec")):
        header, _, body = path.read_bytes().partition(b"\n\n")
        fields = dict(line.split(b": ", 1) for line in header.split(b"\n") if b": " in line)
        if b"input" not in fields:
            yield {key.decode(): value.decode() for key, value in fields.items()}, body


def put(target, data):
    if len(data) <= 4096:
        folder = OUT / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def short(n):
    return n.to_bytes(2, "little")


def head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    if n < 256:
        return bytes([major << 5 | 24, n])
    return bytes([major << 5 | 25]) + n.to_bytes(2, "big")


def data(b):
    return head(2, len(b)) + b


for _, body in vectors("cbor"):
    put("cbor", body)

wrapped = []
for fields, body in vectors("keys"):
    if fields["op"] == "wrapped-key":
        for flags in (0, 1, 2, 3):
            put("keys", bytes([flags]) + body)
        if fields["expect"] == "ok":
            wrapped.append(body)
    elif fields["op"] == "key-text":
        put("secret", b"\0" + body)
for mode in (1, 3, 5, 7):
    put("secret", bytes([mode]) + bytes(range(32)) + bytes([20, 0, 40, 3, 0, 9, 11, 5]))

for fields, body in vectors("seal"):
    if fields["op"] == "decompress" and int(fields["plain"]) < 65536:
        put("seal", bytes([1, int(fields["method"])]) + short(int(fields["plain"])) + b"\0" + body)
    elif fields["op"] == "seal-box":
        put("seal", bytes([0, 7, 6, int(fields["cipher"]), 4]) + b"more" + body[:200])
put("seal", bytes([2, 3, 200, 2, 1, 0, 4, 9, 0, 1]) + b"again and again ")
put("seal", bytes([3, 0]) + (2**40 + 1).to_bytes(8, "little"))

for _, body in vectors("slots"):
    put("slot", body)
bundle = b"\xa2\x01\x00\x02\x82" + data(bytes(32)) + data(b"\1" * 32)
label = b"\xa3\x01\x65label\x02\x82\x1a\x65\x00\x00\x00\x07\x03\x64host"
for kind in range(3):
    put("sealed", bytes([5, kind, 9, 0, 1]) + short(len(bundle)) + bundle + label)
    put("sealed", bytes([6, kind]) + bytes(32) + bytes(8) + bytes(4) + b"\5labelhost")
put("sealed", bytes([5, 1, 9, 3, 1]) + short(len(bundle)) + bundle + label)

for _, body in vectors("control"):
    put("control", body)

PLACES = {"config": 0, "snapshot": 1, "forget": 2, "index": 3}
for folder in ("config", "snapshots", "index"):
    for fields, body in vectors(folder):
        put({"config": "config", "snapshots": "snapshot", "index": "index"}[folder], body)
        if fields["op"] in PLACES and fields["expect"] == "ok":
            place = PLACES[fields["op"]]
            for method in (0, 1):
                put("sealed", bytes([3, place, 0, 0, method, 0, 2, 0, 0, 0]) + body)
            put("sealed", bytes([4, place, 3]) + body)

for fields, body in vectors("packs"):
    for mode in (0, 1):
        put("pack", bytes([mode]) + body)
blocks = (300).to_bytes(4, "little") + (50).to_bytes(4, "little") + (1).to_bytes(4, "little") + bytes([0, 0, 0, 1])
chunks = bytes(32) + (50).to_bytes(4, "little")
empty = b"\xa4\x01" + data(bytes(16)) + b"\x02\x80\x03\x40\x04\x40"
put("sealed", bytes([0, 0, 0, 1]) + short(0) + bytes(4) + empty)
for key in wrapped:
    table = b"\xa4\x01" + data(bytes(16)) + b"\x02\x81" + data(key) + b"\x03" + data(blocks) + b"\x04" + data(chunks)
    put("sealed", bytes([0, key[1] - 1, 1, 1]) + short(300) + bytes(4) + table)
for mode in (1, 2):
    put("sealed", bytes([mode, 0, 1, 0]) + bytes([1, 0, 0, 0, 0, 0, 5, 3, 0]) + b"hello" + bytes([9, 9, 0]) + b"and so on")
    put("sealed", bytes([mode, 1, 2, 1]) + bytes(range(120)))

for fields, body in vectors("trees"):
    if fields["op"] == "node":
        put("tree", body)
    else:
        while len(body) >= 4:
            length = int.from_bytes(body[:4], "little")
            put("tree", body[4 : 4 + length])
            body = body[4 + length :]

for kind in range(4):
    for kinds in range(3):
        put("chunker", bytes([kinds, 1, 16, 255, 7, 3, kind, 5, 0, 0, 32, 0, 9, 0, 0, 16, 1, 0, 255, 255, 8]) + b"a pattern, again and again")
put("chunker", bytes([0, 9, 9, 9, 9, 2, 0, 1, 255, 255, 47, 0, 2, 255, 255, 47]))
put("chunker", bytes([2, 9, 9, 9, 9, 2, 1, 0, 255, 255, 47, 0, 2, 255, 255, 7]))

names = bytes(hashlib.sha1(bytes([n])).digest()[0] for n in range(120))
for spread in range(4):
    put("run", bytes([1, 3, spread]) + names)
    put("run", bytes([1 | 2 << 1 | 2 << 3]) + bytes(32) + bytes([16, 0, 1, 24, 0, 1]) + bytes([3, spread]) + names)
raw = b"VAULTRN2" + (1).to_bytes(4, "little") + bytes(4) + (0).to_bytes(8, "little") + (1).to_bytes(8, "little")
raw += (128 + 12 + 22 + 32).to_bytes(8, "little") + bytes(32) + (1).to_bytes(8, "little") + bytes(48)
put("run", bytes([0]) + raw + bytes(4) + (1).to_bytes(4, "little") + (1).to_bytes(4, "little") + bytes(22) + bytes(32))

hex64 = hashlib.sha256(b"x").hexdigest()
for name in ("keys/", "keys2/", "config/", "snapshots/", "confirmed/", "forget/", "index/", "gc/", "", f"meta/{hex64[:2]}/", f"data/{hex64[:2]}/"):
    put("objects", (name + hex64).encode())
put("objects", f"data/00/{hex64}".encode())
put("objects", f"index/{hex64}.h1".encode())

for flags, patterns, paths in (
    (0, "*.go\n# no\n!keep.go\n/foo/**/test.*", "/foo/bar/test.go\n/foo/keep.go"),
    (1, "*.TMP\n[a-z]?\\*x[^b-d]", "/a/b.tmp\n/b1*xa"),
    (3, "foo/**/bar/**/x\n./user\nx/../y//z\n../up", "/a/foo/q/bar/w/x/beneath\n/y/z"),
    (0, "a*b?c*x\nä*\n[α-ζ]*", "/abxbbxdbxebxczzx\n/ä\n/β"),
    (255, "!\n[\n\\\n[]a]\n[x-]", "/x"),
):
    put("patterns", bytes([flags]) + patterns.encode() + b"\0" + paths.encode())
put("patterns", b"\0*\xff\n\xc3?\0/a\xfe\xff\n/\xc3\xa4")
put("patterns", b"\0a\0b\0")

for selector in ("latest", "latest~2", "latest~x", "ab00", "AB01", "", "latest:/a/./b", "ab:a/../b", "abc:x:y"):
    put("select", selector.encode())
    put("select", selector.encode() + b"\0\x15a,b")
    put("select", selector.encode() + b"\0\x1a/a")


def life(seed):
    """A life as tests/src/lives/plan.rs draws it: splitmix64."""
    mask, state, out = (1 << 64) - 1, seed, b""

    def draw():
        nonlocal state
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    length = 1 + (4 + draw() % 9) * 24
    while len(out) < length:
        out += draw().to_bytes(8, "little")
    return out[:length]


for seed in range(40):
    put("lives", life(seed))
