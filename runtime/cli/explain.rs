//! `explain REQUEST-ID`: one call as a person wants it told: what happened, why, where, and what to do about it.
//! Must never guess: what the record does not say is not said.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;

use super::at::At;
use super::print;
use crate::admin::wire::Invocation;
use crate::model::request_id::RequestId;

/// Which call.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// The request's id, as in the header `x-request-id` of its answer
    #[arg(value_name = "REQUEST-ID")]
    id: RequestId,
    #[command(flatten)]
    at: At,
}

pub(super) async fn run(args: ExplainArgs) -> anyhow::Result<ExitCode> {
    let found: Invocation = args.at.client()?.get(&format!("/v1/invocations/{}", args.id)).await?;
    if args.at.json {
        print::json(&found)?;
    } else {
        print::line(print::visible(&told(&found)).trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The whole explanation.
pub(super) fn told(of: &Invocation) -> String {
    let mut text = String::new();
    let (tenant, function, version) = (&of.tenant, &of.function, of.version);
    // Writing to a string does not fail.
    let _ =
        writeln!(text, "{}  {tenant}/{function} version {version}, {} ago", of.code, print::age(of.at_ms));
    let _ = writeln!(text, "{}{}", what(&of.code), measure(of));
    text.push_str(&attempts(of));
    text.push_str(&breaker(of));
    text.push('\n');
    if let Some(advice) = advice(of) {
        let _ = writeln!(text, "what to do  {advice}");
    }
    let _ = writeln!(text, "request     {}", of.request_id);
    let p = &of.phases;
    let _ = writeln!(text, "time        {:.1} ms wall, {:.1} ms CPU", of.wall_ms, of.cpu_ms);
    let _ = write!(
        text,
        "phases      route {:.3} ms, queue {:.3} ms, load {:.3} ms, spawn {:.3} ms, lane {:.3} ms, guest {:.3} ms",
        p.route, p.queue, p.load, p.spawn, p.lane, p.guest
    );
    match p.first_byte {
        Some(ms) => drop(writeln!(text, "; first byte after {ms:.3} ms")),
        None if of.retried.is_some() => text.push_str("; this attempt answered no byte\n"),
        None => text.push_str("; no byte was answered\n"),
    }
    let _ = writeln!(text, "memory      {} at most", print::size(of.peak_memory_bytes));
    if let Some(start) = &of.start {
        let _ = writeln!(text, "instance    {start}");
    }
    if !of.detail.is_empty() {
        let _ = writeln!(text, "detail      {}", of.detail);
    }
    listed(&mut text, "backtrace, innermost first", of.backtrace.iter().enumerate());
    if of.backtrace.iter().any(|frame| frame.starts_with("function ")) {
        text.push_str(
            "  (the module has no names: build it without stripping them, in Rust `strip = \"debuginfo\"`)\n",
        );
    } else if !of.backtrace.is_empty() && of.backtrace.iter().all(|frame| !frame.contains(" at ")) {
        text.push_str(
            "  (with debug information there are files and lines too: in Rust `debug = \"line-tables-only\"` and `strip = \"none\"`)\n",
        );
    }
    listed(&mut text, "its last lines", of.log.iter().enumerate());
    if let Some(earlier) = &of.earlier {
        let _ = write!(text, "\nthe attempt before it:\n\n{}", told(earlier));
    }
    text
}

/// What came before and after it, if it was not the only attempt.
fn attempts(of: &Invocation) -> String {
    let mut text = String::new();
    if of.attempt > 1 {
        let how = of
            .earlier
            .as_ref()
            .map_or_else(|| "failed".to_owned(), |earlier| format!("ended as {}", earlier.code));
        let _ = writeln!(text, "It was the second attempt at the call: the first one {how}.");
    }
    match of.retried.as_deref() {
        None => {}
        Some("ok") => {
            text.push_str("It was the first attempt: a second one, on a fresh instance, went well, and the caller got its answer.\n");
        }
        Some(code) => {
            let _ = writeln!(
                text,
                "It was the first attempt: the second one ended as {code}, which the caller was answered."
            );
        }
    }
    text
}

/// What it did to its version's breaker.
fn breaker(of: &Invocation) -> String {
    let long = of.breaker_ms.map_or_else(String::new, |ms| format!(" for {ms} ms"));
    match of.breaker.as_deref() {
        Some("opened") => format!("It was one failure too many: the version's breaker opened{long}.\n"),
        Some("stays_open") => {
            format!("It was the breaker's probe and failed: the breaker stays open{long}.\n")
        }
        Some("healed") => "It was the breaker's probe and went well: the breaker closed.\n".to_owned(),
        Some(_) => "It was the breaker's probe, and says nothing about the version.\n".to_owned(),
        None => String::new(),
    }
}

fn listed<'a>(text: &mut String, head: &str, lines: impl ExactSizeIterator<Item = (usize, &'a String)>) {
    if lines.len() > 0 {
        let _ = writeln!(text, "\n{head}:");
    }
    for (n, line) in lines {
        // A line is one line, whatever is in it.
        let _ = writeln!(text, "  {n:>2}  {}", line.replace('\n', " "));
    }
}

/// What happened, in one sentence without its end.
fn what(code: &str) -> &'static str {
    match code {
        "ok" => "The call went well; it is one of the sample that is recorded",
        "guest_trap" => "The function crashed: its WebAssembly trapped, or it exited",
        "cpu_limit" => "The function used more CPU time than it may and was stopped",
        "timeout" => "The function took longer than it may and was stopped",
        "memory_limit" => {
            "The function asked for more memory than it may have, and failed when it was refused"
        }
        "memory_short" => "The server had no memory left for this tenant; the function is not to blame",
        "overloaded" => {
            "The call waited for its turn among heavy calls until its time was up; the function is not to blame"
        }
        "bad_request" => "The request's body broke off or is not HTTP; the function is not to blame",
        "no_response" => "The function returned without an answer",
        "bad_response" => "The function's answer is not valid HTTP",
        "guest_error" => "The function answered with an error code instead of a response",
        "payload_too_large" => "The request's body is larger than the function takes",
        "response_too_large" => "The function's answer is larger than it may be",
        "client_gone" => "The client left before the answer had ended, and the function was stopped",
        "host_error" => "The platform failed; the function is not to blame",
        _ => "The call failed",
    }
}

