//! Copies of a program that differ: a custom section says which copy it is. Must never change what the program does.

/// Behind a module or a component, makes it another one that does the same.
#[must_use]
pub fn section(number: u64) -> Vec<u8> {
    const NAME: &[u8] = b"salt";
    let payload = format!("{number:016x}");
    let length = 1 + NAME.len() + payload.len();
    // Section 0, its length, the length of its name: each below 128, so one byte of LEB128.
    let mut section = vec![0, u8::try_from(length).unwrap_or(127), 4];
    section.extend_from_slice(NAME);
    section.extend_from_slice(payload.as_bytes());
    section
}

/// The same program with other bytes.
#[must_use]
pub fn salted(wasm: &[u8], number: u64) -> Vec<u8> {
    [wasm, &section(number)].concat()
}
