//! The catalog over a real database: what is visible when, who wins, and what a crash leaves.

mod many;
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use proptest::prelude::*;

use super::publish::Publishing;
use super::record::{deletion_key, encode, function_key, functions_prefix, tenant_key, version_key};
use super::*;
use crate::model::limits::WEIGHTS;
use crate::model::manifest::Manifest;
use crate::model::version::{Digest, Handler, Profile};
use crate::storage::DataDir;

const LIMITS: fn() -> ServerLimits = || ServerLimits {
    tenants: 3,
    functions_per_tenant: 3,
    versions_per_function: 3,
    ..ServerLimits::default()
};

struct Fixture {
    catalog: Catalog,
    storage: Storage,
    dir: DataDir,
    _temp: tempfile::TempDir,
}

async fn fixture() -> Fixture {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(temp.path()).unwrap();
    let storage = Storage::open(&dir, "catalog").await.unwrap();
    let catalog = Catalog::open(storage.clone(), &LIMITS()).await.unwrap();
    Fixture { catalog, storage, dir, _temp: temp }
}

fn tenant(name: &str) -> TenantName {
    name.parse().unwrap()
}

fn function(name: &str) -> FunctionName {
    name.parse().unwrap()
}

fn new(content: u8) -> NewVersion {
    NewVersion {
        digest: Digest([content; 32]),
        size_bytes: 10,
        handler: Handler::Http02,
        profile: Profile::Lean,
        manifest: Manifest::default(),
    }
}

fn weight(version: u32, weight: u32) -> Weight {
    Weight { version: VersionNumber(version), weight }
}

fn numbers(versions: &[Version]) -> Vec<u32> {
    versions.iter().map(|version| version.number.0).collect()
}

#[tokio::test]
async fn the_default_tenant_is_there_and_stays() {
    let f = fixture().await;
    let default = TenantName::default_tenant();
    let first = f.catalog.get_tenant(&default).await.unwrap().unwrap();
    assert_eq!(f.catalog.ensure_default_tenant().await.unwrap(), first);
    let error = f.catalog.delete_tenant(&default).await.unwrap_err();
    assert!(matches!(error, CatalogError::DefaultTenant));
}

