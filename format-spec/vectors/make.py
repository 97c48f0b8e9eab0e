#!/usr/bin/env python3
# Makes every vector from the specification, by fmt.py; see README.md. Run it in this folder: python3 make.py
import os
import shutil
import struct

import xwing
from fmt import *
from roles import public

REPO = bytes(range(16))
OTHER = bytes(range(1, 17))
ROOTS = [H(b"root 0"), H(b"root 1")]
COMMON = {"repository": REPO, "roots": b"".join(ROOTS)}
made = set()


def vec(folder, name, about, op, expect, body=b"", generator=None, **fields):
    assert (folder, name) not in made, (folder, name)
    made.add((folder, name))
    lines = [f"about: {about}", f"op: {op}", f"expect: {expect}"]
    for key, value in fields.items():
        if isinstance(value, (bytes, bytearray)):
            value = value.hex()
        elif isinstance(value, (list, tuple)):
            value = ",".join(map(str, value))
        lines.append(f"{key.replace('_', '-')}: {value}")
    if generator:
        lines.append(f"input: {generator}")
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/{name}.vec", "wb") as f:
        f.write("\n".join(lines).encode() + b"\n\n" + body)


def flip(b, at):
    b = bytearray(b)
    b[at] ^= 1
    return bytes(b)


def chapter_cbor():
    def one(name, about, expect, text, op="cbor", **out):
        vec("cbor", name, about, op, expect, bytes.fromhex(text) if isinstance(text, str) else text, **out)

    one("every-type", "every major type that occurs", "ok", cbor({0: 1, 1: -1, 2: b"x", 3: "ä", 4: [1, [], {}], 23: 23, 24: 24, 256: 65536, 1 << 32: (1 << 64) - 1}))
    one("negative-least", "the least negative integer", "ok", "3bffffffffffffffff")
    one("empty", "no byte at all", "truncated", "")
    one("trailing", "a byte follows the outermost item", "not-canonical", "0000")
    one("long-head-8", "23 with a byte of its own", "not-canonical", "1817")
    one("long-head-16", "255 in two bytes", "not-canonical", "1900ff")
    one("long-head-32", "65535 in four bytes", "not-canonical", "1a0000ffff")
    one("long-head-64", "2^32-1 in eight bytes", "not-canonical", "1b00000000ffffffff")
    one("long-length", "a byte string's length in a long head", "not-canonical", "580161")
    one("indefinite-bytes", "a byte string of indefinite length", "not-canonical", "5f4161ff")
    one("indefinite-array", "an array of indefinite length", "not-canonical", "9f00ff")
    one("indefinite-map", "a map of indefinite length", "not-canonical", "bf0000ff")
    one("reserved-info", "additional information 28", "not-canonical", "1c")
    one("tag", "a tag", "not-canonical", "c000")
    one("float", "a float", "not-canonical", "f93c00")
    one("true", "a simple value", "not-canonical", "f5")
    one("null", "null", "not-canonical", "f6")
    one("text-not-utf8", "text that is not UTF-8", "not-canonical", "61ff")
    one("text-surrogate", "text with an encoded surrogate", "not-canonical", "63eda080")
    one("keys-descending", "map keys out of order", "not-canonical", "a202000100")
    one("keys-equal", "a map key twice", "not-canonical", "a201000100")
    one("key-text", "a map key that is text", "not-canonical", "a1616100")
    one("key-negative", "a map key that is negative", "not-canonical", "a12000")
    one("truncated-head", "a head without its argument", "truncated", "19ff")
    one("truncated-bytes", "a byte string beyond the end", "truncated", "43aabb")
    one("truncated-array", "an array that lacks an item", "truncated", "8200")
    one("huge-length", "a byte string of 2^63 bytes", "truncated", "5b8000000000000000")
    one("huge-array", "an array of 2^64-1 items", "truncated", "9bffffffffffffffff00")
    one("depth-16", "sixteen arrays, the innermost empty", "ok", "81" * 15 + "80")
    one("depth-17", "a number at depth 17", "not-canonical", "81" * 16 + "00")
    one("depth-bomb", "two thousand arrays", "not-canonical", "81" * 2000)
    one("unknown-optional", "unknown keys below 128 are skipped", "ok", cbor({100: b"abc", 127: [1, {200: 1}]}), "cbor-record", out_pairs=2)
    one("unknown-critical", "an unknown key of 128", "unknown-critical", cbor({128: 0}), "cbor-record")
    one("record-not-map", "a record that is no map", "wrong-type", "80", "cbor-record")
    one("time", "a time before 1970", "ok", cbor([-2, 999999999]), "cbor-time", out_time="-2.999999999")
    one("time-least", "the earliest time", "ok", cbor([-(1 << 63), 0]), "cbor-time", out_time=f"{-(1 << 63)}.000000000")
    one("time-beyond", "seconds beyond 64 bits, signed", "wrong-type", cbor([-(1 << 63) - 1, 0]), "cbor-time")
    one("time-nanoseconds", "a second of nanoseconds", "wrong-type", cbor([0, 10**9]), "cbor-time")
    one("time-three", "a time of three numbers", "wrong-type", cbor([0, 0, 0]), "cbor-time")


