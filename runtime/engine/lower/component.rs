//! Reads a component into what it defines, by index. Must never let pass what is not known here: what could hold code or
//! state of its own is refused.

use std::ops::Range;

use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentAlias, ComponentDefinedType, ComponentExternalKind,
    ComponentOuterAliasKind, ComponentType, ComponentTypeRef, ComponentValType, ExternalKind, Instance,
    InstanceTypeDeclaration, Parser, Payload, PrimitiveValType, ValType,
};

use super::{Why, is_ours};
use crate::host::lowered;
use crate::model::version::Handler;

/// The interfaces that answer: of 0.2, and of 0.3.
const HANDLERS: [(&str, Handler); 2] =
    [("wasi:http/incoming-handler", Handler::Http02), ("wasi:http/handler@0.3", Handler::Http03)];

/// Everything that a component defines, by index.
#[derive(Default)]
pub(super) struct Component<'a> {
    pub(super) bytes: &'a [u8],
    /// Where each module is; `None` for one that is an export's.
    pub(super) modules: Vec<Option<Range<usize>>>,
    pub(super) core_instances: Vec<Core<'a>>,
    pub(super) core_functions: Vec<Function<'a>>,
    pub(super) core_memories: Vec<Place<'a>>,
    pub(super) core_tables: Vec<Place<'a>>,
    /// What is imported, by interface; `None` for what is not.
    pub(super) instances: Vec<Option<&'a str>>,
    pub(super) functions: Vec<Option<Place<'a>>>,
    pub(super) types: Vec<Type<'a>>,
    /// The functions that an instance of a type has, by the type's index.
    declared: Vec<(u32, Vec<&'a str>)>,
    pub(super) lifted: Vec<(u32, Options)>,
    /// The handlers that it exports.
    pub(super) handlers: Vec<Handler>,
}

/// An export of an instance.
pub(super) type Place<'a> = (u32, &'a str);

/// A type, as far as it matters.
#[derive(Clone, Copy)]
pub(super) enum Type<'a> {
    /// What an instance exports.
    Export(Place<'a>),
    /// A stream of bytes.
    Bytes,
    /// A future of something that has a type of its own, as those of `wasi:http` have.
    Value,
    Other,
}

