//! One client's socket, watched: when it last did something, whether it waits to be read, whether the client left.
//! Must never act on its own; `ingress/watch.rs` looks at it and decides.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::outbox::Outbox;
use crate::model::portion::LARGEST;

/// Bytes a connection may hold until its thread sends; whatever is larger is written at once.
const HELD: usize = 16 * 1024;
/// Bytes that are read in one turn, about, where others are.
pub const READ: usize = 8 * 1024;
/// Bytes of room that a connection keeps while it has nothing to send.
const KEPT: usize = 1024;

/// What is known of one connection. Shared by its socket, its requests and the watch, on one thread.
pub struct Link {
    stream: RefCell<TcpStream>,
    /// The address of the other end, as a header says it.
    pub address: HeaderValue,
    /// When the connection was accepted, or its last request ended; milliseconds of the watch's clock.
    pub quiet_since_ms: Cell<u64>,
    /// When the first byte of a head came that is not yet whole; zero when none is awaited.
    pub head_since_ms: Cell<u64>,
    /// Since when the client takes no byte of what waits to be written; zero when nothing waits.
    pub blocked_since_ms: Cell<u64>,
    /// Requests in progress.
    pub running: Cell<u32>,
    /// Whether any request was whole.
    pub used: Cell<bool>,
    /// Whether it speaks HTTP/2.
    pub http2: Cell<bool>,
    /// Bytes that may be read in this turn.
    may_read: Cell<usize>,
    cut: Cell<bool>,
    closing: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    clock: fn() -> u64,
    outbox: Rc<Outbox>,
    /// Written by the HTTP library, not yet by the kernel.
    held: RefCell<Vec<u8>>,
    /// Whether the outbox will send what is held.
    queued: Cell<bool>,
    /// Why what was held could not be sent.
    failed: Cell<Option<io::ErrorKind>>,
}

impl Link {
    /// Wraps a socket. `clock` gives milliseconds and is never zero.
    #[must_use]
    pub fn new(stream: TcpStream, peer: IpAddr, clock: fn() -> u64, outbox: Rc<Outbox>) -> Rc<Self> {
        Rc::new(Self {
            stream: RefCell::new(stream),
            address: HeaderValue::from_str(&peer.to_canonical().to_string())
                .unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            quiet_since_ms: Cell::new(clock()),
            head_since_ms: Cell::new(0),
            blocked_since_ms: Cell::new(0),
            running: Cell::new(0),
            used: Cell::new(false),
            http2: Cell::new(false),
            may_read: Cell::new(usize::MAX),
            cut: Cell::new(false),
            closing: Cell::new(false),
            waker: RefCell::default(),
            clock,
            outbox,
            held: RefCell::default(),
            queued: Cell::new(false),
            failed: Cell::new(None),
        })
    }

    /// The connection has its turn, which ends after so many bytes: what they ask for may take far longer than to read them.
    pub fn may_read(&self, bytes: usize) {
        self.may_read.set(bytes);
    }

    /// Whether there may be more to read than it might.
    #[must_use]
    pub fn has_read_all(&self) -> bool {
        self.may_read.get() == 0
    }

    /// A whole head has arrived.
    pub fn request_begins(&self, http2: bool) {
        self.used.set(true);
        self.http2.set(http2);
        self.head_since_ms.set(0);
        self.running.set(self.running.get() + 1);
    }

    /// The answer's last byte was handed over, or will never come.
    pub fn request_ends(&self) {
        self.running.set(self.running.get().saturating_sub(1));
        self.quiet_since_ms.set((self.clock)());
    }

    /// Closes the connection without another byte.
    pub fn cut(&self) {
        self.cut.set(true);
        self.wake();
    }

    /// Asks the connection to end after the requests in progress.
    pub fn close(&self) {
        self.closing.set(true);
        self.wake();
    }

