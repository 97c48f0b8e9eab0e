# The vectors of packs, trees, snapshots and index segments; called by make.py.
from fmt import *


def chapter_packs(vec, flip, REPO, OTHER, ROOTS, COMMON):
    session, dek = rnd(16), rnd()
    A, B, C = b"alpha" * 10, b"b", bytes(300)
    BLOCKS = [(0, 1, [A, B]), (1, 2, [C])]

    def outputs(cls, blocks, keys=1, s=session):
        k = lasting(ROOTS, "name-tree" if cls == 2 else "name-data")
        at, rows, names = 128, [], []
        for method, _, chunks in blocks:
            plain = b"".join(chunks)
            rows.append(f"{at}:{len(plain)}:{len(chunks)}")
            at += len(stored(method, plain)) + 40
            names += [f"{KH(k, c).hex()}:{len(c)}" for c in chunks]
        return dict(out_session=s, out_keys=keys, out_blocks=rows, out_chunks=names)

    def build(cls=1, blocks=BLOCKS, **more):
        return pack(ROOTS, REPO, cls, blocks, session=session, dek=dek, **more)

    def p(name, about, expect, body, cls=1, op="pack", blocks=None, keys=1, **more):
        out = outputs(cls, BLOCKS if blocks is None else blocks, keys) if expect == "ok" else {}
        vec("packs", name, about, op, expect, body, **{"class": cls}, **{**COMMON, **more}, **out)

    good = build()
    p("data", "a data pack: two blocks, both methods and ciphers", "ok", good)
    p("meta", "a meta pack", "ok", build(2), 2)
    p("padded", "padding before the table", "ok", build(padding=77))
    p("table-cipher-2", "table under cipher 2, epoch 1", "ok", build(cipher=2, epoch=1))
    p("unknown-parity", "parity of an unknown scheme is passed over", "ok", build(scheme=9, parity=b"parity", shards=b"shards"))
    p("optional-key", "an unknown optional key in the table", "ok", build(table={99: b"x"}))
    p("signature", "key 5", "ok", build(table={5: b"signature"}))
    two = [wrap(ROOTS, REPO, 0, session, 1, dek), wrap(ROOTS, REPO, 0, rnd(16), 1, dek)]
    p("two-keys", "two wrapped keys, of two sessions", "ok", build(keys=two, rows=lambda r: r[:28] + u16(1) + r[30:]), keys=2)
    p("equal-keys", "the same wrapped key twice, each needed", "ok", build(keys=two[:1] * 2, rows=lambda r: r[:28] + u16(1) + r[30:]), keys=2)
    p("no-blocks", "no block", "bad-structure", build(blocks=[], keys=[]))
    p("read-footer-damaged", "the header is enough to read", "ok", flip(good, len(good) - 10), op="pack-read")
    p("read-header-damaged", "the footer is enough to read", "ok", flip(good, 40), op="pack-read")
    p("read-header-gone", "the footer is enough where the header is zeros", "ok", bytes(128) + good[128:], op="pack-read")
    p("footer-damaged", "but a pack with a damaged footer is damaged", "wrong-hash", flip(good, len(good) - 10))
    p("header-damaged", "and one with a damaged header", "wrong-hash", flip(good, 40))
    p("ends-damaged", "both ends damaged", "wrong-hash", flip(flip(good, 40), len(good) - 10), op="pack-read")
    p("ends-differ", "header and footer differ, both hashes good", "bad-structure", build(scheme=9, footer=lambda f: f[:3] + b"\x08" + f[4:]))
    both = lambda change: dict(header=change, footer=change)
    put = lambda at, new: (lambda f: f[: at - 8] + new + f[at - 8 + len(new) :])
    p("version-2", "an unknown version", "unsupported", build(**both(put(8, b"\2"))))
    p("kind-3", "an unknown kind of pack", "unsupported", build(**both(put(9, b"\3"))))
    p("place", "a meta pack where data packs are", "bad-structure", build(2))
    p("magic", "another magic at both ends", "bad-structure", (lambda b: flip(flip(b, 0), len(b) - 128))(good))
    p("cipher-3", "an unknown cipher of the table", "unsupported", build(cipher=3))
    p("epoch-unknown", "an epoch without a root key", "unknown-epoch", build(**both(put(12, u32(5)))))
    p("epoch-changed", "another epoch than the table's", "not-authentic", build(**both(put(12, u32(1)))))
    p("repository", "another repository", "bad-structure", pack(ROOTS, OTHER, 1, BLOCKS))
    p("reserved-44", "reserved bytes at 44 that are not zero", "bad-structure", build(**both(put(44, b"\1"))))
    p("reserved-88", "reserved bytes at 88 that are not zero", "bad-structure", build(**both(put(95, b"\1"))))
    offset = int.from_bytes(good[32:40], "little")
    p("table-in-header", "a table at offset 127", "bad-structure", build(**both(put(32, u64(127)))))
    p("table-overflow", "a table whose end is beyond 64 bits", "bad-structure", build(**both(put(32, u64((1 << 64) - 100)))))
    p("table-too-long", "a table above 16 MiB", "too-large", build(**both(put(40, u32((16 << 20) + 1)))))
    p("table-39", "a table of 39 bytes", "bad-structure", build(**both(put(40, u32(39) + bytes(4) + u64(offset + 39)))))
    p("parity-elsewhere", "parity that does not begin where the table ends", "bad-structure", build(scheme=9, **both(put(48, u64(offset)))))
    p("shards-overlap", "a shard table that overlaps the parity", "bad-structure", build(scheme=9, parity=b"parity", **both(put(64, u64(offset + 41)))))
    p("shards-overflow", "copies of the shard table beyond 64 bits", "bad-structure", build(scheme=9, **both(put(72, u64(1 << 63)))))
    p("parity-scheme-0", "parity without a scheme", "bad-structure", build(parity=b"parity"))
    p("length-lies", "another length of the object", "bad-structure", build(**both(put(80, u64(len(good) + 1)))))
    p("cut", "cut off", "bad-structure", good[:-1], op="pack-read")
    p("trailing", "a byte follows", "bad-structure", good + b"\0", op="pack-read")
    p("tiny", "295 bytes", "truncated", good[:295])
    p("empty", "no bytes", "truncated", b"")
    at = offset + 50
    p("table-changed", "a bit of the table", "not-authentic", flip(good, at))
    p("table-swapped", "the table of another pack of the same shape", "not-authentic", good[:offset] + pack(ROOTS, REPO, 1, BLOCKS, padding=1)[offset + 1 : -128] + good[-128:])
    p("table-critical", "an unknown critical key in the table", "unknown-critical", build(table={128: 0}))
    p("table-array", "a table that is no map", "wrong-type", build(table_message=b"\x80"))
    p("rows-cut", "block rows that are no multiple of 16", "bad-structure", build(rows=lambda r: r[:-1]))
    p("chunk-rows-cut", "chunk rows that are no multiple of 36", "bad-structure", build(names=lambda r: r[:-1]))
    p("rows-missing", "no block rows", "bad-structure", build(table_message=cbor({1: session, 2: [], 4: b""})))
    p("chunk-count-more", "a block that counts more chunks than there are", "bad-structure", build(rows=lambda r: r[:24] + u32(2) + r[28:]))
    p("chunk-count-less", "a chunk that belongs to no block", "bad-structure", build(names=lambda r: r + rnd() + u32(1)))
    p("chunk-count-huge", "a block of 2^32-1 chunks", "bad-structure", build(rows=lambda r: r[:8] + u32(0xFFFFFFFF) + r[12:]))
    p("chunk-count-0", "a block without chunks", "bad-structure", build(rows=lambda r: r[:16] + block_row(40, 0, 0) + r[16:]))
    p("plain-sum", "chunks that are longer together than their block", "bad-structure", build(names=lambda r: r[:32] + u32(51) + r[36:]))
    p("plain-shifted", "lengths of two chunks, same sum", "wrong-name", build(names=lambda r: r[:32] + u32(49) + r[36:68] + u32(2) + r[72:]))
    p("chunk-0", "an empty chunk", "bad-structure", build(names=lambda r: r[:32] + u32(0) + r[36:68] + u32(51) + r[72:]))
    p("chunk-large", "a chunk above 16 MiB", "too-large", build(names=lambda r: r[:32] + u32((16 << 20) + 1) + r[36:]))
    p("plain-large", "a block above 16 MiB", "too-large", build(rows=lambda r: r[:4] + u32((16 << 20) + 1) + r[8:]))
    p("box-large", "a box 4,097 bytes longer than its plaintext", "too-large", build(rows=lambda r: r[:16] + u32(300 + 4097) + r[20:]))
    p("box-39", "a box of 39 bytes", "bad-structure", build(rows=lambda r: r[:16] + u32(39) + r[20:]))
    p("box-stored", "a stored block's box of another length", "bad-structure", build(rows=lambda r: u32(92) + r[4:], padding=9))
    p("boxes-reach-table", "blocks that reach into the table", "bad-structure", build(rows=lambda r: r[:16] + u32(300) + r[20:]))
    p("key-number", "a block that names no key", "bad-structure", build(rows=lambda r: r[:12] + u16(1) + r[14:]))
    p("key-needless", "a key that no block needs", "bad-structure", build(keys=two))
    p("key-class", "a tree key in a data pack", "bad-structure", build(keys=[wrap(ROOTS, REPO, 0, session, 2, dek)]))
    p("key-short", "a wrapped key of 127 bytes", "truncated", build(keys=[two[0][:127]]))
    p("key-text", "a wrapped key that is text", "wrong-type", build(keys=["key"]))
    p("key-algorithm-read", "an unknown algorithm costs only its blocks", "ok", build(keys=[b"\2" + bytes(9)]), op="pack-read")
    p("key-algorithm", "a block whose key is of an unknown algorithm", "unsupported", build(keys=[b"\2" + bytes(9)]))
    p("method-2-read", "an unknown method costs only its block", "ok", build(rows=lambda r: r[:30] + b"\2" + r[31:]), op="pack-read")
    p("method-2", "a block of an unknown method", "unsupported", build(rows=lambda r: r[:30] + b"\2" + r[31:]))
    p("block-cipher-3", "a block of an unknown cipher", "unsupported", build(rows=lambda r: r[:31] + b"\3" + r[32:]))
    p("method-changed", "zstd said to be stored, of the frame's length", "bad-structure", build(rows=lambda r: r[:30] + b"\0" + r[31:]))
    p("cipher-changed", "the other cipher", "not-authentic", build(rows=lambda r: r[:31] + b"\1" + r[32:]))
    p("block-changed", "a bit of a block", "not-authentic", flip(good, 160))
    p("blocks-swapped", "two boxes of equal lengths, swapped", "wrong-name", (lambda b: b[:128] + b[169:210] + b[128:169] + b[210:])(build(blocks=[(0, 1, [b"x"]), (0, 1, [b"y"])])))
    p("names-swapped", "two names swapped", "wrong-name", build(names=lambda r: r[36:72][:32] + r[32:36] + r[:32] + r[68:]))
    p("block-kind", "tree blocks in a data pack", "not-authentic", build(sealed_kind=2))
    p("name-class", "chunks named with the other class's key", "wrong-name", build(names=lambda r: KH(lasting(ROOTS, "name-tree"), A) + r[32:]))
    p("dek-other", "a block sealed under another key than wrapped", "not-authentic", build(keys=[wrap(ROOTS, REPO, 0, session, 1, rnd())]))


