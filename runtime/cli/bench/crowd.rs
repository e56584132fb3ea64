//! Many copies of one function under a tenant that lives as long as the run, and what calling them all costs against
//! calling one. Must never touch another tenant.

use std::cell::Cell;
use std::time::Instant;

use futures_util::{StreamExt as _, stream};
use http::Method;
use http::Uri;
use http::header::HeaderValue;
use serde_json::Value;

use super::subject::{Upload, reach};
use super::{BenchArgs, BenchError, Stop, observed, pending, progress};
use crate::admin::wire::{Deployed, Tenant};
use crate::bench::load::{Measured, Plan};
use crate::bench::report::{CrowdReport, LoadReport};
use crate::bench::salt;
use crate::cli::client::{Call, Client, ClientError, Payload};
use crate::cli::{deploy, form, invoke, print};
use crate::model::name::TenantName;

/// A tenant of this run's own.
pub(super) struct Guests {
    client: Client,
    tenant: TenantName,
    /// What makes the copies of this run different from those of any other.
    salt: u64,
}

/// Deploys that are under way at once; the server compiles as many as it wants.
const AT_ONCE: usize = 4;

impl Guests {
    /// Makes the tenant.
    pub(super) async fn create(client: Client) -> anyhow::Result<Self> {
        let salt =
            getrandom::u32().map_err(|error| anyhow::anyhow!("the system has no random bytes: {error}"))?;
        let tenant: TenantName = format!("bench-{salt:08x}").parse()?;
        print::note(&format!("deploying for the time of this run, as tenant {tenant}"));
        let made = client.call::<Tenant>(Call::new(Method::PUT, format!("/v1/tenants/{tenant}"))).await;
        let guests = Self { client, tenant, salt: u64::from(salt) << 32 };
        match made {
            Ok(_) => Ok(guests),
            Err(error) => {
                // It may have been made all the same, by an answer that was lost.
                drop(guests.remove().await);
                Err(error)
            }
        }
    }

    /// Where the admin API has one of its functions.
    pub(super) fn path(&self, function: &str) -> String {
        format!("/v1/tenants/{}/functions/{function}", self.tenant)
    }

    /// Deploys a function: as it was uploaded, or the copy of this number.
    pub(super) async fn deploy(
        &self,
        function: &str,
        upload: &Upload,
        copy: Option<u32>,
    ) -> anyhow::Result<Deployed> {
        let salt = copy.map(|copy| salt::section(self.salt | u64::from(copy))).unwrap_or_default();
        let add = |payload: Payload| payload.bytes(upload.wasm.clone()).bytes(salt);
        let (payload, content_type) = match &upload.manifest {
            Some(manifest) => form::around(manifest, add)?,
            None => (add(Payload::default()), HeaderValue::from_static("application/wasm")),
        };
        let mut call = Call::new(Method::PUT, self.path(function));
        call.patience = deploy::PATIENCE;
        call.content_type = Some(content_type);
        call.payload = payload;
        self.client.call(call).await
    }

    /// Removes the tenant and all that is its.
    pub(super) async fn remove(self) -> anyhow::Result<()> {
        let mut call = Call::new(Method::DELETE, format!("/v1/tenants/{}", self.tenant));
        call.patience = deploy::PATIENCE;
        match self.client.call::<Value>(call).await {
            Ok(_) => Ok(()),
            Err(error) => match error.downcast_ref() {
                Some(ClientError::Refused { code, .. }) if code == "no_such_tenant" => Ok(()),
                _ => Err(BenchError::LeftOver { tenant: self.tenant, source: error.into() }.into()),
            },
        }
    }
}

/// Deploys the copies and calls one of them, all, all, and the one again: what drifts meanwhile counts for both alike.
/// Nothing if it was ended before there was a figure of either.
pub(super) async fn compare(
    args: &BenchArgs,
    (guests, upload, functions, distinct): (&Guests, &Upload, u32, u32),
    stop: &mut Stop,
) -> anyhow::Result<Option<CrowdReport>> {
    let began = Instant::now();
    let urls = deploy_all(guests, (upload, functions, distinct), (&args.path, stop)).await?;
    let deploy_seconds = began.elapsed().as_secs_f64();
    pending::wait(&guests.client, distinct, stop).await;
    if stop.is_set() {
        return Ok(None);
    }
    let plan =
        Plan { lasts: args.lasts() / 2, zipf: args.zipf, ..args.plan(reach(&urls, args.timeout).await?) };
    let mut only = plan.clone();
    only.target.paths.truncate(1);
    let mut sums: [Option<Measured>; 2] = [None, None];
    for (sum, plan, what) in [
        (0, &only, "one function"),
        (1, &plan, "all functions"),
        (1, &plan, "all functions"),
        (0, &only, "one function"),
    ] {
        if stop.is_set() {
            break;
        }
        let measured = observed(plan, what, stop).await?;
        match &mut sums[sum] {
            Some(sum) => sum.merge(&measured),
            none => *none = Some(measured),
        }
    }
    let [Some(one), Some(all)] = sums else { return Ok(None) };
    let (one, all) = (LoadReport::new(&only, &one), LoadReport::new(&plan, &all));
    Ok(Some(CrowdReport {
        tenant: guests.tenant.to_string(),
        functions: urls.len(),
        distinct_modules: distinct as usize,
        zipf: args.zipf,
        deploy_seconds,
        relative_rate: all.answered_per_second / one.answered_per_second.max(1e-9),
        one,
        all,
        removed: false,
    }))
}

/// Deploys the copies; where each answers, in order of their numbers.
async fn deploy_all(
    guests: &Guests,
    (upload, functions, distinct): (&Upload, u32, u32),
    (path, stop): (&str, &Stop),
) -> anyhow::Result<Vec<Uri>> {
    let bar = progress::counted("deploying", u64::from(functions))?;
    let failed = Cell::new(false);
    let numbers = (0..functions).take_while(|_| !stop.is_set() && !failed.get());
    let deploys = stream::iter(numbers).map(|number| async move {
        let deployed = guests.deploy(&format!("copy-{number}"), upload, Some(number % distinct)).await?;
        // All in the form that one server name is enough for.
        invoke::below(&deployed.urls.path, path)
    });
    let mut deploys = deploys.buffered(AT_ONCE);
    let mut urls = Ok(Vec::new());
    // Those that are under way are waited for: the tenant is not removed below them.
    while let Some(deployed) = deploys.next().await {
        match (&mut urls, deployed) {
            (Ok(urls), Ok(url)) => urls.push(url),
            (Ok(_), Err(error)) => {
                failed.set(true);
                urls = Err(error);
            }
            (Err(_), _) => {}
        }
        bar.one();
    }
    bar.end();
    urls
}
