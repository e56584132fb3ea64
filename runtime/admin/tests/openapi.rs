//! What holds of openapi.

use std::path::Path;

use serde_json::Value;

use super::Rig;
use crate::admin::health::WASMTIME;
use crate::admin::openapi;
use crate::admin::service::documented;

/// Set to write the description instead of comparing it.
const BLESS: &str = "SPAWNPOINT_BLESS";

#[test]
fn the_checked_in_description_is_what_is_served() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("runtime/admin/openapi.json");
    let text = openapi::text(&documented().to_openapi());
    if std::env::var_os(BLESS).is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == text,
        "runtime/admin/openapi.json is not what is served: look at the change, then run this test with {BLESS}=1"
    );
}

#[test]
fn the_engines_version_is_the_one_in_the_lock_file() {
    let lock = include_str!("../../../Cargo.lock");
    assert!(lock.contains(&format!("name = \"wasmtime\"\nversion = \"{WASMTIME}\"\n")));
}

#[tokio::test]
async fn the_description_is_open_and_says_what_is_not() {
    let rig = Rig::new().await;
    let answer = rig.send("GET", openapi::PATH, &[], axum::body::Body::empty()).await;
    assert_eq!(answer.status, 200);
    let api = answer.json();
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(api["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    let mut operations = 0;
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations += 1;
            let open = operation["security"] == serde_json::json!([{}]);
            assert_eq!(open, !path.starts_with("/v1"), "{method} {path}");
            assert!(
                operation["summary"].is_string() && operation["operationId"].is_string(),
                "{method} {path}"
            );
        }
    }
    assert_eq!(operations, 19);
    no_dangling_reference(&api, &api);
}

fn no_dangling_reference(api: &Value, at: &Value) {
    match at {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get("$ref") {
                let pointer = target.strip_prefix('#').unwrap();
                assert!(api.pointer(pointer).is_some(), "{target}");
            }
            fields.values().for_each(|value| no_dangling_reference(api, value));
        }
        Value::Array(values) => values.iter().for_each(|value| no_dangling_reference(api, value)),
        _ => {}
    }
}