def chapter_keys():
    for epoch in (0, 1):
        out = {f"out_{k.replace('-', '_')}": lasting(ROOTS, k) for k in LASTING}
        out.update({f"out_{k.replace('-', '_')}": of_epoch(ROOTS, k, epoch) for k in EPOCHS})
        out.update({f"out_public_{word}": H(public(ROOTS, epoch, cls)) for cls, word in ((1, "data"), (2, "tree"))})
        vec("keys", f"derive-{epoch}", f"all keys, epoch {epoch}", "derive", "ok", epoch=epoch, **COMMON, **out)
    vec("keys", "derive-2", "an epoch without a root key", "derive", "unknown-epoch", epoch=2, **COMMON)
    session, random = rnd(16), rnd()
    for cls in (1, 2):
        key = session_key(ROOTS, 1, random, "löwe", session, cls)
        vec("keys", f"session-key-{cls}", "a session key, hedged", "session-key", "ok", epoch=1, random=random, host="löwe", session=session, **{"class": cls}, **COMMON, out_key=key)
        record = wrap(ROOTS, REPO, cls - 1, session, cls, key)
        vec("keys", f"wrapped-{cls}", f"a wrapped key of class {cls}", "wrapped-key", "ok", record, **COMMON, out_class=cls, out_epoch=cls - 1, out_session=session, out_key=key)
        vec("keys", f"chunk-name-{cls}", "the name of a chunk", "chunk-name", "ok", generator="counter 1000", **{"class": cls}, **COMMON,
            out_name=KH(lasting(ROOTS, "name-data" if cls == 1 else "name-tree"), bytes(i & 255 for i in range(1000))))
    good = wrap(ROOTS, REPO, 0, session, 1, random)
    bad = lambda name, about, expect, body, **f: vec("keys", "wrapped-" + name, about, "wrapped-key", expect, body, **{**COMMON, **f})
    bad("empty", "no bytes", "truncated", b"")
    bad("short", "127 bytes", "truncated", good[:-1])
    bad("long", "129 bytes", "bad-structure", good + b"\0")
    bad("algorithm", "algorithm 2, of another length", "unsupported", b"\2" + good[1:] + bytes(32))
    bad("class-0", "class 0", "bad-structure", flip(good, 1))
    bad("class-3", "class 3", "bad-structure", good[:1] + b"\3" + good[2:])
    bad("class-changed", "a data key said to be a tree key", "wrong-key", good[:1] + b"\2" + good[2:])
    bad("reserved", "a reserved field that is not zero", "bad-structure", flip(good, 3))
    bad("epoch-changed", "another epoch", "wrong-key", flip(good, 4))
    bad("epoch-unknown", "an epoch without a root key", "unknown-epoch", good[:4] + u32(7) + good[8:])
    bad("session-changed", "another session id", "wrong-key", flip(good, 9))
    bad("commitment-changed", "another commitment", "wrong-key", flip(good, 30))
    bad("box-changed", "a bit of the box", "not-authentic", flip(good, 90))
    bad("box-swapped", "the box of another key of the same session", "not-authentic", good[:56] + wrap(ROOTS, REPO, 0, session, 2, random)[56:])
    bad("repository-changed", "another repository", "not-authentic", good, repository=OTHER)
    bad("wrapped-for-other-class", "a tree key wrapped with the data key's KEK", "wrong-key", wrap(ROOTS, REPO, 0, session, 2, random, kek_class=1))
    secret = rnd()
    for part in ("vaultkey", "vaultrecovery"):
        text = bech32m(part, secret)
        key = lambda name, about, expect, body, **f: vec("keys", f"text-{part}-{name}", about, "key-text", expect, body, part=part, **f)
        key("plain", "a key as text", "ok", text.encode() + b"\n", out_secret=secret)
        key("upper", "all upper case, comments, white space", "ok", b"# made today\r\n#\r\n " + text[:20].upper().encode() + b"\t\r\n" + text[20:].upper().encode() + b"\r\n", out_secret=secret)
        key("vertical-tab", "white space of every kind within the key", "ok", (text[:30] + "\t\v\f\r\n " + text[30:]).encode(), out_secret=secret)
        key("indented-comment", "a comment whose first byte is not #", "bad-structure", b" # made today\n" + text.encode())
        key("other-space", "a space that is not ASCII", "bad-structure", text[:30].encode() + "\u00a0".encode() + text[30:].encode())
        key("byte-order-mark", "a byte order mark", "bad-structure", b"\xef\xbb\xbf" + text.encode())
        key("two", "two keys", "bad-structure", (text + "\n" + text + "\n").encode())
        key("mixed", "mixed case", "bad-structure", text[:12].encode() + text[12:].upper().encode())
        key("checksum", "one character changed", "bad-structure", (text[:-8] + ("q" if text[-8] != "q" else "p") + text[-7:]).encode())
        key("bech32", "the checksum of Bech32, not Bech32m", "bad-structure", bech32m(part, secret, const=1).encode())
        key("31-bytes", "31 bytes", "bad-structure", bech32m(part, secret[:31]).encode())
        key("33-bytes", "33 bytes", "bad-structure", bech32m(part, secret + b"x").encode())
        key("padding", "padding bits that are not zero", "bad-structure", bech32m(part, secret, last=1).encode())
        key("other-part", "another human-readable part", "bad-structure", bech32m("vaultother", secret).encode())
    dashed = "-".join(bech32m("vaultrecovery", secret)[i : i + 6] for i in range(0, 72, 6))
    vec("keys", "text-recovery-hyphens", "hyphens in a recovery key", "key-text", "ok", dashed.encode(), part="vaultrecovery", out_secret=secret)
    dashed = "-".join(bech32m("vaultkey", secret)[i : i + 6] for i in range(0, 72, 6))
    vec("keys", "text-vaultkey-hyphens", "hyphens in a key file", "key-text", "bad-structure", dashed.encode(), part="vaultkey")
    vec("keys", "text-empty", "only a comment", "key-text", "bad-structure", b"# nothing\n", part="vaultkey")


