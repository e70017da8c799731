//! The engine: everything the daemon can ask for, without how it asks.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use rustls::RootCertStore;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use vpnm_api::engine::{EngineConfig, EngineError, Established, Health, LocalNames};
use vpnm_api::{Code, Failure, Profile};
use vpnm_dns::Path;
use vpnm_proxy::{Dialer, Outbound};
use vpnm_wire::Domain;

use crate::check;
use crate::dialer::BypassDialer;
use crate::dispatcher::{Dispatcher, Naming};
use crate::doh::Endpoint;
use crate::exit::Exit;
use crate::fault;
use crate::monitor::{Condition, Monitor};
use crate::names::{Listeners, Names};
use crate::netshell::{self, Counters};

/// The data plane of one tunnel. Lives on one thread, inside a `LocalRuntime`.
#[derive(Debug)]
pub struct Engine {
    roots: Arc<RootCertStore>,
    dialer: Arc<BypassDialer>,
    exit: Rc<Exit>,
    /// Where the exit leads.
    leads_to: RefCell<Option<Destination>>,
    plant: RefCell<Option<Plant>>,
    /// Whether the device that was being served is gone.
    device: watch::Sender<bool>,
}

/// A server, and the addresses it is reached at.
type Destination = (Profile, Vec<SocketAddr>);

/// What exists once the engine was started.
#[derive(Debug)]
struct Plant {
    endpoints: Rc<[Endpoint]>,
    names: Names,
    monitor: Rc<Monitor>,
    counters: Arc<Counters>,
    tasks: Vec<AbortHandle>,
}

/// What a watcher follows.
#[derive(Debug, Clone)]
pub struct Watch {
    /// The tunnel's health.
    pub condition: watch::Receiver<Condition>,
    /// What went through; never waits.
    pub counters: Arc<Counters>,
}

impl Engine {
    /// An engine that trusts these authorities; it does nothing before it is started.
    #[must_use]
    pub fn new(roots: Arc<RootCertStore>) -> Self {
        Self {
            roots,
            dialer: Arc::default(),
            exit: Rc::default(),
            leads_to: RefCell::default(),
            plant: RefCell::default(),
            device: watch::Sender::new(false),
        }
    }

    /// Takes the device and the DNS redirect's listeners over and serves them.
    ///
    /// The first descriptor is the device's queue, all others are listeners.
    ///
    /// # Errors
    /// When started before, or when a descriptor or a resolver cannot be used.
    pub fn start(
        &self,
        config: &EngineConfig,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), EngineError> {
        if self.plant.borrow().is_some() {
            return Err(EngineError::AlreadyStarted);
        }
        let mut descriptors = descriptors.into_iter();
        let device = descriptors.next();
        let device = device.ok_or_else(|| wrong("the device's is missing"))?;
        let listeners = Listeners::new(descriptors.collect()).map_err(wrong)?;
        let endpoints = config
            .dns
            .iter()
            .map(|upstream| Endpoint::new(upstream, &self.roots));
        let endpoints: Rc<[Endpoint]> = endpoints.collect::<Result<_, _>>().map_err(unusable)?;
        if endpoints.is_empty() {
            return Err(failed(Failure::new(Code::Settings, "there is no resolver")));
        }
        let shell = netshell::Config::new(config.mtu).map_err(unusable)?;
        let plant = self.build(endpoints, shell, device, listeners);
        plant.names.know_local(&config.local);
        self.plant.replace(Some(plant));
        Ok(())
    }

    fn build(
        &self,
        endpoints: Rc<[Endpoint]>,
        shell: netshell::Config,
        device: OwnedFd,
        listeners: Listeners,
    ) -> Plant {
        let counters = Arc::clone(&shell.counters);
        let monitor = Monitor::new(Rc::clone(&self.exit), Rc::clone(&endpoints));
        let exit = Rc::clone(&self.exit);
        let names = Names::new(Rc::clone(&endpoints), exit, Rc::clone(&monitor), seed());
        let dispatcher = Dispatcher::new(
            Rc::clone(&self.exit),
            names.clone(),
            Rc::clone(&monitor),
            Naming::default(),
        );
        listeners.serve(&names);
        let gone = self.device.clone();
        let serving = tokio::task::spawn_local(async move {
            let ended = netshell::run(device, shell, Rc::new(dispatcher)).await;
            tracing::error!(?ended, "the device is gone");
            gone.send_replace(true);
        });
        let clock = names.clone();
        let timing = tokio::task::spawn_local(async move { clock.run().await });
        let following = tokio::task::spawn_local(follow(monitor.subscribe(), names.clone()));
        let watcher = Rc::clone(&monitor);
        let watching = tokio::task::spawn_local(async move { watcher.watch_idle().await });
        Plant {
            endpoints,
            names,
            monitor,
            counters,
            tasks: [
                serving.abort_handle(),
                timing.abort_handle(),
                following.abort_handle(),
                watching.abort_handle(),
            ]
            .into(),
        }
    }

