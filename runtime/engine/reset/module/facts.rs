//! What a core module says of itself, read once from its first byte to its last.
//! Must never take for constant what code can change.

use std::ops::Range;

use wasmparser::{
    Data, DataKind, Element, ElementItems, ElementKind, FunctionBody, Global, MemoryType, Operator, Payload,
    SectionLimited, TypeRef, ValType,
};

use super::super::{IMAGE_BYTES, INITIAL_PAGES, PLACED, RESERVED, Why};
use super::Initial;

/// All that a rewrite needs to know of a module; places are in the component's bytes.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Where the section that was read last ends.
    end: usize,
    /// Its sections but for custom ones, in their order.
    pub(super) sections: Vec<Section>,
    pub(super) types: u32,
    pub(super) all_functions: u32,
    pub(super) all_globals: u32,
    /// The globals of its own that can change, by index.
    pub(super) globals: Vec<(u32, Initial)>,
    /// Wasm pages that the memory of its own begins with.
    pub(super) memory: Option<u64>,
    imports_memory: bool,
    imported_tables: u32,
    /// Elements that are put into their places one by one when it is instantiated.
    placed: u32,
    /// Where its functions' bodies are.
    pub(super) bodies: Vec<Range<usize>>,
    /// Where it asks for the size of its memory, or grows it.
    pub(super) sizes: Vec<Size>,
    /// Its data segments: where each goes, and its bytes.
    data: Vec<(u32, Vec<u8>)>,
}

/// A section of a module.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) id: u8,
    /// Where its number stands.
    pub(super) header: usize,
    pub(super) content: Range<usize>,
    pub(super) count: u32,
    /// Where its first item begins.
    pub(super) items: usize,
}

/// A `memory.size` or `memory.grow`.
#[derive(Debug)]
pub(super) struct Size {
    pub(super) at: Range<usize>,
    pub(super) grows: bool,
}

impl Facts {
    /// Nothing is known yet of a module that begins here.
    pub(super) fn new(start: usize) -> Self {
        // Past the magic and the version.
        Self { end: start + 8, ..Self::default() }
    }

    /// Takes note of the next part.
    pub(super) fn take(&mut self, payload: &Payload<'_>) -> Result<(), Why> {
        self.read(payload)?;
        if let Some((_, range)) = payload.as_section() {
            self.end = range.end;
        }
        Ok(())
    }

