//! Settings: what is refused, and that the refusal says what would do.

use super::{Flags, RawSettings};
use crate::model::version::Tier;

fn read(text: &str) -> Result<super::Settings, String> {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path = dir.path().join("settings.toml");
    std::fs::write(&path, text).map_err(|e| e.to_string())?;
    let flags = Flags { config: Some(path), ..Flags::default() };
    flags.resolve().map_err(|error| {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    })
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    let error = read("[server]\nconections = 5\n").unwrap_err();
    assert!(error.contains("conections"), "{error}");
}

#[test]
fn a_value_out_of_range_is_refused_with_what_is_allowed() {
    let error = read("[server]\nconnections = 0\n").unwrap_err();
    assert!(error.contains("`server.connections` is `0`: allowed is 1 to 1000000"), "{error}");
    let error = read("[limits]\ncpu_ms = 1000\nwall_ms = 1000\n").unwrap_err();
    assert!(error.contains("limits.wall_ms"), "{error}");
    let error = read("base_domain = \"Example.org\"\n").unwrap_err();
    assert!(error.contains("lower-case domain name"), "{error}");
}

#[test]
fn a_flag_wins_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("settings.toml");
    std::fs::write(&path, "listen = \"127.0.0.1:1\"\nthreads = 3\n").unwrap();
    let listen = Some("127.0.0.1:2".parse().unwrap());
    let flags = Flags { config: Some(path), listen, ..Flags::default() };
    let settings = flags.resolve().unwrap();
    assert_eq!((settings.listen.port(), settings.threads.count), (2, 3));
}

#[test]
fn the_defaults_are_valid() {
    assert!(Flags::default().resolve().is_ok());
    assert_eq!(RawSettings::default().server.connections, 10_000);
}

#[test]
fn what_the_document_shows_is_what_is_built_in() {
    let text = include_str!("../../docs/settings.md");
    let (_, rest) = text.split_once("```toml\n").unwrap();
    let (shown, _) = rest.split_once("```").unwrap();
    let (raw, built_in): (RawSettings, _) = (toml::from_str(shown).unwrap(), RawSettings::default());
    assert_eq!(raw.server, built_in.server);
    assert_eq!(raw.limits, built_in.limits);
    assert_eq!(raw.tenant, built_in.tenant);
    assert_eq!(raw.breaker, built_in.breaker);
    assert_eq!(raw.fast_tier, Some(true));
    let unset = crate::model::limits::Limits { cpu_ms: 1, ..built_in.limits };
    let ceiling = raw.ceiling.unwrap().resolve(&unset, &crate::model::limits::Limits::default_ceiling());
    assert_eq!(ceiling, Ok(crate::model::limits::Limits::default_ceiling()));
}

#[test]
fn the_manifest_that_the_document_shows_is_one_and_leaves_nothing_out() {
    let text = include_str!("../../docs/settings.md");
    let shown = text.split("```toml\n").nth(2).and_then(|rest| rest.split("```").next()).unwrap();
    let manifest: crate::model::manifest::Manifest = toml::from_str(shown).unwrap();
    assert_eq!(manifest.check(), Ok(()));
    let written = serde_json::to_value(&manifest).unwrap();
    let keys: Vec<_> = written.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["breaker", "limits", "retry", "reuse", "server_timing", "variables"]);
    assert!(manifest.retry.is_some_and(|retry| retry.enabled));
}

#[test]
fn a_tenant_may_have_a_quota_of_its_own() {
    let settings = read("[tenant]\nweight = 2\n[tenants.acme]\nrequests_per_second = 5\n").unwrap();
    let of = |name: &str| settings.quotas.of(&name.parse().unwrap());
    assert_eq!((of("acme").requests_per_second, of("acme").weight), (5, 1));
    assert_eq!((of("other").requests_per_second, of("other").weight), (0, 2));
    assert!(read("[tenants.Acme]\n").unwrap_err().contains("DNS label"));
    assert!(read("[tenant]\nweight = 0\n").unwrap_err().contains("tenant.weight"));
    assert!(read("[breaker]\nratio_percent = 101\n").unwrap_err().contains("breaker.ratio_percent"));
}

#[test]
fn a_deploy_is_compiled_quickly_first_unless_the_operator_says_otherwise() {
    assert_eq!(read("").unwrap().first_tier, Tier::Fast);
    assert_eq!(read("fast_tier = true\n").unwrap().first_tier, Tier::Fast);
    assert_eq!(read("fast_tier = false\n").unwrap().first_tier, Tier::Speed);
}

#[test]
fn threads_have_cores_of_their_own_unless_the_operator_says_off() {
    assert!(read("").unwrap().threads.pinned);
    assert!(!read("pin_threads = \"off\"\n").unwrap().threads.pinned);
}

#[test]
fn threads_that_answer_step_forward_as_far_as_the_operator_says_and_never_back() {
    assert_eq!(read("").unwrap().threads.nice, -5);
    assert_eq!(read("nice = 0\n").unwrap().threads.nice, 0);
    for wrong in ["nice = 1\n", "nice = -11\n"] {
        assert!(read(wrong).unwrap_err().contains("-10 to 0"), "{wrong}");
    }
}

#[test]
fn threads_that_answer_may_have_real_time_priority_unless_the_operator_says_off() {
    assert!(read("").unwrap().threads.real_time);
    assert!(!read("real_time = \"off\"\n").unwrap().threads.real_time);
}

#[test]
fn pages_are_scanned_unless_the_operator_says_off() {
    assert!(read("").unwrap().after_use.scan_pages);
    assert!(read("scan_pages = \"auto\"\n").unwrap().after_use.scan_pages);
    assert!(!read("scan_pages = \"off\"\n").unwrap().after_use.scan_pages);
    assert!(read("").unwrap().after_use.reset_instances);
    assert!(!read("reset_instances = \"off\"\n").unwrap().after_use.reset_instances);
    assert!(read("scan_pages = \"on\"\n").unwrap_err().contains("expected `auto` or `off`"));
}
