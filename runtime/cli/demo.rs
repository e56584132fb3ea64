//! `demo`: the platform with the samples deployed for two tenants, each called, one made to crash, and left running.
//! Must never read the data directory of a real server unless it is told to, nor leave anything behind.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use http::header::{self, HeaderMap};
use http::{Method, Request, Uri};
use serde::Serialize;

use super::client::{Call, Client, Origin, Payload, Token, collect, exchange};
use super::guests::{Which, build};
use super::print;
use super::serve::{Ends, control_plane, start};
use crate::admin::wire::{Cold, ColdDrop, ColdRequest, Deployed, Tenant};
use crate::settings::Flags;
use crate::telemetry;

/// A demo leaves nothing behind unless it is given a data directory.
#[derive(Clone, Debug, Default, Args)]
pub struct DemoArgs {
    /// Where functions are called; port 0 takes a free one [default: 127.0.0.1:8080, or a free one if that is taken]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Where the admin API answers; port 0 takes a free one [default: 127.0.0.1:8081, or a free one if that is taken]
    #[arg(long, value_name = "ADDR")]
    pub admin_listen: Option<SocketAddr>,
    /// Keep what is deployed here [default: a temporary directory that is removed at the end]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// End after the table, instead of serving until Ctrl-C
    #[arg(long)]
    pub once: bool,
    /// Print the table as JSON
    #[arg(long)]
    pub json: bool,
}

/// What is deployed: tenant, function, sample, and the path it is called with.
const SHOWN: [(&str, &str, &str, &str); 8] = [
    ("default", "hello", "hello", ""),
    ("default", "hello-wasip2", "hello-wasip2", ""),
    ("default", "hello-p3", "hello-p3", ""),
    ("default", "echo", "echo", ""),
    ("default", "fail", "fail", "ok"),
    ("acme", "hello", "hello", ""),
    ("acme", "json-api", "json-api", "products"),
    ("acme", "fail", "fail", "ok"),
];
/// How long a build, a deploy or a call may take before a demo gives up.
const PATIENCE: Duration = Duration::from_mins(1);
/// Bytes of an answer that a demo reads.
const ANSWER: usize = 1 << 20;

/// One line of the table.
#[derive(Debug, Serialize)]
struct Row {
    /// What was called.
    url: String,
    /// Where the function is.
    #[serde(skip)]
    base: String,
    status: u16,
    deploy_ms: u64,
    cold_ms: f64,
    cold_start: String,
    warm_ms: f64,
    warm_start: String,
}

/// One call.
struct Called {
    status: u16,
    ms: f64,
    headers: HeaderMap,
}

impl Called {
    fn header(&self, name: &str) -> String {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or("").to_owned()
    }
}

pub(super) fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    print::note("building the samples (the first time takes a minute) ...");
    let samples = build(Which::Samples)?;
    // Removed when it is dropped, however this ends.
    let temporary = tempfile::Builder::new().prefix("spawnpoint-demo-").tempdir()?;
    let data_dir = args.data_dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    let flags = Flags {
        data_dir: Some(data_dir.clone()),
        listen: Some(args.listen.unwrap_or_else(|| free(8080))),
        admin_listen: Some(args.admin_listen.unwrap_or_else(|| free(8081))),
        log: Some("warn".to_owned()),
        ..Flags::default()
    };
    let mut settings = flags.resolve()?;
    let _logs = telemetry::logs::start(&settings.log)?;
    let runtime = control_plane(&mut settings)?;
    runtime.block_on(async {
        let mut ends = Ends::listen()?;
        let running = start(settings).await?;
        let shown = tokio::select! {
            shown = show(args, &samples, &data_dir, running.admin) => Some(shown),
            () = ends.wait() => None,
        };
        if matches!(shown, Some(Ok(()))) && !args.once {
            print::note(&format!("serving on http://{} until Ctrl-C", running.ingress));
            ends.wait().await;
        }
        running.stop().await;
        shown.unwrap_or(Ok(()))
    })?;
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

