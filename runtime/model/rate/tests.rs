//! Rates: never more than allowed in any stretch of time, and a refusal that says the truth.

use proptest::prelude::*;

use super::{Cell, Rate};

#[test]
fn no_rate_is_no_limit() {
    assert_eq!(Rate::new(0, 5), None);
}

#[test]
fn a_burst_is_let_in_at_once_and_then_one_at_a_time() {
    let (rate, cell) = (Rate::new(10, 3).unwrap(), Cell::default());
    let now = 5_000_000_000;
    assert!((0..3).all(|_| cell.take(&rate, now).is_ok()));
    assert_eq!(cell.take(&rate, now), Err(100));
    assert_eq!(cell.take(&rate, now + 99_000_000), Err(1));
    assert!(cell.take(&rate, now + 100_000_000).is_ok());
    assert!(cell.take(&rate, now + 100_000_000).is_err());
}

#[test]
fn what_is_taken_back_can_be_taken_again() {
    let (rate, cell) = (Rate::new(1, 1).unwrap(), Cell::default());
    assert!(cell.take(&rate, 1).is_ok());
    assert!(cell.take(&rate, 2).is_err());
    cell.untake(&rate);
    assert!(cell.take(&rate, 3).is_ok());
}

proptest! {
    #[test]
    fn no_stretch_of_time_has_more_than_its_share_and_a_burst(
        per_second in 1u32..2_000, burst in 0u32..50,
        gaps in proptest::collection::vec(0u64..50_000_000, 1..400),
    ) {
        let (rate, cell) = (Rate::new(per_second, burst).unwrap(), Cell::default());
        let burst = u64::from(if burst == 0 { per_second } else { burst });
        let (mut now, mut taken) = (1_000_000_000, Vec::new());
        for gap in gaps {
            now += gap;
            match cell.take(&rate, now) {
                Ok(()) => taken.push(now),
                Err(wait) => {
                    // Asked again when it was told to, it is let in.
                    prop_assert!(wait > 0);
                    now += wait * 1_000_000;
                    prop_assert_eq!(cell.take(&rate, now), Ok(()));
                    taken.push(now);
                }
            }
        }
        let interval = 1_000_000_000 / u64::from(per_second);
        for (first, began) in taken.iter().enumerate() {
            let last = taken.len() - 1;
            let most = (taken[last] - began) / interval + burst;
            prop_assert!((last - first + 1) as u64 <= most);
        }
    }
}
