//! Programs that nobody wrote: modules of wasm-smith in three wrappings, and samples with their bytes spoiled. Each is
//! made from a number alone. Must never hand out anything that the same number would not make again.

use arbitrary::{Arbitrary as _, Unstructured};
use wasm_smith::{Config, Module};
use wasmparser::{Parser, Payload};

use super::guests::wat_text;
use super::{guest, sample, wat};

/// A stream of numbers from a seed (splitmix64).
pub struct Dice(u64);

impl Dice {
    /// The stream of one case of one storm: independent of how many cases there are and of who makes them.
    pub fn of(seed: u64, case: u64) -> Self {
        let mut dice = Self(seed ^ case.wrapping_mul(0xd134_2543_de82_ef95));
        dice.next();
        dice
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below this.
    pub fn below(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.next() as u8).take(count).collect()
    }
}

/// What a case is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A core module with the handler's name and component type: its calls reach the host with whatever they hold.
    Core,
    /// A component whose handler is the generated code.
    Handler,
    /// A component that runs generated code, start function included, and then answers.
    Answering,
    /// A module as it comes.
    Bare,
    /// A real component with some of its bytes flipped.
    Flipped,
    /// A real component that ends early.
    Cut,
    /// A real component with a section twice, missing, or in another's place.
    Shuffled,
}

const KINDS: [Kind; 10] = [
    Kind::Core,
    Kind::Core,
    Kind::Handler,
    Kind::Handler,
    Kind::Answering,
    Kind::Answering,
    Kind::Bare,
    Kind::Flipped,
    Kind::Cut,
    Kind::Shuffled,
];

