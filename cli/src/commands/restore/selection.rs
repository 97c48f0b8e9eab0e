//! Which entries of a snapshot are restored: `--include` and `--exclude`.

use super::args::Args;
use crate::complaint::Complaint;
use crate::patterns::PatternArgs;
use crate::world::World;
use vault_engine::ops::restore::{Select, Wanted};
use vault_engine::sources::files::exclude::Excludes;

/// Patterns of what to restore and what not.
pub struct Selection {
    /// `None`: everything.
    include: Option<Excludes>,
    exclude: Excludes,
}

/// A selection for what lies below one folder of the snapshot; its patterns count from there.
pub struct Below<'a> {
    selection: &'a Selection,
    folder: &'a [u8],
}

impl Selection {
    /// What `args` ask for.
    pub fn of(args: &Args, world: &World) -> Result<Self, Complaint> {
        let (mut include, mut exclude) = (Excludes::default(), Excludes::default());
        PatternArgs { plain: &args.include, ignoring_case: &args.iinclude, files: &args.include_file, files_ignoring_case: &args.iinclude_file }
            .add_to(&mut include, world)?;
        PatternArgs { plain: &args.exclude, ignoring_case: &args.iexclude, files: &args.exclude_file, files_ignoring_case: &args.iexclude_file }
            .add_to(&mut exclude, world)?;
        let includes = !(args.include.is_empty() && args.iinclude.is_empty() && args.include_file.is_empty() && args.iinclude_file.is_empty());
        Ok(Self { include: includes.then_some(include), exclude })
    }

    /// The selection below `folder`.
    pub fn below<'a>(&'a self, folder: &'a [u8]) -> Below<'a> {
        Below { selection: self, folder: folder.strip_suffix(b"/").unwrap_or(folder) }
    }

    fn wants(&self, path: &[u8], is_dir: bool) -> Wanted {
        if self.exclude.matches(path) {
            return Wanted::No;
        }
        match &self.include {
            None => Wanted::Yes,
            Some(include) if include.matches(path) => Wanted::Yes,
            Some(_) if is_dir => Wanted::Descend,
            Some(_) => Wanted::No,
        }
    }
}

impl Select for Below<'_> {
    fn wants(&self, path: &[u8], is_dir: bool) -> Wanted {
        // Where one file was named, it is the folder: then its name is what the patterns see.
        let inner = match path.strip_prefix(self.folder) {
            Some([]) | None => path.rsplitn(2, |byte| *byte == b'/').next().unwrap_or(path),
            Some(inner) => inner,
        };
        self.selection.wants(inner, is_dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(include: &[&str], exclude: &[&str]) -> Selection {
        let patterns = |list: &[&str]| {
            let mut all = Excludes::default();
            for pattern in list {
                all.add(pattern.as_bytes(), false).expect("a pattern");
            }
            all
        };
        Selection { include: (!include.is_empty()).then(|| patterns(include)), exclude: patterns(exclude) }
    }

    #[test]
    fn what_is_excluded_is_not_restored_even_if_included() {
        let both = selection(&["*.rs"], &["target"]);
        let at_root = both.below(b"/");
        assert_eq!(at_root.wants(b"/src/a.rs", false), Wanted::Yes);
        assert_eq!(at_root.wants(b"/src", true), Wanted::Descend);
        assert_eq!(at_root.wants(b"/src/a.txt", false), Wanted::No);
        assert_eq!(at_root.wants(b"/target", true), Wanted::No);
        assert_eq!(selection(&[], &[]).below(b"/").wants(b"/x", false), Wanted::Yes);
    }

    #[test]
    fn patterns_count_from_the_named_folder() {
        let anchored = selection(&["/docs"], &[]);
        let below = anchored.below(b"/home/me");
        assert_eq!(below.wants(b"/home/me/docs", true), Wanted::Yes);
        assert_eq!(below.wants(b"/home/me/docs/x", false), Wanted::Yes);
        assert_eq!(below.wants(b"/home/me/other", false), Wanted::No);
        let everything = selection(&[], &[]);
        assert_eq!(everything.below(b"/home/me/file").wants(b"/home/me/file", false), Wanted::Yes);
    }
}
