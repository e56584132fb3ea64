//! Writes a component that is another one with pieces put in, and remembers where everything came from.
//! Must never lose a place: what a guest trapped at is told in the bytes that its author has.

use std::ops::Range;

/// Where the bytes of a component were in the one it was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves(Vec<Move>);

/// From here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Move {
    now: u32,
    /// [`NOWHERE`] where it is new.
    was: u32,
}

/// The place of what was not there before.
const NOWHERE: u32 = u32::MAX;
/// How [`Moves`] end as bytes.
const MAGIC: &[u8; 8] = b"spwnmove";
/// Moves of one artifact: half a megabyte.
const MOST: usize = 65_536;
/// Bytes of one move.
const MOVE: usize = 8;

/// Bytes to be written, each either copied or new.
#[derive(Debug, Default)]
pub(in crate::engine) struct Pieces<'a>(Vec<Piece<'a>>);

#[derive(Debug)]
enum Piece<'a> {
    Copied { was: usize, bytes: &'a [u8] },
    New { was: Option<usize>, bytes: Vec<u8> },
}

impl Piece<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied { bytes, .. } => bytes,
            Self::New { bytes, .. } => bytes,
        }
    }

    fn was(&self) -> Option<usize> {
        match self {
            Self::Copied { was, .. } => Some(*was),
            Self::New { was, .. } => *was,
        }
    }
}

impl<'a> Pieces<'a> {
    /// Copies a range of the whole.
    pub(in crate::engine) fn copy(&mut self, whole: &'a [u8], range: Range<usize>) {
        let was = range.start;
        if let Some(bytes) = whole.get(range).filter(|bytes| !bytes.is_empty()) {
            self.0.push(Piece::Copied { was, bytes });
        }
    }

    /// Puts in what was not there.
    pub(in crate::engine) fn put(&mut self, bytes: Vec<u8>) {
        self.0.push(Piece::New { was: None, bytes });
    }

    /// Puts in what stands for something that was there.
    pub(in crate::engine) fn replace(&mut self, was: usize, bytes: Vec<u8>) {
        self.0.push(Piece::New { was: Some(was), bytes });
    }

    /// Puts in a section of this number.
    pub(in crate::engine) fn section(&mut self, id: u8, content: Pieces<'a>) {
        self.put(vec![id]);
        self.sized(content);
    }

    /// Puts in something that begins with its length.
    pub(in crate::engine) fn sized(&mut self, content: Pieces<'a>) {
        let length = content.0.iter().map(|piece| piece.bytes().len()).sum();
        self.put(leb128(length));
        self.0.extend(content.0);
    }

    /// The bytes, and where they were.
    pub(in crate::engine) fn finish(self) -> (Vec<u8>, Moves) {
        let mut bytes = Vec::new();
        let mut moves: Vec<Move> = Vec::new();
        let place = |place: usize| u32::try_from(place).unwrap_or(NOWHERE);
        for piece in self.0 {
            let now = place(bytes.len());
            let was = piece.was().map_or(NOWHERE, place);
            let goes_on =
                moves.last().is_some_and(|last| last.at(now) == Some(was).filter(|_| was != NOWHERE));
            if !goes_on {
                moves.push(Move { now, was });
            }
            bytes.extend_from_slice(piece.bytes());
        }
        (bytes, Moves(moves))
    }
}

impl Move {
    fn at(self, now: u32) -> Option<u32> {
        (self.was != NOWHERE).then(|| self.was.wrapping_add(now.wrapping_sub(self.now)))
    }
}

impl Moves {
    /// Where a byte was; `None` for one that is new.
    #[must_use]
    pub fn origin(&self, now: u64) -> Option<u64> {
        let now = u32::try_from(now).ok()?;
        let after = self.0.partition_point(|one| one.now <= now);
        self.0.get(after.checked_sub(1)?)?.at(now).map(u64::from)
    }

    /// Whether there are more than are worth keeping: they stay in memory as long as the code does.
    #[must_use]
    pub(in crate::engine) fn is_too_many(&self) -> bool {
        self.0.len() > MOST
    }

    /// The moves of what was made of something whose start stood at this place.
    pub(in crate::engine) fn from(mut self, start: usize) -> Self {
        let start = u32::try_from(start).unwrap_or(NOWHERE);
        for one in self.0.iter_mut().filter(|one| one.was != NOWHERE) {
            one.was = one.was.saturating_add(start);
        }
        self
    }

    /// The moves of what was made of something that was made by others.
    pub(in crate::engine) fn after(&self, before: &Self) -> Self {
        let mut all: Vec<Move> = Vec::new();
        let mut push = |one: Move| {
            let goes_on = all
                .last()
                .is_some_and(|last| last.at(one.now) == Some(one.was).filter(|_| one.was != NOWHERE));
            if !goes_on {
                all.push(one);
            }
        };
        for (index, one) in self.0.iter().enumerate() {
            if one.was == NOWHERE {
                push(*one);
                continue;
            }
            let length = self.0.get(index + 1).map_or(u32::MAX, |next| next.now - one.now);
            let end = one.was.saturating_add(length);
            let first = before.0.partition_point(|other| other.now <= one.was);
            let was = first.checked_sub(1).and_then(|last| before.0.get(last)?.at(one.was));
            push(Move { now: one.now, was: was.unwrap_or(NOWHERE) });
            for other in before.0.iter().skip(first).take_while(|other| other.now < end) {
                push(Move { now: one.now.saturating_add(other.now - one.was), was: other.was });
            }
        }
        Self(all)
    }

    /// As bytes to stand at the end of others.
    #[must_use]
    pub fn trailer(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * MOVE + 12);
        for one in &self.0 {
            bytes.extend_from_slice(&one.now.to_le_bytes());
            bytes.extend_from_slice(&one.was.to_le_bytes());
        }
        bytes.extend_from_slice(&u32::try_from(self.0.len()).unwrap_or(0).to_le_bytes());
        bytes.extend_from_slice(MAGIC);
        bytes
    }

    /// Reads what stands at the end of these bytes, if it does. `Err` says how many bytes from the end it would take.
    ///
    /// # Errors
    /// When the bytes are only the end of it.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, usize> {
        let Some(rest) = bytes.strip_suffix(MAGIC) else { return Ok(None) };
        let Some((rest, count)) = rest.split_last_chunk::<4>() else { return Ok(None) };
        let wanted = (u32::from_le_bytes(*count) as usize).saturating_mul(MOVE);
        let Some(start) = rest.len().checked_sub(wanted) else { return Err(wanted + 4 + MAGIC.len()) };
        let halves = rest[start..].as_chunks::<4>().0;
        let moves = halves.as_chunks::<2>().0.iter();
        let read =
            |[now, was]: &[[u8; 4]; 2]| Move { now: u32::from_le_bytes(*now), was: u32::from_le_bytes(*was) };
        Ok(Some(Self(moves.map(read).collect())))
    }
}

/// A length as WebAssembly writes it.
pub(super) fn leb128(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(5);
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or(0);
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
