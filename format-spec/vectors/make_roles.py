# The vectors of roles and of keys wrapped to a public key, through the chapters; called by make.py.
from fmt import *
from roles import *

# A point of order 8: X25519 gives zeros.
ORDER_8 = bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")


def chapter_roles(vec, flip, REPO, OTHER, ROOTS, COMMON):
    for part in (wrapped_keys, slots, control_objects, forget_records, packs, repositories):
        restart("roles " + part.__name__)
        part(vec, flip, REPO, OTHER, ROOTS, COMMON)


def wrapped_keys(vec, flip, REPO, OTHER, ROOTS, COMMON):
    session, key, random, made = rnd(16), rnd(), rnd(), rnd(64)
    for cls in (1, 2):
        bytes_ = encapsulation_bytes(ROOTS, cls - 1, random, "löwe", session, cls)
        vec("keys", f"encapsulation-bytes-{cls}", "the random bytes of an encapsulation, hedged", "encapsulation-bytes", "ok", epoch=cls - 1, random=random, host="löwe", session=session, **{"class": cls}, **COMMON, out_bytes=bytes_)
        record = wrap_public(ROOTS, REPO, cls - 1, session, cls, key, bytes_, random)
        vec("keys", f"wrap-to-public-{cls}", f"how a writer wraps a key of class {cls} to a public key", "wrap-to-public", "ok", epoch=cls - 1, session=session, **{"class": cls}, key=key, encapsulation_bytes=bytes_, random=random, **COMMON, out_record=record)
        vec("keys", f"wrapped-public-{cls}", f"a key of class {cls}, wrapped to a public key", "wrapped-key", "ok", record, **COMMON, out_class=cls, out_epoch=cls - 1, out_session=session, out_key=key)
    vec("keys", "encapsulation-bytes-epoch", "an epoch without a root key", "encapsulation-bytes", "unknown-epoch", epoch=2, random=random, host="", session=session, **{"class": 1}, **COMMON)
    make = lambda **more: wrap_public(ROOTS, REPO, 0, session, 1, key, made, random, **more)
    good = make()
    fine = dict(out_class=1, out_epoch=0, out_session=session, out_key=key)
    w = lambda name, about, expect, body, **f: vec("keys", "wrapped-public-" + name, about, "wrapped-key", expect, body, **{**COMMON, **f}, **(fine if expect == "ok" else {}))
    w("short", "1,247 bytes", "truncated", good[:-1])
    w("of-128", "algorithm 1 in 128 bytes", "truncated", good[:128])
    w("long", "1,249 bytes", "bad-structure", good + b"\0")
    w("said-symmetric", "algorithm 0 in 1,248 bytes", "bad-structure", b"\0" + good[1:])
    w("algorithm-2", "algorithm 2 in 1,248 bytes", "unsupported", b"\2" + good[1:])
    w("class-0", "class 0", "bad-structure", good[:1] + b"\0" + good[2:])
    w("class-3", "class 3", "bad-structure", good[:1] + b"\3" + good[2:])
    w("class-changed", "a data key said to be a tree key", "wrong-key", good[:1] + b"\2" + good[2:])
    w("reserved", "a reserved field that is not zero", "bad-structure", make(reserved=256))
    w("epoch-changed", "another epoch", "wrong-key", flip(good, 4))
    w("epoch-unknown", "an epoch without a root key", "unknown-epoch", good[:4] + u32(2) + good[8:])
    w("session-changed", "another session id", "wrong-key", flip(good, 9))
    w("commitment-changed", "another commitment", "wrong-key", flip(good, 24))
    for at, name in ((56, "first"), (56 + 959, "last-of-u"), (56 + 960, "first-of-v"), (56 + 1087, "last")):
        w(f"ct-m-{name}", "a bit of ct_M: another shared key, which the commitment tells", "wrong-key", flip(good, at))
    w("ct-x-changed", "a bit of ct_X", "wrong-key", flip(good, 56 + 1088))
    w("ct-x-top-bit", "the bit of ct_X that X25519 leaves out", "wrong-key", good[:1175] + bytes([good[1175] ^ 0x80]) + good[1176:])
    w("encapsulation-swapped", "the encapsulation of another record", "wrong-key", good[:56] + wrap_public(ROOTS, REPO, 0, session, 1, key)[56:1176] + good[1176:])
    w("box-changed", "a bit of the box", "not-authentic", flip(good, 1200))
    w("box-swapped", "the box of another record of the same session", "not-authentic", good[:1176] + wrap_public(ROOTS, REPO, 0, session, 1, key)[1176:])
    w("repository-changed", "another repository", "not-authentic", good, repository=OTHER)
    w("for-other-class", "encapsulated to the other class's public key", "wrong-key", make(to=(0, 2)))
    w("for-other-epoch", "encapsulated to another epoch's public key", "wrong-key", make(to=(1, 1)))
    w("bound-to-less", "keys that are not bound to the encapsulation", "wrong-key", make(bound=b""))
    w("sealed-to-less", "a box that is bound to the first 56 bytes only", "not-authentic", make(extra=56))
    w("ct-x-zero", "ct_X of zeros: X25519 gives zeros, which are no error", "ok", make(point=(bytes(32), bytes(32))))
    w("ct-x-order-8", "ct_X of order 8: likewise", "ok", make(point=(ORDER_8, bytes(32))))
    above = ((1 << 255) - 19 + 9).to_bytes(32, "little")
    w("ct-x-above-prime", "ct_X above the prime stands for its remainder, here the base point", "ok", make(point=(above, public(ROOTS, 0, 1)[1184:])))


