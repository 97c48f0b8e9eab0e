//! Control objects, opened by both readers at each of their places.

use crate::heap;
use crate::judge::agree;
use crate::records;
use crate::world;
use vault_engine::format::control;
use vault_engine::format::seal::Sealed;
use vault_engine::format::sweep::SweepRecord;

/// The kinds of control objects. The last three lie in one place.
pub const KINDS: [Sealed; 7] = [Sealed::Config, Sealed::Snapshot, Sealed::Forget, Sealed::Index, Sealed::Condemn, Sealed::Sweep, Sealed::SweepDone];

/// Opens `bytes` as what belongs at one place; where both open it, reads the record.
pub fn compare(place: Sealed, bytes: &[u8]) {
    // The record may be as long as its plain length says, which the object states under its seal.
    let sweep = place as u8 >= Sealed::Condemn as u8;
    let open = || if sweep { control::open_sweep(world::ring(), bytes) } else { control::open(world::ring(), place, bytes) };
    let engine = heap::bounded((64 << 20) + heap::for_record(bytes.len()), open);
    let kinds = if sweep { vault_rescue::control::SWEEPS.to_vec() } else { vec![place as u8] };
    let second = vault_rescue::control::open(bytes, &kinds, world::roots(), &world::ID);
    if !agree(bytes, &engine, &second) {
        return;
    }
    let record = engine.expect("both accept");
    assert_eq!(Ok(&record), second.as_ref());
    match place {
        Sealed::Config => records::config(&record),
        Sealed::Snapshot => records::snapshot(&record),
        Sealed::Forget => records::forget(&record),
        Sealed::Index => records::index(&record),
        _ => {
            let kind = control::sweep_kind(bytes);
            if let Ok(read) = records::read(&record, |bytes| SweepRecord::decode(kind, bytes)) {
                assert_eq!(SweepRecord::decode(kind, &read.encode()), Ok(read));
            }
        }
    }
}
