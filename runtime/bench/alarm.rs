//! A clock that wakes a load to the microsecond: the runtime's own timers come a millisecond late, which is longer than
//! most answers take. Must never spin: the server that is measured may have to share the core.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// One alarm, for one who waits.
#[derive(Debug)]
pub struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    /// On the calling runtime.
    ///
    /// # Errors
    /// When the operating system gives none.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(
            deprecated,
            reason = "an `OwnedFd` stays the same descriptor, which its successor has one swear to"
        )]
        let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
        Ok(Self(timer))
    }

    /// Waits so long; for no time at all, it lets others run.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn wait(&self, time: Duration) -> io::Result<()> {
        if time.is_zero() {
            tokio::task::yield_now().await;
            return Ok(());
        }
        let (never, once) = (Timespec { tv_sec: 0, tv_nsec: 0 }, Timespec::try_from(time));
        let once = once.map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let set = Itimerspec { it_interval: never, it_value: once };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &set)?;
        loop {
            let mut ready = self.0.readable().await?;
            let rang = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0; 8])?));
            if let Ok(rang) = rang {
                // It rings once for each time it is set.
                ready.clear_ready();
                return rang.map(drop);
            }
        }
    }
}
