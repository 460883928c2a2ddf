//! Numbers as people write and read them: `64MiB`, `1.9 GiB/s`, `145 us`, `2026-11-23T20:00:00Z`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SIZES: [(&str, u64); 4] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];

/// Parses a size in bytes: `4096`, `64KiB`, `1.5GiB`; `K`, `M`, `G` and `T` mean the same.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let factor = if unit.is_empty() || unit.eq_ignore_ascii_case("b") {
        1
    } else {
        SIZES
            .iter()
            .find(|(name, _)| {
                name.eq_ignore_ascii_case(unit) || name[..1].eq_ignore_ascii_case(unit)
            })
            .map(|&(_, factor)| factor)
            .ok_or_else(|| format!("`{unit}` is no unit; use KiB, MiB, GiB or TiB"))?
    };
    let number: f64 = number
        .parse()
        .map_err(|_| format!("`{text}` is no size; write it as 4096, 64KiB or 1.5GiB"))?;
    Ok((number * factor as f64) as u64)
}

/// `1.9 GiB`.
pub(crate) fn size(bytes: f64) -> String {
    for (name, factor) in SIZES {
        if bytes >= factor as f64 {
            return format!("{} {name}", short(bytes / factor as f64));
        }
    }
    format!("{} B", short(bytes))
}

/// `1.9 GiB/s`.
pub(crate) fn size_rate(bytes_per_second: f64) -> String {
    format!("{}/s", size(bytes_per_second))
}

/// `8.1 M`.
pub(crate) fn count(number: f64) -> String {
    for (name, factor) in [("G", 1e9), ("M", 1e6), ("k", 1e3)] {
        if number >= factor {
            return format!("{} {name}", short(number / factor));
        }
    }
    short(number)
}

/// `145 us`.
pub(crate) fn nanos(ns: f64) -> String {
    for (name, factor) in [("s", 1e9), ("ms", 1e6), ("us", 1e3)] {
        if ns >= factor {
            return format!("{} {name}", short(ns / factor));
        }
    }
    format!("{} ns", short(ns))
}

/// Three significant digits, without a tail of zeroes.
fn short(number: f64) -> String {
    let text = if number >= 99.95 {
        return format!("{number:.0}");
    } else if number >= 9.995 {
        format!("{number:.1}")
    } else {
        format!("{number:.2}")
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Parses a time: RFC 3339 (`2026-11-23T20:00:00.5+01:00`) or seconds since 1970 (`1795000000.25`).
pub(crate) fn parse_time(text: &str) -> Option<SystemTime> {
    let ns = if text.contains('T') || text.contains('t') {
        parse_rfc3339_ns(text)?
    } else {
        parse_decimal_ns(text)?
    };
    u64::try_from(ns)
        .ok()
        .map(|ns| UNIX_EPOCH + Duration::from_nanos(ns))
}

/// `1795000000.25` in nanoseconds.
fn parse_decimal_ns(text: &str) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 11 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let nanos = format!("{:0<9}", &fraction[..fraction.len().min(9)]);
    Some(whole.parse::<i128>().ok()? * 1_000_000_000 + nanos.parse::<i128>().ok()?)
}

fn parse_rfc3339_ns(text: &str) -> Option<i128> {
    let (date, rest) = text.split_once(['T', 't'])?;
    let mut date = date.splitn(3, '-');
    let year = number(date.next()?, 4)?;
    let month = number(date.next()?, 2)?;
    let day = number(date.next()?, 2)?;

    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at(zone_at);
    let mut clock = clock.splitn(3, ':');
    let hour = number(clock.next()?, 2)?;
    let minute = number(clock.next()?, 2)?;
    let seconds = clock.next()?;
    number(seconds.get(..2)?, 2).filter(|&s| s <= 60)?;
    if seconds.len() > 2 && !seconds[2..].starts_with('.') {
        return None;
    }
    let seconds_ns = parse_decimal_ns(seconds)?;

    let offset_minutes = match zone {
        "Z" | "z" => 0,
        _ => {
            let (hours, minutes) = zone[1..].split_once(':')?;
            let hours = number(hours, 2).filter(|&hours| hours <= 23)?;
            let minutes = hours * 60 + number(minutes, 2).filter(|&minutes| minutes <= 59)?;
            if zone.starts_with('-') {
                -minutes
            } else {
                minutes
            }
        }
    };
    if !(1..=12).contains(&month) || hour > 23 || minute > 59 {
        return None;
    }
    let days = days_from_civil(year, month, day);
    // A day that its month has not would be one of the next month.
    if civil_from_days(days) != (year, month, day) {
        return None;
    }
    let minutes = (days * 24 + hour) * 60 + minute - offset_minutes;
    Some(i128::from(minutes) * 60_000_000_000 + seconds_ns)
}

fn number(text: &str, digits: usize) -> Option<i64> {
    (text.len() == digits && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar; the algorithm is Howard
/// Hinnant's `days_from_civil`.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// A time as RFC 3339 in UTC, to the millisecond.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil_from_days(days as i64);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    )
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_binary_units() {
        for (text, bytes) in [
            ("4096", 4096),
            ("64KiB", 65536),
            ("64k", 65536),
            ("1.5GiB", 3 << 29),
            ("2 MiB", 2 << 20),
            ("7b", 7),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "1XiB", "1.2.3", "-1"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_are_shown_with_three_digits() {
        assert_eq!(nanos(145_432.0), "145 us");
        assert_eq!(nanos(99.0), "99 ns");
        assert_eq!(nanos(1.234e6), "1.23 ms");
        assert_eq!(size_rate(2.0 * 1024.0 * 1024.0 * 1024.0), "2 GiB/s");
        assert_eq!(count(8_120_000.0), "8.12 M");
        assert_eq!(count(0.0), "0");
    }

    #[test]
    fn times_are_read_in_both_forms() {
        let at = |seconds: u64, nanos: u32| Some(UNIX_EPOCH + Duration::new(seconds, nanos));
        assert_eq!(parse_time("0"), at(0, 0));
        assert_eq!(parse_time("1795000000.25"), at(1_795_000_000, 250_000_000));
        assert_eq!(parse_time("1970-01-01T00:00:00Z"), at(0, 0));
        assert_eq!(
            parse_time("2000-02-29T12:30:15.5Z"),
            at(951_827_415, 500_000_000)
        );
        assert_eq!(
            parse_time("2000-02-29T13:30:15.5+01:00"),
            at(951_827_415, 500_000_000)
        );
        assert_eq!(
            parse_time("2028-02-29T23:59:59Z"),
            at(1_835_481_599, 0),
            "a leap year"
        );
        for text in [
            "",
            "x",
            "-5",
            "2000-13-01T00:00:00Z",
            "2000-01-01T00:00:00",
            "2000-01-01T00:0:00Z",
            "2000-01-01T00:00:0Z",
            "1900-01-01T00:00:00Z",
            "2000-01-01T00:00:00+1",
            // Dates and zones that there are not.
            "2026-02-31T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-01-32T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00+01:60",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn times_shown_are_times_read() {
        for seconds in [0, 951_827_415, 1_795_000_000, 4_102_444_799] {
            let time = UNIX_EPOCH + Duration::new(seconds, 123_000_000);
            assert_eq!(parse_time(&rfc3339(time)), Some(time));
        }
    }
}