def slots(vec, flip, REPO, OTHER, ROOTS, COMMON):
    pw, key = "pässword".encode(), rnd()
    common = dict(out_repository=REPO, out_label="first", out_made="1700000000.000000005", out_host="lupine")
    words = {OWNER: "owner", BACKUP: "backup", PRUNE: "prune"}

    def s(role, name, about, expect, change={}, roots=ROOTS, kind=2, secret=key, **said):
        body = slot(REPO, roots, secret, kind=kind, bundle=bundle(role, roots, change), label=label(role, **said))
        vec("slots", f"role-{words[role]}{name}", about, "slot", expect, body, secret=secret, **({**common, "out_kind": kind, **outputs(role, roots, change)} if expect == "ok" else {}))

    many = ROOTS + [H(u32(i)) for i in range(254)]
    for role, word in ((BACKUP, "backup"), (PRUNE, "prune")):
        s(role, "", f"a slot of role {word}", "ok")
        s(role, "-password", "with a password", "ok", kind=1, secret=pw)
        s(role, "-one-epoch", "of one epoch", "ok", roots=ROOTS[:1])
        s(role, "-optional-key", "an unknown optional key", "ok", {14: b"x", 99: [1]})
        s(role, "-critical-key", "an unknown critical key", "unknown-critical", {128: 0})
        s(role, "-epochs-256", "256 epochs", "ok", roots=many)
        arrays = KEYS_OF[role] & {3, 4, 12}
        s(role, "-epochs-257", "257 epochs", "too-large", {k: [bytes(32)] * 257 for k in arrays})
        s(role, "-epochs-0", "no epoch", "bad-structure", {k: [] for k in arrays})
        for k in sorted(arrays):
            s(role, f"-shorter-{k}", f"key {k} of fewer epochs than the others", "bad-structure", {k: everything(ROOTS)[k][:1]})
            s(role, f"-longer-{k}", f"key {k} of more epochs than the others", "bad-structure", {k: everything(ROOTS)[k] + [bytes(32)]})
        s(role, "-array-31", "a key of 31 bytes in an array", "wrong-type", {3: [bytes(32), bytes(31)]})
        s(role, "-array-bytes", "one byte string instead of an array", "wrong-type", {3: bytes(64)})
        s(role, "-hedge-33", "a key of 33 bytes", "wrong-type", {5: bytes(33)})
        s(role, "-hedge-array", "an array where one key should be", "wrong-type", {5: [bytes(32)]})
        for k in sorted(KEYS_OF[role]):
            s(role, f"-without-{k}", f"no key {k} ({NAMES[k]})", "bad-structure", {k: None})
    s(OWNER, "-label-0", "a label that says role 0, which would be absent", "wrong-type", k4=0)
    s(PRUNE, "-label-3", "a label that says an unknown role", "unsupported", k4=3)
    s(PRUNE, "-label-text", "a label whose role is text", "wrong-type", k4="prune")
    for k in (10, 11):
        s(BACKUP, f"-public-{k}-1215", "a public key of 1,215 bytes", "wrong-type", {k: public(ROOTS, 1, 1)[:-1]})
        s(BACKUP, f"-public-{k}-1217", "a public key of 1,217 bytes", "wrong-type", {k: public(ROOTS, 1, 1) + b"\0"})
    s(BACKUP, "-public-modulus", "a public key with a number that is not below 3,329", "wrong-type", {10: b"\xff" * 3 + public(ROOTS, 1, 1)[3:]})
    for role in words:
        for k in range(2, 14):
            if k not in KEYS_OF[role]:
                s(role, f"-with-{k}", f"key {k} ({NAMES[k]}), which is another role's", "bad-structure", {k: everything(ROOTS)[k]})
    s(OWNER, "-without-2", "an owner without root keys", "bad-structure", {2: None})


