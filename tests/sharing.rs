//! Many functions of few programs: what they share, what they do not, and what stays in memory.
//! Must never take for shared what is only as large.

use std::time::Duration;

use crate::support::wasm::stamped;
use crate::support::{Config, Server, eventually, get, guest};

/// The maps of the process, as the kernel tells them.
fn maps(server: &Server) -> String {
    std::fs::read_to_string(format!("/proc/{}/maps", server.pid())).expect("the maps of a child")
}

/// Artifacts whose code is mapped, each as often as it is. Slots keep maps of the data that they began with last.
fn mapped(server: &Server) -> Vec<String> {
    let maps = maps(server);
    let code = maps.lines().filter(|line| line.contains(" r-xp ") && line.contains(".cwasm"));
    code.filter_map(|line| line.split_whitespace().find(|word| word.contains(".cwasm")).map(str::to_owned))
        .collect()
}

/// Artifacts whose file is open.
fn open(server: &Server) -> usize {
    let entries = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("the files of a child");
    let names = entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    names.filter(|name| name.to_string_lossy().contains(".cwasm")).count()
}

#[test]
fn two_tenants_that_deploy_the_same_wasm_share_one_mapping_and_see_nothing_of_each_other() {
    let server = Server::with(Config::default().toml("threads = 1\n[server]\ninstances = 8"));
    let wasm = guest("env_echo");
    let mut seen = vec![];
    for tenant in ["one", "other"] {
        server.tenant(tenant);
        let manifest = format!(r#"{{"variables": {{"WHO": "{tenant}"}}}}"#);
        assert_eq!(server.upload_with(tenant, "f", &wasm, &manifest).status, 201);
        assert_eq!(server.upload_with(tenant, "canary", &guest("canary"), "{}").status, 201);
        server.optimised();
        seen.push((mapped(&server), open(&server)));
    }
    assert_eq!(seen[0], seen[1], "the second tenant adds no map and no file");
    assert_eq!(seen[0].0.len(), 2, "one for each program: {seen:?}");
    for n in 0..200 {
        for (tenant, neighbour) in [("one", "other"), ("other", "one")] {
            let text = get(server.ingress, &format!("/{tenant}/f/")).text();
            assert!(text.contains(&format!("WHO={tenant}")), "at {n}: {text}");
            assert!(!text.contains(neighbour), "at {n}: {text}");
            let canary = get(server.ingress, &format!("/{tenant}/canary/?pages=20"));
            assert_eq!((canary.status, canary.text().as_str()), (200, "clean"), "at {n}");
        }
    }
    assert_eq!((mapped(&server), open(&server)), seen[1]);
    let gone = server.admin("DELETE", "/v1/tenants/one", &[], &[]);
    assert_eq!(gone.status, 204, "{}", gone.text());
    assert!(
        get(server.ingress, "/other/f/").text().contains("WHO=other"),
        "what one lets go of stays the other's"
    );
}

#[test]
fn what_is_in_memory_is_not_compiled_again_for_another_function() {
    let server = Server::start();
    let compiled = |answer: &crate::support::Answer| answer.json()["timings"]["compile_ms"].as_u64().unwrap();
    assert!(
        compiled(&server.deploy("first", &guest("ok"))) > 0,
        "a debug build takes long enough to be seen"
    );
    let second = server.deploy("second", &guest("ok"));
    assert_eq!((second.status, compiled(&second)), (201, 0));
    assert_eq!(server.call("second").text(), "ok");
    assert!(compiled(&server.deploy("third", &stamped(&guest("ok"), "else"))) > 0);
}

#[test]
fn a_hundred_functions_of_one_program_take_the_maps_and_files_of_one() {
    let server = Server::with(Config::default().toml("threads = 1"));
    let wasm = guest("ok");
    server.deploy("f0", &wasm);
    assert_eq!(server.call("f0").text(), "ok");
    server.optimised();
    let (map, file, all) = (mapped(&server), open(&server), maps(&server).lines().count());
    for nth in 1..100 {
        server.deploy(&format!("f{nth}"), &wasm);
    }
    for nth in 0..100 {
        assert_eq!(server.call(&format!("f{nth}")).text(), "ok");
    }
    assert_eq!((mapped(&server), open(&server)), (map, file));
    // Their instances take turns in a few slots.
    let more = maps(&server).lines().count().saturating_sub(all);
    assert!(more < 100, "{more} maps more");
}

#[test]
fn of_too_many_programs_the_coldest_are_unloaded_with_all_that_run_them() {
    let server = Server::with(Config::default().toml("threads = 1\n[server]\nloaded_programs = 2"));
    for program in 0..5 {
        for copy in ["a", "b"] {
            server.deploy(&format!("f{program}-{copy}"), &stamped(&guest("ok"), program));
        }
    }
    for both in ["f1-a", "f1-b"] {
        assert_eq!(server.call(both).text(), "ok");
    }
    // Of the program that is called, one function alone is from now on: the other one stays with it.
    eventually("the coldest are unloaded", || {
        for _ in 0..20 {
            let answer = server.call("f1-a");
            assert_eq!(answer.text(), "ok");
            assert_ne!(answer.header("x-spawnpoint-start"), "cold", "what is called stays");
            std::thread::sleep(Duration::from_millis(10));
        }
        mapped(&server).len() <= 2
    });
    assert_ne!(server.call("f1-b").header("x-spawnpoint-start"), "cold");
    assert_eq!(server.call("f0-a").header("x-spawnpoint-start"), "cold", "the first deployed is the coldest");
    assert_eq!(server.call("f0-a").text(), "ok");
}