/// Limit and use, to follow [`what`].
fn measure(of: &Invocation) -> String {
    let (Some(key), Some(limit), Some(used)) = (&of.limit_key, of.limit, of.used) else {
        return ".".to_owned();
    };
    let shown = |value: u64| match key.as_str() {
        key if key.ends_with("_ms") => format!("{value} ms"),
        key if key.ends_with("_bytes") => format!("{value} bytes ({})", print::size(value)),
        _ => value.to_string(),
    };
    format!(": {} where {} is allowed.", shown(used), shown(limit))
}

fn advice(of: &Invocation) -> Option<String> {
    let raise = |less: &str| {
        let key = of.limit_key.as_deref()?;
        Some(format!("{less}, or raise `limits.{key}` in the manifest and deploy again"))
    };
    let plain = |text: &str| Some(text.to_owned());
    match of.code.as_str() {
        "cpu_limit" => raise("do less in one call: the backtrace shows where it was stopped"),
        "timeout" => raise("wait for less"),
        "memory_limit" => raise("hold less at once"),
        "overloaded" => plain(
            "call it less often at once, or give the server more cores: `phases.lane` is what it waited",
        ),
        "bad_request" => plain("send the whole body, as the request's head says it"),
        "memory_short" => plain("try again, or give the server a larger `server.memory_bytes`"),
        "payload_too_large" => raise("send less"),
        "response_too_large" => raise("answer less"),
        "guest_trap" => plain("mend the function: the backtrace and its last lines show where"),
        "no_response" => plain("let the handler set a response on every path"),
        "bad_response" => plain("mend the head or the length of the answer: the detail says what is wrong"),
        "guest_error" => plain("the handler returned this error code itself: the detail says which"),
        "host_error" => plain("look into the server's log, and report it"),
        _ => None,
    }
}