def chapter_trees(vec, flip, REPO, OTHER, ROOTS, COMMON):
    n32 = H(b"a chunk")

    def one(name, about, expect, kind, items, raw=None, **o):
        body = raw if raw is not None else node(kind, items)
        if expect == "ok":
            o = {"out_kind": kind, "out_items": len(items), **o}
        vec("trees", "node-" + name, about, "node", expect, body, **o)

    def e(name, about, expect, *args, **more):
        one("entry-" + name, about, expect, 1, [entry(*args, **more)])

    every = [
        entry(b"a-dir", 2, k19=n32, k3=0o755, k16=0x80),
        entry(b"a-file", 1, k11=5, k17=[[n32, 5]], k6=b"me", k7=b"us", k15=[[b"user.a", b""], [b"user.b", b"\0"]], k16=16, k20=1, k100=b"kept"),
        entry(b"b-link", 3, k12=b"../x", k3=0o777),
        entry(b"c-char", 4, k13=[1, 3]),
        entry(b"d-block", 5, k13=[8, 0]),
        entry(b"e-fifo", 6, k14=[0, 9]),
        entry(b"f-socket", 7),
        entry(b"g-empty", 1),
        entry(b"h-sparse", 1, k11=1 << 40, k17=[1 << 40]),
        entry(b"i-list", 1, k11=99, k18=n32),
        entry(b"\xff\x01 \\", 1, k8=[-5, 1]),
    ]
    one("every-type", "every type of entry", "ok", 1, every)
    one("empty", "an empty directory", "ok", 1, [])
    one("split", "a split directory", "ok", 2, [[b"a", n32, 3], [b"m", n32, 70000]])
    one("list", "extents", "ok", 3, [7, [n32, 100], 9, [n32, 1], [n32, 1]])
    one("lists", "a list of lists", "ok", 4, [[n32, 1000]])
    one("kind-5", "an unknown kind", "unsupported", 5, [])
    one("kind-missing", "no kind", "bad-structure", 1, [], raw=cbor({2: []}))
    one("critical", "an unknown critical key", "unknown-critical", 1, [], raw=cbor({1: 1, 2: [], 128: 0}))
    one("optional", "an unknown optional key", "ok", 1, [], raw=cbor({1: 1, 2: [], 127: 0}))
    one("items-map", "items that are a map", "wrong-type", 1, [], raw=cbor({1: 1, 2: {}}))
    one("trailing", "a byte follows", "not-canonical", 1, [], raw=node(1, []) + b"\0")
    one("unsorted", "names out of order", "bad-structure", 1, [entry(b"b", 7), entry(b"a", 7)])
    one("duplicate", "a name twice", "bad-structure", 1, [entry(b"a", 7), entry(b"a", 7)])
    one("order-of-bytes", "a name before its own continuation, 0x7f before 0x80", "ok", 1, [entry(b"a", 7), entry(b"a\1", 7), entry(b"\x7f", 7), entry(b"\x80", 7)])
    one("split-one", "a split directory of one part", "bad-structure", 2, [[b"a", n32, 3]])
    one("split-unsorted", "parts out of order", "bad-structure", 2, [[b"m", n32, 3], [b"a", n32, 3]])
    one("split-zero", "a part of no entries", "bad-structure", 2, [[b"a", n32, 0], [b"m", n32, 3]])
    one("split-pair", "a part without a number", "wrong-type", 2, [[b"a", n32], [b"m", n32]])
    one("split-dots", "a part that begins with ..", "bad-structure", 2, [[b"..", n32, 1], [b"m", n32, 3]])
    one("list-empty", "no extents", "bad-structure", 3, [])
    one("lists-empty", "no lists", "bad-structure", 4, [])
    one("list-zero", "an extent of length 0", "wrong-type", 3, [[n32, 0]])
    one("list-hole-zero", "a hole of length 0", "wrong-type", 3, [0])
    one("list-holes", "two holes side by side", "bad-structure", 3, [1, 1])
    one("list-large", "a chunk above 16 MiB", "too-large", 3, [[n32, (16 << 20) + 1]])
    one("list-name-31", "a chunk name of 31 bytes", "wrong-type", 3, [[n32[:31], 1]])
    one("lists-zero", "a list of length 0", "wrong-type", 4, [[n32, 0]])
    for name, bad in (("empty", b""), ("dot", b"."), ("dotdot", b".."), ("slash", b"a/b"), ("nul", b"a\0"), ("root", b"/")):
        e("name-" + name, f"the name {bad!r}", "bad-structure", bad, 7)
    e("name-4096", "a name of 4,096 bytes", "ok", b"n" * 4096, 7)
    e("name-4097", "a name of 4,097 bytes", "too-large", b"n" * 4097, 7)
    e("target-4096", "a target of 4,096 bytes", "ok", b"a", 3, k12=b"t" * 4096)
    e("target-4097", "a target of 4,097 bytes", "too-large", b"a", 3, k12=b"t" * 4097)
    e("size-2-63", "a file of 2^63 bytes", "too-large", b"a", 1, k11=1 << 63, k17=[1 << 63])
    e("size-largest", "a file of 2^63-1 bytes", "ok", b"a", 1, k11=(1 << 63) - 1, k17=[(1 << 63) - 1])
    e("links-33-bits", "a link group's device above 32 bits", "wrong-type", b"a", 1, k14=[1 << 32, 1])
    e("attribute-largest", "an attribute as large as it may be", "ok", b"a", 7, k15=[[b"n" * 255, bytes(65536)]])
    e("attribute-name-256", "an attribute's name of 256 bytes", "too-large", b"a", 7, k15=[[b"n" * 256, b""]])
    e("attribute-value-65537", "an attribute of 65,537 bytes", "too-large", b"a", 7, k15=[[b"n", bytes(65537)]])
    e("attribute-name-empty", "an attribute without a name", "bad-structure", b"a", 7, k15=[[b"", b""]])
    e("attribute-name-nul", "an attribute's name with NUL", "bad-structure", b"a", 7, k15=[[b"a\0", b""]])
    e("name-dots", "three dots are a name", "ok", b"...", 7)
    e("name-text", "a name that is text", "wrong-type", "name", 7)
    e("type-8", "an unknown type", "unsupported", b"a", 8)
    e("mode", "thirteen bits of mode", "wrong-type", b"a", 7, k3=0o10000)
    e("mode-missing", "no mode", "bad-structure", b"a", 7, k3=None)
    e("uid-33-bits", "an owner's number above 32 bits", "wrong-type", b"a", 7, k4=1 << 32)
    e("uid-negative", "a negative owner", "wrong-type", b"a", 7, k4=-1)
    e("owner-empty", "an owner's name that is empty", "wrong-type", b"a", 7, k6=b"")
    e("mtime", "nanoseconds out of range", "wrong-type", b"a", 7, k8=[0, 10**9])
    e("size-zero", "a size of 0, which would be absent", "wrong-type", b"a", 1, k11=0)
    e("size-lies", "extents that do not add up to the size", "bad-structure", b"a", 1, k11=6, k17=[[n32, 5]])
    e("size-alone", "a size without contents", "bad-structure", b"a", 1, k11=6)
    e("size-missing", "contents without a size", "bad-structure", b"a", 1, k17=[[n32, 5]])
    e("size-missing-list", "a list without a size", "bad-structure", b"a", 1, k18=n32)
    e("size-overflow", "extents beyond 64 bits that add up to 4 modulo 2^64", "bad-structure", b"a", 1, k11=4, k17=[(1 << 64) - 1, [n32, 5]])
    e("size-at-fifo", "a fifo with a size", "bad-structure", b"a", 6, k11=6)
    e("both-contents", "extents and a list", "bad-structure", b"a", 1, k11=5, k17=[[n32, 5]], k18=n32)
    e("extents-empty", "extents that are empty", "wrong-type", b"a", 1, k17=[])
    one("entry-extents-1025", "1,025 extents", "too-large", 1, [entry(b"a", 1, k11=1025, k17=[[n32[:1], 1]] * 1025)])
    e("target-missing", "a link without a target", "bad-structure", b"a", 3)
    e("target-at-file", "a file with a target", "bad-structure", b"a", 1, k12=b"x")
    e("target-empty", "an empty target", "bad-structure", b"a", 3, k12=b"")
    e("target-nul", "a target with NUL", "bad-structure", b"a", 3, k12=b"a\0b")
    e("device-missing", "a device without numbers", "bad-structure", b"a", 4)
    e("device-three", "a device of three numbers", "wrong-type", b"a", 5, k13=[1, 2, 3])
    e("links-at-directory", "a directory with a link group", "bad-structure", b"a", 2, k19=n32, k14=[0, 1])
    e("node-missing", "a directory without a node", "bad-structure", b"a", 2)
    e("node-at-file", "a file with a node", "bad-structure", b"a", 1, k19=n32)
    e("flags-zero", "flags of 0, which would be absent", "wrong-type", b"a", 1, k16=0)
    e("flags-at-link", "a link with flags", "bad-structure", b"a", 3, k12=b"x", k16=1)
    e("changed-2", "key 20 that is 2", "wrong-type", b"a", 1, k20=2)
    e("attributes-empty", "no attributes, which would be absent", "wrong-type", b"a", 7, k15=[])
    e("attributes-unsorted", "attributes out of order", "bad-structure", b"a", 7, k15=[[b"b", b""], [b"a", b""]])
    e("attributes-twice", "an attribute twice", "bad-structure", b"a", 7, k15=[[b"a", b""], [b"a", b""]])
    e("critical", "an unknown critical key", "unknown-critical", b"a", 7, k130=0)
    e("name-missing", "no name", "bad-structure", None, 7)

    def walk(name, about, expect, build, **o):
        t = Trees(ROOTS)
        root = build(t)
        vec("trees", "walk-" + name, about, "walk", expect, t.bytes(), root_node=root, **COMMON, **o)

    sock = lambda *names: [entry(x.encode(), 7) for x in names]
    line = lambda path, kind="s", size=0, mode="0644": f"{kind} {mode} 1000 1000 {size} 1700000000.123456789 {path}\n"

    def result(lines, data=0, holes=0):
        return dict(out_listing=H("".join(lines).encode()), out_entries=len(lines), out_data=data, out_holes=holes)

    def nested(t):
        inner = t.add(node(1, sock("x")))
        return t.add(node(1, [entry(b"d", 2, k19=inner), *sock("z")]))

    walk("nested", "a directory in a directory", "ok", nested, **result([line("/d", "d"), line("/d/x"), line("/z")]))
    walk("empty", "an empty directory", "ok", lambda t: t.add(node(1, [])), **result([]))

    def deep(t, depth=60):
        at = t.add(node(1, []))
        for _ in range(depth):
            at = t.add(node(1, [entry(b"d", 2, k19=at)]))
        return at

    walk("deep", "sixty directories, each in the last", "ok", deep, **result([line("/d" * i, "d") for i in range(1, 61)]))

    def split(t, first=b"a", count=2, second=("m", "n"), upper=b"m"):
        a, b = t.add(node(1, sock("a", "b"))), t.add(node(1, sock(*second)))
        return t.add(node(2, [[first, a, count], [upper, b, len(second)]]))

    four = [line("/" + x) for x in "abmn"]
    walk("split", "a split directory", "ok", split, **result(four))
    walk("split-first", "a part that begins with another name than stated", "bad-structure", lambda t: split(t, first=b"A"))
    walk("split-count", "a part of fewer entries than stated", "bad-structure", lambda t: split(t, count=3))
    walk("split-reaches", "a part with a name beyond the next part's first", "bad-structure", lambda t: split(t, second=("b", "n"), upper=b"b"))

    def split_two(t, count=4):
        low = split(t)
        high = t.add(node(1, sock("x")))
        return t.add(node(2, [[b"a", low, count], [b"x", high, 1]]))

    walk("split-two-levels", "parts of parts", "ok", split_two, **result(four + [line("/x")]))
    walk("split-two-count", "a part of parts that counts wrong", "bad-structure", lambda t: split_two(t, 5))
    walk("split-empty-part", "a part without entries", "bad-structure", lambda t: t.add(node(2, [[b"a", t.add(node(1, [])), 1], [b"b", t.add(node(1, sock("b"))), 1]])))
    walk("split-list", "a list as a directory's part", "bad-structure", lambda t: t.add(node(2, [[b"a", t.add(node(3, [1])), 1], [b"b", t.add(node(1, sock("b"))), 1]])))
    walk("list-as-directory", "a list as a directory", "bad-structure", lambda t: t.add(node(1, [entry(b"d", 2, k19=t.add(node(3, [1])))])))
    walk("missing", "a node that is not there", "missing", lambda t: t.add(node(1, [entry(b"d", 2, k19=n32)])))

    def levels(t, n):
        at, names = t.add(node(1, sock("a"))), ["a"]
        for i in range(n):
            name = chr(ord("b") + i)
            other = t.add(node(1, sock(name)))
            at = t.add(node(2, [[b"a", at, i + 1], [name.encode(), other, 1]]))
        return at

    walk("split-8-levels", "eight nodes of kind 2 above one of kind 1", "ok", lambda t: levels(t, 8), **result([line("/" + x) for x in "abcdefghi"]))
    walk("split-9-levels", "nine", "too-large", lambda t: levels(t, 9))

    def listed(t, size=300, inner=None, outer=None):
        a, b = t.add(node(3, inner or [[n32, 100], 50])), t.add(node(3, [[n32, 150]]))
        top = t.add(node(4, outer(a, b) if outer else [[a, 150], [b, 150]]))
        return t.add(node(1, [entry(b"f", 1, k11=size, k18=top)]))

    walk("lists", "a file over a list of lists", "ok", listed, **result([line("/f", "f", 300)], 250, 50))
    walk("lists-single", "a file over one list", "ok", lambda t: t.add(node(1, [entry(b"f", 1, k11=9, k18=t.add(node(3, [[n32, 4], 5])))])), **result([line("/f", "f", 9)], 4, 5))
    walk("lists-size", "another size than the lists'", "bad-structure", lambda t: listed(t, 301))
    walk("lists-shorter", "a list shorter than stated", "bad-structure", lambda t: listed(t, 301, None, lambda a, b: [[a, 151], [b, 150]]))
    walk("lists-longer", "a list longer than stated", "bad-structure", lambda t: listed(t, 299, None, lambda a, b: [[a, 149], [b, 150]]))
    walk("lists-overflow", "lengths that add up to 300 modulo 2^64", "bad-structure", lambda t: listed(t, 300, None, lambda a, b: [[a, (1 << 64) - 1], [b, 301]]))
    walk("lists-holes", "two holes side by side in two lists", "bad-structure", lambda t: listed(t, 300, None, lambda a, b: [[a, 150], [t.add(node(3, [150])), 150]]))
    walk("lists-directory", "a directory as a list", "bad-structure", lambda t: listed(t, 300, None, lambda a, b: [[t.add(node(1, [])), 150], [b, 150]]))

    def tower(t, n):
        at = t.add(node(3, [[n32, 7]]))
        for _ in range(n):
            at = t.add(node(4, [[at, 7]]))
        return t.add(node(1, [entry(b"f", 1, k11=7, k18=at)]))

    walk("lists-8-levels", "eight nodes of kind 4 above one of kind 3", "ok", lambda t: tower(t, 8), **result([line("/f", "f", 7)], 7, 0))
    walk("lists-9-levels", "nine", "too-large", lambda t: tower(t, 9))

    def bomb(t):
        at, size = t.add(node(3, [[n32, 16 << 20], 1])), (16 << 20) + 1
        for _ in range(5):
            at, size = t.add(node(4, [[at, size]] * 60)), size * 60
        return t.add(node(1, [entry(b"f", 1, k11=size + 1, k18=at)]))

    walk("lists-bomb", "778 million extents in seven small nodes, and the size is wrong: to be found without reading them all", "bad-structure", bomb)


