//! Buckets hold what their bounds say, and threads' counts are added up.

use proptest::prelude::*;

use super::*;
use crate::model::phase::{GuestTimes, Marks};

fn text(all: &[Arc<Times>]) -> String {
    let mut text = Text::default();
    write(all, &mut text);
    text.into_string()
}

#[test]
fn a_bound_belongs_to_its_bucket_and_the_next_nanosecond_does_not() {
    for place in 0..BOUNDS {
        assert_eq!(bucket(bound(place)), place);
        assert_eq!(bucket(bound(place) + 1), place + 1);
    }
    assert_eq!((bucket(0), bound(0), bound(BOUNDS - 1)), (0, 1 << FIRST, 1 << LAST));
    assert_eq!(bucket(u64::MAX), BOUNDS);
}

#[test]
fn the_labels_are_those_of_the_header_in_order() {
    for start in [Start::Cold, Start::Spawned, Start::Warm, Start::Reset, Start::Reused] {
        assert_eq!(STARTS[start as usize], start.as_str());
    }
    for phase in Phase::ALL {
        assert_eq!(Phase::ALL[phase as usize], phase);
    }
}

#[test]
fn what_threads_recorded_is_added_up() {
    let all = [Arc::new(Times::default()), Arc::new(Times::default())];
    let marks = Marks { began: 0, routed: 1_000, admitted: 3_000, ..Marks::default() };
    all[0].record(Some(Start::Warm), &marks.laps(GuestTimes::spawned(5_000), 2_000_000_000));
    all[1].record(Some(Start::Warm), &marks.laps(GuestTimes::spawned(5_000), 1_000_000_000));
    all[1].record(None, &Marks { began: 1, ..Marks::default() }.laps(GuestTimes::spawned(0), 501));
    assert_eq!(answered(&all), 3);
    let text = text(&all);
    for line in [
        "# TYPE spawnpoint_request_phase_seconds histogram",
        r#"spawnpoint_request_phase_seconds_bucket{phase="route",start="warm",le="0.000001024"} 2"#,
        r#"spawnpoint_request_phase_seconds_bucket{phase="queue",start="warm",le="0.000001536"} 0"#,
        r#"spawnpoint_request_phase_seconds_bucket{phase="queue",start="warm",le="0.000002048"} 2"#,
        r#"spawnpoint_request_phase_seconds_bucket{phase="guest",start="warm",le="+Inf"} 2"#,
        r#"spawnpoint_request_phase_seconds_sum{phase="guest",start="warm"} 2.999990000"#,
        r#"spawnpoint_request_first_byte_seconds_sum{start="warm"} 3.000000000"#,
        r#"spawnpoint_request_first_byte_seconds_count{start="none"} 1"#,
    ] {
        assert!(text.lines().any(|each| each == line), "{line} in\n{text}");
    }
    // What did not occur is not there.
    assert!(!text.contains("load") && !text.contains("reused"), "{text}");
}

proptest! {
    #[test]
    fn a_longer_time_is_never_in_an_earlier_bucket(a in any::<u64>(), b in any::<u64>(), shift in 0..64_u32) {
        let (a, b) = (a >> shift, b >> shift);
        let (less, more) = (a.min(b), a.max(b));
        prop_assert!(bucket(less) <= bucket(more));
        prop_assert!(bucket(more) <= BOUNDS);
        let place = bucket(a);
        prop_assert!(place == BOUNDS || a <= bound(place), "above its bound");
        prop_assert!(place == 0 || a > bound(place - 1), "below the bound before it");
    }
}
