//! Writes the lowered module: the component's code, calling the host. Where an answer of the host's needs memory, the guest
//! allocates that itself, in a function put between. Must never change what the code does otherwise.

mod code;
mod read;

use std::collections::HashMap;
use std::ops::Range;

use wasm_encoder::{ElementSection, Encode as _, EntityType, ExportKind, NameMap, NameSection};
use wasmparser::{ExternalKind, Parser};

use super::plan::Plan;
use super::{CALLBACK, HANDLE, MEMORY, RESET, Why, is_ours};
use crate::engine::reset::module::{State, appended};
use crate::engine::reset::moves::Pieces;
use crate::host::lowered::{INTERNAL, PENDING, PLACE, WRITTEN};

/// Functions that are imported before all others, in this order.
pub(in crate::engine) const INTERNALS: u32 = 3;
const PENDING_FUNCTION: u32 = 0;
const PLACE_FUNCTION: u32 = 1;
const WRITTEN_FUNCTION: u32 = 2;

/// Numbers of sections, in the order in which they stand.
const TYPE: u8 = 1;
const IMPORT: u8 = 2;
const FUNCTION: u8 = 3;
const TABLE: u8 = 4;
const MEMORY_SECTION: u8 = 5;
const GLOBAL: u8 = 6;
const EXPORT: u8 = 7;
const ELEMENT: u8 = 9;
const DATA_COUNT: u8 = 12;
const CODE: u8 = 10;
const DATA: u8 = 11;
const ORDER: [u8; 11] =
    [TYPE, IMPORT, FUNCTION, TABLE, MEMORY_SECTION, GLOBAL, EXPORT, ELEMENT, DATA_COUNT, CODE, DATA];

/// What puts an instance back.
pub(super) struct Restored {
    /// What there is to put back; the module exports it.
    pub(super) state: State,
}

/// A module as it is, and as it is to be.
pub(super) struct Emit<'a> {
    main: &'a [u8],
    plan: &'a Plan,
    restored: Option<Restored>,
    /// For each import that needs a function between, how many do before it.
    ranks: Vec<Option<u32>>,
    sections: Vec<Section>,
    types: Vec<Signature>,
    /// The type of each function that is imported, and of each of its own.
    imported: Vec<u32>,
    defined: Vec<u32>,
    exports: HashMap<&'a str, (ExternalKind, u32)>,
    elements: ElementSection,
    bodies: Vec<wasmparser::FunctionBody<'a>>,
    data: u32,
    names: Vec<(u32, &'a str)>,
}

/// A section of the module.
struct Section {
    id: u8,
    content: Range<usize>,
    count: u32,
    items: usize,
}

/// A function's type, written as the host writes those of its functions.
struct Signature {
    parameters: u32,
    letters: String,
}

impl<'a> Emit<'a> {
    /// Reads the module of code.
    pub(super) fn new(main: &'a [u8], plan: &'a Plan, restored: Option<Restored>) -> Result<Self, Why> {
        let mut between = 0_u32..;
        let ranks =
            plan.imports.iter().map(|import| import.known.allocates.then(|| between.next()).flatten());
        let ranks = ranks.collect();
        let mut emit = Self {
            main,
            plan,
            restored,
            ranks,
            sections: Vec::new(),
            types: Vec::new(),
            imported: Vec::new(),
            defined: Vec::new(),
            exports: HashMap::new(),
            elements: ElementSection::new(),
            bodies: Vec::new(),
            data: 0,
            names: Vec::new(),
        };
        for payload in Parser::new(0).parse_all(main) {
            emit.read(payload?)?;
        }
        emit.check()?;
        Ok(emit)
    }

    /// Whether each function is of the type that the host has for it: behind a shim it might be another.
    fn check(&self) -> Result<(), Why> {
        const ANOTHER: Why = Why::Shape("a function of another type");
        if self.imported.len() != self.plan.imports.len() {
            return Err(Why::Shape("imports that cannot be told apart"));
        }
        let is = |ty: u32, letters: &str| self.types.get(ty as usize).is_some_and(|of| of.letters == letters);
        for (import, ty) in self.plan.imports.iter().zip(&self.imported) {
            if !is(*ty, import.known.signature) {
                return Err(ANOTHER);
            }
        }
        let exported = [Some(&self.plan.handle), self.plan.callback.as_ref()];
        let expected = if self.plan.callback.is_some() { ["i>i", "iii>i"] } else { ["ii>", ""] };
        for (name, letters) in exported.into_iter().zip(expected) {
            let Some(name) = name else { continue };
            let index = self.exported(name, ExternalKind::Func)? as usize;
            let ty = index.checked_sub(self.imported.len()).and_then(|own| self.defined.get(own));
            if !ty.is_some_and(|ty| is(*ty, letters)) {
                return Err(ANOTHER);
            }
        }
        Ok(())
    }

    /// The index of what was a function's.
    fn now(&self, function: u32) -> u32 {
        match self.ranks.get(function as usize).copied().flatten() {
            Some(rank) => self.own().saturating_add(rank),
            None => INTERNALS.saturating_add(function),
        }
    }

    /// The index of the first function that is not the component's own.
    fn own(&self) -> u32 {
        let imported = u32::try_from(self.imported.len()).unwrap_or(u32::MAX);
        let defined = u32::try_from(self.defined.len()).unwrap_or(u32::MAX);
        INTERNALS.saturating_add(imported).saturating_add(defined)
    }

