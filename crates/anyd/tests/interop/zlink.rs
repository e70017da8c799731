//! zlink, another implementation of Varlink: its client with our daemon, our
//! clients with its server.

use std::path::Path;

use anyd::server::{IntrospectionBlocking, IntrospectionClient};
use anyd::{CallError, Trust, args};
use futures_util::{Stream, TryStreamExt as _, pin_mut, stream};
use serde::{Deserialize, Serialize};
use zlink::introspect::{CustomType, ReplyError as DescribedError, Type};
use zlink::tokio::unix;
use zlink::varlink_service::{self, Proxy as _};
use zlink::{Reply, ReplyError, Server, proxy, service};

use crate::counter::{
    CounterBlocking, CounterClient, CounterError, CounterService, Here, Tick, item,
};
use crate::foreign::{Place, Served, runtime, until};

#[derive(Debug, PartialEq, Serialize, Deserialize, Type)]
struct Sum {
    sum: i64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, Type)]
struct Ticked {
    n: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomType)]
struct Item {
    name: String,
    tags: Vec<String>,
    weight: Option<i64>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, Type)]
struct Described {
    item: Item,
}

#[derive(Debug, PartialEq, ReplyError, DescribedError)]
#[zlink(interface = "org.example.Counter")]
enum Fault {
    Overflow { a: i64, b: i64 },
    Nothing,
}

#[proxy("org.example.Counter")]
trait CounterProxy {
    async fn add(&mut self, a: i64, b: i64) -> zlink::Result<Result<Sum, Fault>>;
    async fn describe(&mut self, item: Item) -> zlink::Result<Result<Described, Fault>>;
    async fn fail(&mut self) -> zlink::Result<Result<(), Fault>>;
    #[zlink(more)]
    async fn count(
        &mut self,
        to: i64,
    ) -> zlink::Result<impl Stream<Item = zlink::Result<Result<Ticked, Fault>>>>;
    async fn guarded(&mut self) -> zlink::Result<Result<(), Fault>>;
}

/// A call of a streaming method that wants no stream.
#[derive(Debug, Serialize)]
#[serde(tag = "method", content = "parameters")]
enum Unasked {
    #[serde(rename = "org.example.Counter.Count")]
    Count { to: i64 },
}

fn theirs() -> Item {
    let item = item();
    Item {
        name: item.name,
        tags: item.tags,
        weight: item.weight,
    }
}

#[test]
fn their_client_calls_our_daemon() {
    let served = Served::with("zlink-client", |daemon| daemon.serve(CounterService(Here)));
    runtime().block_on(async {
        let mut client = unix::connect(&served.path).await.unwrap();
        assert_eq!(client.add(2, 3).await.unwrap(), Ok(Sum { sum: 5 }));
        let overflow = Fault::Overflow { a: i64::MAX, b: 1 };
        assert_eq!(client.add(i64::MAX, 1).await.unwrap(), Err(overflow));
        let described = client.describe(theirs()).await.unwrap();
        assert_eq!(described, Ok(Described { item: theirs() }));
        assert_eq!(client.fail().await.unwrap(), Err(Fault::Nothing));
        {
            let ticks = client.count(1000).await.unwrap();
            pin_mut!(ticks);
            for n in 1..=1000 {
                let tick = ticks.try_next().await.unwrap();
                assert_eq!(tick, Some(Ok(Ticked { n })));
            }
            assert_eq!(ticks.try_next().await.unwrap(), None);
        }
        let refused = client.guarded().await.unwrap_err();
        // zlink knows this error without the reason that ours gives.
        let zlink::Error::UnknownErrorReply(name) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(name, "org.varlink.service.PermissionDenied");
        let call = zlink::Call::new(Unasked::Count { to: 1 });
        let unasked = client.call_method::<_, Ticked, Fault>(&call, vec![]).await;
        let unasked = unasked.unwrap_err();
        let zlink::Error::VarlinkService(unasked) = unasked else {
            panic!("{unasked:?}");
        };
        let expected = matches!(unasked.inner(), varlink_service::Error::ExpectedMore);
        assert!(expected, "{unasked:?}");
    });
}

