//! The parent's side against children that misbehave, and the pieces of the child in this process.

use std::time::Instant;

use super::child::guarded;
use super::frame::Header;
use super::*;
use crate::engine::artifact::{ArtifactId, ArtifactStore};
use crate::engine::componentize::SourceKind;
use crate::engine::profile::Slots;
use crate::engine::{componentize, profile, profile::Purpose};
use crate::model::limits::Limits;
use crate::model::version::{Digest, Handler, Profile, Tier};

/// A small pool, so that a test does not reserve what a server does.
pub(in crate::engine) fn serving(profile: Profile) -> wasmtime::Engine {
    let slots = Slots {
        instances: 4,
        ceiling: Limits::default_ceiling(),
        scan_pages: profile::why_not_scan_pages().is_none(),
        resident_bytes: profile::MEMORY_KEEP_RESIDENT,
        resets: true,
    };
    profile::engine(profile, Purpose::Serve(&slots)).unwrap()
}

/// A compiler whose child is a shell script.
fn scripted(script: &str) -> Compiler {
    Compiler {
        exe: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        wall: Duration::from_secs(20),
        permits: Arc::new(Semaphore::new(1)),
        lowers: true,
        compiles: 1,
        cores: 4,
        urgent: Arc::default(),
        left_over: Arc::new(Semaphore::new(1)),
    }
}

async fn outcome(script: &str) -> Result<Compiled, CompileError> {
    scripted(script).compile(Wasm::Bytes(Bytes::from(vec![0; 1 << 20])), Tier::Speed).await
}

async fn limit(script: &str) -> CompileLimit {
    match outcome(script).await {
        Err(CompileError::Limit { which, .. }) => which,
        other => panic!("{script}: {other:?}"),
    }
}

fn header(artifact_bytes: u64) -> String {
    let facts = Facts {
        handler: Handler::Http02,
        profile: Profile::Lean,
        source: SourceKind::Component,
        engine_hash: engine_hash(Profile::Lean, true).unwrap(),
        componentize_ms: 1,
        compile_ms: 2,
        artifact_bytes,
        stays: None,
    };
    serde_json::to_string(&Header::Compiled(facts)).unwrap()
}

#[tokio::test]
async fn a_child_that_answers_is_believed() {
    let compiled = outcome(&format!("cat >/dev/null; echo '{}'; printf hello", header(5))).await.unwrap();
    assert_eq!(compiled.artifact, b"hello");
    assert_eq!(compiled.facts.engine_hash, engine_hash(Profile::Lean, true).unwrap());
}

#[tokio::test]
async fn the_upload_reaches_the_child_from_memory_and_from_a_file() {
    let script = format!("echo '{}'; cat", header(6));
    let memory = scripted(&script).compile(Wasm::Bytes(Bytes::from_static(b"upload")), Tier::Speed).await;
    assert_eq!(memory.unwrap().artifact, b"upload");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("wasm"), b"upload").unwrap();
    let file = std::fs::File::open(dir.path().join("wasm")).unwrap();
    assert_eq!(scripted(&script).compile(Wasm::File(file), Tier::Speed).await.unwrap().artifact, b"upload");
}

#[tokio::test]
async fn a_child_knows_how_many_threads_it_has_and_nothing_else_and_stands_at_the_root() {
    let script = format!("echo '{}'; pwd; env | grep -v -e ^PWD= -e ^_= -e ^SHLVL=; true", header(22));
    assert_eq!(outcome(&script).await.unwrap().artifact, b"/\nRAYON_NUM_THREADS=4\n");
}

#[tokio::test]
async fn a_refusal_is_passed_on() {
    let script = r#"echo '{"outcome":"refused","code":"not_wasm","message":"found a cat"}'"#;
    let error = outcome(script).await.unwrap_err();
    assert_eq!((error.code(), error.to_string()), ("not_wasm", "found a cat".to_owned()));
}

