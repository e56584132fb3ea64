//! Reads a component into what it defines, by index. Must never let pass what is not known here: what could hold code or
//! state of its own is refused.

use std::ops::Range;

use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentAlias, ComponentExternalKind, ComponentOuterAliasKind,
    ComponentType, ComponentTypeRef, ExternalKind, Instance, Parser, Payload,
};

use super::{Why, is_ours};

/// The interface that is exported, without its version.
const HANDLER: &str = "wasi:http/incoming-handler";

/// Everything that a component defines, by index.
#[derive(Default)]
pub(super) struct Component<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) modules: Vec<Range<usize>>,
    pub(super) core_instances: Vec<Core<'a>>,
    pub(super) core_functions: Vec<Function<'a>>,
    pub(super) core_memories: Vec<Place<'a>>,
    pub(super) core_tables: Vec<Place<'a>>,
    /// What is imported, by interface; `None` for what is not.
    pub(super) instances: Vec<Option<&'a str>>,
    pub(super) functions: Vec<Option<Place<'a>>>,
    pub(super) types: Vec<Option<Place<'a>>>,
    pub(super) lifted: Vec<(u32, Options)>,
    pub(super) exports_handler: bool,
}

/// An export of an instance.
pub(super) type Place<'a> = (u32, &'a str);