def chapter_seal():
    key = rnd()
    for cipher in (1, 2):
        for size in (0, 1, 1000):
            message, random, extra = blake3(b"m").digest(length=size) if size else b"", rnd(), b"extra %d" % size
            box = seal(key, cipher, 19, REPO, extra, message, random)
            f = dict(key=key, repository=REPO, cipher=cipher, kind=19, extra=extra)
            vec("seal", f"open-{cipher}-{size}", f"a box of {size} bytes, cipher {cipher}", "open-box", "ok", box, **f, out_message=message)
            vec("seal", f"seal-{cipher}-{size}", f"how a writer makes nonce and box, cipher {cipher}", "seal-box", "ok", message, **f, random=random, out_box=box)
        bad = lambda name, about, body=box, expect="not-authentic", **g: vec("seal", f"{name}-{cipher}", about, "open-box", expect, body, **{**f, **g})
        bad("nonce", "a bit of the nonce", flip(box, 3))
        bad("text", "a bit of the ciphertext", flip(box, 100))
        bad("tag", "a bit of the tag", flip(box, len(box) - 1))
        bad("cut", "a byte less", box[:-1])
        bad("short", "39 bytes", box[:39], "truncated")
        bad("kind", "another kind", kind=18)
        bad("other-cipher", "the other cipher", cipher=3 - cipher)
        bad("repository", "another repository", repository=OTHER)
        bad("extra", "other additional data", extra=b"extra")
        bad("key", "another key", key=rnd())
    vec("seal", "cipher-3", "an unknown cipher", "open-box", "unsupported", box, **{**f, "cipher": 3})
    data = b"abc" * 500
    frame = zstd(data)
    z = lambda name, about, expect, body, method=1, plain=len(data), **o: vec("seal", "method-" + name, about, "decompress", expect, body, method=method, plain=plain, **o)
    z("0", "stored", "ok", data, 0, out_hash=H(data))
    z("0-length", "stored, of another length", "bad-structure", data, 0, 7)
    z("1", "zstd", "ok", frame, out_hash=H(data))
    z("1-checksum", "zstd with a content checksum", "ok", zstd(data, checksum=True), out_hash=H(data))
    z("1-length", "zstd, stated shorter than the frame says", "bad-structure", frame, 1, 1499)
    bomb = zstd(bytes(8 << 20))
    z("1-bomb", "zeros, 8 MiB, stated as 100 bytes", "bad-structure", bomb, 1, 100)
    # A frame with a four-byte content size that lies: single segment, flag 2.
    lying = bytearray(bomb)
    assert lying[4] & 0xC0 == 0x80, hex(lying[4])
    start = 5 + (0 if lying[4] & 0x20 else 1)
    lying[start : start + 4] = u32(1 << 17)
    z("1-bomb-lies", "zeros, 8 MiB, in a frame that says 128 KiB", "bad-structure", bytes(lying), 1, 1 << 17)
    z("1-no-size", "zstd without a content size", "bad-structure", zstd(data, size=False))
    z("1-two-frames", "two frames", "bad-structure", zstd(data[:750]) + zstd(data[750:]))
    z("1-trailing", "a byte after the frame", "bad-structure", frame + b"\0")
    z("1-cut", "a frame that is cut off", "bad-structure", frame[:-2])
    z("1-skippable", "a skippable frame before it", "bad-structure", b"\x50\x2a\x4d\x18" + u32(1) + b"x" + frame)
    z("1-dictionary", "a frame that names a dictionary", "bad-structure", frame[:4] + bytes([frame[4] | 1, frame[5]]) + b"\7" + frame[6:] if not frame[4] & 0x20 else frame[:4] + bytes([frame[4] | 1]) + b"\7" + frame[5:])
    z("1-magic", "no frame", "bad-structure", b"no frame")
    z("1-skippable-only", "nothing but a skippable frame, for no bytes", "bad-structure", b"\x50\x2a\x4d\x18" + u32(0), plain=0)
    z("1-checksum-wrong", "zstd with another content checksum", "bad-structure", flip(zstd(data, checksum=True), -1))
    z("1-window-16-mib", "a frame that asks for a window of 16 MiB", "ok", raw_frame(0x70, data), out_hash=H(data))
    z("1-window-18-mib", "a frame that asks for a window of 18 MiB", "too-large", raw_frame(0x71, data))
    z("1-window-huge", "a frame that asks for a window of 3.75 TiB", "too-large", raw_frame(0xFF, data))
    z("2", "an unknown method", "unsupported", data, 2)


