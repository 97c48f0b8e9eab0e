//! What people type for sizes and times becomes numbers.

use jiff::civil;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use std::time::Duration;
use vault_engine::format::node::Time;
use vault_engine::format::parity::ParityScheme;
use vault_engine::format::seal::Cipher;
use vault_engine::ops::forget::policy::{Calendar, Period, Span};

/// Bytes: a number with an optional unit `B`, `K`, `M`, `G`, `T` (powers of 1024, also `KiB`, `kb`, …), fractions allowed.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size; write for example 500K, 1.5M or 2G");
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits);
    let factor = match unit.trim_start() {
        "" | "b" => 1u64,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return Err(wrong()),
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor).ok_or_else(|| format!("`{text}` is too large"));
    }
    let fraction: f64 = number.parse().map_err(|_| wrong())?;
    let product = fraction * factor as f64;
    if product >= u64::MAX as f64 {
        return Err(format!("`{text}` is too large"));
    }
    Ok(product.round() as u64)
}

/// A cipher by its name.
pub fn cipher(text: &str) -> Result<Cipher, String> {
    let known = [Cipher::XChaCha20Poly1305, Cipher::Aes256Gcm];
    known.into_iter().find(|cipher| cipher_word(*cipher) == text).ok_or_else(|| format!("`{text}` is no cipher; write {}", known.map(cipher_word).join(" or ")))
}

/// The name of a cipher.
pub fn cipher_word(cipher: Cipher) -> &'static str {
    match cipher {
        Cipher::XChaCha20Poly1305 => "xchacha20-poly1305",
        Cipher::Aes256Gcm => "aes-256-gcm",
    }
}

/// A parity scheme by its name.
pub fn parity(text: &str) -> Result<ParityScheme, String> {
    let known = [ParityScheme::ReedSolomon, ParityScheme::None];
    known.into_iter().find(|scheme| parity_word(*scheme) == text).ok_or_else(|| format!("`{text}` is no parity; write {}", known.map(parity_word).join(" or ")))
}

/// The name of a parity scheme.
pub fn parity_word(scheme: ParityScheme) -> &'static str {
    match scheme {
        ParityScheme::None => "none",
        ParityScheme::ReedSolomon => "reed-solomon",
    }
}

/// An instant: `now`, `2026-01-31`, `2026-01-31 12:00[:00]` (local), RFC 3339, `@seconds`, or a span before now: `90m`, `2d12h`, `1y`.
pub fn time(text: &str) -> Result<Time, String> {
    parse_time(text.trim(), &Zoned::now()).ok_or_else(|| {
        format!(
            "`{text}` is not a time; write for example 2026-01-31, \"2026-01-31 18:30:00\", 2026-01-31T18:30:00Z, @1769884200, now, or 2d12h (that long ago)"
        )
    })
}

fn parse_time(text: &str, now: &Zoned) -> Option<Time> {
    if text == "now" {
        return Some(from_timestamp(now.timestamp()));
    }
    if let Some(seconds) = text.strip_prefix('@') {
        let seconds = seconds.parse().ok()?;
        return Timestamp::from_second(seconds).ok().map(from_timestamp);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(from_timestamp(at));
    }
    if let Some(span) = parse_span(text) {
        return now.checked_sub(span).ok().map(|at| from_timestamp(at.timestamp()));
    }
    let at = text.parse::<civil::DateTime>().or_else(|_| text.parse::<civil::Date>().map(|date| date.at(0, 0, 0, 0))).ok()?;
    let zoned = at.to_zoned(now.time_zone().clone()).ok()?;
    Some(from_timestamp(zoned.timestamp()))
}

