//! Reads the module of code, section by section. Must never let pass what the rest could not write again as it was.

use wasm_encoder::{ConstExpr, Elements};
use wasmparser::{
    ElementItems, ElementKind, FuncType, ImportSectionReader, KnownCustom, Operator, Payload, TypeRef,
    TypeSectionReader, ValType,
};

use super::{
    CODE, DATA, DATA_COUNT, ELEMENT, EXPORT, Emit, FUNCTION, GLOBAL, IMPORT, MEMORY_SECTION, Section,
    Signature, TABLE, TYPE, Why,
};
use crate::engine::reset::module::Initial;

impl<'a> Emit<'a> {
    /// Takes note of the next part.
    pub(super) fn read(&mut self, payload: Payload<'a>) -> Result<(), Why> {
        match payload {
            Payload::TypeSection(section) => {
                self.section(TYPE, &section);
                self.signatures(section)?;
            }
            Payload::ImportSection(section) => {
                self.section(IMPORT, &section);
                self.imports(section)?;
            }
            Payload::FunctionSection(section) => {
                self.section(FUNCTION, &section);
                self.defined = section.into_iter().collect::<Result<_, _>>()?;
            }
            Payload::TableSection(section) => {
                self.section(TABLE, &section);
                for table in section {
                    if let wasmparser::TableInit::Expr(_) = table?.init {
                        return Err(Why::Shape("tables that begin with a function"));
                    }
                }
            }
            Payload::MemorySection(section) if section.count() == 1 => self.section(MEMORY_SECTION, &section),
            Payload::GlobalSection(section) => {
                self.section(GLOBAL, &section);
                for global in section {
                    for operator in global?.init_expr.get_operators_reader() {
                        if let Operator::RefFunc { .. } = operator? {
                            return Err(Why::Shape("globals that are functions"));
                        }
                    }
                }
            }
            Payload::ExportSection(section) => {
                self.section(EXPORT, &section);
                for export in section {
                    let export = export?;
                    self.exports.insert(export.name, (export.kind, export.index));
                }
            }
            Payload::ElementSection(section) => {
                self.section(ELEMENT, &section);
                for element in section {
                    self.element(element?)?;
                }
            }
            Payload::DataCountSection { count, range } => {
                self.sections.push(Section {
                    id: DATA_COUNT,
                    content: range.clone(),
                    count,
                    items: range.end,
                });
            }
            Payload::CodeSectionStart { range, count, .. } => {
                self.sections.push(Section { id: CODE, content: range.clone(), count, items: range.start });
            }
            Payload::CodeSectionEntry(body) => self.bodies.push(body),
            Payload::DataSection(section) => {
                self.data = section.count();
                self.section(DATA, &section);
            }
            Payload::CustomSection(custom) => {
                if let KnownCustom::Name(names) = custom.as_known() {
                    self.named(names);
                }
            }
            Payload::Version { .. } | Payload::End(_) => {}
            _ => return Err(Why::Shape("a section that is not known here")),
        }
        Ok(())
    }

    fn section<T>(&mut self, id: u8, section: &wasmparser::SectionLimited<'_, T>) {
        let (content, count, items) = (section.range(), section.count(), section.original_position());
        self.sections.push(Section { id, content, count, items });
    }

    fn signatures(&mut self, section: TypeSectionReader<'a>) -> Result<(), Why> {
        for ty in section.into_iter_err_on_gc_types() {
            let ty = ty?;
            let parameters = u32::try_from(ty.params().len()).unwrap_or(u32::MAX);
            self.types.push(Signature { parameters, letters: letters(&ty) });
        }
        Ok(())
    }

    fn imports(&mut self, section: ImportSectionReader<'a>) -> Result<(), Why> {
        for import in section.into_imports() {
            let TypeRef::Func(ty) = import?.ty else {
                return Err(Why::Shape("a module that shares more than functions"));
            };
            self.imported.push(ty);
        }
        Ok(())
    }

    /// Names that cannot be read are none.
    fn named(&mut self, names: wasmparser::NameSectionReader<'a>) {
        for name in names.into_iter().flatten() {
            if let wasmparser::Name::Function(functions) = name {
                self.names.extend(functions.into_iter().flatten().map(|naming| (naming.index, naming.name)));
            }
        }
    }

    fn element(&mut self, element: wasmparser::Element<'_>) -> Result<(), Why> {
        let ElementItems::Functions(functions) = element.items else {
            return Err(Why::Shape("tables that are filled with more than functions"));
        };
        let functions = functions.into_iter().map(|function| Ok(self.now(function?)));
        let functions: Vec<u32> = functions.collect::<Result<_, Why>>()?;
        let functions = Elements::Functions(functions.into());
        match element.kind {
            ElementKind::Passive => self.elements.passive(functions),
            ElementKind::Declared => self.elements.declared(functions),
            ElementKind::Active { table_index, offset_expr } => {
                let Ok(Initial::I32(start)) = Initial::read(ValType::I32, &offset_expr) else {
                    return Err(Why::Shape("tables that are filled from somewhere"));
                };
                self.elements.active(table_index, &ConstExpr::i32_const(start), functions)
            }
        };
        Ok(())
    }
}

/// A function's type as the host writes it; of any it does not have, something that it never writes.
fn letters(ty: &FuncType) -> String {
    let letter = |ty: &ValType| match ty {
        ValType::I32 => 'i',
        ValType::I64 => 'l',
        _ => '?',
    };
    // The host has none with more.
    let some = |types: &[ValType]| types.iter().take(20).map(letter).collect::<String>();
    format!("{}>{}", some(ty.params()), some(ty.results()))
}
