//! What it costs a request to be in the histograms of `/metrics`.
//! Must never record otherwise than a thread of the data plane does.

use std::hint::black_box;

use criterion::Criterion;
use spawnpoint::model::outcome::Start;
use spawnpoint::model::phase::{GuestTimes, Marks};
use spawnpoint::telemetry::times::Times;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("times");
    let times = Box::<Times>::default();
    let marks = Marks { began: 1_000, routed: 2_200, load_ns: 0, admitted: 2_700, again: 0 };
    // All that a warm request pays: four phases and their sum.
    group.bench_function("request", |bencher| {
        let mut now = 0_u64;
        bencher.iter(|| {
            // Other buckets each time, as between requests.
            now = now.wrapping_add(7_919) & 0xf_ffff;
            let marks = Marks { began: marks.began, ..black_box(marks) };
            let laps = marks.laps(GuestTimes::spawned(black_box(4_000)), 4_000 + black_box(now));
            times.record(black_box(Some(Start::Warm)), &laps);
        });
    });
    // What of it is there without histograms too: the times in `server-timing`.
    group.bench_function("laps", |bencher| {
        let mut now = 0_u64;
        bencher.iter(|| {
            now = now.wrapping_add(7_919) & 0xf_ffff;
            black_box(black_box(marks).laps(GuestTimes::spawned(black_box(4_000)), 4_000 + black_box(now)))
        });
    });
    group.finish();
    criterion.final_summary();
}
