//! Each case of `error-code` is read as what it is, and written where the canonical ABI has it. Must never take a layout
//! from the code that it checks: the numbers here are the specification's.

use super::*;

/// "text" stands at 2.
const MEMORY: &[u8] = b"..text..";

fn lifted(case: u32, values: [u64; 6]) -> Result<ErrorCode> {
    lift(&mut Lift::new(MEMORY), case, Flat::new(values))
}

fn text() -> String {
    "text".to_owned()
}

fn field(size: Option<u32>) -> FieldSizePayload {
    FieldSizePayload { field_name: Some(text()), field_size: size }
}

/// In the order of the WIT, with the parameters that stand for what they hold.
fn cases() -> Vec<([u64; 6], ErrorCode)> {
    use ErrorCode as E;
    let none = [0; 6];
    let number = [1, 7, 0, 0, 0, 0];
    let string = [1, 2, 4, 0, 0, 0];
    let sized = [1, 2, 4, 1, 7, 0];
    let dns = DnsErrorPayload { rcode: Some(text()), info_code: Some(7) };
    let tls = TlsAlertReceivedPayload { alert_id: Some(7), alert_message: Some(text()) };
    vec![
        (none, E::DnsTimeout),
        (sized, E::DnsError(dns)),
        (none, E::DestinationNotFound),
        (none, E::DestinationUnavailable),
        (none, E::DestinationIpProhibited),
        (none, E::DestinationIpUnroutable),
        (none, E::ConnectionRefused),
        (none, E::ConnectionTerminated),
        (none, E::ConnectionTimeout),
        (none, E::ConnectionReadTimeout),
        (none, E::ConnectionWriteTimeout),
        (none, E::ConnectionLimitReached),
        (none, E::TlsProtocolError),
        (none, E::TlsCertificateError),
        ([1, 7, 1, 2, 4, 0], E::TlsAlertReceived(tls)),
        (none, E::HttpRequestDenied),
        (none, E::HttpRequestLengthRequired),
        ([1, 1 << 40, 0, 0, 0, 0], E::HttpRequestBodySize(Some(1 << 40))),
        (none, E::HttpRequestMethodInvalid),
        (none, E::HttpRequestUriInvalid),
        (none, E::HttpRequestUriTooLong),
        (number, E::HttpRequestHeaderSectionSize(Some(7))),
        ([1, 1, 2, 4, 1, 7], E::HttpRequestHeaderSize(Some(field(Some(7))))),
        (number, E::HttpRequestTrailerSectionSize(Some(7))),
        (sized, E::HttpRequestTrailerSize(field(Some(7)))),
        (none, E::HttpResponseIncomplete),
        (number, E::HttpResponseHeaderSectionSize(Some(7))),
        (string, E::HttpResponseHeaderSize(field(None))),
        (none, E::HttpResponseBodySize(None)),
        (number, E::HttpResponseTrailerSectionSize(Some(7))),
        (sized, E::HttpResponseTrailerSize(field(Some(7)))),
        (string, E::HttpResponseTransferCoding(Some(text()))),
        (none, E::HttpResponseContentCoding(None)),
        (none, E::HttpResponseTimeout),
        (none, E::HttpUpgradeFailed),
        (none, E::HttpProtocolError),
        (none, E::LoopDetected),
        (none, E::ConfigurationError),
        (string, E::InternalError(Some(text()))),
    ]
}

#[test]
fn each_case_is_read_as_what_it_is() {
    let cases = cases();
    assert_eq!(cases.len(), 39);
    for (case, (values, expected)) in (0..).zip(cases) {
        let read = lifted(case, values).unwrap();
        assert_eq!(format!("{read:?}"), format!("{expected:?}"), "case {case}");
        assert_eq!(u32::from(parts(read).0), case, "and written as the same");
    }
}

#[test]
fn a_case_that_there_is_not_is_refused() {
    for case in [39, 40, 255, 256, u32::MAX] {
        assert!(lifted(case, [0; 6]).is_err(), "{case}");
    }
}

