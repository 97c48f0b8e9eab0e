//! What `vault bench` says.

use crate::complaint::{Complaint, shown};
use crate::output::json::{self, Event};
use crate::output::text::{Table, bytes_short, count};
use crate::session::Session;
use crate::units::cipher_word;
use std::path::PathBuf;
use vault_engine::format::compress::Compression;
use vault_engine::ops::bench::judge::{GB, Limit};
use vault_engine::ops::bench::{BenchOutcome, StageCost};

const MB: f64 = 1e6;

/// The whole of it, as an event and as lines.
pub fn tell(outcome: &BenchOutcome, paths: &[PathBuf], place: &str, session: &Session) -> Result<(), Complaint> {
    session.output.event(&Event::Bench(Box::new(event(outcome, paths, place))))?;
    lines(outcome, paths.is_empty(), place).into_iter().try_for_each(|line| session.output.line(line))
}

fn total(outcome: &BenchOutcome) -> f64 {
    outcome.stages.iter().map(StageCost::seconds_per_gb).sum()
}

fn level_word(level: Compression) -> String {
    match level {
        Compression::Off => "off".to_owned(),
        Compression::Level(level) => level.to_string(),
    }
}

fn event(outcome: &BenchOutcome, paths: &[PathBuf], place: &str) -> json::Bench {
    let total = total(outcome);
    let stage = |stage: &StageCost| json::BenchStage {
        stage: stage.name.name(),
        bytes: stage.bytes,
        mb_per_second: stage.bytes_per_second() / MB,
        seconds_per_gb: stage.seconds_per_gb(),
        share: stage.seconds_per_gb() / total,
    };
    json::Bench {
        paths: paths.iter().map(|path| shown(path)).collect(),
        store: place.to_owned(),
        cores: outcome.machine.cores as u64,
        read_concurrency: outcome.machine.readers as u64,
        entries: outcome.entries,
        walked_bytes: outcome.walked_bytes,
        walk_cut_short: outcome.walk_cut_short,
        unreadable: outcome.unreadable,
        sample_bytes: outcome.sample_bytes,
        unique_bytes: outcome.unique_bytes,
        compressed_bytes: outcome.compressed_bytes,
        read_from_memory: outcome.read_from_memory,
        stages: outcome.stages.iter().map(stage).collect(),
        bottleneck: json::BenchBottleneck {
            limit: outcome.bottleneck.limit.word(),
            stage: outcome.bottleneck.stage.name(),
            seconds_per_gb: outcome.bottleneck.seconds_per_gb,
        },
        levels: outcome
            .levels
            .iter()
            .map(|level| json::BenchLevel {
                level: level.level,
                mb_per_second: level.bytes_per_second / MB,
                ratio: level.ratio,
                seconds_per_gb: level.seconds_per_gb,
            })
            .collect(),
        ciphers: outcome.ciphers.iter().map(|(cipher, speed)| json::BenchCipher { cipher: cipher_word(*cipher), mb_per_second: speed / MB }).collect(),
        pack_sizes: outcome.pack_sizes.iter().map(|(size, speed)| json::BenchPackSize { pack_size: *size, mb_per_second: speed / MB }).collect(),
        recommended: json::BenchRecommended { compression: level_word(outcome.level), cipher: cipher_word(outcome.cipher), pack_size: outcome.pack_size_bytes },
    }
}

/// Three digits or so, whatever the size: `0.0123`, `1.23`, `123`.
fn digits(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        0.1.. => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}

fn lines(outcome: &BenchOutcome, made: bool, place: &str) -> Vec<String> {
    let mut lines = vec![
        if made {
            format!("Sample:  {} of made data", bytes_short(outcome.sample_bytes))
        } else {
            let least = if outcome.walk_cut_short { "at least " } else { "" };
            format!(
                "Sample:  {} of {least}{} in {}",
                bytes_short(outcome.sample_bytes),
                bytes_short(outcome.walked_bytes),
                count(outcome.entries, "entry", "entries")
            )
        },
        format!("Store:   {place}"),
        String::new(),
    ];
    let mut stages = Table::new(&["Stage", ">MB/s per core", ">s per GB", ">Share"]);
    let total = total(outcome);
    for stage in &outcome.stages {
        let seconds = stage.seconds_per_gb();
        stages.row(vec![stage.name.name().to_owned(), digits(stage.bytes_per_second() / MB), digits(seconds), format!("{:.1} %", seconds / total * 100.0)]);
    }
    lines.extend(stages.lines());
    lines.push(String::new());
    lines.push(sentence(outcome, place));
    lines.extend(remarks(outcome));
    lines.push(String::new());
    let mut settings = Table::new(&["Setting", "Use", "Because"]);
    settings.row(vec!["compression".to_owned(), level_word(outcome.level), levels(outcome)]);
    settings.row(vec!["cipher".to_owned(), cipher_word(outcome.cipher).to_owned(), ciphers(outcome)]);
    settings.row(vec!["pack size".to_owned(), mebibytes(outcome.pack_size_bytes), pack_sizes(outcome)]);
    lines.extend(settings.lines());
    lines
}

