//! The instruction with which compiled code raises a trap, changed for one that costs less where the machine is a virtual one.
//! Must never change a byte that is not a trap's own instruction, nor put one there that a guest could get past.
//!
//! wasmtime's compiler raises traps with `ud2`. A hypervisor looks at each invalid instruction itself before the kernel may: 7.8 us
//! from the trap to its handler and back where `hlt`, which no program may execute either, takes 1.9. Both are two bytes, or one
//! twice; both stop there, with the address by which wasmtime finds what the trap means. `hlt` comes as a fault at address zero,
//! which wasmtime expects of compiled code, and takes for no access to memory.

use wasmtime_environ::iterate_traps;
use wasmtime_environ::obj::ELF_WASMTIME_TRAPS;
use wasmtime_environ::object::read::elf::ElfFile64;
use wasmtime_environ::object::{Endianness, Object as _, ObjectSection as _};

/// `ud2`.
const INVALID: [u8; 2] = [0x0f, 0x0b];
/// `hlt`, and once more in the place of the second byte.
const PRIVILEGED: [u8; 2] = [0xf4, 0xf4];

/// Changes the instruction of every trap in an artifact that wasmtime has just made. Returns how many: none where it is not
/// laid out as is known, or another machine's, and then it traps as it was made to.
pub(super) fn ease(artifact: &mut [u8]) -> usize {
    if !cfg!(target_arch = "x86_64") {
        return 0;
    }
    let mut eased = 0;
    for site in sites(artifact).unwrap_or_default() {
        let instruction = site.checked_add(INVALID.len()).and_then(|end| artifact.get_mut(site..end));
        // A fault of memory is also listed, at the instruction that reads or writes there.
        if let Some(instruction) = instruction
            && *instruction == INVALID
        {
            instruction.copy_from_slice(&PRIVILEGED);
            eased += 1;
        }
    }
    eased
}

/// Where in an artifact's bytes the instructions are at which it may trap.
fn sites(artifact: &[u8]) -> Option<Vec<usize>> {
    let elf = ElfFile64::<Endianness>::parse(artifact).ok()?;
    let (text, length) = elf.section_by_name(".text")?.file_range()?;
    let traps = iterate_traps(elf.section_by_name(ELF_WASMTIME_TRAPS)?.data().ok()?)?;
    traps
        .map(|(offset, _)| u64::from(offset))
        .filter(|offset| *offset < length)
        .map(|offset| usize::try_from(text + offset).ok())
        .collect()
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests;