/// A core instance.
pub(super) enum Core<'a> {
    Of { module: u32, arguments: Vec<(&'a str, u32)> },
    Items(Vec<(&'a str, ExternalKind, u32)>),
}

/// A core function.
#[derive(Clone, Copy)]
pub(super) enum Function<'a> {
    Lowered { function: u32, options: Options },
    Dropping(u32),
    Export(Place<'a>),
}

/// What a function was lifted or lowered with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    pub(super) memory: Option<u32>,
    pub(super) realloc: Option<u32>,
}

impl<'a> Component<'a> {
    /// Reads a component.
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self, Why> {
        let mut component = Self { bytes, ..Self::default() };
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            match &payload {
                Payload::End(_) => depth = depth.saturating_sub(1),
                _ if depth == 0 => component.section(&payload)?,
                _ => Self::inner(&payload)?,
            }
            if matches!(payload, Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) {
                depth += 1;
            }
        }
        Ok(component)
    }

    fn section(&mut self, payload: &Payload<'a>) -> Result<(), Why> {
        match payload {
            Payload::ModuleSection { unchecked_range, .. } => self.modules.push(unchecked_range.clone()),
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    self.core_instances.push(Core::read(instance?));
                }
            }
            Payload::ComponentTypeSection(section) => {
                for defined in section.clone() {
                    if let ComponentType::Resource { .. } = defined? {
                        return Err(Why::Shape("resources of its own"));
                    }
                    self.types.push(None);
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    let import = import?;
                    self.imports(import.name.name, import.ty)?;
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    instance?;
                    self.instances.push(None);
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    let export = export?;
                    if is_ours(export.name.name) {
                        return Err(Why::Shape("names that are ours"));
                    }
                    let is_instance = export.kind == ComponentExternalKind::Instance;
                    self.exports_handler |= is_instance && interface(export.name.name) == Some(HANDLER);
                    self.defines(export.kind, None);
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    self.alias(&alias?)?;
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section.clone() {
                    self.canonical(function?)?;
                }
            }
            Payload::Version { .. } | Payload::ComponentSection { .. } | Payload::CustomSection(_) => {}
            _ => return Err(Why::Shape("a section that is not known here")),
        }
        Ok(())
    }

    /// What stands within a module is read elsewhere; a component within the component may only name things.
    fn inner(payload: &Payload<'a>) -> Result<(), Why> {
        match payload {
            Payload::ModuleSection { .. }
            | Payload::InstanceSection(_)
            | Payload::ComponentCanonicalSection(_)
            | Payload::ComponentStartSection { .. } => Err(Why::Shape("code in a component of its own")),
            _ => Ok(()),
        }
    }

    fn imports(&mut self, name: &'a str, ty: ComponentTypeRef) -> Result<(), Why> {
        match ty {
            ComponentTypeRef::Instance(_) => {
                let interface = interface(name).ok_or_else(|| Why::Import(name.to_owned()))?;
                self.instances.push(Some(interface));
                Ok(())
            }
            _ => Err(Why::Import(name.to_owned())),
        }
    }

    fn alias(&mut self, alias: &ComponentAlias<'a>) -> Result<(), Why> {
        match *alias {
            ComponentAlias::InstanceExport { kind, instance_index, name } => {
                self.defines(kind, Some((instance_index, name)));
            }
            ComponentAlias::CoreInstanceExport { kind, instance_index, name } => {
                let place = (instance_index, name);
                match kind {
                    ExternalKind::Func | ExternalKind::FuncExact => {
                        self.core_functions.push(Function::Export(place));
                    }
                    ExternalKind::Memory => self.core_memories.push(place),
                    ExternalKind::Table => self.core_tables.push(place),
                    // A table of indices nobody asks for.
                    ExternalKind::Global | ExternalKind::Tag => {}
                }
            }
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, .. } => self.types.push(None),
            ComponentAlias::Outer { .. } => return Err(Why::Shape("parts from outside")),
        }
        Ok(())
    }

    /// Takes note of one more of this kind.
    fn defines(&mut self, kind: ComponentExternalKind, place: Option<Place<'a>>) {
        match kind {
            ComponentExternalKind::Func => self.functions.push(place),
            ComponentExternalKind::Type => self.types.push(place),
            ComponentExternalKind::Instance => self.instances.push(None),
            // Neither can be had but by an import, which is refused, or by an alias of what has none.
            ComponentExternalKind::Module
            | ComponentExternalKind::Component
            | ComponentExternalKind::Value => {}
        }
    }

    fn canonical(&mut self, function: CanonicalFunction) -> Result<(), Why> {
        match function {
            CanonicalFunction::Lift { core_func_index, options, .. } => {
                self.functions.push(None);
                self.lifted.push((core_func_index, Options::read(&options)?));
            }
            CanonicalFunction::Lower { func_index, options } => {
                let options = Options::read(&options)?;
                self.core_functions.push(Function::Lowered { function: func_index, options });
            }
            CanonicalFunction::ResourceDrop { resource } => {
                self.core_functions.push(Function::Dropping(resource));
            }
            _ => return Err(Why::Shape("built-in functions that only the component path has")),
        }
        Ok(())
    }
}

impl<'a> Core<'a> {
    fn read(instance: Instance<'a>) -> Self {
        match instance {
            Instance::Instantiate { module_index, args } => {
                let arguments = args.iter().map(|argument| (argument.name, argument.index)).collect();
                Self::Of { module: module_index, arguments }
            }
            Instance::FromExports(items) => {
                Self::Items(items.iter().map(|item| (item.name, item.kind, item.index)).collect())
            }
        }
    }
}

impl Options {
    fn read(options: &[CanonicalOption]) -> Result<Self, Why> {
        let mut read = Self::default();
        for option in options {
            match option {
                CanonicalOption::UTF8 => {}
                CanonicalOption::Memory(memory) => read.memory = Some(*memory),
                CanonicalOption::Realloc(function) => read.realloc = Some(*function),
                _ => return Err(Why::Shape("functions that are called in another way")),
            }
        }
        Ok(read)
    }
}

/// An interface of WASI 0.2, without its version.
fn interface(name: &str) -> Option<&str> {
    let (interface, version) = name.split_once('@')?;
    let patch = version.strip_prefix("0.2.")?;
    (interface.starts_with("wasi:") && !patch.is_empty() && patch.bytes().all(|c| c.is_ascii_digit()))
        .then_some(interface)
}
