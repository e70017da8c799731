//! The destinations: a server that takes and gives bytes, and an echo of datagrams.

use std::net::SocketAddr;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// What is read and written at once.
const BLOCK: usize = 256 * 1024;

/// What a client asks of the TCP destination: it takes `up` bytes while it gives
/// `down` bytes after a pause, then gives the SHA-256 of what it took.
#[derive(Clone, Copy)]
pub(crate) struct Order {
    pub(crate) up: u64,
    pub(crate) down: u64,
    pub(crate) pause: Duration,
}

pub(crate) struct Origin {
    pub(crate) tcp: SocketAddr,
    pub(crate) udp: SocketAddr,
}

impl Origin {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (tcp, udp) = (listener.local_addr().unwrap(), socket.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move { drop(serve(stream).await) });
            }
        });
        tokio::spawn(async move {
            let mut datagram = vec![0; 65_535];
            loop {
                let (length, from) = socket.recv_from(&mut datagram).await.unwrap();
                let _lost = socket.send_to(&datagram[..length], from).await;
            }
        });
        Self { tcp, udp }
    }
}

impl Order {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let pause = u64::try_from(self.pause.as_millis()).unwrap();
        [self.up, self.down, pause]
            .iter()
            .flat_map(|number| number.to_be_bytes())
            .collect()
    }
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let (up, down) = (stream.read_u64().await?, stream.read_u64().await?);
    let pause = stream.read_u64().await?;
    let (mut reader, mut writer) = stream.split();
    let (taken, given) = tokio::join!(take(&mut reader, up), async {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        give(&mut writer, down).await
    });
    given?;
    writer.write_all(&taken?).await?;
    writer.shutdown().await
}

/// Reads so many bytes and returns their SHA-256.
pub(crate) async fn take(
    reader: &mut (impl AsyncReadExt + Unpin),
    mut left: u64,
) -> std::io::Result<Vec<u8>> {
    let mut hash = Context::new(&SHA256);
    let mut block = vec![0; BLOCK];
    while left > 0 {
        let most = usize::try_from(left).unwrap().min(BLOCK);
        let count = reader.read(&mut block[..most]).await?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        hash.update(&block[..count]);
        left -= u64::try_from(count).unwrap();
    }
    Ok(hash.finish().as_ref().to_vec())
}

/// Writes so many bytes of a fixed sequence that does not repeat at any power of two.
pub(crate) async fn give(
    writer: &mut (impl AsyncWriteExt + Unpin),
    mut left: u64,
) -> std::io::Result<()> {
    let block = sequence();
    while left > 0 {
        let count = usize::try_from(left).unwrap().min(block.len());
        writer.write_all(&block[..count]).await?;
        left -= u64::try_from(count).unwrap();
    }
    writer.flush().await
}

/// The SHA-256 of what [`give`] writes.
pub(crate) fn digest_of(mut left: u64) -> Vec<u8> {
    let block = sequence();
    let mut hash = Context::new(&SHA256);
    while left > 0 {
        let count = usize::try_from(left).unwrap().min(block.len());
        hash.update(&block[..count]);
        left -= u64::try_from(count).unwrap();
    }
    hash.finish().as_ref().to_vec()
}

fn sequence() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..BLOCK - 77).map(|_| random.u8(..)).collect()
}
