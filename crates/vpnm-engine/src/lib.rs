//! The data plane of vpnm: device, dispatcher, relay, resolver transport, sandbox.