def chapter_snapshots(vec, flip, REPO, OTHER, ROOTS, COMMON):
    root, other = H(b"root"), H(b"other")
    plain = dict(out_begun="1700000000.000000001", out_ended="1700000060.000000002", out_host="lupine", out_user="me", out_source="-", out_paths=b"/home/me".hex(), out_tags="",
                 out_root=root, out_parent="-", out_writer="lupine", out_sequence=1, out_predecessor="-", out_status="complete", out_unread=0, out_program="vault 0.1.0")

    def s(name, about, expect, out=None, raw=None, **more):
        vec("snapshots", name, about, "snapshot", expect, raw if raw is not None else cbor(snapshot(root, **more)), **({**plain, **(out or {})} if expect == "ok" else {}))

    s("plain", "the least snapshot", "ok")
    s("full", "every key", "ok", dict(out_source="home", out_paths=[b"/a".hex(), b"\xff".hex()], out_tags="a,b", out_parent=other, out_sequence=7, out_predecessor=other, out_status="incomplete", out_unread=3),
      k5="home", k6=[b"/a", b"\xff"], k7=["a", "b"], k9=other, k11=7, k12=other, k13=other, k14={i: i for i in range(1, 11)}, k15=1, k16=3, k96=b"signature", k101=b"random")
    s("summary", "all counts of a summary", "ok", k14={i: i for i in range(1, 14)})
    s("summary-gone-text", "files that are gone, as text", "wrong-type", k14={12: "3"})
    s("optional", "an unknown optional key, in the summary too", "ok", k14={50: 1}, k127=b"")
    s("critical", "an unknown critical key", "unknown-critical", k128=0)
    s("critical-in-summary", "an unknown critical key in the summary", "unknown-critical", k14={128: 0})
    s("tags-empty", "no tags, which would be absent", "wrong-type", k7=[])
    s("tags-unsorted", "tags out of order", "bad-structure", k7=["b", "a"])
    s("tags-twice", "a tag twice", "bad-structure", k7=["a", "a"])
    s("tags-bytes", "a tag of bytes", "wrong-type", k7=[b"a"])
    s("root-missing", "no root", "bad-structure", k8=None)
    s("root-31", "a root of 31 bytes", "wrong-type", k8=root[:31])
    s("status-3", "a status of 3", "wrong-type", k15=3)
    s("unread-zero", "no entry unread, which would be absent", "wrong-type", k16=0)
    s("sequence-0", "a sequence of 0", "wrong-type", k11=0)
    s("predecessor-of-first", "a predecessor of the first record", "bad-structure", k12=other)
    s("predecessor-missing", "no predecessor of the second", "bad-structure", k11=2)
    s("host-bytes", "a host of bytes", "wrong-type", k3=b"lupine")
    s("path-text", "a path that is text", "wrong-type", k6=["/home"])
    s("time", "a time of one number", "wrong-type", k1=[1])
    s("pinned", "pinned for good", "ok", k18={1: "why"})
    s("pinned-until", "pinned until a time, with an optional key", "ok", k18={1: "", 2: [5, 6], 99: 0})
    s("pin-critical", "an unknown critical key in the pin", "unknown-critical", k18={1: "why", 128: 0})
    s("pin-reason-missing", "a pin without a reason", "bad-structure", k18={2: [5, 6]})
    s("pin-text", "a pin that is text", "wrong-type", k18="why")
    s("signature-text", "a signature that is text", "wrong-type", k96="x")
    s("trailing", "a byte follows", "not-canonical", raw=cbor(snapshot(root)) + b"\0")
    s("cut", "cut off", "truncated", raw=cbor(snapshot(root))[:-1])
    name = H(b"a snapshot")
    for epoch in (0, 1):
        c = confirmation(ROOTS, epoch, REPO, name)
        vec("snapshots", f"confirmation-{epoch}", "a confirmation", "confirmation", "ok", c, **COMMON, out_snapshot=name)
        vec("snapshots", f"make-confirmation-{epoch}", "its bytes and its name follow from the snapshot's", "make-confirmation", "ok", epoch=epoch, snapshot=name, **COMMON, out_bytes=c, out_name=H(c))
    c = confirmation(ROOTS, 0, REPO, name)
    bad = lambda n, about, expect, body: vec("snapshots", "confirmation-" + n, about, "confirmation", expect, body, **COMMON)
    bad("cut", "123 bytes", "truncated", c[:-1])
    bad("trailing", "a byte follows", "bad-structure", c + b"\0")
    bad("magic", "another magic", "bad-structure", flip(c, 6))
    bad("epoch-changed", "another epoch", "not-authentic", c[:8] + u32(1) + c[12:])
    bad("epoch-unknown", "an epoch without a root key", "unknown-epoch", c[:8] + u32(2) + c[12:])
    bad("repository", "another repository", "bad-structure", confirmation(ROOTS, 0, OTHER, name))
    bad("snapshot", "another snapshot", "not-authentic", flip(c, 30))
    bad("first-hash", "a bit of the first hash", "not-authentic", flip(c, 60))
    bad("second-hash", "a bit of the second hash", "not-authentic", flip(c, 123))

    def f(n, about, expect, record, **o):
        vec("snapshots", "forget-" + n, about, "forget", expect, cbor({k: v for k, v in record.items() if v is not None}), **o)

    r = {1: name, 2: "lupine", 3: 4, 4: [5, 6]}
    out = dict(out_snapshot=name, out_writer="lupine", out_sequence=4, out_time="5.000000006")
    f("plain", "a forget record", "ok", r, **out, out_replacement="-")
    f("replaced", "with a replacement", "ok", {**r, 5: other}, **out, out_replacement=other)
    f("record", "with the snapshot's record and session", "ok", {**r, 6: b"record", 7: bytes(16)}, **out, out_replacement="-")
    f("record-text", "a record that is text", "wrong-type", {**r, 6: "record"})
    f("session-15", "a session id of 15 bytes", "wrong-type", {**r, 7: bytes(15)})
    f("critical", "an unknown critical key", "unknown-critical", {**r, 128: 0})
    f("writer-missing", "no writer", "bad-structure", {**r, 2: None})
    f("sequence-negative", "a negative sequence", "wrong-type", {**r, 3: -1})