/// `1y2M3w4d5h6m7s`, each unit at most once, in this order; `m` is a minute after hours or alone, `M` and `mo` a month.
fn parse_span(text: &str) -> Option<jiff::Span> {
    let mut span = jiff::Span::new();
    let mut rest = text;
    let mut rank = 0;
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|char: char| char.is_ascii_digit()).unwrap_or(rest.len());
        let unit = &rest[..letters];
        rest = &rest[letters..];
        let (place, added) = match unit {
            "y" => (1, span.try_years(number)),
            "M" | "mo" => (2, span.try_months(number)),
            "w" => (3, span.try_weeks(number)),
            "d" => (4, span.try_days(number)),
            "h" => (5, span.try_hours(number)),
            "m" | "min" => (6, span.try_minutes(number)),
            "s" => (7, span.try_seconds(number)),
            _ => return None,
        };
        if place <= rank {
            return None;
        }
        rank = place;
        span = added.ok()?;
    }
    (rank > 0).then_some(span)
}

/// `1y5m7d2h`, as restic writes spans of a policy: `m` is a month.
pub fn span(text: &str) -> Result<Span, String> {
    let wrong = || format!("`{text}` is not a span; write for example 7d, 1y6m or 12h");
    let mut span = Span::default();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit()).ok_or_else(wrong)?;
        let number: i32 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit = rest[digits..].chars().next().ok_or_else(wrong)?;
        let place = match unit {
            'y' => &mut span.years,
            'm' => &mut span.months,
            'w' | 'd' => &mut span.days,
            'h' => &mut span.hours,
            _ => return Err(wrong()),
        };
        *place = number.checked_mul(if unit == 'w' { 7 } else { 1 }).and_then(|number| place.checked_add(number)).ok_or_else(wrong)?;
        rest = &rest[digits + 1..];
    }
    if span == Span::default() { Err(wrong()) } else { Ok(span) }
}

/// A length of time for a run: `90s`, `10m`, `2h`, `1d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a length of time; write for example 90s, 10m, 2h or 1d");
    let digits = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let factor = match &text[digits..] {
        "s" | "" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    number.checked_mul(factor).map(Duration::from_secs).ok_or_else(wrong)
}

/// The calendar of this machine's time zone. Weeks are those of ISO 8601.
pub struct LocalCalendar(TimeZone);

impl Default for LocalCalendar {
    fn default() -> Self {
        Self(TimeZone::system())
    }
}

impl LocalCalendar {
    fn zoned(&self, at: Time) -> Zoned {
        let nanoseconds = i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanoseconds);
        let timestamp = Timestamp::from_nanosecond(nanoseconds).unwrap_or(if at.seconds < 0 { Timestamp::MIN } else { Timestamp::MAX });
        timestamp.to_zoned(self.0.clone())
    }
}

impl Calendar for LocalCalendar {
    fn number(&self, period: Period, at: Time) -> i64 {
        let zoned = self.zoned(at);
        let (year, month, day) = (i64::from(zoned.year()), i64::from(zoned.month()), i64::from(zoned.day()));
        let days = (year * 12 + month) * 31 + day;
        match period {
            // An hour that a clock change repeats counts once, as in restic.
            Period::Hour => days * 24 + i64::from(zoned.hour()),
            Period::Day => days,
            Period::Week => {
                let week = zoned.date().iso_week_date();
                i64::from(week.year()) * 53 + i64::from(week.week())
            }
            Period::Month => year * 12 + month,
            Period::Quarter => year * 4 + (month - 1) / 3,
            Period::Year => year,
        }
    }

    fn before(&self, at: Time, span: Span) -> Time {
        let back = || {
            let span = jiff::Span::new().try_years(span.years).ok()?.try_months(span.months).ok()?.try_days(span.days).ok()?.try_hours(span.hours).ok()?;
            self.zoned(at).checked_sub(span).ok()
        };
        // Farther back than the calendar goes: everything is younger.
        back().map_or(Time { seconds: i64::MIN, nanoseconds: 0 }, |zoned| from_timestamp(zoned.timestamp()))
    }
}

