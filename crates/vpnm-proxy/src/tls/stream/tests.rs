//! Our end against rustls's own server, TLS 1.2 and 1.3.

use std::future::poll_fn;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex, split};
use tokio_rustls::TlsAcceptor;

use super::*;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

struct Pair {
    client: Arc<ClientConfig>,
    server: TlsAcceptor,
}

impl Pair {
    fn new(version: &'static SupportedProtocolVersion) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["node.test".to_owned()]).unwrap();
        let certificate: CertificateDer<'static> = params.self_signed(&key).unwrap().into();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let (client, server) = (Arc::new(client), TlsAcceptor::from(Arc::new(server)));
        Self { client, server }
    }

    /// Both ends over a line that holds so many bytes.
    async fn connect(
        &self,
        line: usize,
    ) -> (TlsStream, tokio_rustls::server::TlsStream<DuplexStream>) {
        let (near, far) = duplex(line);
        let name = ServerName::try_from("node.test").unwrap();
        let mut ours = TlsStream::new(Arc::clone(&self.client), name, Box::new(near)).unwrap();
        let agree = poll_fn(|cx| ours.poll_handshake(cx));
        let (agreed, theirs) = tokio::join!(agree, self.server.accept(far));
        agreed.unwrap();
        (ours, theirs.unwrap())
    }
}

fn bytes(count: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(5);
    (0..count).map(|_| random.u8(..)).collect()
}

#[tokio::test]
async fn bytes_go_both_ways_at_once_over_lines_of_any_size() {
    for version in VERSIONS {
        for line in [3000, 20_000, 1 << 20] {
            let pair = Pair::new(version);
            let (ours, theirs) = pair.connect(line).await;
            let (sent, mut got, mut echoed) = (bytes(1_000_003), Vec::new(), Vec::new());
            let (mut reader, mut writer) = split(ours);
            let (mut far_reader, mut far_writer) = split(theirs);
            let write = async {
                let mut rest = sent.as_slice();
                while !rest.is_empty() {
                    let pieces: Vec<_> = rest.chunks(65_480).map(IoSlice::new).collect();
                    let count = writer.write_vectored(&pieces).await.unwrap();
                    rest = &rest[count..];
                }
                writer.shutdown().await.unwrap();
            };
            let echo = async {
                let mut block = vec![0; 30_000];
                loop {
                    let count = far_reader.read(&mut block).await.unwrap();
                    if count == 0 {
                        break;
                    }
                    echoed.extend_from_slice(&block[..count]);
                    far_writer.write_all(&block[..count]).await.unwrap();
                    far_writer.flush().await.unwrap();
                }
                far_writer.shutdown().await.unwrap();
            };
            let read = reader.read_to_end(&mut got);
            let ((), (), count) = tokio::join!(write, echo, read);
            assert_eq!(count.unwrap(), sent.len());
            assert!(got == sent && echoed == sent, "line of {line}");
        }
    }
}

#[tokio::test]
async fn a_reader_with_little_space_loses_nothing() {
    let pair = Pair::new(&version::TLS13);
    let (mut ours, mut theirs) = pair.connect(1 << 20).await;
    let sent = bytes(40_000);
    theirs.write_all(&sent).await.unwrap();
    theirs.shutdown().await.unwrap();
    let (mut got, mut space) = (Vec::new(), [0; 7]);
    loop {
        // Writing in between has to put what has come in aside.
        ours.write_all(b"x").await.unwrap();
        match ours.read(&mut space).await.unwrap() {
            0 => break,
            count => got.extend_from_slice(&space[..count]),
        }
    }
    assert_eq!(got, sent);
}

#[tokio::test]
async fn an_end_without_a_word_is_an_error_and_one_with_a_word_is_not() {
    for version in VERSIONS {
        let pair = Pair::new(version);
        let (mut ours, mut theirs) = pair.connect(1 << 16).await;
        theirs.write_all(b"hello").await.unwrap();
        theirs.flush().await.unwrap();
        drop(theirs);
        let mut got = Vec::new();
        let cut = ours.read_to_end(&mut got).await.unwrap_err();
        assert_eq!(
            (cut.kind(), got.as_slice()),
            (io::ErrorKind::UnexpectedEof, &b"hello"[..])
        );

        let (mut ours, mut theirs) = pair.connect(1 << 16).await;
        theirs.write_all(b"hello").await.unwrap();
        theirs.shutdown().await.unwrap();
        got.clear();
        ours.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"hello");
    }
}

#[tokio::test]
async fn sessions_are_resumed() {
    for version in VERSIONS {
        let pair = Pair::new(version);
        for expected in [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed] {
            let (mut ours, mut theirs) = pair.connect(1 << 16).await;
            assert_eq!(theirs.get_ref().1.handshake_kind(), Some(expected));
            theirs.write_all(b"x").await.unwrap();
            theirs.flush().await.unwrap();
            ours.read_exact(&mut [0]).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_changed_record_is_an_error_after_what_came_before() {
    let pair = Pair::new(&version::TLS13);
    let (near, mut middle) = duplex(1 << 16);
    let (mut far_middle, far) = duplex(1 << 16);
    let name = ServerName::try_from("node.test").unwrap();
    let mut ours = TlsStream::new(Arc::clone(&pair.client), name, Box::new(near)).unwrap();
    let agree = poll_fn(|cx| ours.poll_handshake(cx));
    let handshake = async { tokio::join!(agree, pair.server.accept(far)) };
    let (agreed, theirs) = tokio::select! {
        both = handshake => both,
        _ = tokio::io::copy_bidirectional(&mut middle, &mut far_middle) => unreachable!(),
    };
    agreed.unwrap();
    let mut theirs = theirs.unwrap();
    theirs.write_all(b"good").await.unwrap();
    theirs.flush().await.unwrap();
    let mut records = vec![0; 1 << 16];
    let count = far_middle.read(&mut records).await.unwrap();
    theirs.write_all(b"bad").await.unwrap();
    theirs.flush().await.unwrap();
    let end = count + far_middle.read(&mut records[count..]).await.unwrap();
    records[end - 1] ^= 1;
    middle.write_all(&records[..end]).await.unwrap();
    let mut got = [0; 4];
    ours.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"good");
    let error = ours.read(&mut got).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}