def chapter_index(vec, flip, REPO, OTHER, ROOTS, COMMON):
    names = [H(b"pack 0"), H(b"pack 1")]
    PACKS = [[names[0], 1, 5000], [names[1], 2, 1 << 33]]
    row = lambda prefix, pack, ordinal: prefix + u32(pack) + u16(ordinal)
    lo, hi = bytes(15) + b"\1", b"\1" + bytes(15)
    ROWS = [(lo, 0, 5), (lo, 0, 256), (lo, 1, 0), (hi, 0, 0)]

    def i(name, about, expect, rows=ROWS, packs=PACKS, more={}, raw=None, **o):
        rows_bytes = rows if isinstance(rows, bytes) else b"".join(row(*r) for r in rows)
        if expect == "ok":
            o = dict(out_packs=[f"{p[0].hex()}:{p[1]}:{p[2]}" for p in packs], out_rows=[f"{p.hex()}:{k}:{n}" for p, k, n in rows], out_replaces=[n.hex() for n in more.get(3, [])])
        vec("index", name, about, "index", expect, raw if raw is not None else cbor({1: packs, 2: rows_bytes, **more}), **o)

    i("plain", "a segment; ordinals and packs are compared as numbers, prefixes byte by byte", "ok")
    i("empty", "a segment of nothing", "ok", [], [])
    i("replaces", "a segment that replaces others, with an optional key", "ok", more={3: names, 99: 1})
    i("critical", "an unknown critical key", "unknown-critical", more={128: 1})
    i("unsorted", "prefixes out of order", "bad-structure", [ROWS[3], ROWS[0]])
    i("unsorted-pack", "packs out of order", "bad-structure", [ROWS[2], ROWS[1]])
    i("unsorted-ordinal", "ordinals out of order, though not their bytes", "bad-structure", [ROWS[1], ROWS[0]])
    i("twice", "a row twice", "bad-structure", [ROWS[0], ROWS[0]])
    i("pack-number", "a row that names no pack", "bad-structure", [(lo, 2, 0)])
    i("cut-row", "a row that is cut off", "bad-structure", row(lo, 0, 0)[:-1])
    i("kind-3", "a pack of an unknown kind", "unsupported", packs=[[names[0], 3, 1], PACKS[1]])
    i("pack-pair", "a pack without a length", "wrong-type", packs=[[names[0], 1], PACKS[1]])
    i("name-31", "a pack name of 31 bytes", "wrong-type", packs=[[names[0][:31], 1, 1], PACKS[1]])
    i("rows-missing", "no rows", "bad-structure", raw=cbor({1: []}))
    i("rows-array", "rows that are an array", "wrong-type", raw=cbor({1: [], 2: []}))
    i("replaces-text", "a replaced name that is text", "wrong-type", more={3: ["x"]})
    i("not-canonical", "keys out of order", "not-canonical", raw=b"\xa2\x02\x40\x01\x80")


