//! `invoke FUNCTION [PATH]`: calls a function where everybody calls it. The body is on stdout as it came.
//! Must never send the admin token: the guest is not ours.

use std::fs::File;
use std::io::{self, Read as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::at::{At, Target};
use super::client::{ClientError, Origin, Payload, collect, exchange};
use super::{Usage, print};
use crate::admin::wire::Function;

/// Which function, and with what.
#[derive(Clone, Debug, Args)]
pub struct InvokeArgs {
    #[command(flatten)]
    target: Target,
    /// The path and query the function sees
    #[arg(default_value = "/")]
    path: String,
    /// The method [default: GET, or POST with --data]
    #[arg(short = 'X', long, value_name = "METHOD")]
    request: Option<Method>,
    /// A header field; may be given more than once
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = field)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The body: text, `@FILE`, or `-` for stdin. JSON is sent as application/json unless a header says otherwise
    #[arg(short, long, allow_hyphen_values = true)]
    data: Option<String>,
    /// Print the head of the answer before its body
    #[arg(short, long)]
    include: bool,
    /// Give up after so many seconds without a byte
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    #[command(flatten)]
    at: At,
}

/// Set by the platform where it answers itself, so that a guest's own error is never taken for ours.
const ERROR: &str = "x-spawnpoint-error";
/// Bytes of the largest body that is read from stdin.
const STDIN_BYTES: u64 = 64 << 20;
/// Bytes of the largest answer that is put into JSON.
const JSON_BYTES: usize = 64 << 20;

pub(super) async fn run(args: InvokeArgs) -> anyhow::Result<ExitCode> {
    if args.data.as_deref() == Some("-") && args.at.token.as_deref() == Some("-") {
        return Err(Usage("stdin cannot be the token and the body at once".to_owned()).into());
    }
    let function: Function = args.at.client()?.get(&args.target.path()).await?;
    let uri = below(&function.url, &args.path)?;
    let origin = Origin::of(&uri)?;
    let request = request(&args, &origin, &uri)?;
    let patience = Duration::from_secs(args.timeout);
    let answer = exchange(&origin, request, patience).await?;

    let status = answer.status();
    print::note(&status.to_string());
    if let Some(code) = answer.headers().get(ERROR) {
        print::note(&format!("{ERROR}: {}", code.to_str().unwrap_or("?")));
    }
    if args.at.json {
        print_json(&origin, answer, patience).await?;
    } else {
        if args.include {
            print_head(&answer)?;
        }
        stream(&origin, answer, patience).await?;
    }
    let failed = status.is_client_error() || status.is_server_error();
    Ok(if failed { ExitCode::from(super::FAILED) } else { ExitCode::SUCCESS })
}

/// Where a path of a function is: `url` is the function's root.
pub(super) fn below(url: &str, path: &str) -> anyhow::Result<Uri> {
    let whole = format!("{}/{}", url.trim_end_matches('/'), path.trim_start_matches('/'));
    whole.parse().map_err(|_| {
        let why = format!(
            "`{path}` is no path: what a path does not allow must be percent-encoded, such as a space as %20"
        );
        Usage(why).into()
    })
}

/// Reads `NAME: VALUE`.
pub(super) fn field(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("allowed is `NAME: VALUE`")?;
    let name = name.trim().parse().map_err(|_| "the name holds characters that no field name has")?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_| "the value holds control characters")?;
    Ok((name, value))
}

fn request(args: &InvokeArgs, origin: &Origin, uri: &Uri) -> anyhow::Result<Request<Payload>> {
    let (payload, is_json) = args.data.as_deref().map_or_else(|| Ok((Payload::default(), false)), payload)?;
    let usual = if args.data.is_some() { Method::POST } else { Method::GET };
    let mut request = Request::new(payload);
    *request.method_mut() = args.request.clone().unwrap_or(usual);
    *request.uri_mut() =
        uri.path_and_query().map_or_else(|| Ok(Uri::from_static("/")), |path| path.as_str().parse())?;
    *request.headers_mut() = headers(&args.headers, origin, is_json)?;
    Ok(request)
}

fn headers(given: &[(HeaderName, HeaderValue)], origin: &Origin, is_json: bool) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        if *name == header::CONTENT_LENGTH || *name == header::TRANSFER_ENCODING {
            return Err(Usage(format!("field `{name}` follows from the body and cannot be given")).into());
        }
        headers.append(name, value.clone());
    }
    let agent = concat!("spawnpoint/", env!("CARGO_PKG_VERSION"));
    headers.entry(header::HOST).or_insert(HeaderValue::try_from(origin.authority())?);
    headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(agent));
    headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    if is_json {
        headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    }
    Ok(headers)
}

/// The body, and whether it is JSON.
fn payload(data: &str) -> anyhow::Result<(Payload, bool)> {
    if let Some(path) = data.strip_prefix('@') {
        let file = File::open(path).with_context(|| format!("`{path}` cannot be read"))?;
        let metadata = file.metadata().with_context(|| format!("`{path}` cannot be read"))?;
        anyhow::ensure!(
            metadata.is_file(),
            "`{path}` is no regular file: its length must be known before it is sent"
        );
        let is_json = path.to_ascii_lowercase().ends_with(".json");
        return Ok((Payload::default().file(file, metadata.len()), is_json));
    }
    let mut bytes = data.as_bytes().to_vec();
    if data == "-" {
        bytes.clear();
        io::stdin().lock().take(STDIN_BYTES + 1).read_to_end(&mut bytes).context("stdin cannot be read")?;
        anyhow::ensure!(
            bytes.len() as u64 <= STDIN_BYTES,
            "stdin holds more than {STDIN_BYTES} bytes: send a file"
        );
    }
    // A lone word or number may be anything.
    let is_json = matches!(serde_json::from_slice(&bytes), Ok(Value::Object(_) | Value::Array(_)));
    Ok((Payload::default().bytes(bytes), is_json))
}

fn print_head(answer: &Response<Incoming>) -> anyhow::Result<()> {
    let mut head = format!("{:?} {}\n", answer.version(), answer.status()).into_bytes();
    for (name, value) in answer.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.push(b'\n');
    }
    head.push(b'\n');
    print::bytes(&head)
}

async fn stream(origin: &Origin, answer: Response<Incoming>, patience: Duration) -> anyhow::Result<()> {
    let mut body = answer.into_body();
    loop {
        let silent = |_| ClientError::Timeout { origin: origin.clone(), seconds: patience.as_secs() };
        let Some(frame) = timeout(patience, body.frame()).await.map_err(silent)? else {
            return Ok(());
        };
        let broken = |source| ClientError::Broken { origin: origin.clone(), source };
        if let Some(data) = frame.map_err(broken)?.data_ref() {
            print::bytes(data)?;
        }
    }
}

/// `{status, headers, body}`; a body that is no text is in hexadecimal digits as `body_hex`.
async fn print_json(origin: &Origin, answer: Response<Incoming>, patience: Duration) -> anyhow::Result<()> {
    let status = answer.status().as_u16();
    let mut headers = Map::new();
    for (name, value) in answer.headers() {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let all = headers.entry(name.as_str()).or_insert_with(|| json!([]));
        if let Some(all) = all.as_array_mut() {
            all.push(value.into());
        }
    }
    let bytes = collect(origin, answer, (JSON_BYTES, patience)).await?;
    let (key, body) = match std::str::from_utf8(&bytes) {
        Ok(text) => ("body", text.to_owned()),
        Err(_) => ("body_hex", hex::encode(&bytes)),
    };
    print::json(&json!({ "status": status, "headers": headers, key: body }))
}
