# The format written down a third time, in Python, from SPEC.md: what make.py builds vectors with.
# Needs the packages blake3, pycryptodome, argon2-cffi and zstandard.
import struct

import argon2.low_level as argon
import zstandard
from blake3 import blake3
from Crypto.Cipher import AES, ChaCha20_Poly1305


def H(x):
    return blake3(x).digest()


def KH(k, x):
    return blake3(x, key=k).digest()


def KX(k, x):
    return blake3(x, key=k).digest(length=64)


def DK(c, k):
    return blake3(k, derive_key_context=c).digest()


def u8(n):
    return struct.pack("<B", n)


def u16(n):
    return struct.pack("<H", n)


def u32(n):
    return struct.pack("<I", n)


def u64(n):
    return struct.pack("<Q", n)


_counter, _of = 0, b"vectors"


def restart(name):
    """From here on bytes do not depend on what was made before."""
    global _counter, _of
    _counter, _of = 0, name.encode()


def rnd(n=32):
    """Bytes that look random and are the same on every run."""
    global _counter
    _counter += 1
    return blake3(b"%s %d" % (_of, _counter)).digest(length=n)


# Chapter 4


class Raw(bytes):
    """Bytes that are an encoding already."""


def head(major, n):
    if n < 24:
        return u8(major << 5 | n)
    for info, limit, form in ((24, 1 << 8, ">B"), (25, 1 << 16, ">H"), (26, 1 << 32, ">I"), (27, 1 << 64, ">Q")):
        if n < limit:
            return u8(major << 5 | info) + struct.pack(form, n)
    raise ValueError(n)


def cbor(x):
    if isinstance(x, Raw):
        return bytes(x)
    if isinstance(x, bool):
        raise TypeError(x)
    if isinstance(x, int):
        return head(0, x) if x >= 0 else head(1, -1 - x)
    if isinstance(x, bytes):
        return head(2, len(x)) + x
    if isinstance(x, str):
        return head(3, len(x.encode())) + x.encode()
    if isinstance(x, (list, tuple)):
        return head(4, len(x)) + b"".join(map(cbor, x))
    if isinstance(x, dict):
        return head(5, len(x)) + b"".join(cbor(k) + cbor(x[k]) for k in sorted(x))
    raise TypeError(x)


# Chapter 5

LASTING = {"name-data": "name of data chunks", "name-tree": "name of tree chunks", "chunker": "chunker", "split": "tree split"}
EPOCHS = {"control": "control", "confirm": "confirm", "wrap-data": "wrap data", "wrap-tree": "wrap tree", "hedge": "hedge"}


def lasting(roots, what):
    return DK("vault v1 " + LASTING[what], roots[0])


def of_epoch(roots, what, epoch):
    return DK("vault v1 " + EPOCHS[what], roots[epoch])


def session_key(roots, epoch, random, host, session, cls):
    return KH(of_epoch(roots, "hedge", epoch), random + u32(len(host.encode())) + host.encode() + session + u8(cls))


def wrap(roots, repo, epoch, session, cls, dek, reserved=0, algorithm=0, kek_class=None):
    name = {1: "wrap-data", 2: "wrap-tree"}[kek_class or cls]
    both = KX(of_epoch(roots, name, epoch), u8(cls) + session)
    fixed = u8(algorithm) + u8(cls) + u16(reserved) + u32(epoch) + session + both[32:]
    return fixed + seal(both[:32], 1, 6, repo, fixed, dek)


# Chapter 6


def aad(repo, kind, cipher, extra):
    return b"vault1" + repo + u8(kind) + u8(cipher) + extra