def chapter_slots():
    pw = "pässword".encode()
    out = dict(out_repository=REPO, out_role=0, out_label_role=0, out_roots=b"".join(ROOTS), out_label="first", out_made="1700000000.000000005", out_host="lupine")
    good = slot(REPO, ROOTS, pw)
    s = lambda name, about, expect, body, secret=pw, **o: vec("slots", name, about, "slot", expect, body, secret=secret, **o)
    s("password", "a password slot", "ok", good, out_kind=1, **out)
    s("password-lanes", "four lanes, two passes", "ok", slot(REPO, ROOTS, pw, kdf={1: 1, 2: 256, 3: 2, 4: 4}), out_kind=1, **out)
    key = rnd()
    s("key-file", "a key file's slot", "ok", slot(REPO, ROOTS, key, kind=2), key, out_kind=2, **out)
    s("recovery", "a recovery key's slot", "ok", slot(REPO, ROOTS, key, kind=3), key, out_kind=3, **out)
    s("optional-key", "an unknown optional key", "ok", slot(REPO, ROOTS, pw, extra_keys={100: b"x"}), out_kind=1, **out)
    s("optional-key-in-kdf", "an unknown optional key of the kdf, sealed with it", "ok", slot(REPO, ROOTS, pw, kdf={1: 1, 2: 64, 3: 1, 4: 1, 99: 0}), out_kind=1, **out)
    s("optional-key-in-bundle", "an unknown optional key in the bundle", "ok", slot(REPO, ROOTS, pw, bundle={1: 0, 2: ROOTS, 99: b"x"}), out_kind=1, **out)
    s("wrong-password", "another password", "wrong-key", good, b"password")
    s("empty-password", "the empty password, which is another one", "wrong-key", good, b"")
    s("wrong-key-file", "another key file", "wrong-key", slot(REPO, ROOTS, key, kind=2), rnd())
    s("commitment", "another commitment", "wrong-key", slot(REPO, ROOTS, pw, change={5: rnd()}))
    s("repository-changed", "another repository id", "wrong-key", good.replace(REPO, OTHER, 1))
    s("kdf-changed", "another number of passes", "wrong-key", good.replace(cbor({1: 1, 2: 64, 3: 1, 4: 1}), cbor({1: 1, 2: 64, 3: 2, 4: 1})))
    s("kind-changed", "a key file's slot said to be a recovery key's", "not-authentic", slot(REPO, ROOTS, key, kind=2).replace(b"\x02\x02\x03\xa1", b"\x02\x03\x03\xa1"), key)
    at = good.index(b"\x06\x58")
    s("bundle-changed", "a bit of the bundle", "not-authentic", flip(good, at + 60))
    other = slot(REPO, ROOTS, pw)
    other_box = other[other.index(b"\x06\x58") : other.index(b"\x07\x01\x08")]
    s("bundle-swapped", "the bundle of another slot of the same password", "not-authentic", good[:at] + other_box + good[good.index(b"\x07\x01\x08") :])
    s("label-changed", "a bit of the label", "not-authentic", flip(good, len(good) - 1))
    s("label-swapped", "the label of another slot of the same password", "not-authentic", good[: good.index(b"\x07\x01\x08")] + other[other.index(b"\x07\x01\x08") :])
    s("label-of-other-extra", "a label that is bound to keys 1 to 5 only", "not-authentic", slot(REPO, ROOTS, pw, label_keys=5))
    s("optional-key-0", "an unknown optional key before all others", "ok", slot(REPO, ROOTS, pw, extra_keys={0: b"x"}), out_kind=1, **out)
    s("password-not-utf8", "a password that is not UTF-8", "wrong-type", slot(REPO, ROOTS, b"\xff\xfe"), b"\xff\xfe")
    many = ROOTS + [H(u32(i)) for i in range(1022)]
    s("roots-1024", "1,024 root keys", "ok", slot(REPO, ROOTS, pw, bundle={1: 0, 2: many}), out_kind=1, **{**out, "out_roots": b"".join(many)})
    s("roots-1025", "1,025 root keys", "too-large", slot(REPO, ROOTS, pw, bundle={1: 0, 2: [bytes(32)] * 1025}))
    s("label-type", "a label that is a number", "wrong-type", slot(REPO, ROOTS, pw, label={1: 1, 2: [0, 0], 3: ""}))
    s("label-epoch", "a label of an unknown epoch", "unknown-epoch", slot(REPO, ROOTS, pw, extra_keys={7: 9}))
    s("magic", "another magic", "bad-structure", flip(good, 7))
    s("cut", "cut off", "truncated", good[:-1])
    s("magic-cut", "seven bytes", "truncated", good[:7])
    s("trailing", "a byte follows", "not-canonical", good + b"\0")
    s("critical-key", "an unknown critical key", "unknown-critical", slot(REPO, ROOTS, pw, extra_keys={128: 0}))
    s("critical-key-in-kdf", "an unknown critical key of the kdf", "unknown-critical", slot(REPO, ROOTS, pw, raw_kdf={1: 1, 2: 64, 3: 1, 4: 1, 128: 0}))
    s("critical-key-in-bundle", "an unknown critical key of the bundle", "unknown-critical", slot(REPO, ROOTS, pw, bundle={1: 0, 2: ROOTS, 200: 0}))
    s("no-salt", "no salt", "bad-structure", slot(REPO, ROOTS, pw, extra_keys={4: None}))
    s("salt-16", "a salt of 16 bytes", "wrong-type", slot(REPO, ROOTS, pw, extra_keys={4: bytes(16)}))
    s("kind-4", "an unknown kind", "unsupported", slot(REPO, ROOTS, pw, extra_keys={2: 4}))
    s("role-3", "an unknown role", "unsupported", slot(REPO, ROOTS, pw, bundle={1: 3, 2: ROOTS}))
    s("no-roots", "no root key", "bad-structure", slot(REPO, ROOTS, pw, bundle={1: 0, 2: []}))
    s("root-31", "a root key of 31 bytes", "wrong-type", slot(REPO, ROOTS, pw, bundle={1: 0, 2: [bytes(31)]}))
    vec("slots", "too-long", "above 64 KiB", "slot", "too-large", generator="zeros 65537", secret=pw)
    kdf = lambda name, about, expect, k, kind=1: s("kdf-" + name, about, expect, slot(REPO, ROOTS, pw, kind=kind, raw_kdf=k))
    kdf("memory", "1 GiB and 1 KiB", "too-large", {1: 1, 2: 1048577, 3: 1, 4: 1})
    kdf("memory-huge", "2^64-1 KiB", "too-large", {1: 1, 2: (1 << 64) - 1, 3: 1, 4: 1})
    kdf("passes", "17 passes", "too-large", {1: 1, 2: 64, 3: 17, 4: 1})
    kdf("passes-0", "no pass", "bad-structure", {1: 1, 2: 64, 3: 0, 4: 1})
    kdf("product", "1 GiB, 5 passes", "too-large", {1: 1, 2: 1048576, 3: 5, 4: 1})
    kdf("lanes", "17 lanes", "too-large", {1: 1, 2: 1024, 3: 1, 4: 17})
    kdf("lanes-0", "no lane", "bad-structure", {1: 1, 2: 64, 3: 1, 4: 0})
    kdf("little", "4 lanes, 31 KiB", "bad-structure", {1: 1, 2: 31, 3: 1, 4: 4})
    kdf("algorithm", "an unknown algorithm", "unsupported", {1: 2, 2: 64, 3: 1, 4: 1})
    kdf("missing", "passes missing", "bad-structure", {1: 1, 2: 64, 4: 1})
    kdf("none-for-password", "a password slot without a kdf", "bad-structure", {1: 0})
    kdf("argon-for-key", "a key file's slot with a kdf", "bad-structure", {1: 1, 2: 64, 3: 1, 4: 1}, 2)
    kdf("none-with-memory", "no kdf, but memory", "bad-structure", {1: 0, 2: 64}, 2)


