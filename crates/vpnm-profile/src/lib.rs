//! What to connect to: a [`Profile`], and the share links it is written as.
//!
//! A [`Profile`] names a server, the protocol spoken with it, the transport that
//! carries the protocol and what protects the transport. It is valid by
//! construction: every part is a checked type, so whoever holds a profile need
//! not look twice. Its serialised form is its share link.
//!
//! [`Link`] is what a `vless://` or `vmess://` text says: the profile, and the
//! list of what was left out of account and why. Whatever would change who can
//! read the traffic is never left out of account: it is an error that names the
//! key, the reason and what is accepted.
//!
//! ```
//! use vpnm_profile::{Link, Profile};
//! let text = "vless://0a1b2c3d-0000-4000-8000-000000000001@example.com:443?security=tls&fp=chrome#home";
//! let link: Link = text.parse()?;
//! assert_eq!(link.profile.name, "home");
//! assert_eq!(link.ignored.len(), 1); // fp
//! let profile: Profile = link.profile.to_link().parse()?;
//! assert_eq!(profile, link.profile);
//! # Ok::<(), vpnm_profile::LinkError>(())
//! ```

#![forbid(unsafe_code)]

mod id;
mod link;
mod path;
mod profile;
mod security;
mod transport;

pub use id::{IdError, Uuid};
pub use link::{Ignored, Link, LinkError, Reason};
pub use path::{Path, PathError};
pub use profile::{Profile, Protocol, Vless, Vmess, VmessCipher};
pub use security::{Alpn, AlpnError, Security, Tls};
pub use transport::{EarlyData, EarlyDataPlace, Transport, WebSocket};
