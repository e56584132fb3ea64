//! Shards are a map: whatever is done to one copy is seen there, and nowhere else.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::{FULL, Named, Shards};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Thing(String, usize);

impl Named for Thing {
    fn name(&self) -> &str {
        &self.0
    }
}

type Model = BTreeMap<String, usize>;

fn seen(shards: &Shards<Thing>) -> Model {
    shards.iter().map(|thing| (thing.0.clone(), thing.1)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn shards_are_a_map_of_which_older_copies_stay_as_they_were(
        steps in proptest::collection::vec((any::<bool>(), 0u16..300), 0..600),
    ) {
        let (mut shards, mut model) = (Shards::<Thing>::default(), Model::new());
        let mut copies: Vec<(Shards<Thing>, Model)> = vec![];
        for (nth, (put, name)) in steps.into_iter().enumerate() {
            if nth % 50 == 0 {
                copies.push((shards.clone(), model.clone()));
            }
            let name = format!("f{name}");
            if put {
                let old = shards.insert(Arc::new(Thing(name.clone(), nth)));
                prop_assert_eq!(old.map(|thing| thing.1), model.insert(name.clone(), nth));
                prop_assert_eq!(shards.get(&name).map(|thing| thing.1), Some(nth));
            } else {
                let old = shards.remove(&name);
                prop_assert_eq!(old.map(|thing| thing.1), model.remove(&name));
                prop_assert!(shards.get(&name).is_none());
            }
            prop_assert_eq!(shards.len(), model.len());
        }
        copies.push((shards, model));
        for (shards, model) in copies {
            prop_assert_eq!(seen(&shards), model.clone());
            prop_assert_eq!(shards.iter().count(), shards.len());
            for (name, nth) in &model {
                prop_assert_eq!(shards.get(name).map(|thing| thing.1), Some(*nth));
            }
        }
    }
}

#[test]
fn a_change_copies_one_shard_of_many() {
    let mut shards = Shards::default();
    for nth in 0..10_000 {
        shards.insert(Arc::new(Thing(format!("f{nth}"), nth)));
    }
    let before = shards.clone();
    shards.insert(Arc::new(Thing("f77".to_owned(), 0)));
    let pairs = before.shards.iter().zip(&shards.shards);
    assert_eq!(pairs.filter(|(one, other)| !Arc::ptr_eq(one, other)).count(), 1);
    let longest = shards.shards.iter().map(|shard| shard.len()).max().unwrap();
    assert!(longest <= 6 * FULL, "{longest}");
}
