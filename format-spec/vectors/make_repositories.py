# The vectors of rules across objects: which slot, which configuration, which snapshot; called by make.py.
from fmt import *


def chapter_repositories(vec, flip, REPO, OTHER, ROOTS, COMMON):
    secret = H(b"the key file")

    def named(folder, data):
        return (folder + "/" + H(data).hex(), data)

    def key(repo=REPO, roots=ROOTS, secret=secret):
        return named("keys", slot(repo, roots, secret, kind=2))

    def config(sequence, epoch=1, change={}, repo=REPO):
        record = {1: repo, 2: 1, 3: [1, 0], 4: [], 5: [], 6: 1, 7: 1, 8: 0, 9: 1 << 24, 10: sequence}
        return named("config", control(ROOTS, REPO, 16, cbor({**record, **change}), epoch=epoch))

    def shot(begun, confirmed=1, epoch=1, roots=ROOTS, **more):
        """A snapshot with its confirmation of an epoch, or none."""
        session, dek = rnd(16), rnd()
        record = cbor(snapshot(H(b"root"), k1=[begun, 0], **more))
        data = control(roots, REPO, 17, record, epoch=epoch, key=dek, wrapped=wrap(roots, REPO, epoch, session, 2, dek))
        name = H(data)
        return name, [named("snapshots", data)] + ([named("confirmed", confirmation(ROOTS, confirmed, REPO, name))] if confirmed is not None else [])

    def forget(name, epoch=1):
        return named("forget", control(ROOTS, REPO, 18, cbor({1: name, 2: "lupine", 3: 1, 4: [3, 3]}), epoch=epoch))

    def v(name, about, expect, objects, snapshots=(), latest=None, epochs=2, config=1, secret=secret):
        out = {}
        if expect == "ok":
            out = dict(out_repository=REPO, out_epochs=epochs, out_config=config, out_snapshots=[f"{n.hex()}:{state}" for n, state in snapshots], out_latest=latest.hex() if latest else "-")
        body = b"".join(u16(len(path)) + path.encode() + u32(len(data)) + data for path, data in objects)
        vec("repositories", name, about, "repository", expect, body, secret=secret, **out)

    base = [key(), config(1)]
    v("plain", "a slot and a configuration", "ok", base)
    v("second-copy", "a slot in keys2 only", "ok", [named("keys2", key()[1]), config(1)])
    v("no-slot", "no slot at all", "missing", [config(1)])
    v("slot-of-other-id", "a slot that names another repository, of another secret, is ignored", "ok", base + [key(OTHER, secret=rnd())])
    v("secret-opens-two-ids", "the secret opens slots of two repositories", "bad-structure", base + [key(OTHER)])
    v("slot-with-most-keys", "the secret opens a slot from before a rotation and one from after it", "ok", [key(roots=ROOTS[:1]), *base])
    v("slot-with-most-keys-2", "the same, with other names", "ok", [key(roots=ROOTS[:1]), key(roots=ROOTS[:1]), key(), *base])
    many = sorted((key(secret=H(u32(i))) + (H(u32(i)),) for i in range(65)), key=lambda k: k[0])
    v("slots-64th", "65 slots, the secret opens the 64th in order", "ok", [k[:2] for k in many] + [config(1)], secret=many[63][2])
    v("slots-65th", "65 slots, the secret opens the last in order", "wrong-key", [k[:2] for k in many] + [config(1)], secret=many[64][2])
    v("config-highest-sequence", "the highest sequence counts", "ok", [key(), config(2), config(7), config(3)], config=7)
    v("config-of-newer-epoch", "a newer epoch counts before a higher sequence", "ok", [key(), config(9, epoch=0), config(2)], config=2)
    v("config-damaged", "one that does not open does not count", "ok", base + [named("config", flip(config(5)[1], -1))])
    v("config-none", "reading needs none", "ok", [key()], config="-")
    v("config-older-forbids", "a feature that readers must know, in a configuration that does not count", "unsupported", [key(), config(1, change={4: [7]}), config(2)])
    v("config-critical", "an unknown critical key, in a configuration that does not count", "unknown-critical", [key(), config(1, epoch=0, change={200: 0}), config(2)])
    v("config-of-other-id", "a configuration that opens and names another repository", "bad-structure", [key(), config(1), config(2, repo=OTHER)])
    one, first = shot(1000)
    two, second = shot(2000, k11=2, k12=one)
    v("latest", "the greatest time begun", "ok", base + second + first, [(one, "confirmed"), (two, "confirmed")], two)
    same, equal = shot(2000, k11=3, k12=two)
    v("latest-sequence", "of equal times the greatest sequence", "ok", base + second + equal + first, [(one, "confirmed"), (two, "confirmed"), (same, "confirmed")], same)
    bare, unconfirmed = shot(3000, None)
    v("latest-unconfirmed", "a confirmed one before a newer one that is not", "ok", base + first + unconfirmed, [(one, "confirmed"), (bare, "unconfirmed")], one)
    v("latest-only-unconfirmed", "an unconfirmed one where there is no other", "ok", base + unconfirmed, [(bare, "unconfirmed")], bare)
    part, partial = shot(3000, k15=2)
    v("latest-partial", "a complete one before a newer partial one", "ok", base + first + partial, [(one, "confirmed"), (part, "confirmed")], one)
    v("forgotten", "a forget record and its snapshot", "ok", base + first + second + [forget(two)], [(one, "confirmed"), (two, "forgotten")], one)
    v("forgotten-before-unconfirmed", "never a forgotten one: rather an unconfirmed one", "ok", base + first + unconfirmed + [forget(one)], [(one, "forgotten"), (bare, "unconfirmed")], bare)
    v("all-forgotten", "no latest at all", "ok", base + first + [forget(one)], [(one, "forgotten")], None)
    v("forget-damaged", "a forget record that does not open forgets nothing", "ok", base + first + [named("forget", flip(forget(one)[1], 60))], [(one, "confirmed")], one)
    old, older = shot(4000, 0)
    v("confirmation-of-older-epoch", "a confirmation of an older epoch than its snapshot's does not count", "ok", base + first + older, [(one, "confirmed"), (old, "unconfirmed")], one)
    new, newer = shot(4000, 1, epoch=0)
    v("confirmation-of-newer-epoch", "one of a newer epoch does", "ok", base + first + newer, [(one, "confirmed"), (new, "confirmed")], new)
    beyond, strange = shot(5000, None, epoch=2, roots=ROOTS + [rnd()])
    v("snapshot-of-unknown-epoch", "a snapshot of an epoch without a root key is not listed", "ok", base + first + strange, [(one, "confirmed")], one)
    v("snapshot-under-other-name", "a snapshot under another name is refused", "ok", base + first + [("snapshots/" + H(b"x").hex(), second[0][1])], [(one, "confirmed")], one)
    v("forget-of-older-epoch", "a forget record of an older epoch than its snapshot's does not count", "ok", base + first + [forget(one, epoch=0)], [(one, "confirmed")], one)
    v("forget-of-newer-epoch", "one of a newer epoch does", "ok", base + first + newer + [forget(new)], [(one, "confirmed"), (new, "forgotten")], one)
    v("names-that-are-none", "what has no name of an object is no part of the repository", "ok", base + first + [("snapshots/" + two.hex() + ".tmp", second[0][1]), ("snapshots/" + two.hex().upper(), second[0][1]), ("more/" + two.hex(), b"")], [(one, "confirmed")], one)
