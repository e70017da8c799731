//! Pings as the rest of the engine sees them.

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;

use vpnm_netstack::Echo;

use super::net::Net;

/// An ICMP echo request of an application.
pub struct EchoRequest {
    echo: Echo,
    net: Rc<Net>,
}

impl EchoRequest {
    pub(super) fn new(net: &Rc<Net>, echo: Echo) -> Self {
        Self {
            echo,
            net: Rc::clone(net),
        }
    }

    /// Who pings.
    #[must_use]
    pub fn source(&self) -> IpAddr {
        self.echo.source
    }

    /// Who is pinged.
    #[must_use]
    pub fn destination(&self) -> IpAddr {
        self.echo.destination
    }

    /// Answers in the name of who was pinged.
    pub fn answer(self) {
        self.net.act(|stack, _| stack.echo_reply(self.echo));
    }
}

impl fmt::Debug for EchoRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EchoRequest({})", self.echo.destination)
    }
}