def seal(k, cipher, kind, repo, extra, message, random=None):
    a = aad(repo, kind, cipher, extra)
    random = random or rnd()
    nonce = KH(DK("vault v1 nonce", k), random + u64(len(a)) + a + u64(len(message)) + message)[:24]
    if cipher == 1:
        c = ChaCha20_Poly1305.new(key=DK("vault v1 cipher 1", k), nonce=nonce)
    else:
        c = AES.new(KH(DK("vault v1 cipher 2", k), nonce), AES.MODE_GCM, nonce=bytes(12), mac_len=16)
    c.update(a)
    text, tag = c.encrypt_and_digest(message)
    return nonce + text + tag


def zstd(data, size=True, checksum=False):
    return zstandard.ZstdCompressor(level=3, write_content_size=size, write_checksum=checksum).compress(data)


def raw_frame(window, data):
    """A zstd frame of one raw block that states its window in one byte."""
    return struct.pack("<I", 0xFD2FB528) + u8(0x80) + u8(window) + u32(len(data)) + u32(len(data) << 3 | 1)[:3] + data


def stored(method, data):
    return zstd(data) if method == 1 else data


# Chapter 7


def stretch(password, salt, memory, passes, lanes):
    return argon.hash_secret_raw(password, salt, passes, memory, lanes, 32, argon.Type.ID, version=0x13)


def slot(repo, roots, secret, kind=1, kdf=None, change=None, bundle=None, extra_keys=None, label=None, raw_kdf=None, label_keys=7):
    """`change` alters the map before the bundle is sealed, `extra_keys` after it."""
    salt = rnd()
    kdf = kdf or ({1: 1, 2: 64, 3: 1, 4: 1} if kind == 1 else {1: 0})
    s = stretch(secret, salt, kdf[2], kdf[3], kdf[4]) if kind == 1 and raw_kdf is None and kdf.get(1) == 1 else (secret + bytes(32))[:32]
    both = KX(DK("vault v1 slot", s), salt + repo)
    m = {1: repo, 2: kind, 3: raw_kdf if raw_kdf is not None else kdf, 4: salt, 5: both[32:]}
    m.update(change or {})
    five = cbor({k: m[k] for k in m if k <= 5})
    m[6] = seal(both[:32], 1, 4, repo, five, cbor(bundle if bundle is not None else {1: 0, 2: list(roots)}))
    m[7] = len(roots) - 1
    seven = cbor({k: m[k] for k in m if k <= label_keys})
    m[8] = seal(of_epoch(roots, "control", m[7]), 1, 5, repo, seven, cbor(label or {1: "first", 2: [1700000000, 5], 3: "lupine"}))
    m.update(extra_keys or {})
    return b"VAULTKY1" + cbor({k: v for k, v in m.items() if v is not None})


CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def bech32m(hrp, data, const=0x2BC830A3, last=0):
    """BIP 350. `last` is put into the padding bits, which should be zero."""
    bits = int.from_bytes(data, "big") << (-len(data) * 8) % 5
    n = (len(data) * 8 + 4) // 5
    values = [(bits >> 5 * (n - 1 - i)) & 31 for i in range(n)]
    values[-1] |= last

    def polymod(vs):
        chk = 1
        for v in vs:
            top = chk >> 25
            chk = (chk & 0x1FFFFFF) << 5 ^ v
            for i, g in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
                chk ^= g if (top >> i) & 1 else 0
        return chk

    expanded = [ord(c) >> 5 for c in hrp] + [0] + [ord(c) & 31 for c in hrp]
    check = polymod(expanded + values + [0] * 6) ^ const
    return hrp + "1" + "".join(CHARSET[v] for v in values + [(check >> 5 * (5 - i)) & 31 for i in range(6)])


# Chapter 8


def padme(n):
    if n < 2:
        return n
    e = n.bit_length() - 1
    s = e.bit_length()
    m = 1 << (e - s)
    return (n + m - 1) // m * m


def control(roots, repo, kind, record, epoch=0, cipher=1, method=0, key=None, wrapped=b"", message=None, reserved=0, magic=b"VAULTOB1"):
    if message is None:
        body = stored(method, record)
        message = u32(len(body)) + u32(len(record)) + body
        message += bytes(padme(len(message)) - len(message))
    extra = magic + u8(kind) + u8(cipher) + u8(method) + u8(reserved) + u32(epoch) + repo + u16(len(wrapped)) + wrapped
    return extra + seal(key or of_epoch(roots, "control", epoch), cipher if cipher in (1, 2) else 1, kind, repo, extra, message)


