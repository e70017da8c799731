//! DNS over a stream: messages behind their length (RFC 1035 section 4.2.2).

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use vpnm_dns::Carriage;

use super::{Client, Names};

/// Queries of one stream that may wait for an answer at once (RFC 7766 section 6.2.1.1).
const PIPELINE: usize = 32;
/// A stream on which nothing is asked or no answer is taken is closed after this long
/// (RFC 7766 section 6.2.3).
const IDLE: Duration = Duration::from_secs(30);

impl Names {
    /// Answers the queries of one stream until its client ends it.
    ///
    /// # Errors
    /// The stream's.
    pub async fn serve_stream<S: AsyncRead + AsyncWrite>(&self, stream: S) -> io::Result<()> {
        let (reader, writer) = tokio::io::split(stream);
        let (answers, ready) = mpsc::channel(PIPELINE);
        let (read, written) = tokio::join!(self.read(reader, answers), write(writer, ready));
        read.and(written)
    }

    async fn read(
        &self,
        mut reader: impl AsyncRead + Unpin,
        answers: mpsc::Sender<Vec<u8>>,
    ) -> io::Result<()> {
        loop {
            let length = match tokio::time::timeout(IDLE, reader.read_u16()).await {
                Err(_) => return Ok(()),
                Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Ok(length) => length?,
            };
            let mut message = vec![0; usize::from(length)];
            let body = tokio::time::timeout(IDLE, reader.read_exact(&mut message)).await;
            body.map_err(|_| io::ErrorKind::TimedOut)??;
            let Ok(place) = answers.clone().reserve_owned().await else {
                return Ok(());
            };
            self.ask(Client::Stream(place), &message, Carriage::Stream);
        }
    }
}

async fn write(
    mut writer: impl AsyncWrite + Unpin,
    mut ready: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    while let Some(message) = ready.recv().await {
        let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
        let mut framed = Vec::with_capacity(message.len() + 2);
        framed.extend_from_slice(&length.to_be_bytes());
        framed.extend_from_slice(&message);
        // A client that takes no answers would keep its place for ever.
        let written = tokio::time::timeout(IDLE, writer.write_all(&framed)).await;
        written.map_err(|_| io::ErrorKind::TimedOut)??;
        writer.flush().await?;
    }
    writer.shutdown().await
}
