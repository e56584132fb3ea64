//! What holds of notes.

use super::{BYTES, LINES, Notes};
use proptest::prelude::*;

proptest! {
    #[test]
    fn the_last_lines_are_kept_within_bounds(lengths in prop::collection::vec(0_usize..3_000, 0..60)) {
        let mut notes = Notes::default();
        let all: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(n, len)| vec![n as u8; *len]).collect();
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
