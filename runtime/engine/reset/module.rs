//! Reads one core module for its state, and rewrites it so that all of it can be reached and its size put back.
//! Must never change what its code does, but for what it is told of its memory's size.

mod facts;

use std::ops::Range;

use wasm_encoder::{Encode as _, ExportKind, GlobalType as NewGlobal, Instruction, ValType as NewType};
use wasmparser::{Parser, ValType};

use super::moves::{Pieces, leb128};
use super::{RESERVED, Why};
use facts::Facts;

/// Numbers of sections.
pub(super) const CORE_MODULE: u8 = 1;
const TYPE: u8 = 1;
const FUNCTION: u8 = 3;
const GLOBAL: u8 = 6;
const EXPORT: u8 = 7;
const CODE: u8 = 10;

/// What has to be put back in one instance.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct State {
    pub(in crate::engine) globals: Vec<Global>,
    pub(in crate::engine) memory: Option<Memory>,
}

/// A global that can change.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct Global {
    /// The name it is exported by.
    pub(in crate::engine) name: String,
    pub(in crate::engine) initial: Initial,
}

/// A constant that a global begins with; floats by their bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Initial {
    I32(i32),
    I64(i64),
    F32(u32),
    F64(u64),
}

/// A memory as it is when nothing has run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Memory {
    /// The name it is exported by.
    pub(in crate::engine) name: String,
    /// Where `image` begins.
    pub(in crate::engine) start: u32,
    /// What its data segments make of it; zero elsewhere.
    pub(in crate::engine) image: Vec<u8>,
}

/// Reads a module, and rewrites it if it has state: all of that is exported then.
pub(in crate::engine) fn rewrite(
    whole: &[u8],
    bytes: Range<usize>,
) -> Result<(State, Option<Pieces<'_>>), Why> {
    let mut facts = Facts::new(bytes.start);
    let module = whole.get(bytes.clone()).unwrap_or_default();
    let mut parser = Parser::new(bytes.start as u64);
    parser.set_features(wasmparser::WasmFeatures::all());
    for payload in parser.parse_all(module) {
        facts.take(&payload?)?;
    }
    facts.check()?;
    let mut state = State::default();
    for (index, initial) in &facts.globals {
        state.globals.push(Global { name: format!("{RESERVED}:{index}"), initial: *initial });
    }
    if let Some(initial) = facts.memory {
        let (start, image) = facts.image()?;
        state.memory = Some(Memory { name: format!("{RESERVED}:memory"), start, image });
        if !facts.sizes.is_empty() {
            let initial = Initial::I32(i32::try_from(initial).unwrap_or(0));
            state.globals.push(Global { name: format!("{RESERVED}:size"), initial });
        }
    }
    if state.globals.is_empty() && state.memory.is_none() {
        return Ok((state, None));
    }
    Ok((state.clone(), Some(Rewrite { whole, facts: &facts, state: &state }.module(bytes))))
}

struct Rewrite<'a, 'f> {
    whole: &'a [u8],
    facts: &'f Facts,
    state: &'f State,
}

impl<'a> Rewrite<'a, '_> {
    fn module(&self, bytes: Range<usize>) -> Pieces<'a> {
        let mut pieces = Pieces::default();
        let mut copied = bytes.start;
        let sized = !self.facts.sizes.is_empty();
        let mut due = vec![(EXPORT, self.exports())];
        if sized {
            due.insert(0, (GLOBAL, vec![self.size()]));
        }
        // What is to be added to a section that is not there makes one, in its place.
        let mut sections = self.facts.sections.iter().peekable();
        loop {
            let next = sections.peek().map(|section| section.id);
            if let Some((id, items)) = due.first().filter(|(id, _)| next.is_none_or(|next| next > *id)) {
                let place = sections.peek().map_or(bytes.end, |section| section.header);
                pieces.copy(self.whole, copied..place);
                copied = place;
                pieces.section(*id, appended(None, items));
                due.remove(0);
                continue;
            }
            let Some(section) = sections.next() else { break };
            let added = match section.id {
                TYPE if sized => vec![GROW_TYPE.to_vec()],
                FUNCTION if sized => vec![leb128(self.facts.types as usize)],
                GLOBAL | EXPORT if due.first().is_some_and(|(id, _)| *id == section.id) => due.remove(0).1,
                CODE if sized => {
                    pieces.copy(self.whole, copied..section.header);
                    copied = section.content.end;
                    pieces.section(CODE, self.code());
                    continue;
                }
                _ => continue,
            };
            pieces.copy(self.whole, copied..section.header);
            copied = section.content.end;
            let there = (self.whole, section.count, section.items..section.content.end);
            pieces.section(section.id, appended(Some(there), &added));
        }
        pieces.copy(self.whole, copied..bytes.end);
        pieces
    }

    /// The global that stands for the memory's size.
    fn size(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        NewGlobal { val_type: NewType::I32, mutable: true, shared: false }.encode(&mut bytes);
        let initial = i32::try_from(self.facts.memory.unwrap_or(0)).unwrap_or(0);
        Instruction::I32Const(initial).encode(&mut bytes);
        Instruction::End.encode(&mut bytes);
        bytes
    }

    fn exports(&self) -> Vec<Vec<u8>> {
        let item = |name: &str, kind: ExportKind, index: u32| {
            let mut bytes = Vec::new();
            name.encode(&mut bytes);
            kind.encode(&mut bytes);
            index.encode(&mut bytes);
            bytes
        };
        let indexes = self.facts.globals.iter().map(|(index, _)| *index).chain([self.facts.all_globals]);
        let globals = self.state.globals.iter().zip(indexes);
        let mut all: Vec<_> =
            globals.map(|(global, index)| item(&global.name, ExportKind::Global, index)).collect();
        all.extend(self.state.memory.iter().map(|memory| item(&memory.name, ExportKind::Memory, 0)));
        all
    }

    /// Every body, with its own `memory.size` and `memory.grow`; and one more, which is the latter.
    fn code(&self) -> Pieces<'a> {
        let mut pieces = Pieces::default();
        pieces.put(leb128(self.facts.bodies.len() + 1));
        let mut sizes = self.facts.sizes.iter().peekable();
        for body in &self.facts.bodies {
            let mut content = Pieces::default();
            let mut copied = body.start;
            while let Some(size) = sizes.next_if(|size| size.at.start < body.end) {
                content.copy(self.whole, copied..size.at.start);
                let mut instead = Vec::new();
                if size.grows {
                    Instruction::Call(self.facts.all_functions).encode(&mut instead);
                } else {
                    Instruction::GlobalGet(self.facts.all_globals).encode(&mut instead);
                }
                content.replace(size.at.start, instead);
                copied = size.at.end;
            }
            content.copy(self.whole, copied..body.end);
            pieces.sized(content);
        }
        let mut grow = Pieces::default();
        grow.put(grow_body(self.facts.all_globals));
        pieces.sized(grow);
        pieces
    }
}

