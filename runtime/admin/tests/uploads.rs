//! What holds of uploads.

use axum::body::Body;

use super::{Rig, UPLOAD};

const PATH: &str = "/v1/tenants/default/functions/hello";

fn form(parts: &[(&str, &str)]) -> String {
    let parts = parts.iter().map(|(name, content)| {
        format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n{content}\r\n")
    });
    parts.collect::<String>() + "--b--\r\n"
}

/// A body whose length nobody is told.
fn stream(bytes: usize) -> Body {
    let chunk = 64 * 1024;
    let chunks = (0..bytes.div_ceil(chunk))
        .map(move |at| Ok::<_, std::io::Error>(vec![0_u8; chunk.min(bytes - at * chunk)]));
    Body::from_stream(futures_util::stream::iter(chunks))
}

/// A body that must not be read.
fn untouched() -> Body {
    Body::from_stream(futures_util::stream::poll_fn(
        |_| -> std::task::Poll<Option<Result<Vec<u8>, std::io::Error>>> { panic!("the body was read") },
    ))
}

/// Parts, the code and what the detail names.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);

const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=b");

#[tokio::test]
async fn what_can_be_refused_before_the_body_is() {
    let rig = Rig::new().await;
    let none = rig.ask("PUT", "/v1/tenants/nobody/functions/hello", untouched()).await;
    none.refused(404, "no_such_tenant");
    rig.ask("PUT", "/v1/tenants/default/functions/No", untouched()).await.refused(400, "invalid_name");
    rig.send("PUT", PATH, &[], untouched()).await.refused(401, "unauthorized");
    let long = (UPLOAD + 1).to_string();
    let detail = rig.ask_with("PUT", PATH, &[("content-length", &long)], untouched()).await;
    assert!(detail.refused(413, "upload_too_large").contains(&UPLOAD.to_string()));
    for headers in [("content-type", "multipart/mixed; boundary=b"), ("content-encoding", "gzip")] {
        rig.ask_with("PUT", PATH, &[headers], untouched()).await.refused(415, "unsupported_media_type");
    }
    let no_boundary = [("content-type", "multipart/form-data")];
    rig.ask_with("PUT", PATH, &no_boundary, untouched()).await.refused(400, "invalid_multipart");
    for digest in ["sha-256", "sha-256=abc", "sha-256=:abc:"] {
        let answer = rig.ask_with("PUT", PATH, &[("content-digest", digest)], untouched()).await;
        answer.refused(400, "invalid_header");
    }
    assert_eq!(rig.kept(), 0);
}