# Chapter 10


def gear(roots):
    raw = blake3(b"", key=lasting(roots, "chunker")).digest(length=2048)
    return struct.unpack("<256Q", raw)


CLASSES = {
    1: (262144, 1048576, 4194304, 0x0000D93767537000, 0x0000D90707537000),
    2: (65536, 262144, 1048576, 0x0000D91747537000, 0x0000D90303537000),
}


def cut(roots, cls, data):
    if cls == 3:
        return [min(65536, len(data) - i) for i in range(0, len(data), 65536)]
    if len(data) <= 262144:
        return [len(data)] if data else []
    g = gear(roots)
    lo, avg, hi, mask_s, mask_l = CLASSES[cls]
    lengths, at, full = [], 0, (1 << 64) - 1
    while at < len(data):
        d = memoryview(data)[at : at + hi]
        n = len(data) - at
        length = n
        if n > lo:
            m = min(n, hi)
            c = min(avg, m)
            h, a, length = 0, lo, m
            while a // 2 < m // 2:
                mask = mask_s if a // 2 < c // 2 else mask_l
                h = ((h << 2) + (g[d[a]] << 1)) & full
                if h & (mask << 1) == 0:
                    length = a
                    break
                h = (h + g[d[a + 1]]) & full
                if h & mask == 0:
                    length = a + 1
                    break
                a += 2
        lengths.append(length)
        at += length
    return lengths


# Chapter 11


def block_row(box, plain, chunks, key=0, method=0, cipher=1):
    return u32(box) + u32(plain) + u32(chunks) + u16(key) + u8(method) + u8(cipher)


