//! Names of streams and groups.

use crate::error::{Error, ErrorKind, Result};

/// The longest name, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// Whether a stream or group may have this name: 1 to 255 bytes without control characters. `..`
/// and `a/b` are just names: none ever becomes a path.
///
/// # Errors
///
/// [`ErrorKind::Invalid`], and why.
pub(crate) fn check(name: &str) -> Result<()> {
    let refuse = |what: String| {
        Err(Error::new(ErrorKind::Invalid, what)
            .remedy("a name has 1 to 255 bytes of UTF-8, without control characters"))
    };
    if name.is_empty() {
        return refuse("an empty name".into());
    }
    if name.len() > NAME_BYTES_MAX {
        return refuse(format!("a name of {} bytes", name.len()));
    }
    match name.chars().find(|c| c.is_control()) {
        Some(c) => refuse(format!("the control character {c:?} in a name")),
        None => Ok(()),
    }
}

#[cfg(all(test, not(ringbolt_loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_name() {
        let longest = "x".repeat(255);
        for name in [
            "a",
            "..",
            ".",
            "a/b",
            "/",
            "\\",
            " ",
            "naïve ☃",
            "-rf",
            &longest,
        ] {
            check(name).unwrap();
        }
        let (long, wide) = ("x".repeat(256), "ü".repeat(128));
        for name in ["", "\0", "a\nb", "\u{7f}", "\u{85}", &long, &wide] {
            let error = check(name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{name:?}");
        }
    }
}
