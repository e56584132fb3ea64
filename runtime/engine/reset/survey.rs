//! Reads a component: which of its modules have state, and how far each of its index spaces goes.
//! Must never let pass what could hold state elsewhere: what is not known here is refused.

use std::ops::Range;

use wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentOuterAliasKind, ComponentType,
    ComponentTypeRef, ExternalKind, Instance, Parser, Payload,
};

use super::{RESERVED, Why};
use crate::model::limits::CORE_INSTANCES_PER_COMPONENT;

/// What there is to know of a component.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// The modules in it, in their order.
    pub(super) modules: Vec<Inline>,
    pub(super) counts: Counts,
    /// Which of `modules` a module's index stands for.
    inline: Vec<Option<usize>>,
    instantiated: u32,
}

/// A module within a component.
#[derive(Debug)]
pub(super) struct Inline {
    /// Where its section begins.
    pub(super) header: usize,
    /// Where the module itself is.
    pub(super) bytes: Range<usize>,
    /// Its one core instance, if it has one.
    pub(super) instance: Option<u32>,
}

/// How many there are of each kind: the next one has this index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) core_functions: u32,
    pub(super) core_memories: u32,
    pub(super) core_instances: u32,
    pub(super) core_modules: u32,
    pub(super) functions: u32,
    pub(super) types: u32,
}

impl Survey {
    /// Reads a component.
    pub(super) fn of(component: &[u8]) -> Result<Self, Why> {
        let mut survey = Self::default();
        let mut depth = 0_u32;
        // The magic and the version.
        let mut end = 8;
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload?;
            match &payload {
                Payload::End(_) => depth = depth.saturating_sub(1),
                _ if depth == 0 => {
                    let header = end;
                    end = payload.as_section().map_or(end, |(_, range)| range.end);
                    survey.section(&payload, header)?;
                }
                _ => inner(&payload)?,
            }
            if matches!(payload, Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) {
                depth += 1;
            }
        }
        if survey.instantiated >= CORE_INSTANCES_PER_COMPONENT {
            return Err(Why::State("no room for one more core instance"));
        }
        Ok(survey)
    }

    fn section(&mut self, payload: &Payload<'_>, header: usize) -> Result<(), Why> {
        match payload {
            Payload::ModuleSection { unchecked_range, .. } => {
                self.inline.push(Some(self.modules.len()));
                self.counts.core_modules += 1;
                self.modules.push(Inline { header, bytes: unchecked_range.clone(), instance: None });
            }
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    self.instance(&instance?)?;
                }
            }
            Payload::ComponentTypeSection(section) => {
                for defined in section.clone() {
                    if let ComponentType::Resource { .. } = defined? {
                        return Err(Why::State("resources of its own"));
                    }
                    self.counts.types += 1;
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    let import = import?;
                    reserved(import.name.name)?;
                    self.defines(kind(import.ty));
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    let export = export?;
                    reserved(export.name.name)?;
                    self.defines(export.kind);
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    self.alias(&alias?);
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section.clone() {
                    let function = function?;
                    leaves_nothing(&function)?;
                    match function {
                        CanonicalFunction::Lift { .. } => self.counts.functions += 1,
                        _ => self.counts.core_functions += 1,
                    }
                }
            }
            Payload::ComponentStartSection { .. } => return Err(Why::State("a start function")),
            // Nothing of these has state or takes an index that is needed here.
            Payload::Version { .. }
            | Payload::CoreTypeSection(_)
            | Payload::ComponentSection { .. }
            | Payload::ComponentInstanceSection(_)
            | Payload::CustomSection(_) => {}
            _ => return Err(Why::State("an unknown section")),
        }
        Ok(())
    }

    fn instance(&mut self, instance: &Instance<'_>) -> Result<(), Why> {
        let index = self.counts.core_instances;
        self.counts.core_instances += 1;
        let Instance::Instantiate { module_index, .. } = instance else { return Ok(()) };
        self.instantiated += 1;
        let inline = self.inline.get(*module_index as usize).copied().flatten();
        let Some(module) = inline.and_then(|inline| self.modules.get_mut(inline)) else {
            return Err(Why::State("a module from outside"));
        };
        if module.instance.replace(index).is_some() {
            return Err(Why::State("several instances of one module"));
        }
        Ok(())
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) {
        match alias {
            ComponentAlias::InstanceExport { kind, .. } => self.defines(*kind),
            ComponentAlias::CoreInstanceExport { kind, .. } => match kind {
                ExternalKind::Func | ExternalKind::FuncExact => self.counts.core_functions += 1,
                ExternalKind::Memory => self.counts.core_memories += 1,
                ExternalKind::Table | ExternalKind::Global | ExternalKind::Tag => {}
            },
            ComponentAlias::Outer { kind, .. } => match kind {
                ComponentOuterAliasKind::CoreModule => self.defines(ComponentExternalKind::Module),
                ComponentOuterAliasKind::Type => self.counts.types += 1,
                ComponentOuterAliasKind::CoreType | ComponentOuterAliasKind::Component => {}
            },
        }
    }

    /// Takes note of one more of this kind.
    fn defines(&mut self, kind: ComponentExternalKind) {
        match kind {
            ComponentExternalKind::Module => {
                self.inline.push(None);
                self.counts.core_modules += 1;
            }
            ComponentExternalKind::Func => self.counts.functions += 1,
            ComponentExternalKind::Type => self.counts.types += 1,
            ComponentExternalKind::Value
            | ComponentExternalKind::Instance
            | ComponentExternalKind::Component => {}
        }
    }
}

