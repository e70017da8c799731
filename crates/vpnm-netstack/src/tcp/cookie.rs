//! SYN cookies (RFC 4987 section 3.6): all that must be remembered of a SYN is in the
//! sequence number that answers it, and comes back with the acknowledgement.
//!
//! Seven bits of the number say what the SYN offered. The other 25 are a hash, keyed with
//! the stack's secret, of these, of both ends, of the SYN's own number and of the time: who
//! sees none of our packets is right once in 2^24 guesses, as two times count.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use vpnm_wire::{FlowKey, Seq, TcpOptions};

use super::flow::offered_segment;

/// The same SYN gets the same number for so long, which is good until the end of the next
/// tick: for ten seconds at least, in which a lost acknowledgement comes again with data,
/// and twenty at most.
const TICK: Duration = Duration::from_secs(10);
/// Segments that are told apart, in bytes of payload, beside the link's own: what every host
/// takes over IPv4 and over IPv6, and what most paths do that are not the link's.
const SEGMENTS: [u16; 3] = [536, 1_220, 1_400];
/// The bits of a number that say what the SYN offered: from the lowest on the shift of its
/// windows, whether it acknowledges selectively, and which segments it takes.
const MEMORY: u32 = 0x7f;
const SHIFT: u32 = 0x0f;
const SELECTIVE: u32 = 0x10;
const SEGMENT_AT: u32 = 5;
/// The shift of who scales no windows: one more than the largest is 15.
const UNSCALED: u32 = SHIFT;

/// Gives out such numbers, and knows them again.
#[derive(Debug)]
pub(crate) struct Cookies {
    /// Has taken in the secret.
    keyed: DefaultHasher,
    /// The tick in which the last was given.
    last: Option<u64>,
}

impl Cookies {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        let mut keyed = DefaultHasher::new();
        secret.hash(&mut keyed);
        // The initial numbers of other connections are keyed with the same.
        "SYN cookie".hash(&mut keyed);
        Self { keyed, last: None }
    }

    /// The number to answer the SYN of `key` with, which has the number `syn`; `None` if
    /// what it offers cannot be remembered. `segment` is the longest that the link takes, and
    /// `age` the time since a moment that stays the same.
    pub(crate) fn give(
        &mut self,
        key: &FlowKey,
        syn: Seq,
        offer: &TcpOptions,
        segment: u16,
        age: Duration,
    ) -> Option<Seq> {
        let memory = remember(key, offer, segment)?;
        let tick = tick(age);
        self.last = Some(tick);
        Some(self.number(key, syn, memory, tick))
    }

    /// What the SYN of that number offered, if it was lately answered with `cookie`.
    pub(crate) fn check(
        &self,
        key: &FlowKey,
        syn: Seq,
        cookie: Seq,
        segment: u16,
        age: Duration,
    ) -> Option<TcpOptions> {
        let now = tick(age);
        let last = self.last.filter(|last| now <= last + 1)?;
        let memory = cookie.0 & MEMORY;
        let known = (now.saturating_sub(1)..=last)
            .any(|tick| self.number(key, syn, memory, tick) == cookie);
        known.then(|| recall(memory, segment))
    }

    fn number(&self, key: &FlowKey, syn: Seq, memory: u32, tick: u64) -> Seq {
        let mut hash = self.keyed.clone();
        (key, syn, memory, tick).hash(&mut hash);
        let hash = u32::try_from(hash.finish() >> 32).unwrap_or(0);
        Seq(hash & !MEMORY | memory)
    }
}

fn tick(age: Duration) -> u64 {
    age.as_secs() / TICK.as_secs()
}

/// The bits for an offer; `None` if its segments are shorter than any that are told apart.
fn remember(key: &FlowKey, offer: &TcpOptions, segment: u16) -> Option<u32> {
    let offered = offered_segment(key, offer);
    let class = if offered >= usize::from(segment) {
        SEGMENTS.len()
    } else {
        let fits = |size: &u16| usize::from(*size) <= offered;
        SEGMENTS.partition_point(fits).checked_sub(1)?
    };
    let shift = offer.window_scale.map_or(UNSCALED, u32::from).min(UNSCALED);
    let selective = if offer.sack_permitted { SELECTIVE } else { 0 };
    Some(u32::try_from(class).ok()? << SEGMENT_AT | selective | shift)
}

