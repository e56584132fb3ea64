//! Numbers and JSON strings as text, without the standard library's formatting. It must never allocate more than its
//! result, nor be able to panic: this is what keeps a small function small.

/// A number in decimal digits, on the stack.
pub(crate) struct Decimal {
    /// As many as the largest `u64` has.
    digits: [u8; 20],
    start: usize,
}

impl Decimal {
    pub(crate) fn new(mut number: u64) -> Self {
        let mut digits = [b'0'; 20];
        let mut start = digits.len();
        for digit in digits.iter_mut().rev() {
            // The remainder is below ten, so that nothing is cut off.
            *digit = b'0' + (number % 10).to_le_bytes()[0];
            number /= 10;
            start -= 1;
            if number == 0 {
                break;
            }
        }
        Self { digits, start }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.digits.get(self.start..).unwrap_or_default()
    }
}

/// Appends `text` as a JSON string, with its quotes.
pub(crate) fn push_json(out: &mut String, text: &str) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            control if control < ' ' => {
                let code = usize::from(control as u8);
                out.push_str("\\u00");
                out.push(HEX[code >> 4 & 15]);
                out.push(HEX[code & 15]);
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests;
