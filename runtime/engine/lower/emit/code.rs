//! The bodies: the component's own with every function by its new index, and those that are put in.
//! Must never lose where an instruction was.

use wasm_encoder::{BlockType, Encode as _, Function, ValType};
use wasmparser::{ExternalKind, FunctionBody, Operator};

use super::{Emit, INTERNALS, PENDING_FUNCTION, PLACE_FUNCTION, WRITTEN_FUNCTION, Why, leb};
use crate::engine::reset::module::Initial;
use crate::engine::reset::moves::Pieces;
use crate::engine::reset::restorer::{Places, reset};

impl<'a> Emit<'a> {
    /// The code section.
    pub(super) fn code(&self) -> Result<Pieces<'a>, Why> {
        let mut added = Vec::new();
        if let Some(realloc) = &self.plan.realloc {
            let realloc = self.now(self.exported(realloc, ExternalKind::Func)?);
            added.extend(self.between().map(|import| self.wrapper(import, realloc)));
        }
        if let Some(restored) = &self.restored {
            let mut globals = Vec::new();
            for global in &restored.state.globals {
                globals.push((self.exported(&global.name, ExternalKind::Global)?, global.initial));
            }
            added.push(self.restorer(&globals));
        }
        let mut pieces = Pieces::default();
        pieces.put(leb(u32::try_from(self.bodies.len() + added.len()).unwrap_or(u32::MAX)));
        for body in &self.bodies {
            pieces.sized(self.body(body)?);
        }
        for function in added {
            let mut body = Pieces::default();
            body.put(function.into_raw_body());
            pieces.sized(body);
        }
        Ok(pieces)
    }

    fn body(&self, body: &FunctionBody<'_>) -> Result<Pieces<'a>, Why> {
        let mut pieces = Pieces::default();
        let range = body.range();
        let mut copied = range.start;
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let start = operators.original_position();
            let (opcode, function) = match operators.read()? {
                Operator::Call { function_index } => (0x10, function_index),
                Operator::ReturnCall { function_index } => (0x12, function_index),
                Operator::RefFunc { function_index } => (0xd2, function_index),
                _ => continue,
            };
            let end = operators.original_position();
            pieces.copy(self.main, copied..start);
            // As long as it was, if it can be: what follows then stands where it stood.
            let mut bytes = vec![opcode];
            bytes.extend(padded(self.now(function), end - start - 1));
            pieces.replace(start, bytes);
            copied = end;
        }
        pieces.copy(self.main, copied..range.end);
        Ok(pieces)
    }

    /// Calls the host with all it was given, and then allocates what the answer needs, piece by piece.
    fn wrapper(&self, import: u32, realloc: u32) -> Function {
        let ty = self.imported.get(import as usize).copied().unwrap_or_default();
        let parameters = self.types.get(ty as usize).map_or(0, |signature| signature.parameters);
        let mut function = Function::new([(1, ValType::I64)]);
        let mut code = function.instructions();
        for parameter in 0..parameters {
            code.local_get(parameter);
        }
        code.call(INTERNALS + import).block(BlockType::Empty).loop_(BlockType::Empty);
        code.call(PENDING_FUNCTION).local_tee(parameters).i64_eqz().br_if(1);
        // Nothing is moved: no old place, of no size; the alignment and the size are the two halves.
        code.i32_const(0).i32_const(0).local_get(parameters).i64_const(32).i64_shr_u().i32_wrap_i64();
        code.local_get(parameters).i32_wrap_i64().call(realloc).call(PLACE_FUNCTION).br(0).end().end().end();
        function
    }

    fn restorer(&self, globals: &[(u32, Initial)]) -> Function {
        let memory = self.restored.as_ref().and_then(|restored| restored.state.memory.as_ref());
        reset(globals, memory, Places { written: WRITTEN_FUNCTION, image: self.data })
    }
}

/// A number in at least so many bytes.
fn padded(value: u32, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(5);
    value.encode(&mut bytes);
    while bytes.len() < length {
        if let Some(last) = bytes.last_mut() {
            *last |= 0x80;
        }
        bytes.push(0);
    }
    bytes
}
