//! Acknowledgements that wait for the answer to a request to carry them.
//!
//! One alone costs as much as a packet of data: a system call, and the application's host
//! looks at it. Where a server usually answers within a moment, its answer says the same.

use std::time::{Duration, Instant};

use super::{Context, Tcp};
use crate::event::FlowId;

/// How long an answer is waited for: an eighth of what Linux waits. An application that
/// must hear of the first half of its request before it sends the second (RFC 896) loses
/// this much, once, and only where answers usually came sooner.
const PROMPT: Duration = Duration::from_millis(5);
/// Answers in a row that came in time, after which the next one is expected to.
const STREAK: u8 = 4;

/// How requests of an application were answered lately.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Exchange {
    /// Segments with data that arrived since data was last sent.
    requests: u8,
    /// When the first of them did.
    asked: Option<Instant>,
    /// How many answers in a row were prompt, up to [`STREAK`].
    prompt: u8,
    /// Whether an acknowledgement waits for an answer.
    held: bool,
}

impl Exchange {
    /// For a new flow: its server is expected to be like the one that answered last, of
    /// which so many answers in a row were prompt.
    pub(crate) fn like(prompt: u8) -> Self {
        Self {
            prompt,
            ..Self::default()
        }
    }

    /// Prompt answers in a row.
    pub(crate) fn prompt(&self) -> u8 {
        self.prompt
    }

    /// The stream went on; `whole` if the segment may be all that the peer has to say.
    pub(crate) fn on_request(&mut self, whole: bool, now: Instant) {
        self.requests = self.requests.saturating_add(1);
        if self.requests == 1 && whole {
            self.asked = Some(now);
        } else {
            self.hurry();
        }
    }

    /// The peer must hear of something at once.
    pub(crate) fn hurry(&mut self) {
        self.prompt = 0;
        self.held = false;
    }

    /// Data is sent, which carries the acknowledgement of all that was received.
    pub(crate) fn on_answer(&mut self, now: Instant) {
        if self.requests == 0 {
            return;
        }
        let prompt = self.requests == 1 && self.due().is_some_and(|due| now < due);
        self.prompt = if prompt {
            (self.prompt + 1).min(STREAK)
        } else {
            0
        };
        self.requests = 0;
    }

    /// An acknowledgement is sent, by data or alone.
    pub(crate) fn on_acknowledged(&mut self) {
        self.held = false;
    }

    /// Until when the answer counts as prompt.
    fn due(&self) -> Option<Instant> {
        self.asked.map(|asked| asked + PROMPT)
    }

    /// Until when an acknowledgement may wait for the answer, if one is expected.
    fn wait(&self, now: Instant) -> Option<Instant> {
        let expected = self.requests == 1 && self.prompt >= STREAK;
        self.due().filter(|due| expected && now < *due)
    }

    /// Whether an acknowledgement waits until exactly then.
    fn is_held(&self, until: Instant) -> bool {
        self.held && self.due() == Some(until)
    }
}

impl Tcp {
    /// Lets the acknowledgements out that no data carried and that are not put off.
    pub(crate) fn release_acks(&mut self, now: Instant) {
        while let Some(id) = self.owing.pop_front() {
            let Some(flow) = self.flows.get_mut(id) else {
                continue;
            };
            flow.in_ack_queue = false;
            if !flow.ack_due || flow.in_send_queue || flow.exchange.held {
                continue;
            }
            if let Some(until) = flow.exchange.wait(now) {
                flow.exchange.held = true;
                self.timers.note(until);
                self.held.push_back((until, id));
            } else {
                flow.in_send_queue = true;
                self.sending.push_back(id);
            }
        }
    }

    /// Lets the acknowledgements out whose answer did not come in time.
    pub(crate) fn release_held(&mut self, cx: &Context<'_>) {
        while let Some((until, id)) = self.held.front().copied()
            && until <= cx.now
        {
            self.held.pop_front();
            if let Some(flow) = self.flows.get_mut(id)
                && flow.exchange.is_held(until)
            {
                flow.exchange.hurry();
                self.prompt = 0;
                if flow.ack_due && !flow.in_send_queue {
                    flow.in_send_queue = true;
                    self.sending.push_back(id);
                }
            }
        }
    }

    /// Forgets those in front that no longer wait.
    pub(super) fn forget_held(&mut self) {
        while let Some((until, id)) = self.held.front().copied()
            && !self.is_held(id, until)
        {
            self.held.pop_front();
        }
        if self.held.is_empty() && self.held.capacity() > 1_024 {
            self.held = Default::default();
        }
    }

    fn is_held(&self, id: FlowId, until: Instant) -> bool {
        let flow = self.flows.get(id);
        flow.is_some_and(|flow| flow.exchange.is_held(until))
    }
}