def snapshot_object(ROOTS, repo, record, epoch=0, wrapped=None, said=None, **more):
    session, dek = rnd(16), rnd()
    wrapped = wrap_public(ROOTS, repo, epoch, session, 2, dek) if wrapped is None else wrapped
    return control(ROOTS, repo, 17, record, key=dek, wrapped=wrapped, epoch=epoch if said is None else said, **more)


def control_objects(vec, flip, REPO, OTHER, ROOTS, COMMON):
    record = cbor({1: b"record" * 40})
    c = lambda name, about, expect, body: vec("control", "snapshot-public" + name, about, "control", expect, body, kind=17, **COMMON, **({"out_record": record} if expect == "ok" else {}))
    good = snapshot_object(ROOTS, REPO, record)
    c("", "a snapshot under a key that is wrapped to a public key", "ok", good)
    c("-epoch-1", "the same of epoch 1, cipher 2, compressed", "ok", snapshot_object(ROOTS, REPO, record, epoch=1, cipher=2, method=1))
    c("-class-1", "under a data key", "bad-structure", snapshot_object(ROOTS, REPO, record, wrapped=wrap_public(ROOTS, REPO, 0, rnd(16), 1, rnd())))
    c("-epochs", "envelope and wrapped key differ in their epochs", "bad-structure", snapshot_object(ROOTS, REPO, record, epoch=1, said=0))
    c("-cut", "a wrapped key of 1,247 bytes", "truncated", snapshot_object(ROOTS, REPO, record, wrapped=wrap_public(ROOTS, REPO, 0, rnd(16), 2, rnd())[:-1]))
    c("-beyond", "a wrapped key beyond the end", "truncated", good[: 34 + 1247])
    c("-changed", "a bit of the encapsulation", "wrong-key", flip(good, 34 + 500))
    c("-swapped", "the wrapped key of another snapshot", "not-authentic", good[:34] + snapshot_object(ROOTS, REPO, record)[34 : 34 + 1248] + good[34 + 1248 :])
    c("-reserved", "a reserved field of the wrapped key that is not zero", "bad-structure", snapshot_object(ROOTS, REPO, record, wrapped=wrap_public(ROOTS, REPO, 0, rnd(16), 2, rnd(), reserved=1)))
    c("-epoch-unknown", "an epoch without a root key", "unknown-epoch", snapshot_object(ROOTS + [rnd()], REPO, record, epoch=2))
    c("-to-data", "a tree key that is wrapped to the public key of data", "wrong-key", snapshot_object(ROOTS, REPO, record, wrapped=wrap_public(ROOTS, REPO, 0, rnd(16), 2, rnd(), to=(0, 1))))
    c("-repository", "wrapped in another repository", "not-authentic", snapshot_object(ROOTS, REPO, record, wrapped=wrap_public(ROOTS, OTHER, 0, rnd(16), 2, rnd())))