    /// Whether [`Link::cut`] was called.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut.get()
    }

    /// Whether [`Link::close`] was called since this was last asked.
    #[must_use]
    pub fn take_closing(&self) -> bool {
        self.closing.replace(false)
    }

    /// Remembers whom to wake.
    pub fn remember(&self, waker: &Waker) {
        let mut slot = self.waker.borrow_mut();
        match &mut *slot {
            Some(old) => old.clone_from(waker),
            None => *slot = Some(waker.clone()),
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Whether the client has closed its side. hyper does not look while a body is unread or requests are
    /// pipelined, so the watch does; half-closed counts as gone, as it does for hyper.
    #[must_use]
    pub fn client_left(&self) -> bool {
        let Ok(stream) = self.stream.try_borrow() else {
            return false;
        };
        let ready = std::pin::pin!(stream.ready(Interest::READABLE));
        match ready.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(ready)) => ready.is_read_closed(),
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        }
    }

    /// Sends what is held as far as the kernel takes it; the connection itself sees to the rest.
    pub fn send_held(&self) {
        self.queued.set(false);
        let mut held = self.held.borrow_mut();
        if held.is_empty() {
            return;
        }
        let sent = self.stream.borrow().try_write(&held);
        match sent {
            Ok(sent) if sent == held.len() => {
                // Thousands of connections that stay open must not each keep the room of their largest answer.
                if held.capacity() > KEPT {
                    *held = Vec::new();
                }
                held.clear();
                self.blocked_since_ms.set(0);
                return;
            }
            Ok(sent) => drop(held.drain(..sent)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                held.clear();
                self.failed.set(Some(error.kind()));
            }
        }
        if self.blocked_since_ms.get() == 0 {
            self.blocked_since_ms.set((self.clock)());
        }
        self.wake();
    }

    /// Sends what is held, as the connection is over. The socket is closed when others' answers have left.
    pub fn leave(self: &Rc<Self>) {
        self.send_held();
        self.outbox.add(self);
    }

    /// Sends what is held and has the connection woken when the kernel takes more. Does nothing while the outbox has
    /// it in hand.
    pub fn poll_held(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(kind) = self.failed.get() {
            return Poll::Ready(Err(kind.into()));
        }
        let mut held = self.held.borrow_mut();
        while !held.is_empty() {
            let polled = Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, &held);
            match self.wrote(polled) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(sent)) => drop(held.drain(..sent)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether something is held that the outbox could not send.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        !self.queued.get() && (self.failed.get().is_some() || !self.held.borrow().is_empty())
    }

    fn wrote<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.blocked_since_ms.set(0);
        } else if self.blocked_since_ms.get() == 0 {
            self.blocked_since_ms.set((self.clock)());
        }
        polled
    }
}

/// The socket as the HTTP library reads and writes it.
pub struct Socket(pub Rc<Link>);

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let link = &self.0;
        if link.may_read.get() == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let may_read = link.may_read.get();
        let mut stream = link.stream.borrow_mut();
        let polled = if may_read <= LARGEST && may_read < buffer.remaining() {
            let mut few = ReadBuf::new(buffer.initialize_unfilled_to(may_read));
            let polled = Pin::new(&mut *stream).poll_read(cx, &mut few);
            let read = few.filled().len();
            buffer.advance(read);
            polled
        } else {
            Pin::new(&mut *stream).poll_read(cx, buffer)
        };
        drop(stream);
        let read = buffer.filled().len().saturating_sub(before);
        link.may_read.set(may_read.saturating_sub(read));
        let came = read > 0;
        if came && link.running.get() == 0 && link.head_since_ms.get() == 0 {
            link.head_since_ms.set((link.clock)());
        }
        polled
    }
}

impl Socket {
    /// Takes bytes that are to leave with others, or says that they are too many for that.
    fn hold<'a>(&self, bytes: impl Iterator<Item = &'a [u8]>, many: usize) -> bool {
        let mut held = self.0.held.borrow_mut();
        let room = many <= HELD.saturating_sub(held.len());
        if room {
            bytes.for_each(|bytes| held.extend_from_slice(bytes));
        }
        room
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.hold(std::iter::once(bytes), bytes.len()) {
            return Poll::Ready(Ok(bytes.len()));
        }
        std::task::ready!(self.0.poll_held(cx))?;
        let polled = Pin::new(&mut *self.0.stream.borrow_mut()).poll_write(cx, bytes);
        self.0.wrote(polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let many = bytes.iter().map(|bytes| bytes.len()).sum();
        if self.hold(bytes.iter().map(|bytes| &**bytes), many) {
            return Poll::Ready(Ok(many));
        }
        std::task::ready!(self.0.poll_held(cx))?;
        let polled = Pin::new(&mut *self.0.stream.borrow_mut()).poll_write_vectored(cx, bytes);
        self.0.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Ready once what is held is in the outbox, which sends it in this turn.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let link = &self.0;
        if link.is_blocked() && link.blocked_since_ms.get() != 0 {
            return link.poll_held(cx);
        }
        if !link.queued.get() && !link.held.borrow().is_empty() {
            link.queued.set(true);
            link.outbox.add(link);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The other end is told by the close, which follows: to tell it twice takes as long as to answer a short call.
        self.0.poll_held(cx)
    }
}
