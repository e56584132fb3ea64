//! Fuses: many threads, one breaker.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use super::{Fuse, TROUBLED, WELL};
use crate::model::breaker::{Pass, Phase, Rules};

const MS: u64 = 1_000_000;

fn late() -> u64 {
    3_600_000 * MS
}

#[test]
fn without_a_failure_nothing_is_counted() {
    let fuse = Fuse::new(Rules::default());
    for _ in 0..5_000 {
        assert_eq!(fuse.enter(0), Ok(Pass::Free));
        fuse.went_well(late);
    }
    assert_eq!((fuse.word.load(SeqCst), fuse.good.load(SeqCst)), (WELL, 0));
}

#[test]
fn trouble_is_forgotten_once_it_is_past() {
    let fuse = Fuse::new(Rules::default());
    assert!(!fuse.failed(0));
    assert_eq!(fuse.word.load(SeqCst), TROUBLED);
    for _ in 0..super::LOOK {
        fuse.went_well(late);
    }
    assert_eq!(fuse.word.load(SeqCst), WELL);
}

#[test]
fn of_many_threads_one_gets_the_probe_and_its_end_decides() {
    let fuse = Fuse::new(Rules::default());
    assert_eq!((0..10).filter(|_| fuse.failed(0)).count(), 1);
    let probes = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                if fuse.enter(1_000 * MS) == Ok(Pass::Probe) {
                    probes.fetch_add(1, SeqCst);
                }
            });
        }
    });
    assert_eq!(probes.load(SeqCst), 1);
    assert!(matches!(fuse.phase(), Phase::Probing { .. }));
    fuse.probed(1_001 * MS, None);
    assert_eq!(fuse.enter(1_001 * MS), Ok(Pass::Probe));
    fuse.probed(1_002 * MS, Some(true));
    assert_eq!((fuse.enter(1_002 * MS), fuse.phase()), (Ok(Pass::Free), Phase::Closed));
}

#[test]
fn rules_that_say_so_never_open_it() {
    let fuse = Fuse::new(Rules { enabled: false, ..Rules::default() });
    assert!((0..1_000).all(|_| !fuse.failed(0)));
    assert_eq!(fuse.enter(0), Ok(Pass::Free));
}
