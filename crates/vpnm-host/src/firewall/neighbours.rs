//! Hosts on the networks that this host itself goes out by: a gateway with one card.
//!
//! Anybody may be there, so being there opens nothing. What a neighbour sends is led into
//! the tunnel and nowhere else, and what goes back by the card is the tunnel's answer to
//! it, to an address of a network that this host has an address in.

use super::chain::{accept, inet_rule};
use super::matching::{Action, ESTABLISHED, Match, RELATED, rule};
use super::setting::Setting;
use crate::desired::Guard;
use crate::names::LINK;
use crate::nft::{Rule, TableFamily};
use crate::rtnl::Prefix;

/// The networks whose hosts are served, each with the name of its interface.
#[derive(Debug)]
pub(super) struct Neighbours<'a>(Vec<(&'a str, Prefix)>);

impl<'a> Neighbours<'a> {
    /// Those on the interfaces that the settings name.
    pub(super) fn of(guard: &Guard, setting: &'a Setting) -> Self {
        let all = setting.neighbourhoods.iter();
        let named = all.filter(|(name, _)| guard.serve_uplink.contains(name));
        Self(
            named
                .map(|(name, network)| (name.as_str(), *network))
                .collect(),
        )
    }

    /// In the forward chain: into the tunnel, and marked with `mark` out of it.
    pub(super) fn led_in(&self, mark: Option<u32>) -> Vec<Rule> {
        self.each(mark, |mark, name, network| {
            let version = Match::Version(network.family());
            let into = [
                version,
                Match::In(name),
                Match::From(network),
                Match::Out(LINK),
            ];
            let answer = [
                version,
                Match::In(LINK),
                Match::Out(name),
                Match::To(network),
                Match::State(ESTABLISHED | RELATED),
            ];
            vec![
                accept("neighbours into the tunnel", &into),
                inet_rule(ANSWER, &answer, Action::Mark(mark)),
                accept(ANSWER, &answer),
            ]
        })
    }

    /// Behind the routing: what the forward chain has marked.
    pub(super) fn answered(&self, mark: Option<u32>) -> Vec<Rule> {
        self.each(mark, |mark, name, network| {
            let version = Match::Version(network.family());
            let marked = [
                version,
                Match::Out(name),
                Match::Marked(mark),
                Match::To(network),
            ];
            vec![accept(ANSWER, &marked)]
        })
    }

    /// On the wire, where the card may be a port or the like of the one that is named.
    pub(super) fn reached(&self, mark: Option<u32>) -> Vec<Rule> {
        self.each(mark, |mark, _, network| {
            let version = Match::Version(network.family());
            let marked = [version, Match::Marked(mark), Match::To(network)];
            vec![rule(TableFamily::Netdev, ANSWER, &marked, Action::Accept)]
        })
    }

    /// The rules for each network, if the tunnel carries what is forwarded.
    fn each(
        &self,
        mark: Option<u32>,
        rules: impl Fn(u32, &'a str, Prefix) -> Vec<Rule>,
    ) -> Vec<Rule> {
        let Some(mark) = mark else {
            return Vec::new();
        };
        let networks = self.0.iter();
        networks
            .flat_map(|(name, network)| rules(mark, name, *network))
            .collect()
    }
}

const ANSWER: &str = "answers of the tunnel to neighbours";