def forget_records(vec, flip, REPO, OTHER, ROOTS, COMMON):
    record, old = cbor(snapshot(H(b"root"))), cbor(snapshot(H(b"an older way")))
    thing = snapshot_object(ROOTS, REPO, record)
    symmetric = (lambda s, d: control(ROOTS, REPO, 17, record, key=d, wrapped=wrap(ROOTS, REPO, 0, s, 2, d)))(rnd(16), rnd())

    def base(name=None, **more):
        return {1: name or H(thing), 2: "lupine", 3: 4, 4: [5, 6], **{int(k[1:]): v for k, v in more.items()}}

    f = lambda name, about, expect, body, **o: vec("snapshots", "forget-" + name, about, "forget", expect, cbor(body), **o)
    out = dict(out_snapshot=H(thing), out_writer="lupine", out_sequence=4, out_time="5.000000006", out_replacement="-")
    f("object", "with the snapshot's object", "ok", base(k8=thing), **out)
    f("object-and-record", "with the snapshot's object and its record", "ok", base(k6=record, k8=thing), **out)
    f("object-of-other", "with an object that is not the snapshot's: the record counts all the same", "ok", base(k8=symmetric), **out)
    f("object-text", "an object that is text", "wrong-type", base(k8="object"))
    f("object-map", "an object that is a map", "wrong-type", base(k8={}))

    def kept(name, about, body, found=None):
        vec("snapshots", "forget-kept-" + name, about, "forget-kept", "ok", cbor(body), **COMMON, out_record=found or "-")

    def opens_not(name, about, thing):
        kept(f"{name}-record", f"{about}: key 6 instead", base(H(thing), k6=old, k8=thing), old)
        kept(name, f"{about}: nothing is kept", base(H(thing), k8=thing))

    kept("nothing", "neither object nor record", base())
    kept("record", "the record alone", base(k6=old), old)
    kept("object", "the object alone", base(k8=thing), record)
    kept("object-symmetric", "the object, under a key of algorithm 0", base(H(symmetric), k8=symmetric), record)
    kept("both", "object and record: the object", base(k6=old, k8=thing), record)
    kept("other", "an object whose hash is not key 1", base(k8=symmetric))
    kept("other-record", "an object whose hash is not key 1, and the record", base(k6=old, k8=symmetric), old)
    opens_not("changed", "an object that does not open", flip(thing, len(thing) - 1))
    opens_not("empty", "an empty object", b"")
    opens_not("epoch", "an object of an unknown epoch", snapshot_object(ROOTS + [rnd()], REPO, record, epoch=2))
    opens_not("repository", "an object of another repository", snapshot_object(ROOTS, OTHER, record))
    opens_not("configuration", "a configuration", control(ROOTS, REPO, 16, record))
    vec("snapshots", "forget-kept-critical", "an unknown critical key", "forget-kept", "unknown-critical", cbor({**base(k8=thing), 128: 0}), **COMMON)


def packs(vec, flip, REPO, OTHER, ROOTS, COMMON):
    session, deks = rnd(16), [rnd(), rnd()]
    A, B, C = b"alpha" * 10, b"b", bytes(300)
    blocks = [(0, 1, [A, B]), (1, 2, [C])]

    def keys(cls, first, second):
        kinds = {0: wrap, 1: wrap_public}
        return [kinds[first](ROOTS, REPO, 0, session, cls, deks[0]), kinds[second](ROOTS, REPO, 1, rnd(16), cls, deks[1])]

    def build(cls=1, first=0, second=1, given=None, **more):
        rows = lambda r: r[:28] + u16(1) + r[30:]
        return pack(ROOTS, REPO, cls, blocks, session=session, dek=deks, keys=given or keys(cls, first, second), rows=rows, **more)

    def p(name, about, expect, body, cls=1, op="pack"):
        name_key = lasting(ROOTS, "name-tree" if cls == 2 else "name-data")
        box = 128 + len(A + B) + 40
        out = dict(out_session=session, out_keys=2, out_blocks=[f"128:{len(A + B)}:2", f"{box}:{len(C)}:1"], out_chunks=[f"{KH(name_key, x).hex()}:{len(x)}" for x in (A, B, C)])
        vec("packs", "public-" + name, about, op, expect, body, **{"class": cls}, **COMMON, **(out if expect == "ok" else {}))

    good = keys(1, 0, 1)
    p("both", "blocks under keys of both algorithms and of two epochs", "ok", build())
    p("meta", "a meta pack of keys that are wrapped to public keys", "ok", build(2, 1, 1), 2)
    p("cut", "a wrapped key of 1,247 bytes", "truncated", build(given=[good[0], good[1][:-1]]))
    p("class", "a tree key wrapped to a public key in a data pack", "bad-structure", build(given=[good[0], wrap_public(ROOTS, REPO, 0, session, 2, deks[1])]))
    changed = [good[0], flip(good[1], 600)]
    p("changed-read", "a bit of an encapsulation costs only its blocks", "ok", build(given=changed), op="pack-read")
    p("changed", "a block whose key's encapsulation is changed", "wrong-key", build(given=changed))
    beyond = [good[0], wrap_public(ROOTS + [rnd()], REPO, 2, session, 1, deks[1])]
    p("epoch-unknown-read", "a key of an unknown epoch costs only its blocks", "ok", build(given=beyond), op="pack-read")
    p("epoch-unknown", "a block whose key is of an unknown epoch", "unknown-epoch", build(given=beyond))
    p("reserved", "a wrapped key whose reserved field is not zero", "bad-structure", build(given=[good[0], wrap_public(ROOTS, REPO, 1, session, 1, deks[1], reserved=1)]))
    p("swapped", "keys of two blocks, swapped", "not-authentic", build(given=good[::-1]))


