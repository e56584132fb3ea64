//! A component that was given the function answers as before, and as new once it was called; its places are known.

use std::sync::Arc;

use proptest::prelude::*;
use wasmtime::component::{Component, Instance, Linker};
use wasmtime::{Engine, Store};

use super::{EXPORT, Moves, Why, resettable};
use crate::engine::profile::{self, Purpose};
use crate::host::account::Accounts;
use crate::host::logs::GuestLog;
use crate::host::meter::Meter;
use crate::host::{Grant, HostState, link};
use crate::model::version::Profile;

/// One core module with all the state there may be: a memory with data in two places, globals, and a size that changes.
const STATEFUL: &str = r#"
(component
  (core module $m
    (import "other" "g" (global $theirs (mut i64)))
    (memory (export "memory") 2 20)
    (data (i32.const 100) "abcdefgh")
    (data (i32.const 8190) "\01\02\03\04")
    (global $count (mut i32) (i32.const 7))
    (global $ratio (mut f64) (f64.const 0.5))
    (global $small (mut f32) (f32.const 1.5))
    (func (export "write") (param $at i32) (param $value i32) (result i32)
      (i32.store8 (local.get $at) (local.get $value))
      (global.set $count (i32.add (global.get $count) (i32.const 1)))
      (global.set $ratio (f64.add (global.get $ratio) (f64.const 1)))
      (global.set $small (f32.add (global.get $small) (f32.const 1)))
      (global.set $theirs (i64.add (global.get $theirs) (i64.const 1)))
      (global.get $count))
    (func (export "grow") (param $by i32) (result i32) (memory.grow (local.get $by)))
    (func (export "size") (result i32) (memory.size))
    (func (export "trap") (drop (memory.size)) (drop (memory.grow (i32.const 0))) unreachable)
    (func (export "sum") (result i64) (local $at i32) (local $sum i64)
      (local.set $sum (i64.const 1469598103934665603))
      (loop $next
        (local.set $sum (i64.mul (i64.const 1099511628211)
          (i64.xor (local.get $sum) (i64.load (local.get $at)))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if $next (i32.lt_u (local.get $at) (i32.mul (memory.size) (i32.const 65536)))))
      (i64.xor (local.get $sum) (i64.xor (i64.extend_i32_u (global.get $count))
        (i64.xor (global.get $theirs) (i64.xor (i64.extend_i32_u (i32.reinterpret_f32 (global.get $small)))
          (i64.reinterpret_f64 (global.get $ratio))))))))
  (core module $o (global (export "g") (mut i64) (i64.const -9)))
  (core instance $oi (instantiate $o))
  (core instance $i (instantiate $m (with "other" (instance $oi))))
  (func (export "write") (param "at" u32) (param "value" u32) (result u32)
    (canon lift (core func $i "write")))
  (func (export "grow") (param "by" u32) (result s32) (canon lift (core func $i "grow")))
  (func (export "size") (result u32) (canon lift (core func $i "size")))
  (func (export "trap") (canon lift (core func $i "trap")))
  (func (export "sum") (result u64) (canon lift (core func $i "sum"))))
"#;

/// Bytes that the memory begins with.
const BYTES: u32 = 2 * 65_536;

struct Live {
    store: Store<HostState>,
    instance: Instance,
}

impl Live {
    fn of(component: &[u8]) -> Self {
        let engine: Engine = profile::engine(Profile::Lean, Purpose::Compile).unwrap();
        let mut linker = Linker::new(&engine);
        link(&mut linker, Profile::Lean).unwrap();
        let component = Component::new(&engine, component).unwrap();
        let mut store = Store::new(&engine, HostState::new(&grant(), Arc::new(Meter::default())));
        store.set_epoch_deadline(1);
        let instance = now(linker.instantiate_async(&mut store, &component)).unwrap();
        Self { store, instance }
    }

    fn call<P, R>(&mut self, name: &str, parameters: P) -> wasmtime::Result<R>
    where
        P: wasmtime::component::ComponentNamedList + wasmtime::component::Lower + Send + Sync + 'static,
        R: wasmtime::component::ComponentNamedList + wasmtime::component::Lift + Send + Sync + 'static,
    {
        let function = self.instance.get_typed_func::<P, R>(&mut self.store, name)?;
        now(function.call_async(&mut self.store, parameters))
    }

    fn sum(&mut self) -> u64 {
        self.call::<(), (u64,)>("sum", ()).unwrap().0
    }

    fn reset(&mut self) {
        assert_eq!(self.call::<(), (u32,)>(EXPORT, ()).unwrap(), (0,));
    }
}

fn grant() -> Grant {
    Grant {
        variables: Arc::from([]),
        memory_bytes: 64 << 20,
        table_elements: 1_000,
        log: GuestLog::new("reset/tests".to_owned()),
        account: Accounts::unlimited().of(&"reset".parse().unwrap()),
    }
}

/// Nothing here waits for anything.
fn now<T>(future: impl Future<Output = T>) -> T {
    futures_util::FutureExt::now_or_never(future).expect("it waits")
}

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

fn transformed(text: &str) -> (Vec<u8>, Moves) {
    let made = resettable(&component(text), Profile::Lean).unwrap();
    (made.component, made.moves)
}

fn refused(text: &str) -> String {
    resettable(&component(text), Profile::Lean).unwrap_err().to_string()
}

/// What a guest may do to itself.
#[derive(Clone, Debug)]
enum Deed {
    Write(u32, u32),
    Grow(u32),
    WriteBeyond(u32, u32),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        4 => (0..BYTES, 1..256_u32).prop_map(|(at, value)| Deed::Write(at, value)),
        1 => (0..3_u32).prop_map(Deed::Grow),
        2 => (0..65_536_u32, 1..256_u32).prop_map(|(at, value)| Deed::WriteBeyond(at, value)),
    ];
    prop::collection::vec(deed, 0..20)
}

