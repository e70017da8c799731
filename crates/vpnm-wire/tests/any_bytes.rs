//! No bytes make a reader panic, and what a reader says never points beyond them.

#[cfg(test)]
mod tests {
    use vpnm_wire::{
        Affinity, BufferPool, Checksum, Datagrams, Head, Icmp, IpBuilder, IpHeader, TcpHeader,
        TcpOptions, UdpHeader, VnetHeader, protocol,
    };

    /// Numbers that look random and are the same in every run.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 >> 33).unwrap() % limit
        }

        fn bytes(&mut self, len: usize) -> Vec<u8> {
            (0..len)
                .map(|_| u8::try_from(self.roll(256)).unwrap())
                .collect()
        }
    }

    fn read_everything(bytes: &[u8]) {
        if let Ok(header) = IpHeader::parse(bytes) {
            assert!(header.header_len <= header.total_len);
            assert!(header.total_len <= bytes.len());
            let payload = header.payload(bytes);
            assert_eq!(payload.len(), header.total_len - header.header_len);
        }
        if let Ok(header) = IpHeader::parse_quoted(bytes) {
            assert!(header.payload(bytes).len() <= bytes.len());
            if let Some(inner) = header.innermost(bytes) {
                assert!(inner.header_len >= header.header_len);
                assert!(inner.payload(bytes).len() <= header.payload(bytes).len());
            }
            let part = matches!(Affinity::of(bytes), Some(Affinity::Part(_)));
            assert_eq!(part, header.fragment.is_some());
        } else {
            assert_eq!(Affinity::of(bytes), None);
        }
        if let Some(header) = TcpHeader::parse(bytes) {
            assert!(header.header_len <= bytes.len());
            let options = TcpOptions::parse(bytes, header.header_len);
            assert!(options.sacks <= options.sack.len());
            assert!(options.window_scale.is_none_or(|shift| shift <= 14));
        }
        for v6 in [false, true] {
            if let Some(Icmp::EchoRequest { body }) = Icmp::parse(v6, bytes) {
                assert_eq!(body.len(), bytes.len() - 4);
            }
        }
        assert_eq!(UdpHeader::parse(bytes).is_some(), bytes.len() >= 8);
        assert!(bytes.len() >= 10 || VnetHeader::decode(bytes).is_none());
        let mut sum = Checksum::new();
        sum.add(bytes);
        let mut whole = sum;
        if bytes.len().is_multiple_of(2) {
            whole.add(&sum.finish());
            assert!(whole.is_valid());
        }
    }

    #[test]
    fn random_bytes() {
        let mut dice = Dice(3);
        for _ in 0..100_000 {
            let len = dice.roll(100);
            let mut bytes = dice.bytes(len);
            // Half of them at least begin like a packet.
            if let Some(first) = bytes.first_mut() {
                *first = [*first, 0x45, 0x60, 0x4f][dice.roll(4)];
            }
            read_everything(&bytes);
        }
    }

    #[test]
    fn packets_with_a_few_bytes_changed_and_cut_anywhere() {
        let mut dice = Dice(5);
        for (source, destination) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")] {
            for protocol in [protocol::TCP, protocol::UDP, 0, 43, 44, 51, 60] {
                let ip = IpBuilder {
                    source: source.parse().unwrap(),
                    destination: destination.parse().unwrap(),
                    protocol,
                    payload_len: 60,
                    fragment: None,
                };
                let mut head = Head::new();
                assert!(ip.encode(&mut head));
                let mut packet = head.bytes().to_vec();
                packet.extend(dice.bytes(60));
                for _ in 0..5_000 {
                    let mut changed = packet.clone();
                    for _ in 0..dice.roll(4) {
                        let at = dice.roll(changed.len());
                        changed[at] = u8::try_from(dice.roll(256)).unwrap();
                    }
                    changed.truncate(dice.roll(packet.len() + 1).max(packet.len() / 3));
                    read_everything(&changed);
                }
            }
        }
    }

    #[test]
    fn datagrams_of_any_size_add_up() {
        let pool = BufferPool::new();
        let mut dice = Dice(7);
        for _ in 0..2_000 {
            let bytes = vec![1; dice.roll(3_000)];
            let mut datagrams = Datagrams::new(pool.copy(&bytes), dice.roll(200));
            let (count, mut seen, mut total) = (datagrams.count(), 0, 0);
            while let Some(datagram) = datagrams.front() {
                total += datagram.len();
                seen += 1;
                datagrams.advance();
            }
            assert_eq!((seen, total), (count, bytes.len()));
        }
    }
}
