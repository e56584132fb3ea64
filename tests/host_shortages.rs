//! The machine has too little, or somebody else has it: a full disk, no descriptor, a file too large, a lock that is
//! taken. As in `host_faults`, but for real. Must never leave a mount behind.

use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::support::faults::{AGAIN, FULL, HOST, LOCKED, is_problem, serving, undisturbed};
use super::support::wasm::stamped;
use super::support::{Config, Raw, Server, guest};

#[test]
fn a_file_that_nobody_may_read_is_compiled_again() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut server = serving();
    server.deploy("f", &guest("ok"));
    server.optimised();
    server.kill();
    for artifact in server.artifacts() {
        std::fs::set_permissions(artifact, std::fs::Permissions::from_mode(0o000)).unwrap();
    }
    server.start_again();
    // To root there is no such file: it reads it, and the seal is right.
    assert_eq!(server.call("f").text(), "ok");
    assert_eq!(server.call("steady").status, 200);
}

#[test]
fn a_catalog_locked_by_another_process_is_named_within_a_bound() {
    let server = serving();
    let lock = rusqlite::Connection::open(server.data_dir().join("catalog.db")).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    undisturbed(&server, || {
        // Each of these waiting for its own turn would outlast the patience of its client.
        std::thread::scope(|scope| {
            for n in 0..16 {
                let server = &server;
                scope.spawn(move || {
                    let answer = server.admin("PUT", &format!("/v1/tenants/t{n}"), &[], &[]);
                    is_problem(&answer, LOCKED, "a tenant");
                    assert_eq!(answer.header("retry-after"), "1");
                });
            }
            let answer = server.upload("f", &guest("ok"));
            is_problem(&answer, LOCKED, "a deploy");
        });
        assert_eq!(server.shown("steady").status, 200, "reading goes on");
        assert_eq!(server.call("f").code(), "no_route");
    });
    lock.execute_batch("ROLLBACK").unwrap();
    assert_eq!(server.deploy("f", &guest("ok")).status, 201);
    assert_eq!(server.call("f").text(), "ok");
}

/// Sets a limit of a running process; what it was before.
fn limit(server: &Server, resource: Resource, most: Option<u64>) -> Rlimit {
    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap());
    let before = rustix::process::getrlimit(resource);
    let maximum = before.maximum;
    prlimit(pid, resource, Rlimit { current: most.or(before.current), maximum }).expect("our own child")
}

#[test]
fn a_server_out_of_descriptors_goes_on_with_what_it_has() {
    let server = serving();
    let mut kept = Raw::connect(server.ingress);
    assert_eq!(kept.get("/default/steady/").unwrap().status, 200);
    let mut admin = Raw::connect(server.admin);
    assert_eq!(admin.get("/livez").unwrap().status, 200);
    let before = limit(&server, Resource::Nofile, Some(3));
    for _ in 0..20 {
        assert_eq!(kept.get("/default/steady/").unwrap().status, 200);
    }
    let wasm = guest("ok");
    let (token, path, length) = (&server.token, Server::path("f"), wasm.len());
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\ncontent-length: {length}\r\n\r\n"
    );
    let answer = admin.send(head).send(&wasm).answer().expect("an answer");
    is_problem(&answer, HOST, "a deploy without a descriptor");
    limit(&server, Resource::Nofile, before.current);
    assert_eq!(server.call("steady").status, 200);
    assert_eq!(server.deploy("f", &wasm).status, 201);
    assert!(server.half_written().is_empty());
}

#[test]
fn a_file_above_the_processs_limit_is_an_error_and_not_the_end() {
    let server = serving();
    let wasm = guest("ok");
    // What the log says from here on is lost too: it is a file.
    let before = limit(&server, Resource::Fsize, Some(16 << 10));
    let answer = undisturbed(&server, || server.upload("f", &wasm));
    is_problem(&answer, HOST, "a deploy");
    limit(&server, Resource::Fsize, Some(before.current.unwrap_or(u64::MAX)));
    assert!(server.half_written().is_empty());
    assert_eq!(server.deploy("f", &wasm).status, 201);
    assert_eq!(server.call("f").text(), "ok");
}

/// A small file system of its own; taken away when it is dropped.
struct Small(std::path::PathBuf);

impl Small {
    fn mount(path: &Path, size: &str) -> Result<Self, String> {
        std::fs::create_dir_all(path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "none"]).arg(path);
        match mount.output() {
            Ok(output) if output.status.success() => Ok(Self(path.to_owned())),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: whatever still has a file open there is being killed.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap_or(&self.0));
    }
}

#[test]
fn a_disk_that_is_really_full_refuses_deploys_by_name_and_serves_on() {
    let dir = tempfile::tempdir().unwrap();
    // Dropped last, and so after the server.
    let _small = match Small::mount(&dir.path().join("data"), "24m") {
        Ok(small) => small,
        Err(why) => return eprintln!("skipped: no file system can be mounted here: {}", why.trim()),
    };
    let mut server = Server::within(dir, Config::default());
    let wasm = guest("ok");
    server.deploy("steady", &guest("counter"));
    server.deploy("f", &stamped(&wasm, 0));
    let filler = server.data_dir().join("filler");
    // Room for less and less: each step of a deploy is the one that meets the end of it.
    let mut refused = 0;
    for (round, leave) in [0, 4 << 10, 64 << 10, 160 << 10, 512 << 10].into_iter().enumerate() {
        let mut bytes = vec![0x5a_u8; 32 << 20];
        std::fs::write(&filler, &bytes).expect_err("it is full");
        let size = std::fs::metadata(&filler).unwrap().len();
        std::fs::OpenOptions::new().write(true).open(&filler).unwrap().set_len(size - leave).unwrap();
        bytes.clear();
        let answer = undisturbed(&server, || server.upload("f", &stamped(&wasm, round + 1)));
        if answer.status != 201 {
            is_problem(&answer, FULL, &format!("with {leave} bytes left"));
            refused += 1;
        }
        assert_eq!(server.call("f").text(), "ok");
        assert!(server.half_written().is_empty());
        std::fs::remove_file(&filler).unwrap();
    }
    assert!(refused >= 3, "{refused} deploys met the end of the disk");
    assert_eq!(server.deploy("f", &stamped(&wasm, 100)).status, 201);
    let (versions, last) = (server.versions("f"), server.call("f").header("x-spawnpoint-version").to_owned());
    server.kill();
    server.start_again();
    assert_eq!((server.versions("f"), server.call("f").header("x-spawnpoint-version")), (versions, &*last));
    assert!(!server.log().contains(AGAIN), "{}", server.log());
}