/// `(func (param i32) (result i32))`, as a type section has it.
const GROW_TYPE: [u8; 5] = [0x60, 1, 0x7f, 1, 0x7f];

/// A `memory.grow` that goes by `size`: takes of what there is beyond it first, which is zero.
fn grow_body(size: u32) -> Vec<u8> {
    const WANTED: u32 = 0;
    const SPARE: u32 = 1;
    let mut function = wasm_encoder::Function::new([(1, NewType::I32)]);
    function
        .instructions()
        .memory_size(0)
        .global_get(size)
        .i32_sub()
        .local_tee(SPARE)
        .local_get(WANTED)
        .i32_lt_u()
        .if_(wasm_encoder::BlockType::Empty)
        .local_get(WANTED)
        .local_get(SPARE)
        .i32_sub()
        .memory_grow(0)
        .i32_const(-1)
        .i32_eq()
        .if_(wasm_encoder::BlockType::Empty)
        .i32_const(-1)
        .return_()
        .end()
        .end()
        .global_get(size)
        .global_get(size)
        .local_get(WANTED)
        .i32_add()
        .global_set(size)
        .end();
    function.into_raw_body()
}

/// A section's content with some items more: of the bytes that it stands in, how many there are and where.
pub(in crate::engine) fn appended<'a>(
    section: Option<(&'a [u8], u32, Range<usize>)>,
    items: &[Vec<u8>],
) -> Pieces<'a> {
    let mut pieces = Pieces::default();
    let count = section.as_ref().map_or(0, |(_, count, _)| *count as usize);
    pieces.put(leb128(count + items.len()));
    if let Some((whole, _, range)) = section {
        pieces.copy(whole, range);
    }
    pieces.put(items.concat());
    pieces
}

impl Initial {
    /// The type of such a global.
    pub(super) fn ty(self) -> NewType {
        match self {
            Self::I32(_) => NewType::I32,
            Self::I64(_) => NewType::I64,
            Self::F32(_) => NewType::F32,
            Self::F64(_) => NewType::F64,
        }
    }

    /// Its value, pushed.
    pub(super) fn push(self) -> Instruction<'static> {
        match self {
            Self::I32(value) => Instruction::I32Const(value),
            Self::I64(value) => Instruction::I64Const(value),
            Self::F32(bits) => Instruction::F32Const(wasm_encoder::Ieee32::new(bits)),
            Self::F64(bits) => Instruction::F64Const(wasm_encoder::Ieee64::new(bits)),
        }
    }

    pub(in crate::engine) fn read(ty: ValType, value: &wasmparser::ConstExpr<'_>) -> Result<Self, Why> {
        use wasmparser::Operator::{End, F32Const, F64Const, I32Const, I64Const};
        let mut reader = value.get_operators_reader();
        let (first, second) = (reader.read()?, reader.read()?);
        match (ty, first, second) {
            (ValType::I32, I32Const { value }, End) => Ok(Self::I32(value)),
            (ValType::I64, I64Const { value }, End) => Ok(Self::I64(value)),
            (ValType::F32, F32Const { value }, End) => Ok(Self::F32(value.bits())),
            (ValType::F64, F64Const { value }, End) => Ok(Self::F64(value.bits())),
            _ => Err(Why::State("globals that begin with no plain number")),
        }
    }
}