def snapshot_object(record, **more):
    session, dek = rnd(16), rnd()
    wrapped = more.pop("wrapped", None)
    if wrapped is None:
        wrapped = wrap(ROOTS, REPO, more.get("epoch", 0), session, 2, dek)
    return control(ROOTS, REPO, 17, record, key=dek, wrapped=wrapped, **more), dek, session


def chapter_control():
    record = cbor({1: b"record" * 40})
    c = lambda name, about, expect, body, kind=16, **o: vec("control", name, about, "control", expect, body, kind=kind, **{**COMMON, **o})
    ok = lambda name, about, body, kind=16: c(name, about, "ok", body, kind, out_record=record)
    good = control(ROOTS, REPO, 16, record)
    ok("stored", "a configuration's envelope", good)
    ok("zstd", "compressed", control(ROOTS, REPO, 16, record, method=1))
    ok("cipher-2", "cipher 2, epoch 1", control(ROOTS, REPO, 18, record, epoch=1, cipher=2), 18)
    ok("snapshot", "a snapshot's envelope", snapshot_object(record)[0], 17)
    ok("snapshot-epoch-1", "a snapshot of epoch 1, cipher 2", snapshot_object(record, epoch=1, cipher=2, method=1)[0], 17)
    ok("no-padding", "no padding", control(ROOTS, REPO, 16, record, message=u32(len(record)) * 2 + record))
    c("empty", "no bytes", "truncated", b"")
    c("cut-head", "33 bytes", "truncated", good[:33])
    c("cut-box", "the box is cut off", "not-authentic", good[:-1])
    c("cut-all", "only a head", "truncated", good[:34])
    c("trailing", "a byte follows", "not-authentic", good + b"\0")
    c("magic", "another magic", "bad-structure", flip(good, 0))
    c("place", "a configuration where index segments are", "bad-structure", good, 19)
    c("kind-23", "an unknown kind", "unsupported", control(ROOTS, REPO, 23, record))
    c("kind-changed", "an index segment said to be a configuration", "not-authentic", (lambda b: b[:8] + b"\x10" + b[9:])(control(ROOTS, REPO, 19, record)))
    c("cipher-3", "an unknown cipher", "unsupported", control(ROOTS, REPO, 16, record, cipher=3))
    c("method-2", "an unknown method", "unsupported", control(ROOTS, REPO, 16, record, method=2, message=u32(len(record)) * 2 + record))
    c("reserved", "a reserved field that is not zero", "bad-structure", control(ROOTS, REPO, 16, record, reserved=1))
    c("epoch-unknown", "an epoch without a root key", "unknown-epoch", good[:12] + u32(2) + good[16:])
    c("epoch-changed", "another epoch", "not-authentic", good[:12] + u32(1) + good[16:])
    c("repository", "another repository", "bad-structure", control(ROOTS, OTHER, 16, record))
    c("wrapped-in-config", "a configuration with a wrapped key", "bad-structure", control(ROOTS, REPO, 16, record, wrapped=wrap(ROOTS, REPO, 0, rnd(16), 2, rnd())))
    c("snapshot-without-key", "a snapshot without a wrapped key", "bad-structure", control(ROOTS, REPO, 17, record), 17)
    c("snapshot-key-cut", "a wrapped key of 127 bytes", "truncated", snapshot_object(record, wrapped=wrap(ROOTS, REPO, 0, rnd(16), 2, rnd())[:127])[0], 17)
    c("snapshot-key-beyond", "a wrapped key beyond the end", "truncated", snapshot_object(record)[0][:32] + u16(65535) + bytes(100), 17)
    c("snapshot-key-class-1", "a snapshot under a data key", "bad-structure", snapshot_object(record, wrapped=wrap(ROOTS, REPO, 0, rnd(16), 1, rnd()))[0], 17)
    c("snapshot-key-algorithm", "a snapshot under a key of algorithm 2", "unsupported", snapshot_object(record, wrapped=b"\2" + bytes(200))[0], 17)
    c("snapshot-epochs", "envelope and wrapped key differ in their epochs", "bad-structure", snapshot_object(record, wrapped=wrap(ROOTS, REPO, 1, rnd(16), 2, rnd()))[0], 17)
    a, b = snapshot_object(record)[0], snapshot_object(record)[0]
    c("snapshot-key-swapped", "the wrapped key of another snapshot", "not-authentic", a[:34] + b[34:162] + a[162:], 17)
    m = lambda s, p, rest: control(ROOTS, REPO, 16, b"", message=u32(s) + u32(p) + rest)
    n = len(record)
    c("padding-not-zero", "padding that is not zero", "bad-structure", m(n, n, record + b"\0\1"))
    c("padding-too-much", "an eighth and 16 bytes of padding: 8·60 = 352 + 128", "bad-structure", control(ROOTS, REPO, 16, b"", message=u32(284) * 2 + bytes(284) + bytes(60)))
    c("padding-almost", "one zero less than too much; 8·59 < 351 + 128", "ok", control(ROOTS, REPO, 16, b"", message=u32(284) * 2 + bytes(284) + bytes(59)), out_record=bytes(284))
    c("stored-beyond", "stored length beyond the message", "truncated", m(n + 1, n + 1, record))
    c("lengths-differ", "stored, but of another plain length", "bad-structure", m(n, n - 1, record))
    c("message-short", "a message of 7 bytes", "truncated", control(ROOTS, REPO, 16, b"", message=bytes(7)))
    c("window-18-mib", "a frame that asks for a window of 18 MiB", "too-large", control(ROOTS, REPO, 16, b"", method=1, message=(lambda z: u32(len(z)) + u32(4) + z)(raw_frame(0x71, b"abcd"))))
    c("plain-64-mib", "a plain length above 64 MiB", "too-large", control(ROOTS, REPO, 16, b"", method=1, message=(lambda z: u32(len(z)) + u32((64 << 20) + 1) + z)(zstd(b"x"))))
    for length in (2, 3, 8, 9, 16, 17, 100, 1000, 65537, 4194305, 268435457):
        vec("control", f"padme-{length}", "a Padmé length", "padme", "ok", length=length, out_length=padme(length))

    names = sorted(H(bytes([n])) for n in range(3))
    victims = {1: names[0] + names[1], 2: names[2], 3: [5, 6], 4: "lupine"}
    victims_out = dict(out_data=[n.hex() for n in names[:2]], out_meta=names[2], out_made="5.000000006", out_host="lupine")
    sweep = lambda n, about, expect, record, **o: vec("control", "sweep-" + n, about, "sweep", expect, cbor(record), **o)
    sweep("plain", "packs that are condemned or swept", "ok", victims, **victims_out)
    sweep("optional", "with an optional key", "ok", {**victims, 99: 1}, **victims_out)
    sweep("critical", "an unknown critical key", "unknown-critical", {**victims, 128: 1})
    sweep("empty", "no packs at all", "bad-structure", {**victims, 1: b"", 2: b""})
    sweep("order", "names out of order", "bad-structure", {**victims, 1: names[1] + names[0]})
    sweep("twice", "a name twice", "bad-structure", {**victims, 1: names[0] * 2})
    sweep("cut-name", "a name of 31 bytes", "bad-structure", {**victims, 2: names[2][:31]})
    sweep("host-missing", "no host", "bad-structure", {1: victims[1], 2: victims[2], 3: victims[3]})
    sweep("names-array", "names in an array", "wrong-type", {**victims, 1: names[:2]})
    done = lambda n, about, expect, record, **o: vec("control", "done-" + n, about, "sweep-done", expect, cbor(record), **o)
    done("plain", "a sweep is over", "ok", {1: names[0], 2: [5, 6]}, out_sweep=names[0], out_made="5.000000006")
    done("critical", "an unknown critical key", "unknown-critical", {1: names[0], 2: [5, 6], 128: 1})
    done("name-31", "a name of 31 bytes", "wrong-type", {1: names[0][:31], 2: [5, 6]})
    done("time-missing", "no time", "bad-structure", {1: names[0]})


