//! One TCP flow through the server.

use std::rc::Rc;

use vpnm_proxy::DialError;

use crate::egress::Egress;
use crate::netshell::{Refusal, TcpIncoming, relay};

/// Dials, accepts, relays; a change of the outbound resets the flow.
pub(super) async fn serve(flow: TcpIncoming, egress: Rc<Egress>) {
    let Some(lease) = egress.lease() else {
        flow.refuse(Refusal::NetUnreachable);
        return;
    };
    let target = flow.destination.into();
    let dialled = tokio::select! {
        biased;
        () = lease.ended() => return flow.refuse(Refusal::NetUnreachable),
        dialled = lease.outbound().dial_tcp(&target, &[]) => dialled,
    };
    let mut stream = match dialled {
        Ok(stream) => stream,
        Err(error) => {
            egress.report(&error);
            return flow.refuse(refusal(&error));
        }
    };
    tokio::select! {
        biased;
        () = lease.ended() => {}
        ended = relay(flow.accept(), &mut stream) => {
            if let Err(error) = ended {
                tracing::trace!(%error, "a flow broke");
            }
        }
    }
}

/// What the application learns when the server cannot be reached: never that its own
/// destination refused, which nobody knows.
fn refusal(error: &DialError) -> Refusal {
    if matches!(error, DialError::TimedOut { .. }) {
        Refusal::HostUnreachable
    } else {
        Refusal::NetUnreachable
    }
}
