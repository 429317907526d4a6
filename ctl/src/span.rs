//! Durations, sizes and points in time as people write and read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;

use delight_proto::session::{Size, bounds};

/// Unix milliseconds now.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// Reads `90`, `90s`, `1h30m`, `250ms`, `2d`: a number without a unit is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is not a duration such as 500ms, 90s, 5m, 1h30m or 2d");
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(Duration::from_secs(seconds.into()));
    }
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        // Ten digits are more than any unit needs and cannot overflow the sum below.
        let number: u64 = match digits {
            1..=10 => rest[..digits].parse().map_err(|_| bad())?,
            _ => return Err(bad()),
        };
        let unit = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let ms = match &rest[digits..digits + unit] {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(bad()),
        };
        total = total.saturating_add(number * ms);
        rest = &rest[digits + unit..];
    }
    if text.is_empty() { Err(bad()) } else { Ok(Duration::from_millis(total)) }
}

/// Reads `65536`, `64K`, `64M`, `1G` (powers of 1,024; `KiB` and `KB` mean the same here).
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is not a size such as 65536, 512K, 64M or 1G");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().map_err(|_| bad())?;
    let shift = match text[digits..].to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return Err(bad()),
    };
    number.checked_mul(1 << shift).ok_or_else(bad)
}

/// Reads `120x40`: columns, then rows.
pub(crate) fn size(text: &str) -> Result<Size, String> {
    let parsed = text.split_once(['x', 'X']).and_then(|(cols, rows)| {
        let size = Size { cols: cols.parse().ok()?, rows: rows.parse().ok()? };
        (size.clamped() == size).then_some(size)
    });
    parsed.ok_or_else(|| {
        format!("{text:?} is not COLUMNSxROWS such as 120x40, each side 1 to {}", bounds::TERMINAL_SIDE)
    })
}

/// Reads a point in time: a duration means so long ago; else `2026-11-21T13:00:00Z`, `2026-11-21 13:00`, `13:00`
/// (today, local time) or `@UNIXSECONDS`. The result is Unix milliseconds.
pub(crate) fn moment(text: &str) -> Result<u64, String> {
    moment_at(text, Timestamp::now(), &TimeZone::system())
}

fn moment_at(text: &str, now: Timestamp, zone: &TimeZone) -> Result<u64, String> {
    let ms = |t: Timestamp| u64::try_from(t.as_millisecond()).unwrap_or(0);
    if let Some(seconds) = text.strip_prefix('@').and_then(|s| s.parse::<u32>().ok()) {
        return Ok(u64::from(seconds) * 1_000);
    }
    if let Ok(ago) = duration(text) {
        return Ok(ms(now).saturating_sub(ago.as_millis() as u64));
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(ms(at));
    }
    let civil = text
        .parse::<DateTime>()
        .or_else(|_| text.parse::<Time>().map(|time| now.to_zoned(zone.clone()).date().to_datetime(time)));
    civil.and_then(|at| at.to_zoned(zone.clone())).map(|at| ms(at.timestamp())).map_err(|_| {
        format!(
            "{text:?} is neither a duration (10m) nor a time (13:00, 2026-11-21 13:00, 2026-11-21T13:00:00Z)"
        )
    })
}

/// A short age: `12s`, `5m`, `3h`, `2d`.
pub(crate) fn age(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A point in time on the local clock: `2026-11-21 13:04:05`.
pub(crate) fn clock(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Bytes for a person: `512 B`, `1.5 KiB`, `64 MiB`.
pub(crate) fn amount(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1_024.0;
    let mut unit = 0;
    while value >= 1_023.95 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    let text = format!("{value:.1}");
    format!("{} {}", text.strip_suffix(".0").unwrap_or(&text), UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [
            ("90", 90_000),
            ("500ms", 500),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            ("0", 0),
            ("5min", 300_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "-1", "5x", "m", "1.5h", "99999999999s", "1h 30m", "é"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn byte_sizes() {
        for (text, n) in [("0", 0), ("65536", 65_536), ("64M", 64 << 20), ("1g", 1 << 30), ("2KiB", 2_048)] {
            assert_eq!(bytes(text), Ok(n), "{text}");
        }
        for text in ["", "M", "-1", "1T", "1.5M", "99999999999999999999", "18446744073709551615K", "é"] {
            assert!(bytes(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn terminal_sizes() {
        assert_eq!(size("120x40"), Ok(Size { cols: 120, rows: 40 }));
        for text in ["", "x", "0x10", "10x0", "120", "1001x10", "70000x1", "-1x5"] {
            assert!(size(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn moments() {
        let now: Timestamp = "2026-11-21T13:00:00Z".parse().unwrap();
        let utc = |text: &str| moment_at(text, now, &TimeZone::UTC);
        let ms = now.as_millisecond() as u64;
        assert_eq!(utc("10m"), Ok(ms - 600_000));
        assert_eq!(utc("2026-11-21T12:00:00Z"), Ok(ms - 3_600_000));
        assert_eq!(utc("2026-11-21T14:00:00+02:00"), Ok(ms - 3_600_000));
        assert_eq!(utc("2026-11-21 12:30"), Ok(ms - 1_800_000));
        assert_eq!(utc("12:00:30"), Ok(ms - 3_570_000));
        assert_eq!(utc("@1000"), Ok(1_000_000));
        assert!(utc("yesterday").is_err());
    }

    #[test]
    fn amounts_and_ages() {
        assert_eq!(
            [0, 1_023, 1_024, 1_536, 64 << 20, (1 << 30) - 1].map(amount),
            ["0 B", "1023 B", "1 KiB", "1.5 KiB", "64 MiB", "1 GiB"]
        );
        assert_eq!([0, 59_999, 60_000, 7_200_000, 172_800_000].map(age), ["0s", "59s", "1m", "2h", "2d"]);
    }
}
