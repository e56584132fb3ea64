//! Servers that do not start, and say why: on stderr, with the field and what is allowed, and with an exit code.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::support::cli::{Cli, Said};
use super::support::client::Raw;
use super::support::{Config, Server, eventually, guest};

/// `serve` on free ports and this data directory, which is expected to fail.
fn serve(dir: &Path, more: &[&str]) -> Said {
    let mut arguments = vec!["serve", "--data-dir", dir.to_str().unwrap()];
    for (flag, value) in [("--listen", "127.0.0.1:0"), ("--admin-listen", "127.0.0.1:0")] {
        if !more.contains(&flag) {
            arguments.extend([flag, value]);
        }
    }
    arguments.extend(more);
    Cli::new(&arguments).run()
}

#[track_caller]
fn fails(said: &Said, code: i32, texts: &[&str]) {
    assert_eq!(said.code, Some(code), "{said:?}");
    assert_eq!(said.out, "", "nothing is ready");
    for text in texts {
        assert!(said.err.contains(text), "`{text}` is not in: {}", said.err);
    }
    assert!(!said.err.contains("panicked") && !said.err.contains("RUST_BACKTRACE"), "{}", said.err);
    assert!(said.err.lines().count() < 8, "{}", said.err);
}

#[test]
fn two_servers_on_one_data_directory_are_refused() {
    let server = Server::start();
    server.deploy("f", &guest("ok"));
    let dir = server.data_dir();
    let address = std::fs::read_to_string(dir.join("admin-address")).unwrap();
    fails(&serve(&dir, &[]), 1, &["in use by another process", dir.to_str().unwrap()]);
    assert_eq!(server.call("f").text(), "ok", "the first one goes on");
    let now = std::fs::read_to_string(dir.join("admin-address")).unwrap();
    assert_eq!(now, address, "the command line still finds the first one");
}

#[test]
fn a_lock_ends_with_its_process() {
    let mut server = Server::start();
    server.kill();
    server.start_again();
    assert_eq!(server.admin("GET", "/v1/tenants", &[], &[]).status, 200);
}

#[test]
fn a_port_in_use_is_named() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    for (flag, address) in [("--listen", server.ingress), ("--admin-listen", server.admin)] {
        let said = serve(&dir.path().join("data"), &[flag, &address.to_string()]);
        fails(&said, 1, &[&format!("cannot listen on {address}"), "in use"]);
    }
    // What was left by the attempt is no hindrance.
    let again = Cli::new(&["serve", "--listen", "nowhere"]).run();
    fails(&again, 2, &["--listen", "nowhere"]);
}

#[test]
fn a_settings_file_that_is_wrong_is_named_with_what_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("settings.toml");
    let name = file.to_str().unwrap().to_owned();
    for (text, said) in [
        ("[server]\nconections = 5\n", "conections"),
        ("[server]\nconnections = 0\n", "`server.connections` is `0`: allowed is 1 to 1000000"),
        ("[server]\nupload_bytes = 5\n", "server.upload_bytes"),
        ("[server]\ncompile_wall_ms = 10\n", "server.compile_wall_ms"),
        ("[limits]\ncpu_ms = 1000\nwall_ms = 1000\n", "limits.wall_ms"),
        ("[limits]\nmemory_bytes = 9999999999\n", "limits.memory_bytes"),
        ("[ceiling]\nmemory_bytes = 1\n", "ceiling.memory_bytes"),
        ("threads = 0\n", "threads"),
        ("listen = \"somewhere\"\n", "listen"),
        ("base_domain = \"No_Domain\"\n", "base_domain"),
        ("log = 5\n", "log"),
        ("this is no TOML", "settings.toml"),
    ] {
        std::fs::write(&file, text).unwrap();
        let answer = serve(&dir.path().join("data"), &["--config", &name]);
        fails(&answer, 1, &[said]);
    }
    let said = serve(&dir.path().join("data"), &["--config", "/nowhere/settings.toml"]);
    fails(&said, 1, &["/nowhere/settings.toml", "cannot be read", "No such file"]);
    let said = serve(&dir.path().join("data"), &["--log", "=!="]);
    fails(&said, 1, &["=!="]);
    assert!(!dir.path().join("data").exists(), "nothing was begun");
}

