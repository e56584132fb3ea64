//! The table and the weighing of versions: pure enough to be checked without an engine.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::live::{Facts, Live};
use super::table::{Route, Shared, Table};
use crate::engine::program::ProgramId;
use crate::host::Grant;
use crate::host::account::Accounts;
use crate::host::logs::GuestLog;
use crate::model::breaker::Rules;
use crate::model::limits::Limits;
use crate::model::name::{FunctionName, TenantName};
use crate::model::version::{Digest, Handler, Profile, VersionNumber};
use crate::records::Records;

fn live(number: u32) -> Arc<Live> {
    let grant = Grant {
        variables: Arc::new([]),
        memory_bytes: 1,
        table_elements: 1,
        log: GuestLog::new(String::new()),
        account: Accounts::unlimited().of(&"acme".parse().unwrap()),
    };
    let facts = Facts {
        number: VersionNumber(number),
        digest: Digest([0; 32]),
        handler: Handler::Http02,
        profile: Profile::Lean,
        limits: Limits::default(),
        max_requests: 1,
        retry: false,
        grant,
        breaker: Rules::default(),
        server_timing: true,
    };
    Live::new(ProgramId::next(), facts)
}

fn names() -> (TenantName, FunctionName) {
    ("acme".parse().unwrap(), "hello".parse().unwrap())
}

#[test]
fn a_route_keeps_the_count_of_requests_across_activations() {
    let table = Table::new(Accounts::unlimited());
    let (tenant, function) = names();
    assert!(table.put(&tenant, &function, vec![(live(1), 1)], false).is_none());
    let first = table.now().find("acme", "hello").unwrap().clone();
    table.put(&tenant, &function, vec![(live(2), 1)], false);
    let second = table.now().find("acme", "hello").unwrap().clone();
    assert!(Arc::ptr_eq(&first.shared, &second.shared));
    assert_eq!(second.pick().unwrap().number, VersionNumber(2));
}

#[test]
fn a_removed_tenant_leaves_no_route_behind() {
    let table = Table::new(Accounts::unlimited());
    let (tenant, function) = names();
    table.put(&tenant, &function, vec![(live(1), 1)], false);
    assert_eq!(table.remove_tenant(&tenant).len(), 1);
    assert!(table.now().find("acme", "hello").is_none());
    assert!(table.remove(&tenant, &function).is_none());
}

#[test]
fn a_storm_of_failures_logs_a_few_lines_a_second() {
    let (tenant, function) = names();
    let shared = Shared::new(&Records::default(), Accounts::unlimited().of(&tenant), &function);
    let second = |n: u64| n * 1_000_000_000 + 5;
    let logged = |now| (0..1_000).filter(|_| shared.may_log(now)).count();
    assert_eq!(logged(second(1)), 10);
    assert_eq!(logged(second(2)), 10);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn requests_are_spread_as_the_weights_say(weights in proptest::collection::vec(1u32..=100, 1..=8)) {
        let (tenant, function) = names();
        let shared = Shared::new(&Records::default(), Accounts::unlimited().of(&tenant), &function);
        let numbered = (1u32..).zip(&weights);
        let versions = numbered.map(|(number, weight)| (live(number), *weight)).collect();
        let route = Route::new((tenant, function), shared, versions, false);
        let mut picked: HashMap<u32, f64> = HashMap::new();
        for _ in 0..10_000 {
            *picked.entry(route.pick().unwrap().number.0).or_default() += 1.0;
        }
        let total: u32 = weights.iter().sum();
        for (number, weight) in (1u32..).zip(&weights) {
            let wanted = 10_000.0 * f64::from(*weight) / f64::from(total);
            let got = picked.get(&number).copied().unwrap_or(0.0);
            prop_assert!((got - wanted).abs() <= 10.0, "version {number}: {got} of {wanted}");
        }
    }
}