/// The engine's time for jiff's.
pub fn from_timestamp(at: Timestamp) -> Time {
    let nanoseconds = at.as_nanosecond();
    Time { seconds: nanoseconds.div_euclid(1_000_000_000) as i64, nanoseconds: nanoseconds.rem_euclid(1_000_000_000) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("500k"), Ok(512_000));
        assert_eq!(size("1.5M"), Ok(1_572_864));
        assert_eq!(size("2 GiB"), Ok(2 << 30));
        assert_eq!(size("1T"), Ok(1 << 40));
        for wrong in ["", "k", "-1", "1x", "1e3", "NaN", "1..2", "99999999T", "1 2"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    fn at(text: &str) -> Option<i64> {
        let now: Zoned = "2026-03-10T12:00:00+00:00[UTC]".parse().expect("a time");
        parse_time(text, &now).map(|time| time.seconds)
    }

    #[test]
    fn times() {
        let noon = 1_773_144_000;
        assert_eq!(at("now"), Some(noon));
        assert_eq!(at("@12"), Some(12));
        assert_eq!(at("2026-03-10"), Some(noon - 12 * 3600));
        assert_eq!(at("2026-03-10 12:00:00"), Some(noon));
        assert_eq!(at("2026-03-10 12:00"), Some(noon));
        assert_eq!(at("2026-03-10T13:00:00+01:00"), Some(noon));
        assert_eq!(at("2d12h"), Some(noon - 60 * 3600));
        assert_eq!(at("90m"), Some(noon - 5400));
        assert_eq!(at("1mo"), at("2026-02-10 12:00:00"));
        for wrong in ["", "yesterday", "12", "h", "1h1d", "2026-13-01", "@", "99999999y"] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn spans_and_lengths_of_time() {
        assert_eq!(span("1y5m2w3d4h"), Ok(Span { years: 1, months: 5, days: 17, hours: 4 }));
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Ok(Duration::from_hours(2)));
        for wrong in ["", "7", "d", "1x", "-1d", "99999999999y"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
        assert!(duration("1y").is_err() && duration("h").is_err());
    }

    #[test]
    fn the_calendar_knows_where_periods_begin() {
        let calendar = LocalCalendar(TimeZone::get("Europe/Berlin").expect("a zone"));
        let at = |text: &str| from_timestamp(text.parse().expect("a time"));
        let same = |period, a: &str, b: &str| calendar.number(period, at(a)) == calendar.number(period, at(b));
        assert!(same(Period::Day, "2026-03-09T23:30:00Z", "2026-03-10T22:30:00Z"), "both are the 10th there");
        assert!(!same(Period::Day, "2026-03-10T22:30:00Z", "2026-03-10T23:30:00Z"));
        assert!(same(Period::Week, "2025-12-29T12:00:00Z", "2026-01-04T12:00:00Z"), "one ISO week over the turn of the year");
        assert!(!same(Period::Year, "2025-12-29T12:00:00Z", "2026-01-04T12:00:00Z"));
        assert!(same(Period::Quarter, "2026-04-02T12:00:00Z", "2026-06-30T12:00:00Z"));
        assert!(!same(Period::Month, "2026-04-02T12:00:00Z", "2026-06-30T12:00:00Z"));
        assert_eq!(calendar.before(at("2026-03-31T12:00:00Z"), Span { months: 1, ..Span::default() }), at("2026-02-28T13:00:00Z"), "summer time began between");
        let ordered = ["2025-12-31T22:59:59Z", "2025-12-31T23:00:00Z", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"];
        for period in Period::ALL {
            assert!(ordered.is_sorted_by_key(|text| calendar.number(period, at(text))), "{period:?}");
        }
    }

    #[test]
    fn times_before_1970_round_towards_the_past() {
        let at = Timestamp::from_nanosecond(-1).expect("in range");
        assert_eq!(from_timestamp(at), Time { seconds: -1, nanoseconds: 999_999_999 });
    }
}
