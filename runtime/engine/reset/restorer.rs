//! Writes the core module that puts an instance back, and what joins it to its component.
//! Must never write to a page that nothing was written to: the first write makes the kernel copy it.

use wasm_encoder::{
    Alias, BlockType, CanonicalFunctionSection, CanonicalOption, CodeSection, ComponentAliasSection,
    ComponentExportKind, ComponentExportSection, ComponentImportSection, ComponentSection, ComponentTypeRef,
    ComponentTypeSection, DataCountSection, DataSection, EntityType, ExportKind, ExportSection, Function,
    FunctionSection, GlobalType, ImportSection, InstanceSection, MemoryType, Module, ModuleArg,
    ModuleSection, PrimitiveValType, TypeSection, ValType,
};

use super::module::{Initial, Memory, State};
use super::survey::Counts;
use super::{EXPORT, Why};
use crate::host::pages::{GIVE_UP, IMPORT, PAGE};

/// The instance that the restorer imports from besides those that it puts back.
const HOST: &str = "host";
const WRITTEN: &str = "written";
const RESET: &str = "reset";

/// What is put behind the last section of a component whose instances have this state.
pub(super) fn tail(counts: &Counts, states: &[(u32, State)]) -> Result<Vec<u8>, Why> {
    let mut memories =
        states.iter().filter_map(|(instance, state)| Some((*instance, state.memory.as_ref()?)));
    let memory = memories.next();
    if memories.next().is_some() {
        return Err(Why::State("several memories"));
    }
    let mut bytes = Vec::new();
    let restorer = module(states, memory.map(|(_, memory)| memory));
    ModuleSection(&restorer).append_to_component(&mut bytes);
    let mut next = *counts;
    let mut instances = InstanceSection::new();
    let mut arguments = Vec::new();
    if let Some((owner, memory)) = memory {
        written(&mut bytes, counts, (owner, memory));
        instances.export_items([(WRITTEN, ExportKind::Func, counts.core_functions)]);
        arguments.push((HOST.to_owned(), ModuleArg::Instance(counts.core_instances)));
        next.core_functions += 1;
        next.core_instances += 1;
        next.functions += 1;
        next.types += 2;
    }
    let owners = states.iter().map(|(instance, _)| (instance.to_string(), ModuleArg::Instance(*instance)));
    arguments.extend(owners);
    instances.instantiate(counts.core_modules, arguments);
    instances.append_to_component(&mut bytes);

    let mut aliases = ComponentAliasSection::new();
    aliases.alias(Alias::CoreInstanceExport {
        instance: next.core_instances,
        kind: ExportKind::Func,
        name: RESET,
    });
    aliases.append_to_component(&mut bytes);
    let mut types = ComponentTypeSection::new();
    let nothing: [(&str, PrimitiveValType); 0] = [];
    types.function().params(nothing).result(Some(PrimitiveValType::U32.into()));
    types.append_to_component(&mut bytes);
    let mut lifted = CanonicalFunctionSection::new();
    lifted.lift(next.core_functions, next.types, []);
    lifted.append_to_component(&mut bytes);
    let mut exports = ComponentExportSection::new();
    exports.export(EXPORT, ComponentExportKind::Func, next.functions, None);
    exports.append_to_component(&mut bytes);
    Ok(bytes)
}

/// Imports what tells of the pages that were written, and lowers it.
fn written(bytes: &mut Vec<u8>, counts: &Counts, (owner, memory): (u32, &Memory)) {
    let mut types = ComponentTypeSection::new();
    types.defined_type().list(PrimitiveValType::U8);
    let list = wasm_encoder::ComponentValType::Type(counts.types);
    let number = wasm_encoder::ComponentValType::from(PrimitiveValType::U32);
    types
        .function()
        .params([("memory", list), ("pages", number), ("index", number)])
        .result(Some(PrimitiveValType::U64.into()));
    types.append_to_component(bytes);
    let mut imports = ComponentImportSection::new();
    imports.import(IMPORT, ComponentTypeRef::Func(counts.types + 1));
    imports.append_to_component(bytes);
    let mut aliases = ComponentAliasSection::new();
    aliases.alias(Alias::CoreInstanceExport {
        instance: owner,
        kind: ExportKind::Memory,
        name: &memory.name,
    });
    aliases.append_to_component(bytes);
    let mut lowered = CanonicalFunctionSection::new();
    lowered.lower(counts.functions, [CanonicalOption::Memory(counts.core_memories)]);
    lowered.append_to_component(bytes);
}