/// What stands within a component that stands within the one: none of it may have state. What stands within a module is
/// looked at elsewhere.
fn inner(payload: &Payload<'_>) -> Result<(), Why> {
    match payload {
        Payload::ModuleSection { .. } | Payload::InstanceSection(_) => {
            Err(Why::State("modules in a component of its own"))
        }
        Payload::ComponentStartSection { .. } => Err(Why::State("a start function")),
        Payload::ComponentCanonicalSection(section) => {
            section.clone().into_iter().try_for_each(|function| leaves_nothing(&function?))
        }
        _ => Ok(()),
    }
}

/// Whether what a function leaves in its instance can be seen from outside: resources stand in the host's table, and tasks,
/// streams and what waits for them in the engine's.
fn leaves_nothing(function: &CanonicalFunction) -> Result<(), Why> {
    use CanonicalFunction as F;
    match function {
        F::Lift { .. }
        | F::Lower { .. }
        | F::ResourceDrop { .. }
        | F::TaskReturn { .. }
        | F::TaskCancel
        | F::ContextGet { .. }
        | F::ContextSet { .. }
        | F::ThreadYield { .. }
        | F::SubtaskDrop
        | F::SubtaskCancel { .. }
        | F::StreamNew { .. }
        | F::StreamRead { .. }
        | F::StreamWrite { .. }
        | F::StreamCancelRead { .. }
        | F::StreamCancelWrite { .. }
        | F::StreamDropReadable { .. }
        | F::StreamDropWritable { .. }
        | F::FutureNew { .. }
        | F::FutureRead { .. }
        | F::FutureWrite { .. }
        | F::FutureCancelRead { .. }
        | F::FutureCancelWrite { .. }
        | F::FutureDropReadable { .. }
        | F::FutureDropWritable { .. }
        | F::WaitableSetNew
        | F::WaitableSetWait { .. }
        | F::WaitableSetPoll { .. }
        | F::WaitableSetDrop
        | F::WaitableJoin => Ok(()),
        // Resources of its own, backpressure, contexts of errors, threads.
        _ => Err(Why::State("state of its own in the engine")),
    }
}

fn reserved(name: &str) -> Result<(), Why> {
    if name.starts_with(RESERVED) { Err(Why::State("names that are ours")) } else { Ok(()) }
}

fn kind(ty: ComponentTypeRef) -> ComponentExternalKind {
    match ty {
        ComponentTypeRef::Module(_) => ComponentExternalKind::Module,
        ComponentTypeRef::Func(_) => ComponentExternalKind::Func,
        ComponentTypeRef::Value(_) => ComponentExternalKind::Value,
        ComponentTypeRef::Type(_) => ComponentExternalKind::Type,
        ComponentTypeRef::Instance(_) => ComponentExternalKind::Instance,
        ComponentTypeRef::Component(_) => ComponentExternalKind::Component,
    }
}
