//! `error-code` of `wasi:http/types`: out of the parameters of a call, and into an answer. Must never guess: a case that
//! there is not is refused.

#[cfg(test)]
mod tests;

use wasmtime::{Result, bail};
use wasmtime_wasi_http::p2::bindings::http::types::{
    DnsErrorPayload, ErrorCode, FieldSizePayload, TlsAlertReceivedPayload,
};

use super::abi::{Lift, is_second, low_u16};
use super::delivery::{At, Delivery};

/// The parameters that stand for what a case holds, read from the first to the last. As any of them may stand for a `u64`,
/// each is one here; what is less takes the lower bits.
#[derive(Clone, Copy)]
pub(super) struct Flat {
    values: [u64; 6],
    next: usize,
}

impl Flat {
    /// As a call passes them.
    pub(super) const fn new(values: [u64; 6]) -> Self {
        Self { values, next: 0 }
    }

    fn u64(&mut self) -> u64 {
        let value = self.values.get(self.next).copied().unwrap_or(0);
        self.next += 1;
        value
    }

    fn u32(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.u64().to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    fn option_u64(&mut self) -> Result<Option<u64>> {
        let (some, value) = (self.u32(), self.u64());
        Ok(is_second(some)?.then_some(value))
    }

    fn option_u32(&mut self) -> Result<Option<u32>> {
        let (some, value) = (self.u32(), self.u32());
        Ok(is_second(some)?.then_some(value))
    }

    fn option_u16(&mut self) -> Result<Option<u16>> {
        Ok(self.option_u32()?.map(low_u16))
    }

    fn option_u8(&mut self) -> Result<Option<u8>> {
        Ok(self.option_u32()?.map(|value| value.to_le_bytes()[0]))
    }

    fn option_text(&mut self, lift: &mut Lift<'_>) -> Result<Option<String>> {
        let (some, at, length) = (self.u32(), self.u32(), self.u32());
        is_second(some)?.then(|| lift.string((at, length))).transpose()
    }

    fn dns(&mut self, lift: &mut Lift<'_>) -> Result<DnsErrorPayload> {
        Ok(DnsErrorPayload { rcode: self.option_text(lift)?, info_code: self.option_u16()? })
    }

    fn tls(&mut self, lift: &mut Lift<'_>) -> Result<TlsAlertReceivedPayload> {
        Ok(TlsAlertReceivedPayload { alert_id: self.option_u8()?, alert_message: self.option_text(lift)? })
    }

    fn field(&mut self, lift: &mut Lift<'_>) -> Result<FieldSizePayload> {
        Ok(FieldSizePayload { field_name: self.option_text(lift)?, field_size: self.option_u32()? })
    }

    fn option_field(&mut self, lift: &mut Lift<'_>) -> Result<Option<FieldSizePayload>> {
        is_second(self.u32())?.then(|| self.field(lift)).transpose()
    }
}

/// The error that a guest passes.
pub(super) fn lift(lift: &mut Lift<'_>, case: u32, mut flat: Flat) -> Result<ErrorCode> {
    Ok(match case {
        0 => ErrorCode::DnsTimeout,
        1 => ErrorCode::DnsError(flat.dns(lift)?),
        2 => ErrorCode::DestinationNotFound,
        3 => ErrorCode::DestinationUnavailable,
        4 => ErrorCode::DestinationIpProhibited,
        5 => ErrorCode::DestinationIpUnroutable,
        6 => ErrorCode::ConnectionRefused,
        7 => ErrorCode::ConnectionTerminated,
        8 => ErrorCode::ConnectionTimeout,
        9 => ErrorCode::ConnectionReadTimeout,
        10 => ErrorCode::ConnectionWriteTimeout,
        11 => ErrorCode::ConnectionLimitReached,
        12 => ErrorCode::TlsProtocolError,
        13 => ErrorCode::TlsCertificateError,
        14 => ErrorCode::TlsAlertReceived(flat.tls(lift)?),
        15 => ErrorCode::HttpRequestDenied,
        16 => ErrorCode::HttpRequestLengthRequired,
        17 => ErrorCode::HttpRequestBodySize(flat.option_u64()?),
        18 => ErrorCode::HttpRequestMethodInvalid,
        19 => ErrorCode::HttpRequestUriInvalid,
        20 => ErrorCode::HttpRequestUriTooLong,
        21 => ErrorCode::HttpRequestHeaderSectionSize(flat.option_u32()?),
        22 => ErrorCode::HttpRequestHeaderSize(flat.option_field(lift)?),
        23 => ErrorCode::HttpRequestTrailerSectionSize(flat.option_u32()?),
        24 => ErrorCode::HttpRequestTrailerSize(flat.field(lift)?),
        25 => ErrorCode::HttpResponseIncomplete,
        26 => ErrorCode::HttpResponseHeaderSectionSize(flat.option_u32()?),
        27 => ErrorCode::HttpResponseHeaderSize(flat.field(lift)?),
        28 => ErrorCode::HttpResponseBodySize(flat.option_u64()?),
        29 => ErrorCode::HttpResponseTrailerSectionSize(flat.option_u32()?),
        30 => ErrorCode::HttpResponseTrailerSize(flat.field(lift)?),
        31 => ErrorCode::HttpResponseTransferCoding(flat.option_text(lift)?),
        32 => ErrorCode::HttpResponseContentCoding(flat.option_text(lift)?),
        33 => ErrorCode::HttpResponseTimeout,
        34 => ErrorCode::HttpUpgradeFailed,
        35 => ErrorCode::HttpProtocolError,
        36 => ErrorCode::LoopDetected,
        37 => ErrorCode::ConfigurationError,
        38 => ErrorCode::InternalError(flat.option_text(lift)?),
        other => bail!("unexpected discriminant: {other}"),
    })
}

/// What a case holds, to be written.
enum Payload {
    Nothing,
    U32(Option<u32>),
    U64(Option<u64>),
    Text(Option<String>),
    Dns(DnsErrorPayload),
    Tls(TlsAlertReceivedPayload),
    Field(FieldSizePayload),
    OptionField(Option<FieldSizePayload>),
}

fn parts(error: ErrorCode) -> (u8, Payload) {
    match error {
        ErrorCode::DnsTimeout => (0, Payload::Nothing),
        ErrorCode::DnsError(dns) => (1, Payload::Dns(dns)),
        ErrorCode::DestinationNotFound => (2, Payload::Nothing),
        ErrorCode::DestinationUnavailable => (3, Payload::Nothing),
        ErrorCode::DestinationIpProhibited => (4, Payload::Nothing),
        ErrorCode::DestinationIpUnroutable => (5, Payload::Nothing),
        ErrorCode::ConnectionRefused => (6, Payload::Nothing),
        ErrorCode::ConnectionTerminated => (7, Payload::Nothing),
        ErrorCode::ConnectionTimeout => (8, Payload::Nothing),
        ErrorCode::ConnectionReadTimeout => (9, Payload::Nothing),
        ErrorCode::ConnectionWriteTimeout => (10, Payload::Nothing),
        ErrorCode::ConnectionLimitReached => (11, Payload::Nothing),
        ErrorCode::TlsProtocolError => (12, Payload::Nothing),
        ErrorCode::TlsCertificateError => (13, Payload::Nothing),
        ErrorCode::TlsAlertReceived(tls) => (14, Payload::Tls(tls)),
        ErrorCode::HttpRequestDenied => (15, Payload::Nothing),
        ErrorCode::HttpRequestLengthRequired => (16, Payload::Nothing),
        ErrorCode::HttpRequestBodySize(size) => (17, Payload::U64(size)),
        ErrorCode::HttpRequestMethodInvalid => (18, Payload::Nothing),
        ErrorCode::HttpRequestUriInvalid => (19, Payload::Nothing),
        ErrorCode::HttpRequestUriTooLong => (20, Payload::Nothing),
        ErrorCode::HttpRequestHeaderSectionSize(size) => (21, Payload::U32(size)),
        ErrorCode::HttpRequestHeaderSize(field) => (22, Payload::OptionField(field)),
        ErrorCode::HttpRequestTrailerSectionSize(size) => (23, Payload::U32(size)),
        ErrorCode::HttpRequestTrailerSize(field) => (24, Payload::Field(field)),
        ErrorCode::HttpResponseIncomplete => (25, Payload::Nothing),
        ErrorCode::HttpResponseHeaderSectionSize(size) => (26, Payload::U32(size)),
        ErrorCode::HttpResponseHeaderSize(field) => (27, Payload::Field(field)),
        ErrorCode::HttpResponseBodySize(size) => (28, Payload::U64(size)),
        ErrorCode::HttpResponseTrailerSectionSize(size) => (29, Payload::U32(size)),
        ErrorCode::HttpResponseTrailerSize(field) => (30, Payload::Field(field)),
        ErrorCode::HttpResponseTransferCoding(name) => (31, Payload::Text(name)),
        ErrorCode::HttpResponseContentCoding(name) => (32, Payload::Text(name)),
        ErrorCode::HttpResponseTimeout => (33, Payload::Nothing),
        ErrorCode::HttpUpgradeFailed => (34, Payload::Nothing),
        ErrorCode::HttpProtocolError => (35, Payload::Nothing),
        ErrorCode::LoopDetected => (36, Payload::Nothing),
        ErrorCode::ConfigurationError => (37, Payload::Nothing),
        ErrorCode::InternalError(text) => (38, Payload::Text(text)),
    }
}

/// Puts an error there, where all is zero: 32 bytes, what a case holds at the eighth.
pub(super) fn lower(delivery: &mut Delivery, at: At, error: ErrorCode) -> Result<()> {
    let (case, payload) = parts(error);
    delivery.put(at, &[case])?;
    let at = at.plus(8);
    match payload {
        Payload::Nothing | Payload::OptionField(None) => Ok(()),
        Payload::U32(size) => lower_option(delivery, at, size.map(u32::to_le_bytes)),
        Payload::U64(size) => lower_option(delivery, at, size.map(u64::to_le_bytes)),
        Payload::Text(text) => delivery.option_text(at, text),
        Payload::Dns(dns) => {
            delivery.option_text(at, dns.rcode)?;
            lower_option(delivery, at.plus(12), dns.info_code.map(u16::to_le_bytes))
        }
        Payload::Tls(tls) => {
            lower_option(delivery, at, tls.alert_id.map(u8::to_le_bytes))?;
            delivery.option_text(at.plus(4), tls.alert_message)
        }
        Payload::Field(field) => lower_field(delivery, at, field),
        Payload::OptionField(Some(field)) => {
            delivery.put(at, &[1])?;
            lower_field(delivery, at.plus(4), field)
        }
    }
}

fn lower_field(delivery: &mut Delivery, at: At, field: FieldSizePayload) -> Result<()> {
    delivery.option_text(at, field.field_name)?;
    lower_option(delivery, at.plus(12), field.field_size.map(u32::to_le_bytes))
}

/// A number stands as far after its discriminant as it is large.
fn lower_option<const N: usize>(delivery: &mut Delivery, at: At, number: Option<[u8; N]>) -> Result<()> {
    let Some(number) = number else { return Ok(()) };
    delivery.put(at, &[1])?;
    delivery.put(at.plus(N), &number)
}
