#!/usr/bin/env python3
# Makes a whole small repository from the specification: python3 make_repository.py DIR
# Secrets: DIR/password.txt, DIR/key.txt, DIR/recovery.txt; the repository is DIR/repo; what it should hold is told by DIR/listing.txt.
import os
import sys

from fmt import *

REPO = H(b"a repository")[:16]
ROOTS = [H(b"first root"), H(b"second root")]
top = sys.argv[1]


def put(place, data, also=()):
    name = H(data)
    for folder in (place, *also):
        path = f"{top}/repo/{folder}/" + (name.hex()[:2] + "/" if folder in ("data", "meta") else "") + name.hex()
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
    return name


def chunked(blocks, size=5):
    return [(i % 2, 1 + i // 2 % 2, blocks[i * size : i * size + size]) for i in range((len(blocks) + size - 1) // size)]


class Store:
    def __init__(self, cls):
        self.cls, self.key, self.chunks = cls, lasting(ROOTS, "name-tree" if cls == 2 else "name-data"), {}

    def add(self, plain):
        name = KH(self.key, plain)
        self.chunks[name] = plain
        return name

    def packs(self, groups=1):
        all_chunks = list(self.chunks.values())
        names = []
        for g in range(groups):
            mine = all_chunks[g::groups]
            data = pack(ROOTS, REPO, self.cls, chunked(mine), epoch=g % 2, cipher=1 + g % 2, padding=100 * g)
            names.append((put("meta" if self.cls == 2 else "data", data), self.cls, len(data), mine))
        return names


data, tree, lines = Store(1), Store(2), []


def e(path, name, kind, mode=0o644, **more):
    more = {"k3": mode, "k4": 12, "k5": 34, "k8": [1600000000 + len(lines), 7], **more}
    size = "%d:%d" % tuple(more["k13"]) if "k13" in more else more.get("k11", 0)
    shown = "".join(chr(c) if 32 <= c < 127 and c != 92 else "\\x%02x" % c for c in path + b"/" + name)
    line = f"{'?fdlcbps'[kind]} {mode:04o} {more['k4']} {more['k5']} {size} {more['k8'][0]}.{more['k8'][1]:09d} {shown}"
    lines.append(line + ("\t" + more["k12"].decode() if kind == 3 else ""))
    return entry(name, kind, **more)


def file_of(path, name, extents, **more):
    """extents: bytes for chunks, numbers for holes."""
    items = [x if isinstance(x, int) else [data.add(x), len(x)] for x in extents]
    size = sum(x if isinstance(x, int) else x[1] for x in items)
    if len(items) > 1024:
        lists = [items[i : i + 300] for i in range(0, len(items), 300)]
        pieces = [[tree.add(node(3, part)), sum(x if isinstance(x, int) else x[1] for x in part)] for part in lists]
        return e(path, name, 1, k11=size, k18=tree.add(node(4, pieces)), **more)
    return e(path, name, 1, k11=size, k17=items, **more)


def directory(path, name, children, mode=0o755, parts=None):
    mine = e(path, name, 2, mode, k19=bytes(32))
    items = children(path + b"/" + name)
    mine[19] = node_of(items, parts)
    return mine


def node_of(items, parts=None):
    if parts:
        groups = [items[i : i + parts] for i in range(0, len(items), parts)]
        return tree.add(node(2, [[g[0][1], tree.add(node(1, g)), len(g)] for g in groups]))
    return tree.add(node(1, items))


def deep(path, left):
    return [directory(path, b"d%02d" % left, lambda p: deep(p, left - 1) if left else [])]


def everything(p):
    return [
        file_of(p, b"big", [blake3(b"big").digest(length=30000), blake3(b"more").digest(length=7000), b"tail"]),
        file_of(p, b"bytes \xff\\", [b"odd name"]),
        e(p, b"char", 4, k13=[1, 3], mode=0o666),
        directory(p, b"closed", lambda q: [file_of(q, b"inside", [b"inside"], mode=0o400)], mode=0o500),
        directory(p, b"deep", lambda q: deep(q, 40)),
        directory(p, b"empty", lambda q: []),
        e(p, b"empty-file", 1, mode=0o4755),
        e(p, b"fifo", 6, mode=0o600),
        directory(p, b"hard", lambda q: [
            file_of(q, b"one", [b"linked"], k14=[0, 5]), e(q, b"symlink", 3, 0o777, k12=b"nowhere", k14=[0, 6])]),
        e(p, b"hard-symlink", 3, 0o777, k12=b"nowhere", k14=[0, 6]),
        file_of(p, b"hard-two", [b"linked"], k14=[0, 5]),
        file_of(p, b"lists", [x for i in range(800) for x in (b"chunk %d" % i, 4096 + i)]),
        directory(p, b"many", lambda q: [file_of(q, b"%05d" % i, [b"contents %d" % (i % 7)]) for i in range(300)], parts=90),
        e(p, b"socket", 7),
        file_of(p, b"sparse", [1 << 20, b"x", 1 << 20]),
        e(p, b"to-etc", 3, 0o777, k12=b"/etc/passwd"),
        file_of(p, b"xattr", [b"attributes"], k15=[[b"user.one", b"1"], [b"user.two", b"\0\xff"]]),
    ]


home = directory(b"", b"home", everything)
root1 = node_of([home])
saved, lines[:] = list(lines), []
root2 = node_of([file_of(b"", b"only", [b"second snapshot"])])
packs = data.packs(3) + tree.packs(2)
rows = []
for number, (name, cls, length, mine) in enumerate(packs):
    key = lasting(ROOTS, "name-tree" if cls == 2 else "name-data")
    rows += [(KH(key, c)[:16], number, i) for i, c in enumerate(mine)]
put("index", control(ROOTS, REPO, 19, cbor({1: [list(p[:3]) for p in packs], 2: b"".join(r[0] + u32(r[1]) + u16(r[2]) for r in sorted(rows))}), method=1))
put("config", control(ROOTS, REPO, 16, cbor({1: REPO, 2: 1, 3: [1, 0], 4: [], 5: [], 6: 1, 7: 1, 8: 0, 9: 1 << 24, 10: 1, 110: b"?"})))
put("config", control(ROOTS, REPO, 16, cbor({1: REPO, 2: 1, 3: [2, 0], 4: [], 5: [3], 6: 1, 7: 2, 8: 0, 9: 1 << 24, 10: 2}), epoch=1))


def shot(root, epoch, confirmed, **more):
    session, dek = rnd(16), rnd()
    record = cbor(snapshot(root, **more))
    name = put("snapshots", control(ROOTS, REPO, 17, record, epoch=epoch, key=dek, wrapped=wrap(ROOTS, REPO, epoch, session, 2, dek), method=1))
    if confirmed:
        put("confirmed", confirmation(ROOTS, epoch, REPO, name))
    return name


one = shot(root2, 0, True, k1=[1600000000, 0])
two = shot(root1, 1, True, k11=3, k12=one, k1=[1700000001, 0])
gone = H(b"gone")
put("forget", control(ROOTS, REPO, 18, cbor({1: gone, 2: "lupine", 3: 2, 4: [3, 3]})))
shot(root2, 0, False, k11=4, k12=two, k5="named", k15=2, k1=[1500000000, 0])
key, recovery = H(b"key"), H(b"recovery")
put("keys", slot(REPO, ROOTS, "pass wörd".encode()), ["keys2"])
put("keys", slot(REPO, ROOTS, key, kind=2), ["keys2"])
put("keys", slot(REPO, ROOTS, recovery, kind=3), ["keys2"])
for name, text in (("password.txt", "pass wörd\n"), ("key.txt", "# key\n" + bech32m("vaultkey", key) + "\n"), ("recovery.txt", bech32m("vaultrecovery", recovery).upper()), ("listing.txt", "\n".join(saved) + "\n")):
    with open(f"{top}/{name}", "w") as f:
        f.write(text)
