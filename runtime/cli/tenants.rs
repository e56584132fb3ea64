//! `tenants` and `tenant create|delete NAME`: who owns functions. Must never ask: scripts have nobody to answer.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::at::At;
use super::client::Call;
use super::print;
use crate::admin::wire::Tenants;
use crate::model::name::TenantName;

/// Which server's.
#[derive(Clone, Debug, Args)]
pub struct TenantsArgs {
    #[command(flatten)]
    at: At,
}

/// What is done to one.
#[derive(Clone, Debug, Args)]
pub struct TenantArgs {
    #[command(subcommand)]
    change: Change,
}

#[derive(Clone, Debug, Subcommand)]
enum Change {
    /// Create a tenant; one that exists stays as it is
    Create(One),
    /// Delete a tenant
    Delete(One),
}

/// Which tenant.
#[derive(Clone, Debug, Args)]
struct One {
    /// The tenant's name
    name: TenantName,
    #[command(flatten)]
    at: At,
}

pub(super) async fn list(args: TenantsArgs) -> anyhow::Result<ExitCode> {
    let found: Tenants = args.at.client()?.all("/v1/tenants", "tenants").await?;
    if args.at.json {
        print::json(&found)?;
    } else {
        let rows = found.tenants.into_iter();
        let rows = rows.map(|each| vec![each.tenant, print::age(each.created_ms)]);
        print::table(&["TENANT", "AGE"], rows.collect())?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn run(args: TenantArgs) -> anyhow::Result<ExitCode> {
    let (one, method, key) = match args.change {
        Change::Create(one) => (one, Method::PUT, "created"),
        Change::Delete(one) => (one, Method::DELETE, "deleted"),
    };
    let path = format!("/v1/tenants/{}", one.name);
    let _: Value = one.at.client()?.call(Call::new(method, path)).await?;
    if one.at.json {
        print::json(&json!({ "tenant": one.name, key: true }))?;
    } else {
        print::line(&format!("{key} {}", one.name))?;
    }
    Ok(ExitCode::SUCCESS)
}
