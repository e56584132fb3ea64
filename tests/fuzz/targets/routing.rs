//! A head of any bytes: it is refused, or it names one function and strips no more than that function's prefix. Must
//! never find a route where two readers of the head could disagree about its host.

#![no_main]

use http::{HeaderName, HeaderValue, Request, Uri, Version};
use libfuzzer_sys::fuzz_target;
use spawnpoint::ingress::head;

const BASE: &str = "localhost";

// The first line is the target, each other one a field.
fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let Ok(uri) = Uri::try_from(lines.next().unwrap_or_default()) else { return };
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.uri = uri;
    parts.version = if bytes.len() % 2 == 0 { Version::HTTP_11 } else { Version::HTTP_2 };
    for line in lines.take(200) {
        let mut sides = line.splitn(2, |byte| *byte == b':');
        let name = HeaderName::from_bytes(sides.next().unwrap_or_default());
        let value = HeaderValue::from_bytes(sides.next().unwrap_or_default());
        if let (Ok(name), Ok(value)) = (name, value) {
            parts.headers.append(name, value);
        }
    }
    if head::check(&parts, 16 * 1024, 100).is_err() {
        return;
    }
    let Ok(asked) = head::host(&parts) else { return };
    let name = asked.map(|asked| asked.name().to_ascii_lowercase());
    if let Some(name) = &name {
        assert!(!name.contains('@'), "a user name");
        let hosts: Vec<_> = parts.headers.get_all("host").iter().collect();
        let same = |host: &&HeaderValue| {
            let host = host.as_bytes().to_ascii_lowercase();
            let port = host.strip_prefix(name.as_bytes()).expect("another host");
            port.is_empty() || port[0] == b':'
        };
        assert!(hosts.len() <= 1 && hosts.iter().all(same), "two hosts");
    }
    let path = parts.uri.path();
    if let Ok(target) = head::target(name.as_deref(), path, BASE) {
        assert!(target.prefix <= path.len() && path.is_char_boundary(target.prefix));
        let stripped = head::strip_prefix(&parts.uri, target.prefix);
        assert!(stripped.as_str().starts_with('/'), "{stripped}");
        assert!(
            stripped.as_str().len() <= parts.uri.path_and_query().map_or(1, |all| all.as_str().len() + 1)
        );
    }
    head::strip(&mut parts.headers);
    assert!(parts.headers.keys().all(|name| !name.as_str().starts_with("x-spawnpoint-")));
    assert!(!parts.headers.contains_key("transfer-encoding") && !parts.headers.contains_key("connection"));
});
