//! The command.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let a: Vec<String> = std::env::args().collect();
    if a.get(1).map(String::as_str) == Some("__compile") {
        return spawnpoint::engine::compile::child_main(spawnpoint::engine::compile::ChildLimits { memory_bytes: a[3].parse().unwrap(), cpu_seconds: a[5].parse().unwrap() });
    }
    let flags = spawnpoint::settings::Flags { data_dir: Some(a[1].clone().into()), listen: Some(a[2].parse().unwrap()), admin_listen: Some(a[3].parse().unwrap()), threads: a.get(4).map(|t| t.parse().unwrap()), ..Default::default() };
    let settings = flags.resolve().unwrap();
    let _g = spawnpoint::telemetry::logs::start(&settings.log).unwrap();
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    rt.block_on(async {
        let r = spawnpoint::process::start(settings).await.unwrap();
        println!("ready ingress=http://{} admin=http://{}", r.ingress, r.admin);
        tokio::signal::ctrl_c().await.unwrap();
        r.stop().await;
    });
    ExitCode::SUCCESS
}