    /// Finds the addresses of a server's name without the tunnel and without plaintext.
    ///
    /// # Errors
    /// [`Code::NameNotFound`], or why no resolver could be asked.
    pub async fn resolve(&self, host: &Domain) -> Result<Vec<IpAddr>, EngineError> {
        let endpoints = self.endpoints()?;
        let found = check::resolve(&self.dialer, host, &endpoints).await;
        found.map_err(failed)
    }

    /// Builds the way out that the profile describes, proves that answers come back
    /// through it, then puts it in the place of the one before, whose flows are reset.
    /// With `keep`, one that leads there already is verified anew instead.
    ///
    /// # Errors
    /// Why it cannot be used; the one before stands then.
    pub async fn connect(
        &self,
        profile: &Profile,
        server: &[IpAddr],
        keep: bool,
    ) -> Result<Established, EngineError> {
        let endpoints = self.endpoints()?;
        let port = profile.server.port;
        let server: Vec<_> = server.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
        let destination = (profile.clone(), server.clone());
        let leads_there = self.leads_to.borrow().as_ref() == Some(&destination);
        let standing = self.exit.lease().filter(|_| keep && leads_there);
        let dialer = Arc::clone(&self.dialer) as Arc<dyn Dialer>;
        let first = server.first().copied();
        let outbound = match &standing {
            Some(lease) => lease.outbound.clone(),
            None => Outbound::new(profile, server, dialer, Arc::clone(&self.roots))
                .map_err(|error| failed(fault::of_outbound(&error)))?,
        };
        let verified = check::verify(&outbound, &endpoints).await.map_err(failed)?;
        let via = self.dialer.last().or(first);
        let via = via.ok_or_else(|| failed(Code::NameNotFound.into()))?;
        let path = if standing.is_some() {
            Path::Suspect
        } else {
            self.exit.replace(Some(outbound));
            self.leads_to.replace(Some(destination));
            Path::Renewed
        };
        if let Some(plant) = &*self.plant.borrow() {
            plant.monitor.reset(verified.took);
            plant.names.on_path(path);
        }
        Ok(Established {
            latency_ms: u32::try_from(verified.latency.as_millis()).unwrap_or(u32::MAX),
            via: via.ip(),
            resolver: verified.resolver,
        })
    }

    /// Says whom to ask for names of the local network from now on.
    ///
    /// # Errors
    /// [`EngineError::NotStarted`].
    pub fn know_local(&self, local: &LocalNames) -> Result<(), EngineError> {
        let plant = self.plant.borrow();
        let plant = plant.as_ref().ok_or(EngineError::NotStarted)?;
        plant.names.know_local(local);
        Ok(())
    }

    /// Health and traffic from now on.
    ///
    /// # Errors
    /// [`EngineError::NotStarted`].
    pub fn watch(&self) -> Result<Watch, EngineError> {
        let plant = self.plant.borrow();
        let plant = plant.as_ref().ok_or(EngineError::NotStarted)?;
        Ok(Watch {
            condition: plant.monitor.subscribe(),
            counters: Arc::clone(&plant.counters),
        })
    }

    /// Waits until the device that is served is gone, which ends the engine's use.
    pub async fn device_gone(&self) {
        let mut device = self.device.subscribe();
        // An error would mean that the engine itself is gone.
        let _gone = device.wait_for(|gone| *gone).await;
    }

    fn endpoints(&self) -> Result<Rc<[Endpoint]>, EngineError> {
        let plant = self.plant.borrow();
        let plant = plant.as_ref().ok_or(EngineError::NotStarted)?;
        Ok(Rc::clone(&plant.endpoints))
    }
}

impl Drop for Plant {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Tells the resolver what the monitor found out.
async fn follow(mut condition: watch::Receiver<Condition>, names: Names) {
    let mut was_down = false;
    while condition.changed().await.is_ok() {
        let health = condition.borrow_and_update().health;
        match health {
            Health::Suspect => names.on_path(Path::Suspect),
            Health::Down => names.on_path(Path::Down),
            Health::Up if was_down => names.on_path(Path::Renewed),
            Health::Up => {}
        }
        was_down = health == Health::Down;
    }
}

fn seed() -> u64 {
    let mut bytes = [0; 8];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    tracing::trace!(?filled, "seeded the jitter");
    u64::from_ne_bytes(bytes)
}

fn failed(failure: Failure) -> EngineError {
    EngineError::Failed { failure }
}

fn unusable(why: impl ToString) -> EngineError {
    failed(Failure::new(Code::EngineStart, why.to_string()))
}

fn wrong(why: impl ToString) -> EngineError {
    EngineError::Descriptors {
        reason: why.to_string().into(),
    }
}