/// The usual port, or any other if somebody has it.
fn free(port: u16) -> SocketAddr {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match std::net::TcpListener::bind(usual) {
        Ok(_) => usual,
        Err(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    }
}

async fn show(args: &DemoArgs, samples: &Path, data_dir: &Path, admin: SocketAddr) -> anyhow::Result<()> {
    let token = std::fs::read_to_string(data_dir.join("admin-token"))?;
    let origin = Origin::parse(&format!("http://{admin}"))?;
    let client = Client::new(origin, Some(Token::new(&token)?));
    client.call::<Tenant>(Call::new(Method::PUT, "/v1/tenants/acme")).await?;
    let mut rows = Vec::new();
    for (tenant, function, sample, path) in SHOWN {
        let file = samples.join(format!("{}.wasm", sample.replace('-', "_")));
        let wasm = std::fs::read(&file).with_context(|| format!("`{}` cannot be read", file.display()))?;
        let target = format!("/v1/tenants/{tenant}/functions/{function}");
        rows.push(deploy_and_call(&client, &target, wasm, path).await?);
    }
    let crash = crash(&rows[4].base).await?;
    if args.json {
        return print::json(&serde_json::json!({ "functions": rows, "crash": crash }));
    }
    let cells = rows.iter().map(|row| {
        let cold = format!("{:.2} ms ({})", row.cold_ms, row.cold_start);
        let warm = format!("{:.2} ms ({})", row.warm_ms, row.warm_start);
        vec![row.url.clone(), row.status.to_string(), format!("{} ms", row.deploy_ms), cold, warm]
    });
    print::table(&["URL", "STATUS", "DEPLOY", "COLD", "WARM"], cells.collect())?;
    print::line("")?;
    for line in crash {
        print::line(&line)?;
    }
    Ok(())
}

async fn deploy_and_call(client: &Client, target: &str, wasm: Vec<u8>, path: &str) -> anyhow::Result<Row> {
    let mut call = Call::new(Method::PUT, target);
    call.payload = Payload::default().bytes(Bytes::from(wasm));
    call.patience = PATIENCE;
    let began = Instant::now();
    let deployed: Deployed = client.call(call).await?;
    let deploy_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let drop = ColdRequest { drop: ColdDrop::Program };
    let made_cold = Call::json(Method::POST, format!("{target}/cold"), &drop)?;
    client.call::<Cold>(made_cold).await?;
    let url = format!("{}{path}", deployed.url);
    let first = get(&url).await?;
    // The best of a few: a single call measures what else the machine does. One that was made for its call is not warm.
    let made = |called: &Called| called.header("x-spawnpoint-start") == "spawned";
    let mut warm = get(&url).await?;
    for _ in 0..20 {
        // Gives the server the moment of rest in which it makes the next instance ready.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let next = get(&url).await?;
        if (made(&next), next.ms) < (made(&warm), warm.ms) {
            warm = next;
        }
    }
    Ok(Row {
        url,
        base: deployed.url,
        status: warm.status,
        deploy_ms,
        cold_ms: first.ms,
        cold_start: first.header("x-spawnpoint-start"),
        warm_ms: warm.ms,
        warm_start: warm.header("x-spawnpoint-start"),
    })
}

/// Has a sample trap, and calls it again.
async fn crash(url: &str) -> anyhow::Result<Vec<String>> {
    let crashed = get(&format!("{url}trap")).await?;
    let next = get(&format!("{url}ok")).await?;
    Ok(vec![
        format!("{url}trap crashed: {} {}", crashed.status, crashed.header("x-spawnpoint-error")),
        format!(
            "{url}ok the next request: {} from a {} instance, {:.2} ms later. No big deal.",
            next.status,
            next.header("x-spawnpoint-start"),
            next.ms
        ),
    ])
}

async fn get(url: &str) -> anyhow::Result<Called> {
    let uri: Uri = url.parse()?;
    let origin = Origin::of(&uri)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let request = Request::get(path).header(header::HOST, origin.authority()).body(Payload::default())?;
    let began = Instant::now();
    let answer = exchange(&origin, request, PATIENCE).await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    collect(&origin, answer, (ANSWER, PATIENCE)).await?;
    Ok(Called { status, ms: began.elapsed().as_secs_f64() * 1e3, headers })
}
