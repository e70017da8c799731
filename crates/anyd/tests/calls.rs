//! One service, called by every client: replies, faults, refusals, streams,
//! descriptors.
#![expect(
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    reason = "an integration test is a test module"
)]

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use anyd::types::{HostName, Text};
use anyd::{CallError, Caller, Daemon, Events, Fault, Peer, Type, WithFds, args, service};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub(crate) struct Echoed {
    arg: String,
}

#[derive(Debug, PartialEq, Eq, Fault)]
#[fault(interface = "org.example.Bench")]
pub(crate) enum BenchError {
    Silence,
    #[fault("{host} is not reachable after {tries} tries")]
    Unreachable {
        host: String,
        tries: u32,
    },
}

#[service(interface = "org.example.Bench")]
pub(crate) trait Bench {
    /// Returns its argument.
    #[access(anyone)]
    async fn echo(&self, caller: &Caller, arg: Text<0, 4096>) -> Result<Echoed, BenchError>;
    /// Repeats its argument.
    #[access(anyone)]
    async fn repeat(
        &self,
        caller: &Caller,
        arg: String,
        n: u32,
        out: Events<Echoed>,
    ) -> Result<(), BenchError>;
    /// Fails.
    #[access(anyone)]
    async fn reach(
        &self,
        caller: &Caller,
        host: HostName,
        tries: Option<u32>,
    ) -> Result<(), BenchError>;
    #[access(any(root, group = "bench", owner))]
    async fn guarded(&self, caller: &Caller) -> Result<(), BenchError>;
    #[access(anyone)]
    #[timeout("50ms")]
    async fn hang(&self, caller: &Caller) -> Result<(), BenchError>;
    #[access(anyone)]
    async fn broken(&self, caller: &Caller) -> Result<(), BenchError>;
    /// Writes to the first descriptor, and returns the second.
    #[access(anyone)]
    #[fds(in = 2, out = 1)]
    async fn swap(
        &self,
        caller: &Caller,
        text: String,
        fds: Vec<OwnedFd>,
    ) -> Result<WithFds<Echoed>, BenchError>;
}

struct Here;

impl Bench for Here {
    fn owner(&self) -> Option<u32> {
        Some(1007)
    }

    async fn echo(&self, _: &Caller, arg: Text<0, 4096>) -> Result<Echoed, BenchError> {
        if arg.is_empty() {
            return Err(BenchError::Silence);
        }
        Ok(Echoed { arg: arg.into() })
    }