#[tokio::test]
async fn an_upload_that_turns_out_too_large_leaves_nothing() {
    let rig = Rig::new().await;
    rig.ask("PUT", PATH, stream(UPLOAD + 1)).await.refused(413, "upload_too_large");
    let large = "x".repeat(UPLOAD + 1);
    rig.ask_with("PUT", PATH, &[FORM], form(&[("wasm", &large)])).await.refused(413, "upload_too_large");
    assert_eq!(rig.kept(), 0);
    // As large as allowed gets as far as the compiler.
    rig.ask("PUT", PATH, stream(UPLOAD)).await.refused(500, "host_error");
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing() {
    let rig = Rig::new().await;
    let broken = [Ok(vec![0; 300_000]), Err(std::io::Error::other("gone"))];
    let broken = Body::from_stream(futures_util::stream::iter(broken));
    rig.ask("PUT", PATH, broken).await.refused(400, "upload_aborted");
    assert_eq!(rig.kept(), 0);
}

#[tokio::test]
async fn a_failed_deploy_leaves_no_blob_and_no_function() {
    let rig = Rig::new().await;
    rig.ask("PUT", PATH, "bytes").await.refused(500, "host_error");
    assert_eq!(rig.kept(), 0);
    rig.ask("GET", PATH, Body::empty()).await.refused(404, "no_such_function");
}

#[tokio::test]
async fn a_blob_that_something_refers_to_outlives_a_failed_deploy() {
    let rig = Rig::new().await;
    let digest = rig.deployer.loader().blobs().put("bytes").await.unwrap();
    rig.publish("default", "other", 1).await;
    let new = crate::catalog::NewVersion {
        digest,
        size_bytes: 5,
        handler: crate::model::version::Handler::Http02,
        profile: crate::model::version::Profile::Lean,
        manifest: crate::model::manifest::Manifest::default(),
    };
    let (tenant, function) = ("default".parse().unwrap(), "other".parse().unwrap());
    rig.deployer.catalog.publish(&tenant, &function, &new).await.unwrap();
    rig.ask("PUT", PATH, "bytes").await.refused(500, "host_error");
    assert_eq!(rig.kept(), 1);
}

#[tokio::test]
async fn a_form_is_checked_part_by_part() {
    let rig = Rig::new().await;
    let send = async |parts: &[(&str, &str)]| rig.ask_with("PUT", PATH, &[FORM], form(parts)).await;
    let cases: &[Case] = &[
        (&[], "invalid_multipart", "`wasm` is missing"),
        (&[("manifest", "{}")], "invalid_multipart", "`wasm` is missing"),
        (&[("wasm", "x"), ("wasm", "x")], "invalid_multipart", "`wasm` comes twice"),
        (&[("manifest", "{}"), ("manifest", "{}")], "invalid_multipart", "`manifest` comes twice"),
        (&[("wasm", "x"), ("notes", "x")], "invalid_multipart", "`notes`: allowed are `wasm` and `manifest`"),
        (&[("manifest", "{"), ("wasm", "x")], "invalid_manifest", "EOF"),
        (&[("manifest", "[]"), ("wasm", "x")], "invalid_manifest", "a JSON object"),
        (
            &[("wasm", "x"), ("manifest", r#"{"limit":{}}"#)],
            "invalid_manifest",
            "unknown field `limit`, expected one of",
        ),
        (
            &[("manifest", r#"{"limits":{"cpu_ms":0}}"#)],
            "invalid_limit",
            "`limits.cpu_ms` is 0: allowed is 1 to 60000",
        ),
        (&[("manifest", r#"{"reuse":{"max_requests":0}}"#)], "invalid_manifest", "`reuse.max_requests` is 0"),
        (&[("manifest", &" ".repeat(70_000))], "invalid_manifest", "65536 bytes"),
    ];
    for (parts, code, named) in cases {
        let detail = send(parts).await.refused(400, code);
        assert!(detail.contains(named), "{detail}");
    }
    rig.ask_with("PUT", PATH, &[FORM], "--b\r\n").await.refused(400, "invalid_multipart");
    assert_eq!(rig.kept(), 0);
    // What is right gets as far as the compiler, in either order.
    let manifest = r#"{"limits":{"cpu_ms":50},"variables":{"A":"b"}}"#;
    send(&[("wasm", "x"), ("manifest", manifest)]).await.refused(500, "host_error");
    send(&[("manifest", manifest), ("wasm", "x")]).await.refused(500, "host_error");
}

#[tokio::test]
async fn a_body_that_is_not_what_its_digest_says_is_refused() {
    let rig = Rig::new().await;
    // Of `bytes`, from another program.
    let right = "sha-512=:AA==:, sha-256=:J3CJ2RwL308uaGK6fkoHYFEZQx9dE/cm3TUrBvGyBqk=:";
    let wrong = "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:";
    let detail = rig
        .ask_with("PUT", PATH, &[("content-digest", wrong)], "bytes")
        .await
        .refused(400, "digest_mismatch");
    assert!(detail.contains("not `sha-256=:AAAA"), "{detail}");
    assert_eq!(rig.kept(), 0);
    let answer = rig.ask_with("PUT", PATH, &[("content-digest", right)], "bytes").await;
    answer.refused(500, "host_error");
    let answer = rig.ask_with("PUT", PATH, &[FORM, ("content-digest", wrong)], form(&[("wasm", "x")])).await;
    answer.refused(400, "digest_mismatch");
}

#[tokio::test]
async fn more_uploads_than_there_is_room_for_are_told_to_come_back() {
    let rig = Rig::new().await;
    let pending = || Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let mut waiting: Vec<_> = (0..16).map(|_| Box::pin(rig.ask("PUT", PATH, pending()))).collect();
    for upload in &mut waiting {
        let begun = tokio::time::timeout(std::time::Duration::from_millis(50), upload.as_mut()).await;
        assert!(begun.is_err(), "an upload ended by itself");
    }
    let answer = rig.ask("PUT", PATH, untouched()).await;
    answer.refused(503, "overloaded");
    assert_eq!(answer.header("retry-after"), "1");
    // Another tenant comes as far as its upload does.
    rig.ask("PUT", "/v1/tenants/other", "").await;
    rig.ask("PUT", "/v1/tenants/other/functions/f", "bytes").await.refused(500, "host_error");
    drop(waiting);
    rig.ask("PUT", PATH, "bytes").await.refused(500, "host_error");
    assert_eq!(rig.kept(), 0);
}
