//! Tries to reach the network through the standard library's sockets and answers a line for each try: `NAME: reached`
//! or `NAME: ERROR`. Its component imports `wasi:sockets`, so a host without that refuses it at deploy. It must never
//! get out.

use std::fmt::Write as _;
use std::io;
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(request: &IncomingRequest, answer: ResponseOutparam) {
    let to = guests::query(request, "to").unwrap_or_else(|| "127.0.0.1:80".into());
    let mut text = String::new();
    report(&mut text, "connect", TcpStream::connect(&to).map(drop));
    report(&mut text, "metadata", TcpStream::connect("169.254.169.254:80").map(drop));
    report(&mut text, "listen", TcpListener::bind("127.0.0.1:0").map(drop));
    report(&mut text, "datagram", UdpSocket::bind("127.0.0.1:0").map(drop));
    report(&mut text, "resolve", "localhost:80".to_socket_addrs().map(drop));
    guests::respond(answer, 200, &text);
}

fn report(text: &mut String, name: &str, result: io::Result<()>) {
    let _ = match result {
        Ok(()) => writeln!(text, "{name}: reached"),
        Err(error) => writeln!(text, "{name}: {}", error.kind()),
    };
}