/// A core instance.
pub(super) enum Core<'a> {
    Of { module: u32, arguments: Vec<(&'a str, u32)> },
    Items(Vec<(&'a str, ExternalKind, u32)>),
}

/// A core function.
#[derive(Clone, Copy)]
pub(super) enum Function<'a> {
    Lowered {
        function: u32,
        options: Options,
    },
    Dropping(u32),
    /// What the component model itself has, by the host's name for it.
    Builtin(&'static str, Options),
    Export(Place<'a>),
}

/// What a function was lifted or lowered with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    pub(super) memory: Option<u32>,
    pub(super) realloc: Option<u32>,
    pub(super) is_async: bool,
    /// What is called when something has happened.
    pub(super) callback: Option<u32>,
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
            Payload::ModuleSection { unchecked_range, .. } => {
                self.modules.push(Some(unchecked_range.clone()));
            }
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    self.core_instances.push(Core::read(instance?));
                }
            }
            Payload::ComponentTypeSection(section) => {
                for defined in section.clone() {
                    self.defined(defined?)?;
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
                    if let Some(interface) = interface(export.name.name).filter(|_| is_instance) {
                        let answers = HANDLERS.iter().filter(|(name, _)| *name == interface);
                        self.handlers.extend(answers.map(|(_, handler)| *handler));
                    }
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

    fn defined(&mut self, ty: ComponentType<'a>) -> Result<(), Why> {
        let index = u32::try_from(self.types.len()).unwrap_or(u32::MAX);
        self.types.push(match ty {
            ComponentType::Resource { .. } => return Err(Why::Shape("resources of its own")),
            ComponentType::Defined(ComponentDefinedType::Stream(Some(BYTE))) => Type::Bytes,
            ComponentType::Defined(ComponentDefinedType::Future(Some(ComponentValType::Type(_)))) => {
                Type::Value
            }
            ComponentType::Instance(declarations) => {
                let function = |declaration: &InstanceTypeDeclaration<'a>| match declaration {
                    InstanceTypeDeclaration::Export { name, ty: ComponentTypeRef::Func(_) } => {
                        Some(name.name)
                    }
                    _ => None,
                };
                self.declared.push((index, declarations.iter().filter_map(function).collect()));
                Type::Other
            }
            _ => Type::Other,
        });
        Ok(())
    }

    /// What is imported and not used must be there as well, or it would be refused where it stays a component.
    fn imports(&mut self, name: &'a str, ty: ComponentTypeRef) -> Result<(), Why> {
        match ty {
            ComponentTypeRef::Instance(ty) => {
                let unknown = |what: &str| Why::Import(format!("{name}#{what}"));
                let interface =
                    interface(name).filter(|interface| lowered::has(interface)).ok_or_else(|| unknown(""))?;
                let declared = self.declared.iter().find(|(index, _)| *index == ty);
                for function in declared.map(|(_, all)| all.as_slice()).unwrap_or_default() {
                    let is_known = lowered::find(interface, function).is_some()
                        || lowered::find(interface, &format!("[async]{function}")).is_some();
                    if !is_known {
                        return Err(unknown(function));
                    }
                }
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
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, .. } => self.types.push(Type::Other),
            ComponentAlias::Outer { .. } => return Err(Why::Shape("parts from outside")),
        }
        Ok(())
    }

    /// Takes note of one more of this kind.
    fn defines(&mut self, kind: ComponentExternalKind, place: Option<Place<'a>>) {
        match kind {
            ComponentExternalKind::Func => self.functions.push(place),
            ComponentExternalKind::Type => self.types.push(place.map_or(Type::Other, Type::Export)),
            ComponentExternalKind::Instance => self.instances.push(None),
            ComponentExternalKind::Module => self.modules.push(None),
            // Indices that nobody asks for.
            ComponentExternalKind::Component | ComponentExternalKind::Value => {}
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
            other => {
                let (name, options) = self.builtin(&other)?;
                self.core_functions.push(Function::Builtin(name, options));
            }
        }
        Ok(())
    }
}

impl Component<'_> {
    /// What a function of the component model is called here, if it is one that never waits.
    fn builtin(&self, function: &CanonicalFunction) -> Result<(&'static str, Options), Why> {
        use CanonicalFunction as F;
        const UNKNOWN: Why = Why::Shape("built-in functions that only the component path has");
        let plain = Options::default();
        let read = |options| {
            Options::read(options).and_then(|read| if read.is_async { Ok(read) } else { Err(UNKNOWN) })
        };
        let bytes = |ty: u32| matches!(self.types.get(ty as usize), Some(Type::Bytes));
        let value = |ty: u32| matches!(self.types.get(ty as usize), Some(Type::Value));
        Ok(match function {
            F::ContextGet { ty: ValType::I32, slot: 0 } => ("context.get-0", plain),
            F::ContextGet { ty: ValType::I32, slot: 1 } => ("context.get-1", plain),
            F::ContextSet { ty: ValType::I32, slot: 0 } => ("context.set-0", plain),
            F::ContextSet { ty: ValType::I32, slot: 1 } => ("context.set-1", plain),
            F::TaskReturn { options, .. } => ("task.return", Options::read(options)?),
            F::TaskCancel => ("task.cancel", plain),
            F::SubtaskDrop => ("subtask.drop", plain),
            F::SubtaskCancel { .. } => ("subtask.cancel", plain),
            F::WaitableSetNew => ("waitable-set.new", plain),
            F::WaitableSetPoll { memory, .. } => {
                ("waitable-set.poll", Options { memory: Some(*memory), ..plain })
            }
            F::WaitableSetDrop => ("waitable-set.drop", plain),
            F::WaitableJoin => ("waitable.join", plain),
            F::StreamNew { ty } if bytes(*ty) => ("stream.new", plain),
            F::StreamRead { ty, options } if bytes(*ty) => ("stream.read", read(options)?),
            F::StreamWrite { ty, options } if bytes(*ty) => ("stream.write", read(options)?),
            F::StreamCancelRead { ty, .. } if bytes(*ty) => ("stream.cancel-read", plain),
            F::StreamCancelWrite { ty, .. } if bytes(*ty) => ("stream.cancel-write", plain),
            F::StreamDropReadable { ty } if bytes(*ty) => ("stream.drop-readable", plain),
            F::StreamDropWritable { ty } if bytes(*ty) => ("stream.drop-writable", plain),
            F::FutureNew { ty, .. } if value(*ty) => ("future.new", plain),
            F::FutureRead { ty, options } if value(*ty) => ("future.read", read(options)?),
            F::FutureWrite { ty, options } if value(*ty) => ("future.write", read(options)?),
            F::FutureCancelRead { ty, .. } if value(*ty) => ("future.cancel-read", plain),
            F::FutureCancelWrite { ty, .. } if value(*ty) => ("future.cancel-write", plain),
            F::FutureDropReadable { ty, .. } if value(*ty) => ("future.drop-readable", plain),
            F::FutureDropWritable { ty, .. } if value(*ty) => ("future.drop-writable", plain),
            _ => return Err(UNKNOWN),
        })
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
                CanonicalOption::Async => read.is_async = true,
                CanonicalOption::Callback(function) => read.callback = Some(*function),
                _ => return Err(Why::Shape("functions that are called in another way")),
            }
        }
        Ok(read)
    }
}

/// What a stream of bytes is of.
const BYTE: ComponentValType = ComponentValType::Primitive(PrimitiveValType::U8);

/// An interface of WASI: of 0.2 without its version, of 0.3 with the part of it that tells them apart.
fn interface(name: &str) -> Option<&str> {
    let (interface, version) = name.split_once('@')?;
    let patch = version.strip_prefix("0.2.").or_else(|| version.strip_prefix("0.3."))?;
    let is_known =
        interface.starts_with("wasi:") && !patch.is_empty() && patch.bytes().all(|c| c.is_ascii_digit());
    let end = if version.starts_with("0.2") { interface.len() } else { interface.len() + "@0.3".len() };
    name.get(..end).filter(|_| is_known)
}
