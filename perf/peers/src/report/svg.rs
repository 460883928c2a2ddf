//! The report as a picture: a row for each ratio, on one logarithmic axis.
//!
//! ```text
//!  work
//!    ours / peer        ├──●──┤     ▏      a dot at the median, its interval, the target's tick
//!                    0.5  1    2   4
//! ```

use std::fmt::Write as _;

use super::{Report, Row};
use crate::scenario::{Metric, Target};
use crate::summary::Summary;

const WIDTH: f64 = 1120.0;
/// Where the axis begins and ends.
const LEFT: f64 = 520.0;
const RIGHT: f64 = 960.0;
const TOP: f64 = 96.0;
const ROW: f64 = 20.0;
const LOW: f64 = 0.25;
const HIGH: f64 = 16.0;
/// Okabe and Ito's palette, which colour-blind readers can tell apart.
const REACHED: &str = "#009e73";
const MISSED: &str = "#d55e00";
const PLAIN: &str = "#0072b2";

impl Report {
    /// All ratios, as the text of an SVG file.
    pub fn svg(&self) -> String {
        let mut body = String::new();
        let mut y = TOP;
        for outcome in self
            .outcomes
            .iter()
            .filter(|o| o.scenario.metric != Metric::Idle)
        {
            let mut rows = outcome.rows().peekable();
            if rows.peek().is_none() {
                continue;
            }
            y += ROW * 1.5;
            text(
                &mut body,
                24.0,
                y,
                r#"font-weight="600""#,
                &outcome.scenario.what,
            );
            for row in rows {
                y += ROW;
                draw(&mut body, y, &row);
            }
        }
        let height = y + 2.0 * ROW;
        let mut svg = String::new();
        let _ = writeln!(
            svg,
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, 'DejaVu Sans', Helvetica, Arial, sans-serif" font-size="12" fill="#222">
<rect width="100%" height="100%" fill="#fff"/>"##
        );
        let title = r#"font-size="20" font-weight="600""#;
        text(
            &mut svg,
            24.0,
            34.0,
            title,
            "Ringbolt's rings, times their peers",
        );
        let about = format!(
            "{}; {} rounds, medians and 95% intervals of the ratio within a round; to the right of 1: Ringbolt ahead",
            self.machine, self.scale.rounds
        );
        text(&mut svg, 24.0, 56.0, r##"fill="#666""##, &about);
        axis(&mut svg, height - ROW);
        svg.push_str(&body);
        svg.push_str("</svg>\n");
        svg
    }
}

/// The place of a ratio; what lies beyond the axis is drawn at its end.
fn x(ratio: f64) -> f64 {
    let part = (ratio.max(1e-9) / LOW).log2() / (HIGH / LOW).log2();
    LEFT + (RIGHT - LEFT) * part.clamp(0.0, 1.0)
}

fn axis(svg: &mut String, bottom: f64) {
    let mut ratio = LOW;
    while ratio <= HIGH {
        let colour = if ratio == 1.0 { "#444" } else { "#ddd" };
        line(svg, (x(ratio), TOP), (x(ratio), bottom), colour, 1.0);
        text(
            svg,
            x(ratio),
            TOP - 8.0,
            r#"text-anchor="middle""#,
            &ratio.to_string(),
        );
        ratio *= 2.0;
    }
}

fn draw(svg: &mut String, y: f64, row: &Row<'_>) {
    text(svg, 40.0, y, "", &shorten(&row.title()));
    let middle = y - 4.0;
    let bound = match row.line.target {
        Some(Target::AtLeast(bound)) => Some(bound),
        Some(Target::Ahead) => Some(1.0),
        Some(Target::Zero) | None => None,
    };
    if let Some(bound) = bound {
        let at = x(bound);
        line(svg, (at, middle - 8.0), (at, middle + 8.0), "#222", 2.0);
    }
    let Some(Summary { median, low, high }) = row.summary else {
        text(svg, RIGHT + 12.0, y, r##"fill="#666""##, "not measured");
        return;
    };
    let colour = match row.reached() {
        Some(true) => REACHED,
        Some(false) => MISSED,
        None => PLAIN,
    };
    line(svg, (x(low), middle), (x(high), middle), colour, 2.5);
    let _ = writeln!(
        svg,
        r#"<circle cx="{:.1}" cy="{middle:.1}" r="4" fill="{colour}"/>"#,
        x(median)
    );
    let figures = format!(
        "{} ({} to {})",
        row.show(median),
        row.show(low),
        row.show(high)
    );
    text(svg, RIGHT + 12.0, y, "", &figures);
}

/// What fits before the axis.
fn shorten(title: &str) -> String {
    const MOST: usize = 74;
    if title.chars().count() <= MOST {
        return title.to_owned();
    }
    title.chars().take(MOST - 3).chain("...".chars()).collect()
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
    let _ = writeln!(
        svg,
        r#"<path d="M{:.1} {:.1}L{:.1} {:.1}" stroke="{colour}" stroke-width="{width}"/>"#,
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, x: f64, y: f64, attributes: &str, content: &str) {
    let _ = write!(svg, r#"<text x="{x:.1}" y="{y:.1}" {attributes}>"#);
    for c in content.chars() {
        match c {
            '<' => svg.push_str("&lt;"),
            '>' => svg.push_str("&gt;"),
            '&' => svg.push_str("&amp;"),
            c => svg.push(c),
        }
    }
    svg.push_str("</text>\n");
}
