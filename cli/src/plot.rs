//! Latency distributions as an SVG picture: percentiles outwards to the tail on a logarithmic axis,
//! as HdrHistogram plots do, latency on another.
//!
//! ```text
//!  latency (log)
//!   1 ms ┤                    ╭──●   one curve for each distribution, a dot at its maximum
//! 100 us ┤ ───────────────────╯
//!        └──┬─────┬─────┬─────┬───
//!          0%    90%   99%  99.9%    (log of 1 / (1 - percentile))
//! ```

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use crate::units;

/// One curve.
#[derive(Debug)]
pub(crate) struct Series<'a> {
    /// What the legend calls it.
    pub(crate) name: String,
    /// Its values, in nanoseconds.
    pub(crate) histogram: &'a Histogram<u64>,
}

/// A picture of several distributions.
#[derive(Debug)]
pub(crate) struct Plot<'a> {
    pub(crate) title: String,
    pub(crate) subtitle: String,
    pub(crate) series: Vec<Series<'a>>,
}

/// Okabe and Ito's palette, which colour-blind readers can tell apart, without its yellow.
const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#404040",
];
/// The second time round the palette, lines are dashed.
const DASHES: [&str; 3] = ["none", "7 4", "2 3"];

const WIDTH: f64 = 960.0;
const PLOT_HEIGHT: f64 = 400.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 36.0;
const TOP: f64 = 84.0;
const AXIS_SPACE: f64 = 64.0;
const LEGEND_ROW: f64 = 22.0;

/// Where numbers lie on the paper.
struct Frame {
    /// Powers of ten of 1/(1-percentile), from 0 on.
    tail_decades: f64,
    /// The powers of ten of nanoseconds at the bottom and at the top.
    low: f64,
    high: f64,
}

