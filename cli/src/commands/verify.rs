//! `vault verify`: is everything there, and is it what was stored?

mod against;
mod args;
mod report;
mod restored;
mod words;

pub use args::Args;

use crate::complaint::{Complaint, settle};
use crate::exit::Exit;
use crate::output::json::{self, Event};
use crate::output::progress::{Activity, Screen};
use crate::session::Session;
use args::Level;
use std::time::Duration;
use vault_engine::format::id::ObjectId;
use vault_engine::ops::monitor::{Monitor, Progress};
use vault_engine::ops::verify::{PackChoice, VerifyOptions, verify};
use vault_engine::store::error::RepositoryError;

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    let level = args.level()?;
    match level {
        Level::Restore => return restored::run(args, session),
        Level::Against(path) => return against::run(args, path, session),
        _ => {}
    }
    let repository = session.open()?;
    let snapshots = if args.ids.is_empty() && args.filter.is_empty() {
        None
    } else {
        let (wanted, _) = args.filter.snapshots(&repository, &args.ids, session)?;
        Some(wanted.iter().map(|stored| stored.id).collect())
    };
    let (read_data, choice) = match level {
        Level::Choice(choice) => (true, Some(choice)),
        level => (level == Level::ReadData, None),
    };
    let options = VerifyOptions { tables: args.tables, read_data, choice, snapshots, ..VerifyOptions::default() };
    let cancel = session.world.be_polite();
    let screen = Teller::start(session);
    let result = verify(&repository, &options, &screen, &cancel);
    let (duration, _) = screen.finish();
    let outcome = result.map_err(damage_is_damage)?;

    let exit = if outcome.damage.is_empty() { Exit::Complete } else { Exit::Damaged };
    let within = match choice {
        Some(PackChoice::Oldest { within: Some(within), .. }) => within,
        _ => PROVED_WITHIN,
    };
    settle(report::tell(&outcome, level, &repository, within, duration, session), exit)
}

/// In which time every byte should be read again, if nobody says otherwise.
pub const PROVED_WITHIN: Duration = Duration::from_hours(30 * 24);

/// Damage that kept the verification itself from going on has the same code as damage that was found.
fn damage_is_damage(error: RepositoryError) -> Complaint {
    let is_damage = error.is_damage();
    let complaint = Complaint::from(error);
    if is_damage { Complaint { exit: Exit::Damaged, ..complaint } } else { complaint }
}

/// The screen of a verification; it tells each affected path in JSON, which is where somebody may want all of them.
struct Teller<'a> {
    screen: Screen,
    session: &'a Session,
}

impl<'a> Teller<'a> {
    fn start(session: &'a Session) -> Self {
        Self { screen: Screen::start(&session.output, Activity { name: "verify", during: "verify", lists_removed: false }), session }
    }

    /// How long it took, and how many problems were told.
    fn finish(self) -> (Duration, u64) {
        self.screen.finish()
    }
}

impl Monitor for Teller<'_> {
    fn progress(&self, progress: &Progress) {
        self.screen.progress(progress);
    }

    fn wants_entries(&self) -> bool {
        false
    }

    fn problem(&self, path: &[u8], what: &str) {
        self.screen.problem(path, what);
    }

    fn affected(&self, snapshot: ObjectId, path: &[u8], is_directory: bool) {
        let (path, path_hex) = json::lossy(path);
        // That standard output is gone ends no verification; the exit code tells what it found.
        let _ = self.session.output.event(&Event::AffectedPath(json::AffectedPath { snapshot: snapshot.to_hex(), path, path_hex, folder: is_directory }));
    }

    fn note(&self, text: &str) {
        self.screen.note(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_has_its_code_wherever_it_shows() {
        assert_eq!(damage_is_damage(RepositoryError::MissingChunk("x".into())).exit, Exit::Damaged);
        assert_eq!(damage_is_damage(RepositoryError::Cancelled).exit, Exit::Interrupted);
    }
}