def repositories(vec, flip, REPO, OTHER, ROOTS, COMMON):
    secrets = {role: H(b"the key file of role %d" % role) for role in (OWNER, BACKUP, PRUNE)}
    named = lambda folder, data: (folder + "/" + H(data).hex(), data)
    key = lambda role, roots=ROOTS, secret=None: named("keys", slot(REPO, roots, secret or secrets[role], kind=2, bundle=bundle(role, roots), label=label(role)))
    record = {1: REPO, 2: 1, 3: [1, 0], 4: [], 5: [], 6: 1, 7: 1, 8: 0, 9: 1 << 24, 10: 1}
    config = named("config", control(ROOTS, REPO, 16, cbor(record), epoch=1))

    def shot(begun, public, **more):
        session, dek = rnd(16), rnd()
        data = control(ROOTS, REPO, 17, cbor(snapshot(H(b"root"), k1=[begun, 0], **more)), epoch=1, key=dek, wrapped=(wrap_public if public else wrap)(ROOTS, REPO, 1, session, 2, dek))
        return H(data), [named("snapshots", data), named("confirmed", confirmation(ROOTS, 1, REPO, H(data)))]

    owners, first = shot(1000, False)
    theirs, second = shot(2000, True, k10="lupine 4f1c")
    next_, third = shot(3000, True, k10="lupine 4f1c", k11=2, k12=theirs)
    gone = named("forget", control(ROOTS, REPO, 18, cbor({1: next_, 2: "lupine 4f1c", 3: 2, 4: [3, 3], 8: third[0][1]}), epoch=1))
    base = [key(OWNER), key(BACKUP), key(PRUNE), config]

    def v(name, about, expect, objects, secret, snapshots=(), latest=None, epochs=2):
        out = dict(out_repository=REPO, out_epochs=epochs, out_config=1, out_snapshots=[f"{n.hex()}:{state}" for n, state in snapshots], out_latest=latest.hex() if latest else "-")
        body = b"".join(u16(len(path)) + path.encode() + u32(len(data)) + data for path, data in objects)
        vec("repositories", "roles-" + name, about, "repository", expect, body, secret=secret, **(out if expect == "ok" else {}))

    both = [(owners, "confirmed"), (theirs, "confirmed")]
    for role, word in ((OWNER, "owner"), (PRUNE, "prune")):
        v(word, "what an owner and a backup role put, seen by role " + word, "ok", base + first + second, secrets[role], both, theirs)
    v("backup", "the same, seen by the backup role, which opens no snapshot", "ok", base + first + second, secrets[BACKUP])
    v("forgotten", "a forget record with the object of a snapshot that is still there", "ok", base + first + second + third + [gone], secrets[OWNER], both + [(next_, "forgotten")], theirs)
    v("gone", "the same without the snapshot", "ok", base + first + second + [gone], secrets[OWNER], both, theirs)
    secret = rnd()
    older, newer = key(OWNER, ROOTS[:1], secret), key(PRUNE, ROOTS, secret)
    v("most-epochs", "one secret opens an owner's slot from before a rotation and a prune role's from after it: the most epochs count, whatever the role", "ok", [older, newer, config] + first + second, secret, both, theirs)
