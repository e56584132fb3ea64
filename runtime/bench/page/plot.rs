//! Two kinds of pictures as SVG inside a page: curves over two axes, and ranges of quantiles side by side.
//! Must never refer to anything outside the page, nor draw what is no number.

use std::fmt::Write as _;

use super::escape::escaped;
use super::scale::Scale;
use crate::bench::times::Quantiles;

/// A line through these points.
#[derive(Clone, Debug)]
pub struct Curve(pub Vec<(f64, f64)>);

/// What one phase of one start took.
#[derive(Clone, Copy, Debug)]
pub struct Bar {
    /// Which colour.
    pub series: usize,
    /// From p50 to p99.9.
    pub took: Quantiles,
}

/// Colours there are.
pub(super) const SERIES: usize = 5;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 20.0;
const HEIGHT: f64 = 300.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 30.0;
/// Height of one range, and of the gap between phases.
const ROW: f64 = 16.0;

/// Curves over two axes, each in the colour of its place.
#[must_use]
pub fn curves((across, up): (&Scale, &Scale), curves: &[Curve]) -> String {
    let mut out = open(HEIGHT);
    let y = |value: f64| TOP + (1.0 - up.place(value)) * (HEIGHT - TOP - BOTTOM);
    columns(&mut out, across, HEIGHT);
    for (value, label) in up.ticks() {
        let y = y(value);
        let (left, right, text, low) = (LEFT, WIDTH - RIGHT, LEFT - 6.0, y + 4.0);
        // Writing into a string cannot fail, here and below.
        let _ =
            write!(out, "<line class=\"grid\" x1=\"{left}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
        let _ =
            writeln!(out, "<text x=\"{text}\" y=\"{low:.1}\" text-anchor=\"end\">{}</text>", escaped(&label));
    }
    for (series, Curve(points)) in curves.iter().enumerate() {
        let _ = write!(out, "<polyline class=\"curve s{}\" points=\"", series % SERIES);
        for (over, value) in points {
            let _ = write!(out, "{:.1},{:.1} ", x(across, *over), y(*value));
        }
        out.push_str("\"/>\n");
    }
    out.push_str("</svg>\n");
    out
}

/// Ranges by phase, from p50 to p99.9, with a mark at each quantile.
#[must_use]
pub fn bars(phases: &[(&str, Vec<Bar>)]) -> String {
    let all = phases.iter().flat_map(|(_, group)| group).map(|bar| bar.took);
    // What took less than a tenth of a microsecond is no time at all.
    let (least, most) = all.fold((f64::MAX, 0.1f64), |(least, most), took| {
        (least.min(took.p50_us.max(0.1)), most.max(took.p99_9_us))
    });
    let across = Scale::log(least.min(most), most);
    #[expect(clippy::cast_precision_loss, reason = "a few rows")]
    let rows = phases.iter().map(|(_, group)| group.len() as f64 + 0.7).sum::<f64>();
    let height = TOP + rows * ROW + BOTTOM;
    let mut out = open(height);
    columns(&mut out, &across, height);
    let mut y = TOP + ROW / 2.0;
    for (name, group) in phases {
        let (text, low) = (LEFT - 6.0, y + 4.0);
        let _ =
            writeln!(out, "<text x=\"{text}\" y=\"{low:.1}\" text-anchor=\"end\">{}</text>", escaped(name));
        for Bar { series, took } in group {
            let series = series % SERIES;
            let at = [took.p50_us, took.p90_us, took.p99_us, took.p99_9_us].map(|us| x(&across, us));
            let (from, to) = (at[0], at[3]);
            let _ = write!(
                out,
                "<line class=\"range s{series}\" x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
            );
            for (at, radius) in at.iter().zip([4.5, 3.5, 3.0, 2.5]) {
                let _ =
                    write!(out, "<circle class=\"f{series}\" cx=\"{at:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>");
            }
            out.push('\n');
            y += ROW;
        }
        y += ROW * 0.7;
    }
    out.push_str("</svg>\n");
    out
}

fn open(height: f64) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\">\n")
}

fn x(across: &Scale, value: f64) -> f64 {
    LEFT + across.place(value) * (WIDTH - LEFT - RIGHT)
}

/// The lines and labels of the axis across.
fn columns(out: &mut String, across: &Scale, height: f64) {
    for (value, label) in across.ticks() {
        let (x, top, bottom, text) = (x(across, value), TOP, height - BOTTOM, height - BOTTOM + 16.0);
        let _ =
            write!(out, "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom:.1}\"/>");
        let _ = writeln!(
            out,
            "<text x=\"{x:.1}\" y=\"{text:.1}\" text-anchor=\"middle\">{}</text>",
            escaped(&label)
        );
    }
}
