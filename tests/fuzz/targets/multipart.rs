//! Multipart bodies: whatever they are and wherever they are cut, the same parts come out, in time that grows with the
//! body and no faster. Must never give out bytes that did not come in.

#![no_main]

use libfuzzer_sys::fuzz_target;
use spawnpoint::admin::multipart::{Event, Malformed, Splitter};

fn split(body: &[u8], piece: usize) -> Result<Vec<(String, Vec<u8>)>, Malformed> {
    let mut splitter = Splitter::new("multipart/form-data; boundary=XX")?;
    let (mut pieces, mut parts) = (body.chunks(piece), Vec::<(String, Vec<u8>)>::new());
    loop {
        match splitter.next()? {
            Event::More => splitter.push(pieces.next().ok_or(Malformed::Cut)?),
            Event::Part { name } => parts.push((name, Vec::new())),
            Event::Data(data) => parts.last_mut().expect("a part").1.extend_from_slice(&data),
            Event::PartEnd => {}
            Event::Done => return Ok(parts),
        }
    }
}

// The first byte says how large the pieces are.
fuzz_target!(|bytes: &[u8]| {
    let Some((piece, body)) = bytes.split_first() else { return };
    // A content type of any text is taken or refused.
    let _ = Splitter::new(&String::from_utf8_lossy(body));
    let whole = split(body, body.len().max(1));
    assert_eq!(whole, split(body, usize::from(*piece).max(1)));
    let parts = whole.unwrap_or_default();
    assert!(parts.iter().map(|(_, content)| content.len()).sum::<usize>() <= body.len());
});