#[tokio::test]
async fn what_ends_a_child_is_told_apart() {
    assert_eq!(limit("kill -XCPU $$").await, CompileLimit::Cpu);
    assert_eq!(limit("kill -KILL $$").await, CompileLimit::Memory);
    assert_eq!(limit("kill -SEGV $$").await, CompileLimit::Crash);
    assert_eq!(limit("kill -ABRT $$").await, CompileLimit::Crash);
    assert_eq!(
        limit("echo memory allocation of 5 bytes failed >&2; kill -ABRT $$").await,
        CompileLimit::Memory
    );
    assert_eq!(limit(r#"echo '{"outcome":"out_of_memory"}'"#).await, CompileLimit::Memory);
    assert_eq!(limit(r#"echo '{"outcome":"artifact_too_large"}'"#).await, CompileLimit::Artifact);
}

#[tokio::test]
async fn a_child_that_makes_no_sense_is_the_hosts_fault() {
    for script in [
        "exit 1".to_owned(),
        "exit 0".to_owned(),
        "kill -TERM $$".to_owned(),
        "echo hello".to_owned(),
        // Too little, too much, more than there may be, a line without an end.
        format!("echo '{}'; printf hell", header(5)),
        format!("echo '{}'; printf hello!", header(5)),
        format!("echo '{}'", header(u64::MAX)),
        "yes | tr -d '\\n'".to_owned(),
    ] {
        let error = outcome(&script).await.unwrap_err();
        assert!(matches!(error, CompileError::Host { .. }), "{script}: {error:?}");
        assert_eq!(error.code(), "host_error");
    }
    let mut missing = scripted("");
    missing.exe = "/nonexistent".into();
    let error = missing.compile(Wasm::Bytes(Bytes::new()), Tier::Speed).await.unwrap_err();
    assert!(matches!(error, CompileError::Host { source: Some(_), .. }), "{error:?}");
}

#[tokio::test]
async fn only_the_end_of_a_childs_messages_is_kept() {
    let error = outcome("yes | head -c 1000000 >&2; printf end >&2; exit 1").await.unwrap_err();
    assert_eq!(error.log().len(), LOG_BYTES);
    assert!(error.log().ends_with("y\nend"));
}

#[tokio::test]
async fn a_child_that_takes_too_long_is_killed() {
    let mut compiler = scripted("exec sleep 60");
    compiler.wall = Duration::from_millis(200);
    let start = Instant::now();
    let error = compiler.compile(Wasm::Bytes(Bytes::new()), Tier::Speed).await.unwrap_err();
    assert!(matches!(error, CompileError::Limit { which: CompileLimit::Wall, .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(10));
    // Its permit is free again.
    assert_eq!(compiler.permits.available_permits(), 1);
}

#[tokio::test]
async fn a_compilation_that_nobody_awaits_ends() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let compiler = scripted(&format!("echo $$ >{}; exec sleep 60", pid.display()));
    let dropped = compiler.compile(Wasm::Bytes(Bytes::new()), Tier::Speed);
    assert!(tokio::time::timeout(Duration::from_secs(1), dropped).await.is_err());
    let pid: u32 = std::fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    for _ in 0..100 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("process {pid} runs on");
}

#[test]
fn serving_and_compiling_agree_on_the_hash() {
    for profile in [Profile::Lean, Profile::Async] {
        let hash = engine_hash(profile, true).unwrap();
        assert_eq!(EngineHash::of(&serving(profile), true), hash);
        assert_eq!(hash.to_string().parse(), Ok(hash));
    }
    let lean = engine_hash(Profile::Lean, true).unwrap();
    assert_ne!(lean, engine_hash(Profile::Async, true).unwrap());
    assert_ne!(lean, engine_hash(Profile::Lean, false).unwrap());
}

#[test]
fn the_child_compiles_what_is_good_and_refuses_what_is_not() {
    let wasm = componentize::tests::exporting("wasi:http/incoming-handler@0.2.0");
    let (header, artifact) = guarded(&wasm, Way { tier: Tier::Speed, lowers: true }).unwrap();
    let Header::Compiled(facts) = header else { panic!("{header:?}") };
    assert_eq!((facts.handler, facts.profile), (Handler::Http02, Profile::Lean));
    assert_eq!(facts.artifact_bytes, artifact.len() as u64);
    assert_eq!(facts.engine_hash, engine_hash(Profile::Lean, true).unwrap());
    let (header, artifact) = guarded(b"hello", Way { tier: Tier::Fast, lowers: true }).unwrap();
    assert!(matches!(header, Header::Refused { code: Code::NotWasm, .. }), "{header:?}");
    assert!(artifact.is_empty());
}

#[test]
fn what_was_compiled_quickly_loads_where_the_other_does() {
    let wasm = componentize::tests::exporting("wasi:http/incoming-handler@0.2.0");
    let dir = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(dir.path()).unwrap();
    let engine = serving(Profile::Lean);
    for tier in [Tier::Fast, Tier::Speed] {
        let (header, artifact) = guarded(&wasm, Way { tier, lowers: true }).unwrap();
        let Header::Compiled(facts) = header else { panic!("{header:?}") };
        assert_eq!(facts.engine_hash, EngineHash::of(&engine, true), "{tier:?}");
        let id =
            ArtifactId { digest: Digest([1; 32]), profile: Profile::Lean, tier, engine: facts.engine_hash };
        store.put(&id, &artifact).unwrap();
        store.load(&engine, &id).unwrap();
    }
}

#[tokio::test]
async fn an_optimisation_waits_for_who_waits_and_takes_nobodys_permit() {
    let compiler = scripted(&format!("cat >/dev/null; echo '{}'; printf hello", header(5)));
    let permit = compiler.permits.acquire().await.unwrap();
    let wait = |time| tokio::time::sleep(Duration::from_millis(time));
    let mut deploy = std::pin::pin!(compiler.compile(Wasm::Bytes(Bytes::new()), Tier::Fast));
    let mut later = std::pin::pin!(compiler.optimise(Wasm::Bytes(Bytes::new())));
    tokio::select! {
        // The deploy comes first.
        biased;
        _ = &mut deploy => panic!("there is no permit"),
        _ = &mut later => panic!("somebody waits"),
        () = wait(200) => {}
    }
    drop(permit);
    assert!(deploy.await.is_ok());
    let _permit = compiler.permits.acquire().await.unwrap();
    assert_eq!(later.await.unwrap().artifact, b"hello");
}

#[tokio::test]
async fn a_child_has_stepped_back_before_it_runs() {
    let children = (0..8).map(|_| async {
        let mut shell = command(
            Path::new("/bin/sh"),
            &["-c".into(), "read -r stat < /proc/$$/stat; set -- $stat; shift 18; echo $1".into()],
            Stdio::null(),
        );
        shell.stderr(Stdio::null());
        start(shell).await.unwrap().wait_with_output().await.unwrap()
    });
    for output in futures_util::future::join_all(children).await {
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), Rank::Starts.nice().to_string());
    }
}

#[tokio::test]
async fn a_compilation_beside_another_takes_its_part_of_the_cores() {
    let mut compiler = scripted("echo $RAYON_NUM_THREADS >&2; exit 1");
    (compiler.permits, compiler.compiles) = (Arc::new(Semaphore::new(2)), 2);
    let told = |ended: Result<Compiled, CompileError>| ended.unwrap_err().log().trim().to_owned();
    let wasm = || Wasm::Bytes(Bytes::new());
    assert_eq!(told(compiler.compile(wasm(), Tier::Fast).await), "4");
    assert_eq!(told(compiler.optimise(wasm()).await), "2", "nobody waits for it");
    let _other = compiler.permits.clone().acquire_owned().await.unwrap();
    assert_eq!(told(compiler.compile(wasm(), Tier::Fast).await), "2");
}

#[tokio::test]
async fn a_child_that_gets_nothing_of_the_cores_begins_again_with_a_part_of_them() {
    let script =
        format!("test \"$1\" = --idle && exec sleep 60; cat >/dev/null; echo '{}'; printf hello", header(5));
    let bytes = Wasm::Bytes(Bytes::from_static(b"upload"));
    assert_eq!(scripted(&script).compile(bytes, Tier::Fast).await.unwrap().artifact, b"hello");
}

#[tokio::test]
async fn a_child_that_begins_again_reads_all_of_its_file() {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, b"upload").unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let script = format!("test \"$1\" = --idle && {{ cat; exec sleep 60; }}; echo '{}'; exec cat", header(6));
    let compiled = scripted(&script).compile(Wasm::File(file), Tier::Fast).await.unwrap();
    assert_eq!(compiled.artifact, b"upload");
}

#[tokio::test]
async fn what_is_large_and_what_comes_beside_an_optimisation_begins_with_its_part_of_the_cores() {
    let compiler = scripted("echo \"$*\" >&2; exit 1");
    let told = |ended: Result<Compiled, CompileError>| ended.unwrap_err().log().trim().to_owned();
    let small = || Wasm::Bytes(Bytes::from_static(b"upload"));
    assert_eq!(told(compiler.compile(small(), Tier::Fast).await), "--idle");
    assert_eq!(told(compiler.optimise(small()).await), "19");
    let file = tempfile::tempfile().unwrap();
    file.set_len(LEFT_OVER_BYTES + 1).unwrap();
    assert_eq!(told(compiler.compile(Wasm::File(file), Tier::Fast).await), "");
    let mut optimises = scripted("exec sleep 60");
    optimises.left_over = compiler.left_over.clone();
    let mut optimises = std::pin::pin!(optimises.optimise(small()));
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut optimises).await.is_err());
    assert_eq!(told(compiler.compile(small(), Tier::Fast).await), "");
}
