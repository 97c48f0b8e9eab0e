# Chapters 5 and 7 for roles: keys wrapped to a public key, and bundles; what make_roles.py builds vectors with.
from functools import lru_cache

import xwing
from fmt import *

WRAP = {1: "wrap-data", 2: "wrap-tree"}
_public_of = lru_cache(None)(xwing.public_key)


def recipient(roots, epoch, cls):
    return DK("vault v1 recipient", of_epoch(roots, WRAP[cls], epoch))


def public(roots, epoch, cls):
    return _public_of(recipient(roots, epoch, cls))


def encapsulation_bytes(roots, epoch, random, host, session, cls):
    return KX(DK("vault v1 encapsulate", of_epoch(roots, "hedge", epoch)), random + u32(len(host.encode())) + host.encode() + session + u8(cls))


def wrap_public(roots, repo, epoch, session, cls, dek, eseed=None, random=None, reserved=0, to=None, point=None, bound=None, extra=None):
    """`to`: another (epoch, class) whose public key is taken; `bound` and `extra` alter what keys and box are bound to."""
    shared, sent = xwing.encapsulate(public(roots, *(to or (epoch, cls))), eseed or rnd(64), point)
    both = KX(DK("vault v1 wrap to public", shared), u8(cls) + session + (sent if bound is None else bound))
    before = u8(1) + u8(cls) + u16(reserved) + u32(epoch) + session + both[32:] + sent
    return before + seal(both[:32], 1, 6, repo, before if extra is None else before[:extra], dek, random)


OWNER, BACKUP, PRUNE = 0, 1, 2
KEYS_OF = {OWNER: {2}, BACKUP: {3, 4, 5, 6, 7, 8, 9, 10, 11, 13}, PRUNE: {3, 4, 5, 6, 7, 12, 13}}


def everything(roots):
    """Keys 2 to 13 of chapter 7's table."""
    last = len(roots) - 1
    each = lambda what: [of_epoch(roots, what, epoch) for epoch in range(len(roots))]
    return {2: list(roots), 3: each("control"), 4: each("confirm"), 5: of_epoch(roots, "hedge", last), 6: lasting(roots, "name-tree"), 7: lasting(roots, "split"),
            8: lasting(roots, "name-data"), 9: lasting(roots, "chunker"), 10: public(roots, last, 1), 11: public(roots, last, 2), 12: each("wrap-tree"), 13: H(b"the slot's own")}


def bundle(role, roots, change={}):
    all_keys = everything(roots)
    keys = {1: role, **{key: all_keys[key] for key in KEYS_OF[role]}, **change}
    return {key: value for key, value in keys.items() if value is not None}


def label(role, **more):
    """A label; an owner's does not say so."""
    m = {1: "first", 2: [1700000000, 5], 3: "lupine", 4: role or None, **{int(k[1:]): v for k, v in more.items()}}
    return {k: v for k, v in m.items() if v is not None}


NAMES = {2: "roots", 3: "control", 4: "confirm", 5: "hedge", 6: "name-tree", 7: "split", 8: "name-data", 9: "chunker", 10: "public-data", 11: "public-tree", 12: "wrap-tree", 13: "own"}


def outputs(role, roots, change={}):
    """What the operation `slot` gives of a bundle."""
    out = {"out_role": role, "out_label_role": role}
    for key, value in {**everything(roots), **change}.items():
        if key not in KEYS_OF[role]:
            continue
        value = b"".join(value) if isinstance(value, list) else H(value) if key in (10, 11) else value
        out["out_" + NAMES[key].replace("-", "_")] = value
    return out
