//! That each trap is still the trap it was, and that nothing but traps has changed.

use wasmtime::{Linker, Precompiled, Store, Trap};

use super::*;
use crate::engine::artifact::{ArtifactId, ArtifactStore};
use crate::engine::compile::child::guarded;
use crate::engine::compile::frame::Header;
use crate::engine::compile::tests::serving;
use crate::engine::compile::{Way, engine_hash};
use crate::engine::profile::{self, Purpose};
use crate::engine::program::Image;
use crate::model::version::{Digest, Profile, Tier};

const TRAPS: &str = r#"(module
    (memory 1)
    (table 1 funcref)
    (type $other (func (param i64)))
    (func $deeper (export "stack") (call $deeper) (call $deeper))
    (func (export "unreachable") unreachable)
    (func (export "memory") (drop (i32.load (i32.const 0x7fffffff))))
    (func (export "division") (drop (i32.div_s (i32.const 1) (i32.load (i32.const 0)))))
    (func (export "overflow")
        (drop (i32.div_s (i32.const 0x80000000) (i32.sub (i32.load (i32.const 0)) (i32.const 1)))))
    (func (export "conversion") (drop (i32.trunc_f32_s (f32.const nan))))
    (func (export "null") (call_indirect (i32.const 0)))
    (func (export "table") (call_indirect (i32.const 7)))
    (func (export "signature") (table.set (i32.const 0) (ref.func $deeper))
        (call_indirect (type $other) (i64.const 0) (i32.const 0)))
    (func (export "fine") (result i32) (i32.load (i32.const 0))))"#;

const EACH: [(&str, Trap); 9] = [
    ("stack", Trap::StackOverflow),
    ("unreachable", Trap::UnreachableCodeReached),
    ("memory", Trap::MemoryOutOfBounds),
    ("division", Trap::IntegerDivisionByZero),
    ("overflow", Trap::IntegerOverflow),
    ("conversion", Trap::BadConversionToInteger),
    ("null", Trap::IndirectCallToNull),
    ("table", Trap::TableOutOfBounds),
    ("signature", Trap::BadSignature),
];

fn compiled(purpose: Purpose<'_>) -> Vec<u8> {
    let engine = profile::engine(Profile::Lean, purpose).unwrap();
    engine.precompile_module(&wat::parse_str(TRAPS).unwrap()).unwrap()
}

#[test]
fn only_instructions_of_traps_are_changed() {
    let before = compiled(Purpose::Compile);
    let mut after = before.clone();
    let eased = ease(&mut after);
    assert!(eased >= 5, "{eased}");
    let changed: Vec<_> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
    assert_eq!(changed.len(), 2 * eased);
    for at in changed.chunks(2) {
        assert_eq!((&before[at[0]..=at[1]], &after[at[0]..=at[1]]), (&INVALID[..], &PRIVILEGED[..]));
    }
    assert!(sites(&after).unwrap().iter().all(|site| after[*site..*site + 2] != INVALID));
    assert_eq!(ease(&mut after), 0, "there is nothing left to be changed");
}

/// A component that is lowered to one module, and one that stays what it is, with what is appended to an artifact behind it.
#[test]
fn what_the_child_compiles_has_them_changed() {
    let text = include_str!("../../../../tests/guests/wat/table_grow.wat");
    for lowers in [true, false] {
        for tier in [Tier::Fast, Tier::Speed] {
            let way = Way { tier, lowers };
            let (header, artifact) = guarded(&wat::parse_str(text).unwrap(), way).unwrap();
            assert!(matches!(header, Header::Compiled(_)), "{lowers} {tier:?}");
            let sites = sites(&artifact).unwrap();
            let changed = sites.iter().filter(|site| artifact[**site..**site + 2] == PRIVILEGED).count();
            assert!(changed > 0, "{lowers} {tier:?}: none of {}", sites.len());
            assert!(sites.iter().all(|site| artifact[*site..*site + 2] != INVALID), "{lowers} {tier:?}");
        }
    }
}

#[test]
fn what_is_no_artifact_is_left_as_it_is() {
    let whole = compiled(Purpose::Compile);
    for length in (0..whole.len()).step_by(97) {
        let mut bytes = whole[..length].to_vec();
        ease(&mut bytes);
    }
    let mut text = b"\x7fELF, and nothing else".to_vec();
    assert_eq!(ease(&mut text), 0);
    assert_eq!(text, b"\x7fELF, and nothing else");
}

#[tokio::test]
async fn each_trap_is_still_what_it_was() {
    for purpose in [Purpose::Compile, Purpose::Draft] {
        let mut artifact = compiled(purpose);
        assert!(ease(&mut artifact) >= 5);
        let dir = tempfile::tempdir().unwrap();
        let kept = ArtifactStore::open(dir.path()).unwrap();
        let id = ArtifactId {
            digest: Digest([1; 32]),
            profile: Profile::Lean,
            tier: Tier::Speed,
            engine: engine_hash(Profile::Lean, true).unwrap(),
        };
        kept.put(&id, &artifact).unwrap();
        let engine = serving(Profile::Lean);
        assert_eq!(wasmtime::Engine::detect_precompiled(&artifact), Some(Precompiled::Module));
        let Image::Lowered(module) = kept.load(&engine, &id).unwrap().image else {
            panic!("it is no module")
        };
        for (name, trap) in EACH {
            let mut store = Store::new(&engine, ());
            store.set_epoch_deadline(1_000_000);
            let instance = Linker::new(&engine).instantiate_async(&mut store, &module).await.unwrap();
            let fine = instance.get_typed_func::<(), i32>(&mut store, "fine").unwrap();
            assert_eq!(fine.call_async(&mut store, ()).await.unwrap(), 0);
            let function = instance.get_typed_func::<(), ()>(&mut store, name).unwrap();
            let error = function.call_async(&mut store, ()).await.unwrap_err();
            assert_eq!(error.downcast_ref::<Trap>(), Some(&trap), "{name}: {error:?}");
        }
    }
}
