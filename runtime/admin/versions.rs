//! Versions as a list. Must never show the wasm itself, nor where it is kept.

use std::sync::Arc;

use axum::extract::State;

use super::functions::{breaker, find};
use super::json::Json;
use super::names::FunctionPath;
use super::paging::Page;
use super::problem::Refusal;
use super::state::Admin;
use super::wire::{Problem, Version, Versions};
use crate::catalog;
use crate::deploy::pipeline::Policy;
use crate::deploy::standing::Standing;
use crate::model::version::VersionNumber;

/// List a function's versions
#[utoipa::path(
    get,
    path = "/v1/tenants/{tenant}/functions/{function}/versions",
    operation_id = "list_versions",
    tag = "functions",
    params(
        ("tenant" = String, Path, description = "Whose function."),
        ("function" = String, Path, description = "Which function."),
        Page,
    ),
    responses(
        (status = 200, description = "A page, oldest first", body = Versions),
        (status = "default", description = "It was not done", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    path: FunctionPath,
    page: Page,
) -> Result<Json<Versions>, Refusal> {
    let (catalog, policy) = (&admin.deployer.catalog, admin.deployer.policy());
    let function = find(&admin, &path).await?;
    let standings = admin.deployer.standings(&path.tenant, &path.function);
    let after = page.after::<Number>()?.map(|Number(number)| number);
    let page_of =
        async |after, limit| catalog.list_versions(&path.tenant, &path.function, after, limit).await;
    let found = page_of(after, page.limit).await?;
    let last = found.last().map(|version| version.number);
    let next = page.next(last.as_ref(), found.len(), async |last| page_of(Some(*last), 1).await).await?;
    let tiers = admin.deployer.tiers(&path.tenant, &path.function, &found).await;
    let versions = found.iter().zip(tiers);
    let broken = admin.deployer.broken(&path.tenant, &path.function);
    let versions = versions.map(|(version, tier)| {
        let load_failed = broken.contains(&version.number);
        Version { load_failed, tier, ..shown(version, &function, policy, &standings) }
    });
    Ok(Json(Versions { versions: versions.collect(), next }))
}

/// A version's number in a cursor.
struct Number(VersionNumber);

impl std::str::FromStr for Number {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(VersionNumber(text.parse()?)))
    }
}

fn shown(
    version: &catalog::Version,
    function: &catalog::Function,
    policy: &Policy,
    standings: &[(VersionNumber, Standing)],
) -> Version {
    let own = standings.iter().find(|(number, _)| *number == version.number);
    Version {
        version: version.number,
        digest: version.digest.to_string(),
        size_bytes: version.size_bytes,
        handler: version.handler,
        manifest: version.manifest.clone(),
        limits: version.manifest.limits.clamp(&policy.defaults, &policy.ceiling),
        active: function.is_active(version.number),
        breaker: own.map(|(_, standing)| breaker(*standing)),
        load_failed: false,
        tier: None,
        created_ms: version.created_ms,
    }
}