/// What holds a backup up, in one sentence.
fn sentence(outcome: &BenchOutcome, place: &str) -> String {
    let (bottleneck, machine) = (&outcome.bottleneck, &outcome.machine);
    let seconds = digits(bottleneck.seconds_per_gb);
    let who = match bottleneck.limit {
        Limit::Walk => "its one thread needs".to_owned(),
        Limit::Readers if machine.readers == 1 => "the only reader needs".to_owned(),
        Limit::Readers => format!("{} readers need", machine.readers),
        Limit::Processor if machine.cores == 1 => "the only core needs".to_owned(),
        Limit::Processor => format!("{} cores need", machine.cores),
        Limit::Store => format!("{place} needs"),
    };
    format!(
        "A first backup here is held up by {}: {who} {seconds} s for each GB, which makes {} MB/s at best.",
        bottleneck.stage.name(),
        speed(bottleneck.seconds_per_gb)
    )
}

fn speed(seconds_per_gb: f64) -> String {
    digits(GB / MB / seconds_per_gb)
}

fn remarks(outcome: &BenchOutcome) -> Vec<String> {
    let mut remarks = Vec::new();
    if outcome.bottleneck.limit == Limit::Readers {
        remarks.push(format!("More readers may help where the source can serve them: --read-concurrency {}.", 2 * outcome.machine.readers));
    }
    if outcome.read_from_memory {
        remarks.push("What was read lay in memory already; from the disk, read may take longer.".to_owned());
    }
    if outcome.walk_cut_short {
        remarks.push("The time was too short to walk everything; --seconds gives it more.".to_owned());
    }
    if outcome.unreadable > 0 {
        remarks.push(format!("{} could not be read.", count(outcome.unreadable, "entry", "entries")));
    }
    remarks
}

fn levels(outcome: &BenchOutcome) -> String {
    let line = |level: &vault_engine::ops::bench::judge::Prospect| {
        let (number, ratio) = (level.level, level.ratio * 100.0);
        format!(
            "level {number}: {} MB/s per core, stores {ratio:.1} %, backup {} MB/s at best",
            digits(level.bytes_per_second / MB),
            speed(level.seconds_per_gb)
        )
    };
    outcome.levels.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn ciphers(outcome: &BenchOutcome) -> String {
    outcome.ciphers.iter().map(|(cipher, speed)| format!("{}: {} MB/s per core", cipher_word(*cipher), digits(speed / MB))).collect::<Vec<_>>().join("\n")
}

fn pack_sizes(outcome: &BenchOutcome) -> String {
    let sizes: Vec<String> = outcome.pack_sizes.iter().map(|(size, speed)| format!("{}: {} MB/s", mebibytes(*size), digits(speed / MB))).collect();
    sizes.join(", ")
}

/// As `--pack-size` takes it.
fn mebibytes(size_bytes: u64) -> String {
    format!("{}M", size_bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use vault_engine::format::seal::Cipher;
    use vault_engine::ops::bench::Stage;
    use vault_engine::ops::bench::judge::{Bottleneck, Machine, Prospect};

    fn outcome() -> BenchOutcome {
        let stage = |name| StageCost { name, bytes: 500, plain_bytes: 1000, elapsed: Duration::from_micros(2), busy: Duration::from_micros(1) };
        BenchOutcome {
            machine: Machine { cores: 2, readers: 2 },
            entries: 3,
            walked_bytes: 5000,
            walk_cut_short: false,
            unreadable: 0,
            sample_bytes: 1000,
            unique_bytes: 900,
            compressed_bytes: 300,
            read_from_memory: false,
            stages: Stage::ALL.map(stage),
            bottleneck: Bottleneck { limit: Limit::Processor, stage: Stage::Compress, seconds_per_gb: 1.25 },
            levels: vec![Prospect { level: 3, bytes_per_second: 4e8, ratio: 0.3, seconds_per_gb: 1.25 }],
            ciphers: vec![(Cipher::XChaCha20Poly1305, 3e9)],
            pack_sizes: vec![(16 << 20, 2e8)],
            level: Compression::Level(3),
            cipher: Cipher::XChaCha20Poly1305,
            pack_size_bytes: 16 << 20,
        }
    }

    #[test]
    fn one_sentence_names_the_bottleneck() {
        let said = sentence(&outcome(), "/r");
        assert_eq!(said, "A first backup here is held up by compress: 2 cores need 1.25 s for each GB, which makes 800 MB/s at best.");
        let store = Bottleneck { limit: Limit::Store, stage: Stage::StoreWait, seconds_per_gb: 20.0 };
        let said = sentence(&BenchOutcome { bottleneck: store, ..outcome() }, "/r");
        assert_eq!(said, "A first backup here is held up by store wait: /r needs 20.0 s for each GB, which makes 50.0 MB/s at best.");
    }

    #[test]
    fn shares_make_a_whole_and_stages_stand_in_order() {
        let event = event(&outcome(), &[], "/r");
        let names: Vec<&str> = event.stages.iter().map(|stage| stage.stage).collect();
        assert_eq!(names, ["walk", "read", "cut", "name", "compress", "seal", "store wait"]);
        assert!((event.stages.iter().map(|stage| stage.share).sum::<f64>() - 1.0).abs() < 1e-9);
        assert!((event.stages[0].mb_per_second - 250.0).abs() < 1e-9 && (event.stages[0].seconds_per_gb - 2.0).abs() < 1e-9);
    }

    #[test]
    fn remarks_are_made_where_there_is_something_to_say() {
        assert!(remarks(&outcome()).is_empty());
        assert_eq!(remarks(&BenchOutcome { walk_cut_short: true, unreadable: 1, read_from_memory: true, ..outcome() }).len(), 3);
    }

    #[test]
    fn numbers_have_about_three_digits() {
        assert_eq!([0.01234, 0.5, 1.234, 12.34, 123.4].map(digits), ["0.0123", "0.500", "1.23", "12.3", "123"]);
    }
}
