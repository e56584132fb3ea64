//! Follows what a component's one module of code imports, through every alias, instance and shim, to the host's functions.
//! Must never take a function for another one: what is not followed to its end is refused.

use std::ops::Range;

use wasmparser::{ExternalKind, TypeRef};

use super::Why;
use super::component::{Component, Core, Function, Options, Place, Type};
use super::shim::{self, Slots};
use crate::host::lowered::{self, Known};
use crate::model::version::Handler;

/// How a component becomes a module.
#[derive(Debug)]
pub(super) struct Plan {
    /// Where its module of code is.
    pub(super) main: Range<usize>,
    /// What each function is that the module imports, in order.
    pub(super) imports: Vec<Import>,
    /// The name under which the module exports what answers; and, if the host needs them, its memory and what allocates
    /// in it.
    pub(super) handle: String,
    /// Of 0.3, what is called when something has happened.
    pub(super) callback: Option<String>,
    pub(super) memory: Option<String>,
    pub(super) realloc: Option<String>,
}

/// A function of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Import {
    pub(super) interface: String,
    pub(super) name: String,
    pub(super) known: Known,
}

impl Plan {
    /// Reads a component.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, Why> {
        Component::of(bytes)?.plan()
    }
}

impl<'a> Component<'a> {
    fn plan(&self) -> Result<Plan, Why> {
        let [(handle, options)] = self.lifted.as_slice() else {
            return Err(Why::Shape("not one function of its own but several, or none"));
        };
        let [handler] = self.handlers.as_slice() else { return Err(Why::Shape("several handlers, or none")) };
        if options.is_async != (*handler == Handler::Http03) || options.is_async != options.callback.is_some()
        {
            return Err(Why::Shape("a handler that is called in another way"));
        }
        let (main, handle) = self.export(*handle)?;
        let Some(Core::Of { module, arguments }) = self.core_instances.get(main as usize) else {
            return Err(Why::Shape("a handler without a module"));
        };
        let mut finder = Finder { component: self, main, memory: None, realloc: None };
        finder.uses(*options)?;
        let callback = options.callback.map(|callback| self.export(callback)).transpose()?;
        if callback.is_some_and(|(instance, _)| instance != main) {
            return Err(Why::Shape("several modules of code"));
        }
        let shims = self.shims(main)?;
        let bytes = self.modules.get(*module as usize).cloned().flatten();
        let bytes = bytes.ok_or(Why::Shape("a module from outside"))?;
        let mut imports = Vec::new();
        for (from, name, ty) in shim::imports(self.bytes, bytes.clone())? {
            if !matches!(ty, TypeRef::Func(_)) {
                return Err(Why::Shape("a module that shares more than functions"));
            }
            let argument = arguments.iter().find(|(named, _)| *named == from);
            let (_, instance) = argument.ok_or(Why::Shape("an import without an instance"))?;
            let function = self.item(*instance, name, &shims)?;
            imports.push(finder.import(function)?);
        }
        let memory = finder.memory.map(ToOwned::to_owned);
        let realloc = finder.realloc.map(ToOwned::to_owned);
        if realloc.is_none() && imports.iter().any(|import| import.known.allocates) {
            return Err(Why::Shape("nothing that allocates"));
        }
        let (handle, callback) = (handle.to_owned(), callback.map(|(_, name)| name.to_owned()));
        Ok(Plan { main: bytes, imports, handle, callback, memory, realloc })
    }