#[test]
fn a_data_directory_that_cannot_be_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    fails(&serve(&file, &[]), 1, &["file"]);
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("admin-token"), b"short\n").unwrap();
    fails(&serve(&data, &[]), 1, &["admin-token", "holds no admin token", "remove the file"]);
    std::fs::remove_file(data.join("admin-token")).unwrap();
    std::fs::write(data.join("artifact-key"), b"short").unwrap();
    fails(&serve(&data, &[]), 1, &["artifact-key", "32"]);
}

#[test]
fn a_catalog_that_is_no_database_is_named_and_not_touched() {
    let mut server = Server::start();
    server.deploy("f", &guest("ok"));
    server.terminate();
    server.wait();
    let dir = server.data_dir();
    let files = ["catalog.db", "catalog.db-wal", "catalog.db-shm"].map(|name| dir.join(name));
    let good = files.clone().map(|file| std::fs::read(file).ok());
    let bad = b"this is no database at all, and it is long enough to be looked at".repeat(100);
    for file in &files {
        let _ = std::fs::remove_file(file);
    }
    std::fs::write(&files[0], &bad).unwrap();
    fails(&serve(&dir, &[]), 1, &["catalog", dir.to_str().unwrap(), "not a database"]);
    assert_eq!(std::fs::read(&files[0]).unwrap(), bad, "what may be mended is not thrown away");
    for (file, good) in files.iter().zip(good) {
        match good {
            Some(good) => std::fs::write(file, good).unwrap(),
            None => drop(std::fs::remove_file(file)),
        }
    }
    server.start_again();
    assert_eq!(server.call("f").text(), "ok");
}

#[test]
fn what_is_secret_is_for_its_owner_alone() {
    let mut server = Server::start();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let dir = server.data_dir();
    assert_eq!(mode(&dir), 0o700);
    for file in ["admin-token", "artifact-key"] {
        assert_eq!(mode(&dir.join(file)), 0o600, "{file}");
    }
    server.kill();
    std::fs::set_permissions(dir.join("admin-token"), std::fs::Permissions::from_mode(0o644)).unwrap();
    server.start_again();
    assert_eq!(mode(&dir.join("admin-token")), 0o600);
    assert!(server.log().contains("could read the admin token"), "{}", server.log());
    assert!(!server.log().contains(&server.token));
}