def chapter_parity(vec, flip, REPO, OTHER, ROOTS, COMMON):
    restart("parity")
    """The parity of chapter 11; last, so that the bytes of all other vectors stay what they are."""
    session, dek = rnd(16), rnd()
    SMALL, LARGE = [(0, 1, [b"alpha" * 10, b"b"])], [(0, 1, [rnd(6000)]), (1, 2, [bytes(300)])]

    def build(blocks, **more):
        return pack(ROOTS, REPO, 1, blocks, session=session, dek=dek, scheme=1, **more)

    def outputs(blocks):
        k = lasting(ROOTS, "name-data")
        at, rows, names = 128, [], []
        for method, _, chunks in blocks:
            plain = b"".join(chunks)
            rows.append(f"{at}:{len(plain)}:{len(chunks)}")
            at += len(stored(method, plain)) + 40
            names += [f"{KH(k, c).hex()}:{len(c)}" for c in chunks]
        return dict(out_session=session, out_keys=1, out_blocks=rows, out_chunks=names)

    def p(name, about, expect, body, op="pack", out={}):
        vec("packs", "parity-1-" + name, about, op, expect, body, **{"class": 1}, **COMMON, **out)

    def covered(body):
        return int.from_bytes(body[48:56], "little")

    small, large = build(SMALL), build(LARGE)
    longer = build([(0, 1, [rnd(140000)])])
    p("small", "a pack of one shard, with parity", "ok", small, out=outputs(SMALL))
    p("large", "a pack of several shards; the last one is shorter", "ok", large, out=outputs(LARGE))
    for name, body in (("small", small), ("large", large), ("longer", longer)):
        length, data, groups = shards_of(covered(body))
        p(f"of-{name}", "its parity and both copies of the shard table", "ok", body, "parity", dict(out_shard_length=length, out_shards=data, out_groups=groups))
    at, length, table = covered(large), shards_of(covered(large))[0], int.from_bytes(large[72:80], "little")
    tables = at + 4 * length
    p("shard-changed", "a bit of a shard", "wrong-hash", flip(large, 3000), "parity")
    p("parity-changed", "a bit of the parity", "wrong-hash", flip(large, at + 5), "parity")
    p("row-changed", "a bit of a row in the second copy of the table", "wrong-hash", flip(large, tables + table + 20), "parity")
    p("table-hash", "a bit of the hash of the first copy", "wrong-hash", flip(large, tables + table - 1), "parity")
    other = bytes(4 * length)
    lying = large[:at] + other + shard_table(large[:at], other) * 2 + large[-128:]
    p("of-other-data", "parity that belongs to other data, its hashes right", "bad-structure", lying, "parity")
    p("of-other-data-read", "which no reader of the contents looks at", "ok", lying, out=outputs(LARGE))
    p("tables-rubbish", "nor at the shard table", "ok", large[:tables] + bytes(2 * table) + large[-128:], out=outputs(LARGE))
    p("too-short", "parity shorter than it must be, the regions fitting", "bad-structure", build(LARGE, parity=b"p" * (4 * length - 1), shards=b"s" * table))
    p("too-long", "a shard table longer than it must be", "bad-structure", build(LARGE, parity=b"p" * (4 * length), shards=b"s" * (table + 16)))
    none = lambda f: f[:48] + u64(0) + u64(at) + u64(0) + u64(at + 128) + f[80:]
    p("none", "scheme 1 and no parity", "bad-structure", (lambda b: b[:at] + b[-128:])(build(LARGE, header=none, footer=none)))
