//! Numbers as people read them.

/// `8.1 M`.
pub fn count(number: f64) -> String {
    for (name, factor) in [("G", 1e9), ("M", 1e6), ("k", 1e3)] {
        if number >= factor {
            return format!("{} {name}", short(number / factor));
        }
    }
    short(number)
}

/// `145 us`.
pub fn nanos(ns: f64) -> String {
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