#[test]
fn the_ready_line_may_be_json_and_settings_may_come_from_the_environment() {
    use std::io::BufRead as _;
    let dir = tempfile::tempdir().unwrap();
    let mut cli = Cli::new(&["serve", "--json"])
        .env("SPAWNPOINT_DATA_DIR", dir.path().join("data").to_str().unwrap())
        .env("SPAWNPOINT_LISTEN", "127.0.0.1:0")
        .env("SPAWNPOINT_ADMIN_LISTEN", "127.0.0.1:0")
        .env("SPAWNPOINT_LOG_FORMAT", "json");
    let command = cli.command().stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(ready["ready"], true);
    assert!(ready["ingress"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "Ctrl-C ends it in order");
    for line in String::from_utf8(output.stderr).unwrap().lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
}

#[test]
fn settings_that_come_down_later_cut_what_was_accepted_before() {
    let mut server = Server::start();
    server.deploy_with("f", &guest("ok"), r#"{"limits":{"memory_bytes":268435456,"cpu_ms":5000}}"#);
    server.kill();
    server.start_again_with(Config::default().toml("[ceiling]\nmemory_bytes = 134217728\ncpu_ms = 2000"));
    assert_eq!(server.call("f").text(), "ok");
    let versions = server.admin("GET", &format!("{}/versions", Server::path("f")), &[], &[]).json();
    let limits = &versions["versions"][0]["limits"];
    assert_eq!((&limits["memory_bytes"], &limits["cpu_ms"]), (&134_217_728.into(), &2_000.into()));
}

#[test]
fn a_machine_that_allows_less_is_given_less_and_one_that_allows_too_little_is_refused() {
    // Address space for about a hundred instances, in KiB.
    let server = Server::with(Config::default().ulimit("-v 1200000000"));
    server.deploy("f", &guest("ok"));
    server.deploy("p3", &guest("many_p3"));
    assert_eq!((server.call("f").text(), server.call("p3").text()), ("ok".to_owned(), "ok".to_owned()));
    for text in ["allows less than was configured", "limits in force", "address_bytes=1228800000000"] {
        eventually(text, || server.log().contains(text));
    }
    drop(server);
    for (limit, texts) in [
        ("-v 20000000", ["bytes of address space", "ulimit -v"]),
        ("-n 100", ["allows 100 file descriptors", "ulimit -n"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let script = format!("ulimit {limit} && exec \"$0\" serve --data-dir \"$1\"");
        let data = dir.path().join("data");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_spawnpoint")]).arg(&data);
        let output = shell.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let said = Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
        fails(&said, 1, &texts);
        assert!(!data.exists(), "nothing was begun");
    }
}

#[test]
fn each_thread_that_answers_has_a_core_of_its_own_and_no_other_thread_has() {
    // Not the available parallelism: that knows quotas, too.
    let cores =
        rustix::thread::sched_getaffinity(None).expect("the cores of this process").count().to_string();
    let all = |server: &Server| {
        server.deploy("f", &guest("ok"));
        assert_eq!(server.call("f").text(), "ok");
        server.cores_of_threads().into_iter().partition::<Vec<_>, _>(|(name, _)| name.starts_with("worker-"))
    };
    let server = Server::with(Config::default().flag("--threads", &cores));
    let (workers, others) = all(&server);
    let mut own: Vec<_> = workers.into_iter().map(|(_, cores)| cores).collect();
    own.sort_unstable();
    own.dedup();
    assert_eq!(own.len().to_string(), cores, "{own:?}");
    assert!(own.iter().all(|core| core.parse::<usize>().is_ok()), "{own:?}");
    let roam = |others: Vec<(String, String)>| {
        let first = others.first().expect("other threads").1.clone();
        assert!(others.iter().all(|(_, cores)| *cores == first), "{others:?}");
        first
    };
    let wherever = roam(others);

    let server = Server::with(Config::default().flag("--threads", &cores).toml("pin_threads = \"off\"\n"));
    let (workers, others) = all(&server);
    assert_eq!(roam(workers), wherever);
    assert_eq!(roam(others), wherever);
}

#[test]
fn the_threads_that_answer_come_before_those_that_administer_and_those_before_heavy_ones() {
    let server = Server::start();
    server.deploy("f", &guest("ok"));
    let all = server.nice_of_threads();
    let nice = |name: &str| {
        let is = |thread: &str| thread.strip_prefix(name).is_some_and(|rest| !rest.starts_with("relief"));
        let those: Vec<i32> = all.iter().filter(|(thread, _)| is(thread)).map(|(_, n)| *n).collect();
        assert!(!those.is_empty() && those.iter().all(|nice| *nice == those[0]), "{name}: {all:?}");
        those[0]
    };
    let first = nice("worker-");
    assert_eq!((nice("epochs"), nice("accept")), (first, first));
    // Before everybody else's, where that is allowed and nobody has chosen.
    let allowed = std::thread::spawn(|| rustix::process::setpriority_process(None, -5).is_ok()).join();
    let expected = match (own_nice(), allowed.expect("a thread")) {
        (0, true) => -5,
        (own, _) => own,
    };
    assert_eq!(first, expected, "{all:?}");
    assert!(server.log().contains(&format!("nice={first} ")), "it is said");
    for administers in ["control", "storage-"] {
        assert!(nice(administers) > first, "{all:?}");
        assert!(nice("heavy-relief-") > nice(administers), "{all:?}");
    }
    assert!(nice("heavy-") > nice("heavy-relief-"), "{all:?}");
}

#[test]
fn threads_that_answer_are_like_any_other_where_the_operator_wants_that() {
    let lowest = |config: Config| {
        let server = Server::with(config);
        server.deploy("f", &guest("ok"));
        let all = server.nice_of_threads();
        let lowest = all.iter().map(|(_, nice)| *nice).min().expect("threads");
        assert!(all.iter().any(|(name, nice)| name.starts_with("worker-") && *nice == lowest), "{all:?}");
        lowest
    };
    let own = own_nice();
    assert_eq!(lowest(Config::default().toml("nice = 0\n")), own);
    // Whoever starts a server as one that steps back wants it to.
    let nicer = std::thread::spawn(move || {
        let nicer = if own == -3 { 1 } else { own + 3 };
        rustix::process::setpriority_process(None, nicer).expect("a thread may always step back");
        assert_eq!(lowest(Config::default()), nicer);
    });
    nicer.join().expect("a server that steps back");
}

/// Whether threads started by this one may have real-time priority.
fn real_time_is_given() -> bool {
    use thread_priority::{RealtimeThreadSchedulePolicy, ThreadSchedulePolicy, unix};
    let tried = std::thread::spawn(|| {
        let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
        let priority =
            2_u8.try_into().map(thread_priority::ThreadPriority::Crossplatform).expect("a priority");
        unix::set_thread_priority_and_policy(thread_priority::thread_native_id(), priority, policy).is_ok()
    });
    own_nice() == 0 && tried.join().expect("a thread")
}

/// The real-time priorities of the threads that answer, and of the one that looks after guests that loop.
fn precedences(server: &Server) -> (Vec<i32>, i32) {
    let all = server.real_time_of_threads();
    let others = all.iter().filter(|(name, _)| !name.starts_with("worker-") && name != "epochs");
    // But for those of the heavy lane, for a moment, and after them.
    let may = |name: &str, priority: i32| priority == 0 || name.starts_with("heavy-") && priority == 1;
    assert!(others.clone().all(|(name, priority)| may(name, *priority)), "nobody else has any: {all:?}");
    let workers = all.iter().filter(|(name, _)| name.starts_with("worker-")).map(|(_, n)| *n).collect();
    let epochs = all.iter().find(|(name, _)| name == "epochs").expect("the epoch thread").1;
    (workers, epochs)
}

#[test]
fn threads_that_answer_come_before_everybody_only_while_they_sleep_and_are_reviewed() {
    let server = Server::with(Config::default().flag("--threads", "2"));
    server.deploy("f", &guest("ok"));
    let given = real_time_is_given();
    assert!(server.log().contains(&format!("real_time={given} ")), "it is said");
    let (first, reviewer) = if given { (2, 3) } else { (0, 0) };
    let has = |wanted: i32| {
        assert_eq!(server.call("f").text(), "ok");
        let (workers, epochs) = precedences(&server);
        assert_eq!(epochs, reviewer);
        workers.iter().all(|priority| *priority == wanted)
    };
    eventually("a call now and then: they have it", || has(first));

    // Requests that wait in their sockets: neither thread sleeps, and a guest in the heavy lane keeps the reviews going.
    server.deploy_with("spin", &guest("spin"), r#"{"limits": {"cpu_ms": 60000, "wall_ms": 290000}}"#);
    let mut spins = Raw::connect(server.ingress);
    spins.send("GET /default/spin/ HTTP/1.1\r\nhost: localhost\r\n\r\n");
    eventually("it spins, and they have it", || has(first));
    let stop = AtomicBool::new(false);
    let mut without = [!given; 2];
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| without_a_pause(&server, &stop));
        }
        let busy = || {
            let (workers, _) = precedences(&server);
            without.iter_mut().zip(workers).for_each(|(seen, priority)| *seen |= priority == 0);
            without == [true; 2]
        };
        let busy =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| eventually("busy: they lose it", busy)));
        stop.store(true, Ordering::Relaxed);
        busy.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    eventually("they sleep again: they have it", || has(first));
    drop(spins);
    eventually("nobody calls: nobody reviews, and nobody has it", || precedences(&server).0 == [0, 0]);
}

/// Has many requests wait in one connection until told to stop.
fn without_a_pause(server: &Server, stop: &AtomicBool) {
    let many = "GET /default/none HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(500);
    let mut sends = TcpStream::connect(server.ingress).expect("a connection");
    let mut reads = sends.try_clone().expect("both directions");
    std::thread::scope(|scope| {
        scope.spawn(move || std::io::copy(&mut reads, &mut std::io::sink()));
        while !stop.load(Ordering::Relaxed) && sends.write_all(many.as_bytes()).is_ok() {}
        let _ = sends.shutdown(Shutdown::Both);
    });
}

#[test]
fn no_thread_has_real_time_priority_where_the_operator_wants_that() {
    let server = Server::with(Config::default().toml("real_time = \"off\"\n"));
    server.deploy("f", &guest("ok"));
    assert!(server.log().contains("real_time=false "), "it is said");
    let until = Instant::now() + Duration::from_millis(100);
    while Instant::now() < until {
        assert_eq!(server.call("f").text(), "ok");
        let (workers, epochs) = precedences(&server);
        assert!(epochs == 0 && workers.iter().all(|priority| *priority == 0));
    }
}

/// Where whoever started the tests has put them.
fn own_nice() -> i32 {
    rustix::process::getpriority_process(None).expect("the nice value of this thread")
}
