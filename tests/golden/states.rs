//! What the golden logs mean, by hand.

use ringbolt::maintain::SegmentState::{Sealed, Unsealed, Unused};

use super::State;

/// Each append that is waited for ends its block of 4096 bytes.
pub(crate) const CLEAN: State = State {
    start: "1:4096",
    end: "1:28672",
    epoch: 1,
    records_total: 7,
    // A batch counts as its body: 8 bytes, and 8 more for each record.
    segments: &[
        (1, Unsealed, 28672, 7, 64),
        (2, Unused, 0, 0, 0),
        (3, Unused, 0, 0, 0),
    ],
    records: &[
        ("1:4096", 5, "first"),
        ("1:8192", 0, ""),
        ("1:12312", 3, "one"),
        ("1:12328", 7, "two two"),
        ("1:12344", 0, ""),
        // Behind 40 bytes of an abandoned claim.
        ("1:12392", 7, "claimed"),
        // Behind the trailing checkpoint.
        ("1:20480", 4, "last"),
    ],
    times: &[],
    resumes: "1:32768",
};

/// Behind the clean checkpoint lies the one that says "opened again".
pub(crate) const REOPENED: State = State {
    start: "1:4096",
    end: "1:24576",
    epoch: 1,
    records_total: 2,
    segments: &[
        (1, Unsealed, 24576, 2, 11),
        (4, Unused, 0, 0, 0),
        (5, Unused, 0, 0, 0),
    ],
    records: &[("1:4096", 6, "before"), ("1:16384", 5, "after")],
    times: &[],
    resumes: "1:28672",
};

pub(crate) const ROLLED: State = State {
    start: "1:4096",
    end: "2:409600",
    epoch: 1,
    records_total: 3,
    segments: &[
        (1, Sealed, 1_044_480, 2, 800_000),
        (2, Unsealed, 409_600, 1, 400_000),
        (3, Unused, 0, 0, 0),
    ],
    records: &[
        ("1:4096", 400_000, "a"),
        ("1:405504", 400_000, "b"),
        ("2:4096", 400_000, "c"),
    ],
    times: &[(30, "1:405504"), (90, "2:4096")],
    resumes: "2:413696",
};

pub(crate) const TRUNCATED: State = State {
    start: "1:4096",
    end: "4:12288",
    epoch: 2,
    records_total: 2,
    segments: &[
        (1, Unsealed, 8192, 1, 4),
        (4, Unsealed, 12288, 1, 14),
        (5, Unused, 0, 0, 0),
    ],
    records: &[("1:4096", 4, "kept"), ("4:4096", 14, "behind the cut")],
    times: &[],
    resumes: "4:16384",
};

pub(crate) const TRIMMED: State = State {
    start: "2:909312",
    end: "2:925696",
    epoch: 1,
    records_total: 4,
    segments: &[
        (2, Unsealed, 925_696, 3, 900_031),
        (3, Unused, 0, 0, 0),
        (4, Unused, 0, 0, 0),
    ],
    records: &[("2:909312", 5, "start")],
    times: &[],
    resumes: "2:929792",
};

/// What was not acknowledged is not there, and appending goes on in a new segment.
pub(crate) const UNCLEAN: State = State {
    start: "1:4096",
    end: "1:16384",
    epoch: 1,
    records_total: 2,
    segments: &[
        (1, Unsealed, 16384, 2, 5012),
        (2, Unused, 0, 0, 0),
        (3, Unused, 0, 0, 0),
    ],
    records: &[
        ("1:4096", 12, "acknowledged"),
        ("1:8192", 5000, "of more than a block"),
    ],
    times: &[],
    resumes: "4:4096",
};
