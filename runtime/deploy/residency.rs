//! How many programs stay in memory: above the cap the coldest go, off the request's path.
//! Must never unload what was called in the last second.

use super::pipeline::Deployer;
use crate::host::meter::now_ns;

/// A program called within this time stays.
const HOT_NS: u64 = 1_000_000_000;

impl Deployer {
    /// Unloads the coldest programs above the cap. Called about once a second.
    pub async fn settle(&self) {
        let most = self.policy().server.loaded_programs as usize;
        let over = self.loader.resident().saturating_sub(most);
        if over == 0 {
            return;
        }
        let routes = self.table.now().clone();
        let lives = routes.all().flat_map(|route| &route.versions).map(|(live, _)| live);
        let now = now_ns();
        let cold = |used: u64| now.saturating_sub(used) > HOT_NS;
        let mut idle: Vec<_> =
            lives.filter(|live| live.loaded().is_some() && cold(live.used_ns())).cloned().collect();
        idle.sort_unstable_by_key(|live| live.used_ns());
        // A few more than needed, so that the next load does not bring us back here at once.
        idle.truncate(over + most / 50);
        self.retire(&idle).await;
    }
}
