//! What the fuzz targets share: a heap that is measured, one repository's keys, and the judge between the two readers.

pub mod controls;
pub mod feed;
pub mod heap;
pub mod judge;
pub mod packs;
pub mod records;
pub mod slots;
pub mod world;
