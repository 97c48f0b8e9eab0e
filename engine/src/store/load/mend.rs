//! Tables of packs as they lie in the store, and what is read of packs that must be mended first.

use super::{Loader, PackTable, lock};
use crate::format::FormatError;
use crate::format::index::IndexedPack;
use crate::format::layout::ObjectName;
use crate::format::pack::{self, END_LENGTH, End, Geometry, PackKind, Table};
use crate::format::parity::ParityScheme;
use crate::store::error::{RepositoryError, Result};
use crate::store::healed::{self, Remedy, Sound};
use crate::store::repository::Repository;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes from the end of a pack that are read at once: footer and table of most packs.
const SUFFIX: u64 = 64 * 1024;

/// Footer and table box, read from the end of the pack, and the table; by the pack's header if the pack does not open by what the end says.
fn read_table(repository: &Repository, name: &ObjectName, pack: &IndexedPack) -> Result<(Geometry, Vec<u8>, Table)> {
    let length = pack.length;
    if length < pack::PACK_LENGTH_MIN {
        return Err(RepositoryError::format(name, FormatError::Truncated));
    }
    let store = &*repository.store;
    // Where there is parity, it lies between the table and the end.
    let expected = if repository.config.parity == ParityScheme::None || length <= SUFFIX { SUFFIX } else { END_LENGTH as u64 };
    let start = length.saturating_sub(expected);
    let suffix = store.get_range(name, start..length)?;
    let open = |end, bytes: &[u8]| -> Result<(Geometry, Vec<u8>, Table)> {
        let geometry = Geometry::decode_end(bytes, end, pack.kind, length).map_err(RepositoryError::of(name))?;
        let boxed = match geometry.table_offset.checked_sub(start) {
            Some(offset) => suffix[offset as usize..(geometry.table_end() - start) as usize].to_vec(),
            None => store.get_range(name, geometry.table_offset..geometry.table_end())?,
        };
        let table = pack::open_table(&repository.keys, &geometry, &boxed).map_err(RepositoryError::of(name))?;
        Ok((geometry, boxed, table))
    };
    match open(End::Footer, &suffix[suffix.len() - END_LENGTH..]) {
        // Unknown numbers and epochs too: anybody can put the hash of an end right, and its numbers are proven only by the table they are sealed with.
        Err(error @ RepositoryError::Format { .. }) => {
            let header = store.get_range(name, 0..END_LENGTH as u64)?;
            open(End::Header, &header).map_err(|_| error)
        }
        other => other,
    }
}

/// The same from a pack that was mended.
fn table_of(repository: &Repository, name: &ObjectName, kind: PackKind, bytes: &[u8]) -> Result<(Geometry, Vec<u8>, Table)> {
    let end = bytes.last_chunk::<END_LENGTH>().ok_or_else(|| RepositoryError::format(name, FormatError::Truncated))?;
    let geometry = Geometry::decode_end(end, End::Footer, kind, bytes.len() as u64).map_err(RepositoryError::of(name))?;
    let boxed = bytes[geometry.table_offset as usize..geometry.table_end() as usize].to_vec();
    let table = pack::open_table(&repository.keys, &geometry, &boxed).map_err(RepositoryError::of(name))?;
    Ok((geometry, boxed, table))
}

impl Loader {
    /// All bytes of a pack that turned out damaged or gone, from its healed copy or by its parity; `None` if neither helps.
    pub(crate) fn sound_pack(&self, repository: &Repository, name: &ObjectName) -> Option<Arc<Vec<u8>>> {
        // Held meanwhile: several threads that need one pack shall not all mend it.
        let mut sound = lock(&self.sound);
        if let Some(known) = sound.get(&name.id) {
            return known;
        }
        let found = match healed::sound_pack(&*repository.store, name).ok()? {
            Sound::AsItIs(bytes) => Some(Arc::new(bytes)),
            Sound::Again(bytes, remedy) => {
                lock(&self.mended).insert(*name, remedy);
                Some(Arc::new(bytes))
            }
            Sound::Beyond => None,
        };
        sound.put(name.id, found.clone(), found.as_ref().map_or(0, |bytes| bytes.len()));
        found
    }

    /// By what a pack could be read that is damaged or gone.
    pub(crate) fn remedy(&self, name: &ObjectName) -> Option<Remedy> {
        lock(&self.mended).get(name).copied()
    }

    /// All such packs that were met.
    pub(crate) fn mended(&self) -> BTreeMap<ObjectName, Remedy> {
        lock(&self.mended).clone()
    }

    /// The table of a pack as it lies in the store, or of the pack mended if that is damaged.
    pub(super) fn sound_table(&self, repository: &Repository, name: &ObjectName, pack: &IndexedPack) -> Result<(Geometry, Vec<u8>, Table)> {
        match read_table(repository, name, pack) {
            Err(error) if error.is_damage() => match self.sound_pack(repository, name) {
                Some(bytes) => table_of(repository, name, pack.kind, &bytes),
                None => Err(error),
            },
            other => other,
        }
    }

    /// Opens a block that is damaged where it lies, of the pack mended. `out` then holds its plaintext and nothing else; `None`: it cannot be had.
    pub(crate) fn mended_block(&self, repository: &Repository, pack: &PackTable, block: usize, out: &mut Vec<u8>) -> Option<()> {
        let row = &pack.table.blocks[block];
        let bytes = self.sound_pack(repository, &pack.name())?;
        let start = row.offset as usize;
        let mut boxed = bytes.get(start..start + row.box_length as usize)?.to_vec();
        out.clear();
        self.open_block(repository, pack, block, &mut boxed, out).ok()
    }
}
