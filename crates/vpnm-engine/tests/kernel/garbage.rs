//! Packets that no kernel would send by itself, with virtio headers that are not true:
//! another program puts them into the device, and the engine goes on.

use crate::connections::eight_megabytes;
use crate::datagrams::datagrams_come_back;
use crate::exchange::{echo, exchange_in, world};
use crate::world;

/// Packets sent, refused ones included.
const PACKETS: u32 = 30_000;

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.roll(256)).unwrap()
    }

    fn one_of<const N: usize>(&mut self, choices: [u16; N]) -> u16 {
        choices[self.roll(N)]
    }
}

/// `struct virtio_net_hdr`, whose claims may be false.
fn virtio(dice: &mut Dice) -> Vec<u8> {
    let mut header = vec![
        [0, 1, 1, 2, 3][dice.roll(5)],
        [0, 1, 1, 3, 4, 5, 5, 0x81, 0x84][dice.roll(9)],
    ];
    let lengths = [
        dice.one_of([0, 20, 28, 40, 60, 1_000, 65_535]),
        dice.one_of([0, 1, 7, 536, 1_460, 9_000, 65_535]),
        dice.one_of([0, 19, 20, 20, 21, 40, 40, 65_000]),
        dice.one_of([0, 6, 6, 16, 16, 17, 65_000]),
    ];
    header.extend(lengths.into_iter().flat_map(u16::to_ne_bytes));
    header
}

/// An IP packet to the servers, right in most places.
fn packet(dice: &mut Dice) -> Vec<u8> {
    let transport = [6, 17, 1, 44, 0, 60, 41][dice.roll(7)];
    let payload: Vec<u8> = (0..dice.roll(3_000)).map(|_| dice.byte()).collect();
    let length = u16::try_from(payload.len()).unwrap();
    let mut packet = if dice.roll(2) == 0 {
        let [high, low] = (20 + length).to_be_bytes();
        let mut packet = vec![0x45, 0, high, low, 0, 7, 0, 0, 64, transport, 0, 0];
        packet.extend([10, 98, 0, 1, 10, 99, 0, 1]);
        packet
    } else {
        let [high, low] = length.to_be_bytes();
        let mut packet = vec![0x60, 0, 0, 0, high, low, transport, 64];
        packet.extend([0xfd, 0x98, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        packet.extend([0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        packet
    };
    packet.extend(payload);
    for _ in 0..dice.roll(4) {
        let at = dice.roll(packet.len().min(64));
        packet[at] = dice.byte();
    }
    // Some are cut short, to nothing at worst.
    let cut = dice.roll(20);
    if cut < 2 {
        packet.truncate(cut * 21);
    }
    packet
}

#[test]
fn packets_that_lie_do_no_harm() {
    let Some(world) = world() else { return };
    let taken = world.app.run(|| {
        let socket = world::packet_socket().unwrap();
        let mut dice = Dice(0x1234_5678_9abc_def1);
        (0..PACKETS)
            .filter(|_| {
                let bytes = [virtio(&mut dice), packet(&mut dice)].concat();
                rustix::io::write(&socket, &bytes).is_ok()
            })
            .count()
    });
    assert!(taken > 1_000, "the kernel took only {taken} of them");
    exchange_in(&world, echo, eight_megabytes, |equal| assert!(equal));
    datagrams_come_back(&world);
}