#[test]
fn their_client_understands_our_description() {
    let served = Served::with("zlink-described", |daemon| {
        daemon.serve(CounterService(Here))
    });
    runtime().block_on(async {
        let mut client = unix::connect(&served.path).await.unwrap();
        let info = client.get_info().await.unwrap().unwrap();
        assert_eq!(info.product, env!("CARGO_PKG_NAME"));
        let named = |name: &str| info.interfaces.iter().any(|one| one.as_str() == name);
        assert!(named("org.example.Counter"));
        for name in ["org.example.Counter", "org.varlink.service"] {
            let mut client = unix::connect(&served.path).await.unwrap();
            let name = name.try_into().unwrap();
            let described = client.get_interface_description(name).await.unwrap();
            let described = described.unwrap();
            let interface = described.parse().unwrap();
            assert!(interface.methods().count() > 1);
            if interface.name() == "org.example.Counter" {
                let methods: Vec<_> = interface.methods().map(|one| one.name().as_str()).collect();
                assert_eq!(methods, ["Add", "Describe", "Fail", "Count", "Guarded"]);
                assert_eq!(interface.errors().count(), 2);
            }
        }
    });
}

struct There;

#[expect(clippy::unused_async, reason = "zlink's methods are asynchronous")]
#[service]
impl<Sock> There {
    #[zlink(interface = "org.example.Counter", types = [Item])]
    async fn add(&self, a: i64, b: i64) -> Result<Sum, Fault> {
        let sum = a.checked_add(b).ok_or(Fault::Overflow { a, b })?;
        Ok(Sum { sum })
    }

    async fn describe(&self, item: Item) -> Described {
        Described { item }
    }

    async fn fail(&self) -> Result<(), Fault> {
        Err(Fault::Nothing)
    }

    #[zlink(more)]
    async fn count(&self, _more: bool, to: i64) -> impl Stream<Item = Reply<Ticked>> + Unpin {
        let ticks =
            (1..=to).map(move |n| Reply::new(Some(Ticked { n })).set_continues(Some(n < to)));
        stream::iter(ticks)
    }
}

/// zlink's server, which ends with the test's process.
fn serve(path: &Path) {
    let there = path.to_owned();
    std::thread::spawn(move || {
        runtime().block_on(async {
            let listener = unix::bind(&there).unwrap();
            Server::new(listener, There).run().await.unwrap();
        });
    });
    until("zlink's server listens", || {
        std::os::unix::net::UnixStream::connect(path).is_ok()
    });
}

#[test]
fn our_blocking_client_calls_their_server() {
    let place = Place::new("zlink-blocking");
    let path = place.0.join("s");
    serve(&path);
    let open = || anyd::blocking::Client::open_trusting(&path, Trust::RootOrSelf).unwrap();
    let mut client = CounterBlocking::from(open());
    assert_eq!(client.add(2, 3).unwrap().sum, 5);
    let overflow = CounterError::Overflow { a: i64::MAX, b: 1 };
    let error = client.add(i64::MAX, 1).unwrap_err();
    assert!(matches!(error, CallError::Remote(found) if found == overflow));
    assert_eq!(client.describe(item()).unwrap().item, item());
    let error = client.fail().unwrap_err();
    assert!(matches!(error, CallError::Remote(CounterError::Nothing)));
    let ticks: Result<Vec<Tick>, _> = client.count(1000).unwrap().collect();
    let ticks = ticks.unwrap().into_iter().map(|tick| tick.n);
    assert!(ticks.eq(1..=1000));
    let sum = client.as_mut().commit("add", args! { a: 1, b: 2 }).unwrap();
    assert_eq!(sum, serde_json::json!({"sum": 3}));
    let mut client = IntrospectionBlocking::from(open());
    let info = client.get_info().unwrap();
    assert!(
        info.interfaces
            .iter()
            .any(|one| one == "org.example.Counter")
    );
    let name = "org.example.Counter".to_owned();
    let text = client.get_interface_description(name).unwrap().description;
    assert!(text.contains("method Describe(item: "), "{text}");
}

#[test]
fn our_asynchronous_client_calls_their_server() {
    let place = Place::new("zlink-async");
    let path = place.0.join("s");
    serve(&path);
    runtime().block_on(async {
        let open = || anyd::Client::open_trusting(&path, Trust::RootOrSelf);
        let mut client = CounterClient::from(open().await.unwrap());
        assert_eq!(client.add(2, 3).await.unwrap().sum, 5);
        let error = client.add(i64::MIN, -1).await.unwrap_err();
        assert!(matches!(
            error,
            CallError::Remote(CounterError::Overflow { a: i64::MIN, b: -1 })
        ));
        assert_eq!(client.describe(item()).await.unwrap().item, item());
        let mut ticks = client.count(1000).await.unwrap();
        for n in 1..=1000 {
            assert_eq!(ticks.next().await.unwrap().unwrap().n, n);
        }
        assert!(ticks.next().await.is_none());
        drop(ticks);
        let error = client.fail().await.unwrap_err();
        assert!(matches!(error, CallError::Remote(CounterError::Nothing)));
        let mut client = IntrospectionClient::from(open().await.unwrap());
        assert_eq!(client.get_info().await.unwrap().interfaces.len(), 2);
    });
}