def shards_of(covered):
    """Length of a shard, shards of data, groups."""
    length = 1024
    while length < 65536 and covered > 128 * length:
        length *= 2
    data = -(-covered // length)
    return length, data, -(-data // 128)


def gf(a, b):
    """The product in GF(2^8) modulo 0x11D."""
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = a << 1 ^ (0x11D if a & 0x80 else 0)
        b >>= 1
    return product


def parity_shards(covered):
    """Parity by long division: the remainder by (x-1)(x-2)(x-4)(x-8), the last byte of the message first."""
    length, data, groups = shards_of(len(covered))
    generator = [1]
    for root in (1, 2, 4, 8):
        generator = [a ^ b for a, b in zip([0] + generator, [gf(c, root) for c in generator] + [0])]
    times = [[gf(c, b) for b in range(256)] for c in generator[:4]]
    padded = covered + bytes(data * length - len(covered))
    out = bytearray(4 * groups * length)
    for group in range(groups):
        members = [padded[i * length : (i + 1) * length] for i in range(group, data, groups)]
        for at in range(length):
            rest = [0, 0, 0, 0]
            for member in reversed(members):
                factor = member[at] ^ rest[3]
                rest = [times[j][factor] ^ (rest[j - 1] if j else 0) for j in range(4)]
            for j in range(4):
                out[(j * groups + group) * length + at] = rest[j]
    return bytes(out)


def shard_table(covered, parity):
    length = shards_of(len(covered))[0]
    pieces = [covered[i : i + length] for i in range(0, len(covered), length)] + [parity[i : i + length] for i in range(0, len(parity), length)]
    rows = b"".join(H(piece)[:16] for piece in pieces)
    return rows + H(rows)


def pack(roots, repo, cls, blocks, session=None, epoch=0, header=None, footer=None, table=None, scheme=0, parity=b"", shards=b"",
         padding=0, cipher=1, rows=None, names=None, keys=None, dek=None, tail=b"", fix_hash=True, sealed_kind=None, table_message=None):
    """blocks: list of (method, cipher, [chunk, ...]); `dek` may be a list, one for each block. `header` and `footer` alter 96 bytes before they are hashed;
    what `header` alone alters is not what the table was sealed with unless `table` says so."""
    session = session or rnd(16)
    dek = list(dek) if isinstance(dek, list) else dek or rnd()
    name_key = lasting(roots, "name-tree" if cls == 2 else "name-data")
    keys = keys if keys is not None else [wrap(roots, repo, epoch, session, cls, dek)]
    body, block_rows, chunk_rows = b"", b"", b""
    for method, ciph, chunks in blocks:
        plain = b"".join(chunks)
        extra = u8(method) + u32(len(plain))
        box = seal(dek.pop(0) if isinstance(dek, list) else dek, ciph, sealed_kind or cls, repo, extra, stored(method, plain))
        body += box
        block_rows += block_row(len(box), len(plain), len(chunks), 0, method, ciph)
        chunk_rows += b"".join(KH(name_key, c) + u32(len(c)) for c in chunks)
    body += rnd(padding) if padding else b""
    message = {1: session, 2: keys, 3: rows(block_rows) if rows else block_rows, 4: names(chunk_rows) if names else chunk_rows}
    message.update(table or {})
    message = cbor(message) if table_message is None else table_message
    offset = 128 + len(body)
    length = len(message) + 40
    if scheme == 1 and not parity:
        size, data, groups = shards_of(offset + length)
        parity, shards = bytes(4 * groups * size), bytes(16 * (data + 4 * groups) + 32)
    total = offset + length + len(parity) + 2 * len(shards) + 128
    fields = (u8(1) + u8(cls) + u8(cipher) + u8(scheme) + u32(epoch) + repo + u64(offset) + u32(length) + u32(0) + u64(offset + length)
              + u64(len(parity)) + u64(offset + length + len(parity)) + u64(len(shards)) + u64(total) + bytes(8))
    head_fields = header(fields) if header else fields
    foot_fields = footer(fields) if footer else fields
    box = seal(of_epoch(roots, "control", epoch), cipher if cipher in (1, 2) else 1, 3, repo, head_fields, message)

    def end(magic, f):
        raw = magic + f
        return raw + (H(raw) if fix_hash else H(raw + b"?"))

    covered = end(b"VAULTPK1", head_fields) + body + box
    if scheme == 1 and not any(parity):
        parity = parity_shards(covered)
        shards = shard_table(covered, parity)
    return covered + parity + shards * 2 + end(b"VAULTPF1", foot_fields) + tail


# Chapter 12


def entry(name, kind, **more):
    e = {1: name, 2: kind, 3: 0o644, 4: 1000, 5: 1000, 8: [1700000000, 123456789], 9: [1700000001, 0], 10: 77}
    e.update({int(k[1:]): v for k, v in more.items()})
    return {k: v for k, v in e.items() if v is not None}


def node(kind, items):
    return cbor({1: kind, 2: items})


class Trees:
    """Tree chunks and their names."""

    def __init__(self, roots):
        self.key, self.chunks = lasting(roots, "name-tree"), []

    def add(self, plain):
        self.chunks.append(plain)
        return KH(self.key, plain)

    def bytes(self):
        return b"".join(u32(len(c)) + c for c in self.chunks)


# Chapter 13


def confirmation(roots, epoch, repo, name):
    k = of_epoch(roots, "confirm", epoch)
    return b"VAULTCF1" + u32(epoch) + repo + name + KH(k, repo + name) + KH(k, b"again" + name)


def snapshot(root, **more):
    s = {1: [1700000000, 1], 2: [1700000060, 2], 3: "lupine", 4: "me", 6: [b"/home/me"], 8: root, 10: "lupine", 11: 1, 15: 0, 17: "vault 0.1.0"}
    s.update({int(k[1:]): v for k, v in more.items()})
    return {k: v for k, v in s.items() if v is not None}