#[test]
fn what_is_neither_some_nor_none_is_refused() {
    for case in [1, 14, 17, 21, 22, 24, 31, 38] {
        assert!(lifted(case, [2, 0, 0, 0, 0, 0]).is_err(), "{case}");
    }
    assert!(lifted(22, [1, 2, 0, 0, 0, 0]).is_err(), "inside of an option");
    assert!(lifted(38, [1, 5, 4, 0, 0, 0]).is_err(), "a string that ends outside of the memory");
}

#[test]
fn what_is_wider_than_its_type_is_cut_as_the_abi_does() {
    let read = lifted(1, [0, 0, 0, 1, 0x1_0007, 0]).unwrap();
    assert!(matches!(read, ErrorCode::DnsError(DnsErrorPayload { info_code: Some(7), .. })));
    let read = lifted(14, [1, 0x107, 0, 0, 0, 0]).unwrap();
    assert!(matches!(read, ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload { alert_id: Some(7), .. })));
    let read = lifted(21, [1, u64::MAX << 32 | 7, 0, 0, 0, 0]).unwrap();
    assert!(matches!(read, ErrorCode::HttpRequestHeaderSectionSize(Some(7))));
}

/// The 40 bytes of `result<_, error-code>`, with what the only string would be at 64.
fn lowered(error: ErrorCode) -> Vec<u8> {
    let mut delivery = Delivery::default();
    let mut memory = vec![0; 128];
    delivery.begin(0, 8, 40).unwrap();
    lower(&mut delivery, At::root(8), error).unwrap();
    delivery.settle(&mut memory).unwrap();
    if delivery.pending() != 0 {
        assert_eq!(delivery.pending(), 1 << 32 | 4);
        delivery.place(&mut memory, 64).unwrap();
        assert_eq!(&memory[64..68], b"text");
    }
    memory.truncate(40);
    memory
}

/// Bytes that are not zero, by their place.
fn bytes(all: &[(usize, u8)]) -> Vec<u8> {
    let mut bytes = vec![0; 40];
    for (place, byte) in all {
        bytes[*place] = *byte;
    }
    bytes
}

#[test]
fn what_a_case_holds_stands_where_the_abi_has_it() {
    use ErrorCode as E;
    let dns = DnsErrorPayload { rcode: Some(text()), info_code: Some(7) };
    let tls = TlsAlertReceivedPayload { alert_id: Some(7), alert_message: Some(text()) };
    let expected = [
        (E::LoopDetected, bytes(&[(8, 36)])),
        (E::DnsError(dns), bytes(&[(8, 1), (16, 1), (20, 64), (24, 4), (28, 1), (30, 7)])),
        (E::TlsAlertReceived(tls), bytes(&[(8, 14), (16, 1), (17, 7), (20, 1), (24, 64), (28, 4)])),
        (E::HttpRequestBodySize(Some(7)), bytes(&[(8, 17), (16, 1), (24, 7)])),
        (E::HttpRequestHeaderSectionSize(Some(7)), bytes(&[(8, 21), (16, 1), (20, 7)])),
        (
            E::HttpRequestHeaderSize(Some(field(Some(7)))),
            bytes(&[(8, 22), (16, 1), (20, 1), (24, 64), (28, 4), (32, 1), (36, 7)]),
        ),
        (E::HttpRequestHeaderSize(None), bytes(&[(8, 22)])),
        (
            E::HttpResponseTrailerSize(field(Some(7))),
            bytes(&[(8, 30), (16, 1), (20, 64), (24, 4), (28, 1), (32, 7)]),
        ),
        (E::InternalError(Some(text())), bytes(&[(8, 38), (16, 1), (20, 64), (24, 4)])),
        (E::InternalError(None), bytes(&[(8, 38)])),
    ];
    for (error, expected) in expected {
        let name = format!("{error:?}");
        assert_eq!(lowered(error), expected, "{name}");
    }
}
