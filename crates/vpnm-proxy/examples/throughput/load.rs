//! What the chains carry, and what it costs.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use crate::place::Client;

/// What is carried in one run.
const SIZE: u64 = 512 * 1024 * 1024;
/// What is read and written at once.
const BLOCK: usize = 256 * 1024;
/// The unit of the processor times in `/proc/PID/stat`, on every Linux there is.
const TICKS: f64 = 100.0;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

/// One measurement.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// Gigabits a second over the whole chain.
    pub(crate) rate: f64,
    /// Seconds of processor time of the client's process for each gigabyte.
    pub(crate) processor: f64,
}

impl Direction {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl Sample {
    /// The medians of both figures.
    pub(crate) fn median(samples: &mut [Self]) -> Self {
        let middle = samples.len() / 2;
        samples.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        let rate = samples[middle].rate;
        samples.sort_by(|a, b| a.processor.total_cmp(&b.processor));
        let processor = samples[middle].processor;
        Self { rate, processor }
    }
}

/// The destination: takes or gives as many bytes as it is told to.
pub(crate) fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut order = [0];
                if stream.read_exact(&mut order).is_err() {
                    return;
                }
                if order == [b'u'] {
                    take(&mut stream);
                    let _gone = stream.write_all(b"!");
                } else {
                    give(&mut stream);
                }
            });
        }
    });
    address
}

/// Carries the load through a client and measures it.
pub(crate) fn run(client: &Client, direction: Direction) -> Sample {
    let mut stream = TcpStream::connect(client.listen).unwrap();
    let before = processor_time(client.process);
    let begin = Instant::now();
    match direction {
        Direction::Up => {
            stream.write_all(b"u").unwrap();
            give(&mut stream);
            stream.read_exact(&mut [0]).unwrap();
        }
        Direction::Down => {
            stream.write_all(b"d").unwrap();
            take(&mut stream);
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    let gigabytes = 0.536_870_912;
    Sample {
        rate: 8.0 * gigabytes / seconds,
        processor: (processor_time(client.process) - before) / gigabytes,
    }
}

fn give(stream: &mut TcpStream) {
    let block: Vec<u8> = (0..BLOCK).map(|i| u8::try_from(i % 251).unwrap()).collect();
    for _ in 0..SIZE / 262_144 {
        if stream.write_all(&block).is_err() {
            return;
        }
    }
}

fn take(stream: &mut TcpStream) {
    let (mut block, mut left) = (vec![0; BLOCK], SIZE);
    while left > 0 {
        match stream.read(&mut block) {
            Ok(0) | Err(_) => panic!("{left} bytes are missing"),
            Ok(count) => left -= u64::try_from(count).unwrap(),
        }
    }
}

/// The seconds of processor time that a process has taken.
fn processor_time(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: u32 = [11, 12]
        .iter()
        .map(|index| fields[*index].parse::<u32>().unwrap())
        .sum();
    f64::from(ticks) / TICKS
}
