#!/usr/bin/env python3
# Makes a whole small repository that an owner and a backup role wrote together, and a sweeper moved blocks in: python3 make_repository_roles.py DIR
# Keys: DIR/owner.txt, DIR/backup.txt, DIR/prune.txt; the repository is DIR/repo; listing.txt is its latest snapshot, hashes.txt what its files hold,
# forgotten.txt the listing of a snapshot that is only in its forget record.
import os
import sys

from roles import *

REPO = H(b"a repository of roles")[:16]
ROOTS = [H(b"first root of roles"), H(b"second root of roles")]
top = sys.argv[1]
restart("repository of roles")


def put(place, data, also=()):
    name = H(data)
    for folder in (place, *also):
        path = f"{top}/repo/{folder}/" + (name.hex()[:2] + "/" if folder in ("data", "meta") else "") + name.hex()
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
    return name


class Session:
    """What one run puts: its two session keys, wrapped by the wrap keys or to the public keys."""

    def __init__(self, epoch, wrapper):
        self.epoch, self.session = epoch, rnd(16)
        self.dek = {cls: rnd() for cls in (1, 2)}
        self.wrapped = {cls: wrapper(ROOTS, REPO, epoch, self.session, cls, self.dek[cls]) for cls in (1, 2)}
        self.chunks = {1: {}, 2: {}}

    def add(self, cls, plain):
        name = KH(lasting(ROOTS, "name-tree" if cls == 2 else "name-data"), plain)
        self.chunks[cls][name] = plain
        return name

    def packs(self):
        for cls, place in ((1, "data"), (2, "meta")):
            if self.chunks[cls]:
                plain = list(self.chunks[cls].values())
                blocks = [(i % 2, 1 + i % 2, plain[i : i + 2]) for i in range(0, len(plain), 2)]
                put(place, pack(ROOTS, REPO, cls, blocks, session=self.session, epoch=self.epoch, dek=self.dek[cls], keys=[self.wrapped[cls]], padding=33))

    def snapshot(self, root, **more):
        data = control(ROOTS, REPO, 17, cbor(snapshot(root, **more)), epoch=self.epoch, key=self.dek[2], wrapped=self.wrapped[2], method=1)
        return data, H(data)


def confirm(name):
    put("confirmed", confirmation(ROOTS, 1, REPO, name))


lines, hashes = [], []


def e(path, name, kind, **more):
    more = {"k3": 0o644 if kind == 1 else 0o755, "k4": 12, "k5": 34, "k8": [1600000000, 7], **more}
    lines.append(f"{'?fd'[kind]} {more['k3']:04o} {more['k4']} {more['k5']} {more.get('k11', 0)} 1600000000.000000007 {(path + b'/' + name).decode()}")
    return entry(name, kind, **more)


def file_of(session, path, name, pieces, there=()):
    """`there`: pieces that somebody else has stored."""
    names = [KH(lasting(ROOTS, "name-data"), x) if x in there else session.add(1, x) for x in pieces]
    hashes.append(f"{H(b''.join(pieces)).hex()} {(path + b'/' + name).decode()}")
    return e(path, name, 1, k11=sum(map(len, pieces)), k17=[[n, len(x)] for n, x in zip(names, pieces)])


shared, large, moved, theirs = b"shared by both " * 9, blake3(b"large").digest(length=20000), b"moved by a sweeper", b"moved from a pack of the backup role"
owner, client, sweeper = Session(0, wrap), Session(1, wrap_public), {}
root = owner.add(2, node(1, [file_of(owner, b"", b"owner", [shared, large])]))
owner.packs()
data, first = owner.snapshot(root, k1=[1600000000, 0])
put("snapshots", data)
confirm(first)

lines.clear()
hashes.clear()
home = e(b"", b"home", 2, k19=bytes(32))
home[19] = client.add(2, node(1, [
    file_of(client, b"/home", b"both", [shared, b"only here"], there=[shared]),
    file_of(client, b"/home", b"large", [large, large[::-1]], there=[large]),
    file_of(client, b"/home", b"moved", [moved, theirs], there=[moved, theirs]),
    file_of(client, b"/home", b"new", [b"new contents"]),
]))
root = client.add(2, node(1, [home]))
saved = list(lines)
lines.clear()
gone_root = client.add(2, node(1, [e(b"", b"gone", 1)]))
client.packs()
# A sweeper's pack: blocks of two sessions as they were, with the wrapped keys that they came with.
put("data", pack(ROOTS, REPO, 1, [(0, 1, [moved]), (1, 2, [theirs])], session=bytes(16), epoch=1, dek=[owner.dek[1], client.dek[1]],
                 keys=[owner.wrapped[1], client.wrapped[1]], rows=lambda r: r[:28] + u16(1) + r[30:]))
data, second = client.snapshot(root, k1=[1600000100, 0], k10="client 0a1b2c")
put("snapshots", data)
confirm(second)
data, third = client.snapshot(gone_root, k1=[1600000200, 0], k10="client 0a1b2c", k11=2, k12=second)
put("forget", control(ROOTS, REPO, 18, cbor({1: third, 2: "client 0a1b2c", 3: 2, 4: [1600000300, 0], 7: client.session, 8: data}), epoch=1, method=1))
put("config", control(ROOTS, REPO, 16, cbor({1: REPO, 2: 1, 3: [1, 0], 4: [], 5: [], 6: 1, 7: 1, 8: 0, 9: 1 << 24, 10: 1}), epoch=1))
for role, word in ((OWNER, "owner"), (BACKUP, "backup"), (PRUNE, "prune")):
    secret = H(word.encode())
    put("keys", slot(REPO, ROOTS, secret, kind=2, bundle=bundle(role, ROOTS), label=label(role)), ["keys2"])
    with open(f"{top}/{word}.txt", "w") as f:
        f.write(bech32m("vaultkey", secret) + "\n")
for name, text in (("listing.txt", saved), ("forgotten.txt", lines), ("hashes.txt", hashes)):
    with open(f"{top}/{name}", "w") as f:
        f.write("\n".join(text) + "\n")
