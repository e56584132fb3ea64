//! WebAssembly that differs by its bytes.
//! Must never change what a guest does.

/// The same component with other bytes: a custom section says which copy it is.
pub(crate) fn salted(wasm: &[u8], number: usize) -> Vec<u8> {
    const NAME: &[u8] = b"salt";
    let payload = format!("{number:016x}");
    let section = 1 + NAME.len() + payload.len();
    let mut salted = wasm.to_vec();
    // Section 0, its length, the length of its name: each below 128, so one byte of LEB128.
    salted.extend_from_slice(&[0, u8::try_from(section).unwrap_or(127), 4]);
    salted.extend_from_slice(NAME);
    salted.extend_from_slice(payload.as_bytes());
    salted
}
