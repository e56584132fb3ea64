//! Storage beside a map that does the same. Must never depend on what ran before.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Keys to expect (rightly or wrongly), to put and to delete.
    Commit(Vec<(u8, bool)>, Vec<(u8, u8)>, Vec<u8>),
    Reopen,
    Scan(u8, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let expects = prop::collection::vec((0..6_u8, prop::bool::weighted(0.9)), 0..3);
    let puts = prop::collection::vec((0..6_u8, any::<u8>()), 0..4);
    let deletes = prop::collection::vec(0..6_u8, 0..3);
    prop_oneof![
        8 => (expects, puts, deletes).prop_map(|(e, p, d)| Step::Commit(e, p, d)),
        1 => Just(Step::Reopen),
        2 => (0..7_u8, 1..5_usize).prop_map(|(after, limit)| Step::Scan(after, limit)),
    ]
}

fn key(number: u8) -> String {
    // Two prefixes, one of which begins with the other.
    format!("{}/{number}", if number.is_multiple_of(2) { "a" } else { "a/b" })
}

/// Does the same to the map; gives the revision, or none for a conflict.
fn apply(model: &mut Model, last: Revision, commit: &Commit) -> Option<Revision> {
    let at = |key: &String| model.get(key).map(|(_, revision)| *revision);
    if commit.expect.iter().any(|(key, expected)| at(key) != *expected) {
        return None;
    }
    if commit.puts.is_empty() && commit.deletes.is_empty() {
        return Some(last);
    }
    let next = Revision(last.0 + 1);
    for key in &commit.deletes {
        model.remove(key);
    }
    for (key, value) in &commit.puts {
        model.insert(key.clone(), (value.clone(), next));
    }
    Some(next)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn storage_does_what_a_map_does(steps in prop::collection::vec(step(), 1..30)) {
        let (_temp, dir) = data_dir();
        let mut storage = block_on(Storage::open(&dir, "catalog")).unwrap();
        let (mut model, mut last) = (Model::new(), Revision(0));
        // What somebody sees who reads nothing but the changes.
        let mut followed: BTreeMap<String, Revision> = BTreeMap::new();
        let mut seen = Revision(0);
        for step in steps {
            match step {
                Step::Reopen => {
                    drop(storage);
                    storage = block_on(Storage::open(&dir, "catalog")).unwrap();
                    prop_assert_eq!(storage.revision(), last);
                }
                Step::Commit(expects, puts, deletes) => {
                    let commit = Commit {
                        expect: expects.into_iter().map(|(number, right)| {
                            let now = model.get(&key(number)).map(|(_, revision)| *revision);
                            let wrong = if now.is_none() { Some(Revision(1)) } else { None };
                            (key(number), if right { now } else { wrong })
                        }).collect(),
                        puts: puts.into_iter().map(|(number, value)| (key(number), vec![value])).collect(),
                        deletes: deletes.into_iter().map(key).collect(),
                        at_most: vec![],
                    };
                    let expected = apply(&mut model, last, &commit);
                    match block_on(storage.commit(commit)) {
                        Ok(revision) => {
                            prop_assert_eq!(Some(revision), expected);
                            last = revision;
                        }
                        Err(CommitError::Conflict { .. }) => prop_assert_eq!(None, expected),
                        Err(error) => prop_assert!(false, "{}", error),
                    }
                }
                Step::Scan(after, limit) => {
                    let after = key(after);
                    for prefix in ["a/", "a/b/", ""] {
                        let found = block_on(storage.scan(prefix, Some(&after), limit)).unwrap();
                        let expected: Vec<_> = model.iter()
                            .filter(|(key, _)| key.starts_with(prefix) && **key > after)
                            .take(limit)
                            .map(|(key, (value, revision))| Entry { key: key.clone(), value: value.clone(), revision: *revision })
                            .collect();
                        prop_assert_eq!(found, expected);
                    }
                }
            }
        }
        loop {
            let changes = block_on(storage.changes(seen, 3)).unwrap();
            let Some(end) = changes.last() else { break };
            seen = end.revision;
            for change in changes {
                if change.deleted {
                    followed.remove(&change.key);
                } else {
                    followed.insert(change.key, change.revision);
                }
            }
        }
        let expected: BTreeMap<_, _> = model.iter().map(|(key, (_, revision))| (key.clone(), *revision)).collect();
        prop_assert_eq!(followed, expected);
    }

    #[test]
    fn a_scan_finds_all_that_begins_with_its_prefix(keys in prop::collection::btree_set("[a\u{7f}\u{d7ff}\u{10ffff}]{1,3}", 1..20), prefix in "[a\u{7f}\u{d7ff}\u{10ffff}]{0,2}") {
        let temp = tempfile::tempdir().unwrap();
        let mut database = Database::open(&temp.path().join("a.db")).unwrap();
        let puts = keys.iter().map(|key| (key.clone(), vec![])).collect();
        database.commit_all(&[Commit { puts, ..Commit::default() }]).pop().unwrap().unwrap();
        let found: Vec<_> = database.scan(&prefix, None, 99).unwrap().into_iter().map(|entry| entry.key).collect();
        let expected: Vec<_> = keys.into_iter().filter(|key| key.starts_with(&prefix)).collect();
        prop_assert_eq!(found, expected);
    }
}
