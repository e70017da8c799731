//! Whether a packet is late or lost, told by the time at which those that arrived were
//! sent (RACK, RFC 8985 section 6).

use std::time::{Duration, Instant};

use vpnm_wire::{Seq, TcpOptions};

use super::super::flights::{Fate, Flights, Stretch};

/// Recoveries that a wider window for late packets lasts (RFC 8985 section 6.2, step 4).
const PERSIST: u32 = 16;

/// What was delivered, and how late packets are on this path.
#[derive(Debug, Default)]
pub(super) struct Rack {
    /// Of what was delivered, when the part sent last was sent, and where it ends.
    newest: Option<(Instant, Seq)>,
    /// The round trip of that part.
    rtt: Duration,
    /// The shortest round trip ever. A path that becomes longer makes the window for late
    /// packets too short, which the peer's reports of duplicates correct.
    min_rtt: Option<Duration>,
    /// Where what was delivered ends at most.
    reach: Option<Seq>,
    /// Whether packets overtake each other.
    reordered: bool,
    /// Quarters of the shortest round trip that a packet may be late, less one; for so many
    /// recoveries more, and raised already for all before this.
    extra: u32,
    persist: u32,
    round: Option<Seq>,
    /// When it is to be asked again whether those that are late are lost.
    late_at: Option<Instant>,
}

/// The range that the peer received twice, if it says so (RFC 2883 section 4).
pub(super) fn duplicate(options: &TcpOptions, ack: Seq) -> Option<(Seq, Seq)> {
    let [first, second, ..] = options.sack;
    let (left, right) = first;
    let within = second.0.not_after(left) && right.not_after(second.1);
    let is_duplicate = options.sacks > 0 && right.not_after(ack) || options.sacks > 1 && within;
    is_duplicate.then_some((left, right))
}

impl Rack {
    /// When [`Self::judge`] has something to say at the latest.
    pub(super) fn late_at(&self) -> Option<Instant> {
        self.late_at
    }

    /// A stretch turned out to have arrived.
    pub(super) fn on_delivered(&mut self, stretch: &Stretch, now: Instant) {
        let rtt = now.saturating_duration_since(stretch.sent);
        if stretch.resent {
            if self.min_rtt.is_none_or(|min| rtt < min) {
                // It was the first copy that arrived.
                return;
            }
        } else {
            self.min_rtt = Some(self.min_rtt.map_or(rtt, |min| min.min(rtt)));
            self.reordered |= self.reach.is_some_and(|reach| stretch.right.before(reach));
        }
        let reach = self.reach.unwrap_or(stretch.right);
        self.reach = Some(reach.max(stretch.right));
        let newer = self.newest.is_none_or(|(sent, end)| {
            sent < stretch.sent || sent == stretch.sent && end.before(stretch.right)
        });
        if newer {
            self.newest = Some((stretch.sent, stretch.right));
            self.rtt = rtt;
        }
    }

    /// The peer received something twice that was sent again, so that the first copy was
    /// only late; all up to `next` is out.
    pub(super) fn on_duplicate(&mut self, next: Seq) {
        self.reordered = true;
        if self.round.is_none() {
            self.round = Some(next);
            self.extra = self.extra.saturating_add(1);
            self.persist = PERSIST;
        }
    }

    /// All before `una` was acknowledged.
    pub(super) fn on_progress(&mut self, una: Seq) {
        if self.round.is_some_and(|round| round.not_after(una)) {
            self.round = None;
        }
    }

