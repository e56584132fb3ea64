//! Ten thousand functions. Must never assert how long anything takes.

use super::*;

#[tokio::test]
async fn a_snapshot_of_ten_thousand_functions_is_quick_and_none_is_missing() {
    let f = fixture().await;
    let owner = f.catalog.get_tenant(&tenant("default")).await.unwrap().unwrap();
    let new = new(1);
    let publishing = Publishing { new: &new, activate: true, keep: 10 };
    let mut puts = Vec::new();
    for number in 0..10_000 {
        let function = Function::new(&owner, &function(&format!("f{number}")));
        let made = publishing.plan(function, vec![], 1).unwrap();
        let key = function_key(owner.id, &made.function.name);
        puts.push((key.clone(), encode(&key, &made.function).unwrap()));
        let key = version_key(made.function.id, made.version.number);
        puts.push((key.clone(), encode(&key, &made.version).unwrap()));
    }
    for chunk in puts.chunks(4_000) {
        let commit = Commit { puts: chunk.to_vec(), ..Commit::default() };
        f.storage.commit(commit).await.unwrap();
    }
    let start = Instant::now();
    let snapshot = f.catalog.snapshot().await.unwrap();
    println!("snapshot of {} functions: {:?}", snapshot.functions.len(), start.elapsed());
    assert_eq!((snapshot.functions.len(), snapshot.damaged.len()), (10_000, 0));
    // Ten times what it takes without optimization on a slow machine; far less than a quadratic scan would.
    assert!(start.elapsed().as_secs() < 10);
    let start = Instant::now();
    assert_eq!(f.catalog.referenced_digests().await.unwrap().len(), 1);
    println!("referenced digests: {:?}", start.elapsed());
    let limits = ServerLimits { functions_per_tenant: 10_001, ..LIMITS() };
    let roomy = Catalog::open(f.storage.clone(), &limits).await.unwrap();
    let start = Instant::now();
    roomy.publish_active(&owner.name, &function("one-more"), &new).await.unwrap();
    println!("one more function: {:?}", start.elapsed());
    let full = roomy.publish_active(&owner.name, &function("too-many"), &new).await;
    assert!(matches!(full, Err(CatalogError::TooManyFunctions { limit: 10_001, .. })));
    let prefix = functions_prefix(owner.id);
    assert!(f.storage.scan(&prefix, None, 1).await.unwrap()[0].key.starts_with(&prefix));
}
