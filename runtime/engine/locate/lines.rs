//! From an instruction's place in an upload to lines of source: finds the core module around it and reads its DWARF.
//! Must never run where hostile bytes may not: only the child and tests call it.

use std::convert::Infallible;
use std::ops::Range;

use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian};
use addr2line::{Context, Location};
use wasmparser::{Parser, Payload};

use crate::engine::componentize::component_of;
use crate::model::place::{PLACES, Place};

type Reader<'a> = EndianSlice<'a, LittleEndian>;

/// What is needed of one core module.
#[derive(Default)]
struct Module<'a> {
    /// Where the content of its code section is: what its debug information counts from.
    code: Range<usize>,
    /// Its custom sections that hold debug information.
    sections: Vec<(&'a str, &'a [u8])>,
}

/// For each instruction its places, innermost first; none where nothing is known. An upload that is a core module is
/// made a component first, as it was for the compiler: that is where its instructions have their places.
pub(super) fn find(wasm: &[u8], offsets: &[u64]) -> Vec<Vec<Place>> {
    let mut places = vec![Vec::new(); offsets.len()];
    let Ok(component) = component_of(wasm) else { return places };
    for module in modules(&component, offsets) {
        let Some(context) = module.context() else { continue };
        for (places, offset) in places.iter_mut().zip(offsets) {
            if let Some(at) = module.place(*offset) {
                *places = look_up(&context, at);
            }
        }
    }
    places
}

/// The core modules that have one of these instructions, and debug information.
fn modules<'a>(component: &'a [u8], offsets: &[u64]) -> Vec<Module<'a>> {
    let (mut found, mut open) = (Vec::new(), Vec::<Module<'a>>::new());
    for payload in Parser::new(0).parse_all(component) {
        match payload {
            // A component's own frame stays empty, and is wanted by nobody.
            Ok(Payload::Version { .. }) => open.push(Module::default()),
            Ok(Payload::CodeSectionStart { range, .. }) => {
                if let Some(module) = open.last_mut() {
                    module.code = range;
                }
            }
            Ok(Payload::CustomSection(section)) if section.name().starts_with(".debug_") => {
                if let Some(module) = open.last_mut() {
                    module.sections.push((section.name(), section.data()));
                }
            }
            Ok(Payload::End(_)) => {
                let ended = open.pop();
                let is_wanted = |module: &Module<'_>| {
                    !module.sections.is_empty()
                        && offsets.iter().any(|offset| module.place(*offset).is_some())
                };
                found.extend(ended.filter(is_wanted));
            }
            Ok(_) => {}
            // What was compiled is valid; of anything else nothing is known.
            Err(_) => break,
        }
    }
    found
}

impl<'a> Module<'a> {
    /// An instruction's place as the debug information counts, if it is one of this module.
    fn place(&self, offset: u64) -> Option<u64> {
        let offset = usize::try_from(offset).ok()?;
        self.code.contains(&offset).then(|| (offset - self.code.start) as u64)
    }

    fn context(&self) -> Option<Context<Reader<'a>>> {
        let section = |name: &str| {
            let found = self.sections.iter().find(|(each, _)| *each == name);
            EndianSlice::new(found.map_or(&[][..], |(_, data)| data), LittleEndian)
        };
        let Ok(dwarf) = Dwarf::load(|id| Ok::<_, Infallible>(section(id.name())));
        Context::from_dwarf(dwarf).ok()
    }
}

fn look_up(context: &Context<Reader<'_>>, at: u64) -> Vec<Place> {
    let mut places = Vec::new();
    if let Ok(mut frames) = context.find_frames(at).skip_all_loads() {
        while let (true, Ok(Some(frame))) = (places.len() < PLACES, frames.next()) {
            places.extend(frame.location.as_ref().and_then(place));
        }
    }
    if places.is_empty() {
        // Functions may be described badly, or not at all, where lines are not.
        let location = context.find_location(at).ok().flatten();
        places.extend(location.as_ref().and_then(place));
    }
    places
}

/// A compiler writes line 0 for what no line of the source stands for.
fn place(location: &Location<'_>) -> Option<Place> {
    let line = location.line.filter(|line| *line > 0)?;
    Some(Place::new(location.file?, line))
}