def chapter_config():
    base = {1: REPO, 2: 1, 3: [1700000000, 0], 4: [], 5: [], 6: 1, 7: 1, 8: 0, 9: 16777216, 10: 3}

    def c(name, about, expect, change={}, raw=None, **o):
        m = {k: v for k, v in {**base, **change}.items() if v is not None}
        if expect == "ok":
            o = {"out_made": "1700000000.000000000", "out_sequence": 3, "out_writing": [m[k] for k in (6, 7, 8, 9)], "out_writer_features": m[5], **o}
        vec("config", name, about, "config", expect, raw if raw is not None else cbor(m), repository=REPO, **o)

    c("plain", "a configuration", "ok")
    c("optional-key", "a random optional key", "ok", {113: rnd(9)})
    c("found-out", "key 11", "ok", {11: {1: "x", 100: [1]}})
    c("writer-feature", "a feature for writers only", "ok", {5: [4, 9]})
    c("other-numbers", "a chunker and a cipher that only writers need", "ok", {6: 7, 7: 9, 8: 3})
    c("critical-key", "an unknown critical key", "unknown-critical", {128: 0})
    c("critical-in-11", "an unknown critical key in key 11", "unknown-critical", {11: {200: 0}})
    c("reader-feature", "a feature for readers", "unsupported", {4: [5]})
    c("version-2", "another format version", "unsupported", {2: 2})
    c("features-descending", "features out of order", "bad-structure", {5: [9, 4]})
    c("features-equal", "a feature twice", "bad-structure", {5: [4, 4]})
    c("feature-negative", "a negative feature", "wrong-type", {5: [-1]})
    c("repository", "another repository", "bad-structure", {1: OTHER})
    c("repository-15", "a repository id of 15 bytes", "wrong-type", {1: bytes(15)})
    c("sequence-missing", "no sequence", "bad-structure", {10: None})
    c("sequence-text", "a sequence that is text", "wrong-type", {10: "3"})
    c("time", "nanoseconds out of range", "wrong-type", {3: [0, 10**9]})
    c("not-canonical", "a head too long", "not-canonical", raw=b"\xb8\x0a" + cbor(base)[1:])
    c("not-a-map", "an array", "wrong-type", raw=b"\x80")