    /// The imports that need a function between.
    fn between(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.ranks).filter(|(_, rank)| rank.is_some()).map(|(index, _)| index)
    }

    fn exported(&self, name: &str, kind: ExternalKind) -> Result<u32, Why> {
        let found = self.exports.get(name).filter(|(other, _)| *other == kind);
        Ok(found.ok_or(Why::Shape("an export that is not there"))?.1)
    }

    /// The module.
    pub(super) fn module(&self) -> Result<Pieces<'a>, Why> {
        let image = self.restored.as_ref().and_then(|restored| restored.state.memory.as_ref());
        let mut pieces = Pieces::default();
        pieces.copy(self.main, 0..8);
        for id in ORDER {
            let section = self.sections.iter().find(|section| section.id == id);
            let content = match (id, section) {
                (TYPE, section) => self.add(section, &OUR_TYPES.map(<[u8]>::to_vec)),
                (IMPORT, _) => self.import_section()?,
                (FUNCTION, section) => self.add(section, &self.added_functions()),
                (EXPORT, _) => self.export_section()?,
                (ELEMENT, Some(_)) => new(&self.elements),
                (DATA_COUNT, section) if section.is_some() || image.is_some() => {
                    let mut content = Pieces::default();
                    content.put(leb(self.data + u32::from(image.is_some())));
                    content
                }
                (CODE, Some(_)) => self.code()?,
                (DATA, section) => match image {
                    Some(image) => self.add(section, &[passive(&image.image)]),
                    None if section.is_some() => self.add(section, &[]),
                    None => continue,
                },
                (_, Some(section)) => self.add(Some(section), &[]),
                (CODE, None) => return Err(Why::Shape("no code")),
                (_, None) => continue,
            };
            pieces.section(id, content);
        }
        pieces.put(self.name_section());
        Ok(pieces)
    }

    /// A section's content with some items more.
    fn add(&self, section: Option<&Section>, items: &[Vec<u8>]) -> Pieces<'a> {
        let there = section.map(|section| (section.count, section.items..section.content.end));
        appended(there.map(|(count, range)| (self.main, count, range)), items)
    }

    fn import_section(&self) -> Result<Pieces<'a>, Why> {
        let mut section = wasm_encoder::ImportSection::new();
        let first = u32::try_from(self.types.len()).unwrap_or(u32::MAX);
        for (name, ty) in [PENDING, PLACE, WRITTEN].into_iter().zip(first..) {
            section.import(INTERNAL, name, EntityType::Function(ty));
        }
        for (import, ty) in self.plan.imports.iter().zip(&self.imported) {
            if is_ours(&import.interface) {
                return Err(Why::Shape("names that are ours"));
            }
            section.import(&import.interface, &import.name, EntityType::Function(*ty));
        }
        Ok(new(&section))
    }

    /// The types of the functions that stand between, and of what puts the instance back.
    fn added_functions(&self) -> Vec<Vec<u8>> {
        let mut added = Vec::new();
        for index in self.between() {
            added.push(leb(self.imported.get(index as usize).copied().unwrap_or_default()));
        }
        if self.restored.is_some() {
            added.push(leb(u32::try_from(self.types.len() + OUR_TYPES.len() - 1).unwrap_or(u32::MAX)));
        }
        added
    }

    fn export_section(&self) -> Result<Pieces<'a>, Why> {
        let mut section = wasm_encoder::ExportSection::new();
        let handle = self.exported(&self.plan.handle, ExternalKind::Func)?;
        let memory = match &self.plan.memory {
            Some(name) => self.exported(name, ExternalKind::Memory)?,
            None if self.sections.iter().any(|section| section.id == MEMORY_SECTION) => 0,
            None => return Err(Why::Shape("no memory")),
        };
        section.export(HANDLE, ExportKind::Func, self.now(handle));
        if let Some(callback) = &self.plan.callback {
            section.export(
                CALLBACK,
                ExportKind::Func,
                self.now(self.exported(callback, ExternalKind::Func)?),
            );
        }
        section.export(MEMORY, ExportKind::Memory, memory);
        if self.restored.is_some() {
            let wrappers = u32::try_from(self.between().count()).unwrap_or(u32::MAX);
            section.export(RESET, ExportKind::Func, self.own().saturating_add(wrappers));
        }
        Ok(new(&section))
    }

    /// The names that traps are told by.
    fn name_section(&self) -> Vec<u8> {
        let mut named: Vec<_> = self.names.iter().map(|(index, name)| (self.now(*index), *name)).collect();
        named.sort_unstable_by_key(|(index, _)| *index);
        named.dedup_by_key(|(index, _)| *index);
        let mut functions = NameMap::new();
        for (index, name) in named {
            functions.append(index, name);
        }
        let mut names = NameSection::new();
        names.functions(&functions);
        let mut bytes = vec![0];
        names.encode(&mut bytes);
        bytes
    }
}

/// The types of what is ours, in the order of [`INTERNALS`], and of what puts an instance back.
const OUR_TYPES: [&[u8]; 4] = [
    &[0x60, 0, 1, 0x7e],
    &[0x60, 1, 0x7f, 0],
    &[0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7e],
    &[0x60, 0, 1, 0x7f],
];

/// A data segment that code copies.
fn passive(bytes: &[u8]) -> Vec<u8> {
    let mut segment = vec![1];
    bytes.encode(&mut segment);
    segment
}

fn leb(value: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(5);
    value.encode(&mut bytes);
    bytes
}

/// The content of a section that is new as a whole.
fn new(section: &impl wasm_encoder::Encode) -> Pieces<'static> {
    let mut bytes = Vec::new();
    section.encode(&mut bytes);
    // Its length stands before it, and is written with the section's number.
    let length = bytes.iter().position(|byte| byte & 0x80 == 0).map_or(0, |last| last + 1);
    let mut pieces = Pieces::default();
    pieces.put(bytes.split_off(length));
    pieces
}