    /// The export of a module's instance that a core function is.
    fn export(&self, function: u32) -> Result<Place<'a>, Why> {
        match self.core_functions.get(function as usize) {
            Some(Function::Export(place)) => match self.core_instances.get(place.0 as usize) {
                Some(Core::Of { .. }) => Ok(*place),
                _ => Err(Why::Shape("a function that goes round")),
            },
            _ => Err(Why::Shape("a function that is none of its own")),
        }
    }

    /// The host's function that an instance has under this name, directly or through a shim.
    fn item(&self, instance: u32, name: &str, shims: &[Option<Slots<'a>>]) -> Result<Function<'a>, Why> {
        const LOST: Why = Why::Shape("an import that leads nowhere");
        let index = match self.core_instances.get(instance as usize) {
            Some(Core::Items(items)) => {
                let is_it = |kind| matches!(kind, ExternalKind::Func | ExternalKind::FuncExact);
                let found = items.iter().find(|(named, kind, _)| *named == name && is_it(*kind));
                found.ok_or(LOST)?.2
            }
            // What a shim calls for each of its functions.
            Some(Core::Of { .. }) => return self.through(instance, name, shims),
            None => return Err(LOST),
        };
        match self.core_functions.get(index as usize) {
            Some(Function::Export((shim, name))) => self.through(*shim, name, shims),
            Some(function) => Ok(*function),
            None => Err(LOST),
        }
    }

    fn through(&self, shim: u32, name: &str, shims: &[Option<Slots<'a>>]) -> Result<Function<'a>, Why> {
        let slots = shims.get(shim as usize).and_then(Option::as_ref);
        let slots = slots.ok_or(Why::Shape("several modules of code"))?;
        let Some((items, item)) = slots.target(name) else {
            return Err(Why::Shape("a shim without an end"));
        };
        let Some(Core::Items(items)) = self.core_instances.get(items as usize) else {
            return Err(Why::Shape("a shim without an end"));
        };
        let found = items.iter().find(|(named, ..)| *named == item);
        let (_, _, index) = found.ok_or(Why::Shape("a shim without an end"))?;
        match self.core_functions.get(*index as usize) {
            Some(function @ (Function::Lowered { .. } | Function::Dropping(_) | Function::Builtin(..))) => {
                Ok(*function)
            }
            _ => Err(Why::Shape("several modules of code")),
        }
    }

    /// By instance of a shim, what its functions lead to. Every module but the one of code is a shim, or fills one.
    fn shims(&self, main: u32) -> Result<Vec<Option<Slots<'a>>>, Why> {
        let mut shims: Vec<Option<Slots<'a>>> = Vec::new();
        shims.resize_with(self.core_instances.len(), || None);
        let mut used = vec![false; self.modules.len()];
        for (index, instance) in (0..).zip(&self.core_instances) {
            let Core::Of { module, arguments } = instance else { continue };
            let seen = used.get_mut(*module as usize).ok_or(Why::Shape("a module from outside"))?;
            if std::mem::replace(seen, true) {
                return Err(Why::Shape("several instances of one module"));
            }
            if index == main {
                continue;
            }
            let bytes = self.modules.get(*module as usize).cloned().flatten();
            let bytes = bytes.ok_or(Why::Shape("a module from outside"))?;
            if arguments.is_empty() {
                if let Some(shim) = shims.get_mut(index as usize) {
                    *shim = Some(Slots::of(self.bytes, bytes)?);
                }
                continue;
            }
            let [("", items)] = arguments.as_slice() else {
                return Err(Why::Shape("several modules of code"));
            };
            let (table, elements) = shim::filler(self.bytes, bytes)?;
            let shim = self.table(*items, table)?;
            let slots = shims.get_mut(shim.0 as usize).and_then(Option::as_mut);
            slots.ok_or(Why::Shape("a table that is no shim's"))?.fill(shim.1, *items, elements)?;
        }
        Ok(shims)
    }

    fn table(&self, instance: u32, name: &str) -> Result<Place<'a>, Why> {
        const LOST: Why = Why::Shape("a table that leads nowhere");
        let Some(Core::Items(items)) = self.core_instances.get(instance as usize) else { return Err(LOST) };
        let found = items.iter().find(|(named, kind, _)| *named == name && *kind == ExternalKind::Table);
        let Some((_, _, table)) = found else { return Err(LOST) };
        self.core_tables.get(*table as usize).copied().ok_or(LOST)
    }
}

/// Says what each function is, and sees that all of them use one memory and one allocator.
struct Finder<'c, 'a> {
    component: &'c Component<'a>,
    main: u32,
    memory: Option<&'a str>,
    realloc: Option<&'a str>,
}

impl<'a> Finder<'_, 'a> {
    fn import(&mut self, function: Function<'a>) -> Result<Import, Why> {
        const LOST: Why = Why::Shape("a function that is not the host's");
        let (place, prefix) = match function {
            Function::Lowered { function, options } => {
                self.uses(options)?;
                let place = self.component.functions.get(function as usize).copied().flatten();
                (place, if options.is_async { "[async]" } else { "" })
            }
            Function::Dropping(ty) => match self.component.types.get(ty as usize) {
                Some(Type::Export(place)) => (Some(*place), "[resource-drop]"),
                _ => return Err(LOST),
            },
            Function::Builtin(name, options) => {
                self.uses(options)?;
                return known(lowered::BUILTINS, name.to_owned());
            }
            Function::Export(_) => return Err(Why::Shape("several modules of code")),
        };
        let Some((instance, name)) = place else { return Err(LOST) };
        let interface = self.component.instances.get(instance as usize).copied().flatten().ok_or(LOST)?;
        known(interface, format!("{prefix}{name}"))
    }

    fn uses(&mut self, options: Options) -> Result<(), Why> {
        if let Some(memory) = options.memory {
            let place = self.component.core_memories.get(memory as usize).copied();
            self.memory = Some(self.own(place, self.memory)?);
        }
        if let Some(realloc) = options.realloc {
            let place = self.component.export(realloc)?;
            self.realloc = Some(self.own(Some(place), self.realloc)?);
        }
        Ok(())
    }

    /// The name of an export of the module of code, the same as before.
    fn own(&self, place: Option<Place<'a>>, before: Option<&str>) -> Result<&'a str, Why> {
        match place {
            Some((instance, name)) if instance == self.main && before.is_none_or(|one| one == name) => {
                Ok(name)
            }
            _ => Err(Why::Shape("several memories or allocators")),
        }
    }
}

/// What the host knows of a function.
fn known(interface: &str, name: String) -> Result<Import, Why> {
    match lowered::find(interface, &name) {
        Some(known) => Ok(Import { interface: interface.to_owned(), name, known }),
        None => Err(Why::Import(format!("{interface}#{name}"))),
    }
}
