//! Holds an answer with lists or strings until the guest has made room for each of them, and writes it then. Must never
//! take an address of the guest's for more than a number: it is checked where it is written to.

use wasmtime::{Result, bail, error::Context as _};

use super::abi;

/// Bytes of the largest answer without what it points to: `result<_, error-code>`.
const ROOT: usize = 40;
/// Blocks whose bookkeeping is kept for the next answer.
const KEPT: usize = 64;

/// A place in an answer: in the answer itself, or in a block that it points to.
#[derive(Clone, Copy)]
pub(super) struct At {
    block: Option<usize>,
    offset: usize,
}

impl At {
    /// In the answer itself.
    pub(super) const fn root(offset: usize) -> Self {
        Self { block: None, offset }
    }

    /// In a block.
    pub(super) const fn block(block: usize, offset: usize) -> Self {
        Self { block: Some(block), offset }
    }

    /// So many bytes further.
    pub(super) const fn plus(self, bytes: usize) -> Self {
        Self { block: self.block, offset: self.offset + bytes }
    }
}

/// What the guest must make room for.
struct Block {
    align: u32,
    bytes: Vec<u8>,
    /// Where the guest put it, 0 until then.
    address: u32,
}

/// An answer that waits for memory of the guest's. There is one at most: a guest that calls while it makes room gets the
/// answer of that call in the place of the first.
pub(super) struct Delivery {
    address: u32,
    align: u32,
    root: [u8; ROOT],
    size: usize,
    /// In the order in which the canonical ABI allocates them.
    blocks: Vec<Block>,
    /// Where the address of which block belongs.
    links: Vec<(At, usize)>,
    /// Blocks that the guest made room for.
    placed: usize,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            address: 0,
            align: 1,
            root: [0; ROOT],
            size: 0,
            blocks: Vec::new(),
            links: Vec::new(),
            placed: 0,
        }
    }
}

impl Delivery {
    /// Starts an answer of so many bytes; what was not delivered is forgotten.
    pub(super) fn begin(&mut self, address: u32, align: u32, size: usize) -> Result<()> {
        self.clear();
        self.root.get_mut(..size).context("an answer is too large")?.fill(0);
        (self.address, self.align, self.size) = (address, align, size);
        Ok(())
    }

    /// Writes into the answer.
    pub(super) fn put(&mut self, at: At, bytes: &[u8]) -> Result<()> {
        let owner = match at.block {
            None => self.root.get_mut(..self.size),
            Some(block) => self.blocks.get_mut(block).map(|block| &mut block.bytes[..]),
        };
        let place = owner.and_then(|owner| owner.get_mut(at.offset..)?.get_mut(..bytes.len()));
        place.context("an answer has no such place")?.copy_from_slice(bytes);
        Ok(())
    }

    /// A string, or a list of bytes.
    pub(super) fn bytes(&mut self, at: At, bytes: Vec<u8>) -> Result<()> {
        let length = bytes.len();
        self.push(at, 1, bytes, length)?;
        Ok(())
    }

    /// A string that may be none.
    pub(super) fn option_text(&mut self, at: At, text: Option<String>) -> Result<()> {
        let Some(text) = text else { return self.put(at, &[0]) };
        self.put(at, &[1])?;
        self.bytes(at.plus(4), text.into_bytes())
    }

    /// A list of so many elements, each of so many bytes, zero: its block.
    pub(super) fn list(&mut self, at: At, elements: usize, size: usize) -> Result<usize> {
        let bytes = elements.checked_mul(size).context("a list is too long")?;
        // All lists of anything but bytes are of pairs of pointer and length, or of u32.
        self.push(at, 4, vec![0; bytes], elements)
    }

    fn push(&mut self, at: At, align: u32, bytes: Vec<u8>, elements: usize) -> Result<usize> {
        u32::try_from(bytes.len()).context("a list is too long")?;
        self.put(at.plus(4), &u32::try_from(elements)?.to_le_bytes())?;
        let block = self.blocks.len();
        self.blocks.push(Block { align, bytes, address: 0 });
        self.links.push((at, block));
        Ok(block)
    }

    /// Writes the answer at once if it needs no room.
    pub(super) fn settle(&mut self, memory: &mut [u8]) -> Result<()> {
        if self.placed < self.blocks.len() { Ok(()) } else { self.write(memory) }
    }

    /// Alignment and size of what the guest must make room for next, 0 if nothing.
    pub(super) fn pending(&self) -> u64 {
        let block = self.blocks.get(self.placed);
        block.map_or(0, |block| u64::from(block.align) << 32 | block.bytes.len() as u64)
    }

    /// The guest made room there.
    pub(super) fn place(&mut self, memory: &mut [u8], address: u32) -> Result<()> {
        let Some(block) = self.blocks.get_mut(self.placed) else { bail!("nothing waits for memory") };
        abi::target(memory, address, block.align, block.bytes.len()).context("realloc return")?;
        block.address = address;
        self.placed += 1;
        self.settle(memory)
    }

    fn write(&mut self, memory: &mut [u8]) -> Result<()> {
        for index in 0..self.links.len() {
            let Some((at, block)) = self.links.get(index).copied() else { break };
            let address = self.blocks.get(block).map_or(0, |block| block.address);
            self.put(at, &address.to_le_bytes())?;
        }
        let root = self.root.get(..self.size).context("an answer is too large")?;
        abi::write(memory, self.address, self.align, root)?;
        for block in &self.blocks {
            abi::write(memory, block.address, block.align, &block.bytes)?;
        }
        self.clear();
        Ok(())
    }

    /// Forgets what was not delivered.
    pub(super) fn clear(&mut self) {
        self.blocks.clear();
        self.links.clear();
        self.blocks.shrink_to(KEPT);
        self.links.shrink_to(KEPT);
        self.placed = 0;
        self.size = 0;
    }
}