impl Frame {
    fn around(series: &[Series<'_>]) -> Self {
        let filled = || series.iter().filter(|s| !s.histogram.is_empty());
        let most = filled().map(|s| s.histogram.len()).max().unwrap_or(1);
        let min = filled()
            .map(|s| s.histogram.min().max(1))
            .min()
            .unwrap_or(1);
        let max = filled()
            .map(|s| s.histogram.max().max(2))
            .max()
            .unwrap_or(1000);
        let low = (min as f64).log10().floor();
        Self {
            tail_decades: (most as f64).log10().clamp(2.0, 7.0),
            low,
            high: (max as f64).log10().ceil().max(low + 1.0),
        }
    }

    /// The place of a quantile whose distance to one is `rest`.
    fn x(&self, rest: f64) -> f64 {
        let decades = -rest.max(1e-12).log10();
        LEFT + (WIDTH - LEFT - RIGHT) * (decades / self.tail_decades).clamp(0.0, 1.0)
    }

    fn y(&self, ns: f64) -> f64 {
        let part = (ns.max(1.0).log10() - self.low) / (self.high - self.low);
        TOP + PLOT_HEIGHT * (1.0 - part.clamp(0.0, 1.0))
    }
}

impl Plot<'_> {
    /// The picture, as the text of an SVG file.
    pub(crate) fn render(&self) -> String {
        let frame = Frame::around(&self.series);
        let legend_top = TOP + PLOT_HEIGHT + AXIS_SPACE;
        let height = legend_top + LEGEND_ROW * (self.series.len() as f64 + 1.0) + 12.0;
        let mut svg = String::new();
        let _ = writeln!(
            svg,
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, 'DejaVu Sans', Helvetica, Arial, sans-serif" font-size="13" fill="#222">
<rect width="100%" height="100%" fill="#fff"/>"##
        );
        text(
            &mut svg,
            LEFT,
            34.0,
            r#"font-size="20" font-weight="600""#,
            &self.title,
        );
        text(&mut svg, LEFT, 58.0, r##"fill="#666""##, &self.subtitle);
        axes(&mut svg, &frame);
        for (index, series) in self.series.iter().enumerate() {
            curve(&mut svg, &frame, series, index);
        }
        legend(&mut svg, legend_top, &self.series);
        svg.push_str("</svg>\n");
        svg
    }
}

fn axes(svg: &mut String, frame: &Frame) {
    let (right, bottom) = (WIDTH - RIGHT, TOP + PLOT_HEIGHT);
    for decade in frame.low as i32..=frame.high as i32 {
        let y = frame.y(10f64.powi(decade));
        line(svg, (LEFT, y), (right, y), "#d8d8d8");
        text(
            svg,
            LEFT - 10.0,
            y + 4.5,
            r#"text-anchor="end""#,
            &units::nanos(10f64.powi(decade)),
        );
        if decade < frame.high as i32 {
            for step in 2..10 {
                let y = frame.y(f64::from(step) * 10f64.powi(decade));
                line(svg, (LEFT, y), (right, y), "#f2f2f2");
            }
        }
    }
    // 50% lies at 0.3 decades and is what people look for first.
    let mut ticks = vec![(1.0, "0%".to_owned()), (0.5, "50%".to_owned())];
    for decade in 1..=frame.tail_decades as i32 {
        let digits = (decade - 2).max(0) as usize;
        let percent = 100.0 - 10f64.powi(2 - decade);
        ticks.push((10f64.powi(-decade), format!("{percent:.digits$}%")));
    }
    for (rest, label) in ticks {
        let x = frame.x(rest);
        line(svg, (x, TOP), (x, bottom), "#d8d8d8");
        text(svg, x, bottom + 20.0, r#"text-anchor="middle""#, &label);
    }
    line(svg, (LEFT, bottom), (right, bottom), "#444");
    line(svg, (LEFT, TOP), (LEFT, bottom), "#444");
    let middle = (LEFT + right) / 2.0;
    text(
        svg,
        middle,
        bottom + 44.0,
        r##"text-anchor="middle" fill="#444""##,
        "percentile of all operations (logarithmic towards the tail)",
    );
    let turn = format!(
        r##"text-anchor="middle" fill="#444" transform="rotate(-90 22 {y})""##,
        y = TOP + PLOT_HEIGHT / 2.0
    );
    text(
        svg,
        22.0,
        TOP + PLOT_HEIGHT / 2.0,
        &turn,
        "latency (logarithmic)",
    );
}

fn curve(svg: &mut String, frame: &Frame, series: &Series<'_>, index: usize) {
    let histogram = series.histogram;
    if histogram.is_empty() {
        return;
    }
    // Beyond one in `len` there is nothing but the maximum.
    let rest_min = 1.0 / histogram.len() as f64;
    let steps_per_decade = 60;
    let steps = (frame.tail_decades * f64::from(steps_per_decade)).ceil() as i32;
    let mut path = String::new();
    let mut end = (LEFT, 0.0);
    for step in 0..=steps {
        let rest = 10f64
            .powf(-f64::from(step) / f64::from(steps_per_decade))
            .max(rest_min);
        let ns = histogram.value_at_quantile(1.0 - rest) as f64;
        end = (frame.x(rest), frame.y(ns));
        let _ = write!(
            path,
            "{}{:.1} {:.1}",
            if step == 0 { "M" } else { "L" },
            end.0,
            end.1
        );
        if rest <= rest_min {
            break;
        }
    }
    // The maximum, straight above the end of the curve.
    let top = frame.y(histogram.max() as f64);
    let _ = write!(path, "L{:.1} {top:.1}", end.0);
    let (colour, dash) = style(index);
    let _ = writeln!(
        svg,
        r##"<path d="{path}" fill="none" stroke="{colour}" stroke-width="2.2" stroke-linejoin="round" stroke-dasharray="{dash}"/>
<circle cx="{:.1}" cy="{top:.1}" r="4" fill="{colour}" stroke="#fff" stroke-width="1"/>"##,
        end.0
    );
}

/// A row for each series: its line, its name, and the figures that people quote.
fn legend(svg: &mut String, top: f64, series: &[Series<'_>]) {
    let columns: [(&str, Option<f64>); 5] = [
        ("p50", Some(0.5)),
        ("p99", Some(0.99)),
        ("p99.9", Some(0.999)),
        ("p99.99", Some(0.9999)),
        ("max", None),
    ];
    let column_x = |column: usize| WIDTH - RIGHT - 84.0 * (columns.len() - 1 - column) as f64;
    let head = top + LEGEND_ROW - 6.0;
    for (column, (name, _)) in columns.iter().enumerate() {
        text(
            svg,
            column_x(column),
            head,
            r##"text-anchor="end" fill="#666""##,
            name,
        );
    }
    text(
        svg,
        WIDTH - RIGHT - 84.0 * 5.0,
        head,
        r##"text-anchor="end" fill="#666""##,
        "count",
    );
    for (index, series) in series.iter().enumerate() {
        let y = head + LEGEND_ROW * (index as f64 + 1.0);
        let (colour, dash) = style(index);
        let _ = writeln!(
            svg,
            r#"<path d="M{LEFT} {y0}h34" stroke="{colour}" stroke-width="3" stroke-dasharray="{dash}"/>"#,
            y0 = y - 4.5
        );
        text(svg, LEFT + 44.0, y, "", &series.name);
        text(
            svg,
            WIDTH - RIGHT - 84.0 * 5.0,
            y,
            r#"text-anchor="end""#,
            &units::count(series.histogram.len() as f64),
        );
        for (column, (_, quantile)) in columns.iter().enumerate() {
            let ns = match quantile {
                _ if series.histogram.is_empty() => None,
                Some(quantile) => Some(series.histogram.value_at_quantile(*quantile)),
                None => Some(series.histogram.max()),
            };
            let shown = ns.map_or("-".to_owned(), |ns| units::nanos(ns as f64));
            text(svg, column_x(column), y, r#"text-anchor="end""#, &shown);
        }
    }
}

fn style(index: usize) -> (&'static str, &'static str) {
    (
        COLOURS[index % COLOURS.len()],
        DASHES[index / COLOURS.len() % DASHES.len()],
    )
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let _ = writeln!(
        svg,
        r#"<path d="M{:.1} {:.1}L{:.1} {:.1}" stroke="{colour}" shape-rendering="crispEdges"/>"#,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn skewed(base_ns: u64, count: u64) -> Histogram<u64> {
        let mut histogram = Histogram::new(3).unwrap();
        for i in 0..count {
            let tail = (count / (i + 1)).pow(2) / 40;
            histogram
                .record(base_ns + base_ns * (i % 40) / 80 + tail * base_ns / 1000)
                .unwrap();
        }
        histogram
    }

    #[test]
    fn the_picture_is_well_formed_and_names_everything() {
        let (a, b, none) = (
            skewed(100, 200_000),
            skewed(140_000, 5_000),
            Histogram::new(3).unwrap(),
        );
        let plot = Plot {
            title: "Latency <demo> & more".into(),
            subtitle: "two producers, two consumers".into(),
            series: vec![
                Series {
                    name: "append".into(),
                    histogram: &a,
                },
                Series {
                    name: "durable acknowledgement".into(),
                    histogram: &b,
                },
                Series {
                    name: "nothing".into(),
                    histogram: &none,
                },
            ],
        };
        let svg = plot.render();
        if let Ok(path) = std::env::var("RINGBOLT_PLOT_OUT") {
            std::fs::write(path, &svg).unwrap();
        }
        assert!(svg.contains("Latency &lt;demo&gt; &amp; more"));
        for label in [
            "append",
            "durable acknowledgement",
            "99.99%",
            "100 us",
            "1 ms",
            "p99.9",
        ] {
            assert!(svg.contains(label), "{label}");
        }
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        assert_eq!(svg.matches("<circle").count(), 2);
    }
}