fn act(live: &mut Live, deed: &Deed) {
    let size = |live: &mut Live| live.call::<(), (u32,)>("size", ()).unwrap().0;
    match *deed {
        Deed::Write(at, value) => {
            live.call::<_, (u32,)>("write", (at, value)).unwrap();
        }
        Deed::Grow(by) => {
            let before = size(live);
            let (grown,) = live.call::<_, (i32,)>("grow", (by,)).unwrap();
            let fits = before + by <= 20;
            assert_eq!(grown, if fits { before.cast_signed() } else { -1 });
            assert_eq!(size(live), if fits { before + by } else { before });
        }
        Deed::WriteBeyond(at, value) => {
            if size(live) > 2 {
                let last = size(live) * 65_536 - 65_536;
                live.call::<_, (u32,)>("write", (last + at, value)).unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_instance_that_was_put_back_is_as_new_whatever_it_did(lives in prop::collection::vec(deeds(), 1..4)) {
        let (bytes, _) = transformed(STATEFUL);
        let mut live = Live::of(&bytes);
        let fresh = Live::of(&component(STATEFUL)).sum();
        prop_assert_eq!(live.sum(), fresh, "the same before anything ran");
        for deeds in lives {
            for deed in &deeds {
                act(&mut live, deed);
            }
            live.reset();
            prop_assert_eq!(live.call::<(), (u32,)>("size", ()).unwrap(), (2,));
            prop_assert_eq!(live.sum(), fresh);
        }
    }

    #[test]
    fn it_answers_what_it_would_have_answered(deeds in deeds()) {
        let (bytes, _) = transformed(STATEFUL);
        let (mut one, mut other) = (Live::of(&bytes), Live::of(&component(STATEFUL)));
        for deed in &deeds {
            act(&mut one, deed);
            act(&mut other, deed);
        }
        prop_assert_eq!(one.sum(), other.sum());
    }
}

proptest! {
    #[test]
    fn bytes_that_were_spoilt_are_refused_or_make_a_valid_component(
        spoilt in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = component(STATEFUL);
        for (place, byte) in spoilt {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        // What it makes is validated there; what is checked here is that it never panics.
        let _ = resettable(&bytes, Profile::Lean);
        let _ = resettable(&bytes[..cut.index(bytes.len())], Profile::Lean);
        let _ = Moves::read(&bytes);
    }
}

#[test]
fn memory_that_was_grown_and_put_back_is_zero_when_it_is_grown_again() {
    let (bytes, _) = transformed(STATEFUL);
    let mut live = Live::of(&bytes);
    for _ in 0..3 {
        assert_eq!(live.call::<_, (i32,)>("grow", (3_u32,)).unwrap(), (2,));
        let zero = live.sum();
        live.call::<_, (u32,)>("write", (4 * 65_536_u32 + 5, 9_u32)).unwrap();
        live.reset();
        assert_eq!(live.call::<_, (i32,)>("grow", (3_u32,)).unwrap(), (2,));
        assert_eq!(live.sum(), zero);
        live.reset();
    }
}

#[test]
fn a_growth_beyond_the_maximum_is_refused_as_before() {
    let (bytes, _) = transformed(STATEFUL);
    let mut live = Live::of(&bytes);
    assert_eq!(live.call::<_, (i32,)>("grow", (18_u32,)).unwrap(), (2,));
    live.reset();
    assert_eq!(live.call::<_, (i32,)>("grow", (19_u32,)).unwrap(), (-1,));
    assert_eq!(live.call::<_, (i32,)>("grow", (u32::MAX,)).unwrap(), (-1,));
    assert_eq!(live.call::<_, (i32,)>("grow", (18_u32,)).unwrap(), (2,));
}

#[test]
fn a_memory_that_was_written_all_over_is_given_up() {
    let (bytes, _) = transformed(STATEFUL);
    let mut live = Live::of(&bytes);
    assert_eq!(live.call::<_, (i32,)>("grow", (18_u32,)).unwrap(), (2,));
    for page in 0..320 {
        live.call::<_, (u32,)>("write", (page * 4_096_u32, 1_u32)).unwrap();
    }
    assert_eq!(live.call::<(), (u32,)>(EXPORT, ()).unwrap(), (1,));
}

#[test]
fn a_trap_is_told_at_its_place_in_what_was_uploaded() {
    let (bytes, moves) = transformed(STATEFUL);
    let place = |bytes: &[u8]| {
        let error = Live::of(bytes).call::<(), ()>("trap", ()).unwrap_err();
        let trace = error.downcast_ref::<wasmtime::WasmBacktrace>().unwrap();
        trace.frames()[0].module_offset().unwrap() as u64
    };
    let (now, was) = (place(&bytes), place(&component(STATEFUL)));
    assert_ne!(now, was);
    assert_eq!(moves.origin(now), Some(was));
    assert_eq!(moves.origin(bytes.len() as u64 - 1), None, "what was put in is nobody's");
}

#[test]
fn moves_are_read_back_from_the_end_of_an_artifact() {
    let (_, moves) = transformed(STATEFUL);
    let mut artifact = vec![7; 50];
    artifact.extend(moves.trailer());
    assert_eq!(Moves::read(&artifact), Ok(Some(moves.clone())));
    assert_eq!(Moves::read(&[7; 50]), Ok(None));
    let wanted = Moves::read(&artifact[artifact.len() - 16..]).unwrap_err();
    assert_eq!(Moves::read(&artifact[artifact.len() - wanted..]), Ok(Some(moves)));
}

#[test]
fn a_component_without_any_state_is_as_new_at_once() {
    let text = r#"(component
        (core module $m (func (export "f") (result i32) (i32.const 5)))
        (core instance $i (instantiate $m))
        (func (export "f") (result u32) (canon lift (core func $i "f"))))"#;
    let mut live = Live::of(&transformed(text).0);
    assert_eq!(live.call::<(), (u32,)>("f", ()).unwrap(), (5,));
    live.reset();
}

#[test]
fn state_that_cannot_be_put_back_is_refused_by_name() {
    let with = |module: &str| {
        refused(&format!("(component (core module $m {module}) (core instance (instantiate $m)))"))
    };
    for (module, why) in [
        ("(memory 1) (func $f) (start $f)", "runs at its start"),
        (
            "(table 2 funcref) (func (table.set (i32.const 0) (ref.null func)))",
            "tables that its code changes",
        ),
        ("(memory 1) (data $d \"x\") (func (data.drop $d))", "segments that its code drops"),
        ("(memory 65)", "too large"),
        ("(memory 17) (data (i32.const 0) \"x\") (data (i32.const 1100000) \"y\")", "too large"),
        ("(global (mut funcref) (ref.null func))", "no plain number"),
        ("(memory 0)", "without pages"),
        ("(global (export \"spawnpoint:0\") i32 (i32.const 0))", "names that are ours"),
    ] {
        assert!(with(module).contains(why), "{module}: {}", with(module));
    }
    // In their table from the start, or put there one by one.
    let many = "$f ".repeat(1_025);
    let at_start = format!("(component (core module $m (memory 1) (table 2000 funcref) (func $f) (elem (i32.const 0) func {many}))
        (core instance (instantiate $m)))");
    assert!(resettable(&wat::parse_str(at_start).unwrap(), Profile::Lean).is_ok());
    for elements in [
        format!("(func $f) (elem func {many})"),
        format!(
            "(global $g i32 (i32.const 0)) (table 2000 funcref) (func $f)
            (elem (offset (i32.add (i32.const 0) (i32.const 1))) func {many})"
        ),
        format!(
            "(table 2000 funcref) (func $f) (elem (i32.const 0) funcref {})",
            "(ref.func $f) ".repeat(1_025)
        ),
    ] {
        let found = with(&format!("(memory 1) {elements}"));
        assert!(found.contains("too large"), "{found}");
    }
    let twice = "(component (core module $m (memory 1)) (core instance (instantiate $m)) (core instance (instantiate $m)))";
    assert!(refused(twice).contains("several instances"));
    let two = "(component (core module $m (memory 1)) (core module $n (memory 1))
        (core instance (instantiate $m)) (core instance (instantiate $n)))";
    assert!(refused(two).contains("several memories"));
    let inner = "(component (component $c (core module $m (memory 1)) (core instance (instantiate $m)))
        (instance (instantiate $c)))";
    assert!(refused(inner).contains("modules in a component of its own"));
    let own = "(component (type $r (resource (rep i32))))";
    assert!(refused(own).contains("resources of its own"));
    let threads = "(component (core func (canon backpressure.inc)))";
    assert!(refused(threads).contains("state of its own"));
    assert!(matches!(resettable(b"\0asm\x0d\0\x01\0\xff", Profile::Lean), Err(Why::Unreadable(_))));
}
