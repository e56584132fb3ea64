//! Things by name, in shards that copies share: who changes one thing copies its shard, and a pointer to each other one.
//! Must never change what a copy made before sees.

#[cfg(test)]
mod tests;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, LazyLock};

/// What has a name.
pub(super) trait Named {
    /// The name.
    fn name(&self) -> &str;
}

/// Things by name. A hash map that is copied for each change would cost each deploy as much as there are functions.
#[derive(Debug)]
pub(super) struct Shards<T> {
    /// None, or a power of two of them.
    shards: Vec<Shard<T>>,
    count: usize,
}

/// Each with the hash of its name, in no order.
type Shard<T> = Arc<Vec<(u64, Arc<T>)>>;

/// Things in one shard on average, before there are twice as many shards: a line or two of a cache, and as cheap to copy.
const FULL: usize = 8;

/// Tenants choose names, so that nobody may know which of them meet.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl<T> Default for Shards<T> {
    fn default() -> Self {
        Self { shards: Vec::new(), count: 0 }
    }
}

impl<T> Clone for Shards<T> {
    fn clone(&self) -> Self {
        Self { shards: self.shards.clone(), count: self.count }
    }
}

impl<T: Named> Shards<T> {
    /// The thing of this name.
    #[must_use]
    pub(super) fn get(&self, name: &str) -> Option<&Arc<T>> {
        let hash = HASHER.hash_one(name);
        let shard = self.shards.get(self.place(hash))?;
        shard.iter().find(|(of, thing)| *of == hash && thing.name() == name).map(|(_, thing)| thing)
    }

    /// Every thing, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.shards.iter().flat_map(|shard| shard.iter().map(|(_, thing)| thing))
    }

    /// How many there are.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Puts a thing in place of the one of the same name, and gives that one back.
    pub(super) fn insert(&mut self, thing: Arc<T>) -> Option<Arc<T>> {
        let hash = HASHER.hash_one(thing.name());
        let old = self.take(hash, thing.name());
        if self.count == self.shards.len() * FULL {
            self.grow();
        }
        self.add(hash, thing);
        old
    }

    /// Takes a thing out.
    pub(super) fn remove(&mut self, name: &str) -> Option<Arc<T>> {
        self.take(HASHER.hash_one(name), name)
    }

    fn place(&self, hash: u64) -> usize {
        // Their number is a power of two; of none, this is none.
        usize::try_from(hash & (self.shards.len() as u64).wrapping_sub(1)).unwrap_or(usize::MAX)
    }

    fn take(&mut self, hash: u64, name: &str) -> Option<Arc<T>> {
        let place = self.place(hash);
        let shard = self.shards.get_mut(place)?;
        let at = shard.iter().position(|(of, thing)| *of == hash && thing.name() == name)?;
        self.count -= 1;
        Some(Arc::make_mut(shard).swap_remove(at).1)
    }

    fn add(&mut self, hash: u64, thing: Arc<T>) {
        let place = self.place(hash);
        if let Some(shard) = self.shards.get_mut(place) {
            let shard = Arc::make_mut(shard);
            shard.reserve_exact(1);
            shard.push((hash, thing));
            self.count += 1;
        }
    }

    fn grow(&mut self) {
        let more = (self.shards.len() * 2).max(1);
        let empty = Shard::default();
        let all = std::mem::replace(&mut self.shards, vec![empty; more]);
        self.count = 0;
        for (hash, thing) in all.iter().flat_map(|shard| shard.iter()) {
            self.add(*hash, thing.clone());
        }
    }
}
