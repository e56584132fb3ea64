//! That what was put is loaded, and nothing else is.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use super::*;
use crate::engine::compile::engine_hash;
use crate::engine::compile::tests::serving;
use crate::engine::profile::{self, Purpose};
use crate::model::limits;

/// What the child compiles for the lean engine.
fn compile(wat: &str) -> Vec<u8> {
    let engine = profile::engine(Profile::Lean, Purpose::Compile).unwrap();
    engine.precompile_component(&wat::parse_str(wat).unwrap()).unwrap()
}

fn id(digest: u8) -> ArtifactId {
    ArtifactId {
        digest: Digest([digest; 32]),
        profile: Profile::Lean,
        tier: Tier::Speed,
        engine: engine_hash(Profile::Lean, true).unwrap(),
    }
}

struct Bench {
    dir: tempfile::TempDir,
    store: ArtifactStore,
    engine: Engine,
}

const SMALL: &str = "(component (core module $m (func (export \"f\"))) (core instance (instantiate $m)))";

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(dir.path()).unwrap();
        store.put(&id(1), &compile(SMALL)).unwrap();
        let engine = serving(Profile::Lean);
        Self { dir, store, engine }
    }

    fn path(&self, id: &ArtifactId) -> PathBuf {
        self.dir.path().join("artifacts").join(id.file_name())
    }

    /// Changes the file in place, and lets the clock of its time stamp move on.
    fn damage(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.path(&id(1));
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(path, bytes).unwrap();
    }

    fn load(&self, digest: u8) -> Result<Component, LoadError> {
        self.store.load(&self.engine, &id(digest)).map(|loaded| match loaded.image {
            Image::Component(component) => component,
            Image::Lowered(_) => panic!("it was not lowered"),
        })
    }

    fn why(&self, digest: u8) -> &'static str {
        match self.load(digest) {
            Err(LoadError::Corrupt { why }) => why,
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("it loads"),
        }
    }
}

#[test]
fn an_artifact_of_the_compiling_engine_loads_in_a_serving_one() {
    let bench = Bench::new();
    bench.load(1).unwrap();
    bench.load(1).unwrap();
    assert_eq!(bench.store.verified.len(), 1);
    let size = bench.store.size(&id(1)).unwrap().unwrap();
    assert_eq!(size, compile(SMALL).len() as u64 + SEAL_BYTES);
    // A later process has the same key.
    let later = ArtifactStore::open(bench.dir.path()).unwrap();
    later.load(&bench.engine, &id(1)).unwrap();
}

#[test]
fn what_is_not_there_is_absent() {
    let bench = Bench::new();
    assert!(matches!(bench.load(2), Err(LoadError::Absent)));
    assert_eq!(bench.store.size(&id(2)).unwrap(), None);
    bench.store.remove(&id(2)).unwrap();
    let loaded = bench.load(1).unwrap();
    bench.store.remove(&id(1)).unwrap();
    assert!(matches!(bench.load(1), Err(LoadError::Absent)));
    drop(loaded);
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let bench = Bench::new();
    let whole = fs::read(bench.path(&id(1))).unwrap();
    let middle = whole.len() / 2;
    for at in [0, 64, middle, whole.len() - 41, whole.len() - 32, whole.len() - 1] {
        // It was right once: the memory of that must not help.
        fs::write(bench.path(&id(1)), &whole).unwrap();
        bench.load(1).unwrap();
        bench.damage(|bytes| bytes[at] ^= 1);
        assert_eq!(bench.why(1), "its seal is wrong", "at {at}");
    }
}

#[test]
fn a_truncated_or_longer_file_is_found() {
    let bench = Bench::new();
    bench.damage(|bytes| bytes.truncate(bytes.len() - 1));
    assert_eq!(bench.why(1), "it has no seal at its end");
    bench.damage(|bytes| bytes.truncate(39));
    assert_eq!(bench.why(1), "it is too short");
    bench.damage(Vec::clear);
    assert_eq!(bench.why(1), "it is too short");
    bench.store.put(&id(1), &compile(SMALL)).unwrap();
    bench.damage(|bytes| {
        let seal = bytes.split_off(bytes.len() - 40);
        bytes.push(0);
        bytes.extend(seal);
    });
    assert_eq!(bench.why(1), "its seal is wrong");
}

#[test]
fn an_artifact_without_a_seal_is_not_loaded() {
    let bench = Bench::new();
    fs::write(bench.path(&id(2)), compile(SMALL)).unwrap();
    assert_eq!(bench.why(2), "it has no seal at its end");
}

#[test]
fn another_installations_artifact_is_not_loaded() {
    let (bench, other) = (Bench::new(), Bench::new());
    fs::copy(other.path(&id(1)), bench.path(&id(1))).unwrap();
    assert_eq!(bench.why(1), "its seal is wrong");
}

#[test]
fn an_artifact_under_another_name_is_not_loaded() {
    let bench = Bench::new();
    bench.load(1).unwrap();
    let engine = "00".repeat(32).parse().unwrap();
    for other in [id(2), ArtifactId { engine, ..id(1) }, ArtifactId { profile: Profile::Async, ..id(1) }] {
        fs::hard_link(bench.path(&id(1)), bench.path(&other)).unwrap();
        let error = bench.store.load(&bench.engine, &other).unwrap_err();
        assert!(matches!(error, LoadError::Corrupt { why: "its seal is wrong" }), "{error:?}");
    }
}

