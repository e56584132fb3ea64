//! The platform's name for one request: which process and thread took it, and a number that thread never gives twice.
//! Must never hold anything of the client's.

use std::fmt;
use std::str::FromStr;

/// A request id, 20 hexadecimal digits: 8 of the process, 2 of the thread, 10 of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId {
    origin: u64,
    number: u64,
}

/// Digits of the process and thread.
const ORIGIN: usize = 10;
/// Digits of the number.
const NUMBER: usize = 10;
const MASK: u64 = (1 << (4 * NUMBER)) - 1;

impl RequestId {
    /// The `number`th request of this thread. `node` differs from process to process.
    #[must_use]
    pub fn new(node: u32, worker: u8, number: u64) -> Self {
        Self { origin: (u64::from(node) << 8) | u64::from(worker), number: number & MASK }
    }

    /// The digits.
    #[must_use]
    pub fn digits(self) -> [u8; ORIGIN + NUMBER] {
        let mut digits = [0; ORIGIN + NUMBER];
        let (origin, number) = digits.split_at_mut(ORIGIN);
        for (part, of) in [(origin, self.origin), (number, self.number)] {
            let mut rest = of;
            for digit in part.iter_mut().rev() {
                let low = (rest & 0xf) as u8;
                *digit = if low < 10 { b'0' + low } else { b'a' + low - 10 };
                rest >>= 4;
            }
        }
        digits
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0ORIGIN$x}{:0NUMBER$x}", self.origin, self.number)
    }
}

/// What is no request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a request id is 20 hexadecimal digits in lower case, as in x-request-id")]
pub struct NoRequestId;

impl FromStr for RequestId {
    type Err = NoRequestId;

    fn from_str(text: &str) -> Result<Self, NoRequestId> {
        let plain = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != ORIGIN + NUMBER || !text.bytes().all(plain) {
            return Err(NoRequestId);
        }
        let (origin, number) = text.split_at(ORIGIN);
        let part = |digits| u64::from_str_radix(digits, 16).map_err(|_| NoRequestId);
        Ok(Self { origin: part(origin)?, number: part(number)? })
    }
}