def chapter_chunker():
    vec("chunker", "gear", "the secret table", "gear", "ok", **COMMON, out_hash=H(blake3(b"", key=lasting(ROOTS, "chunker")).digest(length=2048)))

    def c(name, cls, generator, data):
        vec("chunker", name, f"class {cls}", "cut", "ok", generator=generator, **{"class": cls}, **COMMON, out_lengths=cut(ROOTS, cls, data))

    for size in (0, 1, 262144, 262145):
        c(f"counter-{size}-files", 1, f"counter {size}", bytes(i & 255 for i in range(size)))
    for size in (65536, 65537, 262144, 262145):
        c(f"zeros-{size}-dumps", 2, f"zeros {size}", bytes(size))
    for cls, name in ((1, "files"), (2, "dumps")):
        size = 12 << 20
        c(f"random-{name}", cls, f"blake3-xof 00 {size}", blake3(b"\0").digest(length=size))
        size = 5 * 1048576 + 4097
        c(f"random-odd-{name}", cls, f"blake3-xof 0102 {size}", blake3(b"\1\2").digest(length=size))
        size = 9 << 20
        c(f"zeros-{name}", cls, f"zeros {size}", bytes(size))
    size = 262144
    c(f"random-{size}-dumps", 2, f"blake3-xof 04 {size}", blake3(b"\4").digest(length=size))
    c("images", 3, "blake3-xof 03 200000", blake3(b"\3").digest(length=200000))
    vec("chunker", "class-4", "an unknown class", "cut", "unsupported", generator="zeros 10", **{"class": 4}, **COMMON)


from make_repositories import chapter_repositories  # noqa: E402
from make_roles import chapter_roles  # noqa: E402
from make_more import chapter_index, chapter_packs, chapter_parity, chapter_snapshots, chapter_trees  # noqa: E402

if __name__ == "__main__":
    xwing.check()
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    chapters = [chapter_cbor, chapter_keys, chapter_seal, chapter_slots, chapter_control, chapter_config, chapter_chunker]
    for chapter in (chapter_packs, chapter_trees, chapter_snapshots, chapter_index, chapter_repositories, chapter_parity, chapter_roles):
        chapters.append(lambda chapter=chapter: chapter(vec, flip, REPO, OTHER, ROOTS, COMMON))
    for folder in ("cbor", "keys", "seal", "slots", "control", "config", "chunker", "packs", "trees", "snapshots", "index", "repositories"):
        shutil.rmtree(folder, ignore_errors=True)
    for chapter in chapters:
        chapter()
    print(len(made), "vectors")