#[test]
fn a_later_put_replaces_an_earlier_one() {
    let bench = Bench::new();
    let old = bench.load(1).unwrap();
    bench.store.put(&id(1), &compile("(component)")).unwrap();
    bench.load(1).unwrap();
    drop(old);
    let names: Vec<_> = fs::read_dir(bench.dir.path().join("artifacts")).unwrap().collect();
    assert_eq!(names.len(), 1);
}

#[test]
fn another_engines_code_is_incompatible() {
    let bench = Bench::new();
    let other = serving(Profile::Async);
    let error = bench.store.load(&other, &id(1)).unwrap_err();
    assert!(matches!(error, LoadError::Incompatible { .. }), "{error:?}");
    bench.store.put(&id(2), b"no code at all").unwrap();
    assert!(matches!(bench.load(2), Err(LoadError::Incompatible { .. })));
}

#[test]
fn what_does_not_fit_a_slot_is_told_by_its_limit() {
    let bench = Bench::new();
    let repeated = |what: &str, n: u32| what.repeat(n as usize);
    let instances = limits::CORE_INSTANCES_PER_COMPONENT + 1;
    for (wat, word) in [
        ("(core module $m (memory 65536)) (core instance (instantiate $m))".to_owned(), "memory"),
        ("(core module $m (table 1000000 funcref)) (core instance (instantiate $m))".to_owned(), "table"),
        (
            format!("(core module $m) {}", repeated("(core instance (instantiate $m))", instances)),
            "core module instances",
        ),
        (
            format!(
                "(core module $m {}) (core instance (instantiate $m))",
                repeated("(table 1 funcref)", limits::TABLES_PER_MODULE + 1)
            ),
            "tables",
        ),
    ] {
        bench.store.put(&id(3), &compile(&format!("(component {wat})"))).unwrap();
        match bench.load(3) {
            Err(LoadError::Limit { why }) => assert!(why.contains(word), "{why}"),
            Err(other) => panic!("{word}: {other:?}"),
            Ok(_) => panic!("{word}: it fits"),
        }
    }
}

#[test]
fn files_and_folders_are_ours_alone() {
    let bench = Bench::new();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let (dir, key) = (bench.dir.path().join("artifacts"), bench.dir.path().join("artifact-key"));
    let expected = [(dir.clone(), 0o700), (key.clone(), 0o600), (bench.path(&id(1)), 0o600)];
    for (path, wanted) in &expected {
        assert_eq!(mode(path), *wanted, "{}", path.display());
    }
    // A mode that was opened up is closed again, and the key stays what it was.
    fs::set_permissions(&key, fs::Permissions::from_mode(0o660)).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o775)).unwrap();
    let later = ArtifactStore::open(bench.dir.path()).unwrap();
    assert_eq!((mode(&dir), mode(&key), later.key), (0o700, 0o600, bench.store.key));
    // Nothing else was left in the data folder.
    assert_eq!(fs::read_dir(bench.dir.path()).unwrap().count(), 2);
}

#[test]
fn a_key_of_the_wrong_length_is_an_error_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("artifact-key"), [0; 31]).unwrap();
    let error = ArtifactStore::open(dir.path()).err().unwrap();
    assert!(error.to_string().contains("has 31 bytes and not 32"), "{error}");
    assert_eq!(fs::read(dir.path().join("artifact-key")).unwrap().len(), 31);
}

#[test]
fn processes_that_start_at_once_share_one_key() {
    let dir = tempfile::tempdir().unwrap();
    let keys: Vec<_> = std::thread::scope(|scope| {
        let open = || scope.spawn(|| ArtifactStore::open(dir.path()).unwrap().key);
        let threads: Vec<_> = std::iter::repeat_with(open).take(8).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0] && *key != [0; 32]));
}

#[test]
fn leftovers_of_a_crash_are_removed_at_the_start() {
    let bench = Bench::new();
    let left = bench.dir.path().join("artifacts/.new-1");
    fs::write(&left, b"half").unwrap();
    ArtifactStore::open(bench.dir.path()).unwrap();
    assert!(!left.exists());
}

#[test]
fn what_is_not_kept_goes_and_nothing_else_does() {
    let bench = Bench::new();
    let older = ArtifactId { engine: "ab".repeat(32).parse().unwrap(), ..id(1) };
    for id in [&id(1), &older, &id(2), &id(3)] {
        bench.store.put(id, b"code").unwrap();
    }
    let other = bench.dir.path().join("artifacts/notes.txt");
    fs::write(&other, b"an operator's").unwrap();
    assert_eq!(bench.store.keep_only(&HashSet::from([id(1), id(3)])).unwrap(), 2);
    assert_eq!(
        [&id(1), &older, &id(2), &id(3)].map(|id| bench.path(id).exists()),
        [true, false, false, true]
    );
    assert!(other.exists());
    assert_eq!(bench.store.keep_only(&HashSet::from([id(1), id(3)])).unwrap(), 0);
}

#[test]
#[ignore = "a measurement: run it with --ignored --nocapture"]
fn how_long_a_seal_takes() {
    let bench = Bench::new();
    bench.store.put(&id(4), &vec![7; 40 << 20]).unwrap();
    for _ in 0..3 {
        let mut file = File::open(bench.path(&id(4))).unwrap();
        bench.store.verified.clear();
        let start = Instant::now();
        bench.store.verify(&mut file, &id(4)).unwrap();
        let first = start.elapsed();
        let start = Instant::now();
        bench.store.verify(&mut file, &id(4)).unwrap();
        println!("40 MiB: verified in {first:?}, again in {:?}", start.elapsed());
    }
}