    fn read(&mut self, payload: &Payload<'_>) -> Result<(), Why> {
        match payload {
            Payload::TypeSection(section) => {
                self.types = section.count();
                self.section(1, section);
            }
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    self.import(import?.ty);
                }
                self.section(2, section);
            }
            Payload::FunctionSection(section) => {
                self.all_functions += section.count();
                self.section(3, section);
            }
            Payload::TableSection(section) => self.section(4, section),
            Payload::MemorySection(section) => {
                for memory in section.clone() {
                    self.memory(memory?)?;
                }
                self.section(5, section);
            }
            Payload::GlobalSection(section) => {
                for global in section.clone() {
                    self.global(&global?)?;
                }
                self.section(6, section);
            }
            Payload::ExportSection(section) => {
                for export in section.clone() {
                    if export?.name.starts_with(RESERVED) {
                        return Err(Why::State("names that are ours"));
                    }
                }
                self.section(7, section);
            }
            Payload::StartSection { .. } => return Err(Why::State("code that runs at its start")),
            Payload::ElementSection(section) => {
                for element in section.clone() {
                    self.element(&element?)?;
                }
                self.section(9, section);
            }
            Payload::CodeSectionStart { range, count, .. } => {
                // The bodies are read one by one; what begins the section is not needed.
                self.push(10, range.clone(), (*count, range.start));
            }
            Payload::CodeSectionEntry(body) => self.body(body)?,
            Payload::DataSection(section) => {
                if section.range().len() as u64 > 2 * IMAGE_BYTES {
                    return Err(Why::Large);
                }
                for data in section.clone() {
                    self.data(&data?)?;
                }
                self.section(11, section);
            }
            Payload::DataCountSection { range, count } => {
                self.push(12, range.clone(), (*count, range.end));
            }
            Payload::Version { .. } | Payload::CustomSection(_) | Payload::End(_) => {}
            _ => return Err(Why::State("an unknown section")),
        }
        Ok(())
    }

    /// Whether what was read fits together.
    pub(super) fn check(&self) -> Result<(), Why> {
        if self.memory.is_none() && !self.sizes.is_empty() {
            return Err(Why::State("a module that asks for the size of another one's memory"));
        }
        match self.memory {
            Some(0) => Err(Why::State("a memory without pages")),
            Some(pages) if pages > INITIAL_PAGES => Err(Why::Large),
            Some(_) if self.imports_memory => Err(Why::State("several memories")),
            None if !self.data.is_empty() => Err(Why::State("data for another one's memory")),
            _ => Ok(()),
        }
    }

    /// What the data segments make of the memory: where it begins, and its bytes.
    pub(super) fn image(&self) -> Result<(u32, Vec<u8>), Why> {
        let end_of = |(start, bytes): &(u32, Vec<u8>)| u64::from(*start) + bytes.len() as u64;
        let filled = || self.data.iter().filter(|(_, bytes)| !bytes.is_empty());
        let Some(start) = filled().map(|(start, _)| *start).min() else { return Ok((0, Vec::new())) };
        let end = filled().map(end_of).max().unwrap_or(0);
        let length = end - u64::from(start);
        if length > IMAGE_BYTES {
            return Err(Why::Large);
        }
        let mut image = vec![0; usize::try_from(length).unwrap_or(0)];
        for (place, bytes) in filled() {
            let from = (place - start) as usize;
            if let Some(there) = image.get_mut(from..from + bytes.len()) {
                there.copy_from_slice(bytes);
            }
        }
        Ok((start, image))
    }

    fn section<T>(&mut self, id: u8, section: &SectionLimited<'_, T>) {
        self.push(id, section.range(), (section.count(), section.original_position()));
    }

    fn push(&mut self, id: u8, content: Range<usize>, (count, items): (u32, usize)) {
        let header = self.end;
        self.sections.push(Section { id, header, content, count, items });
    }

    fn import(&mut self, ty: TypeRef) {
        match ty {
            TypeRef::Func(_) | TypeRef::FuncExact(_) => self.all_functions += 1,
            TypeRef::Global(_) => self.all_globals += 1,
            TypeRef::Memory(_) => self.imports_memory = true,
            TypeRef::Table(_) => self.imported_tables += 1,
            TypeRef::Tag(_) => {}
        }
    }

    fn memory(&mut self, memory: MemoryType) -> Result<(), Why> {
        if memory.memory64 || memory.shared || memory.page_size_log2.is_some() {
            return Err(Why::State("a memory of another kind"));
        }
        match self.memory.replace(memory.initial) {
            Some(_) => Err(Why::State("several memories")),
            None => Ok(()),
        }
    }

    fn global(&mut self, global: &Global<'_>) -> Result<(), Why> {
        if global.ty.mutable {
            let initial = Initial::read(global.ty.content_type, &global.init_expr)?;
            self.globals.push((self.all_globals, initial));
        }
        self.all_globals += 1;
        Ok(())
    }

    fn body(&mut self, body: &FunctionBody<'_>) -> Result<(), Why> {
        self.bodies.push(body.range());
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            let start = reader.original_position();
            let operator = reader.read()?;
            let grows = match operator {
                Operator::MemoryGrow { .. } => true,
                Operator::MemorySize { .. } => false,
                Operator::TableSet { .. }
                | Operator::TableGrow { .. }
                | Operator::TableFill { .. }
                | Operator::TableCopy { .. }
                | Operator::TableInit { .. } => return Err(Why::State("tables that its code changes")),
                Operator::DataDrop { .. } | Operator::ElemDrop { .. } => {
                    return Err(Why::State("segments that its code drops"));
                }
                _ => continue,
            };
            self.sizes.push(Size { at: start..reader.original_position(), grows });
        }
        Ok(())
    }

    /// Those that are in their table from the start cost nothing; code that the compiler makes puts the others there.
    fn element(&mut self, element: &Element<'_>) -> Result<(), Why> {
        let (count, functions) = match &element.items {
            ElementItems::Functions(items) => (items.count(), true),
            ElementItems::Expressions(_, items) => (items.count(), false),
        };
        let ready = match &element.kind {
            ElementKind::Active { table_index, offset_expr } => {
                functions
                    && table_index.unwrap_or(0) >= self.imported_tables
                    && matches!(Initial::read(ValType::I32, offset_expr), Ok(Initial::I32(_)))
            }
            ElementKind::Passive | ElementKind::Declared => false,
        };
        if !ready {
            self.placed = self.placed.saturating_add(count);
        }
        if self.placed > PLACED { Err(Why::Large) } else { Ok(()) }
    }

    fn data(&mut self, data: &Data<'_>) -> Result<(), Why> {
        let DataKind::Active { offset_expr, .. } = &data.kind else {
            // It is copied when code asks for it.
            return Ok(());
        };
        let Initial::I32(start) = Initial::read(ValType::I32, offset_expr)? else {
            return Err(Why::State("data whose place is no plain number"));
        };
        self.data.push((start.cast_unsigned(), data.data.to_vec()));
        Ok(())
    }
}
