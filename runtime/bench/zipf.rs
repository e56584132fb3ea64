//! Which of many is asked next, if the n-th is asked for less often than the first by n to the power of an exponent.
//! Must never be used for anything that must not be guessed.

/// A sampler; the same seed gives the same sequence.
#[derive(Clone, Debug)]
pub struct Zipf {
    /// The chance of this one or one before it, of 2^32.
    up_to: Vec<u64>,
    random: u64,
}

impl Zipf {
    /// Of so many (of none: one); an exponent of 0 asks for all alike.
    #[must_use]
    pub fn new(count: usize, exponent: f64, seed: u64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^52")]
        let weights: Vec<f64> = (1..=count.max(1)).map(|rank| (rank as f64).powf(-exponent)).collect();
        let sum: f64 = weights.iter().sum();
        let mut so_far = 0.0;
        let up_to = weights.iter().map(|weight| {
            so_far += weight;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 2^32")]
            let share = (so_far / sum * 4_294_967_296.0) as u64;
            share
        });
        Self { up_to: up_to.collect(), random: 0x9e37_79b9_7f4a_7c15 ^ seed.wrapping_add(1) }
    }

    /// The next one.
    pub fn pick(&mut self) -> usize {
        if self.up_to.len() == 1 {
            return 0;
        }
        // xorshift64: good enough for choosing, and a nanosecond.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let random = self.random >> 32;
        self.up_to.partition_point(|up_to| *up_to <= random).min(self.up_to.len() - 1)
    }
}
