//! `deploy FILE`: a version is published and answers; the URL, and nothing else, is on stdout.
//! Must never send a file that is no WebAssembly, nor hold one in memory.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use http::Method;
use http::header::HeaderValue;
use indicatif::{ProgressBar, ProgressStyle};

use super::at::{At, Owner, Target};
use super::client::{Call, Payload};
use super::{Usage, diagnose, form, print};
use crate::admin::wire::{Deployed, Timings};
use crate::model::name::FunctionName;

/// What is deployed, and as what.
#[derive(Clone, Debug, Args)]
pub struct DeployArgs {
    /// The WebAssembly file
    file: PathBuf,
    /// The function's name [default: the file's name, as far as it can be one]
    #[arg(short, long)]
    name: Option<FunctionName>,
    #[command(flatten)]
    owner: Owner,
    /// Limits, variables, reuse, breaker, retry and server timing, each of which may be left out (.toml or .json)
    #[arg(short, long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    at: At,
}

/// How long an upload may take to be received, compiled and proven; the server bounds each of these tighter.
pub(super) const PATIENCE: Duration = Duration::from_mins(10);
/// Characters of a DNS label.
const LABEL: usize = 63;

pub(super) async fn run(args: DeployArgs) -> anyhow::Result<ExitCode> {
    // The file first: of a directory, the name is not what is wrong.
    let (file, length) = diagnose::open(&args.file)?;
    let function = match args.name {
        Some(name) => name,
        None => name_of(&args.file)?,
    };
    let manifest = args.manifest.as_deref().map(form::read_manifest).transpose()?;
    let client = args.at.client()?;
    let target = Target { function, owner: args.owner };
    let (payload, content_type) = match &manifest {
        Some(manifest) => form::body(manifest, file, length)?,
        None => (Payload::default().file(file, length), HeaderValue::from_static("application/wasm")),
    };
    let what = format!(
        "deploying {} ({}) to {} as {target}",
        args.file.display(),
        print::size(length),
        client.origin()
    );
    let bar = progress(&what, payload.len())?;

    let mut call = Call::new(Method::PUT, target.path());
    call.patience = PATIENCE;
    call.content_type = Some(content_type);
    call.payload = watched(payload, bar.clone());
    let start = Instant::now();
    let deployed: anyhow::Result<Deployed> = client.call(call).await;
    bar.finish_and_clear();
    let deployed = deployed?;
    print::note(&summary(&deployed, start.elapsed()));
    if args.at.json {
        print::json(&deployed)?;
    } else {
        print::line(&deployed.url)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A file's name without its extension, as a function's name: `Hello_World.wasm` is `hello-world`.
pub(super) fn name_of(file: &Path) -> anyhow::Result<FunctionName> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let mut label = String::new();
    for c in stem.chars().map(|c| c.to_ascii_lowercase()) {
        if c.is_ascii_alphanumeric() {
            label.push(c);
        } else if !label.is_empty() && !label.ends_with('-') {
            label.push('-');
        }
    }
    label.truncate(LABEL);
    let no_name = |_| Usage(format!("`{}` makes no function name: give one with --name", file.display()));
    Ok(label.trim_end_matches('-').parse().map_err(no_name)?)
}

/// A bar where somebody watches, else one line.
fn progress(what: &str, length: u64) -> anyhow::Result<ProgressBar> {
    print::note(what);
    if !print::is_watched() {
        return Ok(ProgressBar::hidden());
    }
    let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes} of {total_bytes}")?;
    Ok(ProgressBar::new(length).with_style(style).with_message("uploading"))
}

fn watched(payload: Payload, bar: ProgressBar) -> Payload {
    let length = payload.len();
    let mut left = length;
    payload.watched(move |sent| {
        bar.inc(sent);
        left = left.saturating_sub(sent);
        if left == 0 {
            bar.set_message("compiling");
        }
    })
}

fn summary(deployed: &Deployed, took: Duration) -> String {
    let Timings { receive_ms, componentize_ms, compile_ms, load_ms } = deployed.timings;
    let paused = if deployed.paused { "; the function is paused: it answers once it is resumed" } else { "" };
    format!(
        "version {} answers after {} ms (receive {receive_ms}, componentize {componentize_ms}, compile {compile_ms}, \
         load {load_ms}){paused}",
        deployed.version,
        took.as_millis()
    )
}
