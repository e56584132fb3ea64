//! What holds of notes.

use super::{BYTES, LINES, Notes};
use crate::host::meter::Meter;
use crate::model::frame::Frame;
use proptest::prelude::*;

#[test]
fn what_one_call_printed_is_not_the_next_ones() {
    let meter = Meter::default();
    meter.says(b"one");
    meter.failed_at(vec![Frame::new(Some("f"), 1, None)]);
    meter.forgive();
    meter.says(b"two");
    let (lines, frames) = meter.take_notes().into_parts();
    assert_eq!((lines, frames), (vec![b"two".to_vec()], vec![]));
    assert_eq!(meter.take_notes().into_parts(), (vec![], vec![]));
}

proptest! {
    #[test]
    fn the_last_lines_are_kept_within_bounds(lengths in prop::collection::vec(0_usize..3_000, 0..60)) {
        let mut notes = Notes::default();
        let all: Vec<Vec<u8>> = lengths.iter().zip(0_u8..).map(|(len, n)| vec![n; *len]).collect();
        for line in &all {
            notes.line(line);
        }
        let (lines, _) = notes.into_parts();
        let bytes: usize = lines.iter().map(Vec::len).sum();
        prop_assert!(lines.len() <= LINES && bytes <= BYTES);
        prop_assert_eq!(&lines[..], &all[all.len() - lines.len()..]);
        // Nothing was thrown away for which there was room.
        if let Some(next) = all.len().checked_sub(lines.len() + 1) {
            prop_assert!(lines.len() == LINES || bytes + all[next].len() > BYTES);
        }
    }
}