/// The offer that bits are of.
fn recall(memory: u32, segment: u16) -> TcpOptions {
    let class = usize::try_from(memory >> SEGMENT_AT).ok();
    let size = class.and_then(|class| SEGMENTS.get(class));
    let shift = Some(memory & SHIFT).filter(|shift| *shift != UNSCALED);
    TcpOptions {
        max_segment: Some(size.copied().unwrap_or(segment)),
        window_scale: shift.and_then(|shift| u8::try_from(shift).ok()),
        sack_permitted: memory & SELECTIVE != 0,
        ..TcpOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: u16 = 1_460;
    const SYN: Seq = Seq(77);

    fn key() -> FlowKey {
        let at = |text: &str| text.parse().unwrap();
        FlowKey::new(at("10.0.0.1:1111"), at("10.0.0.2:443"))
    }

    fn offer() -> TcpOptions {
        TcpOptions {
            max_segment: Some(1_460),
            window_scale: Some(7),
            sack_permitted: true,
            ..TcpOptions::default()
        }
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// The number that is given after so many seconds, and who gave it.
    fn given(after: u64) -> (Cookies, Seq) {
        let mut cookies = Cookies::new(&[7; 32]);
        let cookie = cookies.give(&key(), SYN, &offer(), LINK, seconds(after));
        (cookies, cookie.unwrap())
    }

    #[test]
    fn a_number_is_good_for_ten_to_twenty_seconds() {
        for (after, last) in [(0, 19), (9, 19), (10, 29), (19, 29), (1_000_000, 1_000_019)] {
            let (cookies, cookie) = given(after);
            let check = |age| cookies.check(&key(), SYN, cookie, LINK, seconds(age));
            assert_eq!(check(after), Some(offer()));
            assert_eq!(check(last), Some(offer()), "given after {after} s");
            assert_eq!(check(last + 1), None, "given after {after} s");
        }
    }

    #[test]
    fn an_old_number_is_not_good_again_when_others_are_given() {
        let (mut cookies, cookie) = given(0);
        for after in (5..60).step_by(5) {
            cookies.give(&key(), Seq(1), &offer(), LINK, seconds(after));
            let known = cookies.check(&key(), SYN, cookie, LINK, seconds(after));
            assert_eq!(known.is_some(), after < 20, "after {after} s");
        }
    }

    #[test]
    fn a_syn_that_comes_again_gets_the_same_number() {
        let (mut cookies, cookie) = given(0);
        let again = cookies.give(&key(), SYN, &offer(), LINK, seconds(9));
        assert_eq!(again, Some(cookie));
        let later = cookies.give(&key(), SYN, &offer(), LINK, seconds(10));
        assert_ne!(later, Some(cookie));
    }

    #[test]
    fn a_number_is_good_for_one_syn_of_one_host_at_one_stack() {
        let (cookies, cookie) = given(0);
        let now = Duration::ZERO;
        let ends = (key().source(), key().destination());
        let mut others = [ends; 4];
        others[0].0.set_port(1_112);
        others[1].1.set_port(444);
        others[2].0.set_ip([10, 0, 0, 3].into());
        others[3].1.set_ip([10, 0, 0, 3].into());
        for (source, destination) in others {
            let other = FlowKey::new(source, destination);
            assert_eq!(cookies.check(&other, SYN, cookie, LINK, now), None);
        }
        let other = SYN.plus(1);
        assert_eq!(cookies.check(&key(), other, cookie, LINK, now), None);
        let mut others = Cookies::new(&[8; 32]);
        others.give(&key(), Seq(1), &offer(), LINK, now);
        assert_eq!(others.check(&key(), SYN, cookie, LINK, now), None);
    }

    #[test]
    fn no_number_is_good_when_none_was_given() {
        let (_, cookie) = given(0);
        let cookies = Cookies::new(&[7; 32]);
        let known = cookies.check(&key(), SYN, cookie, LINK, Duration::ZERO);
        assert_eq!(known, None);
    }

    #[test]
    fn a_guess_is_as_good_as_none() {
        let (cookies, cookie) = given(0);
        for bit in 0..32 {
            let near = Seq(cookie.0 ^ 1 << bit);
            let known = cookies.check(&key(), SYN, near, LINK, Duration::ZERO);
            assert_eq!(known, None, "bit {bit}");
        }
        let right = (0..100_000_u32)
            .map(|number| Seq(number.wrapping_mul(0x9e37_79b9)))
            .filter(|guess| *guess != cookie)
            .filter_map(|guess| cookies.check(&key(), SYN, guess, LINK, Duration::ZERO));
        assert_eq!(right.count(), 0);
    }

    #[test]
    fn what_was_offered_is_remembered() {
        let mut cookies = Cookies::new(&[7; 32]);
        let sizes = [
            (Some(536), 536),
            (Some(1_219), 536),
            (Some(1_220), 1_220),
            (Some(1_452), 1_400),
            (Some(1_460), 1_460),
            (Some(65_495), 1_460),
            (None, 536),
            (Some(0), 536),
        ];
        let shifts = (0..=14).map(Some).chain([None]);
        for window_scale in shifts {
            for (max_segment, remembered) in sizes {
                for sack_permitted in [false, true] {
                    let offer = TcpOptions {
                        max_segment,
                        window_scale,
                        sack_permitted,
                        ..TcpOptions::default()
                    };
                    let cookie = cookies.give(&key(), SYN, &offer, LINK, Duration::ZERO);
                    let known = cookies.check(&key(), SYN, cookie.unwrap(), LINK, Duration::ZERO);
                    let expected = TcpOptions {
                        max_segment: Some(remembered),
                        ..offer
                    };
                    assert_eq!(known, Some(expected));
                }
            }
        }
    }

    #[test]
    fn the_links_own_segment_is_remembered_however_long_it_is() {
        let mut cookies = Cookies::new(&[7; 32]);
        for link in [1_220, 1_240, 8_960, 65_495] {
            let offer = TcpOptions {
                max_segment: Some(link),
                ..offer()
            };
            let cookie = cookies.give(&key(), SYN, &offer, link, Duration::ZERO);
            let known = cookies.check(&key(), SYN, cookie.unwrap(), link, Duration::ZERO);
            assert_eq!(known, Some(offer));
        }
    }

    #[test]
    fn segments_that_are_very_short_are_not_remembered_as_longer() {
        let mut cookies = Cookies::new(&[7; 32]);
        let offer = TcpOptions {
            max_segment: Some(535),
            ..offer()
        };
        let cookie = cookies.give(&key(), SYN, &offer, LINK, Duration::ZERO);
        assert_eq!(cookie, None);
    }
}
