//! How a file's contents are cut: by its name, its size, and what it begins with.

use crate::format::chunker::ChunkClass;

/// What is read of a file to see whether it is a disk image.
pub(super) const HEAD_BYTES: usize = 68 * 1024;
/// Smaller files are no disk images worth cutting as such.
const IMAGE_BYTES_MIN: u64 = 16 << 20;

/// How contents are to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cutting {
    /// Known from name and size.
    As(ChunkClass),
    /// Like a disk image if it begins like one, otherwise like this.
    Unless(ChunkClass),
}

/// By name and size. A stream's size is often not known beforehand, which shows as 0.
pub(super) fn cutting(name: &[u8], size: u64, is_stream: bool) -> Cutting {
    const IMAGES: [&[u8]; 8] = [b"raw", b"img", b"qcow2", b"vmdk", b"vdi", b"vhd", b"vhdx", b"iso"];
    const DUMPS: [&[u8]; 5] = [b"sql", b"dump", b"pgdump", b"rdb", b"mbox"];
    let may_be_image = size >= IMAGE_BYTES_MIN || (is_stream && size == 0);
    let extension = name.rsplit(|byte| *byte == b'.').next().unwrap_or_default().to_ascii_lowercase();
    if may_be_image && IMAGES.contains(&&extension[..]) {
        Cutting::As(ChunkClass::Images)
    } else if DUMPS.contains(&&extension[..]) {
        Cutting::As(ChunkClass::Dumps)
    } else {
        let class = if is_stream { ChunkClass::Dumps } else { ChunkClass::Files };
        if may_be_image { Cutting::Unless(class) } else { Cutting::As(class) }
    }
}

/// Whether a file that begins with `head` is a disk or a file system: these are changed in place, in clusters, and never shifted.
pub(super) fn is_image(head: &[u8]) -> bool {
    // Offsets and bytes as the formats' own documents give them.
    const SIGNS: [(usize, &[u8]); 9] = [
        (510, b"\x55\xaa"),      // a partition table, or a boot sector
        (512, b"EFI PART"),      // a partition table of GPT
        (1080, b"\x53\xef"),     // ext2, ext3, ext4
        (0, b"XFSB"),            // XFS
        (0x1_0040, b"_BHRfS_M"), // btrfs
        (512, b"LABELONE"),      // a physical volume of LVM
        (0, b"QFI\xfb"),         // qcow2
        (0, b"LUKS\xba\xbe"),    // LUKS
        (4086, b"SWAPSPACE2"),   // swap
    ];
    SIGNS.iter().any(|(at, sign)| head.get(*at..at + sign.len()) == Some(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sizes_decide_first() {
        use ChunkClass::{Dumps, Files, Images};
        for (name, size, is_stream, wanted) in [
            (&b"disk.raw"[..], 0, true, Cutting::As(Images)),
            (b"disk.RAW", 16 << 20, false, Cutting::As(Images)),
            (b"small.img", 1 << 20, false, Cutting::As(Files)),
            (b"db.sql", 0, true, Cutting::As(Dumps)),
            (b"db.sql", 1 << 30, false, Cutting::As(Dumps)),
            (b"stdin", 0, true, Cutting::Unless(Dumps)),
            (b"stdin", 100, true, Cutting::As(Dumps)),
            (b"vm-100-disk-0", 1 << 30, false, Cutting::Unless(Files)),
            (b"notes.txt", 100, false, Cutting::As(Files)),
            (b"raw", 100, false, Cutting::As(Files)),
        ] {
            assert_eq!(cutting(name, size, is_stream), wanted, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn disks_and_file_systems_are_known_by_their_signs() {
        let mut head = vec![0; HEAD_BYTES];
        assert!(!is_image(&head) && !is_image(&head[..100]) && !is_image(b""));
        head[1080..1082].copy_from_slice(b"\x53\xef");
        assert!(is_image(&head));
        assert!(is_image(&[&[0u8; 510][..], b"\x55\xaa"].concat()));
        assert!(!is_image(b"-- PostgreSQL database dump"));
    }
}