#[tokio::test]
async fn tenants_are_made_once_listed_by_name_and_limited() {
    let f = fixture().await;
    let (b, created) = f.catalog.put_tenant(&tenant("b")).await.unwrap();
    assert!(created);
    assert_eq!(f.catalog.put_tenant(&tenant("b")).await.unwrap(), (b, false));
    f.catalog.put_tenant(&tenant("a")).await.unwrap();
    let error = f.catalog.put_tenant(&tenant("c")).await.unwrap_err();
    assert!(matches!(error, CatalogError::TooManyTenants { limit: 3 }), "{error}");
    let names = async |after: Option<&str>, limit| {
        let after = after.map(tenant);
        let page = f.catalog.list_tenants(after.as_ref(), limit).await.unwrap();
        page.into_iter().map(|t| t.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(None, 2).await, ["a", "b"]);
    assert_eq!(names(Some("b"), 2).await, ["default"]);
    f.catalog.delete_tenant(&tenant("a")).await.unwrap();
    f.catalog.put_tenant(&tenant("c")).await.unwrap();
}

#[tokio::test]
async fn a_tenant_made_anew_is_empty_and_another_tenant() {
    let f = fixture().await;
    let (first, _) = f.catalog.put_tenant(&tenant("a")).await.unwrap();
    f.catalog.publish_active(&tenant("a"), &function("f"), &new(1)).await.unwrap();
    f.catalog.publish(&tenant("a"), &function("f"), &new(2)).await.unwrap();
    f.catalog.publish_active(&tenant("default"), &function("f"), &new(3)).await.unwrap();
    let deleted = f.catalog.delete_tenant(&tenant("a")).await.unwrap();
    assert_eq!(deleted.tenant, first);
    assert_eq!(deleted.functions.len(), 1);
    assert_eq!(deleted.digests, BTreeSet::from([new(1).digest, new(2).digest]));
    let error = f.catalog.get_function(&tenant("a"), &function("f")).await.unwrap_err();
    assert!(matches!(error, CatalogError::NoSuchTenant(_)));
    let (second, created) = f.catalog.put_tenant(&tenant("a")).await.unwrap();
    assert!(created && second.id != first.id);
    assert_eq!(f.catalog.list_functions(&tenant("a"), None, 9).await.unwrap(), []);
    assert_eq!(f.catalog.referenced_digests().await.unwrap(), [new(3).digest].into());
    assert_eq!(f.storage.scan("deletion/", None, 9).await.unwrap(), []);
}

#[tokio::test]
async fn a_deletion_that_a_crash_cut_short_is_ended_by_the_next_start() {
    let f = fixture().await;
    let (a, _) = f.catalog.put_tenant(&tenant("a")).await.unwrap();
    for name in ["f", "g"] {
        f.catalog.publish_active(&tenant("a"), &function(name), &new(1)).await.unwrap();
    }
    // What the first commit of a deletion leaves.
    let deletion = deletion_key(a.id);
    let commit = Commit {
        deletes: vec![tenant_key(&a.name)],
        puts: vec![(deletion.clone(), encode(&deletion, &a).unwrap())],
        ..Commit::default()
    };
    f.storage.commit(commit).await.unwrap();
    assert_eq!(f.catalog.snapshot().await.unwrap().functions, []);
    f.catalog.put_tenant(&a.name).await.unwrap();
    assert_eq!(f.catalog.list_functions(&a.name, None, 9).await.unwrap(), []);
    Catalog::open(f.storage.clone(), &LIMITS()).await.unwrap();
    for prefix in ["function/", "version/", "deletion/"] {
        assert_eq!(f.storage.scan(prefix, None, 9).await.unwrap(), [], "{prefix}");
    }
    assert!(f.catalog.get_tenant(&a.name).await.unwrap().is_some());
}

#[tokio::test]
async fn publishing_alone_changes_nothing_that_answers() {
    let f = fixture().await;
    let (t, name) = (tenant("default"), function("f"));
    let first = f.catalog.publish(&t, &name, &new(1)).await.unwrap();
    assert!(first.created && first.function.activation.is_none());
    assert_eq!(f.catalog.snapshot().await.unwrap().functions, []);
    let active = f.catalog.activate(&t, &name, &[weight(1, 5)], Some(0)).await.unwrap();
    assert_eq!(active.activation_revision(), 1);
    let second = f.catalog.publish(&t, &name, &new(2)).await.unwrap();
    assert_eq!(second.function.activation, active.activation);
    let snapshot = f.catalog.snapshot().await.unwrap();
    assert_eq!(snapshot.functions.len(), 1);
    assert_eq!(snapshot.functions[0].versions, [first.version]);
}

#[tokio::test]
async fn publishing_the_same_again_gives_the_same_version() {
    let f = fixture().await;
    let (t, name) = (tenant("default"), function("f"));
    let first = f.catalog.publish_active(&t, &name, &new(1)).await.unwrap();
    let before = f.storage.revision();
    let again = f.catalog.publish_active(&t, &name, &new(1)).await.unwrap();
    assert_eq!((again.version.id, again.created), (first.version.id, false));
    assert_eq!(again.function, first.function);
    assert_eq!(f.storage.revision(), before, "nothing was written");
    let mut other = new(1);
    other.manifest.variables.insert("a".into(), "b".into());
    let third = f.catalog.publish_active(&t, &name, &other).await.unwrap();
    assert_eq!((third.version.number, third.created), (VersionNumber(2), true));
    // A deploy of what was there before is a rollback.
    let back = f.catalog.publish_active(&t, &name, &new(1)).await.unwrap();
    assert_eq!((back.version.number, back.created), (VersionNumber(1), false));
    assert_eq!(back.function.activation_revision(), 3);
    let found = f.catalog.lookup_equal(&t, &name, other.digest, &other.manifest).await.unwrap();
    assert_eq!(found.unwrap().number, VersionNumber(2));
    let none = f.catalog.lookup_equal(&t, &function("g"), other.digest, &other.manifest).await;
    assert_eq!(none.unwrap(), None);
}

#[tokio::test]
async fn the_oldest_version_that_does_not_answer_is_dropped() {
    let f = fixture().await;
    let (t, name) = (tenant("default"), function("f"));
    for content in 1..=3 {
        let published = f.catalog.publish_active(&t, &name, &new(content)).await.unwrap();
        assert_eq!(published.dropped, []);
    }
    f.catalog.activate(&t, &name, &[weight(1, 1)], None).await.unwrap();
    let fourth = f.catalog.publish(&t, &name, &new(4)).await.unwrap();
    assert_eq!(numbers(&fourth.dropped), [2]);
    let fifth = f.catalog.publish_active(&t, &name, &new(5)).await.unwrap();
    assert_eq!(numbers(&fifth.dropped), [1]);
    let kept = f.catalog.list_versions(&t, &name, None, 9).await.unwrap();
    assert_eq!(numbers(&kept), [3, 4, 5]);
    let page = f.catalog.list_versions(&t, &name, Some(VersionNumber(3)), 1).await.unwrap();
    assert_eq!(numbers(&page), [4]);
    let error = f.catalog.get_version(&t, &name, VersionNumber(1)).await.unwrap_err();
    assert_eq!(error.to_string(), "function `f` has no version 1");
    // A number is never used again, whatever was dropped.
    let again = f.catalog.publish(&t, &name, &new(1)).await.unwrap();
    assert_eq!((again.version.number, again.created), (VersionNumber(6), true));
}

#[tokio::test]
async fn an_activation_moves_only_from_where_the_caller_has_seen_it() {
    let f = fixture().await;
    let (t, name) = (tenant("default"), function("f"));
    f.catalog.publish_active(&t, &name, &new(1)).await.unwrap();
    f.catalog.publish(&t, &name, &new(2)).await.unwrap();
    let split = [weight(2, 1), weight(1, 9)];
    let moved = f.catalog.activate(&t, &name, &split, Some(1)).await.unwrap();
    let activation = moved.activation.clone().unwrap();
    assert_eq!((activation.revision, activation.weights), (2, vec![weight(1, 9), weight(2, 1)]));
    let error = f.catalog.activate(&t, &name, &[weight(1, 1)], Some(1)).await.unwrap_err();
    assert!(matches!(error, CatalogError::Conflict { expected: 1, current: 2 }), "{error}");
    let same = f.catalog.activate(&t, &name, &split, Some(2)).await.unwrap();
    assert_eq!(same, moved);
    let error = f.catalog.activate(&t, &name, &[weight(7, 1)], None).await.unwrap_err();
    assert!(matches!(error, CatalogError::BadActivation(BadActivation::NoSuchVersion(_))));
    let many = vec![weight(1, 1); 2_000];
    let error = f.catalog.activate(&t, &name, &many, None).await.unwrap_err();
    assert!(matches!(error, CatalogError::BadActivation(BadActivation::Count(2_000))));
    let error = f.catalog.activate(&t, &function("g"), &split, None).await.unwrap_err();
    assert!(matches!(error, CatalogError::NoSuchFunction { .. }));
    let snapshot = f.catalog.snapshot().await.unwrap();
    assert_eq!(numbers(&snapshot.functions[0].versions), [1, 2]);
}

#[tokio::test]
async fn a_pause_moves_the_revision_and_not_the_weights() {
    let f = fixture().await;
    let (t, name) = (tenant("default"), function("f"));
    let published = f.catalog.publish(&t, &name, &new(1)).await.unwrap().function;
    let paused = f.catalog.set_paused(&t, &name, true, Some(0)).await.unwrap();
    assert_eq!((paused.paused, paused.activation_revision()), (true, 0), "nothing is active yet");
    assert_eq!(Function { paused: false, ..paused }, published);
    let active = f.catalog.activate(&t, &name, &[weight(1, 1)], Some(0)).await.unwrap();
    assert_eq!((active.paused, active.activation_revision()), (true, 1));
    let again = f.catalog.publish_active(&t, &name, &new(2)).await.unwrap().function;
    assert_eq!((again.paused, again.activation_revision()), (true, 2));
    assert!(f.catalog.snapshot().await.unwrap().functions[0].function.paused);
    let before = f.storage.revision();
    assert_eq!(f.catalog.set_paused(&t, &name, true, None).await.unwrap(), again);
    assert_eq!(f.storage.revision(), before, "nothing was written");
    let resumed = f.catalog.set_paused(&t, &name, false, Some(2)).await.unwrap();
    assert_eq!((resumed.paused, resumed.activation_revision()), (false, 3));
    assert_eq!(resumed.activation.unwrap().weights, again.activation.unwrap().weights);
    let error = f.catalog.set_paused(&t, &name, true, Some(2)).await.unwrap_err();
    assert!(matches!(error, CatalogError::Conflict { expected: 2, current: 3 }), "{error}");
    let error = f.catalog.set_paused(&t, &function("g"), true, None).await.unwrap_err();
    assert!(matches!(error, CatalogError::NoSuchFunction { .. }));
}

#[tokio::test]
async fn a_function_stored_before_there_were_pauses_is_not_paused() {
    let f = fixture().await;
    let (t, name) = (tenant("default"), function("f"));
    let published = f.catalog.publish_active(&t, &name, &new(1)).await.unwrap().function;
    let key = function_key(published.tenant_id, &name);
    let (bytes, _) = f.storage.get(&key).await.unwrap().unwrap();
    let mut stored: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(stored["format"], 1);
    assert!(stored["record"].as_object_mut().unwrap().remove("paused").is_some());
    let puts = vec![(key, serde_json::to_vec(&stored).unwrap())];
    f.storage.commit(Commit { puts, ..Commit::default() }).await.unwrap();
    assert_eq!(f.catalog.get_function(&t, &name).await.unwrap().unwrap(), published);
    assert!(!f.catalog.snapshot().await.unwrap().functions[0].function.paused);
}

#[tokio::test]
async fn functions_are_limited_and_a_deleted_one_comes_back_as_another() {
    let f = fixture().await;
    let t = tenant("default");
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(f.catalog.publish_active(&t, &function(name), &new(1)).await.unwrap().function.id);
    }
    let error = f.catalog.publish_active(&t, &function("d"), &new(1)).await.unwrap_err();
    assert!(matches!(error, CatalogError::TooManyFunctions { limit: 3, .. }), "{error}");
    assert_eq!(f.catalog.get_function(&t, &function("d")).await.unwrap(), None);
    f.catalog.publish_active(&t, &function("a"), &new(2)).await.unwrap();
    let gone = f.catalog.delete_function(&t, &function("a")).await.unwrap();
    assert_eq!((gone.function.id, numbers(&gone.versions)), (ids[0], vec![1, 2]));
    assert_eq!(f.storage.scan(&format!("version/{}", ids[0]), None, 9).await.unwrap(), []);
    let again = f.catalog.publish(&t, &function("a"), &new(2)).await.unwrap();
    assert_eq!(again.version.number, VersionNumber(1));
    assert!(!ids.contains(&again.function.id));
    let error = f.catalog.delete_function(&t, &function("d")).await.unwrap_err();
    assert_eq!(error.to_string(), "tenant `default` has no function `d`");
    let page = f.catalog.list_functions(&t, Some(&function("a")), 1).await.unwrap();
    assert_eq!(page[0].name, function("b"));
}