    async fn repeat(
        &self,
        _: &Caller,
        arg: String,
        n: u32,
        mut out: Events<Echoed>,
    ) -> Result<(), BenchError> {
        for _ in 0..n {
            if out.send(Echoed { arg: arg.clone() }).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn reach(
        &self,
        _: &Caller,
        host: HostName,
        tries: Option<u32>,
    ) -> Result<(), BenchError> {
        match tries {
            None => Ok(()),
            Some(tries) => Err(BenchError::Unreachable {
                host: host.into(),
                tries,
            }),
        }
    }

    async fn guarded(&self, _: &Caller) -> Result<(), BenchError> {
        Ok(())
    }

    async fn hang(&self, _: &Caller) -> Result<(), BenchError> {
        std::future::pending().await
    }

    async fn broken(&self, _: &Caller) -> Result<(), BenchError> {
        panic!("as the test asks")
    }

    async fn swap(
        &self,
        _: &Caller,
        text: String,
        mut fds: Vec<OwnedFd>,
    ) -> Result<WithFds<Echoed>, BenchError> {
        let back = fds.pop().into_iter().collect();
        for fd in fds {
            std::fs::File::from(fd).write_all(text.as_bytes()).unwrap();
        }
        Ok(WithFds {
            reply: Echoed { arg: text },
            fds: back,
        })
    }
}

fn client(peer: Peer) -> BenchClient {
    let daemon = Daemon::new(anyd::product!())
        .serve(BenchService(Here))
        .groups(anyd::Groups::fixed([("bench", 77)]));
    anyd::test::connect(daemon, peer).into()
}

fn stranger() -> BenchClient {
    client(Peer::uid(1000))
}

#[tokio::test]
async fn replies_and_faults_arrive_as_they_left() {
    let mut client = stranger();
    assert_eq!(client.echo("hi".parse().unwrap()).await.unwrap().arg, "hi");
    let silence = client.echo("".parse().unwrap()).await;
    assert!(matches!(
        silence,
        Err(CallError::Remote(BenchError::Silence))
    ));
    let host: HostName = "a.example".parse().unwrap();
    client.reach(host.clone(), None).await.unwrap();
    let error = client.reach(host, Some(3)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "a.example is not reachable after 3 tries"
    );
}

#[tokio::test]
async fn a_refusal_says_what_was_refused_and_why() {
    let mut client = stranger();
    let error = client.guarded().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the daemon refused org.example.Bench.Guarded: only root or group bench or the owner may call it"
    );
}

#[tokio::test]
async fn members_owners_and_root_are_let_in() {
    let peers = [Peer::uid(0), Peer::uid(1007), Peer::uid(1000).groups([77])];
    for peer in peers {
        client(peer).guarded().await.unwrap();
    }
    for peer in [Peer::uid(0).pid(0), Peer::uid(65534).groups([77])] {
        let refused = client(peer).guarded().await;
        assert!(matches!(refused, Err(CallError::Denied { .. })));
    }
}

#[tokio::test]
async fn a_stream_carries_every_event_in_order() {
    let mut client = stranger();
    let mut stream = client.repeat("x".to_owned(), 1000).await.unwrap();
    let mut count = 0;
    while let Some(event) = stream.next().await {
        assert_eq!(event.unwrap().arg, "x");
        count += 1;
    }
    drop(stream);
    assert_eq!(count, 1000);
    client.echo("still there".parse().unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_stream_that_is_dropped_closes_its_connection() {
    let mut client = stranger();
    let mut stream = client.repeat("x".to_owned(), u32::MAX).await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    let next = client.echo("x".parse().unwrap()).await;
    assert!(matches!(next, Err(CallError::Closed { .. })));
}

#[tokio::test]
async fn a_handler_that_hangs_or_panics_harms_its_call_only() {
    let mut client = stranger();
    let hung = client.hang().await;
    assert!(matches!(hung, Err(CallError::Timeout { .. })));
    let broken = client.broken().await;
    assert!(
        matches!(broken, Err(CallError::Internal { id: 2, .. })),
        "{broken:?}"
    );
    client.echo("still there".parse().unwrap()).await.unwrap();
}

#[tokio::test]
async fn descriptors_travel_both_ways() {
    let mut client = client(Peer::uid(0));
    let (mut reads, writes) = std::io::pipe().unwrap();
    let passed = std::fs::File::open("/proc/self/comm").unwrap();
    let answer = client
        .swap(
            "through the pipe".to_owned(),
            &[writes.as_fd(), passed.as_fd()],
        )
        .await
        .unwrap();
    drop(writes);
    let mut text = String::new();
    reads.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through the pipe");
    assert_eq!(answer.reply.arg, "through the pipe");
    assert_eq!(answer.fds.len(), 1);
    let few = client
        .swap("x".to_owned(), &[passed.as_fd()])
        .await
        .unwrap_err();
    assert!(few.to_string().contains("fds: 1 descriptors"), "{few}");
}

#[test]
fn the_blocking_client_needs_no_runtime() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let daemon = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let daemon = Daemon::new(anyd::product!())
            .serve(BenchService(Here))
            .serve_stream_as(theirs, Peer::uid(1000));
        runtime
            .block_on(daemon.run(std::future::pending()))
            .unwrap();
    });
    let client = anyd::blocking::Client::from_stream(ours).timeout(Duration::from_secs(10));
    let mut client = BenchBlocking::from(client);
    assert_eq!(client.echo("hi".parse().unwrap()).unwrap().arg, "hi");
    let events: Vec<_> = client.repeat("x".to_owned(), 300).unwrap().collect();
    assert_eq!(events.len(), 300);
    assert!(events.into_iter().all(|event| event.unwrap().arg == "x"));
    assert!(matches!(client.guarded(), Err(CallError::Denied { .. })));
    let mut client = anyd::blocking::Client::from(client);
    let said = client.commit("Echo", args! { arg: "hi" }).unwrap();
    assert_eq!(said, serde_json::json!({"arg": "hi"}));
    drop(client);
    daemon.join().unwrap();
}

#[test]
fn the_interface_reads_as_it_was_written() {
    anyd::test::golden(
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/golden/org.example.Bench.varlink"
        ),
        &BenchClient::INTERFACE.idl(),
    );
}

#[tokio::test]
async fn a_method_can_be_called_by_its_name() {
    let mut client = anyd::Client::from(stranger());
    let said = client.commit("echo", args! { arg: "hi" }).await.unwrap();
    assert_eq!(said, serde_json::json!({"arg": "hi"}));
    let full = "org.example.Bench.Echo";
    let said = client.commit(full, args! { arg: "" }).await.unwrap_err();
    assert_eq!(
        said.to_string(),
        "org.example.Bench.Echo failed with org.example.Bench.Silence"
    );
    let wrong = client
        .commit("reach", args! { host: "-" })
        .await
        .unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "the daemon refused org.example.Bench.Reach: host: not a host name"
    );
    let absent = client.commit("fly", args! {}).await.unwrap_err();
    assert_eq!(absent.to_string(), "the daemon has no fly");
}