fn module(states: &[(u32, State)], memory: Option<&Memory>) -> Module {
    let mut module = Module::new();
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32; 4], [ValType::I64]);
    types.ty().function([], [ValType::I32]);
    module.section(&types);

    let mut imports = ImportSection::new();
    if memory.is_some() {
        imports.import(HOST, WRITTEN, EntityType::Function(0));
    }
    for (instance, state) in states {
        let from = instance.to_string();
        for global in &state.globals {
            let ty = GlobalType { val_type: global.initial.ty(), mutable: true, shared: false };
            imports.import(&from, &global.name, EntityType::Global(ty));
        }
        if let Some(memory) = &state.memory {
            let ty = MemoryType {
                minimum: 0,
                maximum: None,
                memory64: false,
                shared: false,
                page_size_log2: None,
            };
            imports.import(&from, &memory.name, EntityType::Memory(ty));
        }
    }
    module.section(&imports);

    let mut functions = FunctionSection::new();
    functions.function(1);
    module.section(&functions);
    let mut exports = ExportSection::new();
    exports.export(RESET, ExportKind::Func, u32::from(memory.is_some()));
    module.section(&exports);
    module.section(&DataCountSection { count: u32::from(memory.is_some()) });
    let mut code = CodeSection::new();
    let globals = states.iter().flat_map(|(_, state)| &state.globals);
    let globals: Vec<_> = (0..).zip(globals.map(|global| global.initial)).collect();
    code.function(&reset(&globals, memory, Places { written: 0, image: 0 }));
    module.section(&code);
    if let Some(memory) = memory {
        let mut data = DataSection::new();
        data.passive(memory.image.iter().copied());
        module.section(&data);
    }
    module
}

/// Where in a module what puts it back finds the rest.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Places {
    /// The function that tells of written pages.
    pub(in crate::engine) written: u32,
    /// The data segment that is the image.
    pub(in crate::engine) image: u32,
}

/// `(func (result i32))`: 0 once everything is as it was, each of these globals too.
pub(in crate::engine) fn reset(
    globals: &[(u32, Initial)],
    memory: Option<&Memory>,
    places: Places,
) -> Function {
    let mut function = Function::new([(1, ValType::I64), (6, ValType::I32)]);
    if let Some(memory) = memory {
        restore(&mut function, memory, places);
    }
    for (index, initial) in globals {
        function.instruction(&initial.push());
        function.instructions().global_set(*index);
    }
    function.instructions().i32_const(0).end();
    function
}

/// Puts back each run of pages that was written: zeroes it, and copies what of the image stands in it.
fn restore(function: &mut Function, memory: &Memory, places: Places) {
    const RUN: u32 = 0;
    const INDEX: u32 = 1;
    const START: u32 = 2;
    const END: u32 = 3;
    const FROM: u32 = 4;
    const TO: u32 = 5;
    let shift = i32::try_from(PAGE.trailing_zeros()).unwrap_or(0);
    let first = memory.start.cast_signed();
    let last = memory.start.wrapping_add(u32::try_from(memory.image.len()).unwrap_or(0)).cast_signed();
    let mut code = function.instructions();
    code.block(BlockType::Empty).loop_(BlockType::Empty);
    // The run of this index: `block` ends without one.
    code.i32_const(0)
        .i32_const(1)
        .memory_size(0)
        .local_get(INDEX)
        .call(places.written)
        .local_tee(RUN)
        .i64_eqz()
        .br_if(1);
    code.local_get(RUN).i64_const(GIVE_UP.cast_signed()).i64_eq().if_(BlockType::Empty);
    code.i32_const(1).return_().end();
    code.local_get(RUN).i64_const(32).i64_shr_u().i32_wrap_i64().i32_const(shift).i32_shl().local_set(START);
    code.local_get(RUN).i32_wrap_i64().i32_const(shift).i32_shl().local_set(END);
    code.local_get(START).i32_const(0).local_get(END).local_get(START).i32_sub().memory_fill(0);
    // What of the image is in it: from the later of the two beginnings to the sooner of the two ends.
    code.local_get(START)
        .i32_const(first)
        .local_get(START)
        .i32_const(first)
        .i32_gt_u()
        .select()
        .local_set(FROM);
    code.local_get(END).i32_const(last).local_get(END).i32_const(last).i32_lt_u().select().local_set(TO);
    code.local_get(FROM).local_get(TO).i32_lt_u().if_(BlockType::Empty);
    code.local_get(FROM).local_get(FROM).i32_const(first).i32_sub().local_get(TO).local_get(FROM).i32_sub();
    code.memory_init(0, places.image).end();
    code.local_get(INDEX).i32_const(1).i32_add().local_set(INDEX).br(0).end().end();
}
