//! How many artifacts stay in memory: above the cap the coldest go, off the request's path.
//! Must never unload what was called in the last second.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use super::pipeline::Deployer;
use crate::host::meter::now_ns;

/// What was called within this time stays.
const HOT_NS: u64 = 1_000_000_000;

impl Deployer {
    /// Unloads the coldest artifacts above the cap, with every version that runs them. Called about once a second.
    pub async fn settle(&self) {
        let most = self.policy().server.loaded_programs as usize;
        let over = self.loader.resident().saturating_sub(most);
        if over == 0 {
            return;
        }
        let routes = self.table.now().clone();
        let lives = routes.all().flat_map(|route| &route.versions).map(|(live, _)| live);
        let loaded = lives.filter_map(|live| {
            let code = Arc::as_ptr(&live.loaded()?.code);
            Some((code.addr(), live.used_ns(), live.clone()))
        });
        // A few more than needed, so that the next load does not bring us back here at once.
        self.retire(&coldest(loaded, now_ns(), over + most / 50)).await;
    }
}

/// What runs the so many groups that nobody has called for the longest time, each group as warm as its warmest.
fn coldest<K: Eq + Hash, T>(all: impl Iterator<Item = (K, u64, T)>, now_ns: u64, groups: usize) -> Vec<T> {
    let mut by_group: HashMap<K, (u64, Vec<T>)> = HashMap::new();
    for (group, used_ns, item) in all {
        let (warmest, items) = by_group.entry(group).or_default();
        *warmest = used_ns.max(*warmest);
        items.push(item);
    }
    let is_cold = |used_ns: u64| now_ns.saturating_sub(used_ns) > HOT_NS;
    let mut cold: Vec<_> = by_group.into_values().filter(|(used_ns, _)| is_cold(*used_ns)).collect();
    cold.sort_unstable_by_key(|(used_ns, _)| *used_ns);
    cold.truncate(groups);
    cold.into_iter().flat_map(|(_, items)| items).collect()
}
