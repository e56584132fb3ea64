//! What the project has set itself, beside what was measured.
//! Must never be called met on a figure that has errors in it, or that was not measured.

use serde::Serialize;

use crate::functions::Crowd;
use crate::options::Cores;
use crate::page::Single;
use crate::report::Report;
use crate::rounds::{Row, clean, native};
use crate::subjects::ONE_THREAD;

/// The rows of the part about connections.
const FEW: &str = "10";
const MANY: &str = "2000";

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Bar {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) measured: Option<f64>,
    pub(crate) goal: f64,
    pub(crate) strive: f64,
    pub(crate) met: Option<bool>,
}

/// Every bar that this run can speak of.
pub(crate) fn all(report: &Report) -> Vec<Bar> {
    let mut bars = vec![];
    match report.cores {
        Cores::One => one_core(report, &mut bars),
        Cores::Two => two_cores(report, &mut bars),
    }
    let (few, many) = (clean(&report.connections, FEW), clean(&report.connections, MANY));
    let cpu = many.zip(few).map(|(many, few)| many.cpu_over(few));
    bars.push(at_most(&format!("CPU of a request, {FEW} to {MANY} connections"), "x", cpu, (1.15, 1.03)));
    singles(report, &mut bars);
    if let Some(crowd) = &report.crowd {
        functions(crowd, &mut bars);
    }
    bars
}

fn two_cores(report: &Report, bars: &mut Vec<Bar>) {
    let rows = &report.load;
    let fresh = of_native(rows, "fresh");
    let what = "hello 0.2, fresh, two cores shared with the load, of native";
    bars.push(at_least(what, "x", fresh, (0.45, 0.80)));
    let cpu = clean(rows, "fresh").zip(clean(rows, ONE_THREAD)).map(|(two, one)| two.cpu_over(one));
    bars.push(at_most("CPU of a request, two server threads over one", "x", cpu, (1.2, 1.03)));
}

fn one_core(report: &Report, bars: &mut Vec<Bar>) {
    let rows = &report.load;
    bars.push(at_least("hello 0.2, fresh, of native", "x", of_native(rows, "fresh"), (0.28, 0.60)));
    bars.push(at_least("hello 0.2, reuse, of native", "x", of_native(rows, "reuse"), (0.48, 0.85)));
    for (mine, theirs, what, goal) in [
        ("fresh", "wasmtime", "hello 0.2, fresh, over wasmtime serve defaults", (3.5, 8.0)),
        ("fresh", "wasmtime-tuned", "hello 0.2, fresh, over wasmtime serve tuned", (2.4, 5.0)),
        (
            "classic-fresh",
            "wasmtime-classic",
            "the 75 KB guest, fresh, over wasmtime serve defaults",
            (3.5, 8.0),
        ),
        ("fresh", "workerd", "hello 0.2, fresh, over workerd", (2.1, 4.0)),
        ("p3-fresh", "wasmtime-p3", "hello 0.3, fresh, over wasmtime serve 0.3 (which reuses)", (1.0, 2.0)),
        ("p3-reuse", "wasmtime-p3", "hello 0.3, reuse, over wasmtime serve 0.3", (2.0, 3.0)),
    ] {
        bars.push(at_least(what, "x", over(rows, mine, theirs), goal));
    }
    let latency = &report.latency;
    let added = clean(latency, "fresh").zip(native(latency)).map(|(mine, native)| mine.p50_over(native));
    bars.push(at_most("one connection, fresh, p50 added over native", "us", added, (25.0, 5.0)));
}

fn singles(report: &Report, bars: &mut Vec<Bar>) {
    let find = |name: &str| report.singles.iter().find(|single| single.name == name);
    let (cold, upload) = (find("cold"), find("upload"));
    let ms = |single: Option<&Single>, of: fn(&Single) -> f64| single.map(|single| of(single) / 1e3);
    bars.push(at_most("cold, p50", "ms", ms(cold, |s| s.us.p50), (0.6, 0.1)));
    bars.push(at_most("cold, p99", "ms", ms(cold, |s| s.us.p99), (1.5, 0.15)));
    bars.push(at_most("upload to first answer, p50", "ms", ms(upload, |s| s.us.p50), (100.0, 25.0)));
}

fn functions(crowd: &Crowd, bars: &mut Vec<Bar>) {
    let n = crowd.functions;
    let start = Some(crowd.first_answer_us.p50 / 1e3);
    let clean = crowd.errors() == 0;
    bars.push(at_most(&format!("start with {n} functions to first answer, p50"), "ms", start, (300.0, 40.0)));
    bars.push(at_most("memory of a registered function", "B", Some(crowd.idle_bytes), (2_048.0, 300.0)));
    bars.push(at_most(
        "memory of a loaded function",
        "KiB",
        Some(crowd.loaded_bytes / 1024.0),
        (100.0, 15.0),
    ));
    let rate = clean.then(|| crowd.rate());
    bars.push(at_least(
        &format!("{n} functions, Zipf {}, of the rate of one", crowd.zipf),
        "x",
        rate,
        (0.5, 0.95),
    ));
    let cpu = clean.then(|| crowd.cpu());
    bars.push(at_most(&format!("CPU of a request, {n} functions over one"), "x", cpu, (1.15, 1.03)));
}

fn of_native(rows: &[Row], name: &str) -> Option<f64> {
    Some(clean(rows, name)?.over(native(rows)?))
}

fn over(rows: &[Row], mine: &str, theirs: &str) -> Option<f64> {
    Some(clean(rows, mine)?.over(clean(rows, theirs)?))
}

fn at_least(what: &str, unit: &'static str, measured: Option<f64>, (goal, strive): (f64, f64)) -> Bar {
    Bar { what: what.to_owned(), unit, measured, goal, strive, met: measured.map(|value| value >= goal) }
}

fn at_most(what: &str, unit: &'static str, measured: Option<f64>, (goal, strive): (f64, f64)) -> Bar {
    Bar { what: what.to_owned(), unit, measured, goal, strive, met: measured.map(|value| value <= goal) }
}
