# X-Wing (draft-connolly-cfrg-xwing-kem-06) out of ML-KEM-768 (FIPS 203) and X25519 (RFC 7748), in plain Python, for the vectors alone:
# slow, and it takes as long as its secrets want. Names and numbers of algorithms are those of FIPS 203. `check` compares it with the draft's own test vectors.
import hashlib

Q, K, DU, DV = 3329, 3, 10, 4


def G(x):
    d = hashlib.sha3_512(x).digest()
    return d[:32], d[32:]


def prf(s, b):
    return hashlib.shake_256(s + bytes([b])).digest(128)


def bits(data):
    return [byte >> i & 1 for byte in data for i in range(8)]


def encode(d, values):
    """Algorithm 5."""
    number = sum(value << d * i for i, value in enumerate(values))
    return number.to_bytes(32 * d, "little")


def decode(d, data):
    """Algorithm 6; with d = 12 modulo Q."""
    number = int.from_bytes(data, "little")
    return [(number >> d * i & (1 << d) - 1) % (Q if d == 12 else 1 << d) for i in range(256)]


def compress(d, values):
    return [((value << d) + Q // 2) // Q & (1 << d) - 1 for value in values]


def decompress(d, values):
    return [(value * Q + (1 << d - 1)) >> d for value in values]


def sample_ntt(seed):
    """Algorithm 7. 2,000 bytes are enough but for a chance below 2^-100."""
    stream, values = hashlib.shake_128(seed).digest(2000), []
    for i in range(0, len(stream) - 2, 3):
        a, b, c = stream[i : i + 3]
        values += [x for x in (a | (b & 15) << 8, b >> 4 | c << 4) if x < Q]
    assert len(values) >= 256
    return values[:256]


def sample_cbd(data):
    """Algorithm 8 with eta = 2."""
    b = bits(data)
    return [(b[i] + b[i + 1] - b[i + 2] - b[i + 3]) % Q for i in range(0, 1024, 4)]


def reverse7(i):
    return int(f"{i:07b}"[::-1], 2)


ZETA = [pow(17, reverse7(i), Q) for i in range(128)]
GAMMA = [pow(17, 2 * reverse7(i) + 1, Q) for i in range(128)]


def ntt(f):
    """Algorithm 9."""
    f, i, length = list(f), 1, 128
    while length >= 2:
        for start in range(0, 256, 2 * length):
            for j in range(start, start + length):
                t = ZETA[i] * f[j + length]
                f[j], f[j + length] = (f[j] + t) % Q, (f[j] - t) % Q
            i += 1
        length //= 2
    return f


def inverse_ntt(f):
    """Algorithm 10."""
    f, i, length = list(f), 127, 2
    while length <= 128:
        for start in range(0, 256, 2 * length):
            for j in range(start, start + length):
                t = f[j]
                f[j], f[j + length] = (t + f[j + length]) % Q, ZETA[i] * (f[j + length] - t) % Q
            i -= 1
        length *= 2
    return [x * 3303 % Q for x in f]


def times(f, g):
    """Algorithm 11."""
    h = []
    for i in range(128):
        (a, b), (c, d) = f[2 * i : 2 * i + 2], g[2 * i : 2 * i + 2]
        h += [(a * c + b * d * GAMMA[i]) % Q, (a * d + b * c) % Q]
    return h


def plus(*polynomials):
    return [sum(values) % Q for values in zip(*polynomials)]


def dot(f, g):
    return plus(*(times(a, b) for a, b in zip(f, g)))


def matrix(rho):
    return [[sample_ntt(rho + bytes([j, i])) for j in range(K)] for i in range(K)]


def ml_kem_keys(d, z):
    """Algorithm 16: the public key and what decapsulation needs."""
    rho, sigma = G(d + bytes([K]))
    a = matrix(rho)
    s = [ntt(sample_cbd(prf(sigma, i))) for i in range(K)]
    e = [ntt(sample_cbd(prf(sigma, K + i))) for i in range(K)]
    t = [plus(dot(a[i], s), e[i]) for i in range(K)]
    ek = b"".join(encode(12, x) for x in t) + rho
    return ek, (s, ek, z)


def encrypt(ek, message, r):
    """Algorithm 14."""
    t = [decode(12, ek[384 * i : 384 * i + 384]) for i in range(K)]
    a = matrix(ek[384 * K :])
    y = [ntt(sample_cbd(prf(r, i))) for i in range(K)]
    e1 = [sample_cbd(prf(r, K + i)) for i in range(K)]
    e2 = sample_cbd(prf(r, 2 * K))
    u = [plus(inverse_ntt(dot([a[j][i] for j in range(K)], y)), e1[i]) for i in range(K)]
    v = plus(inverse_ntt(dot(t, y)), e2, decompress(1, decode(1, message)))
    return b"".join(encode(DU, compress(DU, x)) for x in u) + encode(DV, compress(DV, v))


def ml_kem_encapsulate(ek, m):
    """Algorithm 17."""
    key, r = G(m + hashlib.sha3_256(ek).digest())
    return key, encrypt(ek, m, r)


def ml_kem_decapsulate(dk, c):
    """Algorithm 18: a ciphertext that nobody made gives a key that nobody knows."""
    s, ek, z = dk
    u = [decompress(DU, decode(DU, c[320 * i : 320 * i + 320])) for i in range(K)]
    v = decompress(DV, decode(DV, c[320 * K :]))
    w = [(x - y) % Q for x, y in zip(v, inverse_ntt(dot(s, [ntt(x) for x in u])))]
    m = encode(1, compress(1, w))
    key, r = G(m + hashlib.sha3_256(ek).digest())
    return key if encrypt(ek, m, r) == c else hashlib.shake_256(z + c).digest(32)


def x25519(k, u):
    """RFC 7748, chapter 5. A result of zeros is a result like any other."""
    p = 2**255 - 19
    scalar = int.from_bytes(k, "little") & ~(7 | 1 << 255) | 1 << 254
    x1 = int.from_bytes(u, "little") & (1 << 255) - 1
    x2, z2, x3, z3 = 1, 0, x1, 1
    for t in reversed(range(255)):
        bit = scalar >> t & 1
        if bit:
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a, c * b, a * a, b * b
        e = aa - bb
        x3, z3, x2, z2 = (da + cb) ** 2 % p, x1 * (da - cb) ** 2 % p, aa * bb % p, e * (aa + 121665 * e) % p
        if bit:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return (x2 * pow(z2, p - 2, p) % p).to_bytes(32, "little")


BASE = bytes([9]) + bytes(31)


def expand(seed):
    x = hashlib.shake_256(seed).digest(96)
    ek, dk = ml_kem_keys(x[:32], x[32:64])
    return ek + x25519(x[64:], BASE), dk, x[64:]


def public_key(seed):
    return expand(seed)[0]


def combine(ss_m, ss_x, ct_x, pk_x):
    return hashlib.sha3_256(ss_m + ss_x + ct_x + pk_x + b"\\.//^\\").digest()


def encapsulate(pk, eseed, point=None):
    """The shared key and the ciphertext. `point` stands in for what X25519 gives: ct_X and ss_X of a writer who does not follow the draft."""
    ss_m, ct_m = ml_kem_encapsulate(pk[:1184], eseed[:32])
    ct_x, ss_x = point or (x25519(eseed[32:], BASE), x25519(eseed[32:], pk[1184:]))
    return combine(ss_m, ss_x, ct_x, pk[1184:]), ct_m + ct_x


def decapsulate(seed, ct):
    pk, dk, sk_x = expand(seed)
    return combine(ml_kem_decapsulate(dk, ct[:1088]), x25519(sk_x, ct[1088:]), ct[1088:], pk[1184:])


# The test vectors of the draft: seed, eseed, SHA3-256 of the public key and of the ciphertext, shared key.
DRAFT = """
7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26 3cb1eea988004b93103cfb0aeefd2a686e01fa4a58e8a3639ca8a1e3f9ae57e235b8cc873c23dc62b8d260169afa2f75ab916a58d974918835d25e6a435085b2
5121745904643ad9dfacca7869292c19a8a69533b53e60666b7db910b4ad6367 c0abd149f83f45324ac3a7ddc7606c71f257e5ea86113522834a0ee1bcb34e3e d2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384
badfd6dfaac359a5efbb7bcc4b59d538df9a04302e10c8bc1cbf1a0b3a5120ea 17cda7cfad765f5623474d368ccca8af0007cd9f5e4c849f167a580b14aabdefaee7eef47cb0fca9767be1fda69419dfb927e9df07348b196691abaeb580b32d
799b6016e5daa56ffa1b5e79f7caf73413ceecd6df428642404cac41ddee4853 7680b7ba47ae09bac4b43001edcef9d98e50df20026e70ba6a424447e1f2b961 f2e86241c64d60f6649fbc6c5b7d17180b780a3f34355e64a85749949c45f150
ef58538b8d23f87732ea63b02b4fa0f4873360e2841928cd60dd4cee8cc0d4c9 22a96188d032675c8ac850933c7aff1533b94c834adbb69c6115bad4692d8619f90b0cdf8a7b9c264029ac185b70b83f2801f2f4b3f70c593ea3aeeb613a7f1b
1ef0c99a06026450564957a5402a788feffbbefdcce55d25de254d0a49eb095a 3088688d63201d5d844170b79f148b2791c15f346ff6f8bd559807fbd442f91f 953f7f4e8c5b5049bdc771d1dffada0dd961477d1a2ae0988baa7ea6898d893f
""".split()


def check():
    for at in range(0, len(DRAFT), 5):
        seed, eseed, pk, ct, ss = (bytes.fromhex(word) for word in DRAFT[at : at + 5])
        public = public_key(seed)
        shared, sent = encapsulate(public, eseed)
        digest = lambda x: hashlib.sha3_256(x).digest()
        assert (digest(public), digest(sent), shared, decapsulate(seed, sent)) == (pk, ct, ss, ss), "X-Wing is not the draft's"