/// The program of one case.
pub fn program(dice: &mut Dice, case: u64) -> (Kind, Vec<u8>) {
    // In turns, so that every run has all of them.
    let kind = KINDS[case as usize % KINDS.len()];
    let wasm = match kind {
        Kind::Core => core(dice),
        Kind::Handler => {
            let shape = module(r#"(func (export "handle") (param i32 i32))"#);
            spliced(&super::wasm::component(""), &smith(dice, None, Some(shape)))
        }
        Kind::Answering => {
            let shape = r#"(memory (export "memory") 1) (func (export "f") (param i32 i32))"#;
            spliced(&answering(shape), &smith(dice, None, Some(module(shape))))
        }
        Kind::Bare => smith(dice, None, None),
        Kind::Flipped => flipped(dice),
        Kind::Cut => {
            let mut wasm = real(dice);
            wasm.truncate(dice.below(wasm.len()));
            wasm
        }
        Kind::Shuffled => shuffled(dice),
    };
    (kind, wasm)
}

fn module(inside: &str) -> Vec<u8> {
    wat::parse_str(format!("(module {inside})")).expect("a module")
}

/// A module of wasm-smith with only what is switched on here, and now and then with something that is not.
fn smith(dice: &mut Dice, imports: Option<Vec<u8>>, exports: Option<Vec<u8>>) -> Vec<u8> {
    loop {
        let length = 500 + dice.below(20_000);
        let bytes = dice.bytes(length);
        let mut source = Unstructured::new(&bytes);
        let Ok(mut config) = Config::arbitrary(&mut source) else { continue };
        let odd = dice.one_in(20);
        config.threads_enabled = odd;
        config.memory64_enabled = odd;
        config.exceptions_enabled = false;
        config.gc_enabled = false;
        config.relaxed_simd_enabled = false;
        config.custom_page_sizes_enabled = false;
        config.wide_arithmetic_enabled = false;
        // An `externref` needs a collector, which is off.
        config.reference_types_enabled = dice.one_in(20);
        config.allow_invalid_funcs = dice.one_in(40);
        // The exports bring their own, and there may be one in all.
        (config.max_memories, config.min_memories) = (usize::from(exports.is_none()), 0);
        (config.max_tables, config.min_tables) = (3, 0);
        config.max_memory32_bytes = 16 << 20;
        config.max_table_elements = 10_000;
        config.max_imports = if imports.is_some() { 100 } else { 0 };
        config.min_imports = 0;
        config.max_instructions = config.max_instructions.max(20);
        config.available_imports.clone_from(&imports);
        config.exports.clone_from(&exports);
        let Ok(mut module) = Module::new(config, &mut source) else { continue };
        // Of the others some loop until their CPU time ends.
        if !dice.one_in(8) {
            let _ = module.ensure_termination(1_000);
        }
        return module.to_bytes();
    }
}

/// With the imports, exports and component type that a compiler gave to a real module.
fn core(dice: &mut Dice) -> Vec<u8> {
    let real = guest("core_module");
    let mut wasm = smith(dice, Some(real.clone()), Some(real.clone()));
    for payload in Parser::new(0).parse_all(&real) {
        if let Payload::CustomSection(section) = payload.expect("a module")
            && section.name().starts_with("component-type")
        {
            let name = [super::wasm::leb(section.name().len()), section.name().into()].concat();
            let content = [&name, section.data()].concat();
            wasm.extend([&[0][..], &super::wasm::leb(content.len()), &content].concat());
        }
    }
    wasm
}

/// The component by hand, with a module of this shape first, whose function is called before the answer is made.
fn answering(shape: &str) -> Vec<u8> {
    let mut text = wat_text("handmade.wat");
    for (old, new) in [
        (r#"(core module $memory (memory (export "memory") 1))"#, format!("(core module $memory {shape})")),
        (r#"(core module $m"#, r#"(core module $m (import "libc" "f" (func $f (param i32 i32)))"#.into()),
        (r#"(with "http" "#, r#"(with "libc" (instance $libc)) (with "http" "#.into()),
        ("(call $set\n", "(call $f (local.get $request) (local.get $out))\n(call $set\n".into()),
    ] {
        let at = text.rfind(old).unwrap_or_else(|| panic!("`{old}` is not in handmade.wat"));
        text.replace_range(at..at + old.len(), &new);
    }
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// The sections of a module or component: where each begins and ends, with its header.
fn sections(wasm: &[u8]) -> Vec<(u8, std::ops::Range<usize>)> {
    let mut found = Vec::new();
    let mut at = 8;
    while at < wasm.len() {
        let (mut length, mut shift, mut next) = (0, 0, at + 1);
        loop {
            length |= usize::from(wasm[next] & 0x7f) << shift;
            shift += 7;
            next += 1;
            if wasm[next - 1] < 0x80 {
                break;
            }
        }
        found.push((wasm[at], at..next + length));
        at = next + length;
    }
    found
}

/// The component with another module in place of its first one.
fn spliced(component: &[u8], module: &[u8]) -> Vec<u8> {
    let sections = sections(component);
    let (_, at) = sections.iter().find(|(id, _)| *id == 1).expect("a core module");
    let new = [&[1][..], &super::wasm::leb(module.len()), module].concat();
    [&component[..at.start], &new, &component[at.end..]].concat()
}

fn real(dice: &mut Dice) -> Vec<u8> {
    match dice.below(8) {
        0 => sample("hello"),
        1 => sample("hello-p3"),
        2 => sample("hello-wasip2"),
        3 => sample("json-api"),
        4 => sample("echo"),
        5 => sample("fail"),
        6 => guest("core_module"),
        _ => wat("handmade"),
    }
}

fn flipped(dice: &mut Dice) -> Vec<u8> {
    let mut wasm = real(dice);
    // Of flips in code most do not get past validation; those in data all run.
    let data = data(&wasm).filter(|_| !dice.one_in(3));
    let range = data.unwrap_or(0..wasm.len());
    for _ in 0..=dice.below(6) {
        let at = range.start + dice.below(range.len());
        wasm[at] ^= 1 << dice.below(8);
    }
    wasm
}

/// The largest initial data of any module inside.
fn data(wasm: &[u8]) -> Option<std::ops::Range<usize>> {
    let mut found = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::DataSection(section) = payload.expect("a real component") {
            let segments = section.into_iter().map(|data| data.expect("a real component"));
            found.extend(segments.map(|data| data.range.end - data.data.len()..data.range.end));
        }
    }
    found.into_iter().max_by_key(ExactSizeIterator::len).filter(|range| !range.is_empty())
}

fn shuffled(dice: &mut Dice) -> Vec<u8> {
    let wasm = real(dice);
    let mut sections = sections(&wasm);
    let (one, other) = (dice.below(sections.len()), dice.below(sections.len()));
    match dice.below(4) {
        0 => sections.swap(one, other),
        1 => drop(sections.remove(one)),
        2 => sections.insert(other, sections[one].clone()),
        // A custom section is valid anywhere, also a thousand times.
        _ => {
            let custom = sections.iter().rfind(|(id, _)| *id == 0).cloned();
            let again = custom.unwrap_or_else(|| sections[one].clone());
            sections.extend(std::iter::repeat_n(again, 1 + dice.below(1_000)));
        }
    }
    let parts = sections.into_iter().map(|(_, at)| &wasm[at]);
    [&wasm[..8]].into_iter().chain(parts).flatten().copied().collect()
}
