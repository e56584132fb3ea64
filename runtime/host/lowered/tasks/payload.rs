//! What futures of `wasi:http` hold, in and out of the guest's memory. Must never trust a number that it finds there.

use http::HeaderMap;
use wasmtime::Result;
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::{Error as HttpError, FieldMap, WasiHttpHooks};

use crate::host::lowered::abi::{Lift, handle, is_second, own, write};
use crate::host::lowered::error_code::{self, Flat};

/// Bytes of `result<.., error-code>`, and how they are aligned.
const BYTES: usize = 40;
const ALIGN: u32 = 8;

/// Discriminants of the errors that the host has to tell.
const CONNECTION_TERMINATED: u8 = 7;
const REQUEST_BODY_SIZE: u8 = 17;
const RESPONSE_BODY_SIZE: u8 = 28;
const INTERNAL_ERROR: u8 = 38;

/// Where fields are kept.
pub(super) struct Fields<'a> {
    pub(super) table: &'a mut ResourceTable,
    pub(super) hooks: &'a mut dyn WasiHttpHooks,
}

/// Reads `result<option<own<trailers>>, error-code>`.
pub(super) fn trailers(
    memory: &mut [u8],
    at: u32,
    fields: &mut Fields<'_>,
) -> Result<Result<Option<HeaderMap>, HttpError>> {
    let bytes = crate::host::lowered::abi::target(memory, at, ALIGN, BYTES)?;
    let byte = |at: usize| bytes.get(at).copied().map_or(0, u32::from);
    if is_second(byte(0))? {
        let case = byte(8);
        // What a case holds is for nobody to see: the body breaks off.
        let code = error_code::lift(&mut Lift::new(&[]), case, Flat::new([0; 6]))?;
        return Ok(Err(HttpError::InternalError(Some(format!("{code:?}")))));
    }
    if !is_second(byte(8))? {
        return Ok(Ok(None));
    }
    let [.., a, b, c, d] = *bytes.first_chunk::<16>().unwrap_or(&[0; 16]);
    let trailers = fields.table.delete::<FieldMap>(own(u32::from_le_bytes([a, b, c, d]))?)?;
    Ok(Ok(Some(trailers.into())))
}

/// Writes the same, of a request.
pub(super) fn write_trailers(
    memory: &mut [u8],
    at: u32,
    trailers: Result<Option<HeaderMap>, HttpError>,
    fields: &mut Fields<'_>,
) -> Result<()> {
    let mut bytes = [0; BYTES];
    match trailers {
        Ok(None) => {}
        Ok(Some(trailers)) => {
            let trailers = fields.table.push(FieldMap::new_immutable(fields.hooks, trailers))?;
            bytes[8] = 1;
            bytes[12..16].copy_from_slice(&handle(&trailers).to_le_bytes());
        }
        Err(error) => {
            bytes[0] = 1;
            bytes[8] = match &error {
                HttpError::ConnectionTerminated => CONNECTION_TERMINATED,
                HttpError::HttpRequestBodySize(_) => REQUEST_BODY_SIZE,
                _ => INTERNAL_ERROR,
            };
            if let HttpError::HttpRequestBodySize(Some(size)) = error {
                bytes[16] = 1;
                bytes[24..32].copy_from_slice(&size.to_le_bytes());
            }
        }
    }
    write(memory, at, ALIGN, &bytes)
}

/// Writes `result<_, error-code>`: whether a response was sent, or how many bytes of it were too many or too few.
pub(super) fn write_sent(memory: &mut [u8], at: u32, sent: Result<(), u64>) -> Result<()> {
    let mut bytes = [0; BYTES];
    if let Err(size) = sent {
        (bytes[0], bytes[8], bytes[16]) = (1, RESPONSE_BODY_SIZE, 1);
        bytes[24..32].copy_from_slice(&size.to_le_bytes());
    }
    write(memory, at, ALIGN, &bytes)
}
