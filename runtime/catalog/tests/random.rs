//! Whatever is asked for in whatever order: what the catalog must hold always. Must never depend on what ran before.

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Publish { content: u8, activate: bool },
    Activate(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..12_u8, any::<bool>()).prop_map(|(content, activate)| Step::Publish { content, activate }),
        1 => (1..30_u32).prop_map(Step::Activate),
    ]
}

proptest! {
    #[test]
    fn what_passes_the_check_can_be_served_and_what_cannot_is_refused(
        weights in prop::collection::vec((0..10_u32, prop_oneof![0..3_u32, 999_999..1_000_002_u32, any::<u32>()]), 0..11),
    ) {
        let weights: Vec<Weight> = weights.into_iter().map(|(v, w)| weight(v, w)).collect();
        let exists = |version: VersionNumber| version.0 < 8;
        let distinct: BTreeMap<_, _> = weights.iter().map(|w| (w.version, w.weight)).collect();
        let good = (1..=WEIGHTS).contains(&weights.len())
            && distinct.len() == weights.len()
            && weights.iter().all(|w| exists(w.version) && (1..=WEIGHT_MAX).contains(&w.weight));
        let checked = Activation::check(&weights, exists);
        prop_assert_eq!(checked.is_ok(), good, "{:?}", checked);
        if good {
            let sum = weights.iter().try_fold(0_u32, |sum, w| sum.checked_add(w.weight));
            prop_assert!(sum.is_some_and(|sum| sum > 0));
        }
    }

    #[test]
    fn publishing_never_drops_what_answers_and_never_gives_a_number_twice(
        steps in prop::collection::vec(step(), 1..40), keep in 1..5_usize,
    ) {
        let owner = Tenant { id: TenantId::generate(), name: TenantName::default_tenant(), created_ms: 0 };
        let mut function = Function::new(&owner, &function("f"));
        let mut versions: Vec<Version> = Vec::new();
        let mut given = BTreeSet::new();
        for step in steps {
            let before = function.clone();
            match step {
                Step::Publish { content, activate } => {
                    let new = new(content);
                    let publishing = Publishing { new: &new, activate, keep };
                    let done = publishing.plan(function, versions.clone(), 1).unwrap();
                    function = done.function;
                    versions.retain(|version| !done.dropped.contains(version));
                    if done.created {
                        prop_assert!(given.insert(done.version.number));
                        versions.push(done.version.clone());
                    } else {
                        prop_assert_eq!(&done.dropped, &[]);
                    }
                    prop_assert!(versions.contains(&done.version));
                    prop_assert_eq!(&function.id, &before.id);
                    // Without this, a change of the versions could pass another one unseen.
                    prop_assert!(!done.created || function != before);
                    let answering = versions.iter().filter(|v| function.is_active(v.number)).count();
                    prop_assert!(versions.len() <= keep.max(answering + 1));
                    if activate {
                        let weights = &function.activation.as_ref().unwrap().weights;
                        prop_assert_eq!(weights.len(), 1);
                        prop_assert_eq!(weights[0].version, done.version.number);
                    } else {
                        prop_assert_eq!(&function.activation, &before.activation);
                    }
                }
                Step::Activate(number) => {
                    if versions.iter().any(|version| version.number.0 == number) {
                        function.move_to(vec![weight(number, 7)], 2);
                    }
                }
            }
            let moved = function.activation_revision() - before.activation_revision();
            prop_assert_eq!(moved, u64::from(function.activation != before.activation));
            for weight in function.activation.iter().flat_map(|a| &a.weights) {
                prop_assert!(versions.iter().any(|version| version.number == weight.version));
            }
        }
    }
}
