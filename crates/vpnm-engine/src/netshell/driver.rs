//! The loop of one queue: device, stack, handler, timer.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use vpnm_netstack::{Event, Stack};

use super::clock::Clock;
use super::icmp::EchoRequest;
use super::net::{Core, Net};
use super::sys;
use super::tcp::TcpIncoming;
use super::udp::{DnsQuery, UdpIncoming};
use super::{Config, Handler};
use crate::device::{Device, Read};

/// Packets read before flows and acknowledgements get their turn: an acknowledgement
/// costs about as much as a super-packet, so there is one for each flow and batch.
const BATCH: usize = 32;
/// And bytes: while these are passed on, the application fills the rest of its window.
/// Measured: a batch as long as a window has the two wait for each other.
const BATCH_BYTES: usize = 512 * 1024;

/// Of these, packets that other queues handed over: the device's own get their turn too.
const HANDED: usize = BATCH / 2;

/// How long after a packet unused memory is given back, and twice as long after many.
const TRIM_AFTER: Duration = Duration::from_secs(2);
/// Unless there were more packets than this meanwhile: then it will be used again.
const BUSY: usize = 1_000;

/// Runs until the device is gone.
pub(super) struct Driver<H> {
    net: Rc<Net>,
    handler: Rc<H>,
    clock: Clock,
    /// Packets read since unused memory was last looked for.
    recent: usize,
    /// When to look whether unused memory can be given back; not set when there is none.
    trim_at: Option<Instant>,
    events: Vec<Event>,
}

impl<H: Handler> Driver<H> {
    pub(super) fn new(device: Device, config: Config, handler: Rc<H>) -> io::Result<Self> {
        let stack = Stack::new(&config.stack);
        Ok(Self {
            net: Net::new(stack, device, config.counters, config.share),
            handler,
            clock: Clock::new()?,
            recent: 0,
            trim_at: None,
            events: Vec::new(),
        })
    }

    /// The flows ran: what they did not acknowledge with data is acknowledged now.
    fn end_batch(&self) {
        self.net.with(|core| {
            if core.in_batch {
                core.in_batch = false;
                let now = Instant::now();
                core.stack.release_acks(now);
                core.send(now);
            }
        });
    }

    /// Goes on with what the device would not take earlier.
    fn resume_sending(&self, cx: &mut Context<'_>) -> io::Result<()> {
        self.net.with(|core| {
            if core.device.is_stalled() && core.device.poll_resume(cx)?.is_ready() {
                core.send(Instant::now());
            }
            Ok(())
        })
    }

    /// Reads a batch; whether anything arrived.
    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let now = Instant::now();
        let result = self.net.with(|core| {
            let (mut count, mut bytes) = (0, 0);
            while count < HANDED
                && let Some(packet) = core.take_handed(cx)
            {
                bytes += packet.len();
                core.handle_packet(packet, now);
                count += 1;
            }
            while count < BATCH && bytes < BATCH_BYTES {
                match core.device.poll_read(cx, core.stack.pool()) {
                    Poll::Ready(Ok(Read::Packet(packet))) => {
                        bytes += packet.len();
                        core.counters.add_up(packet.len());
                        core.handle_packet(packet, now);
                    }
                    Poll::Ready(Ok(Read::Nothing)) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => break,
                }
                count += 1;
            }
            if count == 0 {
                return Poll::Pending;
            }
            core.in_batch = true;
            core.send(now);
            Poll::Ready(Ok(count))
        });
        if let Poll::Ready(Ok(count)) = result {
            self.recent += count;
            self.trim_at.get_or_insert(now + TRIM_AFTER);
        }
        self.dispatch();
        result.map_ok(drop)
    }

    /// Hands the stack's events out, without holding it.
    fn dispatch(&mut self) {
        loop {
            self.net.with(|core| {
                while let Some(event) = core.stack.poll_event() {
                    match event {
                        Event::TcpReadable(id) => core.readers.wake(id),
                        Event::TcpWritable(id) => core.writers.wake(id),
                        Event::TcpGone(id, _) => {
                            core.readers.wake(id);
                            core.writers.wake(id);
                        }
                        Event::UdpReadable(id) | Event::UdpGone(id, _) => core.receivers.wake(id),
                        Event::TcpIncoming { .. }
                        | Event::UdpIncoming { .. }
                        | Event::DnsQuery { .. }
                        | Event::EchoRequest(_) => self.events.push(event),
                    }
                }
                core.count_flows();
            });
            if self.events.is_empty() {
                return;
            }
            let mut events = std::mem::take(&mut self.events);
            for event in events.drain(..) {
                self.hand_over(event);
            }
            self.events = events;
        }
    }

    fn hand_over(&self, event: Event) {
        let net = &self.net;
        match event {
            Event::TcpIncoming {
                id,
                source,
                destination,
            } => self.handler.tcp(TcpIncoming {
                source,
                destination,
                net: Rc::clone(net),
                id,
                decided: false,
            }),
            Event::UdpIncoming {
                id,
                source,
                destination,
            } => self
                .handler
                .udp(UdpIncoming::new(net, id, source, destination)),
            Event::DnsQuery {
                source,
                destination,
                payload,
            } => self
                .handler
                .dns(DnsQuery::new(net, source, destination, payload)),
            Event::EchoRequest(echo) => self.handler.echo(EchoRequest::new(net, echo)),
            Event::TcpReadable(_)
            | Event::TcpWritable(_)
            | Event::TcpGone(..)
            | Event::UdpReadable(_)
            | Event::UdpGone(..) => {}
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let stack = self.net.with(|core| {
            // Whatever moved it, this is where it is looked at.
            core.stack.take_timer_moved();
            core.stack.poll_timeout()
        });
        let stack = stack.map(|(due, _)| due);
        match (stack, self.trim_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Gives unused memory back once it is quiet; without packets that is the last time
    /// anybody is woken.
    fn trim(&mut self, now: Instant) {
        if self.trim_at.is_none_or(|at| at > now) {
            return;
        }
        if std::mem::take(&mut self.recent) > BUSY {
            self.trim_at = Some(now + TRIM_AFTER);
            return;
        }
        self.trim_at = None;
        if self.net.with(Core::trim) {
            sys::return_free_memory();
        }
    }

    /// Lets the stack's timers run that are due; sets the clock for the next.
    fn poll_timers(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while let Some(due) = self.next_due()
            && self.clock.poll(cx, due)?.is_ready()
        {
            let now = Instant::now();
            self.net.with(|core| {
                core.stack.handle_timeout(now);
                core.send(now);
            });
            self.trim(now);
            self.dispatch();
        }
        Ok(())
    }
}

impl<H: Handler> Future for Driver<H> {
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.net.with(|core| match &core.driver {
            Some(known) if known.will_wake(cx.waker()) => {}
            _ => core.driver = Some(cx.waker().clone()),
        });
        this.end_batch();
        this.resume_sending(cx)?;
        let outcome = match this.poll_batch(cx) {
            // Again, but after the flows that were woken.
            Poll::Ready(Ok(())) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        if outcome.is_pending() {
            this.poll_timers(cx)?;
        }
        outcome
    }
}