#[tokio::test]
async fn concurrent_publishers_get_a_number_each_and_never_pass_the_limit() {
    let f = fixture().await;
    let t = tenant("default");
    let names: Vec<_> = (0..40).map(|n| function(&format!("f{n}"))).collect();
    let first = new(1);
    let makes = names.iter().map(|name| f.catalog.publish_active(&t, name, &first));
    let made = futures_util::future::join_all(makes).await;
    assert_eq!(made.iter().filter(|result| result.is_ok()).count(), 3);
    let name = f.catalog.list_functions(&t, None, 1).await.unwrap()[0].name.clone();
    let contents: Vec<_> = (2..42).map(new).collect();
    let attempts = contents.iter().map(|new| f.catalog.publish(&t, &name, new));
    let published = futures_util::future::join_all(attempts).await;
    let numbers: BTreeSet<_> = published.into_iter().map(|p| p.unwrap().version.number.0).collect();
    assert_eq!(numbers, (2..42).collect());
    assert_eq!(f.catalog.list_versions(&t, &name, None, 99).await.unwrap().len(), 3);
}

#[tokio::test]
async fn nothing_is_added_to_a_tenant_that_is_being_deleted() {
    let f = fixture().await;
    for _ in 0..20 {
        f.catalog.put_tenant(&tenant("a")).await.unwrap();
        let (t, name, new) = (tenant("a"), function("f"), new(1));
        let (published, deleted) =
            tokio::join!(f.catalog.publish_active(&t, &name, &new), f.catalog.delete_tenant(&t),);
        deleted.unwrap();
        assert!(matches!(published, Ok(_) | Err(CatalogError::NoSuchTenant(_))));
        assert_eq!(f.storage.scan("function/", None, 9).await.unwrap(), []);
        assert_eq!(f.storage.scan("version/", None, 9).await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_broken_record_costs_one_function_and_a_newer_one_is_named() {
    let f = fixture().await;
    let owner = tenant("default");
    let broke = f.catalog.publish_active(&owner, &function("a"), &new(1)).await.unwrap().function;
    let loses = f.catalog.publish_active(&owner, &function("b"), &new(1)).await.unwrap().function;
    let fine = f.catalog.publish_active(&owner, &function("c"), &new(1)).await.unwrap().function;
    let (broken, lost) =
        (function_key(broke.tenant_id, &broke.name), version_key(loses.id, VersionNumber(1)));
    let commit =
        Commit { puts: vec![(broken.clone(), b"{".to_vec())], deletes: vec![lost], ..Commit::default() };
    f.storage.commit(commit).await.unwrap();
    let snapshot = f.catalog.snapshot().await.unwrap();
    assert_eq!(snapshot.functions.iter().map(|x| x.function.id).collect::<Vec<_>>(), [fine.id]);
    assert_eq!(snapshot.damaged.len(), 2, "{:?}", snapshot.damaged);
    let error = f.catalog.get_function(&owner, &broke.name).await.unwrap_err();
    assert_eq!(error.to_string(), format!("record `{broken}` is corrupt"));
    // A form that this program cannot read at all is still told from a broken one.
    let newer = br#"{"record":{"shape":[]},"format":9}"#.to_vec();
    let commit = Commit { puts: vec![(broken, newer)], ..Commit::default() };
    f.storage.commit(commit).await.unwrap();
    let error = f.catalog.snapshot().await.unwrap_err();
    assert!(matches!(error, CatalogError::NewerFormat { format: 9, .. }), "{error}");
}

#[tokio::test]
async fn everything_is_the_same_after_a_restart() {
    let f = fixture().await;
    let t = tenant("default");
    let published = f.catalog.publish_active(&t, &function("f"), &new(1)).await.unwrap();
    let before = f.catalog.snapshot().await.unwrap();
    let Fixture { catalog, storage, dir, _temp } = f;
    drop((catalog, storage));
    let storage = Storage::open(&dir, "catalog").await.unwrap();
    let catalog = Catalog::open(storage, &LIMITS()).await.unwrap();
    let after = catalog.snapshot().await.unwrap();
    assert_eq!(after.functions, before.functions);
    assert_eq!(after.revision, before.revision);
    assert_eq!(after.functions[0].versions, [published.version]);
}
