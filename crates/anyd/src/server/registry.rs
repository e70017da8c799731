//! The methods that a daemon serves, by name.

use std::collections::HashMap;

use super::introspection::{IntrospectionService, Mirror};
use super::product::Product;
use super::service::Service;
use crate::method::Method;

/// Services and their methods.
pub(super) struct Registry {
    services: Vec<Box<dyn Service>>,
    /// Full name → place of the service, place of the method in its table.
    methods: HashMap<&'static str, (usize, usize)>,
    takes_descriptors: bool,
}

/// A method and what serves it.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) service: &'a dyn Service,
    pub(super) at: usize,
    pub(super) method: &'static Method,
}

impl Registry {
    pub(super) fn new(product: Product, services: Vec<Box<dyn Service>>) -> Self {
        let mut mirror = Mirror {
            product,
            interfaces: Vec::new(),
        };
        let own = IntrospectionService::INTERFACE;
        mirror.interfaces.push((own.name, own.idl()));
        for service in &services {
            let interface = service.interface();
            mirror.interfaces.push((interface.name, interface.idl()));
        }
        let mut registry = Self {
            services: Vec::new(),
            methods: HashMap::new(),
            takes_descriptors: false,
        };
        registry.add(Box::new(IntrospectionService(mirror)));
        for service in services {
            registry.add(service);
        }
        registry
    }

    fn add(&mut self, service: Box<dyn Service>) {
        let place = self.services.len();
        for (at, method) in service.interface().methods.iter().enumerate() {
            self.methods.insert(method.qualified, (place, at));
            self.takes_descriptors |= method.fds_most > 0;
        }
        self.services.push(service);
    }

    /// The method with this full name.
    pub(super) fn find(&self, name: &str) -> Option<Found<'_>> {
        let (place, at) = self.methods.get(name)?;
        let service = &**self.services.get(*place)?;
        Some(Found {
            service,
            at: *at,
            method: service.interface().methods.get(*at)?,
        })
    }

    /// The method with this name in snake case, if there is one only.
    #[cfg(feature = "python")]
    pub(super) fn endpoint(&self, snake: &str) -> Option<Found<'_>> {
        let mut found = self.all().filter(|found| found.method.snake == snake);
        match (found.next(), found.next()) {
            (Some(one), None) => Some(one),
            _ => None,
        }
    }

    /// Whether any method takes descriptors.
    pub(super) fn takes_descriptors(&self) -> bool {
        self.takes_descriptors
    }

    /// Whether an interface of this name is served.
    pub(super) fn has_interface(&self, name: &str) -> bool {
        self.services
            .iter()
            .any(|service| service.interface().name == name)
    }

    /// Every method with its service.
    pub(super) fn all(&self) -> impl Iterator<Item = Found<'_>> {
        self.services.iter().flat_map(|service| {
            let methods = service.interface().methods.iter().enumerate();
            methods.map(move |(at, method)| Found {
                service: &**service,
                at,
                method,
            })
        })
    }
}
