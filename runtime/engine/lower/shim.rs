//! Knows the two small modules that stand between a component's code and what it imports: one whose functions each call a
//! slot of a table, and one that fills that table. Must never take for a shim what does anything else.

use std::ops::Range;

use wasmparser::{
    ConstExpr, ElementItems, ElementKind, ExternalKind, FunctionBody, Operator, Parser, Payload, TypeRef,
};

use super::Why;

/// Something that is not what a tool would have written.
const STRANGE: Why = Why::Shape("several modules of code");

/// Functions that a module may import.
const IMPORTS: usize = 1_000;

/// A shim: what its functions lead to.
#[derive(Debug, Default)]
pub(super) struct Slots<'a> {
    table: &'a str,
    /// The slot that each function calls.
    functions: Vec<(&'a str, u32)>,
    /// The instance whose items are in the table, and their names in its order.
    filled: Option<(u32, Vec<&'a str>)>,
}

/// A module's sections, one after the other.
fn payloads(whole: &[u8], bytes: Range<usize>) -> impl Iterator<Item = wasmparser::Result<Payload<'_>>> {
    let start = bytes.start as u64;
    Parser::new(start).parse_all(whole.get(bytes).unwrap_or_default())
}

/// What a module imports: from which instance, by which name, and what.
pub(super) fn imports(whole: &[u8], bytes: Range<usize>) -> Result<Vec<(&str, &str, TypeRef)>, Why> {
    let mut all = Vec::new();
    for payload in payloads(whole, bytes) {
        if let Payload::ImportSection(section) = payload? {
            for import in section.into_imports() {
                let import = import?;
                // The host has fewer: each is looked for among all that an instance has.
                if all.len() == IMPORTS {
                    return Err(Why::Shape("too many imports"));
                }
                all.push((import.module, import.name, import.ty));
            }
        }
    }
    Ok(all)
}

impl<'a> Slots<'a> {
    /// Reads a shim.
    pub(super) fn of(whole: &'a [u8], bytes: Range<usize>) -> Result<Self, Why> {
        let (mut types, mut called, mut tables) = (Vec::new(), Vec::new(), Vec::new());
        let (mut exports, mut arities) = (Vec::new(), Vec::new());
        for payload in payloads(whole, bytes) {
            match payload? {
                Payload::TypeSection(section) => {
                    for ty in section.into_iter_err_on_gc_types() {
                        arities.push(ty?.params().len());
                    }
                }
                Payload::FunctionSection(section) => {
                    for ty in section {
                        types.push(ty?);
                    }
                }
                Payload::TableSection(section) if section.count() == 1 => {}
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        match export.kind {
                            ExternalKind::Func => exports.push((export.name, export.index)),
                            ExternalKind::Table => tables.push(export.name),
                            _ => return Err(STRANGE),
                        }
                    }
                }
                Payload::CodeSectionEntry(body) => {
                    let ty = *types.get(called.len()).ok_or(STRANGE)?;
                    let arity = *arities.get(ty as usize).ok_or(STRANGE)?;
                    called.push(slot(&body, (ty, arity))?);
                }
                Payload::Version { .. }
                | Payload::CodeSectionStart { .. }
                | Payload::CustomSection(_)
                | Payload::End(_) => {}
                _ => return Err(STRANGE),
            }
        }
        let [table] = tables.as_slice() else { return Err(STRANGE) };
        let slot_of = |index: u32| called.get(index as usize).copied().ok_or(STRANGE);
        let functions = exports
            .into_iter()
            .map(|(name, index)| Ok((name, slot_of(index)?)))
            .collect::<Result<_, Why>>()?;
        Ok(Self { table, functions, filled: None })
    }

    /// Takes note of what its table is filled with, once.
    pub(super) fn fill(&mut self, table: &str, items: u32, names: Vec<&'a str>) -> Result<(), Why> {
        match self.filled.replace((items, names)) {
            None if self.table == table => Ok(()),
            _ => Err(STRANGE),
        }
    }

    /// The instance and its item that a function leads to.
    pub(super) fn target(&self, function: &str) -> Option<(u32, &'a str)> {
        let (_, slot) = self.functions.iter().find(|(name, _)| *name == function)?;
        let (items, names) = self.filled.as_ref()?;
        Some((*items, names.get(*slot as usize)?))
    }
}

/// The slot that a function calls with all it was given, and nothing else does.
fn slot(body: &FunctionBody<'_>, (ty, arity): (u32, usize)) -> Result<u32, Why> {
    if body.get_locals_reader()?.get_count() != 0 {
        return Err(STRANGE);
    }
    let mut operators = body.get_operators_reader()?;
    for parameter in 0..arity {
        match operators.read()? {
            Operator::LocalGet { local_index } if local_index as usize == parameter => {}
            _ => return Err(STRANGE),
        }
    }
    match (operators.read()?, operators.read()?, operators.read()?, operators.eof()) {
        (
            Operator::I32Const { value },
            Operator::CallIndirect { type_index, table_index: 0 },
            Operator::End,
            true,
        ) if type_index == ty => u32::try_from(value).map_err(|_| STRANGE),
        _ => Err(STRANGE),
    }
}

/// Reads a module that fills a table, from its first slot on: the name it imports the table by, and those of what it puts in.
pub(super) fn filler(whole: &[u8], bytes: Range<usize>) -> Result<(&str, Vec<&str>), Why> {
    let (mut functions, mut tables, mut elements) = (Vec::new(), Vec::new(), None);
    for payload in payloads(whole, bytes) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    match import.ty {
                        TypeRef::Func(_) => functions.push(import.name),
                        TypeRef::Table(_) => tables.push(import.name),
                        _ => return Err(STRANGE),
                    }
                }
            }
            Payload::ElementSection(section) => {
                for element in section {
                    let element = element?;
                    let at_start = match &element.kind {
                        ElementKind::Active { table_index: None | Some(0), offset_expr } => {
                            is_zero(offset_expr)?
                        }
                        _ => false,
                    };
                    let ElementItems::Functions(indexes) = element.items else { return Err(STRANGE) };
                    let indexes = indexes.into_iter().collect::<Result<Vec<_>, _>>()?;
                    if !at_start || elements.replace(indexes).is_some() {
                        return Err(STRANGE);
                    }
                }
            }
            Payload::Version { .. }
            | Payload::TypeSection(_)
            | Payload::CustomSection(_)
            | Payload::End(_) => {}
            _ => return Err(STRANGE),
        }
    }
    let [table] = tables.as_slice() else { return Err(STRANGE) };
    let names = elements.unwrap_or_default().into_iter();
    let names = names.map(|index| functions.get(index as usize).copied().ok_or(STRANGE));
    Ok((table, names.collect::<Result<_, _>>()?))
}

fn is_zero(expression: &ConstExpr<'_>) -> Result<bool, Why> {
    let mut reader = expression.get_operators_reader();
    Ok(matches!((reader.read()?, reader.read()?), (Operator::I32Const { value: 0 }, Operator::End)))
}
