//! Tries to reach files, the working directory, the clock and the environment through the standard library, and
//! answers a line for each: `NAME: reached WHAT` or `NAME: ERROR`. It must never reach anything by default.

use std::fmt::{Debug, Write as _};
use std::{env, fs, io};

use guests::wasip2::http::types::{IncomingRequest, ResponseOutparam};

guests::guest!(handle);

fn handle(_request: &IncomingRequest, answer: ResponseOutparam) {
    let mut text = String::new();
    for folder in ["/", ".", "..", "/proc/self", "/etc"] {
        let names = fs::read_dir(folder).and_then(|entries| {
            entries.map(|entry| entry.map(|e| e.file_name())).collect::<io::Result<Vec<_>>>()
        });
        report(&mut text, &format!("list {folder}"), names);
    }
    for file in ["/etc/passwd", "../../etc/passwd", "/proc/self/environ", "/dev/urandom"] {
        report(&mut text, &format!("read {file}"), fs::read(file).map(|bytes| bytes.len()));
    }
    for file in ["/spawnpoint-probe", "spawnpoint-probe"] {
        report(&mut text, &format!("write {file}"), fs::write(file, "probe"));
    }
    report(&mut text, "current_dir", env::current_dir());
    report(&mut text, "variables", some(env::vars().count()));
    report(&mut text, "arguments", some(env::args().count()));
    report(&mut text, "standard input", io::read_to_string(io::stdin()).and_then(|s| some(s.len())));
    guests::respond(answer, 200, &text);
}

fn some(count: usize) -> io::Result<usize> {
    if count == 0 { Err(io::ErrorKind::NotFound.into()) } else { Ok(count) }
}

fn report<T: Debug>(text: &mut String, name: &str, result: io::Result<T>) {
    let _ = match result {
        Ok(what) => writeln!(text, "{name}: reached {what:?}"),
        Err(error) => writeln!(text, "{name}: {}", error.kind()),
    };
}