    pub(super) fn on_recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.extra = 0;
        }
    }

    /// How late a packet may be: `certain` if there are other signs of a loss.
    fn window(&self, certain: bool, smoothed: Duration) -> Duration {
        if certain && !self.reordered {
            return Duration::ZERO;
        }
        let quarter = self.min_rtt.unwrap_or_default() / 4;
        quarter.saturating_mul(self.extra + 1).min(smoothed)
    }

    /// Marks as lost what was sent so long before what was delivered that it cannot be on
    /// its way; whether there was any.
    pub(super) fn judge(
        &mut self,
        flights: &mut Flights,
        (una, next): (Seq, Seq),
        certain: bool,
        smoothed: Duration,
        now: Instant,
    ) -> bool {
        self.late_at = None;
        let Some((newest, end)) = self.newest else {
            return false;
        };
        if end.not_after(una) && flights.are_newer(newest) {
            return false;
        }
        let wait = self.rtt + self.window(certain, smoothed);
        let mut late_at = None;
        let lost = flights.lose(una, next, |stretch| {
            let overtaken =
                stretch.sent < newest || stretch.sent == newest && stretch.right.before(end);
            let due = stretch.sent + wait;
            debug_assert_eq!(stretch.fate, Fate::Out);
            if overtaken && due > now {
                late_at = late_at.max(Some(due));
            }
            overtaken && due <= now
        });
        self.late_at = late_at;
        lost
    }

    /// Nothing is out any more, or all of it is lost.
    pub(super) fn settle(&mut self) {
        self.late_at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sack;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Segments of 100 bytes, sent a millisecond apart, and who judges them.
    fn sent(count: u32) -> (Rack, Flights, Instant) {
        let start = Instant::now();
        let mut flights = Flights::default();
        for number in 0..count {
            let left = Seq(number * 100);
            flights.on_sent(left, left.plus(100), start + number * MS);
        }
        (Rack::default(), flights, start)
    }

    /// A round trip is twenty milliseconds.
    fn arrive(rack: &mut Rack, flights: &mut Flights, number: u32, start: Instant) -> Instant {
        let (left, now) = (Seq(number * 100), start + (20 + number) * MS);
        flights.arrive(left, left.plus(100), |stretch| {
            rack.on_delivered(stretch, now);
        });
        now
    }

    #[test]
    fn what_was_sent_before_what_arrived_has_a_quarter_of_a_round_trip() {
        let (mut rack, mut flights, start) = sent(4);
        let now = arrive(&mut rack, &mut flights, 1, start);
        let ends = (Seq(0), Seq(400));
        assert!(!rack.judge(&mut flights, ends, false, 20 * MS, now));
        assert_eq!(rack.late_at(), Some(start + 25 * MS));
        assert!(rack.judge(&mut flights, ends, false, 20 * MS, start + 25 * MS));
        assert_eq!((flights.lost(), rack.late_at()), (100, None));
        assert_eq!(flights.first_lost(), Some((Seq(0), Seq(100))));
    }

    #[test]
    fn other_signs_of_a_loss_leave_no_time_unless_packets_overtake_each_other() {
        for overtaking in [false, true] {
            let (mut rack, mut flights, start) = sent(4);
            if overtaking {
                arrive(&mut rack, &mut flights, 2, start);
                arrive(&mut rack, &mut flights, 1, start);
            }
            let now = arrive(&mut rack, &mut flights, 3, start);
            let lost = rack.judge(&mut flights, (Seq(0), Seq(400)), true, 20 * MS, now);
            assert_eq!(lost, !overtaking);
        }
    }

    #[test]
    fn what_was_sent_again_and_lost_again_is_noticed() {
        let (mut rack, mut flights, start) = sent(4);
        let now = arrive(&mut rack, &mut flights, 1, start);
        let ends = (Seq(0), Seq(600));
        assert!(rack.judge(&mut flights, ends, true, 20 * MS, now));
        flights.on_resent(Seq(0), Seq(100), now);
        flights.on_sent(Seq(400), Seq(500), now + MS);
        let later = now + 21 * MS;
        flights.arrive(Seq(400), Seq(500), |stretch| {
            rack.on_delivered(stretch, later);
        });
        assert!(rack.judge(&mut flights, ends, true, 20 * MS, later));
        assert_eq!(flights.first_lost(), Some((Seq(0), Seq(100))));
    }

    #[test]
    fn a_report_of_a_duplicate_is_told_from_others() {
        assert_eq!(duplicate(&sack(10, 20), Seq(20)), Some((Seq(10), Seq(20))));
        assert_eq!(duplicate(&sack(10, 20), Seq(10)), None);
        let mut beyond = sack(30, 40);
        (beyond.sacks, beyond.sack[1]) = (2, (Seq(20), Seq(50)));
        assert_eq!(duplicate(&beyond, Seq(10)), Some((Seq(30), Seq(40))));
        beyond.sack[1] = (Seq(50), Seq(60));
        assert_eq!(duplicate(&beyond, Seq(10)), None);
        assert_eq!(duplicate(&TcpOptions::default(), Seq(10)), None);
    }

    #[test]
    fn duplicates_widen_the_window_for_some_recoveries() {
        let (mut rack, mut flights, start) = sent(2);
        arrive(&mut rack, &mut flights, 0, start);
        let smoothed = 20 * MS;
        assert_eq!(rack.window(false, smoothed), 5 * MS);
        for _ in 0..2 {
            rack.on_duplicate(Seq(200));
        }
        assert_eq!(rack.window(true, smoothed), 10 * MS, "once in a round trip");
        rack.on_progress(Seq(200));
        for _ in 0..9 {
            rack.on_duplicate(Seq(300));
            rack.on_progress(Seq(300));
        }
        assert_eq!(
            rack.window(true, smoothed),
            smoothed,
            "and not without bound"
        );
        for _ in 0..PERSIST {
            rack.on_recovered();
        }
        assert_eq!(rack.window(true, smoothed), 5 * MS);
    }
}
